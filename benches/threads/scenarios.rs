//! What is measured, generic over who is measured. Each function takes its figures once, in a process that does nothing else.

use std::{
    collections::VecDeque,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures::TryStreamExt;
use polypool::{Executor, Spin};
use rayon::prelude::*;

use crate::{
    apart, counting,
    figures::{Metric, Unit, median, metric},
    machine::Place,
    peers::{Aborts, Futures, Peer, PeerId, Polypool, Rayon, Tokio, Unblock},
    work,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    Latency,
    LatencyIdle,
    AtOnce,
    Window,
    Eight,
    Memory,
    Cancel,
    Map,
}

impl Scenario {
    pub(crate) const ALL: [Self; 8] = [
        Self::Latency,
        Self::LatencyIdle,
        Self::AtOnce,
        Self::Window,
        Self::Eight,
        Self::Memory,
        Self::Cancel,
        Self::Map,
    ];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::LatencyIdle => "latency-idle",
            Self::AtOnce => "at-once",
            Self::Window => "window",
            Self::Eight => "eight",
            Self::Memory => "memory",
            Self::Cancel => "cancel",
            Self::Map => "map",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Latency => "Latency: submit and await, one after the other",
            Self::LatencyIdle => "Latency after a pause of 15 ms",
            Self::AtOnce => "All at once: one submitter, then await all",
            Self::Window => "Window: one submitter, 64 in flight",
            Self::Eight => "Eight submitters: each submits its part at once, then awaits it",
            Self::Memory => "Memory of a pending task, beyond its closure of 8 bytes",
            Self::Cancel => "Cancel everything that is queued",
            Self::Map => "`map` of small items of 100 ns",
        }
    }

    pub(crate) fn metrics(self) -> &'static [Metric] {
        use Unit::{Bytes, Nanoseconds, PerSecond, Seconds};
        const LATENCY: &[Metric] = &[metric("median", Nanoseconds), metric("p99", Nanoseconds)];
        const LATENCY_IDLE: &[Metric] = &[metric("median", Nanoseconds)];
        const AT_ONCE: &[Metric] = &[metric("tasks", PerSecond), metric("submit", Nanoseconds)];
        const TASKS: &[Metric] = &[metric("tasks", PerSecond)];
        const MEMORY: &[Metric] =
            &[metric("allocated", Bytes), metric("resident", Bytes), metric("handle", Bytes)];
        const CANCEL: &[Metric] =
            &[metric("abort each", Seconds), metric("drop pool", Seconds), metric("drop returns", Seconds)];
        const MAP: &[Metric] = &[metric("item", Nanoseconds)];
        match self {
            Self::Latency => LATENCY,
            Self::LatencyIdle => LATENCY_IDLE,
            Self::AtOnce => AT_ONCE,
            Self::Window | Self::Eight => TASKS,
            Self::Memory => MEMORY,
            Self::Cancel => CANCEL,
            Self::Map => MAP,
        }
    }

    pub(crate) fn peers(self) -> &'static [PeerId] {
        use PeerId::{
            Blocking, Futures, Loop, PolypoolSpin, PolypoolStandalone, PolypoolTokio, Rayon, TokioDefault,
            TokioLimited,
        };
        match self {
            Self::Latency | Self::Window => &[
                PolypoolTokio,
                TokioDefault,
                TokioLimited,
                PolypoolStandalone,
                Blocking,
                Rayon,
                Futures,
                PolypoolSpin,
            ],
            Self::LatencyIdle | Self::AtOnce | Self::Eight => {
                &[PolypoolTokio, TokioDefault, TokioLimited, PolypoolStandalone, Blocking, Rayon, Futures]
            }
            // One worker that is held up holds up nobody where there may be 512.
            Self::Memory => &[PolypoolTokio, TokioLimited, PolypoolStandalone, Blocking, Rayon, Futures],
            Self::Cancel => &[PolypoolTokio, TokioLimited, PolypoolStandalone],
            Self::Map => &[PolypoolTokio, Rayon, PolypoolStandalone, Loop],
        }
    }

    /// How many threads a peer may have.
    pub(crate) fn threads(self) -> usize {
        match self {
            Self::Memory | Self::Cancel => 1,
            _ => 2,
        }
    }

    /// Where it is measured.
    pub(crate) fn places(self) -> &'static [Place] {
        match self {
            // On two CPUs, where the scheduler puts the two threads decides all: together or apart. `One` is together.
            Self::Latency => &[Place::One, Place::Apart],
            // Neither depends on where threads run.
            Self::Memory | Self::Cancel => &[Place::One],
            _ => &[Place::One, Place::Two],
        }
    }
}

/// How much of everything.
pub(crate) struct Sizes {
    latencies: usize,
    pauses: usize,
    tasks: usize,
    /// Of throughput; the median counts.
    repetitions: usize,
    pending: usize,
    cancelled: usize,
    items: usize,
}

impl Sizes {
    pub(crate) fn new(quick: bool) -> Self {
        if quick {
            let (latencies, pauses, tasks, repetitions) = (1_000, 5, 16_000, 1);
            return Self {
                latencies,
                pauses,
                tasks,
                repetitions,
                pending: 100_000,
                cancelled: 50_000,
                items: 100_000,
            };
        }
        let (latencies, pauses, tasks, repetitions) = (10_000, 40, 200_000, 3);
        Self {
            latencies,
            pauses,
            tasks,
            repetitions,
            pending: 100_000,
            cancelled: 1_000_000,
            items: 1_000_000,
        }
    }
}

type Figures = Vec<(&'static str, f64)>;

/// Takes the figures of a scenario for one peer.
pub(crate) fn measure(scenario: Scenario, peer: PeerId, sizes: &Sizes) -> Figures {
    let n = scenario.threads();
    match (scenario, peer) {
        (Scenario::Map, _) => map(peer, n, sizes),
        (Scenario::Cancel, PeerId::PolypoolTokio) => cancel_pool(|| Polypool::on_tokio(n, Spin::Off), sizes),
        (Scenario::Cancel, PeerId::PolypoolStandalone) => cancel_pool(|| Polypool::standalone(n), sizes),
        (Scenario::Cancel, PeerId::TokioLimited) => vec![abort_each(&Tokio::new(Some(n)), sizes)],
        (_, PeerId::PolypoolTokio) => measure_peer(scenario, &Polypool::on_tokio(n, Spin::Off), sizes),
        (_, PeerId::PolypoolStandalone) => measure_peer(scenario, &Polypool::standalone(n), sizes),
        (_, PeerId::PolypoolSpin) => measure_peer(scenario, &Polypool::on_tokio(n, Spin::Adaptive), sizes),
        (_, PeerId::TokioDefault) => measure_peer(scenario, &Tokio::new(None), sizes),
        (_, PeerId::TokioLimited) => measure_peer(scenario, &Tokio::new(Some(n)), sizes),
        (_, PeerId::Blocking) => measure_peer(scenario, &Unblock, sizes),
        (_, PeerId::Rayon) => measure_peer(scenario, &Rayon::new(n), sizes),
        (_, PeerId::Futures) => measure_peer(scenario, &Futures::new(n), sizes),
        (_, PeerId::Loop) => Vec::new(),
    }
}

fn measure_peer<P: Peer>(scenario: Scenario, peer: &P, sizes: &Sizes) -> Figures {
    apart::go_to_submit();
    match scenario {
        Scenario::Latency => latency(peer, sizes.latencies),
        Scenario::LatencyIdle => latency_idle(peer, sizes.pauses),
        Scenario::AtOnce => at_once(peer, sizes),
        Scenario::Window => window(peer, sizes),
        Scenario::Eight => eight(peer, sizes),
        Scenario::Memory => memory(peer, sizes.pending),
        // These are not for every peer; see `measure`.
        Scenario::Cancel | Scenario::Map => Vec::new(),
    }
}

// ---- latency

async fn round_trip<P: Peer>(peer: &P, n: u64) -> Duration {
    let start = Instant::now();
    let value = P::value(peer.submit(move || work::trifle(n)).await);
    let took = start.elapsed();
    assert_eq!(value, Some(n));
    took
}

fn latency<P: Peer>(peer: &P, n: usize) -> Figures {
    let mut took = peer.block_on(async {
        for i in 0..n as u64 / 10 {
            round_trip(peer, i).await;
        }
        let mut took = Vec::with_capacity(n);
        for i in 0..n as u64 {
            took.push(round_trip(peer, i).await);
        }
        took
    });
    took.sort_unstable();
    vec![("median", nanoseconds(took[n / 2])), ("p99", nanoseconds(took[n * 99 / 100]))]
}

fn latency_idle<P: Peer>(peer: &P, n: usize) -> Figures {
    let mut took: Vec<Duration> = (0..n as u64)
        .map(|i| {
            thread::sleep(Duration::from_millis(15));
            peer.block_on(round_trip(peer, i))
        })
        .collect();
    took.sort_unstable();
    vec![("median", nanoseconds(took[n / 2]))]
}

// ---- throughput

/// Repeats a measurement after a short one to warm up, and gives the median of its results.
fn repeat(sizes: &Sizes, mut once: impl FnMut(usize) -> f64) -> f64 {
    once(sizes.tasks / 10);
    median((0..sizes.repetitions).map(|_| once(sizes.tasks)).collect())
}

async fn expect_value<P: Peer>(task: P::Task, n: usize) {
    assert_eq!(P::value(task.await), Some(n as u64));
}

fn submit_all<P: Peer>(peer: &P, n: usize) -> Vec<P::Task> {
    (0..n as u64).map(|i| peer.submit(move || work::trifle(i))).collect()
}

async fn await_all<P: Peer>(tasks: Vec<P::Task>) {
    for (i, task) in tasks.into_iter().enumerate() {
        expect_value::<P>(task, i).await;
    }
}

fn at_once<P: Peer>(peer: &P, sizes: &Sizes) -> Figures {
    let mut submits = Vec::new();
    let rate = repeat(sizes, |n| {
        peer.block_on(async {
            let start = Instant::now();
            let tasks = submit_all(peer, n);
            submits.push(nanoseconds(start.elapsed()) / n as f64);
            await_all::<P>(tasks).await;
            per_second(n, start)
        })
    });
    vec![("tasks", rate), ("submit", median(submits.split_off(1)))]
}

fn window<P: Peer>(peer: &P, sizes: &Sizes) -> Figures {
    const WINDOW: usize = 64;
    let rate = repeat(sizes, |n| {
        peer.block_on(async {
            let start = Instant::now();
            let mut tasks: VecDeque<P::Task> = submit_all(peer, WINDOW).into();
            for i in 0..n {
                let Some(front) = tasks.pop_front() else { break };
                expect_value::<P>(front, i).await;
                let next = (i + WINDOW) as u64;
                if i + WINDOW < n {
                    tasks.push_back(peer.submit(move || work::trifle(next)));
                }
            }
            per_second(n, start)
        })
    });
    vec![("tasks", rate)]
}

fn eight<P: Peer>(peer: &P, sizes: &Sizes) -> Figures {
    const SUBMITTERS: usize = 8;
    let rate = repeat(sizes, |n| {
        let ready = Arc::new(Barrier::new(SUBMITTERS + 1));
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|_| {
                let (peer, ready) = (peer.clone(), Arc::clone(&ready));
                thread::spawn(move || {
                    ready.wait();
                    peer.block_on(async { await_all::<P>(submit_all(&peer, n / SUBMITTERS)).await });
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for submitter in submitters {
            submitter.join().expect("all values are as they should be");
        }
        per_second(n, start)
    });
    vec![("tasks", rate)]
}

// ---- memory and cancelling

/// Holds up a peer's only worker as long as it lives.
struct Gate<P: Peer> {
    _open: mpsc::Sender<()>,
    _task: P::Task,
}

impl<P: Peer> Gate<P> {
    fn close(peer: &P) -> Self {
        let (here, is_here) = mpsc::channel();
        let (open, is_open) = mpsc::channel::<()>();
        let task = peer.submit(move || {
            // One error says that the gate is gone already, the other that it went: both let the worker go on.
            let _ = here.send(());
            let _ = is_open.recv();
            0
        });
        is_here.recv().expect("the worker comes");
        Self { _open: open, _task: task }
    }
}

fn memory<P: Peer>(peer: &P, n: usize) -> Figures {
    let _gate = Gate::close(peer);
    let mut tasks = Vec::with_capacity(n);
    counting::start();
    let resident = counting::resident_bytes();
    tasks.extend((0..n as u64).map(|i| peer.submit(move || work::trifle(i))));
    let allocated = counting::live_bytes() as f64;
    let resident = counting::resident_bytes() as f64 - resident as f64;
    // The vector was there, but not its pages.
    let handle = size_of::<P::Task>() as f64;
    let each = |bytes: f64| bytes / n as f64 - size_of::<u64>() as f64;
    vec![("allocated", each(allocated)), ("resident", each(resident) - handle), ("handle", handle)]
}

fn expect_cancelled<P: Peer>(ended: <P::Task as Future>::Output) {
    assert_eq!(P::value(ended), None, "what was queued has run");
}

/// Until every task is known to be cancelled. The worker is let go after the last abort: tokio's tasks end only there.
fn abort_each<P: Aborts>(peer: &P, sizes: &Sizes) -> (&'static str, f64) {
    let gate = Gate::close(peer);
    let tasks = submit_all(peer, sizes.cancelled);
    let start = Instant::now();
    tasks.iter().for_each(P::abort);
    drop(gate);
    peer.block_on(async {
        for task in tasks {
            expect_cancelled::<P>(task.await);
        }
    });
    ("abort each", start.elapsed().as_secs_f64())
}

/// The same, and by dropping the executor, whose worker stays held up meanwhile.
fn cancel_pool(make: impl Fn() -> Polypool, sizes: &Sizes) -> Figures {
    let aborts = abort_each(&make(), sizes);
    let peer = make();
    let gate = Gate::close(&peer);
    let tasks = submit_all(&peer, sizes.cancelled);
    let Polypool { executor, runtime: _runtime } = peer;
    let start = Instant::now();
    drop(executor);
    let returned = start.elapsed().as_secs_f64();
    futures::executor::block_on(async {
        for task in tasks {
            expect_cancelled::<Polypool>(task.await);
        }
    });
    let resolved = start.elapsed().as_secs_f64();
    drop(gate);
    vec![aborts, ("drop pool", resolved), ("drop returns", returned)]
}

// ---- map

fn map(peer: PeerId, threads: usize, sizes: &Sizes) -> Figures {
    let inputs: Vec<u64> = (0..sizes.items as u64).collect();
    let expected: Vec<u64> = inputs.iter().map(|&n| work::item(n)).collect();
    let check = |mut mapped: Box<dyn FnMut(Vec<u64>) -> Vec<u64>>| {
        let times = (0..sizes.repetitions + 1).map(|_| {
            let inputs = inputs.clone();
            let start = Instant::now();
            let results = mapped(inputs);
            let each = nanoseconds(start.elapsed()) / sizes.items as f64;
            assert!(results == expected, "the results are others, or in another order");
            each
        });
        vec![("item", median(times.skip(1).collect()))]
    };
    match peer {
        PeerId::PolypoolTokio => check(map_polypool(Polypool::on_tokio(threads, Spin::Off))),
        PeerId::PolypoolStandalone => check(map_polypool(Polypool::standalone(threads))),
        PeerId::Rayon => {
            let pool = Rayon::new(threads).pool;
            check(Box::new(move |inputs| {
                pool.install(|| inputs.par_iter().map(|&n| work::item(n)).collect())
            }))
        }
        PeerId::Loop => check(Box::new(|inputs| inputs.iter().map(|&n| work::item(n)).collect())),
        _ => Vec::new(),
    }
}

fn map_polypool(peer: Polypool) -> Box<dyn FnMut(Vec<u64>) -> Vec<u64>> {
    async fn all(executor: &Executor, inputs: Vec<u64>) -> Vec<u64> {
        executor.map(work::item, inputs).try_collect().await.expect("arithmetic does not fail")
    }
    Box::new(move |inputs| peer.block_on(all(&peer.executor, inputs)))
}

// ---- arithmetic

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

fn per_second(n: usize, start: Instant) -> f64 {
    n as f64 / start.elapsed().as_secs_f64()
}
