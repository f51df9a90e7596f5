//! What is told of each task of a graph, and of all together.

use std::{fmt, time::Duration};

use crate::{error::TaskError, task::TaskReport};

/// How a task of a graph ended, and how that came about.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::{Executor, graph::TaskGraph};
///
/// # futures::executor::block_on(async {
/// let mut graph = TaskGraph::new();
/// graph.try_task("compile", |()| Err::<(), _>("line 3: where is the semicolon?"), ());
/// let mut run = graph.run(&Executor::threads(1)?)?;
/// while let Some((name, report)) = run.next().await {
///     if let Err(error) = &report.result {
///         println!("{name} {}: {error}\n{}", report.outcome, report.stderr);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeReport {
    /// What became of the task.
    pub outcome: Outcome,
    /// Why it gave no value. For one that was never started because of others it is [`TaskError::Cancelled`], or why the pool takes
    /// no more. (The value is had by [`GraphRun::take_output`](super::GraphRun::take_output).)
    pub result: Result<(), TaskError>,
    /// What the task wrote to its standard output, where that was captured.
    pub stdout: String,
    /// What the task wrote to its standard error, where that was captured.
    pub stderr: String,
    /// The log records of the task, where they were captured.
    pub logs: Vec<String>,
    /// The index of the worker that ran it; `None` when it never started.
    pub worker: Option<u64>,
    /// How often it was started; 0 when it never was.
    pub attempts: u32,
    /// From when it was ready and there was a place for it to its start; zero when that never came.
    pub queued_for: Duration,
    /// From its last start to its end; zero when it never started.
    pub ran_for: Duration,
}

impl NodeReport {
    /// That of a task that has come back, and the value that `read` makes of its result.
    pub(super) fn of<R, T>(
        report: TaskReport<R>,
        read: impl FnOnce(R) -> Result<T, TaskError>,
    ) -> (Self, Option<T>) {
        let TaskReport { result, stdout, stderr, logs, worker, attempts, queued_for, ran_for } = report;
        let result = result.and_then(read);
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            // A pool that was shut down cancels what waits, and refuses what comes.
            Err(TaskError::Cancelled | TaskError::Shutdown) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        };
        let (result, value) = match result {
            Ok(value) => (Ok(()), Some(value)),
            Err(error) => (Err(error), None),
        };
        (Self { outcome, result, stdout, stderr, logs, worker, attempts, queued_for, ran_for }, value)
    }

    /// That of a task that never was in the pool.
    pub(super) fn never_started(outcome: Outcome, reason: TaskError) -> Self {
        Self {
            outcome,
            result: Err(reason),
            stdout: String::new(),
            stderr: String::new(),
            logs: Vec::new(),
            worker: None,
            attempts: 0,
            queued_for: Duration::ZERO,
            ran_for: Duration::ZERO,
        }
    }
}

/// What became of a task of a graph.
///
/// # Examples
/// ```
/// use polypool::graph::Outcome;
///
/// assert_eq!(Outcome::Skipped { because: "compile".to_owned() }.to_string(), "skipped because of `compile`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It gave its value.
    Done,
    /// It gave none: its own error (see [`try_task`](super::TaskGraph::try_task)), a panic, a time limit, a lost worker.
    Failed,
    /// It was not started, because a task did not get done that it comes after, directly or not.
    Skipped {
        /// The task that failed, or was cancelled.
        because: String,
    },
    /// It was not started, because [`max_failures`](super::TaskGraph::max_failures) tasks had failed elsewhere.
    Abandoned,
    /// It was not started, or was stopped, because the run was cancelled or the pool shut down.
    Cancelled,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed => f.write_str("failed"),
            Self::Skipped { because } => write!(f, "skipped because of `{because}`"),
            Self::Abandoned => f.write_str("skipped because of too many failures"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// How far a run is; from [`GraphRun::progress`](super::GraphRun::progress).
///
/// # Examples
/// ```
/// let run = polypool::graph::TaskGraph::new().run(&polypool::Executor::serial())?;
/// let progress = run.progress();
/// println!("{} of {}, {} at work", progress.ended(), progress.total, progress.running);
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many tasks the graph has.
    pub total: usize,
    /// How many are done.
    pub done: usize,
    /// How many have failed.
    pub failed: usize,
    /// How many were not started because of those: skipped and abandoned ones.
    pub skipped: usize,
    /// How many were cancelled.
    pub cancelled: usize,
    /// How many are in the pool: at work, or next.
    pub running: usize,
}

impl Progress {
    /// Tells how many tasks have ended, in whichever way.
    ///
    /// # Examples
    /// ```
    /// let run = polypool::graph::TaskGraph::new().run(&polypool::Executor::serial())?;
    /// assert_eq!(run.progress().ended(), 0);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn ended(&self) -> usize {
        self.done + self.failed + self.skipped + self.cancelled
    }

    pub(super) fn count(&mut self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped { .. } | Outcome::Abandoned => &mut self.skipped,
            Outcome::Cancelled => &mut self.cancelled,
        };
        *count += 1;
    }

    pub(super) fn summary(&self) -> Summary {
        let Self { done, failed, skipped, cancelled, .. } = *self;
        Summary { done, failed, skipped, cancelled }
    }
}

/// What became of all tasks of a graph; from [`GraphRun::finish`](super::GraphRun::finish).
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let mut graph = polypool::graph::TaskGraph::new();
/// graph.task("sum", |n: Vec<u32>| n.iter().sum::<u32>(), vec![1, 2]);
/// let summary = graph.run(&polypool::Executor::serial())?.finish().await;
/// assert!(summary.is_success());
/// # Ok::<(), polypool::BuildError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many are done.
    pub done: usize,
    /// How many have failed.
    pub failed: usize,
    /// How many were not started because of those.
    pub skipped: usize,
    /// How many were cancelled.
    pub cancelled: usize,
}

impl Summary {
    /// Tells whether every task is done.
    ///
    /// # Examples
    /// See [`Summary`].
    pub fn is_success(&self) -> bool {
        self.failed + self.skipped + self.cancelled == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} done", self.done)?;
        for (n, what) in [(self.failed, "failed"), (self.skipped, "skipped"), (self.cancelled, "cancelled")] {
            if n > 0 {
                write!(f, ", {n} {what}")?;
            }
        }
        Ok(())
    }
}
