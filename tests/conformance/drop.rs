//! Executors that go away: which clone counts, where it happens, and that it blocks nobody.

use futures::{StreamExt as _, TryStreamExt as _};
use polypool::{CancellationPolicy, TaskError};

use crate::rig::{Rig, on_thread};
use crate::work::{double, mark};

topic! { drop:
    Every [
        pool_that_was_never_used,
        one_clone_of_two_applies_nothing,
        stream_keeps_a_temporary_pool,
        completed_stream_keeps_a_temporary_pool,
        stream_outlives_the_pool_half_way,
        events_do_not_keep_the_pool,
        on_a_thread_without_a_runtime,
    ]
    Away [
        a_stream_whose_large_chunk_is_on_its_way_costs_no_worker,
    ]
    Unattended [
        never_blocks,
        executor_of_a_task_applies_nothing,
        a_stream_does_not_keep_tasks_of_others_pending,
    ]
    Local Unattended [
        inside_a_task_of_the_same_pool,
        inside_an_async_task_of_the_same_pool,
    ]
}

pub async fn pool_that_was_never_used(rig: Rig) {
    drop(rig.pool(2));
}

pub async fn one_clone_of_two_applies_nothing(rig: Rig) {
    let pool = rig.builder().max_workers(1).on_drop(CancellationPolicy::ALL).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    drop(pool.clone());
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn stream_keeps_a_temporary_pool(rig: Rig) {
    let results: Vec<u64> = rig.pool(2).map(double, 0..100).try_collect().await.unwrap();
    assert!(results.into_iter().eq((0..100).map(|n| 2 * n)));
}

pub async fn completed_stream_keeps_a_temporary_pool(rig: Rig) {
    let results = rig.pool(2).as_completed(double, 0..100).collect::<Vec<_>>().await;
    assert!(results.len() == 100 && results.iter().all(|(_, result)| result.is_ok()));
}

pub async fn stream_outlives_the_pool_half_way(rig: Rig) {
    let pool = rig.builder().max_workers(2).on_drop(CancellationPolicy::ALL).build().unwrap();
    let mut results = pool.map(double, 0..100).buffer(4);
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    drop(pool);
    let rest: Vec<u64> = results.try_collect().await.unwrap();
    assert!(rest.into_iter().eq((1..100).map(|n| 2 * n)));
}

pub async fn events_do_not_keep_the_pool(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    drop(pool);
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
    // The stream ends with the pool.
    events.for_each(async |_| ()).await;
}

pub async fn a_stream_whose_large_chunk_is_on_its_way_costs_no_worker(rig: Rig) {
    let pool = rig.pool(1);
    let length = |bytes: Vec<u8>| bytes.len();
    assert_eq!(pool.submit(length, vec![1; 9]).await.unwrap(), 9);
    let before = pool.workers()[0].id;
    for round in 0..30 {
        let mut lengths = pool.map(length, (0..8).map(|_| vec![7; 300_000])).chunk_size(8);
        // Under way, in another state of it each time.
        let _ = futures::poll!(lengths.next());
        for _ in 0..round * 200 {
            std::hint::spin_loop();
        }
        drop(lengths);
        assert_eq!(pool.submit(length, vec![1; 9]).await.unwrap(), 9);
    }
    assert_eq!(pool.workers()[0].id, before);
}

pub async fn on_a_thread_without_a_runtime(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    on_thread(move || drop(pool)).await;
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
}

pub async fn never_blocks(rig: Rig) {
    let pool = rig.builder().max_workers(2).on_drop(CancellationPolicy::ALL).build().unwrap();
    let busy = rig.occupy(&pool).await;
    // With the gate still closed, so that waiting for the workers would hang.
    drop(pool);
    busy.open();
}

pub async fn inside_a_task_of_the_same_pool(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let clone = pool.clone();
    let dropper = pool.spawn_blocking(move || drop(clone));
    let pending = pool.submit(mark, (journal, 1));
    drop(pool);
    assert!(!pending.is_finished(), "the clone in the task is the last");
    busy.release().await;
    assert_is!(dropper.await, Ok(()));
    assert_is!(pending.await, Err(TaskError::Cancelled));
    assert_eq!(journal.notes(), []);
}

pub async fn inside_an_async_task_of_the_same_pool(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let clone = pool.clone();
    let dropper = pool.spawn(async move {
        gate.pass().await;
        drop(clone);
    });
    gate.wait_arrivals(1).await;
    let pending = pool.submit(mark, (gate, 1));
    drop(pool);
    assert!(!pending.is_finished(), "the clone in the task is the last");
    gate.open();
    assert_is!(dropper.await, Ok(()));
    assert_is!(pending.await, Err(TaskError::Cancelled));
    assert_eq!(gate.notes(), []);
}

pub async fn executor_of_a_task_applies_nothing(rig: Rig) {
    let pool = rig.builder().max_workers(1).on_drop(CancellationPolicy::ALL).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let dropper = pool.submit(|()| drop(polypool::worker::executor().expect("inside a task")), ());
    let after = pool.submit(double, 21);
    busy.release().await;
    assert_is!(dropper.await, Ok(()));
    assert_eq!(after.await.unwrap(), 42);
}

/// A stream keeps its pool for itself: for the tasks of others, the last executor is the last.
pub async fn a_stream_does_not_keep_tasks_of_others_pending(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut results = rig.gated_map(&pool, [(gate, 1)]);
    assert!(futures::poll!(results.next()).is_pending());
    gate.wait_arrivals(1).await;
    let pending = pool.submit(double, 21);
    drop(pool);
    gate.open();
    assert_eq!(results.next().await.unwrap().unwrap(), 1);
    drop(results);
    // Cancelled when the executor went or when the stream did, or run in between: it resolves.
    assert_is!(pending.await, Ok(42) | Err(TaskError::Cancelled));
}
