//! Tasks that use pools: their own, which must make up for a worker that waits, and pools that they build.

use std::pin::Pin;

use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use polypool::{BuildError, Executor, TaskError, Wait, wait, worker};

use crate::gate::Gate;
use crate::rig::Rig;
use crate::work::{double, fail};

topic! { nested:
    Every [
        awaits_a_task_of_its_own_pool,
        joins_a_task_of_its_own_pool,
        thirty_levels_on_one_worker,
        maps_over_its_own_pool,
        waits_for_several_of_its_own_pool,
        error_of_an_inner_task_goes_on_with_a_question_mark,
        inner_task_that_panics,
    ]
    Local [
        pool_inside_a_pool,
        pools_as_deep_as_allowed,
    ]
    Unattended [
        all_workers_wait_for_their_own_pool_at_once,
        streams_of_its_own_pool_on_all_workers_at_once,
    ]
}

fn own_pool() -> Executor {
    worker::executor().expect("inside a task")
}

pub async fn awaits_a_task_of_its_own_pool(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(
        pool.submit_async(async |n: u64| own_pool().submit(double, n).await.unwrap(), 21).await.unwrap(),
        42
    );
    if rig.is_local() {
        let clone = pool.clone();
        assert_eq!(pool.spawn(async move { clone.submit(double, 21).await.unwrap() }).await.unwrap(), 42);
    }
}

/// Where blocking would block the runtime that the inner task needs, waiting is written with `.await`.
pub async fn joins_a_task_of_its_own_pool(rig: Rig) {
    let pool = rig.pool(1);
    if rig.blocks_freely() || rig.runs_alone() {
        let joining = |n: u64| own_pool().submit(double, n).blocking_join().unwrap();
        assert_eq!(pool.submit(joining, 21).await.unwrap(), 42);
    }
}

fn sum_joining(n: u64) -> u64 {
    if n == 0 { 0 } else { n + own_pool().submit(sum_joining, n - 1).blocking_join().unwrap() }
}

fn sum_awaiting(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n == 0 { 0 } else { n + own_pool().submit_async(sum_awaiting, n - 1).await.unwrap() }
    })
}

pub async fn thirty_levels_on_one_worker(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(pool.submit_async(sum_awaiting, 30).await.unwrap(), 465);
    if rig.blocks_freely() || rig.runs_alone() {
        assert_eq!(pool.submit(sum_joining, 30).await.unwrap(), 465);
    }
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn maps_over_its_own_pool(rig: Rig) {
    let sum =
        async |n: u64| own_pool().map(double, 0..n).try_fold(0, async |sum, n| Ok(sum + n)).await.unwrap();
    assert_eq!(rig.pool(1).map_async(sum, [10, 100]).try_collect::<Vec<_>>().await.unwrap(), [90, 9900]);
}

pub async fn waits_for_several_of_its_own_pool(rig: Rig) {
    let pool = rig.pool(1);
    let waiting = async |n: u64| {
        let pool = own_pool();
        let tasks: Vec<_> = (0..n).map(|n| pool.submit(double, n)).collect();
        let done = wait(tasks, Wait::All).await.done;
        join_all(done).await.into_iter().map(Result::unwrap).sum::<u64>()
    };
    assert_eq!(pool.submit_async(waiting, 10).await.unwrap(), 90);
}

pub async fn error_of_an_inner_task_goes_on_with_a_question_mark(rig: Rig) {
    let pool = rig.pool(1);
    let passing =
        async |message: String| -> Result<u64, TaskError> { Ok(own_pool().submit(fail, message).await? + 1) };
    let error = pool.submit_async(passing, "deep inside".to_owned()).await.unwrap().unwrap_err();
    assert_is!(error, TaskError::Panicked(info) if info.message == "deep inside");
}

pub async fn inner_task_that_panics(rig: Rig) {
    let pool = rig.pool(1);
    let unwrapping = async |message: String| own_pool().submit(fail, message).await.unwrap();
    let error = pool.submit_async(unwrapping, "deep inside".to_owned()).await.unwrap_err();
    assert_is!(error, TaskError::Panicked(info) if info.message.contains("deep inside"));
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn pool_inside_a_pool(rig: Rig) {
    let (outer, inner) = (rig.pool(1), rig.pool(1));
    let task = outer.spawn(async move {
        let inside = inner.submit(|()| (worker::depth(), worker::index()), ()).await.unwrap();
        ((worker::depth(), worker::index()), inside)
    });
    let (outside, inside) = task.await.unwrap();
    assert_eq!((outside.1, inside.1), (Some(0), Some(0)));
    assert_eq!(outside.0, 1);
    assert!(inside.0 >= 1);
}

/// Builds a pool inside a task of a pool inside a task, until it is refused; gives the depth there.
fn dig(rig: Rig) -> Pin<Box<dyn Future<Output = (usize, usize)> + Send>> {
    Box::pin(async move {
        match rig.builder().max_workers(1).build() {
            Ok(pool) => pool.spawn(dig(rig)).await.unwrap(),
            Err(BuildError::NestingTooDeep { depth, limit }) => {
                assert_eq!(depth, limit + 1);
                (worker::depth(), limit)
            }
            Err(other) => panic!("{other}"),
        }
    })
}

pub async fn pools_as_deep_as_allowed(rig: Rig) {
    assert_eq!(dig(rig).await, (10, 10));
}

pub async fn all_workers_wait_for_their_own_pool_at_once(rig: Rig) {
    for workers in [1, 2, 4] {
        let (pool, gate) = (rig.pool(workers), rig.gate());
        let waiting = async |(gate, workers): (Gate, usize)| {
            gate.meet(workers).await;
            own_pool().submit(double, 21).await.unwrap()
        };
        let tasks: Vec<_> = (0..workers).map(|_| pool.submit_async(waiting, (gate, workers))).collect();
        assert!(join_all(tasks).await.into_iter().all(|result| matches!(result, Ok(42))));
        if rig.blocks_freely() {
            let gate = rig.gate();
            let joining = |(gate, workers): (Gate, usize)| {
                gate.meet_blocking(workers);
                own_pool().submit(double, 21).blocking_join().unwrap()
            };
            let tasks: Vec<_> = (0..workers).map(|_| pool.submit(joining, (gate, workers))).collect();
            assert!(join_all(tasks).await.into_iter().all(|result| matches!(result, Ok(42))));
        }
    }
}

pub async fn streams_of_its_own_pool_on_all_workers_at_once(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let streaming = async |gate: Gate| {
        gate.meet(2).await;
        own_pool().map(double, 0..50).chunk_size(1).buffer(4).count().await
    };
    let tasks = [pool.submit_async(streaming, gate), pool.submit_async(streaming, gate)];
    assert!(join_all(tasks).await.into_iter().all(|result| matches!(result, Ok(50))));
}
