//! Recursion by fork-join costs no more threads and processes than are said, however deep it goes. Counted where nothing else runs:
//! one test at a time, in a program of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use polypool::{Executor, Runtime, TaskError, TaskOptions, TaskState, worker};

#[cfg(feature = "processes")]
polypool::worker_main!();

/// So many levels.
const DEEP: u64 = 3_000;
const SUM: u64 = DEEP * (DEEP + 1) / 2;

/// What two workers may become, with those that stand in for workers that wait.
const MOST: usize = 2 + 8;

/// Threads that have nothing to do with pools, those that drive one, and the few on whose stacks deep recursion goes on.
const OTHERS: usize = 8;

static PEAK: AtomicUsize = AtomicUsize::new(0);

/// One test at a time, and what it counts begins at 0. Ends the program when the test hangs.
fn alone() -> (MutexGuard<'static, ()>, mpsc::Sender<()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (alive, watched) = mpsc::channel();
    std::thread::spawn(move || {
        if watched.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a test hangs");
            std::process::abort();
        }
    });
    PEAK.store(0, Ordering::SeqCst);
    (turn, alive)
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc can be listed").count()
}

/// Counts the threads of this process.
fn count() {
    PEAK.fetch_max(threads(), Ordering::SeqCst);
}

fn own_pool() -> Executor {
    worker::executor().expect("inside a task")
}

fn joining(n: u64) -> u64 {
    count();
    if n == 0 { 0 } else { n + own_pool().submit(joining, n - 1).blocking_join().unwrap() }
}

/// Lets what it waits for begin at another worker, if there is one.
fn joining_late(n: u64) -> u64 {
    count();
    if n == 0 {
        return 0;
    }
    let rest = own_pool().submit(joining_late, n - 1);
    let start = Instant::now();
    while rest.state() == TaskState::Queued && start.elapsed() < Duration::from_micros(300) {
        std::thread::yield_now();
    }
    n + rest.blocking_join().unwrap()
}

type Answer = Pin<Box<dyn Future<Output = u64> + Send>>;

fn awaiting(n: u64) -> Answer {
    Box::pin(async move {
        count();
        if n == 0 { 0 } else { n + own_pool().submit_async(awaiting, n - 1).await.unwrap() }
    })
}

fn joining_in_turn(n: u64) -> u64 {
    count();
    if n == 0 { 0 } else { n + own_pool().submit_async(awaiting_in_turn, n - 1).blocking_join().unwrap() }
}

fn awaiting_in_turn(n: u64) -> Answer {
    Box::pin(async move {
        count();
        if n == 0 { 0 } else { n + own_pool().submit(joining_in_turn, n - 1).await.unwrap() }
    })
}

fn tree(height: u64) -> u64 {
    count();
    if height == 0 {
        return 1;
    }
    let pool = own_pool();
    let branches = [(); 2].map(|()| pool.submit(tree, height - 1));
    branches.into_iter().map(|branch| branch.blocking_join().unwrap()).sum()
}

fn tree_awaiting(height: u64) -> Answer {
    Box::pin(async move {
        count();
        if height == 0 {
            return 1;
        }
        let pool = own_pool();
        let branches = (0..2).map(|_| pool.submit_async(tree_awaiting, height - 1));
        join_all(branches).await.into_iter().map(Result::unwrap).sum()
    })
}

/// A pool of two workers on a runtime of its own kind, whose threads do not count.
fn pool(backend: &str) -> Executor {
    Executor::builder().backend(backend).runtime(Runtime::standalone()).max_workers(2).build().unwrap()
}

fn assert_few_threads(before: usize, what: &str) {
    let peak = PEAK.load(Ordering::SeqCst);
    assert!(peak <= before + MOST + OTHERS, "{what}: {peak} threads, {before} before");
}

#[test]
fn threads_are_few_however_deep_tasks_join() {
    let _alone = alone();
    for backend in ["threads", "tasks", "serial"] {
        let before = threads();
        let pool = pool(backend);
        assert_eq!(pool.submit(joining, DEEP).blocking_join().unwrap(), SUM);
        assert_few_threads(before, backend);
    }
}

#[test]
fn threads_are_few_when_what_is_joined_has_begun() {
    let _alone = alone();
    for backend in ["threads", "tasks", "serial"] {
        let before = threads();
        let pool = pool(backend);
        // Fewer, because each takes its time.
        assert_eq!(pool.submit(joining_late, 500).blocking_join().unwrap(), 125_250);
        assert_few_threads(before, backend);
    }
}

#[test]
fn threads_are_few_however_deep_tasks_await() {
    let _alone = alone();
    for backend in ["threads", "tasks", "serial"] {
        let before = threads();
        let pool = pool(backend);
        assert_eq!(pool.submit_async(awaiting, DEEP).blocking_join().unwrap(), SUM);
        assert_eq!(pool.submit(joining_in_turn, DEEP).blocking_join().unwrap(), SUM);
        assert_few_threads(before, backend);
    }
}

#[test]
fn threads_are_few_for_trees() {
    let _alone = alone();
    for backend in ["threads", "tasks", "serial"] {
        let before = threads();
        let pool = pool(backend);
        assert_eq!(pool.submit(tree, 11).blocking_join().unwrap(), 1 << 11);
        assert_eq!(pool.submit_async(tree_awaiting, 11).blocking_join().unwrap(), 1 << 11);
        assert_few_threads(before, backend);
    }
}

/// A frame so large that a thousand of them are on no usual stack.
#[test]
fn large_frames_go_on_where_there_is_room() {
    fn large(n: u64) -> u64 {
        let room = std::hint::black_box([n as u8; 100_000]);
        count();
        let below = if n == 0 { 0 } else { own_pool().submit(large, n - 1).blocking_join().unwrap() };
        below + 1 + u64::from(room[n as usize] != n as u8)
    }

    let _alone = alone();
    let before = threads();
    assert_eq!(pool("threads").submit(large, 999).blocking_join().unwrap(), 1_000);
    assert_few_threads(before, "large frames");
}

/// Who waits takes its own place back, and is told when it is to stop; what it runs meanwhile is told apart from it.
#[test]
fn cancelling_what_a_worker_helps_with_leaves_the_worker_alone() {
    fn outer((): ()) -> (bool, bool) {
        let pool = own_pool();
        let inner = pool.submit(
            |()| {
                while !worker::is_cancelled() {
                    std::thread::yield_now();
                }
            },
            (),
        );
        let stop = inner.abort_handle();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while inner.state() == TaskState::Queued {
                    std::thread::yield_now();
                }
                stop.abort();
            });
        });
        (inner.blocking_join().is_err_and(|error| error.is_cancelled()), worker::is_cancelled())
    }

    fn outer_alone((): ()) -> (bool, bool) {
        let pool = own_pool();
        let spin = |()| {
            while !worker::is_cancelled() {
                std::thread::yield_now();
            }
        };
        // Nobody else may run it: the only other worker is this one.
        let inner = pool.submit_with(TaskOptions::new().timeout(Duration::from_millis(5)), spin, ());
        (inner.blocking_join().is_err_and(|error| error.is_timed_out()), worker::is_cancelled())
    }

    let _alone = alone();
    assert_eq!(pool("threads").submit(outer, ()).blocking_join().unwrap(), (true, false));
    let one = Executor::builder().backend("threads").max_workers(1).build().unwrap();
    assert_eq!(one.submit(outer_alone, ()).blocking_join().unwrap(), (true, false));
}

#[test]
fn a_task_that_joins_on_its_only_worker_runs_on_that_very_thread() {
    let _alone = alone();
    let pool = Executor::builder().backend("threads").max_workers(1).build().unwrap();
    let outer = |()| {
        let here = format!("{:?}", std::thread::current().id());
        let there = own_pool().submit(|()| format!("{:?}", std::thread::current().id()), ());
        here == there.blocking_join().unwrap()
    };
    assert!(pool.submit(outer, ()).blocking_join().unwrap());
}

fn ending(n: u64) -> u64 {
    let pool = own_pool();
    match n {
        0 => block_on(pool.shutdown(false)).completed,
        n => pool.submit(ending, n - 1).blocking_join().unwrap(),
    }
}

/// With one worker, it helps; with others, they may be faster.
#[test]
fn shutdown_from_within_what_others_wait_for() {
    let _alone = alone();
    for workers in [1, 2, 1, 2, 1, 2] {
        let pool = Executor::builder().backend("threads").max_workers(workers).build().unwrap();
        pool.submit(ending, 2).blocking_join().unwrap();
        assert!(matches!(pool.submit(joining, 0).blocking_join(), Err(TaskError::Shutdown)));
    }
}

#[test]
fn a_bounded_queue_and_a_deep_recursion_are_no_contradiction() {
    fn patient(n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let rest = block_on(own_pool().submit_when_ready(patient, n - 1));
        n + rest.blocking_join().unwrap()
    }

    let _alone = alone();
    let pool = Executor::builder().backend("threads").max_workers(2).max_pending(1).build().unwrap();
    assert_eq!(pool.submit(patient, 500).blocking_join().unwrap(), 125_250);
}

#[cfg(feature = "processes")]
mod processes {
    use std::{collections::BTreeSet, sync::atomic::AtomicBool};

    use polypool::{Processes, Transport};

    use super::*;

    /// Where a level was: its process, and how many threads that had.
    type Place = (u32, u32);

    fn here() -> Place {
        (std::process::id(), threads() as u32)
    }

    fn places(n: u64) -> Vec<Place> {
        let mut below =
            if n == 0 { Vec::new() } else { own_pool().submit(places, n - 1).blocking_join().unwrap() };
        below.push(here());
        below
    }

    fn places_awaiting(n: u64) -> Pin<Box<dyn Future<Output = Vec<Place>> + Send>> {
        Box::pin(async move {
            let below = match n {
                0 => Vec::new(),
                n => own_pool().submit_async(places_awaiting, n - 1).await.unwrap(),
            };
            [below, vec![here()]].concat()
        })
    }

    fn children() -> usize {
        let parent = std::process::id();
        let all = fs::read_dir("/proc").expect("/proc can be listed").flatten();
        let is_child = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
            Some(fields.next()? != "Z" && fields.next()?.parse() == Ok(parent))
        };
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&pid| is_child(pid) == Some(true))
            .count()
    }

    /// Runs `f` and gives the most child processes that were seen meanwhile.
    fn most_children<T>(f: impl FnOnce() -> T) -> (T, usize) {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut most = 0;
                while !is_over.load(Ordering::SeqCst) {
                    most = most.max(children());
                    std::thread::sleep(Duration::from_millis(5));
                }
                most
            });
            let result = f();
            is_over.store(true, Ordering::SeqCst);
            (result, watching.join().unwrap())
        })
    }

    fn pools() -> impl Iterator<Item = Executor> {
        [Transport::SharedMemory, Transport::Socket].into_iter().map(|transport| {
            // Processes are counted, and those of former pools are not to be among them.
            while children() > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Where a task is performed within another, a kill after the grace period costs both; a busy machine needs a long one.
            let backend = Processes::new().transport(transport).grace_period(Duration::from_secs(10));
            Executor::builder().backend(backend).max_workers(2).build().unwrap()
        })
    }

    fn assert_few(places: &[Place]) {
        let pids: BTreeSet<u32> = places.iter().map(|(pid, _)| *pid).collect();
        assert!(pids.len() <= MOST, "{} processes", pids.len());
        let threads = places.iter().map(|(_, threads)| *threads).max().unwrap_or(0);
        assert!(threads as usize <= OTHERS, "{threads} threads in a process");
    }

    #[test]
    fn processes_are_few_however_deep_tasks_join() {
        let _alone = alone();
        for pool in pools() {
            let (places, most) = most_children(|| pool.submit(places, 400).blocking_join().unwrap());
            assert_eq!(places.len(), 401);
            assert_few(&places);
            assert!(most <= MOST, "{most} processes");
        }
    }

    #[test]
    fn processes_are_few_however_deep_tasks_await() {
        let _alone = alone();
        for pool in pools() {
            let places = pool.submit_async(places_awaiting, 400).blocking_join().unwrap();
            assert_eq!(places.len(), 401);
            assert_few(&places);
        }
    }

    #[test]
    fn processes_are_few_for_trees() {
        let _alone = alone();
        for pool in pools() {
            let (leaves, most) = most_children(|| pool.submit(tree, 8).blocking_join().unwrap());
            assert_eq!(leaves, 256);
            let (leaves, most_awaiting) =
                most_children(|| pool.submit_async(tree_awaiting, 8).blocking_join().unwrap());
            assert_eq!(leaves, 256);
            // Stand-ins that leave are still there for a moment.
            assert!(most.max(most_awaiting) <= 2 * MOST, "{most} and {most_awaiting} processes");
        }
    }

    #[test]
    fn joining_and_awaiting_in_turn_goes_deep_in_processes() {
        let _alone = alone();
        for pool in pools() {
            assert_eq!(pool.submit(joining_in_turn, 1_000).blocking_join().unwrap(), 500_500);
        }
    }

    /// Goes so deep that the last levels are performed by who waits for them.
    const BEYOND: u64 = 30;

    #[test]
    fn limit_of_time_ends_what_a_process_performs_within_another_call() {
        fn level(n: u64) -> bool {
            if n > 0 {
                return own_pool().submit(level, n - 1).blocking_join().unwrap();
            }
            let spin = |()| {
                while !worker::is_cancelled() {
                    std::thread::yield_now();
                }
            };
            let limited =
                own_pool().submit_with(TaskOptions::new().timeout(Duration::from_millis(20)), spin, ());
            limited.blocking_join().is_err_and(|error| error.is_timed_out()) && !worker::is_cancelled()
        }
        let _alone = alone();
        for pool in pools() {
            assert!(pool.submit(level, BEYOND).blocking_join().unwrap());
        }
    }

    #[test]
    fn panics_and_errors_of_what_a_process_performs_within_another_call() {
        fn level(n: u64) -> Result<u64, TaskError> {
            assert!(n > 0, "at the bottom");
            own_pool().submit(level, n - 1).blocking_join()?
        }
        let _alone = alone();
        for pool in pools() {
            let error = pool.submit(level, BEYOND).blocking_join().unwrap().unwrap_err();
            assert!(
                matches!(&error, TaskError::Panicked(info) if info.message == "at the bottom"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn process_that_dies_within_takes_what_waits_there_along_and_the_pool_goes_on() {
        fn level(n: u64) -> Result<u64, TaskError> {
            if n == 0 {
                std::process::abort();
            }
            own_pool().submit(level, n - 1).blocking_join()?
        }
        let _alone = alone();
        for pool in pools() {
            let result = pool.submit(level, BEYOND).blocking_join();
            let is_lost = matches!(&result, Ok(Err(TaskError::WorkerLost(_))));
            assert!(is_lost, "who waits in another process hears of it: {result:?}");
            assert_eq!(pool.submit(joining, 100).blocking_join().unwrap(), 5_050);
        }
    }

    #[test]
    fn shutdown_from_within_what_other_processes_wait_for() {
        let _alone = alone();
        for pool in pools() {
            pool.submit(ending, 3).blocking_join().unwrap();
            assert!(matches!(pool.submit(joining, 0).blocking_join(), Err(TaskError::Shutdown)));
        }
        for pool in pools() {
            pool.submit(ending, BEYOND).blocking_join().unwrap();
            assert!(matches!(pool.submit(joining, 0).blocking_join(), Err(TaskError::Shutdown)));
        }
    }

    #[test]
    fn deep_recursion_that_is_cancelled_is_over() {
        fn level(n: u64) -> u64 {
            if n == 0 {
                loop {
                    std::thread::park();
                }
            }
            own_pool().submit(level, n - 1).blocking_join().unwrap()
        }
        let _alone = alone();
        for pool in pools() {
            let task = pool.submit(level, BEYOND);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(block_on(task.cancel()), None);
            assert_eq!(block_on(pool.shutdown(polypool::CancellationPolicy::ALL)).completed, 0);
        }
    }

    #[test]
    fn counts_are_right_after_processes_have_helped() {
        let _alone = alone();
        for pool in pools() {
            pool.submit(joining, 200).blocking_join().unwrap();
            let report = block_on(pool.shutdown(false));
            assert_eq!((report.completed, report.failed, report.cancelled), (201, 0, 0));
        }
    }
}
