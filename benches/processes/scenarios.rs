//! What is measured, and for the peers that are written in Rust, how. Each function takes its figures once, in a process that
//! does nothing else. `peers.py` does the same for the others.

use std::{
    collections::{BTreeSet, VecDeque},
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures::TryStreamExt;
use ipc_channel::ipc::IpcSharedMemory;
use polypool::{CancellationPolicy, Executor, TaskHandle};
use serde_bytes::ByteBuf;

use crate::{
    apart,
    figures::{Figures, Metric, Unit, median, metric},
    floor::{Call, IpcWorker, Raw, Reply},
    machine::Place,
    peers::{Ipc, Peer, PeerId, Polypool, Procspawn},
    work,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    RoundTrip,
    AtOnce,
    Window,
    Map,
    Echo1,
    Echo64,
    Start,
    StartHeavy,
    Kill,
    Skew,
    Descriptors,
}

impl Scenario {
    pub(crate) const ALL: [Self; 11] = [
        Self::RoundTrip,
        Self::AtOnce,
        Self::Window,
        Self::Map,
        Self::Echo1,
        Self::Echo64,
        Self::Start,
        Self::StartHeavy,
        Self::Kill,
        Self::Skew,
        Self::Descriptors,
    ];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::AtOnce => "at-once",
            Self::Window => "window",
            Self::Map => "map",
            Self::Echo1 => "echo1",
            Self::Echo64 => "echo64",
            Self::Start => "start",
            Self::StartHeavy => "start-heavy",
            Self::Kill => "kill",
            Self::Skew => "skew",
            Self::Descriptors => "descriptors",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RoundTrip => "Round trip: submit and await, one after the other, one worker",
            Self::AtOnce => "All at once: submit all, then await all",
            Self::Window => "Window: 64 in flight",
            Self::Map => "Chunked map of items that do nothing: time an item",
            Self::Echo1 => "Echo of 1 MiB",
            Self::Echo64 => "Echo of 64 MiB",
            Self::Start => "Start: until every worker has answered",
            Self::StartHeavy => "Start of 2 workers by a parent that holds nothing, then 2 GiB",
            Self::Kill => {
                "kill -9: until the task's error, until the next task's result, and how many of 102 others fail"
            }
            Self::Skew => "Skewed durations: 1 % of the tasks take 100 times longer; time over the ideal",
            Self::Descriptors => "Descriptors: open ones for each task that is queued",
        }
    }

    pub(crate) fn metrics(self) -> &'static [Metric] {
        use Unit::{Count, Nanoseconds, PerSecond, Times};
        const ROUND_TRIP: &[Metric] = &[metric("median", Nanoseconds), metric("p99", Nanoseconds)];
        const AT_ONCE: &[Metric] = &[metric("tasks", PerSecond), metric("submit", Nanoseconds)];
        const WINDOW: &[Metric] = &[metric("tasks", PerSecond)];
        const MAP: &[Metric] = &[metric("by 1000", Nanoseconds), metric("as it is", Nanoseconds)];
        const ECHO: &[Metric] = &[metric("echo", Nanoseconds)];
        const START: &[Metric] = &[
            metric("2 workers, first", Nanoseconds),
            metric("2 workers", Nanoseconds),
            metric("8 workers", Nanoseconds),
        ];
        const START_HEAVY: &[Metric] =
            &[metric("light", Nanoseconds), metric("heavy", Nanoseconds), metric("heavy/light", Times)];
        const KILL: &[Metric] =
            &[metric("error", Nanoseconds), metric("next", Nanoseconds), metric("innocents lost", Count)];
        const SKEW: &[Metric] = &[metric("each", Times), metric("map", Times)];
        const DESCRIPTORS: &[Metric] = &[metric("a task", Count)];
        match self {
            Self::RoundTrip => ROUND_TRIP,
            Self::AtOnce => AT_ONCE,
            Self::Window => WINDOW,
            Self::Map => MAP,
            Self::Echo1 | Self::Echo64 => ECHO,
            Self::Start => START,
            Self::StartHeavy => START_HEAVY,
            Self::Kill => KILL,
            Self::Skew => SKEW,
            Self::Descriptors => DESCRIPTORS,
        }
    }

    /// Neighbours in time are neighbours here.
    pub(crate) fn peers(self) -> &'static [PeerId] {
        use PeerId::{
            Futures, IpcChannel, Joblib, Loky, Memcpy, Memcpy4, MpPool, Polypool, PolypoolMulti,
            PolypoolSpin, PosixSpawn, Procspawn, Socketpair,
        };
        match self {
            Self::RoundTrip => &[
                Polypool,
                Socketpair,
                PolypoolMulti,
                PolypoolSpin,
                IpcChannel,
                Procspawn,
                Futures,
                Loky,
                MpPool,
                Joblib,
            ],
            Self::AtOnce | Self::Window => {
                &[Polypool, PolypoolMulti, Procspawn, Futures, IpcChannel, Loky, MpPool, Joblib]
            }
            Self::Map => &[Polypool, MpPool, PolypoolMulti, IpcChannel, Procspawn, Futures, Loky, Joblib],
            Self::Echo1 | Self::Echo64 => {
                &[Polypool, Memcpy4, PolypoolMulti, Memcpy, IpcChannel, Procspawn, Futures, Loky, MpPool]
            }
            Self::Start => {
                &[Polypool, PosixSpawn, PolypoolMulti, IpcChannel, Procspawn, Futures, Loky, MpPool]
            }
            Self::StartHeavy => &[Polypool, PosixSpawn, PolypoolMulti, Procspawn, Futures, Loky, MpPool],
            Self::Kill => &[Polypool, PosixSpawn, PolypoolMulti, Procspawn, Futures, Loky, MpPool, Joblib],
            Self::Skew => &[Polypool, PolypoolMulti, Procspawn, Futures, Loky, MpPool, Joblib],
            Self::Descriptors => &[Polypool, PolypoolMulti, IpcChannel, Procspawn, Futures, Loky, MpPool],
        }
    }

    /// Where it is measured.
    pub(crate) fn places(self) -> &'static [Place] {
        match self {
            // Where the two processes are decides all; the scheduler would put them together or apart.
            Self::RoundTrip | Self::Echo1 | Self::Echo64 => &[Place::One, Place::Apart],
            // Neither depends on where processes run, and one CPU is quieter.
            Self::StartHeavy | Self::Descriptors => &[Place::One],
            // With one CPU nobody is ever idle.
            Self::Skew => &[Place::Two],
            _ => &[Place::One, Place::Two],
        }
    }
}

/// How much of everything; of what is slow, less.
struct Sizes {
    round_trips: usize,
    tasks: usize,
    items: usize,
    /// Of throughput; the median counts.
    repetitions: usize,
    /// Bytes that are sent in all.
    echoed: usize,
    starts: usize,
    ballast: usize,
    kills: usize,
    skewed: usize,
}

impl Sizes {
    fn new(quick: bool, peer: PeerId) -> Self {
        let slow = peer == PeerId::Procspawn;
        let all = Self {
            round_trips: if slow { 2_000 } else { 8_000 },
            // What procspawn has queued is bounded by descriptors.
            tasks: if slow { 1_000 } else { 100_000 },
            items: if slow { 100_000 } else { 500_000 },
            repetitions: 3,
            echoed: 512 << 20,
            starts: 15,
            ballast: 2 << 30,
            kills: 7,
            skewed: 2_000,
        };
        if !quick {
            return all;
        }
        let (repetitions, ballast, echoed) = (1, 64 << 20, 64 << 20);
        let (round_trips, tasks, items) = (all.round_trips / 10, all.tasks / 10, all.items / 10);
        Self { round_trips, tasks, items, repetitions, echoed, starts: 1, ballast, kills: 1, skewed: 200 }
    }
}

/// Takes the figures of a peer that is written in Rust.
pub(crate) fn measure(scenario: Scenario, peer: PeerId, place: Place, quick: bool) -> Figures {
    use PeerId::{IpcChannel, Memcpy, Memcpy4, PosixSpawn, Procspawn as Proc, Socketpair};

    let sizes = Sizes::new(quick, peer);
    match (scenario, peer) {
        (Scenario::RoundTrip, Socketpair) => ping_pong(place, &sizes),
        (Scenario::RoundTrip, IpcChannel) => round_trip(&Ipc::new(1, false), place, &sizes),
        (Scenario::RoundTrip, Proc) => round_trip(&Procspawn::new(1), place, &sizes),
        (Scenario::RoundTrip, _) => round_trip(&Polypool::new(peer, 1), place, &sizes),
        (Scenario::AtOnce, IpcChannel) => at_once(&Ipc::new(2, true), &sizes),
        (Scenario::AtOnce, Proc) => at_once(&Procspawn::new(2), &sizes),
        (Scenario::AtOnce, _) => at_once(&Polypool::new(peer, 2), &sizes),
        (Scenario::Window, IpcChannel) => window(&Ipc::new(2, false), &sizes),
        (Scenario::Window, Proc) => window(&Procspawn::new(2), &sizes),
        (Scenario::Window, _) => window(&Polypool::new(peer, 2), &sizes),
        (Scenario::Map, IpcChannel) => map_ipc(&sizes),
        (Scenario::Map, Proc) => map_procspawn(&sizes),
        (Scenario::Map, _) => map_polypool(&Polypool::new(peer, 2), &sizes),
        (Scenario::Echo1 | Scenario::Echo64, _) => {
            let bytes = if scenario == Scenario::Echo1 { 1 << 20 } else { 64 << 20 };
            match peer {
                Memcpy => copies(bytes, 1, &sizes),
                Memcpy4 => copies(bytes, 4, &sizes),
                IpcChannel => echo_ipc(bytes, place, &sizes),
                Proc => echo_procspawn(bytes, place, &sizes),
                _ => echo_polypool(&Polypool::new(peer, 1), bytes, place, &sizes),
            }
        }
        (Scenario::Start, _) => start(&mut starter(peer), &sizes),
        (Scenario::StartHeavy, _) => start_heavy(&mut starter(peer), &sizes),
        (Scenario::Kill, PosixSpawn) => kill_raw(&sizes),
        (Scenario::Kill, Proc) => kill_procspawn(&sizes),
        (Scenario::Kill, _) => kill_polypool(peer, &sizes),
        (Scenario::Skew, Proc) => skew_procspawn(&sizes),
        (Scenario::Skew, _) => skew_polypool(&Polypool::new(peer, 2), &sizes),
        (Scenario::Descriptors, IpcChannel) => descriptors(&Ipc::new(2, true), 10_000),
        (Scenario::Descriptors, Proc) => descriptors(&Procspawn::new(2), 1_000),
        (Scenario::Descriptors, _) => descriptors(&Polypool::new(peer, 2), 10_000),
    }
}

// ---- round trip

fn median_and_p99(mut took: Vec<Duration>) -> Figures {
    took.sort_unstable();
    let at = |part: usize| nanoseconds(took[took.len() * part / 100]);
    vec![("median", at(50)), ("p99", at(99))]
}

fn round_trip<P: Peer>(peer: &P, place: Place, sizes: &Sizes) -> Figures {
    apart::part(place);
    peer.block_on(async {
        let mut took = Vec::with_capacity(sizes.round_trips);
        for i in 0..sizes.round_trips as u64 * 11 / 10 {
            let start = Instant::now();
            let value = peer.submit(i).await;
            took.push(start.elapsed());
            assert_eq!(value, i);
        }
        median_and_p99(took.split_off(sizes.round_trips / 10))
    })
}

fn ping_pong(place: Place, sizes: &Sizes) -> Figures {
    let mut raw = Raw::pong();
    apart::part(place);
    let mut took = Vec::with_capacity(sizes.round_trips);
    for i in 0..sizes.round_trips as u64 * 11 / 10 {
        let start = Instant::now();
        let value = raw.ping(i);
        took.push(start.elapsed());
        assert_eq!(value, i);
    }
    raw.end();
    median_and_p99(took.split_off(sizes.round_trips / 10))
}

// ---- throughput

/// Repeats a measurement after a short one to warm up, and gives the median of its results.
fn repeat(n: usize, sizes: &Sizes, mut once: impl FnMut(usize) -> f64) -> f64 {
    once(n / 10);
    median((0..sizes.repetitions).map(|_| once(n)).collect())
}

fn at_once<P: Peer>(peer: &P, sizes: &Sizes) -> Figures {
    let mut submits = Vec::new();
    let rate = repeat(sizes.tasks, sizes, |n| {
        peer.block_on(async {
            let start = Instant::now();
            let tasks: Vec<P::Task> = (0..n as u64).map(|i| peer.submit(i)).collect();
            submits.push(nanoseconds(start.elapsed()) / n as f64);
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await, i as u64);
            }
            n as f64 / start.elapsed().as_secs_f64()
        })
    });
    vec![("tasks", rate), ("submit", median(submits.split_off(1)))]
}

fn window<P: Peer>(peer: &P, sizes: &Sizes) -> Figures {
    const WINDOW: usize = 64;
    let rate = repeat(sizes.tasks, sizes, |n| {
        peer.block_on(async {
            let start = Instant::now();
            let mut tasks: VecDeque<P::Task> = (0..WINDOW.min(n) as u64).map(|i| peer.submit(i)).collect();
            let mut i = 0;
            while let Some(front) = tasks.pop_front() {
                assert_eq!(front.await, i as u64);
                i += 1;
                if i + WINDOW <= n {
                    tasks.push_back(peer.submit((i + WINDOW - 1) as u64));
                }
            }
            n as f64 / start.elapsed().as_secs_f64()
        })
    });
    vec![("tasks", rate)]
}

// ---- map

const CHUNK: usize = 1_000;

fn map(sizes: &Sizes, mut mapped: impl FnMut(Vec<u64>) -> Vec<u64>) -> f64 {
    repeat(sizes.items, sizes, |n| {
        let inputs: Vec<u64> = (0..n as u64).collect();
        let expected = inputs.clone();
        let start = Instant::now();
        let results = mapped(inputs);
        let each = nanoseconds(start.elapsed()) / n as f64;
        assert!(results == expected, "the results are others, or in another order");
        each
    })
}

fn map_polypool(peer: &Polypool, sizes: &Sizes) -> Figures {
    let executor = &peer.executor;
    let whole = async |inputs| executor.map(work::trifle, inputs).chunk_size(CHUNK).try_collect().await;
    let by_1000 =
        map(sizes, |inputs: Vec<u64>| peer.block_on(whole(inputs)).expect("a trifle does not fail"));
    let whole = async |inputs| executor.map(work::trifle, inputs).try_collect().await;
    let as_it_is =
        map(sizes, |inputs: Vec<u64>| peer.block_on(whole(inputs)).expect("a trifle does not fail"));
    vec![("by 1000", by_1000), ("as it is", as_it_is)]
}

fn map_procspawn(sizes: &Sizes) -> Figures {
    let pool = Procspawn::new(2).pool;
    let by_1000 = map(sizes, |inputs| {
        let chunks = inputs.chunks(CHUNK).map(|chunk| pool.spawn(chunk.to_vec(), work::trifles));
        let chunks: Vec<_> = chunks.collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().expect("a trifle does not fail")).collect()
    });
    vec![("by 1000", by_1000)]
}

fn map_ipc(sizes: &Sizes) -> Figures {
    let ipc = Ipc::new(2, true);
    let by_1000 = map(sizes, |inputs| {
        let chunks: Vec<_> =
            inputs.chunks(CHUNK).map(|chunk| ipc.call(Call::Chunk(chunk.to_vec()))).collect();
        let results = chunks.into_iter().flat_map(|replies| match replies.take() {
            Reply::Chunk(chunk) => chunk,
            _ => panic!("another reply than was asked for"),
        });
        results.collect()
    });
    vec![("by 1000", by_1000)]
}

// ---- echo

/// What comes back is sent again, so that all buffers are warm.
fn echoes<T>(bytes: usize, sizes: &Sizes, first: T, mut echo: impl FnMut(T) -> T) -> (T, Figures) {
    let n = (sizes.echoed / bytes).min(200);
    let mut data = first;
    for _ in 0..(n / 5).max(2) {
        data = echo(data);
    }
    let mut took = Vec::with_capacity(n);
    for _ in 0..n {
        let start = Instant::now();
        data = echo(data);
        took.push(nanoseconds(start.elapsed()));
    }
    (data, vec![("echo", median(took))])
}

/// Bytes that are not all the same, so that a mistake shows.
fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

fn copies(bytes: usize, n: usize, sizes: &Sizes) -> Figures {
    let mut other = vec![1; bytes];
    let (_, figures) = echoes(bytes, sizes, data(bytes), |mut data: Vec<u8>| {
        for copy in 0..n {
            let (from, to) = if copy % 2 == 0 { (&data, &mut other) } else { (&other, &mut data) };
            to.copy_from_slice(black_box(from));
            black_box(to);
        }
        data
    });
    figures
}

fn echo_polypool(peer: &Polypool, bytes: usize, place: Place, sizes: &Sizes) -> Figures {
    apart::part(place);
    let echo = async |data| peer.executor.submit(work::echo, data).await;
    let (last, figures) = echoes(bytes, sizes, data(bytes), |data: Vec<u8>| {
        peer.block_on(echo(data)).expect("an echo does not fail")
    });
    assert!(last == data(bytes), "the bytes are others");
    figures
}

fn echo_procspawn(bytes: usize, place: Place, sizes: &Sizes) -> Figures {
    let pool = Procspawn::new(1).pool;
    apart::part(place);
    let (last, figures) = echoes(bytes, sizes, ByteBuf::from(data(bytes)), |data: ByteBuf| {
        pool.spawn(data, work::echo_bytes).join().expect("an echo does not fail")
    });
    assert!(last == data(bytes), "the bytes are others");
    figures
}

fn echo_ipc(bytes: usize, place: Place, sizes: &Sizes) -> Figures {
    let ipc = Ipc::new(1, false);
    apart::part(place);
    let (last, figures) = echoes(bytes, sizes, data(bytes), |mut data: Vec<u8>| {
        let replies = ipc.call(Call::Echo(IpcSharedMemory::from_bytes(&data)));
        let Reply::Echo(echo) = replies.take() else { panic!("another reply than was asked for") };
        data.copy_from_slice(&echo);
        data
    });
    assert!(last == data(bytes), "the bytes are others");
    figures
}

// ---- start

/// Starts so many workers, waits until each has answered, and ends them; gives how long it took until they had answered.
type Starter = Box<dyn FnMut(usize) -> Duration>;

fn starter(peer: PeerId) -> Starter {
    match peer {
        PeerId::PosixSpawn => Box::new(|workers| {
            let start = Instant::now();
            let mut started: Vec<Raw> = (0..workers).map(|_| Raw::hello()).collect();
            assert!(started.iter_mut().all(Raw::answers), "a process ended early");
            let took = start.elapsed();
            started.into_iter().for_each(Raw::end);
            took
        }),
        PeerId::IpcChannel => Box::new(|workers| {
            let start = Instant::now();
            let started = IpcWorker::start(workers);
            started.iter().for_each(|worker| worker.send(Call::One(1)));
            assert!(started.iter().all(|worker| matches!(worker.reply(), Reply::One(1))));
            let took = start.elapsed();
            started.into_iter().for_each(IpcWorker::end);
            took
        }),
        PeerId::Procspawn => Box::new(|workers| {
            let start = Instant::now();
            let pool = procspawn::Pool::new(workers).expect("processes can be started");
            let mut answered: Vec<u32> = Vec::new();
            while answered.len() < workers {
                let tasks: Vec<_> = (0..workers).map(|_| pool.spawn((), work::process)).collect();
                answered.extend(tasks.into_iter().map(|task| task.join().expect("a number is no problem")));
                answered.sort_unstable();
                answered.dedup();
            }
            let took = start.elapsed();
            pool.shutdown();
            took
        }),
        _ => {
            let runtime = Polypool::runtime(peer);
            Box::new(move |workers| {
                runtime.block_on(async {
                    let start = Instant::now();
                    let executor = Polypool::build(peer, workers, &runtime);
                    let answers = executor.run_on_all(work::process, ()).await;
                    let took = start.elapsed();
                    let answers: Result<BTreeSet<u32>, _> = answers.into_iter().collect();
                    assert_eq!(answers.expect("a number is no problem").len(), workers);
                    executor.shutdown(CancellationPolicy::ALL).await;
                    took
                })
            })
        }
    }
}

fn start(starter: &mut Starter, sizes: &Sizes) -> Figures {
    let first = nanoseconds(starter(2));
    let mut usual = |workers| median((0..sizes.starts).map(|_| nanoseconds(starter(workers))).collect());
    vec![("2 workers, first", first), ("2 workers", usual(2)), ("8 workers", usual(8))]
}

fn start_heavy(starter: &mut Starter, sizes: &Sizes) -> Figures {
    starter(2);
    let mut usual = || median((0..sizes.starts).map(|_| nanoseconds(starter(2))).collect());
    let light = usual();
    let ballast = black_box(vec![1_u8; sizes.ballast]);
    let heavy = usual();
    drop(black_box(ballast));
    vec![("light", light), ("heavy", heavy), ("heavy/light", heavy / light)]
}

// ---- kill

/// Longer than any bench; whoever sleeps so long is killed.
const FOR_EVER: u64 = 100_000;
/// In this time a worker is surely in its task.
const SETTLES: Duration = Duration::from_millis(2);
const INNOCENTS: u64 = 100;

fn kill_figures(error: Vec<f64>, next: Vec<f64>, lost: usize) -> Figures {
    let lost = lost as f64 / error.len() as f64;
    vec![("error", median(error)), ("next", median(next)), ("innocents lost", lost)]
}

fn kill_polypool(peer: PeerId, sizes: &Sizes) -> Figures {
    let (mut error, mut next, mut lost) = (Vec::new(), Vec::new(), 0);
    let one = Polypool::new(peer, 1);
    for i in 0..sizes.kills as u64 {
        one.block_on(async {
            let victim = one.executor.submit(work::sleep, FOR_EVER);
            let process = process_of(&one.executor, &victim).await;
            let queued = one.executor.submit(work::trifle, i);
            let start = Instant::now();
            apart::kill(process);
            let ended = victim.await;
            error.push(nanoseconds(start.elapsed()));
            assert!(ended.is_err_and(|error| error.is_worker_lost()), "who was killed is lost");
            lost += usize::from(queued.await.is_err());
            next.push(nanoseconds(start.elapsed()));
        });
    }
    let two = Polypool::new(peer, 2);
    for _ in 0..sizes.kills {
        lost += two.block_on(async {
            let victim = two.executor.submit(work::sleep, FOR_EVER);
            let process = process_of(&two.executor, &victim).await;
            let mut innocents = vec![two.executor.submit(work::sleep, 10)];
            innocents.extend((0..INNOCENTS).map(|n| two.executor.submit(work::trifle, n)));
            tokio::time::sleep(SETTLES).await;
            apart::kill(process);
            assert!(victim.await.is_err());
            let mut lost = 0;
            for innocent in innocents {
                lost += usize::from(innocent.await.is_err());
            }
            lost
        });
    }
    kill_figures(error, next, lost)
}

/// Waits until the task runs, and a moment longer.
async fn process_of(executor: &Executor, task: &TaskHandle<u64>) -> u32 {
    loop {
        tokio::time::sleep(SETTLES).await;
        let worker = executor.workers().into_iter().find(|worker| worker.task == Some(task.id()));
        if let Some(process) = worker.and_then(|worker| worker.pid) {
            return process;
        }
    }
}

/// The next result is that of a process that is started when the end of the first is seen.
fn kill_raw(sizes: &Sizes) -> Figures {
    let (mut error, mut next) = (Vec::new(), Vec::new());
    for _ in 0..sizes.kills {
        let mut raw = Raw::hello();
        assert!(raw.answers());
        thread::sleep(SETTLES);
        let start = Instant::now();
        apart::kill(raw.process.id());
        assert!(!raw.answers());
        error.push(nanoseconds(start.elapsed()));
        let mut other = Raw::hello();
        assert!(other.answers());
        next.push(nanoseconds(start.elapsed()));
        raw.end();
        other.end();
    }
    kill_figures(error, next, 0)
}

fn kill_procspawn(sizes: &Sizes) -> Figures {
    let (mut error, mut next, mut lost) = (Vec::new(), Vec::new(), 0);
    let one = Procspawn::new(1).pool;
    for i in 0..sizes.kills as u64 {
        let victim = one.spawn(FOR_EVER, work::sleep);
        let queued = one.spawn(i, work::trifle);
        thread::sleep(10 * SETTLES);
        let start = Instant::now();
        apart::children().into_iter().for_each(apart::kill);
        assert!(victim.join().is_err(), "who was killed is lost");
        error.push(nanoseconds(start.elapsed()));
        lost += usize::from(queued.join().is_err());
        next.push(nanoseconds(start.elapsed()));
    }
    one.shutdown();
    let two = Procspawn::new(2).pool;
    for _ in 0..sizes.kills {
        let process = two.spawn((), work::process).join().expect("a number is no problem");
        let mut tasks = vec![two.spawn(50, work::sleep), two.spawn(50, work::sleep)];
        tasks.extend((0..INNOCENTS).map(|n| two.spawn(n, work::trifle)));
        thread::sleep(10 * SETTLES);
        apart::kill(process);
        // One of them was killed by right.
        lost += tasks.into_iter().filter_map(|task| task.join().err()).count() - 1;
    }
    kill_figures(error, next, lost)
}

// ---- skew

fn skew(sizes: &Sizes, run: impl FnOnce(Vec<u64>)) -> f64 {
    let durations = work::skewed(sizes.skewed);
    let ideal = work::ideal_seconds(&durations, 2);
    let start = Instant::now();
    run(durations);
    start.elapsed().as_secs_f64() / ideal
}

fn skew_polypool(peer: &Polypool, sizes: &Sizes) -> Figures {
    let executor = &peer.executor;
    let each = skew(sizes, |durations| {
        peer.block_on(async {
            let tasks: Vec<_> = durations.into_iter().map(|n| executor.submit(work::busy, n)).collect();
            for task in tasks {
                task.await.expect("being busy does not fail");
            }
        });
    });
    let map = skew(sizes, |durations| {
        let n = durations.len();
        let all = async { executor.map(work::busy, durations).try_collect::<Vec<u64>>().await };
        assert_eq!(peer.block_on(all).expect("being busy does not fail").len(), n);
    });
    vec![("each", each), ("map", map)]
}

fn skew_procspawn(sizes: &Sizes) -> Figures {
    let pool = Procspawn::new(2).pool;
    let each = skew(sizes, |durations| {
        let tasks: Vec<_> = durations.into_iter().map(|n| pool.spawn(n, work::busy)).collect();
        for task in tasks {
            task.join().expect("being busy does not fail");
        }
    });
    vec![("each", each)]
}

// ---- descriptors

fn descriptors<P: Peer>(peer: &P, n: u64) -> Figures {
    peer.block_on(async {
        let before = apart::descriptors();
        let tasks: Vec<P::Task> = (0..n).map(|i| peer.submit(i)).collect();
        let queued = apart::descriptors();
        for task in tasks {
            task.await;
        }
        vec![("a task", (queued as f64 - before as f64) / n as f64)]
    })
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}
