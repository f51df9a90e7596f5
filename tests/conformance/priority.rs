//! Who goes first, on one worker that was busy while they queued up.

use futures::future::join_all;
use polypool::{Executor, TaskHandle, TaskOptions};

use crate::gate::Gate;
use crate::rig::Rig;
use crate::work::{mark, mark_async};

topic! { priority:
    Unattended [
        equal_ones_in_order_of_submission,
        higher_first,
        order_within_a_priority_is_kept,
        extremes,
        async_tasks_and_functions_alike,
        late_but_urgent_goes_before_what_waits,
        abort_leaves_the_order_of_the_rest,
        streams_queue_up_with_tasks,
    ]
    Local Unattended [
        default_is_zero_for_spawned_ones_too,
    ]
}

fn submit(pool: &Executor, journal: Gate, (priority, number): (i32, u64)) -> TaskHandle<u64> {
    pool.submit_with(TaskOptions::new().priority(priority), mark, (journal, number))
}

/// Submits tasks of these priorities and numbers while the one worker is busy, and gives the order in which they ran.
async fn order(rig: &Rig, tasks: impl IntoIterator<Item = (i32, u64)>) -> Vec<u64> {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = tasks.into_iter().map(|task| submit(&pool, journal, task)).collect();
    busy.release().await;
    assert!(join_all(tasks).await.into_iter().all(|result| result.is_ok()));
    journal.notes()
}

pub async fn equal_ones_in_order_of_submission(rig: Rig) {
    assert!(order(&rig, (0..500).map(|n| (0, n))).await.into_iter().eq(0..500));
    assert!(order(&rig, (0..500).map(|n| (7, n))).await.into_iter().eq(0..500));
}

pub async fn higher_first(rig: Rig) {
    assert_eq!(order(&rig, [(1, 1), (-5, 2), (3, 3), (0, 4), (2, 5)]).await, [3, 5, 1, 4, 2]);
}

pub async fn order_within_a_priority_is_kept(rig: Rig) {
    let mixed = (0..90).map(|n| (n as i32 % 3, n));
    let expected =
        (0..90).filter(|n| n % 3 == 2).chain((0..90).filter(|n| n % 3 == 1)).chain((0..90).step_by(3));
    assert!(order(&rig, mixed).await.into_iter().eq(expected));
}

pub async fn extremes(rig: Rig) {
    let tasks = [(i32::MIN, 1), (0, 2), (i32::MAX, 3), (-1, 4), (1, 5), (i32::MIN, 6), (i32::MAX, 7)];
    assert_eq!(order(&rig, tasks).await, [3, 7, 5, 2, 4, 1, 6]);
}

pub async fn async_tasks_and_functions_alike(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let urgent = || TaskOptions::new().priority(1);
    let tasks = [
        pool.submit_async(mark_async, (journal, 1)),
        pool.submit(mark, (journal, 2)),
        pool.submit_async_with(urgent(), mark_async, (journal, 3)),
        pool.submit_with(urgent(), mark, (journal, 4)),
    ];
    busy.release().await;
    join_all(tasks).await;
    assert_eq!(journal.notes(), [3, 4, 1, 2]);
}

pub async fn default_is_zero_for_spawned_ones_too(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let tasks = [
        submit(&pool, journal, (-1, 1)),
        pool.spawn(mark_async((journal, 2))),
        pool.spawn_blocking(move || mark((journal, 3))),
        submit(&pool, journal, (1, 4)),
        submit(&pool, journal, (0, 5)),
    ];
    busy.release().await;
    join_all(tasks).await;
    assert_eq!(journal.notes(), [4, 2, 3, 5, 1]);
}

/// Also when what waits has been looked at before: the worker takes one task at a time.
pub async fn late_but_urgent_goes_before_what_waits(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut tasks: Vec<_> = (0..4).map(|n| rig.gated(&pool, gate, n)).collect();
    gate.admit(1);
    gate.wait_arrivals(2).await;
    tasks.push(submit(&pool, gate, (1, 10)));
    gate.admit(1);
    gate.wait_arrivals(3).await;
    tasks.push(submit(&pool, gate, (1, 11)));
    gate.open();
    join_all(tasks).await;
    assert_eq!(gate.notes(), [0, 1, 10, 2, 11, 3]);
}

pub async fn abort_leaves_the_order_of_the_rest(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..30).map(|n| submit(&pool, journal, (n as i32 % 3, n))).collect();
    tasks.iter().filter(|task| task.id().to_string().ends_with('5')).for_each(TaskHandle::abort);
    let kept: Vec<bool> = tasks.iter().map(|task| !task.is_finished()).collect();
    busy.release().await;
    join_all(tasks).await;
    let left = |n: &u64| kept[*n as usize];
    let expected =
        (0..30).filter(|n| n % 3 == 2).chain((0..30).filter(|n| n % 3 == 1)).chain((0..30).step_by(3));
    assert!(journal.notes().into_iter().eq(expected.filter(left)));
}

pub async fn streams_queue_up_with_tasks(rig: Rig) {
    use futures::StreamExt as _;

    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let mut results = pool.map(mark, (1..=3).map(move |n| (journal, n))).chunk_size(1).buffer(3);
    assert!(futures::poll!(results.next()).is_pending());
    let (plain, urgent) = (submit(&pool, journal, (0, 4)), submit(&pool, journal, (1, 5)));
    busy.release().await;
    assert_eq!(results.count().await, 3);
    join_all([plain, urgent]).await;
    assert_eq!(journal.notes()[0], 5);
    assert_eq!(journal.sorted_notes(), [1, 2, 3, 4, 5]);
}
