//! Pools and runtimes: one pool under several, runtimes that end, no runtime at all.

use futures::StreamExt as _;
use futures::future::join_all;
use polypool::{Executor, Runtime, TaskError, TaskHandle};

use crate::rig::{Host, Rig, on_thread};
use crate::work::{double, double_async, mark};

topic! { runtimes:
    Every [
        built_outside_used_inside,
        built_inside_used_outside,
        used_from_two_runtimes_one_after_the_other,
        used_from_two_runtimes_at_once,
        stream_consumed_under_another_runtime,
        shut_down_under_another_runtime,
        runtime_by_detection,
        standalone_under_any_runtime,
        first_used_on_a_plain_thread,
    ]
    Unattended [
        runtime_ends_while_tasks_wait,
        runtime_ends_while_async_tasks_wait,
        runtime_ends_while_a_stream_is_open,
        runtime_ended_before_the_second_use,
        pool_is_forgotten_and_the_runtime_ends,
    ]
}

pub async fn built_outside_used_inside(rig: Rig) {
    let builder = rig.clone();
    let pool = on_thread(move || builder.pool(1)).await;
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_async(double_async, 21).await.unwrap(), 42);
}

pub async fn built_inside_used_outside(rig: Rig) {
    let pool = rig.pool(1);
    let used = on_thread(move || {
        let tasks = [pool.submit(double, 21), pool.submit_async(double_async, 21)];
        Host::Standalone.block_on(join_all(tasks))
    });
    assert!(used.await.into_iter().all(|result| matches!(result, Ok(42))));
}

/// Uses the pool in every way that needs it to work.
async fn works(pool: &Executor) {
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_async(double_async, 21).await.unwrap(), 42);
    if pool.capabilities().in_process {
        assert_eq!(pool.spawn_blocking(|| 1).await.unwrap(), 1);
    }
    assert_eq!(pool.map(double, 0..20).count().await, 20);
}

pub async fn used_from_two_runtimes_one_after_the_other(rig: Rig) {
    let pool = rig.pool(2);
    for _ in 0..3 {
        let pool = pool.clone();
        rig.elsewhere(async move |_| works(&pool).await).await;
    }
    works(&pool).await;
}

pub async fn used_from_two_runtimes_at_once(rig: Rig) {
    let pool = rig.pool(2);
    works(&pool).await;
    let uses = (0..3).map(|_| {
        let pool = pool.clone();
        rig.elsewhere(async move |_| works(&pool).await)
    });
    join_all(uses).await;
}

pub async fn stream_consumed_under_another_runtime(rig: Rig) {
    let mut results = rig.pool(2).map(double, 0..100).buffer(8);
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    assert_eq!(rig.elsewhere(async move |_| results.count().await).await, 99);
}

pub async fn shut_down_under_another_runtime(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(rig.elsewhere(async move |_| pool.shutdown(true).await.completed).await, 1);
}

pub async fn runtime_by_detection(rig: Rig) {
    let pool =
        Executor::builder().backend(rig.backend()).max_workers(2).runtime(Runtime::detect()).build().unwrap();
    works(&pool).await;
}

pub async fn standalone_under_any_runtime(rig: Rig) {
    let pool = Executor::builder()
        .backend(rig.backend())
        .max_workers(2)
        .runtime(Runtime::standalone())
        .build()
        .unwrap();
    works(&pool).await;
}

/// Whatever runtime that settles on, the pool works there and here.
pub async fn first_used_on_a_plain_thread(rig: Rig) {
    let pool = Executor::builder().backend(rig.backend()).max_workers(2).build().unwrap();
    let first = pool.clone();
    on_thread(move || Host::Standalone.block_on(async move { works(&first).await })).await;
    works(&pool).await;
}

/// Every handle of a pool whose runtime is gone resolves: with its value, or with an error that says that the pool went.
pub async fn resolve(tasks: Vec<TaskHandle<u64>>) {
    for result in join_all(tasks).await {
        assert_is!(result, Ok(_) | Err(TaskError::Shutdown | TaskError::Cancelled));
    }
}

/// Gives the pool and its unfinished tasks back from a runtime that ends while the only worker is about to go on to the next.
async fn leave_behind(
    rig: &Rig,
    submit: fn(&Executor, (crate::gate::Gate, u64)) -> TaskHandle<u64>,
) -> (Executor, Vec<TaskHandle<u64>>) {
    rig.elsewhere(async move |rig| {
        let (pool, journal) = (rig.pool(1), rig.gate());
        let busy = rig.occupy(&pool).await;
        let tasks = (0..1000).map(|n| submit(&pool, (journal, n))).collect();
        busy.open();
        (pool, tasks)
    })
    .await
}

pub async fn runtime_ends_while_tasks_wait(rig: Rig) {
    let (pool, tasks) = leave_behind(&rig, |pool, call| pool.submit(mark, call)).await;
    resolve(tasks).await;
    resolve(vec![pool.submit(double, 21)]).await;
    pool.shutdown(false).await;
}

pub async fn runtime_ends_while_async_tasks_wait(rig: Rig) {
    let (pool, tasks) =
        leave_behind(&rig, |pool, call| pool.submit_async(crate::work::mark_async, call)).await;
    resolve(tasks).await;
    resolve(vec![pool.submit_async(double_async, 21)]).await;
    pool.shutdown(false).await;
}

pub async fn runtime_ends_while_a_stream_is_open(rig: Rig) {
    let results = rig
        .elsewhere(async move |rig| {
            let mut results = rig.pool(2).map(double, 0..500).chunk_size(1).buffer(16);
            assert_eq!(results.next().await.unwrap().unwrap(), 0);
            results
        })
        .await;
    let rest: Vec<_> = results.collect().await;
    assert!(!rest.is_empty() && rest.len() <= 499);
    let ended = rest.iter().position(Result::is_err).unwrap_or(499);
    assert!(rest[..ended].iter().all(Result::is_ok));
    assert!(
        rest[ended..].iter().all(|result| matches!(result, Err(TaskError::Shutdown | TaskError::Cancelled)))
    );
}

pub async fn runtime_ended_before_the_second_use(rig: Rig) {
    let pool = rig.pool(1);
    let first = pool.clone();
    rig.elsewhere(async move |_| works(&first).await).await;
    resolve(vec![pool.submit(double, 21), pool.submit_async(double_async, 21)]).await;
}

/// A pool that nobody drops does not keep its runtime, or the program, from ending.
pub async fn pool_is_forgotten_and_the_runtime_ends(rig: Rig) {
    rig.elsewhere(async |rig| {
        let pool = rig.pool(2);
        works(&pool).await;
        std::mem::forget(pool);
    })
    .await;
}
