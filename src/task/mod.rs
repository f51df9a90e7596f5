//! A task from the inside: its cell, its handle, its options and its report. Knows no queue, no backend and no runtime;
//! whoever owns the task says so through [`Owner`], whoever runs it through [`Host`].

use std::{fmt, sync::Arc, task::Context};

mod cell;
pub(crate) mod clock;
mod handle;
mod options;
mod remote;
mod report;
mod work;

pub(crate) use crate::function::catch;
pub(crate) use cell::{AnyTask, Ending, Left, Outcome, Resolved, TaskCell, Told};
pub use handle::{AbortHandle, TaskHandle};
pub use options::TaskOptions;
pub(crate) use remote::{Claim, RemoteCell};
pub(crate) use report::Captured;
pub use report::TaskReport;
pub(crate) use work::{Blocking, Hello, Kind, Optioned, Own, Started, Suspended, Tally, Work};

use self::clock::Stamp;
use crate::policy::CancellationPolicy;

/// A task's number, unique within its pool and in the order of submission.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let (a, b) = (pool.submit(|()| (), ()), pool.submit(|()| (), ()));
/// assert!(a.id() < b.id());
/// # let _ = (a.await, b.await);
/// # Ok::<(), polypool::BuildError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a task is on its way.
///
/// # Examples
/// ```
/// use polypool::{Executor, TaskState};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::serial();
/// let task = pool.submit(|()| (), ());
/// assert_eq!(task.state(), TaskState::Queued); // serial: nothing runs before the handle is polled
/// # let _ = task.await; });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It has not started, and if it is cancelled now, it never will.
    Queued,
    /// A worker runs it.
    Running,
    /// Its result is there, or was taken.
    Finished,
}

/// Who a handle turns to: the pool that its task was submitted to.
pub(crate) trait Owner: Send + Sync {
    /// A handle was polled whose task is not finished. Gives true when it may be finished now, so that a second look pays.
    /// What is left in `waiting` is dropped when the handle waits no more.
    fn awaited(
        &self,
        task: &Arc<dyn AnyTask>,
        cx: &mut Context<'_>,
        waiting: &mut Option<Box<dyn Send + Sync>>,
    ) -> bool;

    /// Somebody is about to wait for the task on this thread, and for nothing else. A worker of its pool may run it instead.
    fn joined(&self, task: &Arc<dyn AnyTask>);

    /// Applies the policy to this one task.
    fn cancel(&self, task: &Arc<dyn AnyTask>, policy: CancellationPolicy);
}

/// Who runs a task: the lane of a worker.
pub(crate) trait Host {
    /// The lane's index.
    fn worker(&self) -> u32;

    /// The time. A lane that goes from one task to the next need not look at the clock twice.
    fn now(&self) -> Stamp;

    /// The task has begun and can no longer be withdrawn.
    fn begun(&self, task: &dyn AnyTask, options: Option<&TaskOptions>, queued_for: clock::Span);

    /// The span that the task runs in here; none where nobody listens to `tracing`.
    fn span(&self, task: &dyn AnyTask, options: Option<&TaskOptions>) -> tracing::Span;

    /// The task was withdrawn before it could begin.
    fn withdrawn(&self);

    /// Does anybody listen to `told`?
    fn is_heard(&self) -> bool;

    /// The task's code has ended, and everybody who waits for it is woken next.
    fn told(&self, task: &dyn AnyTask, end: Told);

    /// The code of a task has ended that was resolved before.
    fn late(&self, task: &dyn AnyTask);

    /// The task's code has ended. Called with the task's lock held, before anyone can see the result: count, nothing else.
    fn left(&self, task: &dyn AnyTask, tally: Tally, at: Stamp);
}
