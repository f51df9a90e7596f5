//! Timelines of real pools: what was recorded is what happened, and nobody is in its way.
#![cfg(feature = "timeline")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::HashMap, sync::mpsc};

use futures::{StreamExt, executor::block_on};
use polypool::{
    Executor, TaskOptions,
    timeline::{Recorder, Timeline},
};
use serde_json::Value;

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

/// How often each outcome is there, of tasks that started.
fn outcomes(timeline: &Timeline) -> HashMap<String, usize> {
    let trace: Value = serde_json::from_str(&timeline.chrome_trace()).unwrap();
    let mut counts = HashMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        if let Some(outcome) = event["args"]["outcome"].as_str().filter(|_| event["ph"] != "i") {
            *counts.entry(outcome.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> HashMap<String, usize> {
    counts.map(|(outcome, count)| (outcome.to_owned(), count)).into()
}

#[test]
fn on_threads_with_one_that_panics_and_one_cancelled_before_it_started() {
    let pool = Executor::threads(1).unwrap();
    let recorder = Recorder::start(&pool);
    let (started, go) = (mpsc::channel(), mpsc::channel::<()>());
    let busy = pool.spawn_blocking(move || {
        started.0.send(()).unwrap();
        go.1.recv().unwrap();
    });
    started.1.recv().unwrap();
    let named = |name: &str| TaskOptions::new().name(name);
    let late = pool.submit_with(named("late"), |()| (), ());
    late.abort();
    let failing = pool.submit_with(named("failing"), |()| -> () { panic!("for <the> picture") }, ());
    go.0.send(()).unwrap();
    block_on(async {
        assert!(busy.await.is_ok() && late.await.is_err() && failing.await.is_err());
    });
    let timeline = recorder.finish();
    assert_eq!(outcomes(&timeline), counts([("finished", 1), ("failed", 1)]));
    let svg = timeline.svg();
    assert!(svg.contains("cancelled before it started: late"));
    assert!(svg.contains("failing\nfailed on worker 0") && svg.contains("for &lt;the&gt; picture"));
}

#[cfg(all(feature = "processes", target_os = "linux"))]
#[test]
fn on_processes_with_one_killed_one_tried_again_and_one_stopped() {
    fn die(marker: String) {
        if !marker.is_empty() && std::fs::File::create_new(marker).is_err() {
            return;
        }
        std::process::exit(3);
    }
    let folder = tempfile::tempdir().unwrap();
    let pool = Executor::builder().backend("processes").max_workers(1).build().unwrap();
    let recorder = Recorder::start(&pool);
    block_on(async {
        assert!(pool.submit(die, String::new()).await.unwrap_err().is_worker_lost());
        let marker = folder.path().join("marker").to_str().unwrap().to_owned();
        pool.submit_with(TaskOptions::new().retries(1), die, marker).await.unwrap();
        let running = pool.submit(|()| polypool::worker::report_progress(1, 1), ());
        running.await.unwrap();
        let mut events = pool.events();
        let endless = pool.submit_async(async |()| std::future::pending::<()>().await, ());
        while !matches!(events.next().await.unwrap().kind, polypool::EventKind::TaskStarted { .. }) {}
        assert!(endless.cancel().await.is_none());
    });
    let timeline = recorder.finish();
    assert_eq!(outcomes(&timeline), counts([("finished", 2), ("lost", 2), ("cancelled", 1)]));
    let svg = timeline.svg();
    assert_eq!(svg.matches("exited with code 3</title><circle").count(), 2);
    assert!(svg.contains("4 tasks in") && svg.contains("5 attempts"));
    assert!(timeline.chrome_trace().contains(r#""attempt":2"#));
}

/// As many as wait for a listener that does not come to them, and no more: so none is missed, however slow the machine.
#[test]
fn many_events_are_all_heard() {
    let pool = Executor::threads(2).unwrap();
    let recorder = Recorder::start(&pool);
    let handles: Vec<_> = (0..20_000).map(|n| pool.submit(|n: u32| n, n)).collect();
    block_on(async {
        for handle in handles {
            handle.await.unwrap();
        }
        pool.shutdown(false).await;
    });
    let timeline = recorder.finish();
    assert_eq!(outcomes(&timeline), counts([("finished", 20_000)]));
    assert!(timeline.svg().len() < 1 << 20);
}

#[test]
fn pool_ends_though_it_is_recorded() {
    let pool = Executor::threads(1).unwrap();
    let recorder = Recorder::start(&pool);
    let mut events = pool.events();
    block_on(pool.submit(|()| (), ())).unwrap();
    block_on(pool.shutdown(true));
    drop(pool);
    block_on(async { while events.next().await.is_some() {} });
    assert_eq!(outcomes(&recorder.finish()), counts([("finished", 1)]));
}

#[test]
fn recorder_that_is_dropped_ends_the_listening() {
    let pool = Executor::threads(1).unwrap();
    for _ in 0..100 {
        drop(Recorder::start(&pool));
    }
    block_on(pool.submit(|()| (), ())).unwrap();
}
