//! Foreign code that panics where a graph calls it: wakers of those who poll, and who listens to `tracing`.

#![allow(unsafe_code, reason = "a waker whose clone panics cannot be made without")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use futures::StreamExt;
use polypool::TaskError;
use polypool::graph::{Outcome, TaskGraph};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Event, Metadata, Subscriber};

use crate::gate::Gate;
use crate::ground::{Rig, hold, mark, reports};

case_list!(
    foreign: waker_whose_clone_panics,
    waker_whose_wake_panics,
    waker_whose_drop_panics,
    subscriber_that_panics_once,
    subscriber_that_panics_always,
    subscriber_that_panics_on_the_way_out,
);

/// What the wakers made from it do not survive.
struct Grenade {
    clone: bool,
    wake: bool,
    drop: bool,
    /// Wakers that were not dropped.
    wakers: AtomicU32,
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let grenade = grenade(data);
        assert!(!grenade.clone, "in the clone of a waker");
        grenade.wakers.fetch_add(1, Ordering::Relaxed);
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        grenade(data).wakers.fetch_sub(1, Ordering::Relaxed);
        assert!(!grenade(data).wake, "in the wake of a waker");
    },
    |data| assert!(!grenade(data).wake, "in the wake of a waker"),
    |data| {
        grenade(data).wakers.fetch_sub(1, Ordering::Relaxed);
        assert!(!grenade(data).drop, "in the drop of a waker");
    },
);

fn grenade<'a>(data: *const ()) -> &'a Grenade {
    // SAFETY: `data` comes from `polled_with`, which never frees it.
    unsafe { &*data.cast::<Grenade>() }
}

/// Polls a run of tasks that wait at a gate with such a waker, several times, and then hears it to its end.
async fn polled_with(rig: Rig, grenade: Grenade) {
    const TASKS: u64 = 5;
    // It may be dropped whenever the run likes.
    let grenade: &'static Grenade = Box::leak(Box::new(grenade));
    let gate = Gate::new();
    let mut graph = TaskGraph::new();
    for n in 0..TASKS {
        graph.task_async(n.to_string(), hold, (gate, n));
    }
    let mut run = graph.run(&rig.pool(2)).unwrap();
    // SAFETY: the table's functions take what `grenade` takes, and keep the rules for wakers.
    let waker = unsafe { Waker::new(std::ptr::from_ref(grenade).cast(), &VTABLE) };
    let waker = std::mem::ManuallyDrop::new(waker);
    for _ in 0..3 {
        let mut cx = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| run.poll_next_unpin(&mut cx)));
        match polled {
            Ok(poll) => assert!(poll.is_pending()),
            Err(_) => assert!(grenade.clone, "only who cannot be cloned is told"),
        }
    }
    gate.open();
    let mut names: Vec<_> = reports(&mut run).await.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    assert_eq!(run.finish().await.to_string(), "5 done");
    drop(run);
    assert_eq!(grenade.wakers.load(Ordering::Relaxed), 0);
}

pub async fn waker_whose_clone_panics(rig: Rig) {
    polled_with(rig, Grenade { clone: true, wake: false, drop: false, wakers: AtomicU32::new(0) }).await;
}

pub async fn waker_whose_wake_panics(rig: Rig) {
    polled_with(rig, Grenade { clone: false, wake: true, drop: false, wakers: AtomicU32::new(0) }).await;
}

pub async fn waker_whose_drop_panics(rig: Rig) {
    polled_with(rig, Grenade { clone: false, wake: false, drop: true, wakers: AtomicU32::new(0) }).await;
}

/// Panics as often as it is told to.
#[derive(Clone, Default)]
struct Listener {
    enters: Arc<AtomicI64>,
    exits: Arc<AtomicI64>,
    inside: Arc<Mutex<Option<&'static Metadata<'static>>>>,
}

fn next(counter: &AtomicI64) {
    assert!(counter.fetch_sub(1, Ordering::SeqCst) <= 0, "a subscriber");
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "the caller"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        *self.inside.lock().unwrap() = Some(span.metadata());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {
        next(&self.enters);
    }
    fn exit(&self, _: &Id) {
        next(&self.exits);
    }
    fn current_span(&self) -> Current {
        self.inside.lock().unwrap().map_or(Current::none(), |place| Current::new(Id::from_u64(1), place))
    }
}

/// Runs a graph of five within a span of this listener, which panics as often as this when it enters and leaves it.
async fn heard_by(rig: Rig, enters: i64, exits: i64) -> Vec<Result<(), TaskError>> {
    let (listener, gate) = (Listener::default(), Gate::new());
    // The place of a task that does not come is free again.
    let pool = rig.builder(2).max_pending(1).build().unwrap();
    let mut graph = TaskGraph::new();
    for n in 0..5 {
        graph.task(n.to_string(), mark, (gate, n));
    }
    let mut run = tracing::subscriber::with_default(listener.clone(), || {
        let _caller = tracing::info_span!("the caller");
        listener.enters.store(enters, Ordering::SeqCst);
        listener.exits.store(exits, Ordering::SeqCst);
        graph.run(&pool).unwrap()
    });
    let reports = reports(&mut run).await;
    assert_eq!(reports.len(), 5);
    listener.enters.store(0, Ordering::SeqCst);
    listener.exits.store(0, Ordering::SeqCst);
    assert_eq!(pool.submit(mark, (gate, 9)).await.unwrap(), 9);
    for (_, report) in &reports {
        let outcome = if report.result.is_ok() { Outcome::Done } else { Outcome::Failed };
        assert_eq!(report.outcome, outcome);
    }
    reports.into_iter().map(|(_, report)| report.result).collect()
}

pub async fn subscriber_that_panics_once(rig: Rig) {
    let results = heard_by(rig, 1, 0).await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(matches!(failed.as_slice(), [TaskError::Panicked(_)]), "{failed:?}");
}

pub async fn subscriber_that_panics_always(rig: Rig) {
    let results = heard_by(rig, i64::MAX, 0).await;
    assert!(results.iter().all(|result| matches!(result, Err(TaskError::Panicked(_)))), "{results:?}");
}

/// Where others may leave the span first, which task it hits is not known.
pub async fn subscriber_that_panics_on_the_way_out(rig: Rig) {
    let results = heard_by(rig, 0, 1).await;
    if rig.0 == "serial" {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}
