//! What a submitter holds of a task. Owns waiting, cancelling and detaching; who carries them out is the task's owner.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    AnyTask, Outcome, Owner, TaskId, TaskState,
    report::{Captured, Facts, TaskReport},
};
use crate::{error::TaskError, policy::CancellationPolicy, runtime::block_on};

/// A task that was submitted: await it for its result.
///
/// Dropping a handle detaches it: the task goes on, and its result is dropped when it has one. (On the `serial` backend a
/// task that is never polled never runs.) [`cancel_on_drop`](Self::cancel_on_drop) changes that.
///
/// A handle does not keep its executor: when the last clone of that is dropped, its policy decides about this task, too.
///
/// # Cancel safety
/// Awaiting `&mut handle` in a `select!` loses nothing: the result stays in the task until a poll returns it.
///
/// # Panics
/// Polling a handle again after it returned its result panics, as with any future.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(2)?;
/// let task = pool.submit(|n: u64| (1..=n).product::<u64>(), 10);
/// assert_eq!(task.await?, 3_628_800);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "dropping a handle detaches its task: await it, or say `drop(..)` or `cancel_on_drop(..)`"]
pub struct TaskHandle<R> {
    task: Arc<dyn Outcome<R>>,
    owner: Arc<dyn Owner>,
    /// What the owner keeps for as long as this handle waits.
    waiting: Option<Box<dyn Send + Sync>>,
    on_drop: CancellationPolicy,
}

impl<R> TaskHandle<R> {
    pub(crate) fn new(task: Arc<dyn Outcome<R>>, owner: Arc<dyn Owner>) -> Self {
        Self { task, owner, waiting: None, on_drop: CancellationPolicy::NONE }
    }

    /// Gives the task's number.
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ());
    /// println!("submitted task {}", task.id());
    /// ```
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Tells where the task is. What it says may be out of date at once, but for `Finished`, which is for ever.
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ());
    /// assert_eq!(task.state(), polypool::TaskState::Queued);
    /// ```
    pub fn state(&self) -> TaskState {
        self.task.state()
    }

    /// Tells whether awaiting the handle would return at once.
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// assert!(!pool.submit(|()| (), ()).is_finished());
    /// ```
    pub fn is_finished(&self) -> bool {
        self.state() == TaskState::Finished
    }

    /// Asks for the task to be cancelled and returns at once. One that has not started never will; one that runs is stopped
    /// as its backend can (see [`CancellationPolicy`]); a finished one keeps its result.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// # let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ());
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) {
        self.apply(CancellationPolicy::ALL);
    }

    /// Gives a handle that can abort the task and nothing else, for as many holders as need it.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// # let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ());
    /// let stop = task.abort_handle();
    /// stop.abort();
    /// assert!(task.await.is_err());
    /// # });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: self.any(), owner: Arc::clone(&self.owner) }
    }

    /// Aborts the task and waits until it is resolved. Gives its value if it had one already.
    ///
    /// # Cancel safety
    /// The task is aborted at the first poll, whether or not the rest is awaited.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// # let pool = polypool::Executor::serial();
    /// assert_eq!(pool.submit(|()| 1, ()).cancel().await, None);
    /// # });
    /// ```
    pub async fn cancel(self) -> Option<R> {
        self.abort();
        self.await.ok()
    }

    /// Says what dropping this handle does to the task. The default is [`CancellationPolicy::NONE`].
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ()).cancel_on_drop(true); // if it has not started by then
    /// ```
    pub fn cancel_on_drop(mut self, policy: impl Into<CancellationPolicy>) -> Self {
        self.on_drop = policy.into();
        self
    }

    /// Waits for the result on this thread, with no runtime. Inside a task of the same pool, a task that has not begun runs there
    /// and then on this thread, or in another process; see [Tasks of tasks](crate#tasks-of-tasks).
    ///
    /// It blocks: on a thread that drives a runtime, whatever that runtime would do is not done meanwhile; if the task needs
    /// that very thread (the `tasks` backend on a current-thread runtime), it waits for ever. Await the handle there. Inside a
    /// task on `tasks`, prefer this to a `block_on` of others: this tells the pool that the thread is blocked.
    ///
    /// # Errors
    /// As awaiting the handle.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// assert_eq!(pool.submit(|n: i32| -n, 3).blocking_join()?, -3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn blocking_join(self) -> Result<R, TaskError> {
        if self.state() == TaskState::Queued {
            self.owner.joined(&self.any());
        }
        block_on(self)
    }

    /// Waits for the result together with what is known of how it came about.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handle, and so does what that is set to do.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// # let pool = polypool::Executor::threads(1).unwrap();
    /// let report = pool.submit(|()| 'z', ()).report().await;
    /// println!("{:?} after {:?} in the queue", report.result, report.queued_for);
    /// # });
    /// ```
    pub async fn report(mut self) -> TaskReport<R> {
        std::future::poll_fn(|cx| self.poll_report(cx)).await
    }

    pub(crate) fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<TaskReport<R>> {
        self.poll_outcome(cx)
            .map(|(result, facts, captured)| TaskReport::new(result.map_err(|error| *error), facts, captured))
    }

    /// The same without a word to its owner: for who does not wait in a task, wherever it is polled.
    #[cfg(feature = "graph")]
    pub(crate) fn poll_report_alone(&mut self, cx: &mut Context<'_>) -> Poll<TaskReport<R>> {
        self.task
            .poll_take(cx)
            .map(|(result, facts, captured)| TaskReport::new(result.map_err(|error| *error), facts, captured))
    }

    #[allow(clippy::type_complexity, reason = "that of `Outcome`")]
    fn poll_outcome(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<R, Box<TaskError>>, Facts, Option<Box<Captured>>)> {
        let mut poll = self.task.poll_take(cx);
        if poll.is_pending() {
            let task = self.any();
            if self.owner.awaited(&task, cx, &mut self.waiting) {
                poll = self.task.poll_take(cx);
            }
        }
        if poll.is_ready() {
            self.waiting = None;
        }
        poll
    }

    /// Polls the task alone, without a word to its owner: for who does not wait in a task, and has no time to spare.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub(crate) fn poll_alone(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, TaskError>> {
        self.task.poll_take(cx).map(|(result, ..)| result.map_err(|error| *error))
    }

    /// Waits for the end of the task and leaves the result where it is.
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut poll = self.task.poll_finished(cx);
        if poll.is_pending() {
            let task = self.any();
            if self.owner.awaited(&task, cx, &mut self.waiting) {
                poll = self.task.poll_finished(cx);
            }
        }
        if poll.is_ready() {
            self.waiting = None;
        }
        poll
    }

    /// Ends what the owner does for a handle that waits. The next poll begins it anew.
    pub(crate) fn stop_waiting(&mut self) {
        self.waiting = None;
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.task.has_failed()
    }

    pub(crate) fn apply(&self, policy: CancellationPolicy) {
        self.owner.cancel(&self.any(), policy);
    }

    pub(crate) fn any(&self) -> Arc<dyn AnyTask> {
        Arc::<dyn Outcome<R>>::clone(&self.task)
    }
}

impl<R> Future for TaskHandle<R> {
    type Output = Result<R, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_outcome(cx).map(|(result, ..)| result.map_err(|error| *error))
    }
}

impl<R> Drop for TaskHandle<R> {
    fn drop(&mut self) {
        if !self.on_drop.is_empty() {
            self.apply(self.on_drop);
        }
    }
}

impl<R> fmt::Debug for TaskHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("id", &self.id()).field("state", &self.state()).finish()
    }
}

/// The permission to abort one task, whatever its type. Dropping it does nothing.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// # let pool = polypool::Executor::serial();
/// let (a, b) = (pool.submit(|()| 1, ()), pool.submit(|()| 'b', ()));
/// for stop in [a.abort_handle(), b.abort_handle()] {
///     stop.abort();
/// }
/// assert!(a.await.is_err() && b.await.is_err());
/// # });
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    task: Arc<dyn AnyTask>,
    owner: Arc<dyn Owner>,
}

impl AbortHandle {
    /// Asks for the task to be cancelled, as [`TaskHandle::abort`] does.
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// pool.submit(|()| 1, ()).abort_handle().abort();
    /// ```
    pub fn abort(&self) {
        self.owner.cancel(&self.task, CancellationPolicy::ALL);
    }

    /// Tells whether the task has ended.
    ///
    /// # Examples
    /// ```
    /// # let pool = polypool::Executor::serial();
    /// let stop = pool.submit(|()| 1, ()).abort_handle();
    /// stop.abort();
    /// assert!(stop.is_finished());
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task.state() == TaskState::Finished
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.task.id()).finish_non_exhaustive()
    }
}
