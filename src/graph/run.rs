//! What a user holds of a graph that runs: its reports as a stream, its progress, and the means to stop it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};

use super::{NodeReport, Output, Progress, Summary, TaskGraph, driver::Driver, plan::Plan, shared::Shared};
use crate::{executor::Executor, policy::CancellationPolicy};

/// A graph that runs, and the reports of its tasks in the order in which they end; from [`TaskGraph::run`]. Holds its pool until
/// every task has ended. Each task is reported once, skipped ones with those because of whom they are skipped.
///
/// The graph goes on, whether or not the run is polled; reports wait until they are taken. (On `serial` it goes on in polls only.)
///
/// Dropping it cancels what was not started and lets end what was; see [`cancel_on_drop`](Self::cancel_on_drop). It does not
/// block, and never touches tasks that are not of the graph.
///
/// # Cancel safety
/// Dropping the future of `next()` loses nothing.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::{Executor, graph::TaskGraph};
///
/// # futures::executor::block_on(async {
/// let mut graph = TaskGraph::new();
/// graph.task("first", |()| (), ());
/// graph.task("second", |()| (), ()).after(["first"]);
/// let run = graph.run(&Executor::threads(2)?)?;
/// let names: Vec<String> = run.map(|(name, _)| name).collect().await;
/// assert_eq!(names, ["first", "second"]);
/// # Ok::<(), polypool::BuildError>(()) }).unwrap();
/// ```
#[must_use = "dropping a run cancels what it has not started: poll it, or await its `finish()`"]
pub struct GraphRun {
    shared: Arc<Shared>,
    /// Which outputs are its own.
    id: u64,
    on_drop: CancellationPolicy,
    /// What the pool does for a task of its own that waits for this run.
    waiting: Option<Box<dyn Send + Sync>>,
}

impl GraphRun {
    pub(super) fn start(tasks: TaskGraph, plan: Plan, pool: &Executor) -> Self {
        let (id, total) = (tasks.id, tasks.len());
        let shared = Shared::new(Driver::new(tasks, plan, pool.clone()), total, pool);
        if !shared.in_polls() {
            shared.drive();
        }
        Self { shared, id, on_drop: CancellationPolicy::PENDING, waiting: None }
    }

    /// Says what dropping the run does to tasks that have not ended. The default is [`CancellationPolicy::PENDING`]. With
    /// [`NONE`](CancellationPolicy::NONE) the graph goes on to its end in the background, and holds its pool until then; not on
    /// `serial`, where nobody is left to run it.
    ///
    /// # Examples
    /// ```
    /// use polypool::{CancellationPolicy, Executor, graph::TaskGraph};
    ///
    /// let mut graph = TaskGraph::new();
    /// graph.task("long", |()| (), ());
    /// let run = graph.run(&Executor::threads(1)?)?.cancel_on_drop(CancellationPolicy::ALL);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn cancel_on_drop(mut self, policy: impl Into<CancellationPolicy>) -> Self {
        self.on_drop = policy.into();
        self
    }

    /// Asks for the rest to be cancelled and returns at once. What was not started never will; what runs is stopped as the
    /// backend can (see [`CancellationPolicy`]). Each task is still reported: as cancelled, unless it was over already.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, graph::TaskGraph};
    ///
    /// # futures::executor::block_on(async {
    /// let mut graph = TaskGraph::new();
    /// graph.task("a", |()| (), ());
    /// let mut run = graph.run(&Executor::serial())?;
    /// run.abort();
    /// assert_eq!(run.finish().await.cancelled, 1);
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn abort(&self) {
        self.shared.stop(CancellationPolicy::ALL);
    }

    /// Aborts the run and waits until every task has ended. Reports that were not taken are dropped.
    ///
    /// # Cancel safety
    /// The run is aborted at the first poll, whether or not the rest is awaited.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, graph::TaskGraph};
    ///
    /// # futures::executor::block_on(async {
    /// let mut graph = TaskGraph::new();
    /// graph.task_async("endless", |()| std::future::pending::<()>(), ());
    /// let mut run = graph.run(&Executor::tasks(1)?)?;
    /// assert_eq!(run.cancel().await.to_string(), "0 done, 1 cancelled");
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub async fn cancel(&mut self) -> Summary {
        self.abort();
        self.finish().await
    }

    /// Waits until every task has ended, and sums up. Reports that were not taken are dropped; results can be
    /// [taken](Self::take_output) afterwards.
    ///
    /// # Cancel safety
    /// Dropping the future loses the reports that came until then.
    ///
    /// # Examples
    /// See [`Summary`].
    pub async fn finish(&mut self) -> Summary {
        while self.next().await.is_some() {}
        self.progress().summary()
    }

    /// Tells how far the run is, now.
    ///
    /// # Examples
    /// See [`Progress`].
    pub fn progress(&self) -> Progress {
        self.shared.told.progress()
    }

    /// Shows how many tasks have ended on a bar of indicatif, as they end, whether or not the run is polled.
    ///
    /// # Examples
    /// ```
    /// use indicatif::ProgressBar;
    /// use polypool::{Executor, graph::TaskGraph};
    ///
    /// # futures::executor::block_on(async {
    /// let mut graph = TaskGraph::new();
    /// graph.task("a", |()| (), ());
    /// let bar = ProgressBar::no_length();
    /// graph.run(&Executor::threads(1)?)?.progress_bar(bar.clone()).finish().await;
    /// assert_eq!((bar.position(), bar.length()), (1, Some(1)));
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    #[cfg(feature = "progress")]
    pub fn progress_bar(self, bar: indicatif::ProgressBar) -> Self {
        self.shared.told.set_bar(super::bar::Bar::of(bar));
        self
    }

    /// Takes the result of a task, as soon as it is done. `None` before that and when there is none; when it was taken already;
    /// when other tasks took it, and it was not [kept](super::Node::keep); and for an output of another graph.
    ///
    /// # Examples
    /// See [`TaskGraph::task_from`].
    pub fn take_output<R: 'static>(&mut self, output: Output<R>) -> Option<R> {
        let key = output.key();
        let value = (key.graph == self.id).then(|| self.shared.told.take(key.node)).flatten()?;
        value.downcast().ok().map(|value| *value)
    }
}

impl Stream for GraphRun {
    type Item = (String, NodeReport);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let poll = match this.shared.told.try_next() {
            Some(report) => Poll::Ready(Some(report)),
            None => {
                this.shared.told.listen(cx.waker());
                this.shared.drive_in_poll();
                this.shared.told.poll_next()
            }
        };
        if poll.is_ready() {
            this.waiting = None;
        } else if !this.shared.in_polls() && this.waiting.is_none() {
            this.waiting = this.shared.anchor.wait();
        }
        poll
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let unheard = self.shared.told.unheard();
        (unheard, Some(unheard))
    }
}

impl Drop for GraphRun {
    fn drop(&mut self) {
        self.shared.leave(self.on_drop);
    }
}

impl fmt::Debug for GraphRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphRun").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
