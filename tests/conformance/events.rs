//! What a pool tells of itself while it works.

use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _};
use polypool::{Event, EventKind, Events, TaskId, TaskOptions};

use crate::rig::Rig;
use crate::work::{double, fail, mark};

topic! { events:
    Every [
        task_from_queue_to_end,
        task_that_panics,
        task_cancelled_before_its_start,
        task_refused_for_want_of_room,
        times_never_go_back,
        end_with_the_pool,
        begin_with_the_listening,
        two_listeners_hear_the_same,
        items_of_a_stream_end_as_they_began,
    ]
    Unattended [
        task_cancelled_while_running,
        task_that_runs_out_of_time,
        workers_start_and_stop,
        each_of_many_tasks_in_order,
        listener_is_woken,
    ]
}

/// The stages of one task, in a word each.
fn stages(events: &[Event], task: TaskId) -> Vec<&'static str> {
    let stage = |event: &Event| match &event.kind {
        EventKind::TaskQueued { task: id, .. } if *id == task => Some("queued"),
        EventKind::TaskStarted { task: id, .. } if *id == task => Some("started"),
        EventKind::TaskFinished { task: id, .. } if *id == task => Some("finished"),
        EventKind::TaskFailed { task: id, .. } if *id == task => Some("failed"),
        EventKind::TaskCancelled { task: id } if *id == task => Some("cancelled"),
        _ => None,
    };
    events.iter().filter_map(stage).collect()
}

/// Everything that was told, after the pool was shut down and dropped.
async fn told(pool: polypool::Executor, events: Events) -> Vec<Event> {
    pool.shutdown(false).await;
    drop(pool);
    events.collect().await
}

pub async fn task_from_queue_to_end(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let task = pool.submit_with(TaskOptions::new().name("doubling").priority(3), double, 21);
    let id = task.id();
    let worker = task.report().await.worker;
    let told = told(pool, events).await;
    assert_eq!(stages(&told, id), ["queued", "started", "finished"]);
    for event in told {
        match event.kind {
            EventKind::TaskQueued { name, priority, tasks, .. } => {
                assert_eq!((name.as_deref(), priority, tasks), (Some("doubling"), 3, 1))
            }
            EventKind::TaskStarted { worker: on, .. } | EventKind::TaskFinished { worker: on, .. } => {
                assert_eq!(Some(on as u64), worker);
            }
            _ => {}
        }
    }
}

pub async fn task_that_panics(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let task = pool.submit(fail, "the reason".to_owned());
    let id = task.id();
    assert!(task.await.is_err());
    let told = told(pool, events).await;
    assert_eq!(stages(&told, id), ["queued", "started", "failed"]);
}

pub async fn task_cancelled_before_its_start(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    task.abort();
    busy.release().await;
    assert_eq!(stages(&told(pool, events).await, task.id()), ["queued", "cancelled"]);
}

pub async fn task_refused_for_want_of_room(rig: Rig) {
    let pool = rig.builder().max_workers(1).max_pending(1).build().unwrap();
    let events = pool.events();
    let busy = rig.occupy(&pool).await;
    let (pending, refused) = (pool.submit(double, 1), pool.submit(double, 2));
    let id = refused.id();
    assert!(refused.await.is_err());
    busy.release().await;
    assert_eq!(pending.await.unwrap(), 2);
    let told = told(pool, events).await;
    assert!(!stages(&told, id).contains(&"started"));
}

pub async fn times_never_go_back(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let before = Instant::now();
    for n in 0..10 {
        assert!(pool.submit(double, n).await.is_ok());
    }
    let told = told(pool, events).await;
    assert!(told.len() >= 30);
    assert!(told.first().unwrap().at >= before && told.last().unwrap().at <= Instant::now());
}

pub async fn end_with_the_pool(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    pool.shutdown(true).await;
    drop(pool);
    assert_eq!(events.count().await, 0);
}

pub async fn begin_with_the_listening(rig: Rig) {
    let pool = rig.pool(1);
    let before = pool.submit(double, 1);
    let id = before.id();
    assert!(before.await.is_ok());
    let events = pool.events();
    let after = pool.submit(double, 2);
    let after_id = after.id();
    assert!(after.await.is_ok());
    let told = told(pool, events).await;
    assert!(!stages(&told, id).contains(&"queued"));
    assert_eq!(stages(&told, after_id), ["queued", "started", "finished"]);
}

pub async fn two_listeners_hear_the_same(rig: Rig) {
    let pool = rig.pool(1);
    let (events, more, dropped) = (pool.events(), pool.events(), pool.events());
    drop(dropped);
    let task = pool.submit(double, 1);
    let id = task.id();
    assert!(task.await.is_ok());
    let first = told(pool, events).await;
    let second: Vec<_> = more.collect().await;
    assert_eq!(stages(&first, id), stages(&second, id));
    assert_eq!(first.len(), second.len());
}

pub async fn items_of_a_stream_end_as_they_began(rig: Rig) {
    let pool = rig.pool(2);
    let events = pool.events();
    assert_eq!(pool.map(double, 0..50).count().await, 50);
    let told = told(pool, events).await;
    let count = |is: fn(&EventKind) -> bool| told.iter().filter(|event| is(&event.kind)).count();
    let started = count(|kind| matches!(kind, EventKind::TaskStarted { .. }));
    assert!(started > 0);
    assert_eq!(started, count(|kind| matches!(kind, EventKind::TaskFinished { .. })));
    assert_eq!(count(|kind| matches!(kind, EventKind::TaskFailed { .. })), 0);
}

pub async fn task_cancelled_while_running(rig: Rig) {
    let pool = rig.pool(1);
    let (events, gate) = (pool.events(), rig.gate());
    let task = rig.gated(&pool, gate, 1);
    let id = task.id();
    gate.wait_arrivals(1).await;
    task.abort();
    assert!(task.await.is_err());
    gate.open();
    assert_eq!(stages(&told(pool, events).await, id), ["queued", "started", "cancelled"]);
}

pub async fn task_that_runs_out_of_time(rig: Rig) {
    let pool = rig.pool(1);
    let (events, gate) = (pool.events(), rig.gate());
    let task = rig.gated_with(TaskOptions::new().timeout(crate::rig::SHORT), &pool, gate, 1);
    let id = task.id();
    assert!(task.await.is_err());
    gate.open();
    assert_eq!(stages(&told(pool, events).await, id), ["queued", "started", "failed"]);
}

pub async fn workers_start_and_stop(rig: Rig) {
    let pool = rig.pool(3);
    let events = pool.events();
    let busy = rig.occupy(&pool).await;
    busy.release().await;
    let (mut started, mut stopped) = (0, 0);
    for event in told(pool, events).await {
        match event.kind {
            EventKind::WorkerStarted { worker } => {
                assert!(worker < 3);
                started += 1;
            }
            EventKind::WorkerStopped { worker } => {
                assert!(worker < 3);
                stopped += 1;
            }
            EventKind::WorkerLost(lost) => panic!("{lost}"),
            _ => {}
        }
    }
    assert!(started >= 3);
    assert_eq!(started, stopped);
}

pub async fn each_of_many_tasks_in_order(rig: Rig) {
    let (pool, journal) = (rig.pool(4), rig.gate());
    let events = pool.events();
    let tasks: Vec<_> = (0..1000).map(|n| pool.submit(mark, (journal, n))).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id()).collect();
    for task in tasks {
        assert!(task.await.is_ok());
    }
    let told = told(pool, events).await;
    let mut stages = std::collections::HashMap::<TaskId, Vec<u8>>::new();
    for event in told {
        match event.kind {
            EventKind::TaskQueued { task, .. } => stages.entry(task).or_default().push(0),
            EventKind::TaskStarted { task, .. } => stages.entry(task).or_default().push(1),
            EventKind::TaskFinished { task, .. } => stages.entry(task).or_default().push(2),
            _ => {}
        }
    }
    for id in ids {
        assert_eq!(stages[&id], [0, 1, 2]);
    }
}

pub async fn listener_is_woken(rig: Rig) {
    let pool = rig.pool(1);
    let mut events = pool.events();
    assert!(events.next().now_or_never().is_none());
    let (task, first) = futures::future::join(pool.submit(double, 1), events.next()).await;
    assert!(task.is_ok() && first.is_some());
}
