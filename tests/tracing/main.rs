//! Spans of `tracing` around tasks: each task is within that of its caller, wherever it runs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use futures::{StreamExt, executor::block_on};
use polypool::{Executor, TaskOptions, worker};
use tracing::{Instrument, info, info_span};

use listener::{Said, Seen, listen, said, seen};

mod listener;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod processes;

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

fn pool(backend: &str, name: &str) -> Executor {
    listen();
    Executor::builder().backend(backend).max_workers(2).name(name).build().unwrap()
}

fn say(text: String) {
    info!(text);
}

async fn say_later(text: String) {
    let mut polled = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut polled, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    info!(text);
}

/// What was said, and in which spans, from the outermost.
fn scope(text: &str) -> Vec<String> {
    said(text).map(|Said { scope, .. }| scope.into_iter().map(|span| span.name).collect()).unwrap()
}

fn task_of(text: &str) -> Seen {
    said(text).unwrap().scope.pop().unwrap()
}

#[test]
fn task_runs_in_a_span_within_that_of_its_caller() {
    for backend in ["serial", "threads", "tasks"] {
        let name = format!("within {backend}");
        let pool = pool(backend, &name);
        let texts = ["function", "future", "closure", "spawned"].map(|what| format!("{what} on {backend}"));
        block_on(async {
            let caller = info_span!("caller");
            let named = TaskOptions::new().name("saying");
            let tasks = caller.in_scope(|| {
                let [a, b, c, d] = texts.clone();
                [
                    pool.submit_with(named, say, a),
                    pool.submit_async(say_later, b),
                    pool.spawn_blocking(move || say(c)),
                    pool.spawn(say_later(d)),
                ]
            });
            let ids = tasks.each_ref().map(|task| task.id().to_string());
            for (task, (text, id)) in tasks.into_iter().zip(texts.iter().zip(ids)) {
                task.await.unwrap();
                assert_eq!(scope(text), ["caller", "task"]);
                let span = task_of(text);
                assert!(span.is_closed, "{text}: the result was there before the span was closed");
                assert_eq!(span.field("pool"), name);
                assert_eq!(span.field("backend"), backend);
                assert_eq!((span.field("task"), span.field("attempt")), (id.as_str(), "1"));
                assert!(["0", "1"].contains(&span.field("worker")));
                let is_named = text.starts_with("function");
                assert_eq!(span.fields.contains_key("name"), is_named);
            }
        });
    }
}

#[test]
fn task_that_was_submitted_in_no_span_has_one_of_its_own() {
    let pool = pool("threads", "no caller");
    block_on(pool.submit(say, "alone".to_owned())).unwrap();
    assert_eq!(scope("alone"), ["task"]);
}

#[test]
fn task_of_a_task_is_within_it() {
    let pool = pool("threads", "nested");
    let outer = info_span!("outermost").in_scope(|| {
        pool.submit_async(
            async |()| {
                let pool = worker::executor().unwrap();
                pool.submit(say, "inner".to_owned()).await.unwrap();
            },
            (),
        )
    });
    block_on(outer).unwrap();
    assert_eq!(scope("inner"), ["outermost", "task", "task"]);
}

#[cfg(feature = "graph")]
#[test]
fn tasks_of_a_graph_are_within_the_span_in_which_it_was_run() {
    for backend in ["serial", "threads", "tasks"] {
        let pool = pool(backend, "graph");
        let mut graph = polypool::graph::TaskGraph::new();
        graph.task("first", say, format!("first on {backend}"));
        graph.task("second", say, format!("second on {backend}")).after(["first"]);
        let mut run = info_span!("runs").in_scope(|| graph.run(&pool)).unwrap();
        assert!(block_on(run.finish()).is_success());
        for name in ["first", "second"] {
            let text = format!("{name} on {backend}");
            assert_eq!(scope(&text), ["runs", "task"]);
            assert_eq!(task_of(&text).field("name"), name);
        }
    }
}

#[test]
fn span_is_left_while_a_future_waits() {
    let pool = pool("serial", "left");
    block_on(async {
        let waits = pool.spawn(async {
            futures::pending!();
        });
        let mut waits = std::pin::pin!(waits);
        assert!(futures::poll!(&mut waits).is_pending());
        info!(text = "meanwhile");
    });
    assert_eq!(scope("meanwhile"), [""; 0]);
}

#[test]
fn chunk_says_how_many_inputs_it_has_and_is_within_the_span_that_polls() {
    let pool = pool("threads", "chunks");
    let results = pool.map(say, (0..20).map(|n| format!("item {n}"))).chunk_size(10);
    block_on(results.count().instrument(info_span!("polls")));
    for n in 0..20 {
        assert_eq!(scope(&format!("item {n}")), ["polls", "task"]);
        assert_eq!(task_of(&format!("item {n}")).field("inputs"), "10");
    }
}

/// Chunks are cut again and again here, and what is left of one is no task of that one.
#[test]
fn rest_of_a_chunk_has_the_callers_span_around_it_and_no_other() {
    let pool = pool("threads", "rests");
    let slow = |n: u64| {
        if n > 50 {
            std::thread::sleep(Duration::from_millis(3));
        }
        say(format!("cut {n}"));
    };
    block_on(pool.map(slow, 0..80).count().instrument(info_span!("polls")));
    for n in 0..80 {
        assert_eq!(scope(&format!("cut {n}")), ["polls", "task"]);
    }
}

#[test]
fn spans_of_tasks_that_never_start_are_let_go() {
    let pool = pool("threads", "let go");
    let caller = info_span!("waits in vain");
    let (started, go) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let busy = pool.spawn_blocking(move || {
        started.0.send(()).unwrap();
        go.1.recv().unwrap();
    });
    started.1.recv().unwrap();
    pool.resize(1).unwrap();
    let tasks = caller.in_scope(|| [(); 3].map(|()| pool.submit(say, "never".to_owned())));
    drop(caller);
    assert!(!seen("waits in vain").unwrap().is_closed);
    tasks.iter().for_each(|task| task.abort());
    assert!(seen("waits in vain").unwrap().is_closed);
    go.0.send(()).unwrap();
    block_on(busy).unwrap();
    block_on(pool.shutdown(false));
    let refused = info_span!("refused").in_scope(|| pool.submit(say, "never".to_owned()));
    assert!(block_on(refused).is_err() && seen("refused").unwrap().is_closed);
    assert!(said("never").is_none());
}
