//! The one allocation of a task: its work until it starts, its result when it has ended, and who waits for it.
//!
//! A cell goes through these stages, each change under its lock, each at most once, never back but for `requeue`:
//!
//! ```text
//! Queued ──run──► Running ──finish──► Done ──take──► Gone
//!    └────resolve────┴──────resolve────►┘
//! ```
//!
//! 1. Who moves the work out of `Queued` decides alone: either `run`, and the work starts, or `resolve`, and it never does.
//!    That makes "pending" exact.
//! 2. `Done` is entered once. A result that comes after a `resolve` is dropped by its worker.
//! 3. No user code runs under the lock: work, results and wakers are moved out first. Counting happens under it, so that who
//!    sees the result sees the counts.
//!
//! Wakers share their place with the result, so a waiting task costs 64 bytes and its closure.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tracing::Instrument;

use super::{
    Host, TaskId, TaskState,
    catch::{Caught, catch, discard, wake},
    clock::{Span, Stamp},
    options::TaskOptions,
    remote::Claim,
    report::{Captured, Facts},
    work::{Kind, Started, Tally, Work},
};
use crate::{
    error::TaskError,
    function::{Call, Reply},
    sys::sync::{AtomicU64, Mutex, Ordering, lock},
};

/// How the code of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Completed,
    Failed,
}

/// The end of a task by its own code.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) left: Left,
    pub(crate) tally: Tally,
    pub(crate) ran_for: Span,
    /// The error, where somebody listens.
    pub(crate) why: Option<String>,
}

/// What a task was doing when it was resolved from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// It had not started, and never will.
    Queued,
    /// Its code may go on; nobody waits for it.
    Running,
}

/// Who hears of a task that is ended from outside.
pub(crate) trait Ending {
    /// Called under the task's lock, before anyone can see the error: count, nothing else.
    fn count(&self, was: Resolved);

    /// Called before those who wait are woken.
    fn told(&self, was: Resolved, ran_for: Span);
}

/// Nobody does.
impl Ending for () {
    fn count(&self, _: Resolved) {}

    fn told(&self, _: Resolved, _: Span) {}
}

/// A task whose types are forgotten: what queues, lanes and pools see.
pub(crate) trait AnyTask: Send + Sync {
    fn id(&self) -> TaskId;

    /// Names the task; the queue does so when it takes it.
    fn set_id(&self, id: TaskId);

    fn kind(&self) -> Kind;

    /// False for what the pool does for itself: nobody counts it or hears of it.
    fn is_counted(&self) -> bool;

    fn state(&self) -> TaskState;

    /// The task's own options, until it starts.
    fn options(&self) -> Option<Arc<TaskOptions>>;

    /// The lane that runs it, while it runs.
    fn worker(&self) -> Option<u32>;

    /// Starts the task, if nobody withdrew it. Blocking work has ended when this returns; other work goes on in the future
    /// that comes back. Dropping that future drops the work and leaves the task to be resolved.
    fn run(
        self: Arc<Self>,
        host: &Arc<dyn Host + Send + Sync>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

    /// Ends the task with an error if it is in a stage that may be ended: `Queued` is, `Running` only if asked for.
    fn resolve(&self, error: TaskError, running: bool, ending: &dyn Ending) -> Option<Resolved>;

    /// For how many of the user's tasks it stands.
    fn tasks(&self) -> u64;

    /// Has a place in a bounded queue, which is free when the task begins or is withdrawn.
    fn takes_room(&self) -> bool;

    /// Counts an attempt that was lost before the work started.
    fn lost_attempt(&self) -> u32;

    /// Registers for the end of the task.
    fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Wakes who waits for the task, to look at it again.
    fn rouse(&self);

    /// Tells whether the task has ended with an error that nobody has taken yet.
    fn has_failed(&self) -> bool;

    // What follows is for tasks that travel.

    /// The encoded call, until the task has ended. None for a task that does not travel.
    fn call(&self) -> Option<Arc<Call>> {
        None
    }

    /// The call is handed to a worker that comes to it later. None when there is nothing to hand over any more.
    fn send(&self, _to: &Arc<dyn Claim>, _at: u64, _lane: u32) -> Option<Arc<Call>> {
        None
    }

    /// It has options of its own.
    fn has_options(&self) -> bool {
        false
    }

    /// Takes the call back from the worker that was to come to it. False when it has come to it, or the task is over.
    fn recall(&self) -> bool {
        false
    }

    /// How a task that has come back is to end, because somebody wanted that when nobody knew whether it had begun.
    fn take_wish(&self) -> Option<TaskError> {
        None
    }

    /// The worker starts the call. False when the task was withdrawn before.
    fn begin(&self, _: &dyn Host) -> bool {
        false
    }

    /// The call that was begun is over. Gives who is to be woken, and the call that nobody needs any more.
    fn reply(&self, _: Reply, _: Option<Box<Captured>>, _: &dyn Host) -> (Option<Waker>, Option<Arc<Call>>) {
        (None, None)
    }

    /// What the attempt that is under way has written, where its end is not a reply.
    fn keep_captured(&self, _: Box<Captured>) {}

    /// How often it was begun.
    fn attempts(&self) -> u32 {
        u32::MAX
    }

    /// The worker was lost that had begun it: it goes back to the queue. False when it was to be stopped, or has ended. It is
    /// `undone` when the worker had not come to it, and that was no attempt.
    fn requeue(&self, _: &dyn Host, _undone: bool) -> bool {
        false
    }

    /// Whoever runs it is to stop it for this reason, the first one given. False when nobody does.
    fn ask_to_stop(&self, _: TaskError) -> bool {
        false
    }

    fn stop_asked(&self) -> Option<TaskError> {
        None
    }

    /// Nobody wants those of its inputs that have not begun. False when it is over.
    fn ask_to_trim(&self) -> bool {
        false
    }

    fn is_trimmed(&self) -> bool {
        false
    }

    /// The task that was begun is with this one, by this ticket.
    fn held(&self, _by: &Arc<dyn Claim>, _ticket: u64) {}
}

/// A task of which only the result's type is known: what handles see.
pub(crate) trait Outcome<R>: AnyTask {
    #[allow(clippy::type_complexity, reason = "said here once")]
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<R, Box<TaskError>>, Facts, Option<Box<Captured>>)>;
}

pub(crate) struct TaskCell<W: Work> {
    id: AtomicU64,
    tag: W::Tag,
    stage: Mutex<Stage<W>>,
}

enum Stage<W: Work> {
    Queued { work: W, waker: Option<Waker>, since: Stamp, attempts: u32 },
    Running { waker: Option<Waker>, since: Stamp, queued_for: Span, attempts: u32, worker: u32 },
    Done { result: Result<W::Output, Box<TaskError>>, facts: Facts },
    Gone,
}

impl<W: Work> TaskCell<W> {
    pub(crate) fn new(work: W) -> Self {
        Self {
            id: AtomicU64::new(0),
            tag: work.tag(),
            stage: Mutex::new(Stage::Queued { work, waker: None, since: Stamp::now(), attempts: 0 }),
        }
    }

    /// Queued → Running, by whoever is first.
    fn begin(&self, worker: u32, now: Stamp) -> Option<(W, Span)> {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Queued { work, waker, since, attempts } => {
                let queued_for = now.since(since);
                *stage = Stage::Running { waker, since: now, queued_for, attempts: attempts + 1, worker };
                Some((work, queued_for))
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Running → Done with what the work gave.
    fn finish(&self, result: Result<W::Output, Box<TaskError>>, host: &dyn Host) {
        let now = Stamp::now();
        let (left, tally) = match &result {
            Ok(output) => (Left::Completed, W::tally(output)),
            Err(_) => (Left::Failed, Tally { failed: self.tasks(), ..Tally::default() }),
        };
        let why = result.as_ref().err().filter(|_| host.is_heard()).map(ToString::to_string);
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Running { waker, since, queued_for, attempts, worker } => {
                host.left(self, tally, now);
                let facts = Facts::ran(queued_for, now.since(since), attempts, worker);
                *stage = Stage::Done { result, facts };
                drop(stage);
                host.told(self, Told { left, tally, ran_for: facts.ran_for, why });
                if let Some(waker) = waker {
                    wake(waker);
                }
            }
            other => {
                *stage = other;
                host.left(self, Tally::default(), now);
                drop(stage);
                host.late(self);
                discard(result);
            }
        }
    }

    /// Has `cx` woken when the task ends; false when it has ended.
    fn register(&self, cx: &mut Context<'_>) -> bool {
        let (old, waits) = {
            let mut stage = lock(&self.stage);
            match stage.waker() {
                None => return false,
                Some(Some(waker)) if waker.will_wake(cx.waker()) => return true,
                Some(_) => {}
            }
            // Cloning a waker is the user's code.
            drop(stage);
            let new = cx.waker().clone();
            stage = lock(&self.stage);
            match stage.waker() {
                Some(slot) => (slot.replace(new), true),
                None => (Some(new), false),
            }
        };
        drop(old);
        waits
    }
}

impl<W: Work> Stage<W> {
    /// The place of the waker, as long as there is something to wait for.
    fn waker(&mut self) -> Option<&mut Option<Waker>> {
        match self {
            Stage::Queued { waker, .. } | Stage::Running { waker, .. } => Some(waker),
            Stage::Done { .. } | Stage::Gone => None,
        }
    }
}

impl<W: Work> AnyTask for TaskCell<W> {
    fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    fn set_id(&self, id: TaskId) {
        self.id.store(id.0, Ordering::Relaxed);
    }

    fn kind(&self) -> Kind {
        W::KIND
    }

    fn is_counted(&self) -> bool {
        W::IS_COUNTED
    }

    fn state(&self) -> TaskState {
        match *lock(&self.stage) {
            Stage::Queued { .. } => TaskState::Queued,
            Stage::Running { .. } => TaskState::Running,
            Stage::Done { .. } | Stage::Gone => TaskState::Finished,
        }
    }

    fn options(&self) -> Option<Arc<TaskOptions>> {
        match &*lock(&self.stage) {
            Stage::Queued { work, .. } => work.options().cloned(),
            _ => None,
        }
    }

    fn worker(&self) -> Option<u32> {
        match *lock(&self.stage) {
            Stage::Running { worker, .. } => Some(worker),
            _ => None,
        }
    }

    fn run(
        self: Arc<Self>,
        host: &Arc<dyn Host + Send + Sync>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let Some((work, queued_for)) = self.begin(host.worker(), host.now()) else {
            host.withdrawn();
            return None;
        };
        let options = work.options().map(|options| &**options);
        host.begun(&*self, options, queued_for);
        let span = host.span(&*self, options);
        // The span is left, and a blocking task's is closed, before anybody can see the result.
        let start = || {
            let started = span.in_scope(|| work.start());
            let span = matches!(started, Started::Future(_)).then_some(span);
            (started, span)
        };
        match catch(start) {
            Ok((Started::Ended(output), _)) => self.finish(Ok(output), &**host),
            Ok((Started::Future(future), Some(span))) if !span.is_disabled() => {
                return Some(Box::pin(rest_in_span(self, future, Arc::clone(host), span)));
            }
            Ok((Started::Future(future), _)) => {
                return Some(Box::pin(rest(self, future, Arc::clone(host))));
            }
            Err(panic) => self.finish(Err(Box::new(TaskError::Panicked(panic))), &**host),
        }
        None
    }

    fn tasks(&self) -> u64 {
        W::tasks(self.tag)
    }

    fn attempts(&self) -> u32 {
        match *lock(&self.stage) {
            Stage::Queued { attempts, .. } | Stage::Running { attempts, .. } => attempts,
            _ => u32::MAX,
        }
    }

    fn takes_room(&self) -> bool {
        W::TAKES_ROOM
    }

    fn resolve(&self, error: TaskError, running: bool, ending: &dyn Ending) -> Option<Resolved> {
        let mut stage = lock(&self.stage);
        let (was, work, waker, facts) = match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Queued { work, waker, since, attempts } => {
                let facts = Facts::never_started(Stamp::now().since(since), attempts);
                (Resolved::Queued, Some(work), waker, facts)
            }
            Stage::Running { waker, since, queued_for, attempts, worker } if running => {
                let facts = Facts::ran(queued_for, Stamp::now().since(since), attempts, worker);
                (Resolved::Running, None, waker, facts)
            }
            other => {
                *stage = other;
                return None;
            }
        };
        ending.count(was);
        *stage = Stage::Done { result: Err(Box::new(error)), facts };
        drop(stage);
        discard(work);
        ending.told(was, facts.ran_for);
        if let Some(waker) = waker {
            wake(waker);
        }
        Some(was)
    }

    fn lost_attempt(&self) -> u32 {
        match &mut *lock(&self.stage) {
            Stage::Queued { attempts, .. } => {
                *attempts += 1;
                *attempts
            }
            _ => u32::MAX,
        }
    }

    fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.register(cx) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn rouse(&self) {
        let waker = lock(&self.stage).waker().and_then(Option::take);
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    fn has_failed(&self) -> bool {
        matches!(&*lock(&self.stage), Stage::Done { result: Err(_), .. })
    }
}

impl<W: Work> Outcome<W::Output> for TaskCell<W> {
    #[allow(clippy::type_complexity, reason = "the trait's")]
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<W::Output, Box<TaskError>>, Facts, Option<Box<Captured>>)> {
        loop {
            let mut stage = lock(&self.stage);
            match mem::replace(&mut *stage, Stage::Gone) {
                Stage::Done { result, facts } => return Poll::Ready((result, facts, None)),
                Stage::Gone => panic!("a task handle was polled after it had given its result"),
                waiting => *stage = waiting,
            }
            drop(stage);
            if self.register(cx) {
                return Poll::Pending;
            }
        }
    }
}

/// The work of a started task that is a future. (If it panics when it is dropped, so does this, and its lane sees to it.)
async fn rest<W: Work>(task: Arc<TaskCell<W>>, future: W::Future, host: Arc<dyn Host + Send + Sync>) {
    let result = Caught::new(future).await;
    task.finish(result.map_err(|panic| Box::new(TaskError::Panicked(panic))), &*host);
}

/// The same in a span, which is entered in each poll and is closed before anybody can see the result.
async fn rest_in_span<W: Work>(
    task: Arc<TaskCell<W>>,
    future: W::Future,
    host: Arc<dyn Host + Send + Sync>,
    span: tracing::Span,
) {
    let result = Caught::new(future.instrument(span)).await;
    task.finish(result.map_err(|panic| Box::new(TaskError::Panicked(panic))), &*host);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::work::Blocking;

    fn size_of_cell<F: FnOnce() -> R + Send + 'static, R: Send + 'static>(_: &F) -> usize {
        // An `Arc` keeps two counters beside the cell.
        size_of::<TaskCell<Blocking<F>>>() + 2 * size_of::<usize>()
    }

    #[test]
    fn a_waiting_task_is_small() {
        let n = std::hint::black_box(7_u64);
        assert!(size_of_cell(&move || n + 1) <= 72, "{}", size_of_cell(&move || n + 1));
        let big = [n; 16];
        assert!(size_of_cell(&move || big[3]) <= 64 + size_of_val(&big));
    }
}
