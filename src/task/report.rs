//! What is known of a task when it has ended.

use std::time::Duration;

use super::clock::Span;
use crate::error::TaskError;

/// A task's result and how it came about; from [`TaskHandle::report`](crate::TaskHandle::report).
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let report = pool.submit(|n: u32| n * 2, 21).report().await;
/// assert_eq!(report.result?, 42);
/// assert_eq!(report.attempts, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskReport<R> {
    /// What awaiting the handle would have given.
    pub result: Result<R, TaskError>,
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
    /// From its submission to its start, or to its end when it never started.
    pub queued_for: Duration,
    /// From its last start to its end; zero when it never started.
    pub ran_for: Duration,
}

impl<R> TaskReport<R> {
    pub(crate) fn new(result: Result<R, TaskError>, facts: Facts, captured: Option<Box<Captured>>) -> Self {
        let Captured { stdout, stderr, logs } = captured.map(|captured| *captured).unwrap_or_default();
        Self {
            result,
            stdout,
            stderr,
            logs,
            worker: facts.worker().map(u64::from),
            attempts: facts.attempts,
            queued_for: facts.queued_for.into(),
            ran_for: facts.ran_for.into(),
        }
    }
}

/// What a task wrote, where that was captured.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) logs: Vec<String>,
}

/// A report as the task's cell keeps it, in sixteen bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) queued_for: Span,
    pub(crate) ran_for: Span,
    pub(crate) attempts: u32,
    worker: u32,
}

impl Facts {
    const NO_WORKER: u32 = u32::MAX;

    pub(crate) fn never_started(queued_for: Span, attempts: u32) -> Self {
        Self { queued_for, ran_for: Span::default(), attempts, worker: Self::NO_WORKER }
    }

    pub(crate) fn ran(queued_for: Span, ran_for: Span, attempts: u32, worker: u32) -> Self {
        Self { queued_for, ran_for, attempts, worker }
    }

    pub(crate) fn worker(self) -> Option<u32> {
        (self.worker != Self::NO_WORKER).then_some(self.worker)
    }
}
