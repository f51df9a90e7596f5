//! Cancelling single tasks: before the start, while running, too late, and ten thousand at a time.

use std::sync::mpsc;

use futures::future::{join, join_all};
use polypool::{AbortHandle, Executor, TaskError, TaskHandle, TaskState, worker};

use crate::gate::{Gate, NoteOnDrop};
use crate::rig::{Rig, on_thread};
use crate::work::{double, mark, mark_async, run_until_asked_to_stop};

topic! { cancel:
    Every [
        aborted_before_the_start_never_runs,
        aborted_async_before_the_start_never_runs,
        abort_twice,
        abort_after_the_end_keeps_the_result,
        cancel_before_the_start,
        abort_handle_outlives_its_handle,
        abort_handle_before_the_start,
        token_is_not_set_without_a_reason,
        token_of_a_task_is_not_that_of_the_next,
        a_million_pending_tasks_by_dropping_the_pool,
        a_million_pending_tasks_by_their_handles,
    ]
    Unattended [
        aborted_while_running,
        aborted_async_while_running,
        cancel_while_running,
        cancel_after_the_end_gives_the_value,
        cancel_that_is_not_awaited_to_the_end,
        aborted_among_many_waiting,
        ten_thousand_cancels_race_with_dispatch,
    ]
    Local Unattended [
        aborted_from_another_task,
        spawned_future_is_dropped_when_aborted,
        ten_thousand_cancels_of_closures_race_with_dispatch,
    ]
    ByAsking [
        running_code_sees_the_token,
        running_code_waits_for_the_token,
    ]
    Forceful [
        waiting_future_is_dropped_at_its_await,
    ]
}

pub async fn aborted_before_the_start_never_runs(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let (aborted, kept) = (pool.submit(mark, (journal, 1)), pool.submit(mark, (journal, 2)));
    aborted.abort();
    assert_eq!(aborted.state(), TaskState::Finished);
    assert_is!(aborted.await, Err(TaskError::Cancelled));
    busy.release().await;
    assert_eq!(kept.await.unwrap(), 2);
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), [2]);
}

pub async fn aborted_async_before_the_start_never_runs(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let (aborted, kept) =
        (pool.submit_async(mark_async, (journal, 1)), pool.submit_async(mark_async, (journal, 2)));
    aborted.abort();
    assert_is!(aborted.await, Err(TaskError::Cancelled));
    busy.release().await;
    assert_eq!(kept.await.unwrap(), 2);
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), [2]);
}

pub async fn abort_twice(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 1);
    task.abort();
    task.abort();
    task.abort_handle().abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
    assert_eq!(pool.shutdown(false).await.cancelled, 1);
}

/// Waits for the end of a task and leaves the result in its handle: with one worker and no priorities, a task that is submitted
/// later ends later.
async fn finished(rig: &Rig) -> (Executor, TaskHandle<u64>) {
    let pool = rig.pool(1);
    let task = pool.submit(double, 21);
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    (pool, task)
}

pub async fn abort_after_the_end_keeps_the_result(rig: Rig) {
    let (_pool, task) = finished(&rig).await;
    if rig.runs_alone() {
        // What was not polled has not run, so this abort is in time.
        task.abort();
        return assert_is!(task.await, Err(TaskError::Cancelled));
    }
    task.abort();
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn cancel_after_the_end_gives_the_value(rig: Rig) {
    let (_pool, task) = finished(&rig).await;
    assert_eq!(task.cancel().await, Some(42));
}

pub async fn cancel_before_the_start(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    assert_eq!(pool.submit(mark, (journal, 1)).cancel().await, None);
    busy.release().await;
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}

pub async fn abort_handle_outlives_its_handle(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let abort = pool.submit(mark, (journal, 1)).abort_handle();
    assert!(!abort.is_finished());
    abort.abort();
    assert!(abort.is_finished());
    busy.release().await;
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}

pub async fn abort_handle_before_the_start(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 1);
    let abort = task.abort_handle();
    on_thread(move || abort.clone().abort()).await;
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
}

pub async fn token_is_not_set_without_a_reason(rig: Rig) {
    assert!(!worker::is_cancelled());
    assert!(!rig.pool(1).submit(|()| worker::is_cancelled(), ()).await.unwrap());
}

pub async fn token_of_a_task_is_not_that_of_the_next(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut first = rig.gated(&pool, gate, 1);
    assert!(futures::poll!(&mut first).is_pending());
    gate.wait_arrivals(1).await;
    let second = pool.submit(|()| worker::is_cancelled(), ());
    let third = pool.submit_async(async |()| worker::is_cancelled(), ());
    first.abort();
    assert_is!(first.await, Err(TaskError::Cancelled));
    gate.open();
    assert!(!second.await.unwrap() && !third.await.unwrap());
}

pub async fn aborted_while_running(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    task.abort();
    // The gate is still closed: the handle does not wait for code that cannot be stopped.
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.open();
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn aborted_async_while_running(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit_async(crate::work::hold_async, (gate, 1));
    gate.wait_arrivals(1).await;
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    // The gate is still closed: a future is dropped at its await on every backend, and its worker goes on.
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    gate.open();
    pool.shutdown(false).await;
    assert_eq!(gate.notes(), []);
}

pub async fn cancel_while_running(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    assert_eq!(task.cancel().await, None);
    gate.open();
}

pub async fn cancel_that_is_not_awaited_to_the_end(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let mut cancel = Box::pin(pool.submit(mark, (journal, 1)).cancel());
    let _ = futures::poll!(&mut cancel);
    drop(cancel);
    busy.release().await;
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}

pub async fn aborted_among_many_waiting(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..100).map(|n| pool.submit(mark, (journal, n))).collect();
    tasks.iter().skip(1).step_by(2).for_each(TaskHandle::abort);
    assert_eq!(pool.stats().queued, 50);
    busy.release().await;
    for (n, result) in (0..).zip(join_all(tasks).await) {
        assert_eq!(result.ok(), (n % 2 == 0).then_some(n));
    }
    assert!(journal.notes().into_iter().eq((0..100).step_by(2)), "in the order of submission");
}

pub async fn aborted_from_another_task(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let victim = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let abort = victim.abort_handle();
    pool.spawn_blocking(move || abort.abort()).await.unwrap();
    assert_is!(victim.await, Err(TaskError::Cancelled));
}

pub async fn spawned_future_is_dropped_when_aborted(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let guard = NoteOnDrop(drops, 1);
    let task = pool.spawn(async move {
        drops.pass().await;
        drop(guard);
    });
    drops.wait_arrivals(1).await;
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    drops.wait_notes(1).await;
}

pub async fn running_code_sees_the_token(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit(run_until_asked_to_stop, (gate, 7));
    gate.wait_arrivals(1).await;
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.wait_notes(1).await;
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn running_code_waits_for_the_token(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let waiting = |gate: Gate| {
        gate.note(1);
        futures::executor::block_on(worker::cancelled());
        gate.note(2);
    };
    let task = pool.submit(waiting, gate);
    gate.wait_notes(1).await;
    assert!(!task.is_finished());
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.wait_notes(2).await;
    let next = pool.submit(waiting, gate);
    gate.wait_notes(3).await;
    assert!(!next.is_finished(), "the token of the task before is not its own");
    next.abort();
    gate.wait_notes(4).await;
}

pub async fn waiting_future_is_dropped_at_its_await(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.submit_async(
        async |gate: Gate| {
            let _guard = NoteOnDrop(gate, 1);
            gate.pass().await;
            gate.note(2);
        },
        gate,
    );
    gate.wait_arrivals(1).await;
    task.abort();
    gate.wait_notes(1).await;
    gate.open();
    assert_is!(task.await, Err(TaskError::Cancelled));
    pool.shutdown(false).await;
    assert_eq!(gate.notes(), [1]);
}

const RACERS: u64 = 10_000;

/// Aborts whatever comes along, on a thread of its own.
fn aborter() -> (mpsc::Sender<AbortHandle>, impl Future<Output = ()>) {
    let (send, receive) = mpsc::channel::<AbortHandle>();
    (send, on_thread(move || receive.into_iter().for_each(|abort| abort.abort())))
}

/// Judges a race: each handle says once what became of its task, and what it says is so.
async fn judge(rig: &Rig, pool: Executor, journal: Gate, tasks: Vec<TaskHandle<u64>>) {
    let (mut started, mut completed) = (Vec::new(), Vec::new());
    for (n, report) in (0..).zip(join_all(tasks.into_iter().map(TaskHandle::report)).await) {
        match (report.result, report.attempts) {
            (Ok(value), 1) if value == n => completed.push(n),
            (Err(TaskError::Cancelled), 0) => continue,
            (Err(TaskError::Cancelled), 1) => {}
            (result, attempts) => panic!("task {n} after {attempts} attempts: {result:?}"),
        }
        started.push(n);
    }
    let totals = pool.shutdown(false).await;
    let counted = completed.len() as u64;
    assert_eq!((totals.completed, totals.failed, totals.cancelled), (counted, 0, RACERS - counted));
    // What never started according to its report never ran, and the rest ran once: also those that were cancelled while running,
    // where code is only asked to stop. Where it is stopped, those may have come to their note or not.
    let notes = journal.sorted_notes();
    if rig.is_local() {
        return assert_eq!(notes, started);
    }
    assert!(notes.windows(2).all(|two| two[0] < two[1]), "none runs twice");
    assert!(notes.iter().all(|n| started.binary_search(n).is_ok()));
    assert!(completed.iter().all(|n| notes.binary_search(n).is_ok()));
}

pub async fn ten_thousand_cancels_race_with_dispatch(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let (abort, aborter) = aborter();
    let tasks: Vec<_> = (0..RACERS)
        .map(|n| {
            let task = pool.submit(mark, (journal, n));
            abort.send(task.abort_handle()).unwrap();
            task
        })
        .collect();
    drop(abort);
    let ((), ()) = join(aborter, judge(&rig, pool, journal, tasks)).await;
}

pub async fn ten_thousand_cancels_of_closures_race_with_dispatch(rig: Rig) {
    let (pool, journal, drops) = (rig.pool(2), rig.gate(), rig.gate());
    let (abort, aborter) = aborter();
    let tasks: Vec<_> = (0..RACERS)
        .map(|n| {
            let captured = NoteOnDrop(drops, n);
            let task = pool.spawn_blocking(move || {
                journal.note(captured.1);
                captured.1
            });
            abort.send(task.abort_handle()).unwrap();
            task
        })
        .collect();
    drop(abort);
    let ((), ()) = join(aborter, judge(&rig, pool, journal, tasks)).await;
    assert!(drops.sorted_notes().into_iter().eq(0..RACERS), "each closure is dropped once, run or not");
}

const MILLION: u64 = 1_000_000;

async fn a_million_pending(rig: &Rig, settle: impl AsyncFnOnce(Executor, &mut Vec<TaskHandle<u64>>)) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let mut tasks: Vec<_> = (0..MILLION).map(|n| pool.submit(mark, (journal, n))).collect();
    settle(pool, &mut tasks).await;
    for task in tasks {
        assert_is!(task.await, Err(TaskError::Cancelled));
    }
    assert_eq!(journal.notes(), []);
    busy.release().await;
}

pub async fn a_million_pending_tasks_by_dropping_the_pool(rig: Rig) {
    a_million_pending(&rig, async |pool, _tasks| drop(pool)).await;
}

pub async fn a_million_pending_tasks_by_their_handles(rig: Rig) {
    a_million_pending(&rig, async |pool, tasks| {
        tasks.iter().for_each(TaskHandle::abort);
        assert_eq!(pool.stats().queued, 0);
    })
    .await;
}
