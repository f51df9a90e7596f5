//! A handle: state, report, waking, moving about, detaching.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use futures::future::{Either, join, select};
use futures::poll;
use polypool::{TaskOptions, TaskState, worker};

use crate::gate::{Gate, NoteOnDrop};
use crate::rig::{Host, Rig, on_thread};
use crate::work::{double, hold_async, mark};

topic! { handle:
    Every [
        state_before_and_after,
        ids_are_unique,
        joined_on_a_plain_thread,
        report_of_a_task,
        report_of_a_task_that_never_started,
        report_names_the_worker,
        awaited_through_a_reference_after_losing_a_race,
        awaited_under_another_runtime,
        awaited_after_the_result_was_there,
    ]
    Unattended [
        state_follows_the_task,
        report_tells_waiting_from_running,
        dropped_handle_detaches,
        dropped_report_detaches,
        last_waker_is_woken,
        polled_here_awaited_elsewhere,
    ]
    Local Unattended [
        dropping_a_handle_drops_its_result_once,
    ]
}

pub async fn state_before_and_after(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let mut task = pool.submit(double, 1);
    assert_eq!(task.state(), TaskState::Queued);
    assert!(!task.is_finished());
    busy.release().await;
    assert_eq!((&mut task).await.unwrap(), 2);
    assert_eq!(task.state(), TaskState::Finished);
    assert!(task.is_finished());
}

pub async fn ids_are_unique(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..100).map(|n| pool.submit(double, n)).collect();
    assert_eq!(tasks.iter().map(|task| task.id()).collect::<HashSet<_>>().len(), 100);
}

pub async fn joined_on_a_plain_thread(rig: Rig) {
    let pool = rig.pool(1);
    let task = pool.submit(double, 21);
    assert_eq!(on_thread(move || task.blocking_join()).await.unwrap(), 42);
    let suspended = pool.submit_async(crate::work::double_async, 21);
    assert_eq!(on_thread(move || suspended.blocking_join()).await.unwrap(), 42);
}

pub async fn report_of_a_task(rig: Rig) {
    let options = TaskOptions::new().name("doubling").capture_output(true);
    let pool = rig.pool(1);
    let report = pool.submit_with(options, double, 21).report().await;
    assert_eq!(report.result.unwrap(), 42);
    assert_eq!(report.attempts, 1);
    assert_eq!((report.stdout.as_str(), report.stderr.as_str(), report.logs.len()), ("", "", 0));
}

pub async fn report_of_a_task_that_never_started(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    task.abort();
    let report = task.report().await;
    assert!(report.result.unwrap_err().is_cancelled());
    assert_eq!((report.attempts, report.worker, report.ran_for.as_nanos()), (0, None, 0));
    busy.release().await;
}

pub async fn report_names_the_worker(rig: Rig) {
    let pool = rig.pool(3);
    for _ in 0..20 {
        let report = pool.submit(|()| worker::index(), ()).report().await;
        assert!(report.worker.is_some());
        assert_eq!(report.worker, report.result.unwrap().map(|index| index as u64));
    }
}

pub async fn awaited_through_a_reference_after_losing_a_race(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut task = pool.submit_async(hold_async, (gate, 7));
    match select(&mut task, Box::pin(gate.wait_arrivals(1))).await {
        Either::Left(_) => panic!("the gate is closed"),
        Either::Right(((), _)) => gate.open(),
    }
    assert_eq!(task.await.unwrap(), 7);
}

pub async fn awaited_under_another_runtime(rig: Rig) {
    let pool = rig.pool(1);
    let task = pool.submit_async(crate::work::double_async, 21);
    assert_eq!(on_thread(move || Host::Standalone.block_on(task)).await.unwrap(), 42);
}

pub async fn awaited_after_the_result_was_there(rig: Rig) {
    let pool = rig.pool(1);
    let task = pool.submit(double, 21);
    assert_eq!(pool.submit(double, 4).await.unwrap(), 8);
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn state_follows_the_task(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let first = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let second = pool.submit(double, 2);
    assert_eq!((first.state(), second.state()), (TaskState::Running, TaskState::Queued));
    gate.open();
    let third = pool.submit(double, 3);
    assert_eq!(third.await.unwrap(), 6);
    assert_eq!((first.state(), second.state()), (TaskState::Finished, TaskState::Finished));
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 4));
}

pub async fn report_tells_waiting_from_running(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let before_submit = Instant::now();
    let running = rig.gated(&pool, gate, 1);
    let waiting = pool.submit(double, 2);
    gate.wait_arrivals(1).await;
    let seen_running = Instant::now();
    rig.outlast(crate::rig::SHORT).await;
    let held_for = seen_running.elapsed();
    gate.open();
    let (running, waiting) = join(running.report(), waiting.report()).await;
    let in_all = before_submit.elapsed();
    assert!(running.ran_for >= held_for && waiting.queued_for >= held_for);
    assert!(running.queued_for + running.ran_for <= in_all, "{running:?} in {in_all:?}");
    assert!(waiting.queued_for + waiting.ran_for <= in_all, "{waiting:?} in {in_all:?}");
}

pub async fn dropped_handle_detaches(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    (0..10).for_each(|n| drop(pool.submit(mark, (journal, n))));
    busy.release().await;
    journal.wait_notes(10).await;
    assert!(journal.notes().into_iter().eq(0..10));
}

pub async fn dropped_report_detaches(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut report = Box::pin(rig.gated(&pool, gate, 1).report());
    assert!(poll!(&mut report).is_pending());
    drop(report);
    gate.open();
    gate.wait_notes(1).await;
}

/// Opens its gate when it is woken.
struct Bell(Gate);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.open();
    }
}

pub async fn last_waker_is_woken(rig: Rig) {
    let (pool, gate, bell) = (rig.pool(1), rig.gate(), rig.gate());
    let mut task = Box::pin(rig.gated(&pool, gate, 7));
    assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let waker = Waker::from(Arc::new(Bell(bell)));
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    bell.pass().await;
    assert_eq!(task.await.unwrap(), 7);
}

pub async fn polled_here_awaited_elsewhere(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut task = rig.gated(&pool, gate, 7);
    assert!(poll!(&mut task).is_pending());
    let elsewhere = on_thread(move || {
        let mut task = task;
        let pending = futures::FutureExt::now_or_never(&mut task).is_none();
        gate.open();
        (pending, Host::Standalone.block_on(task))
    });
    let (pending, result) = elsewhere.await;
    assert!(pending);
    assert_eq!(result.unwrap(), 7);
}

pub async fn dropping_a_handle_drops_its_result_once(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let task = pool.submit(|drops| NoteOnDrop(drops, 1), drops);
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    assert!(task.is_finished());
    assert_eq!(drops.notes(), []);
    drop(task);
    assert_eq!(drops.notes(), [1]);
}
