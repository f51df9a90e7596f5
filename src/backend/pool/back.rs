//! Tasks that come back to the queue: their worker died, or was never to begin them. Owns whether they are tried again.

use std::sync::{Arc, atomic::Ordering};

use super::Pool;
use crate::{
    backend::{events::EventKind, queue::Entry, seat::Seat},
    error::{TaskError, WorkerLost},
    policy::CancellationPolicy,
};

impl Pool {
    /// A worker died before it ran the task that it had taken.
    pub(in crate::backend) fn lost(self: &Arc<Self>, seat: &Seat, task: Entry, how: WorkerLost) {
        seat.clear_current();
        let how = how.at(seat.index());
        self.tell_lost(&how);
        let options = task.options();
        let retries = options.as_ref().and_then(|options| options.retries).unwrap_or(self.settings.retries);
        let retried = task.lost_attempt() <= retries;
        self.tell_task_lost(&task, seat, retried);
        if retried {
            self.queue.put_back(task, options.map_or(0, |options| options.priority));
            self.call();
        } else {
            self.resolve(&task, TaskError::WorkerLost(how), true);
        }
    }

    /// Has a task attempts left?
    pub(in crate::backend) fn may_retry(&self, task: &Entry, attempts: u32) -> bool {
        let own = task.options().and_then(|options| options.retries);
        attempts <= own.unwrap_or(self.settings.retries)
    }

    /// The worker at this seat died with a task that it had begun, or that it was about to begin if nothing is said of how.
    pub(in crate::backend) fn lost_call(self: &Arc<Self>, seat: &Seat, task: Entry, how: Option<WorkerLost>) {
        seat.clear_current();
        let priority = task.options().map_or(0, |options| options.priority);
        let again = how.is_none() || self.may_retry(&task, task.attempts());
        if again && task.requeue(seat, how.is_none()) {
            self.speaker.meter().requeued();
            self.speaker.close_span(task.id());
            if how.is_some() {
                self.tell_task_lost(&task, seat, true);
            }
            self.queue.count_again(&task);
            self.put_back(task, priority);
            return;
        }
        if how.is_some() && task.stop_asked().is_none() {
            self.tell_task_lost(&task, seat, false);
        }
        let reason = task.stop_asked().or(how.map(TaskError::WorkerLost)).unwrap_or(TaskError::Shutdown);
        seat.quit(&*task);
        self.resolve(&task, reason, true);
    }

    /// A task that was taken was not begun after all.
    pub(in crate::backend) fn put_back(&self, task: Entry, priority: i32) {
        if self.withdraws(&task) {
            return;
        }
        if let Some(wish) = task.take_wish() {
            if self.resolve(&task, wish, false).is_some() {
                self.queue.left_over_taken();
            }
            return;
        }
        self.queue.put_back(Arc::clone(&task), priority);
        // The policy may have come meanwhile, and have looked before.
        if self.cancels_pending() {
            self.cancel(&task, CancellationPolicy::PENDING);
        }
    }

    /// Was a policy applied that ends what waits? Then it does, and does not go back to the queue, where somebody would be called for
    /// it.
    pub(super) fn withdraws(&self, task: &Entry) -> bool {
        if !self.cancels_pending() || self.resolve(task, TaskError::Cancelled, false).is_none() {
            return false;
        }
        self.queue.left_over_taken();
        true
    }

    /// Are there tasks that may go before others which wait longer?
    pub(in crate::backend) fn is_ranked(&self) -> bool {
        self.is_ranked.load(Ordering::SeqCst)
    }

    pub(in crate::backend) fn tell_recycled(&self, seat: &Seat) {
        self.speaker.meter().worker_recycled();
        self.speaker.tell(|| EventKind::WorkerRecycled { worker: seat.index() });
    }

    fn tell_task_lost(&self, task: &Entry, seat: &Seat, retried: bool) {
        if task.is_counted() {
            self.speaker.meter().lost();
            let (task, worker) = (task.id(), seat.index());
            self.speaker.tell(|| EventKind::TaskLost { task, worker, retried });
        }
    }

    pub(in crate::backend) fn tell_lost(&self, how: &WorkerLost) {
        self.speaker.meter().worker_lost();
        self.speaker.tell(|| EventKind::WorkerLost(how.clone()));
    }
}
