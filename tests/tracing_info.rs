//! Where nobody wants spans of level DEBUG, tasks run in the spans of their callers, and what they say is found there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use futures::executor::block_on;
use polypool::Executor;
use tracing::{info, info_span, level_filters::LevelFilter};

#[allow(dead_code, reason = "made for others, too")]
#[path = "tracing/listener.rs"]
mod listener;

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

#[test]
fn task_runs_in_the_span_of_its_caller() {
    listener::listen_from(LevelFilter::INFO);
    for backend in ["serial", "threads", "tasks"] {
        let pool = Executor::builder().backend(backend).build().unwrap();
        let name = format!("caller on {backend}");
        let text = format!("said on {backend}");
        let caller = info_span!("caller");
        let said = text.clone();
        let task = caller.in_scope(|| pool.spawn(async move { info!(text = said) }));
        block_on(task).unwrap();
        let scope = listener::said(&text).unwrap().scope;
        assert_eq!(scope.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["caller"], "{name}");
        drop(caller);
        assert!(listener::seen("caller").unwrap().is_closed);
        block_on(pool.spawn(async { info!(text = "outside") })).unwrap();
        assert!(listener::said("outside").unwrap().scope.is_empty());
    }
}

#[cfg(all(feature = "processes", target_os = "linux"))]
#[test]
fn records_from_elsewhere_are_told_in_the_span_of_the_caller() {
    listener::listen_from(LevelFilter::INFO);
    let pool = Executor::processes(1).unwrap();
    let options = polypool::TaskOptions::new().capture_output(true);
    let task = info_span!("asks").in_scope(|| pool.submit_with(options, |()| info!("from afar"), ()));
    block_on(task).unwrap();
    let scope = listener::said("from afar").unwrap().scope;
    assert_eq!(scope.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["asks"]);
}
