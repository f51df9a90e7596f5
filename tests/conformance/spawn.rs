//! Futures and closures that stay in this process, and may capture anything that can be sent to another thread.

use std::sync::Arc;
use std::sync::mpsc;

use futures::future::join;
use polypool::TaskError;

use crate::gate::NoteOnDrop;
use crate::rig::Rig;
use crate::work::{double, mark, yield_now};

topic! { spawn:
    Local [
        future_that_captures,
        closure_that_captures,
        what_cannot_be_encoded_goes_in_and_comes_out,
        future_that_waits,
        what_was_captured_is_dropped_once,
        what_was_captured_is_dropped_when_aborted_before_the_start,
        many_futures_interleave_with_functions,
    ]
    Local Unattended [
        futures_wait_at_once_on_all_workers,
        result_of_a_detached_task_is_dropped_once,
    ]
    Away [
        refused_where_tasks_leave_this_process,
    ]
}

pub async fn future_that_captures(rig: Rig) {
    let text = Arc::new("captured".to_owned());
    let captured = Arc::clone(&text);
    assert_eq!(rig.pool(1).spawn(async move { captured.len() }).await.unwrap(), 8);
    assert_eq!(Arc::strong_count(&text), 1);
}

pub async fn closure_that_captures(rig: Rig) {
    let (send, receive) = mpsc::channel();
    rig.pool(1).spawn_blocking(move || send.send("from inside")).await.unwrap().unwrap();
    assert_eq!(receive.recv(), Ok("from inside"));
}

pub async fn what_cannot_be_encoded_goes_in_and_comes_out(rig: Rig) {
    let pool = rig.pool(1);
    let add: Box<dyn Fn(i32) -> i32 + Send> = pool.spawn_blocking(|| Box::new(|n| n + 1) as _).await.unwrap();
    assert_eq!(pool.spawn(async move { add(1) }).await.unwrap(), 2);
}

pub async fn future_that_waits(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.spawn(async move {
        gate.pass().await;
        yield_now().await;
        "let by"
    });
    let (result, ()) = join(task, async move {
        gate.wait_arrivals(1).await;
        gate.open();
    })
    .await;
    assert_eq!(result.unwrap(), "let by");
}

pub async fn what_was_captured_is_dropped_once(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let (in_future, in_closure) = (NoteOnDrop(drops, 1), NoteOnDrop(drops, 2));
    pool.spawn(async move { drop(in_future) }).await.unwrap();
    pool.spawn_blocking(move || drop(in_closure)).await.unwrap();
    pool.shutdown(false).await;
    assert_eq!(drops.sorted_notes(), [1, 2]);
}

pub async fn what_was_captured_is_dropped_when_aborted_before_the_start(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let (in_future, in_closure) = (NoteOnDrop(drops, 1), NoteOnDrop(drops, 2));
    let future = pool.spawn(async move { drop(in_future) });
    let closure = pool.spawn_blocking(move || drop(in_closure));
    future.abort();
    closure.abort();
    assert!(future.await.unwrap_err().is_cancelled());
    assert!(closure.await.unwrap_err().is_cancelled());
    assert_eq!(drops.sorted_notes(), [1, 2], "an aborted task keeps nothing");
    busy.release().await;
    pool.shutdown(false).await;
    assert_eq!(drops.sorted_notes(), [1, 2]);
}

pub async fn many_futures_interleave_with_functions(rig: Rig) {
    let pool = rig.pool(3);
    let futures = (0..100_u64).map(|n| {
        pool.spawn(async move {
            yield_now().await;
            n
        })
    });
    let futures: Vec<_> = futures.collect();
    let functions: Vec<_> = (0..100).map(|n| pool.submit(double, n)).collect();
    let closures: Vec<_> = (0..100_u64).map(|n| pool.spawn_blocking(move || 3 * n)).collect();
    for (n, ((future, function), closure)) in (0..).zip(futures.into_iter().zip(functions).zip(closures)) {
        assert_eq!(
            (future.await.unwrap(), function.await.unwrap(), closure.await.unwrap()),
            (n, 2 * n, 3 * n)
        );
    }
}

pub async fn futures_wait_at_once_on_all_workers(rig: Rig) {
    let (pool, gate) = (rig.pool(3), rig.gate());
    let tasks: Vec<_> = (0..3).map(|_| pool.spawn(gate.meet(3))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub async fn result_of_a_detached_task_is_dropped_once(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    drop(pool.spawn(async move { NoteOnDrop(drops, 1) }));
    drop(pool.submit(|drops| NoteOnDrop(drops, 2), drops));
    busy.release().await;
    pool.submit(mark, (drops, 3)).await.unwrap();
    pool.shutdown(false).await;
    assert_eq!(drops.sorted_notes(), [1, 2, 3]);
}

pub async fn refused_where_tasks_leave_this_process(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let (in_future, in_closure) = (NoteOnDrop(drops, 1), NoteOnDrop(drops, 2));
    let refused = [
        ("spawn", pool.spawn(async move { drop(in_future) })),
        ("spawn_blocking", pool.spawn_blocking(move || drop(in_closure))),
    ];
    for (verb, task) in refused {
        match task.await {
            Err(TaskError::Unsupported { backend, operation, remedy }) => {
                assert_eq!(backend, pool.backend_name());
                assert!(operation.contains(verb) && remedy.contains("submit"), "{operation}; {remedy}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(drops.sorted_notes(), [1, 2], "what was refused is not kept");
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}
