//! Tasks by each of the three ways, and what may be asked of slots.

use futures::TryStreamExt as _;
use polypool::{CancellationPolicy, Mode};

use crate::cluster::Cluster;
use crate::ground::{builder, double, end, goes_on, held, on, pids, pool_of, run, soon_async};
use crate::proc::is_dead;

const MODES: [Mode; 3] = [Mode::Grouped, Mode::Pilot, Mode::PerTask];

#[test]
fn tasks_run_in_every_mode() {
    run(async {
        for mode in MODES {
            let pool = pool_of(on(Cluster::shared()).mode(mode), 2);
            goes_on(&pool).await;
            let doubled: Vec<u64> = pool.map(double, 0..1000).try_collect().await.unwrap();
            assert!((0..1000).map(|n| 2 * n).eq(doubled), "{mode:?}");
            end(&pool).await;
        }
    });
}

fn echo(bytes: serde_bytes::ByteBuf) -> serde_bytes::ByteBuf {
    bytes
}

/// More than all that may be under way, both ways at once.
#[test]
fn large_arguments_and_results_pass_in_every_mode() {
    run(async {
        for mode in MODES {
            let pool = pool_of(on(Cluster::shared()).mode(mode), 2);
            let bytes: Vec<u8> = (0..60_000_000_u32).map(|n| (n % 251) as u8).collect();
            let tasks: Vec<_> =
                (0..3).map(|_| pool.submit(echo, serde_bytes::ByteBuf::from(bytes.clone()))).collect();
            for task in tasks {
                assert!(task.await.unwrap().into_vec() == bytes, "{mode:?}");
            }
            end(&pool).await;
        }
    });
}

#[test]
fn running_and_pending_tasks_are_cancelled_in_every_mode() {
    run(async {
        for mode in MODES {
            let folder = tempfile::tempdir().unwrap();
            let pool = pool_of(on(Cluster::shared()).mode(mode), 1);
            let (running, [worker, ..]) = held(&pool, &folder).await;
            let pending = pool.submit(double, 1);
            assert_eq!(pending.cancel().await, None);
            let stopped = running.abort_handle();
            stopped.abort();
            assert!(running.await.unwrap_err().is_cancelled(), "{mode:?}");
            soon_async("the worker was killed", || is_dead(worker)).await;
            goes_on(&pool).await;
            end(&pool).await;
        }
    });
}

#[test]
fn policies_hold_when_the_pool_is_dropped() {
    run(async {
        for (policy, runs_on, pending_runs) in [
            (CancellationPolicy::NONE, true, true),
            (CancellationPolicy::PENDING, true, false),
            (CancellationPolicy::RUNNING, false, true),
            (CancellationPolicy::ALL, false, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let pool = builder(on(Cluster::shared())).max_workers(1).on_drop(policy).build().unwrap();
            let gate = folder.path().join("gate");
            let running = pool.submit(wait_for, gate.to_str().unwrap().to_owned());
            let begun = folder.path().join("gate.begun");
            soon_async("it runs", || begun.exists()).await;
            let pending = pool.submit(double, 4);
            drop(pool);
            std::fs::write(&gate, "").unwrap();
            let outcome = running.await;
            assert_eq!(outcome.is_ok(), runs_on, "{policy:?}: {outcome:?}");
            let outcome = pending.await;
            assert_eq!(outcome.is_ok(), pending_runs, "{policy:?}: {outcome:?}");
        }
    });
}

/// Until there is such a file. Makes another when it begins.
fn wait_for(path: String) -> u32 {
    std::fs::write(format!("{path}.begun"), "").unwrap();
    while !std::path::Path::new(&path).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    7
}

#[test]
fn slots_are_where_they_are_asked_for() {
    run(async {
        let cluster = Cluster::shared();
        let place = |dask: polypool::Dask| async {
            let pool = pool_of(dask, 2);
            let places = pool.run_on_all(pids, ()).await;
            end(&pool).await;
            places.into_iter().map(|pids| pids.unwrap()[2]).collect::<std::collections::BTreeSet<_>>()
        };
        let one = place(on(cluster).workers(["one"])).await;
        let two = place(on(cluster).workers(["two"])).await;
        assert_eq!((one.len(), two.len()), (1, 1));
        assert_ne!(one, two);
        assert_eq!(place(on(cluster).resources([("GPU", 1.0)])).await, two);
    });
}

/// A resource that one worker has taken is not there for another, nor for another pool.
#[test]
fn resources_are_held_while_a_worker_is_there() {
    run(async {
        let cluster = Cluster::shared();
        let folder = tempfile::tempdir().unwrap();
        let greedy = pool_of(on(cluster).resources([("GPU", 2.0)]), 1);
        let (running, _) = held(&greedy, &folder).await;
        let modest = pool_of(on(cluster).resources([("GPU", 1.0)]), 1);
        let task = modest.submit(double, 2);
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert!(!task.is_finished());
        running.abort();
        end(&greedy).await;
        assert_eq!(task.await.unwrap(), 4);
        end(&modest).await;
    });
}

#[test]
fn the_size_is_that_of_the_cluster_where_nobody_says_another() {
    run(async {
        let pool = builder(on(Cluster::shared())).build().unwrap();
        pool.warm_up().await.unwrap();
        assert_eq!(pool.max_workers(), 4);
        end(&pool).await;
        let pool = builder(on(Cluster::shared()).resources([("GPU", 1.0)])).build().unwrap();
        pool.warm_up().await.unwrap();
        assert_eq!(pool.max_workers(), 2);
        end(&pool).await;
    });
}
