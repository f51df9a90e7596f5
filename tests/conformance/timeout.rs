//! Time limits of tasks. The limits run out or they do not; none is measured.

use std::time::Duration;

use futures::future::join;
use polypool::{TaskError, TaskOptions, TaskState};

use crate::gate::{Gate, NoteOnDrop};
use crate::rig::{AGES, Rig, SHORT};
use crate::work::{double, double_async, hold_async, run_until_asked_to_stop};

topic! { timeout:
    Every [
        task_that_ends_in_time,
        endless_limit_is_none,
    ]
    Unattended [
        task_runs_out_of_time,
        async_task_runs_out_of_time,
        pool_goes_on,
        runs_from_the_start_not_from_the_submission,
        limit_of_the_pool,
        own_limit_overrides_a_longer_one_of_the_pool,
        own_limit_overrides_a_shorter_one_of_the_pool,
        counts_as_failed,
        each_of_many,
        shorter_limit_after_a_longer_one,
        result_after_the_limit_goes_nowhere,
    ]
    Local Unattended [
        spawned_future_runs_out_of_time,
    ]
    ByAsking [
        running_code_sees_the_token,
    ]
    Forceful [
        waiting_future_is_dropped,
    ]
}

fn within(limit: Duration) -> TaskOptions {
    TaskOptions::new().timeout(limit)
}

pub async fn task_that_ends_in_time(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(AGES).build().unwrap();
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_with(within(AGES), double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_async_with(within(AGES), double_async, 21).await.unwrap(), 42);
}

pub async fn endless_limit_is_none(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(Duration::MAX).build().unwrap();
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_async_with(within(Duration::MAX), double_async, 21).await.unwrap(), 42);
}

pub async fn task_runs_out_of_time(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let report = rig.gated_with(within(SHORT), &pool, gate, 1).report().await;
    assert_is!(report.result, Err(TaskError::TimedOut { after: SHORT }));
    assert_eq!(report.attempts, 1);
    assert!(report.ran_for >= SHORT, "ended after {:?}", report.ran_for);
    gate.open();
}

pub async fn async_task_runs_out_of_time(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit_async_with(within(SHORT), hold_async, (gate, 1));
    assert_is!(task.await, Err(TaskError::TimedOut { after: SHORT }));
    // With the gate still closed: the future is dropped, and its worker goes on.
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn spawned_future_runs_out_of_time(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(SHORT).build().unwrap();
    assert_is!(pool.spawn(rig.gate().pass()).await, Err(TaskError::TimedOut { after: SHORT }));
}

pub async fn pool_goes_on(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let timed_out = rig.gated_with(within(SHORT), &pool, gate, 1);
    let next = pool.submit(double, 21);
    assert!(timed_out.await.unwrap_err().is_timed_out());
    gate.open();
    assert_eq!(next.await.unwrap(), 42);
}

pub async fn runs_from_the_start_not_from_the_submission(rig: Rig) {
    let pool = rig.builder().max_workers(1).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let (sync, suspended) = (
        pool.submit_with(within(SHORT), double, 21),
        pool.submit_async_with(within(SHORT), double_async, 21),
    );
    rig.outlast(SHORT).await;
    assert_eq!((sync.state(), suspended.state()), (TaskState::Queued, TaskState::Queued));
    busy.release().await;
    let (sync, suspended) = join(sync.report(), suspended.report()).await;
    assert_eq!((sync.attempts, suspended.attempts), (1, 1), "both came to their turn");
}

pub async fn limit_of_the_pool(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(SHORT).build().unwrap();
    let gate = rig.gate();
    assert_is!(rig.gated(&pool, gate, 1).await, Err(TaskError::TimedOut { after: SHORT }));
    gate.open();
}

pub async fn own_limit_overrides_a_longer_one_of_the_pool(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(AGES).build().unwrap();
    let gate = rig.gate();
    let task = rig.gated_with(within(SHORT), &pool, gate, 1);
    assert_is!(task.await, Err(TaskError::TimedOut { after: SHORT }));
    gate.open();
}

pub async fn own_limit_overrides_a_shorter_one_of_the_pool(rig: Rig) {
    let pool = rig.builder().max_workers(1).task_timeout(SHORT).build().unwrap();
    let gate = rig.gate();
    let task = rig.gated_with(within(AGES), &pool, gate, 1);
    gate.wait_arrivals(1).await;
    rig.outlast(SHORT).await;
    assert_eq!(task.state(), TaskState::Running);
    gate.open();
    assert_eq!(task.await.unwrap(), 1);
}

pub async fn counts_as_failed(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    assert!(rig.gated_with(within(SHORT), &pool, gate, 1).await.is_err());
    gate.open();
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (0, 1, 0));
}

pub async fn each_of_many(rig: Rig) {
    let (pool, gate) = (rig.pool(4), rig.gate());
    let tasks: Vec<_> =
        (0..100).map(|n| pool.submit_async_with(within(SHORT / 4), hold_async, (gate, n))).collect();
    for task in tasks {
        assert!(task.await.unwrap_err().is_timed_out());
    }
}

pub async fn shorter_limit_after_a_longer_one(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let long = rig.gated_with(within(AGES), &pool, gate, 1);
    gate.wait_arrivals(1).await;
    for _ in 0..3 {
        let short = pool.submit_async_with(within(SHORT), hold_async, (gate, 2));
        assert_is!(short.await, Err(TaskError::TimedOut { after: SHORT }));
    }
    assert_eq!(long.state(), TaskState::Running);
    gate.open();
    assert_eq!(long.await.unwrap(), 1);
}

pub async fn result_after_the_limit_goes_nowhere(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = rig.gated_with(within(SHORT), &pool, gate, 1);
    gate.wait_arrivals(1).await;
    rig.outlast(SHORT).await;
    // Whether its limit has been noticed by now is the runtime's affair; that there is one result is ours.
    gate.open();
    assert_is!(task.await, Ok(1) | Err(TaskError::TimedOut { .. }));
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn running_code_sees_the_token(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit_with(within(SHORT), run_until_asked_to_stop, (gate, 1));
    assert_is!(task.await, Err(TaskError::TimedOut { .. }));
    gate.wait_notes(1).await;
}

pub async fn waiting_future_is_dropped(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit_async_with(
        within(SHORT),
        async |gate: Gate| {
            let _guard = NoteOnDrop(gate, 1);
            gate.pass().await;
            gate.note(2);
        },
        gate,
    );
    assert_is!(task.await, Err(TaskError::TimedOut { .. }));
    // It ends when the future is dropped.
    pool.shutdown(false).await;
    gate.open();
    let notes = gate.notes();
    // On the way to another machine the time may be over before it is polled once.
    assert!(notes == [1] || (rig.is_far() && notes.is_empty()), "{notes:?}");
}
