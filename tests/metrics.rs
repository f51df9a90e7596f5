//! What a pool tells the crate `metrics`. One test: the recorder is the program's, and reading it takes out what is there.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::HashMap, sync::mpsc};

use futures::{StreamExt, executor::block_on};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use polypool::Executor;

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

/// Values by pool and name: of a histogram, how many there are.
type Values = HashMap<(String, String), f64>;

#[test]
fn counts_are_exact_and_gauges_go_back_to_zero() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::set_global_recorder(recorder).unwrap();

    on_threads();
    in_polls();
    #[cfg(all(feature = "processes", target_os = "linux"))]
    with_losses();

    let mut values = Values::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let label = |name| key.labels().find(|label| label.key() == name).unwrap().value().to_owned();
        assert!(unit.is_some() && description.is_some(), "{} is not described", key.name());
        assert_eq!(unit == Some(metrics::Unit::Seconds), key.name().ends_with("_seconds"));
        assert!(["threads", "serial", "processes"].contains(&&*label("backend")));
        let value = match value {
            DebugValue::Counter(n) => n as f64,
            DebugValue::Gauge(n) => n.0,
            DebugValue::Histogram(values) => {
                assert!(values.iter().all(|seconds| (0.0..60.0).contains(&seconds.0)));
                values.len() as f64
            }
        };
        values.insert((label("pool"), key.name().to_owned()), value);
    }
    let of = |pool: &str, name: &str| values.get(&(pool.to_owned(), format!("polypool_{name}"))).copied();
    for (pool, name) in values.keys().filter(|(_, name)| !name.ends_with("_total")) {
        let is_gauge = !name.ends_with("_seconds");
        assert!(!is_gauge || values[&(pool.clone(), name.clone())] == 0.0, "{pool}: {name}");
    }
    let expected = |pool: &str, expected: &[(&str, f64)]| {
        for (name, value) in expected {
            assert_eq!(of(pool, name), Some(*value), "{pool}: {name}");
        }
    };
    // 1 busy, 3 never started, 10 that end, 2 that panic, 1 cancelled while it runs; 10 chunks of 10 inputs, of which 5 panic.
    expected(
        "counted",
        &[
            ("tasks_submitted_total", 27.0),
            ("tasks_completed_total", 106.0),
            ("tasks_failed_total", 7.0),
            ("tasks_cancelled_total", 4.0),
            ("task_queue_seconds", 24.0),
            ("task_run_seconds", 24.0),
        ],
    );
    assert_eq!(of("counted", "tasks_lost_total"), None);
    assert!(of("counted", "workers_started_total").unwrap() >= 1.0);
    expected("polled", &[("tasks_submitted_total", 2.0), ("tasks_completed_total", 2.0)]);
    #[cfg(all(feature = "processes", target_os = "linux"))]
    assert!(of("lossy", "workers_recycled_total").unwrap() >= 1.0);
    #[cfg(all(feature = "processes", target_os = "linux"))]
    expected(
        "lossy",
        &[
            ("tasks_submitted_total", 3.0),
            ("tasks_completed_total", 2.0),
            ("tasks_failed_total", 1.0),
            ("tasks_lost_total", 2.0),
            ("task_queue_seconds", 4.0),
            ("workers_lost_total", 2.0),
        ],
    );
}

fn on_threads() {
    let pool = Executor::builder().backend("threads").max_workers(1).name("counted").build().unwrap();
    let (started, go) = (mpsc::channel(), mpsc::channel::<()>());
    let busy = pool.spawn_blocking(move || {
        started.0.send(()).unwrap();
        go.1.recv().unwrap();
    });
    started.1.recv().unwrap();
    (0..3).map(|n| pool.submit(|n: u32| n, n)).for_each(|task| task.abort());
    go.0.send(()).unwrap();
    block_on(async {
        busy.await.unwrap();
        for n in 0..12 {
            let result = pool.submit(|n: u32| assert!(n < 10), n).await;
            assert_eq!(result.is_ok(), n < 10);
        }
        let chunks = pool.map(|n: u32| assert!(!n.is_multiple_of(20)), 0..100).chunk_size(10);
        assert_eq!(chunks.filter(|result| std::future::ready(result.is_err())).count().await, 5);
        let (started, go) = (mpsc::channel(), mpsc::channel::<()>());
        let running = pool.spawn_blocking(move || {
            started.0.send(()).unwrap();
            go.1.recv().unwrap();
        });
        started.1.recv().unwrap();
        assert!(running.cancel().await.is_none());
        go.0.send(()).unwrap();
        pool.shutdown(false).await;
    });
}

fn in_polls() {
    let pool = Executor::builder().backend("serial").name("polled").build().unwrap();
    block_on(async {
        pool.submit(|()| (), ()).await.unwrap();
        pool.spawn(async {}).await.unwrap();
    });
}

#[cfg(all(feature = "processes", target_os = "linux"))]
fn with_losses() {
    use polypool::{Processes, TaskOptions};

    fn die(marker: String) {
        if !marker.is_empty() && std::fs::File::create_new(marker).is_err() {
            return;
        }
        std::process::exit(3);
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = Processes::new().max_tasks_per_worker(1);
    let pool = Executor::builder().backend(backend).max_workers(1).name("lossy").build().unwrap();
    block_on(async {
        assert!(pool.submit(die, String::new()).await.is_err());
        let marker = folder.path().join("marker").to_str().unwrap().to_owned();
        pool.submit_with(TaskOptions::new().retries(1), die, marker).await.unwrap();
        pool.submit(|()| (), ()).await.unwrap();
        pool.shutdown(false).await;
    });
}
