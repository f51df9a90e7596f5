//! The same where tasks are in other processes: in this one, and in the worker's own.

use std::collections::BTreeMap;

use futures::executor::block_on;
use polypool::{Executor, Processes, TaskOptions, Transport, worker};
use tracing::{Instrument, info, info_span};

use crate::{
    listener::{listen, seen},
    pool, say, scope, task_of,
};

/// The fields of the span in which it is called, as the worker's own subscriber sees them.
fn fields_here(_: Vec<u8>) -> BTreeMap<String, String> {
    seen("task").unwrap().fields.into_iter().collect()
}

#[test]
fn task_elsewhere_has_a_span_here_and_its_records_are_told_in_it() {
    let pool = pool("processes", "elsewhere");
    let options = TaskOptions::new().capture_output(true).name("captured");
    let task = info_span!("asks").in_scope(|| pool.submit_with(options, say, "from afar".to_owned()));
    let report = block_on(task.report());
    report.result.unwrap();
    let text = " text=\"from afar\"".trim_start();
    assert_eq!(scope(text), ["asks", "task"]);
    let span = task_of(text);
    assert!(span.is_closed);
    assert_eq!(
        (span.field("name"), span.field("backend"), span.field("attempt")),
        ("captured", "processes", "1")
    );
}

#[test]
fn worker_with_a_subscriber_of_its_own_sees_the_caller() {
    listen();
    for transport in [Transport::SharedMemory, Transport::Socket] {
        let pool = Executor::builder()
            .backend(Processes::new().transport(transport))
            .max_workers(1)
            .name("own subscriber")
            .initializer(|()| listen(), ())
            .build()
            .unwrap();
        // Small, large enough for a way of its own, and of almost the size between the two.
        for size in [0, 65_400, 65_500, 1 << 20] {
            let options = TaskOptions::new().name("far away");
            let caller = info_span!("a caller");
            let id = caller.id().unwrap().into_u64().to_string();
            let task = caller.in_scope(|| pool.submit_with(options, fields_here, vec![7; size]));
            let number = task.id().to_string();
            let fields = block_on(task).unwrap();
            let expected = [
                ("attempt", "1"),
                ("backend", "processes"),
                ("caller", "a caller"),
                ("caller_id", &id),
                ("name", "far away"),
                ("pool", "own subscriber"),
                ("task", &number),
                ("worker", "0"),
            ];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(fields, expected.into(), "{transport:?}, {size}");
        }
    }
}

#[test]
fn calls_that_are_sent_ahead_say_where_they_come_from() {
    listen();
    let pool = Executor::builder()
        .backend("processes")
        .max_workers(1)
        .name("ahead")
        .initializer(|()| listen(), ())
        .build()
        .unwrap();
    let tasks: Vec<_> =
        info_span!("many").in_scope(|| (0..500).map(|_| pool.submit(fields_here, Vec::new())).collect());
    block_on(async {
        for task in tasks {
            let id = task.id().to_string();
            let fields = task.await.unwrap();
            assert_eq!((&*fields["caller"], &*fields["task"], &*fields["attempt"]), ("many", &*id, "1"));
        }
    });
    assert!(seen("many").unwrap().is_closed);
}

#[test]
fn task_of_a_task_elsewhere_is_within_it() {
    let pool = pool("processes", "nested elsewhere");
    let outer = info_span!("at home").in_scope(|| {
        pool.submit_async(
            async |()| {
                let options = TaskOptions::new().name("inner one");
                let pool = worker::executor().unwrap();
                let inner = async move { pool.submit_with(options, |()| (), ()).await.unwrap() };
                inner.instrument(info_span!("not seen at home")).await;
            },
            (),
        )
    });
    let id = outer.id().to_string();
    block_on(outer).unwrap();
    let spans = crate::listener::all("nested elsewhere");
    let inner = spans.iter().find(|span| span.field("name") == "inner one").unwrap();
    assert!(inner.parent_task.as_deref() == Some(id.as_str()), "{inner:?}");
    info!("done");
}

#[test]
fn lost_task_that_is_tried_again_has_a_span_for_each_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool("processes", "two attempts");
    let marker = folder.path().join("marker").to_str().unwrap().to_owned();
    let die_once = |marker: String| {
        if std::fs::File::create_new(marker).is_ok() {
            std::process::exit(3);
        }
    };
    block_on(pool.submit_with(TaskOptions::new().retries(1), die_once, marker)).unwrap();
    let spans = crate::listener::all("two attempts");
    let attempts: Vec<_> = spans.iter().map(|span| (span.field("attempt"), span.is_closed)).collect();
    assert_eq!(attempts, [("1", true), ("2", true)]);
}
