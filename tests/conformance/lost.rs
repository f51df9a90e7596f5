//! Workers that die under their tasks: what the task is told, and that nobody else is told anything.

use futures::StreamExt as _;
use futures::future::join_all;
use polypool::{EventKind, Executor, Exit, TaskError, TaskHandle, TaskOptions, WorkerLost, worker};
use serde::{Deserialize, Serialize};

use crate::gate::Gate;
use crate::rig::Rig;
use crate::work::{Call, double, fail, mark};

topic! { lost:
    Mortal [
        exit_code_is_told,
        signal_is_told,
        in_an_async_task,
        names_the_worker_and_its_process,
        worker_is_replaced,
        queued_tasks_survive,
        other_workers_are_left_alone,
        all_workers_at_once,
        forty_in_a_row,
        tried_again_until_it_lives,
        tried_again_as_the_pool_says,
        tried_again_no_more_than_allowed,
        own_panic_is_never_tried_again,
        own_error_is_never_tried_again,
        is_counted_as_failed,
        is_told_by_the_events,
        second_attempt_is_told_by_the_events,
        item_of_a_stream_alone,
        item_inside_a_chunk_alone,
        item_inside_a_chunk_tried_as_often_as_any,
        on_one_of_all,
        while_the_pool_is_shut_down,
        with_a_limit_of_time,
        aborted_before_its_second_attempt,
    ]
}

/// A way to go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum End {
    Exit(i32),
    Abort,
}

fn die(end: End) -> u64 {
    match end {
        End::Exit(code) => std::process::exit(code),
        End::Abort => std::process::abort(),
    }
}

/// Notes which worker and which process it is, and dies.
fn sign_and_die((journal, end): (Gate, End)) -> u64 {
    journal.note(worker::id().expect("inside a task"));
    journal.note(u64::from(std::process::id()));
    die(end)
}

/// Dies in the first so many attempts, as counted at the gate.
fn die_before((gate, deaths): Call) -> u64 {
    if (gate.arrive() as u64) < deaths { die(End::Abort) } else { mark((gate, deaths)) }
}

fn die_at_zero((journal, value): Call) -> u64 {
    if value == 0 { die(End::Exit(3)) } else { mark((journal, value)) }
}

fn own_pid((): ()) -> u32 {
    std::process::id()
}

async fn loss_of<R: std::fmt::Debug>(task: TaskHandle<R>) -> WorkerLost {
    match task.await {
        Err(TaskError::WorkerLost(lost)) => lost,
        other => panic!("{other:?} is no loss"),
    }
}

async fn goes_on(pool: &Executor) {
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn exit_code_is_told(rig: Rig) {
    let pool = rig.pool(1);
    for code in [7, 0, 255] {
        assert_eq!(loss_of(pool.submit(die, End::Exit(code))).await.exit, Exit::Code(code));
    }
    goes_on(&pool).await;
}

pub async fn signal_is_told(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(loss_of(pool.submit(die, End::Abort)).await.exit, Exit::Signal(6));
    goes_on(&pool).await;
}

pub async fn in_an_async_task(rig: Rig) {
    let pool = rig.pool(1);
    let dying = async |end: End| {
        crate::work::yield_now().await;
        die(end)
    };
    assert_eq!(loss_of(pool.submit_async(dying, End::Exit(7))).await.exit, Exit::Code(7));
    goes_on(&pool).await;
}

pub async fn names_the_worker_and_its_process(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    for _ in 0..3 {
        let lost = loss_of(pool.submit(sign_and_die, (journal, End::Exit(7)))).await;
        let notes = journal.notes();
        let [.., id, pid] = notes[..] else { panic!("{notes:?}") };
        assert_eq!((lost.worker, lost.pid.map(u64::from), lost.exit), (id, Some(pid), Exit::Code(7)));
        assert!(lost.to_string().contains(&pid.to_string()), "{lost}");
    }
}

pub async fn worker_is_replaced(rig: Rig) {
    let pool = rig.pool(1);
    let before = pool.submit(own_pid, ()).await.unwrap();
    let lost = loss_of(pool.submit(die, End::Abort)).await;
    assert_eq!(lost.pid, Some(before), "the one worker ran both");
    let after = pool.submit(own_pid, ()).await.unwrap();
    assert_ne!(before, after);
    assert_eq!(pool.submit(|()| worker::index(), ()).await.unwrap(), Some(0));
    assert_eq!(pool.submit(own_pid, ()).await.unwrap(), after, "and the new one stays");
}

pub async fn queued_tasks_survive(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let before: Vec<_> = (0..20).map(|n| pool.submit(mark, (journal, n))).collect();
    let dying = pool.submit(die, End::Exit(7));
    let after: Vec<_> = (20..40).map(|n| pool.submit(mark, (journal, n))).collect();
    busy.release().await;
    assert!(join_all(before).await.into_iter().map(Result::unwrap).eq(0..20));
    assert_eq!(loss_of(dying).await.exit, Exit::Code(7));
    assert!(join_all(after).await.into_iter().map(Result::unwrap).eq(20..40));
    assert!(journal.notes().into_iter().eq(0..40), "once each, in order");
}

pub async fn other_workers_are_left_alone(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let holding = |gate: Gate| {
        gate.pass_blocking();
        (std::process::id(), worker::id())
    };
    let other = pool.submit(holding, gate);
    gate.wait_arrivals(1).await;
    let worker = pool.workers().into_iter().find(|worker| worker.task == Some(other.id())).unwrap();
    for _ in 0..5 {
        assert_ne!(loss_of(pool.submit(die, End::Abort)).await.pid, worker.pid);
    }
    gate.open();
    assert_eq!(other.await.unwrap(), (worker.pid.unwrap(), Some(worker.id)));
}

pub async fn all_workers_at_once(rig: Rig) {
    let (pool, gate) = (rig.pool(3), rig.gate());
    let meet_and_die = |gate: Gate| {
        gate.meet_blocking(3);
        die(End::Abort)
    };
    let tasks: Vec<_> = (0..3).map(|_| pool.submit(meet_and_die, gate)).collect();
    let queued: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
    let lost = join_all(tasks.into_iter().map(loss_of)).await;
    let pids: std::collections::BTreeSet<_> = lost.iter().map(|lost| lost.pid.unwrap()).collect();
    assert_eq!(pids.len(), 3);
    assert!(join_all(queued).await.into_iter().map(Result::unwrap).eq((0..10).map(|n| 2 * n)));
}

/// The budget is for workers that cannot start, not for tasks that end theirs.
pub async fn forty_in_a_row(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..40).map(|_| pool.submit(die, End::Exit(1))).collect();
    for lost in join_all(tasks.into_iter().map(loss_of)).await {
        assert_eq!(lost.exit, Exit::Code(1));
    }
    goes_on(&pool).await;
}

pub async fn tried_again_until_it_lives(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let report = pool.submit_with(TaskOptions::new().retries(3), die_before, (gate, 2)).report().await;
    assert_eq!((report.result.unwrap(), report.attempts), (2, 3));
    assert_eq!((gate.arrived(), gate.notes()), (3, vec![2]));
}

pub async fn tried_again_as_the_pool_says(rig: Rig) {
    let pool = rig.builder().max_workers(1).retries(1).build().unwrap();
    let gate = rig.gate();
    let report = pool.submit(die_before, (gate, 1)).report().await;
    assert_eq!((report.result.unwrap(), report.attempts), (1, 2));
    let gate = rig.gate();
    let own = TaskOptions::new().retries(0);
    let report = pool.submit_with(own, die_before, (gate, 1)).report().await;
    assert!(report.result.unwrap_err().is_worker_lost());
    assert_eq!((report.attempts, gate.arrived()), (1, 1), "its own setting goes first");
}

pub async fn tried_again_no_more_than_allowed(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let report = pool.submit_with(TaskOptions::new().retries(2), die_before, (gate, 10)).report().await;
    assert_is!(report.result, Err(TaskError::WorkerLost(lost)) if lost.exit == Exit::Signal(6));
    assert_eq!((report.attempts, gate.arrived()), (3, 3));
    goes_on(&pool).await;
}

pub async fn own_panic_is_never_tried_again(rig: Rig) {
    let (pool, gate) = (rig.builder().max_workers(1).retries(5).build().unwrap(), rig.gate());
    let panicking = |gate: Gate| {
        gate.arrive();
        fail("once".to_owned())
    };
    let report = pool.submit(panicking, gate).report().await;
    assert!(report.result.unwrap_err().is_panicked());
    assert_eq!((report.attempts, gate.arrived()), (1, 1));
}

pub async fn own_error_is_never_tried_again(rig: Rig) {
    let (pool, gate) = (rig.builder().max_workers(1).retries(5).build().unwrap(), rig.gate());
    let failing = |gate: Gate| {
        gate.arrive();
        Err::<(), _>("a value".to_owned())
    };
    let report = pool.submit(failing, gate).report().await;
    assert_eq!(report.result.unwrap(), Err("a value".to_owned()));
    assert_eq!((report.attempts, gate.arrived()), (1, 1));
}

pub async fn is_counted_as_failed(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    assert!(pool.submit(die, End::Exit(0)).await.is_err());
    assert!(pool.submit_with(TaskOptions::new().retries(1), die_before, (gate, 1)).await.is_ok());
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (1, 1, 0));
}

pub async fn is_told_by_the_events(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let task = pool.submit(die, End::Exit(7));
    let id = task.id();
    let lost = loss_of(task).await;
    goes_on(&pool).await;
    pool.shutdown(false).await;
    drop(pool);
    let (mut stages, mut losses) = (Vec::new(), Vec::new());
    for event in events.collect::<Vec<_>>().await {
        match event.kind {
            EventKind::TaskQueued { task, .. } if task == id => stages.push("queued"),
            EventKind::TaskStarted { task, .. } if task == id => stages.push("started"),
            EventKind::TaskLost { task, worker: 0, retried: false } if task == id => stages.push("lost"),
            EventKind::TaskFailed { task, .. } if task == id => stages.push("failed"),
            EventKind::WorkerLost(lost) => losses.push(lost),
            _ => {}
        }
    }
    assert_eq!(stages, ["queued", "started", "lost", "failed"]);
    assert_eq!(lost.index, Some(0));
    assert_eq!(losses, [lost]);
}

pub async fn second_attempt_is_told_by_the_events(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let events = pool.events();
    let task = pool.submit_with(TaskOptions::new().retries(1), die_before, (gate, 1));
    let id = task.id();
    assert_eq!(task.await.unwrap(), 1);
    pool.shutdown(false).await;
    drop(pool);
    let (mut started, mut finished, mut failed, mut losses, mut retried) = (0, 0, 0, 0, 0);
    for event in events.collect::<Vec<_>>().await {
        match event.kind {
            EventKind::TaskStarted { task, .. } if task == id => started += 1,
            EventKind::TaskFinished { task, .. } if task == id => finished += 1,
            EventKind::TaskFailed { .. } => failed += 1,
            EventKind::WorkerLost(_) => losses += 1,
            EventKind::TaskLost { task, retried: true, .. } if task == id => retried += 1,
            _ => {}
        }
    }
    assert_eq!((started, finished, failed, losses, retried), (2, 1, 0, 1, 1));
}

/// Checks that the one input that is 0 is lost, and that the others ran once each.
fn check_items(results: &[Result<u64, TaskError>], journal: Gate) {
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(*value == n + 1 && n != 7),
            Err(TaskError::WorkerLost(lost)) => assert!(n == 7 && lost.exit == Exit::Code(3), "{n}: {lost}"),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    let expected: Vec<u64> = (1..=20).filter(|&n| n != 8).collect();
    assert_eq!(journal.sorted_notes(), expected);
}

/// Twenty inputs, the eighth of which is deadly.
fn inputs(journal: Gate) -> impl Iterator<Item = Call> + Send {
    (1..=20).map(move |n| (journal, if n == 8 { 0 } else { n }))
}

pub async fn item_of_a_stream_alone(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let results: Vec<_> = pool.map(die_at_zero, inputs(journal)).chunk_size(1).collect().await;
    assert_eq!(results.len(), 20);
    check_items(&results, journal);
}

pub async fn item_inside_a_chunk_alone(rig: Rig) {
    for chunk in [5, 20] {
        let (pool, journal) = (rig.pool(2), rig.gate());
        let results: Vec<_> = pool.map(die_at_zero, inputs(journal)).chunk_size(chunk).collect().await;
        assert_eq!(results.len(), 20);
        check_items(&results, journal);
    }
}

pub async fn item_inside_a_chunk_tried_as_often_as_any(rig: Rig) {
    for (retries, chunk) in [(0, 20), (1, 20), (2, 5), (1, 1)] {
        let (pool, journal) = (rig.builder().max_workers(2).retries(retries).build().unwrap(), rig.gate());
        let count_and_die = |(journal, value): Call| {
            if value == 0 {
                journal.arrive();
            }
            die_at_zero((journal, value))
        };
        let results: Vec<_> = pool.map(count_and_die, inputs(journal)).chunk_size(chunk).collect().await;
        check_items(&results, journal);
        assert_eq!(journal.arrived(), 1 + retries as usize);
    }
}

pub async fn on_one_of_all(rig: Rig) {
    let pool = rig.pool(3);
    let dying = |()| if worker::index() == Some(1) { die(End::Exit(3)) } else { 5 };
    let results = pool.run_on_all(dying, ()).await;
    assert_is!(&results[..], [Ok(5), Err(TaskError::WorkerLost(_)), Ok(5)]);
    goes_on(&pool).await;
}

pub async fn while_the_pool_is_shut_down(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let wait_and_die = |gate: Gate| {
        gate.pass_blocking();
        die(End::Abort)
    };
    let dying = pool.submit(wait_and_die, gate);
    gate.wait_arrivals(1).await;
    let queued = pool.submit(double, 21);
    let mut shutdown = pool.shutdown(false);
    assert!(futures::poll!(&mut shutdown).is_pending());
    gate.open();
    assert_eq!(loss_of(dying).await.exit, Exit::Signal(6));
    assert_eq!(queued.await.unwrap(), 42, "what is left is still done");
    let report = shutdown.await;
    assert_eq!((report.completed, report.failed, report.cancelled), (1, 1, 0));
}

pub async fn with_a_limit_of_time(rig: Rig) {
    let pool = rig.pool(1);
    let options = || TaskOptions::new().timeout(crate::rig::AGES);
    let task = pool.submit_with(options(), die, End::Exit(7));
    assert_eq!(loss_of(task).await.exit, Exit::Code(7));
    assert_eq!(pool.submit_with(options(), double, 21).await.unwrap(), 42);
}

pub async fn aborted_before_its_second_attempt(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let pass_and_die = |gate: Gate| {
        gate.pass_blocking();
        die(End::Abort)
    };
    let task = pool.submit_with(TaskOptions::new().retries(1_000_000), pass_and_die, gate);
    gate.admit(1);
    gate.wait_arrivals(2).await;
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    goes_on(&pool).await;
    assert_eq!(gate.arrived(), 2);
}
