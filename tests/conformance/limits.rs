//! `max_pending`: the exact bound, who is refused, who waits, and who gets the room that becomes free.

use futures::future::{join, join_all};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, poll};
use polypool::{Executor, TaskError};

use crate::rig::{Busy, Rig};
use crate::work::{double, double_async, mark};

topic! { limits:
    Every [
        bound_is_exact,
        submit_over_the_bound_resolves_as_full,
        try_submit_gives_the_argument_back,
        aborted_task_leaves_room,
        no_bound_by_default,
        submit_when_ready_without_a_bound,
        submit_when_ready_with_room,
        submit_when_ready_waits_for_room,
        submit_when_ready_that_is_dropped_takes_no_room,
        submit_when_ready_that_is_dropped_with_room_given_passes_it_on,
        submit_when_ready_that_was_never_polled,
        map_with_a_window_wider_than_the_bound,
        as_completed_with_a_window_wider_than_the_bound,
        two_streams_share_a_narrow_bound,
        run_on_all_with_a_narrow_bound,
    ]
    Unattended [
        running_tasks_do_not_count,
        started_task_leaves_room,
        submit_when_ready_is_first_come_first_served,
        many_wait_for_room,
    ]
}

/// A pool of one busy worker and room for `n` more tasks.
async fn bounded(rig: &Rig, n: usize) -> (Executor, Busy) {
    let pool = rig.builder().max_workers(1).max_pending(n).build().unwrap();
    let busy = rig.occupy(&pool).await;
    (pool, busy)
}

pub async fn bound_is_exact(rig: Rig) {
    let (pool, busy) = bounded(&rig, 3).await;
    let third = if rig.is_local() { pool.spawn(async { 6 }) } else { pool.submit(double, 3) };
    let tasks = [pool.submit(double, 1), pool.submit_async(double_async, 2), third];
    assert_eq!(pool.stats().queued, 3);
    assert_is!(pool.submit(double, 4).await, Err(TaskError::QueueFull));
    assert_is!(pool.submit_async(double_async, 4).await, Err(TaskError::QueueFull));
    if rig.is_local() {
        assert_is!(pool.spawn(async { 4 }).await, Err(TaskError::QueueFull));
        assert_is!(pool.spawn_blocking(|| 4).await, Err(TaskError::QueueFull));
    }
    assert_eq!(pool.stats().queued, 3);
    busy.release().await;
    for (n, result) in (1..).zip(join_all(tasks).await) {
        assert_eq!(result.unwrap(), 2 * n);
    }
}

pub async fn submit_over_the_bound_resolves_as_full(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let journal = rig.gate();
    let pending = pool.submit(mark, (journal, 1));
    let refused = pool.submit(mark, (journal, 2));
    assert!(refused.is_finished());
    let report = refused.report().await;
    assert_is!(report.result, Err(TaskError::QueueFull));
    assert_eq!(report.attempts, 0);
    busy.release().await;
    assert_eq!(pending.await.unwrap(), 1);
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), [1]);
}

pub async fn try_submit_gives_the_argument_back(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let length = |text: String| text.len();
    let pending = pool.try_submit(length, "first".to_owned()).expect("there is room");
    let refused = pool.try_submit(length, "second".to_owned()).unwrap_err();
    assert_eq!(refused.arg, "second");
    assert_is!(refused.reason, TaskError::QueueFull);
    busy.release().await;
    assert_eq!(pending.await.unwrap(), 5);
    assert_eq!(pool.try_submit(length, refused.arg).expect("there is room again").await.unwrap(), 6);
}

pub async fn aborted_task_leaves_room(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    for n in 0..10 {
        let pending = pool.try_submit(double, n).expect("there is room");
        assert!(pool.try_submit(double, n).is_err());
        pending.abort();
    }
    busy.release().await;
}

pub async fn no_bound_by_default(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..20_000).map(|n| pool.try_submit(double, n).expect("there is room")).collect();
    assert_eq!(pool.stats().queued, 20_000);
    drop((tasks, pool));
    busy.release().await;
}

pub async fn submit_when_ready_without_a_bound(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit_when_ready(double, 21).now_or_never().expect("there is room");
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn submit_when_ready_with_room(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let task = pool.submit_when_ready(double, 21).now_or_never().expect("there is room");
    assert!(pool.submit_when_ready(double, 21).now_or_never().is_none());
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn submit_when_ready_waits_for_room(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let pending = pool.submit(double, 1);
    let mut waiting = Box::pin(pool.submit_when_ready(double, 21));
    assert!(poll!(&mut waiting).is_pending());
    busy.open();
    let (pending, waited) = join(pending, async { waiting.await.await }).await;
    assert_eq!((pending.unwrap(), waited.unwrap()), (2, 42));
}

pub async fn submit_when_ready_that_is_dropped_takes_no_room(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let pending = pool.submit(double, 1);
    let mut dropped = Box::pin(pool.submit_when_ready(double, 2));
    let mut waiting = Box::pin(pool.submit_when_ready(double, 21));
    assert!(poll!(&mut dropped).is_pending() && poll!(&mut waiting).is_pending());
    drop(dropped);
    pending.abort();
    let task = waiting.await;
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn submit_when_ready_that_is_dropped_with_room_given_passes_it_on(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let pending = pool.submit(double, 1);
    let mut dropped = Box::pin(pool.submit_when_ready(double, 2));
    let mut waiting = Box::pin(pool.submit_when_ready(double, 21));
    assert!(poll!(&mut dropped).is_pending() && poll!(&mut waiting).is_pending());
    pending.abort();
    drop(dropped);
    let task = waiting.await;
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn submit_when_ready_that_was_never_polled(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    drop(pool.submit_when_ready(double, 1));
    let task = pool.try_submit(double, 21).expect("there is room");
    busy.release().await;
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn map_with_a_window_wider_than_the_bound(rig: Rig) {
    let pool = rig.builder().max_workers(2).max_pending(2).build().unwrap();
    let results: Vec<u64> = pool.map(double, 0..500).chunk_size(1).buffer(64).try_collect().await.unwrap();
    assert!(results.into_iter().eq((0..500).map(|n| 2 * n)));
}

pub async fn as_completed_with_a_window_wider_than_the_bound(rig: Rig) {
    let pool = rig.builder().max_workers(2).max_pending(1).build().unwrap();
    let mut results: Vec<(usize, u64)> = pool
        .as_completed(double, 0..500)
        .map(|(index, result)| result.map(|value| (index, value)))
        .try_collect()
        .await
        .unwrap();
    results.sort_unstable();
    assert!(results.into_iter().eq((0..500).map(|n| (n as usize, 2 * n))));
}

pub async fn two_streams_share_a_narrow_bound(rig: Rig) {
    let pool = rig.builder().max_workers(1).max_pending(1).build().unwrap();
    let all = |pool: &Executor| pool.map(double, 0..200).chunk_size(1).buffer(16).try_collect::<Vec<_>>();
    let (first, second) = join(all(&pool), all(&pool)).await;
    assert_eq!((first.unwrap().len(), second.unwrap().len()), (200, 200));
}

pub async fn run_on_all_with_a_narrow_bound(rig: Rig) {
    let pool = rig.builder().max_workers(3).max_pending(1).build().unwrap();
    let results = pool.run_on_all(double, 21).await;
    assert_eq!(results.len(), pool.max_workers());
    assert!(results.into_iter().all(|result| matches!(result, Ok(42))));
}

pub async fn running_tasks_do_not_count(rig: Rig) {
    let pool = rig.builder().max_workers(3).max_pending(1).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let pending = pool.try_submit(double, 21).expect("three run, none waits");
    assert!(pool.try_submit(double, 21).is_err());
    busy.release().await;
    assert_eq!(pending.await.unwrap(), 42);
}

pub async fn started_task_leaves_room(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let gate = rig.gate();
    let second = rig.gated(&pool, gate, 2);
    assert!(pool.try_submit(double, 1).is_err());
    busy.release().await;
    gate.wait_arrivals(1).await;
    let third = pool.try_submit(double, 21).expect("the second runs");
    gate.open();
    assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 42));
}

pub async fn submit_when_ready_is_first_come_first_served(rig: Rig) {
    let (pool, busy) = bounded(&rig, 1).await;
    let journal = rig.gate();
    let pending = pool.submit(mark, (journal, 0));
    let mut waiting: Vec<_> = (1..=5).map(|n| Box::pin(pool.submit_when_ready(mark, (journal, n)))).collect();
    for waiting in &mut waiting {
        assert!(poll!(waiting).is_pending());
    }
    let tasks = join_all(waiting.into_iter().rev().map(async |waiting| waiting.await.await));
    let ((), results) = join(busy.release(), tasks).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    assert_eq!(pending.await.unwrap(), 0);
    assert_eq!(journal.notes(), [0, 1, 2, 3, 4, 5]);
}

pub async fn many_wait_for_room(rig: Rig) {
    let pool = rig.builder().max_workers(2).max_pending(2).build().unwrap();
    let results = join_all((0..500).map(|n| {
        let ready = pool.submit_when_ready(double, n);
        async move { ready.await.await }
    }))
    .await;
    assert!(results.into_iter().map(Result::unwrap).eq((0..500).map(|n| 2 * n)));
}
