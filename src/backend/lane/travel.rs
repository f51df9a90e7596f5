//! Lanes whose tasks travel: a task is in their hands until they say what became of it. Owns what may be said.

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use super::Lane;
use crate::{
    backend::queue::Entry,
    error::{TaskError, WorkerLost},
    function::{Call, Origin, Reply},
    task::Captured,
};

impl Lane {
    /// Takes the next task without waiting. When there is none, `waker` is woken when there may be one. `Ready(None)` when this
    /// worker is not wanted any more.
    pub(crate) fn poll_next(&mut self, waker: &Waker) -> Poll<Option<Entry>> {
        loop {
            if self.down {
                if !self.seat.take_woken() {
                    self.seat.prepare_sleep(waker.clone());
                    if !self.seat.is_woken() {
                        return Poll::Pending;
                    }
                    continue;
                }
                self.down = false;
                self.woken();
            }
            if let Some(task) = self.take() {
                return Poll::Ready(Some(task));
            }
            self.seat.clear_current();
            if self.pool.is_closing() || self.seat.index() >= self.pool.lanes().max() {
                return Poll::Ready(None);
            }
            // While there are too many because others have yet to go, this one waits: it is dear, and will be needed.
            let may_work = !self.pool.lanes().is_one_too_many(&self.seat);
            let is_up_again = self.lie_down(waker.clone()) && may_work;
            if is_up_again || may_work == self.pool.lanes().is_one_too_many(&self.seat) {
                self.get_up();
            } else {
                self.down = true;
                return Poll::Pending;
            }
        }
    }

    /// Takes a task to be sent ahead of its time, when nobody else could have it.
    pub(crate) fn take_ahead(&mut self) -> Option<Entry> {
        let lanes = self.pool.lanes();
        let all_work = !lanes.has_place() && !lanes.has_sleepers();
        if !all_work || self.seat.is_waiting() || self.pool.is_ranked() || lanes.is_one_too_many(&self.seat) {
            return None;
        }
        self.pool.pop()
    }

    /// Puts tasks back that were taken and not begun, the first in order last.
    pub(crate) fn put_back(&self, task: Entry) {
        let priority = task.options().map_or(0, |options| options.priority);
        self.pool.put_back(task, priority);
    }

    /// The worker begins the task. False when it was withdrawn; then it is over.
    pub(crate) fn begin_call(&self, task: &Entry) -> bool {
        self.begin(task);
        if task.begin(&*self.host) {
            self.pool.open_span(&self.seat, &**task);
            return true;
        }
        self.seat.clear_current();
        false
    }

    /// A task that was sent ahead was withdrawn there.
    pub(crate) fn found_withdrawn(&self) {
        self.pool.found_withdrawn();
    }

    /// The task that was begun is over. Who waits for it is to be woken when the lane is let go of: they may need it.
    #[must_use = "somebody may be waiting for it"]
    pub(crate) fn end_call(
        &self,
        task: &Entry,
        reply: Reply,
        captured: Option<Box<Captured>>,
    ) -> (Option<Waker>, Option<Arc<Call>>) {
        task.reply(reply, captured, &*self.host)
    }

    /// The task that was begun was ended for this reason, and its worker is done with it.
    pub(crate) fn stopped_call(&self, task: &Entry, reason: TaskError) {
        // First, so that who sees the result sees the counts. Nobody else ends a call that was begun.
        self.seat.quit(&**task);
        self.pool.resolve(task, reason, true);
        self.seat.clear_current();
    }

    /// The worker died, and the task that it had begun with it, unless the worker never came to it.
    pub(crate) fn lost_call(&self, task: Entry, how: Option<WorkerLost>) {
        self.pool.lost_call(&self.seat, task, how);
    }

    /// What the worker is told of where a call comes from, that has begun or is sent `ahead` of that.
    pub(crate) fn origin_of(&self, task: &Entry, ahead: bool) -> Option<Origin> {
        self.pool.origin_of(task, ahead)
    }

    /// May what was lost so often of a task be tried again?
    pub(crate) fn may_retry(&self, task: &Entry, attempts: u32) -> bool {
        self.pool.may_retry(task, attempts)
    }

    /// Nobody will have anything for this worker to do. Asked of one that has not come yet.
    pub(crate) fn is_useless(&self) -> bool {
        let is_over = self.pool.is_closing() && !self.pool.has_tasks();
        (is_over || self.is_surplus()) && !self.seat.has_own_work()
    }

    /// The pool has become smaller meanwhile, and there is no place for this one. Those who are there wait until it has given up; where
    /// the room for workers is another's, it would wait for them.
    fn is_surplus(&self) -> bool {
        let lanes = self.pool.lanes();
        !self.extra && self.seat.index() >= lanes.max() && lanes.is_one_too_many(&self.seat)
    }

    pub(crate) fn worker(&self) -> u64 {
        self.seat.worker()
    }

    pub(crate) fn tell_recycled(&self) {
        self.pool.tell_recycled(&self.seat);
    }

    pub(crate) fn tell_lost(&self, how: &WorkerLost) {
        self.pool.tell_lost(how);
    }

    /// Could somebody else work, if there was something to do?
    pub(crate) fn is_not_alone(&self) -> bool {
        let lanes = self.pool.lanes();
        lanes.has_place() || lanes.has_sleepers()
    }

    /// There may be work for who has none.
    pub(crate) fn call_others(&self) {
        self.pool.call_if_tasks();
    }

    /// With so many workers that are about to take a task each, is there work for one more?
    pub(crate) fn call_next(&self, arriving: usize) {
        if self.pool.stats().queued > arriving {
            self.pool.call_if_tasks();
        }
    }
}
