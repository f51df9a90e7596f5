//! One task in the hands of a worker: what a backend may know of it and do with it.

use std::{fmt, sync::Arc, time::Duration};

use super::{lane::Lane, queue::Entry, seat::sit};
use crate::{
    error::{Exit, TaskError, WorkerLost},
    task::{TaskId, TaskState, catch::discard},
};

/// A task that a worker has taken and is to run, now.
///
/// It is not over before it was run or said to have failed. Dropping it instead counts as the loss of the worker: the task is
/// tried again if it may be, else it ends with [`TaskError::WorkerLost`].
///
/// # Examples
/// See [`Arrival`](super::Arrival).
#[must_use = "dropping a job counts as the loss of its worker"]
pub struct Job<'a> {
    /// None when it is over.
    task: Option<Entry>,
    lane: &'a mut Lane,
}

impl<'a> Job<'a> {
    pub(super) fn new(task: Entry, lane: &'a mut Lane) -> Self {
        Self { task: Some(task), lane }
    }

    /// Gives the task's number.
    pub fn id(&self) -> TaskId {
        self.task.as_ref().map_or(TaskId(0), |task| task.id())
    }

    /// Gives the task's name, if it has one.
    pub fn name(&self) -> Option<Arc<str>> {
        self.task.as_ref()?.options()?.name.clone()
    }

    /// Tells how long the task may run. The pool sees to it; a backend need not.
    pub fn timeout(&self) -> Option<Duration> {
        let own = self.task.as_ref().and_then(|task| task.options()).and_then(|options| options.timeout);
        own.or(self.lane.pool().settings().task_timeout)
    }

    /// Tells whether the task was cancelled since it was taken. Running it would do nothing then.
    pub fn is_withdrawn(&self) -> bool {
        self.task.as_ref().is_none_or(|task| task.state() == TaskState::Finished)
    }

    /// Runs the task on this thread, to its end. A task that is a future is waited for. Never panics.
    pub fn run(mut self) {
        if let Some(task) = self.task.clone() {
            let _sitting = sit(Arc::clone(self.lane.seat()));
            self.lane.seat().set_polled(false);
            self.lane.run(task);
            self.lane.seat().clear_current();
            discard(self.task.take());
        }
    }

    /// Runs the task as part of a future. A task that blocks, blocks whoever polls. Never panics.
    ///
    /// # Cancel safety
    /// Dropping the future half-way drops the task's own future, and the task ends with [`TaskError::Shutdown`].
    pub async fn run_async(self) {
        let mut this = self;
        if let Some(task) = this.task.clone() {
            this.lane.run_async(task).await;
            discard(this.task.take());
        }
    }

    /// Ends the task with an error, without having run it.
    pub fn fail(mut self, error: TaskError) {
        if let Some(task) = self.task.take() {
            self.lane.abandon(&task, error);
        }
    }

    /// Says that the worker died before it ran the task. The task is tried again if it may be.
    pub fn lost(mut self, how: WorkerLost) {
        if let Some(task) = self.task.take() {
            self.lane.pool().lost(self.lane.seat(), task, how);
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        match task.state() {
            TaskState::Queued => {
                let seat = self.lane.seat();
                self.lane.pool().lost(seat, task, WorkerLost::new(seat.worker(), seat.pid(), Exit::Unknown));
            }
            // Its future was dropped: by a runtime that ended, or by who polled it.
            TaskState::Running => self.lane.abandon(&task, TaskError::Shutdown),
            TaskState::Finished => self.lane.seat().clear_current(),
        }
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id()).finish_non_exhaustive()
    }
}
