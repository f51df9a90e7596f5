//! What concerns scattered data in worker processes alone: that it is sent and decoded once, freed everywhere, and there whatever
//! becomes of the workers. What every backend must do is in `tests/conformance`.
//!
//! One file, and a long one: the tests look at what their process has open, so they take turns, and share what does that.

#![cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
#![allow(
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test binary has no outside, and a panic is how it fails"
)]

polypool::worker_main!();

#[path = "conformance/gate.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod gate;
#[macro_use]
#[path = "processes/ground.rs"]
#[allow(dead_code, unused_macros, reason = "the tests of the backend use the rest")]
mod ground;
#[path = "processes/proc.rs"]
#[allow(dead_code, reason = "the tests of the backend use the rest")]
mod proc;
#[path = "processes/tasks.rs"]
#[allow(dead_code, reason = "the tests of the backend use the rest")]
mod tasks;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use polypool::{
    Executor, Processes, Scattered, SharedSlice, StartMethod, TaskError, TaskOptions, Transport, process,
    worker,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::gate::Gate;
use crate::ground::{builder, goes_on, pids, pool, pool_of, run};
use crate::tasks::double;

/// The tests here look at the descriptors of this process, and so go one by one.
fn alone<T>(test: impl Future<Output = T>) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let result = run(test);
    proc::soon("everything is freed here", || placed() == 0);
    result
}

/// How much scattered data this process has open, and how much mapped.
fn placed() -> usize {
    let is_ours = |link: &String| link.contains("polypool-scattered");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| line.contains("polypool-scattered")).count();
    proc::descriptors().iter().filter(|link| is_ours(link)).count().max(mapped)
}

fn placed_there((): ()) -> usize {
    placed()
}

/// Waits until no worker has anything.
async fn is_free(pool: &Executor) {
    loop {
        let there = pool.run_on_all(placed_there, ()).await;
        if there.into_iter().map(Result::unwrap).sum::<usize>() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

static DECODED: AtomicU64 = AtomicU64::new(0);

/// Counts how often it is decoded in a process.
#[derive(Debug, Serialize)]
struct Counting(u64);

impl<'de> Deserialize<'de> for Counting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Ordering::SeqCst);
        u64::deserialize(deserializer).map(Self)
    }
}

type Seen = (u32, usize, u64, u64);

fn see((counting, n): (Scattered<Counting>, u64)) -> Seen {
    (std::process::id(), placed(), DECODED.load(Ordering::SeqCst), counting.0 + n)
}

#[test]
fn a_value_is_sent_and_decoded_once_per_worker() {
    for transport in [Transport::SharedMemory, Transport::Socket] {
        alone(async {
            let pool = pool_of(Processes::new().transport(transport), 3);
            let value = pool.scatter(Counting(7)).await.unwrap();
            let tasks: Vec<_> = (0..1_000).map(|n| pool.submit(see, (value.clone(), n))).collect();
            let mapped = pool.map(
                see,
                (1_000..2_000).map({
                    let value = value.clone();
                    move |n| (value.clone(), n)
                }),
            );
            let mut seen: Vec<Seen> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
            seen.extend(mapped.try_collect::<Vec<_>>().await.unwrap());
            for (n, (pid, there, decoded, sum)) in (0..).zip(seen) {
                assert_eq!((pid != std::process::id(), there, decoded, sum), (true, 1, 1, 7 + n));
            }
            assert_eq!(placed(), 1);
            drop(value);
            is_free(&pool).await;
        });
    }
}

#[test]
fn a_slice_is_mapped_and_not_copied() {
    alone(async {
        let pool = pool(2);
        let slice = pool.scatter_slice(vec![3_u64; 1 << 20]).await.unwrap();
        let is_mapped = |slice: SharedSlice<u64>| {
            let at = slice.as_ptr() as usize;
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let line = maps.lines().find(|line| line.contains("polypool-scattered")).unwrap().to_owned();
            let (from, _) = line.split_once('-').unwrap();
            (
                usize::from_str_radix(from, 16) == Ok(at) && line.contains("r--p"),
                slice[1 << 19],
                slice.clone(),
            )
        };
        for result in pool.run_on_all(is_mapped, slice.clone()).await {
            let (is_mapped, value, back) = result.unwrap();
            assert!(is_mapped && value == 3 && back.as_ptr() == slice.as_ptr());
        }
        drop(slice);
        is_free(&pool).await;
    });
}

#[test]
fn a_worker_in_the_place_of_another_has_it_too() {
    alone(async {
        let pool = pool(1);
        let value = pool.scatter(Counting(7)).await.unwrap();
        let (first, ..) = pool.submit(see, (value.clone(), 0)).await.unwrap();
        proc::kill(first, rustix::process::Signal::KILL);
        let (second, there, decoded, sum) = loop {
            // What was sent before the death was seen is lost.
            match pool.submit(see, (value.clone(), 1)).await {
                Err(TaskError::WorkerLost(_)) => {}
                seen => break seen.unwrap(),
            }
        };
        assert!(first != second);
        assert_eq!((there, decoded, sum), (1, 1, 8));
        pool.resize(3).unwrap();
        for seen in pool.run_on_all(see, (value.clone(), 2)).await {
            assert_eq!(seen.unwrap().3, 9);
        }
    });
}

/// Ends its process where it is decoded, as long as the gate has seen nobody.
#[derive(Debug, Serialize)]
struct Deadly(Gate);

impl<'de> Deserialize<'de> for Deadly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let gate = Gate::deserialize(deserializer)?;
        if gate.arrive() == 0 {
            std::process::abort();
        }
        Ok(Self(gate))
    }
}

#[test]
fn a_worker_that_dies_while_it_decodes_costs_one_attempt() {
    alone(async {
        let (pool, gate) = (pool(1), Gate::new());
        let value = pool.scatter(Deadly(gate)).await.unwrap();
        let arrived = |value: Scattered<Deadly>| value.0.arrived();
        let task = pool.submit_with(TaskOptions::new().retries(1), arrived, value.clone());
        assert_eq!(task.await.unwrap(), 2);
        assert_eq!(pool.submit(arrived, value).await.unwrap(), 2);
        gate.remove();
        goes_on(&pool).await;
    });
}

/// Is encoded as the one and decoded as the other.
#[derive(Debug)]
enum Changeling<A, B> {
    Is(A),
    Was(B),
}

impl<A: Serialize, B> Serialize for Changeling<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Is(is) => is.serialize(serializer),
            Self::Was(_) => Err(serde::ser::Error::custom("it was")),
        }
    }
}

impl<'de, A, B: Deserialize<'de>> Deserialize<'de> for Changeling<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        B::deserialize(deserializer).map(Self::Was)
    }
}

fn reason<R: std::fmt::Debug>(result: Result<R, TaskError>) -> String {
    match result {
        Err(TaskError::Decode(why)) => why,
        other => panic!("{other:?} is no decode error"),
    }
}

#[test]
fn what_is_of_another_type_is_refused() {
    alone(async {
        let pool = pool(1);
        let value = pool.scatter(5_u32).await.unwrap();
        let as_text =
            |value: Changeling<Scattered<u32>, Scattered<String>>| matches!(value, Changeling::Was(_));
        let why = reason(pool.submit(as_text, Changeling::Is(value.clone())).await);
        assert!(why.contains("a value of type `u32`") && why.contains("`alloc::string::String`"), "{why}");
        let as_slice =
            |value: Changeling<Scattered<u32>, SharedSlice<u32>>| matches!(value, Changeling::Was(_));
        reason(pool.submit(as_slice, Changeling::Is(value)).await);
        let slice = pool.scatter_slice(vec![1_u32, 2, 3]).await.unwrap();
        let as_longer =
            |slice: Changeling<SharedSlice<u32>, SharedSlice<u64>>| matches!(slice, Changeling::Was(_));
        let why = reason(pool.submit(as_longer, Changeling::Is(slice.clone())).await);
        assert!(why.contains("a slice of `u32`") && why.contains("a slice of `u64`"), "{why}");
        goes_on(&pool).await;
    });
}

/// What a handle is encoded as, without naming it.
fn smuggled<T>(handle: &Scattered<T>) -> serde_bytes::ByteBuf {
    let text = format!("{handle:?}");
    let (_, id) = text.trim_end_matches(')').rsplit_once('(').unwrap();
    let (origin, serial) = id.split_once('-').unwrap();
    bytes_of(u64::from_str_radix(origin, 16).unwrap(), serial.parse().unwrap())
}

fn bytes_of(origin: u64, serial: u64) -> serde_bytes::ByteBuf {
    serde_bytes::ByteBuf::from([serial.to_le_bytes(), origin.to_le_bytes()].concat())
}

type Smuggled = Changeling<serde_bytes::ByteBuf, Scattered<u32>>;

fn unwrap(value: Smuggled) -> u32 {
    match value {
        Changeling::Was(value) => *value,
        Changeling::Is(_) => 0,
    }
}

#[test]
fn what_was_not_named_is_there_only_as_long_as_it_is() {
    alone(async {
        let pool = pool(2);
        let value = pool.scatter(5_u32).await.unwrap();
        let bytes = smuggled(&value);
        // The worker asks for it.
        assert_eq!(pool.submit(unwrap, Smuggled::Is(bytes.clone())).await.unwrap(), 5);
        drop(value);
        is_free(&pool).await;
        let tasks: Vec<_> = (0..10).map(|_| pool.submit(unwrap, Smuggled::Is(bytes.clone()))).collect();
        for result in join_all(tasks).await {
            let why = reason(result);
            assert!(why.contains("not there any more") && why.contains("keep a handle"), "{why}");
        }
        let out = |(): ()| Smuggled::Is(bytes_of(1, 2));
        assert!(reason(pool.submit(out, ()).await).contains("not there any more"));
        goes_on(&pool).await;
    });
}

static KEPT: OnceLock<(Scattered<Counting>, SharedSlice<u8>)> = OnceLock::new();

#[test]
fn what_a_worker_keeps_in_a_static_stays_there() {
    alone(async {
        let pool = pool(1);
        let value = pool.scatter(Counting(3)).await.unwrap();
        let slice = pool.scatter_slice(b"bytes".to_vec()).await.unwrap();
        pool.submit(|kept| KEPT.set(kept).is_ok(), (value, slice)).await.unwrap();
        proc::soon("nobody has it here", || placed() == 0);
        let kept = |()| KEPT.get().map(|(value, slice)| (value.0, slice.to_vec()));
        assert_eq!(pool.submit(kept, ()).await.unwrap(), Some((3, b"bytes".to_vec())));
        for _ in 0..20 {
            let out = |()| KEPT.get().map(|(value, slice)| (value.clone(), slice.clone()));
            let (value, slice) = pool.submit(out, ()).await.unwrap().unwrap();
            assert_eq!((value.0, &slice[..]), (3, &b"bytes"[..]));
            // And there again.
            let sum = |(value, slice): (Scattered<Counting>, SharedSlice<u8>)| value.0 + slice.len() as u64;
            assert_eq!(pool.submit(sum, (value, slice)).await.unwrap(), 8);
        }
    });
}

#[test]
fn every_start_method_and_every_way() {
    let methods = [
        StartMethod::Loky,
        StartMethod::LokyInitMain,
        StartMethod::Spawn,
        StartMethod::ForkServer,
        StartMethod::Fork,
    ];
    for method in methods {
        for transport in [Transport::SharedMemory, Transport::Socket] {
            if method == StartMethod::LokyInitMain {
                // This program has no `init` in its `main`.
                continue;
            }
            alone(async {
                let pool = pool_of(Processes::new().start_method(method).transport(transport), 2);
                let value = pool.scatter(vec![1_u64, 2, 3]).await.unwrap();
                let slice = pool.scatter_slice(vec![1_u8; 100_000]).await.unwrap();
                let both = |(value, slice): (Scattered<Vec<u64>>, SharedSlice<u8>)| {
                    let sum = value.iter().sum::<u64>() + slice.iter().map(|n| u64::from(*n)).sum::<u64>();
                    (sum, slice, SharedSlice::from(vec![sum; 3]))
                };
                for result in pool.run_on_all(both, (value, slice)).await {
                    let (sum, slice, made) = result.unwrap();
                    assert_eq!(
                        (sum, slice.len(), &made[..]),
                        (100_006, 100_000, &[100_006; 3][..]),
                        "{method}"
                    );
                }
                pool.shutdown(true).await;
            });
        }
    }
}

static LOADED: OnceLock<(Scattered<Vec<u64>>, SharedSlice<u8>)> = OnceLock::new();

#[test]
fn a_preload_and_an_initializer_are_given_some() {
    alone(async {
        let scattering = pool(1);
        let inner = scattering.scatter(vec![5_u64; 10]).await.unwrap();
        let outer = scattering.scatter((inner, 1)).await.unwrap();
        let slice = scattering.scatter_slice(vec![2_u8; 50_000]).await.unwrap();
        drop(scattering);
        type Outer = Scattered<(Scattered<Vec<u64>>, i32)>;
        let load = |(outer, slice): (Outer, SharedSlice<u8>)| drop(LOADED.set((outer.0.clone(), slice)));
        let keep = |slice: SharedSlice<u8>| drop(worker::set_state(slice));
        let backend =
            Processes::new().start_method(StartMethod::ForkServer).preload(load, (outer, slice.clone()));
        let pool = builder(backend, 2).initializer(keep, slice.clone()).build().unwrap();
        let loaded = |()| {
            let (value, slice) = LOADED.get().unwrap();
            let state = worker::state::<SharedSlice<u8>>().unwrap();
            (value.iter().sum::<u64>(), slice.len(), state[1], slice.clone(), value.clone())
        };
        for result in pool.run_on_all(loaded, ()).await {
            let (sum, len, state, back, value) = result.unwrap();
            assert_eq!((sum, len, state, value.len()), (50, 50_000, 2, 10));
            assert_eq!(back.as_ptr(), slice.as_ptr());
        }
        pool.shutdown(true).await;
    });
}

#[test]
fn pools_within_workers_pass_it_on() {
    alone(async {
        let outer = pool(2);
        let value = outer.scatter(Counting(9)).await.unwrap();
        let slice = outer.scatter_slice(vec![4_u16; 5_000]).await.unwrap();
        let inside = |(value, slice): (Scattered<Counting>, SharedSlice<u16>)| {
            let pool = pool(2);
            let both = |(value, slice): (Scattered<Counting>, SharedSlice<u16>)| {
                (value.0 + u64::from(slice[4_999]), slice, SharedSlice::from(vec![std::process::id()]))
            };
            let tasks: Vec<_> = (0..10).map(|_| pool.submit(both, (value.clone(), slice.clone()))).collect();
            tasks.into_iter().map(|task| task.blocking_join().unwrap()).collect::<Vec<_>>()
        };
        let own = pids(&outer).await;
        for (sum, back, pid) in outer.submit(inside, (value, slice.clone())).await.unwrap() {
            assert_eq!((sum, back.as_ptr()), (13, slice.as_ptr()));
            assert!(!own.contains(&pid[0]));
        }
        drop(slice);
        is_free(&outer).await;
    });
}

#[test]
fn a_process_of_its_own_is_given_some() {
    alone(async {
        let value = Executor::serial().scatter(vec![1_u8; 10]).await.unwrap();
        let f = |value: Scattered<Vec<u8>>| SharedSlice::from(vec![value.len(); 2]);
        let mut process = process::context(None).spawn(f, value).unwrap();
        assert_eq!(process.join().await.unwrap()[..], [10, 10]);
    });
}

#[test]
fn values_come_and_go_while_tasks_run() {
    alone(async {
        let pool = pool(3);
        let mut tasks = Vec::new();
        for round in 0..200_u64 {
            let value = pool.scatter(Counting(round)).await.unwrap();
            let slice = SharedSlice::from(vec![round; 10]);
            let add = |(value, slice, n): (Scattered<Counting>, SharedSlice<u64>, u64)| {
                (value.0 + slice[9] + n, (n % 3 == 0).then_some(value), slice)
            };
            tasks.extend((0..10).map(|n| (round, n, pool.submit(add, (value.clone(), slice.clone(), n)))));
            if round % 7 == 0 {
                for (round, n, task) in tasks.drain(..tasks.len() / 2) {
                    let (sum, value, slice) = task.await.unwrap();
                    assert_eq!(
                        (sum, value.map_or(round, |value| value.0), slice[0]),
                        (2 * round + n, round, round)
                    );
                }
            }
        }
        for (round, n, task) in tasks {
            assert_eq!(task.await.unwrap().0, 2 * round + n);
        }
        is_free(&pool).await;
    });
}

#[test]
fn results_of_a_chunk_whose_worker_dies_are_there() {
    for transport in [Transport::SharedMemory, Transport::Socket] {
        alone(async {
            let pool = pool_of(Processes::new().transport(transport), 1);
            let make = |n: u64| {
                if n == 5 {
                    std::process::abort();
                }
                SharedSlice::from(vec![n; 1_000])
            };
            let results: Vec<_> = pool.map(make, 0..10).chunk_size(10).collect().await;
            for (n, result) in (0..).zip(results) {
                match result {
                    Ok(slice) => assert!(n != 5 && slice[..] == [n; 1_000]),
                    Err(error) => assert!(n == 5 && error.is_worker_lost(), "{n}: {error}"),
                }
            }
        });
    }
}

#[test]
fn a_worker_that_reads_nothing_holds_nobody_up() {
    alone(async {
        let (pool, gate) = (pool(2), Gate::new());
        let pids = pids(&pool).await;
        // More than the socket takes.
        let values = join_all((0..1_500_u32).map(|n| pool.scatter(n))).await;
        let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
        let sum = |(gate, values): (Gate, Vec<Scattered<u32>>)| {
            gate.arrive();
            values.iter().map(|value| u64::from(**value)).sum::<u64>()
        };
        for pid in &pids {
            proc::kill(*pid, rustix::process::Signal::STOP);
        }
        let tasks: Vec<_> = (0..10).map(|_| pool.submit(sum, (gate, values.clone()))).collect();
        drop(values);
        assert_eq!((gate.arrived(), placed()), (0, 1_500));
        for pid in &pids {
            proc::kill(*pid, rustix::process::Signal::CONT);
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1_500 * 1_499 / 2);
        }
        is_free(&pool).await;
        gate.remove();
    });
}

#[test]
fn a_worker_without_descriptors_to_spare_says_so() {
    alone(async {
        let pool = pool(1);
        let limit = |_: ()| {
            let open = proc::descriptors().len() as u64;
            let limit = rustix::process::Rlimit { current: Some(open + 20), maximum: Some(open + 20) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).is_ok()
        };
        assert!(pool.submit(limit, ()).await.unwrap());
        let values = join_all((0..60_u32).map(|n| pool.scatter(n))).await;
        let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
        let results =
            join_all(values.iter().map(|value| pool.submit(|value: Scattered<u32>| *value, value.clone())));
        let results = results.await;
        let refused: Vec<_> = results.into_iter().filter(Result::is_err).map(reason).collect();
        assert!((30..60).contains(&refused.len()), "{}", refused.len());
        assert!(refused.iter().all(|why| why.contains("ulimit -n")), "{refused:?}");
        drop(values);
        goes_on(&pool).await;
    });
}

#[test]
fn no_bound_on_payloads_applies() {
    alone(async {
        let pool = pool_of(Processes::new().max_payload(1_000), 1);
        let slice = pool.scatter_slice(vec![1_u8; 1_000_000]).await.unwrap();
        let value = pool.scatter(vec![1_u32; 100_000]).await.unwrap();
        let back =
            |(slice, value): (SharedSlice<u8>, Scattered<Vec<u32>>)| (slice.len() + value.len(), slice);
        assert_eq!(pool.submit(back, (slice, value)).await.unwrap().0, 1_100_000);
    });
}

#[test]
fn a_huge_slice_takes_no_more_than_what_is_touched() {
    alone(async {
        let pool = pool(2);
        let huge = SharedSlice::filled(512 << 20, |bytes: &mut [u8]| bytes[300 << 20] = 7).unwrap();
        let look = |huge: SharedSlice<u8>| (huge.len(), huge[300 << 20], huge[0]);
        for result in pool.run_on_all(look, huge).await {
            assert_eq!(result.unwrap(), (512 << 20, 7, 0));
        }
        is_free(&pool).await;
    });
}

/// The memory of these processes and this one, in bytes; what several have is counted once.
fn memory_of(pids: &[u32]) -> u64 {
    let share = |pid: u32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    pids.iter().copied().chain([std::process::id()]).map(share).sum()
}

#[test]
fn a_hundred_megabytes_for_eight_workers_are_there_once() {
    const BYTES: usize = 100_000_000;
    for transport in [Transport::SharedMemory, Transport::Socket] {
        alone(async {
            let pool = pool_of(Processes::new().transport(transport), 8);
            let pids = pool.run_on_all(|()| std::process::id(), ()).await;
            let pids: Vec<u32> = pids.into_iter().map(Result::unwrap).collect();
            let before = memory_of(&pids);
            let over = std::sync::atomic::AtomicBool::new(false);
            let (slice, most) = std::thread::scope(|scope| {
                let watching = scope.spawn(|| {
                    let mut most = 0;
                    while !over.load(std::sync::atomic::Ordering::SeqCst) {
                        most = most.max(memory_of(&pids));
                    }
                    most
                });
                let slice = futures::executor::block_on(async {
                    let slice = pool.scatter_slice(vec![1_u8; BYTES]).await.unwrap();
                    let sum =
                        |slice: SharedSlice<u8>| slice.iter().step_by(4096).map(|n| u64::from(*n)).sum();
                    let sums: Vec<Result<u64, _>> = pool.run_on_all(sum, slice.clone()).await;
                    assert!(sums.into_iter().all(|sum| sum.unwrap() == BYTES.div_ceil(4096) as u64));
                    slice
                });
                let read_by_all = memory_of(&pids) - before;
                assert!(read_by_all < BYTES as u64 * 115 / 100, "{read_by_all} bytes when all have read it");
                over.store(true, std::sync::atomic::Ordering::SeqCst);
                (slice, watching.join().unwrap().saturating_sub(before))
            });
            // What was given and the one copy of it, for as long as that is made.
            assert!(most < BYTES as u64 * 215 / 100, "{most} bytes at the most");
            drop(slice);
            is_free(&pool).await;
        });
    }
}

/// Aligned wider than a page.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8192))]
struct Wide([u64; 1024]);

// SAFETY: numbers without gaps: the size is the alignment.
unsafe impl bytemuck::Zeroable for Wide {}
// SAFETY: as above.
unsafe impl polypool::Pod for Wide {}

#[test]
fn what_is_aligned_wider_than_a_page_is_refused() {
    alone(async {
        let pool = pool(1);
        let refused = |result: Result<SharedSlice<Wide>, TaskError>| match result {
            Err(TaskError::Encode(why)) => assert!(why.contains("aligned to 8192 bytes"), "{why}"),
            other => panic!("{other:?}"),
        };
        refused(pool.scatter_slice(vec![Wide([1; 1024])]).await);
        refused(SharedSlice::filled(1, |_| ()));
        let slice = SharedSlice::from(vec![Wide([1; 1024])]);
        assert_eq!(slice[0].0[1023], 1);
        refused(pool.submit(|slice: SharedSlice<Wide>| slice, slice).await);
    });
}

#[test]
fn a_value_within_which_there_are_a_thousand() {
    for transport in [Transport::SharedMemory, Transport::Socket] {
        alone(async {
            let pool = pool_of(Processes::new().transport(transport), 2);
            let inner = join_all((0..1_000_u32).map(|n| pool.scatter(n))).await;
            let inner: Vec<_> = inner.into_iter().map(Result::unwrap).collect();
            let outer = pool.scatter(inner).await.unwrap();
            let sum = |outer: Scattered<Vec<Scattered<u32>>>| {
                (outer.iter().map(|n| **n).sum::<u32>(), outer[7].clone(), outer)
            };
            for result in pool.run_on_all(sum, outer.clone()).await {
                let (sum, seven, back) = result.unwrap();
                assert_eq!((sum, *seven, back.len()), (499_500, 7, 1_000));
            }
            let scattered = |n: u32| {
                let pool = worker::executor().unwrap();
                let inner = (0..n).map(|n| futures::executor::block_on(pool.scatter(n)).unwrap());
                futures::executor::block_on(pool.scatter(inner.collect::<Vec<_>>())).unwrap()
            };
            let made = pool.submit(scattered, 100).await.unwrap();
            assert_eq!(made.iter().map(|n| **n).sum::<u32>(), 4_950);
            drop((outer, made));
            is_free(&pool).await;
        });
    }
}

#[test]
fn tasks_that_a_task_has_left_behind_have_what_they_name() {
    alone(async {
        let (pool, gate) = (pool(1), Gate::new());
        let leave_behind = |gate: Gate| {
            let pool = worker::executor().unwrap();
            for n in 0..20 {
                let note = |(gate, slice): (Gate, SharedSlice<u64>)| gate.note(slice[1]);
                drop(pool.submit(note, (gate, SharedSlice::from(vec![n; 1_000]))));
            }
        };
        pool.submit(leave_behind, gate).await.unwrap();
        gate.wait_notes(20).await;
        assert!(gate.sorted_notes().into_iter().eq(0..20));
        is_free(&pool).await;
        gate.remove();
    });
}

#[test]
fn cancelled_tasks_and_dropped_streams_let_go() {
    alone(async {
        let (pool, gate) = (pool(1), Gate::new());
        let value = pool.scatter(Counting(1)).await.unwrap();
        let hold = |(gate, value): (Gate, Scattered<Counting>)| {
            gate.pass_blocking();
            value.0
        };
        let running = pool.submit(hold, (gate, value.clone()));
        gate.wait_arrivals(1).await;
        let waiting: Vec<_> = (0..10).map(|_| pool.submit(hold, (gate, value.clone()))).collect();
        let mut stream = pool.map(
            hold,
            (0..100).map({
                let value = value.clone();
                move |_| (gate, value.clone())
            }),
        );
        assert!(futures::poll!(stream.next()).is_pending());
        drop(stream);
        for task in waiting {
            assert_eq!(task.cancel().await, None);
        }
        drop(value);
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        gate.remove();
        is_free(&pool).await;
    });
}

static DROPPED: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize, Deserialize)]
struct Loud(u64);

impl Drop for Loud {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
        assert!(self.0 != 2, "it panics when it is dropped");
    }
}

#[test]
fn a_value_is_dropped_in_its_workers() {
    alone(async {
        let pool = pool(1);
        let values = vec![pool.scatter(Loud(1)).await.unwrap(), pool.scatter(Loud(3)).await.unwrap()];
        let sum = |values: Vec<Scattered<Loud>>| values.iter().map(|value| value.0).sum::<u64>();
        assert_eq!(pool.submit(sum, values.clone()).await.unwrap(), 4);
        let dropped = |()| DROPPED.load(Ordering::SeqCst);
        assert_eq!(pool.submit(dropped, ()).await.unwrap(), 0);
        drop(values);
        is_free(&pool).await;
        while pool.submit(dropped, ()).await.unwrap() < 2 {
            tokio::task::yield_now().await;
        }
        let panicking = pool.scatter(Loud(2)).await.unwrap();
        assert_eq!(pool.submit(sum, vec![panicking.clone()]).await.unwrap(), 2);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(panicking))).is_err());
        while pool.submit(dropped, ()).await.unwrap() < 3 {
            tokio::task::yield_now().await;
        }
        goes_on(&pool).await;
    });
}

#[test]
fn state_is_dropped_with_its_worker() {
    alone(async {
        struct Note(Gate);
        impl Drop for Note {
            fn drop(&mut self) {
                self.0.note(std::process::id().into());
            }
        }
        let gate = Gate::new();
        let keep = |gate: Gate| drop(worker::set_state(Note(gate)));
        let pool =
            builder(Processes::new().max_tasks_per_worker(1), 1).initializer(keep, gate).build().unwrap();
        let (first, second) =
            (pool.submit(tasks::pid, ()).await.unwrap(), pool.submit(tasks::pid, ()).await.unwrap());
        assert!(pool.submit(|()| worker::state::<Note>().is_some(), ()).await.unwrap());
        pool.shutdown(true).await;
        let notes: BTreeSet<_> = gate.notes().into_iter().collect();
        assert!(notes.len() == 3 && notes.contains(&first.into()) && notes.contains(&second.into()));
        gate.remove();
        assert_eq!(double(2), 4);
    });
}
