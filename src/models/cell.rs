//! A task that stays in this process: begun, ended, withdrawn and awaited at the same time.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use super::{block_on, explore, thread};
use crate::{
    error::TaskError,
    task::{
        AnyTask, Blocking, Ending, Host, Outcome, Resolved, Tally, TaskCell, TaskOptions, Told,
        clock::{Span, Stamp},
    },
};

/// Counts what it is told. With words of the standard library, which loom does not see: they decide nothing.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) begun: AtomicU32,
    pub(super) left: AtomicU32,
    pub(super) completed: AtomicU32,
    pub(super) late: AtomicU32,
    pub(super) withdrawn: AtomicU32,
    pub(super) resolved: AtomicU32,
}

impl Counts {
    fn add(count: &AtomicU32) {
        count.fetch_add(1, Relaxed);
    }
}

impl Host for Counts {
    fn worker(&self) -> u32 {
        0
    }

    fn now(&self) -> Stamp {
        Stamp::now()
    }

    fn begun(&self, _: &dyn AnyTask, _: Option<&TaskOptions>, _: Span) {
        Self::add(&self.begun);
    }

    fn span(&self, _: &dyn AnyTask, _: Option<&TaskOptions>) -> tracing::Span {
        tracing::Span::none()
    }

    fn withdrawn(&self) {
        Self::add(&self.withdrawn);
    }

    fn is_heard(&self) -> bool {
        false
    }

    fn told(&self, _: &dyn AnyTask, _: Told) {}

    fn late(&self, _: &dyn AnyTask) {
        Self::add(&self.late);
    }

    fn left(&self, _: &dyn AnyTask, tally: Tally, _: Stamp) {
        Self::add(&self.left);
        self.completed.fetch_add(tally.completed as u32, Relaxed);
    }
}

impl Ending for Counts {
    fn count(&self, _: Resolved) {
        Self::add(&self.resolved);
    }

    fn told(&self, _: Resolved, _: Span) {}
}

/// What a handle of it gives.
pub(super) fn result<R>(task: &impl Outcome<R>) -> Result<R, TaskError> {
    block_on(poll_fn(|cx| task.poll_take(cx))).0.map_err(|error| *error)
}

/// *Pending is exact.* Of a worker that begins a task and one who withdraws it, one wins: the code has run and gave its result, or
/// it has not and never will. Who waits is woken in both cases.
#[cfg_attr(test, test)]
pub fn a_task_is_begun_or_withdrawn() {
    explore(3, || {
        let ran = Arc::new(AtomicU32::new(0));
        let task = Arc::new(TaskCell::new(Blocking({
            let ran = Arc::clone(&ran);
            move || ran.fetch_add(1, Relaxed)
        })));
        let counts = Arc::new(Counts::default());
        let host: Arc<dyn Host + Send + Sync> = Arc::<Counts>::clone(&counts);
        let worker = thread::spawn({
            let task = Arc::clone(&task);
            move || drop(task.run(&host))
        });
        let canceller = thread::spawn({
            let (task, counts) = (Arc::clone(&task), Arc::clone(&counts));
            move || task.resolve(TaskError::Cancelled, false, &*counts)
        });
        let result = result(&*task);
        worker.join().expect("a worker");
        let was = canceller.join().expect("a canceller");
        match was {
            Some(Resolved::Queued) => assert!(matches!(result, Err(TaskError::Cancelled))),
            None => assert_eq!(result.ok(), Some(0)),
            Some(Resolved::Running) => panic!("nobody asked for that"),
        }
        let is_withdrawn = u32::from(was.is_some());
        assert_eq!(ran.load(Relaxed), 1 - is_withdrawn, "it ran");
        assert_eq!(counts.begun.load(Relaxed), 1 - is_withdrawn);
        assert_eq!(counts.withdrawn.load(Relaxed), is_withdrawn);
        assert_eq!(counts.completed.load(Relaxed) + counts.resolved.load(Relaxed), 1, "counted once");
    });
}

/// *It ends once.* Of the code that ends and one who gives it up while it runs, one decides what is told; the other's end is
/// dropped, and is late.
#[cfg_attr(test, test)]
pub fn a_running_task_ends_once() {
    explore(3, || {
        let task = Arc::new(TaskCell::new(Blocking(|| 7)));
        let counts = Arc::new(Counts::default());
        let host: Arc<dyn Host + Send + Sync> = Arc::<Counts>::clone(&counts);
        let worker = thread::spawn({
            let task = Arc::clone(&task);
            move || drop(task.run(&host))
        });
        let stopper = thread::spawn({
            let (task, counts) = (Arc::clone(&task), Arc::clone(&counts));
            move || task.resolve(TaskError::Cancelled, true, &*counts)
        });
        let result = result(&*task);
        worker.join().expect("a worker");
        let was = stopper.join().expect("a stopper");
        assert_eq!(result.is_ok(), was.is_none());
        assert_eq!(counts.completed.load(Relaxed) + counts.resolved.load(Relaxed), 1, "counted once");
        assert_eq!(counts.late.load(Relaxed), u32::from(was == Some(Resolved::Running)));
        assert_eq!(counts.left.load(Relaxed), counts.begun.load(Relaxed), "what began was left");
    });
}
