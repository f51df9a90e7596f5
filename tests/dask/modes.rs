//! Tasks by each of the three ways, and what may be asked of slots.

use futures::TryStreamExt as _;
use polypool::{CancellationPolicy, Mode, TaskError};

use crate::cluster::Cluster;
use crate::ground::{builder, dask, double, goes_on, held, pids, pool_of, run};
use crate::proc::{is_dead, soon_async};

const MODES: [Mode; 3] = [Mode::Grouped, Mode::Pilot, Mode::PerTask];

#[test]
fn tasks_run_in_every_mode() {
    run(async {
        for mode in MODES {
            let pool = pool_of(dask(Cluster::shared()).mode(mode), 2);
            goes_on(&pool).await;
            let doubled: Vec<u64> = pool.map(double, 0..1000).try_collect().await.unwrap();
            assert!((0..1000).map(|n| 2 * n).eq(doubled), "{mode:?}");
            pool.shutdown().await;
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
            let pool = pool_of(dask(Cluster::shared()).mode(mode), 2);
            let bytes: Vec<u8> = (0..60_000_000_u32).map(|n| (n % 251) as u8).collect();
            let tasks: Vec<_> = (0..3).map(|_| pool.submit(echo, serde_bytes::ByteBuf::from(bytes.clone()))).collect();
            for task in tasks {
                assert!(task.await.unwrap().into_vec() == bytes, "{mode:?}");
            }
            pool.shutdown().await;
        }
    });
}

#[test]
fn running_and_pending_tasks_are_cancelled_in_every_mode() {
    run(async {
        for mode in MODES {
            let folder = tempfile::tempdir().unwrap();
            let pool = pool_of(dask(Cluster::shared()).mode(mode), 1);
            let (running, [worker, ..]) = held(&pool, &folder).await;
            let pending = pool.submit(double, 1);
            pending.cancel().await;
            assert!(matches!(running.try_state(), Ok(_)), "{mode:?}");
            running.cancel().await;
            soon_async("the worker was killed", || is_dead(worker)).await;
            goes_on(&pool).await;
            pool.shutdown().await;
        }
    });
}
