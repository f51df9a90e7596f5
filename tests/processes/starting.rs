//! Workers that cannot start: the tasks that wait for them are told promptly, and why.

use std::time::{Duration, Instant};

use futures::future::join_all;
use polypool::{Executor, Processes, TaskError};

use crate::ground::{goes_on, pool_of, run};
use crate::tasks::double;

/// Long for a machine, short for whoever waits for an error.
const PROMPTLY: Duration = Duration::from_secs(20);

/// Checks that everything that is asked of the pool fails, soon, and with the reason.
async fn is_broken(pool: Executor, reason: &str) {
    let start = Instant::now();
    let told = |error: TaskError| match error {
        TaskError::Broken(text) => assert!(text.contains(reason), "{text}"),
        other => panic!("{other:?}"),
    };
    let tasks: Vec<_> = (0..50).map(|n| pool.submit(double, n)).collect();
    for result in join_all(tasks).await {
        told(result.unwrap_err());
    }
    told(pool.submit(double, 1).await.unwrap_err());
    told(pool.warm_up().await.unwrap_err());
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed), (0, 50), "what came later was refused");
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn folder_that_is_not_there() {
    run(async {
        let pool = pool_of(Processes::new().current_dir("/no/such/folder"), 2);
        is_broken(pool, "/no/such/folder").await;
    });
}

#[test]
fn workers_that_die_at_once() {
    run(async {
        // Too little memory for anything.
        let pool = pool_of(Processes::new().memory_limit(1), 2);
        is_broken(pool, "").await;
    });
}

#[test]
fn library_that_is_not_found() {
    run(async {
        // The dynamic linker goes to its end before anything of ours begins.
        let pool = pool_of(Processes::new().env("LD_TRACE_LOADED_OBJECTS", "1"), 1);
        is_broken(pool, "").await;
    });
}

#[test]
fn warm_up_tells() {
    run(async {
        let pool = pool_of(Processes::new().current_dir("/no/such/folder"), 1);
        assert_is!(pool.warm_up().await, Err(TaskError::Broken(text)) if text.contains("/no/such/folder"));
    });
}

#[test]
fn another_pool_is_not_concerned() {
    run(async {
        let (broken, fine) =
            (pool_of(Processes::new().current_dir("/no/such/folder"), 1), crate::ground::pool(1));
        assert!(broken.submit(double, 1).await.is_err());
        goes_on(&fine).await;
    });
}

#[test]
fn no_more_descriptors() {
    crate::scenes::play("no_more_descriptors").ends_well();
}
