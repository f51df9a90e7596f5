//! What a pool of processes can be told, and what its workers and their tasks see of it.

use std::time::Duration;

use futures::future::join_all;
use polypool::{BuildError, Exit, Processes, TaskError, Transport};

use crate::gate::Gate;
use crate::ground::{builder, goes_on, loss_of, pids, pool, pool_of, run};
use crate::tasks::{bytes, double, echo, hold, mark, pid};

#[test]
fn values_without_sense_are_refused() {
    for backend in [
        Processes::new().idle_timeout(Duration::ZERO),
        Processes::new().max_tasks_per_worker(0),
        Processes::new().inner_threads(0),
        Processes::new().memory_limit(0),
        Processes::new().max_payload(0),
        Processes::new().env("", "value"),
        Processes::new().env("A=B", "value"),
        Processes::new().env("KEY", "a\0b"),
    ] {
        assert_is!(builder(backend, 1).build(), Err(BuildError::OutOfRange(_)));
    }
}

fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn environment_of_the_workers() {
    run(async {
        let backend = Processes::new().env("POLYPOOL_TEST_A", "one").env("POLYPOOL_TEST_B", "zwei ✓ =x");
        let pool = pool_of(backend.env("POLYPOOL_TEST_A", "two"), 2);
        assert_eq!(
            pool.submit(variable, "POLYPOOL_TEST_A".to_owned()).await.unwrap().as_deref(),
            Some("two")
        );
        let second = pool.submit(variable, "POLYPOOL_TEST_B".to_owned()).await.unwrap();
        assert_eq!(second.as_deref(), Some("zwei ✓ =x"));
        assert_eq!(variable("POLYPOOL_TEST_A".to_owned()), None, "not here");
        let inherited = pool.submit(variable, "PATH".to_owned()).await.unwrap();
        assert_eq!(inherited, variable("PATH".to_owned()));
        assert_eq!(
            crate::ground::pool(1).submit(variable, "POLYPOOL_TEST_A".to_owned()).await.unwrap(),
            None
        );
    });
}

/// A program that a task starts must not take itself for a worker.
#[test]
fn environment_bears_no_mark_of_a_worker() {
    run(async {
        let names = |()| std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let names: Vec<String> = pool(1).submit(names, ()).await.unwrap();
        let strange: Vec<_> = names.iter().filter(|name| std::env::var_os(name).is_none()).collect();
        assert!(strange.is_empty(), "{strange:?}");
    });
}

#[test]
fn folder_of_the_workers() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let there = |()| std::env::current_dir().unwrap();
        let expected = folder.path().canonicalize().unwrap();
        let pool = pool_of(Processes::new().current_dir(folder.path()), 1);
        assert_eq!(pool.submit(there, ()).await.unwrap(), expected);
        let here = std::env::current_dir().unwrap();
        assert_eq!(crate::ground::pool(1).submit(there, ()).await.unwrap(), here);
    });
}

#[test]
fn threads_of_libraries_in_the_workers() {
    run(async {
        let pool = pool_of(Processes::new().inner_threads(3), 1);
        for name in [
            "RAYON_NUM_THREADS",
            "OMP_NUM_THREADS",
            "TOKIO_WORKER_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "POLYPOOL_NUM_WORKERS",
        ] {
            assert_eq!(pool.submit(variable, name.to_owned()).await.unwrap().as_deref(), Some("3"), "{name}");
        }
        let rayon = |()| rayon::current_num_threads();
        assert_eq!(pool.submit(rayon, ()).await.unwrap(), 3);
        let own = pool_of(Processes::new().inner_threads(3).env("OMP_NUM_THREADS", "5"), 1);
        let named = own.submit(variable, "OMP_NUM_THREADS".to_owned()).await.unwrap();
        assert_eq!(named.as_deref(), Some("5"), "what is named goes first");
    });
}

fn allocate(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

#[test]
fn task_that_exceeds_the_memory_limit_fails_alone() {
    run(async {
        let (pool, gate) = (pool_of(Processes::new().memory_limit(256 << 20), 2), Gate::new());
        let other = pool.submit(hold, gate);
        gate.wait_arrivals(1).await;
        assert_eq!(pool.submit(allocate, 50 << 20).await.unwrap(), 50 << 20);
        let queued = {
            let greedy = pool.submit(allocate, 1 << 30);
            let queued: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
            assert_eq!(loss_of(greedy).await.exit, Exit::Signal(libc::SIGABRT));
            queued
        };
        assert!(join_all(queued).await.into_iter().map(Result::unwrap).eq((0..10).map(|n| 2 * n)));
        gate.open();
        assert!(other.await.is_ok());
        assert_eq!(crate::ground::pool(1).submit(allocate, 300 << 20).await.unwrap(), 300 << 20, "not here");
    });
}

#[test]
fn payloads_over_the_limit_are_refused_both_ways() {
    run(async {
        for transport in [Transport::SharedMemory] {
            let pool = pool_of(Processes::new().max_payload(100_000).transport(transport), 1);
            let before = pids(&pool).await;
            let length = |bytes: Vec<u8>| bytes.len();
            assert_eq!(pool.submit(length, bytes(99_000)).await.unwrap(), 99_000);
            assert_eq!(pool.submit(bytes, 99_000).await.unwrap().len(), 99_000);
            for size in [100_001, 5_000_000] {
                assert_is!(
                    pool.submit(length, bytes(size)).await,
                    Err(TaskError::TooLarge { size: told, limit: 100_000 }) if told >= size as u64 && told < size as u64 + 64
                );
                assert_is!(
                    pool.submit(bytes, size).await,
                    Err(TaskError::TooLarge { size: told, limit: 100_000 }) if told >= size as u64 && told < size as u64 + 64
                );
            }
            assert_eq!(pids(&pool).await, before, "no worker dies of that");
        }
    });
}

#[test]
fn limit_of_payloads_is_that_of_the_item() {
    run(async {
        use futures::StreamExt as _;

        let pool = pool_of(Processes::new().max_payload(1_000), 1);
        let size = |n: usize| if n == 3 { 2_000 } else { 500 };
        let results: Vec<_> = pool.map(bytes, (0..8).map(size)).chunk_size(1).collect().await;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(bytes) => assert!(n != 3 && bytes.len() == 500),
                Err(TaskError::TooLarge { limit: 1_000, .. }) => assert_eq!(n, 3),
                Err(other) => panic!("{n}: {other}"),
            }
        }
    });
}

#[test]
fn without_prefetch() {
    run(async {
        let (pool, journal) = (pool_of(Processes::new().prefetch(false), 1), Gate::new());
        let tasks: Vec<_> = (0..300).map(|n| pool.submit(mark, (journal, n))).collect();
        assert!(join_all(tasks).await.into_iter().map(Result::unwrap).eq(0..300));
        assert!(journal.notes().into_iter().eq(0..300));
    });
}

/// However short tasks were so far: what is sent ahead to a worker that turns out to be busy is done by another.
#[test]
fn nothing_waits_behind_a_long_task_while_a_worker_is_free() {
    run(async {
        for prefetch in [true, false] {
            let (pool, gate) = (pool_of(Processes::new().prefetch(prefetch), 2), Gate::new());
            let warm: Vec<_> = (0..3_000).map(|n| pool.submit(double, n)).collect();
            let long = pool.submit(hold, gate);
            let behind: Vec<_> = (0..300).map(|n| pool.submit(double, n)).collect();
            assert!(join_all(warm).await.iter().all(Result::is_ok));
            assert!(join_all(behind).await.into_iter().map(Result::unwrap).eq((0..300).map(|n| 2 * n)));
            assert!(!long.is_finished());
            gate.open();
            assert!(long.await.is_ok());
        }
    });
}

/// Results of short tasks reach their handles while the worker is already at a long one.
#[test]
fn answers_are_not_withheld_behind_a_long_task() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let warm: Vec<_> = (0..3_000).map(|n| pool.submit(double, n)).collect();
        let long = pool.submit(hold, gate);
        assert!(join_all(warm).await.into_iter().map(Result::unwrap).eq((0..3_000).map(|n| 2 * n)));
        assert!(!long.is_finished());
        gate.open();
        assert!(long.await.is_ok());
    });
}

#[test]
fn two_pools_share_nothing() {
    run(async {
        let (first, second) = (pool(1), pool_of(Processes::new().env("POLYPOOL_TEST_C", "only here"), 1));
        assert_ne!(first.submit(pid, ()).await.unwrap(), second.submit(pid, ()).await.unwrap());
        assert_eq!(first.submit(variable, "POLYPOOL_TEST_C".to_owned()).await.unwrap(), None);
        first.shutdown(true).await;
        goes_on(&second).await;
    });
}

#[test]
fn by_name() {
    run(async {
        for name in ["processes", "loky", "multiprocess", "multiprocessing", "concurrent.futures", "joblib"] {
            let pool = polypool::Executor::builder().backend(name).max_workers(1).build().unwrap();
            assert_eq!(pool.backend_name(), "processes");
            assert_ne!(pool.submit(pid, ()).await.unwrap(), std::process::id());
        }
        assert_eq!(polypool::Executor::processes(2).unwrap().submit(echo, 42).await.unwrap(), 42);
    });
}

#[test]
fn what_it_says_it_can_do() {
    let can = pool(1).capabilities();
    assert!(!can.in_process && can.futures && can.stops_running && can.shared_memory);
    assert!(can.survives_worker_loss && !can.distributed && can.nests);
}
