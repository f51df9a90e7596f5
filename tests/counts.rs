//! What a pool counts are the user's tasks: each input of a stream is one, however inputs travel.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use futures::{StreamExt, executor::block_on};
use polypool::Executor;

#[test]
fn inputs_of_a_stream_are_counted_one_by_one() {
    block_on(async {
        let pool = Executor::threads(2).unwrap();
        let results = pool.map(|n: u32| assert!(!n.is_multiple_of(10)), 0..1000).collect::<Vec<_>>().await;
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 100);
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (900, 100, 0));
    });
}

#[test]
fn inputs_of_a_chunk_that_never_started_are_counted_as_cancelled() {
    block_on(async {
        let pool = Executor::threads(1).unwrap();
        let (started, go) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let busy = pool.spawn_blocking(move || {
            started.0.send(()).unwrap();
            go.1.recv().unwrap();
        });
        started.1.recv().unwrap();
        let mut stream = pool.map(|n: u32| n, 0..20).chunk_size(10).buffer(20);
        assert!(futures::poll!(stream.next()).is_pending());
        drop(stream);
        go.0.send(()).unwrap();
        busy.await.unwrap();
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (1, 0, 20));
    });
}
