//! A program without a place where its copies become workers: it is told so, with the line to add, and no copy of it runs its
//! tests again.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polypool::{BuildError, Executor, Processes, StartMethod};

#[test]
fn processes_are_refused_with_the_line_to_add() {
    for backend in [
        Processes::new(),
        Processes::new().start_method(StartMethod::LokyInitMain),
        Processes::new().start_method(StartMethod::ForkServer),
    ] {
        let error = Executor::builder().backend(backend).max_workers(1).build().unwrap_err();
        assert!(matches!(error, BuildError::WorkerEntryMissing), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("polypool::init();") && text.contains("polypool::worker_main!();"), "{text}");
    }
    assert!(matches!(Executor::processes(1), Err(BuildError::WorkerEntryMissing)));
    assert!(matches!(Executor::builder().backend("loky").build(), Err(BuildError::WorkerEntryMissing)));
}
