//! How tasks end that do not end by themselves, and how the pool ends. Owns what a policy does, and when the pool is gone.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::Pool;
use crate::{
    backend::{
        Stats,
        events::EventKind,
        queue::Entry,
        seat::{self, Seat},
    },
    error::TaskError,
    policy::CancellationPolicy,
    sys::sync::{Ordering, lock},
    task::{
        Ending, Kind, Resolved,
        catch::{discard, wake},
        clock::Span,
    },
};

impl Pool {
    /// Ends a task with an error: one that waits always, one that runs if asked for.
    pub(in crate::backend) fn resolve(
        &self,
        task: &Entry,
        error: TaskError,
        running: bool,
    ) -> Option<Resolved> {
        let ending = FromOutside {
            pool: self,
            task,
            is_cancelled: error.is_cancelled(),
            why: if self.speaker.is_heard() { error.to_string() } else { String::new() },
        };
        task.resolve(error, running, &ending)
    }

    /// Stops a task that runs, as far as that is possible, and sees to it that it ends with `reason`.
    pub(super) fn stop(&self, task: &Entry, reason: TaskError) {
        let Some(seat) = task.worker().and_then(|index| self.lanes.seat_of(index, task)) else {
            return;
        };
        match task.kind() {
            Kind::Future => seat.ask_to_stop(task, Some(reason)),
            Kind::Remote => {
                if task.ask_to_stop(reason) {
                    seat.poke();
                }
            }
            // In this order: code that sees its token and returns can be sure that nobody takes its value.
            Kind::Blocking => {
                if self.resolve(task, reason, true).is_some() {
                    seat.ask_to_stop(task, None);
                }
            }
        }
    }

    pub(in crate::backend) fn cancel(&self, task: &Entry, policy: CancellationPolicy) {
        if self.is_elsewhere() {
            return;
        }
        if policy.contains(CancellationPolicy::PENDING)
            && self.resolve(task, TaskError::Cancelled, false).is_some()
        {
            return;
        }
        if policy.contains(CancellationPolicy::RUNNING) {
            self.stop(task, TaskError::Cancelled);
        }
    }

    /// Has no more inputs begun of a chunk that runs elsewhere. (Here, they ask.)
    pub(in crate::backend) fn trim(&self, task: &Entry) {
        if task.kind() == Kind::Remote
            && task.tasks() > 1
            && task.ask_to_trim()
            && let Some(seat) = task.worker().and_then(|index| self.lanes.seat_of(index, task))
        {
            seat.poke();
        }
    }

    /// Stops what has run too long. Gives the time of the next deadline.
    pub(in crate::backend) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for seat in self.lanes.all_seats() {
            match seat.expired(now) {
                Ok(at) => next = [next, at].into_iter().flatten().min(),
                Err((task, after)) => self.stop(&task, TaskError::TimedOut { after }),
            }
        }
        next
    }

    /// Lets nothing more in and applies a policy to what is there. May be repeated with a stricter one.
    pub(crate) fn shut_down(self: &Arc<Self>, policy: CancellationPolicy) {
        if self.is_elsewhere() {
            return;
        }
        self.queue.close(TaskError::Shutdown);
        self.close(policy);
    }

    /// Nobody outside holds the pool any more. Tasks that go on may still submit others.
    pub(crate) fn abandon(self: &Arc<Self>, policy: CancellationPolicy) {
        if self.is_elsewhere() {
            return;
        }
        if policy.contains(CancellationPolicy::PENDING) {
            self.queue.close(TaskError::Shutdown);
        }
        self.close(policy);
    }

    fn close(self: &Arc<Self>, policy: CancellationPolicy) {
        self.closing.store(true, Ordering::SeqCst);
        // A worker that has taken a task and not begun it is seen here, or sees the mark; the lock of its seat's slot orders the
        // two.
        if policy.contains(CancellationPolicy::PENDING) {
            self.cancels_pending.store(true, Ordering::SeqCst);
            self.fail_waiting(&TaskError::Cancelled);
        }
        if !policy.is_empty() {
            for task in self.lanes.all_seats().iter().filter_map(|seat| seat.current_task()) {
                self.cancel(&task, policy);
            }
        }
        if self.queue.is_closed() {
            self.room.open();
        }
        if let Some(workers) = self.started() {
            workers.closing(policy);
        }
        for sleeper in self.lanes.all_sleepers() {
            sleeper.wake();
        }
        self.check_gone();
    }

    /// Nothing can run here any more.
    pub(in crate::backend) fn fail(self: &Arc<Self>, reason: TaskError) {
        self.queue.close(reason.clone());
        self.fail_waiting(&reason);
        self.close(CancellationPolicy::NONE);
    }

    pub(super) fn fail_waiting(&self, reason: &TaskError) {
        for task in self.queue.drain() {
            if self.resolve(&task, reason.clone(), false).is_some() {
                self.queue.left_over_taken();
            }
            discard(task);
        }
        for seat in self.lanes.seats() {
            self.fail_own(&seat, reason);
        }
    }

    pub(super) fn fail_own(&self, seat: &Seat, reason: &TaskError) {
        while let Some(task) = self.pop_own(seat) {
            self.resolve(&task, reason.clone(), false);
        }
    }

    pub(crate) fn check_gone(&self) {
        if self.is_gone() {
            if !self.runs_in_polls() && !self.is_elsewhere() {
                let seats = self.lanes.seats();
                seats.iter().filter(|seat| !seat.is_taken()).for_each(|seat| seat.states().clear());
            }
            if self.queue.is_closed() {
                self.speaker.close();
            }
            let waiting = std::mem::take(&mut *lock(&self.waiting_for_end));
            waiting.into_iter().for_each(wake);
        }
    }

    fn is_gone(&self) -> bool {
        if self.is_elsewhere() {
            return true;
        }
        if !self.is_closing() || self.runs_in_polls() {
            // Who polls runs tasks, and nobody else does.
            return self.is_closing();
        }
        let idle = !self.lanes.is_arriving() && self.queue.is_done() && !self.lanes.has_own_work();
        idle && self.all_are_gone()
    }

    /// But for those who wait for just that, or for a task that does.
    fn all_are_gone(&self) -> bool {
        let seats = self.lanes.seats();
        let left: Vec<_> =
            seats.iter().filter(|seat| seat.is_taken() && !seat.awaits_end()).cloned().collect();
        left.is_empty() || {
            let at =
                |task: &Entry| seats.get(task.worker()? as usize).filter(|seat| seat.is_taken()).cloned();
            seats.iter().any(|seat| seat.awaits_end()) && self.waiters.all_await_end(left, at)
        }
    }

    /// Waits until every worker has gone after `shut_down`, but for those whose tasks wait for just that.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(seat) = seat::current().filter(|seat| seat.is_of(self)) {
            seat.await_end();
            self.check_gone();
        }
        if self.is_gone() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        lock(&self.waiting_for_end).push(waker);
        if self.is_gone() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the backend has put away what it had.
    pub(crate) async fn put_away(&self) -> Stats {
        let elsewhere = match self.started().filter(|_| !self.is_elsewhere()) {
            Some(workers) => workers.gone().await,
            None => None,
        };
        elsewhere.unwrap_or_else(|| self.stats())
    }

    pub(crate) async fn warm_up_backend(self: &Arc<Self>) -> Result<(), TaskError> {
        self.start()?.warm_up().await
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for task in self.queue.drain() {
            self.resolve(&task, TaskError::Shutdown, false);
            discard(task);
        }
        for seat in self.lanes.seats() {
            self.fail_own(&seat, &TaskError::Shutdown);
        }
    }
}

/// Counts and tells the end of a task that does not end by itself.
struct FromOutside<'a> {
    pool: &'a Pool,
    task: &'a Entry,
    is_cancelled: bool,
    why: String,
}

impl Ending for FromOutside<'_> {
    fn count(&self, was: Resolved) {
        if !self.task.is_counted() {
            return;
        }
        if was == Resolved::Queued {
            self.pool.withdrawn.fetch_add(1, Ordering::SeqCst);
        }
        let count = if self.is_cancelled { &self.pool.cancelled } else { &self.pool.failed };
        count.fetch_add(self.task.tasks(), Ordering::SeqCst);
    }

    fn told(&self, was: Resolved, ran_for: Span) {
        if self.task.is_counted() {
            self.pool.speaker.meter().resolved(was, self.is_cancelled, self.task.tasks(), ran_for);
            self.pool.speaker.forget(self.task.id());
        }
        if was == Resolved::Queued {
            self.pool.queue.left_over();
            if self.task.takes_room() {
                self.pool.room.leave();
            }
        }
        if self.task.is_counted() {
            let task = self.task.id();
            self.pool.speaker.tell(|| match self.is_cancelled {
                true => EventKind::TaskCancelled { task },
                false => EventKind::TaskFailed { task, error: self.why.clone() },
            });
        }
    }
}
