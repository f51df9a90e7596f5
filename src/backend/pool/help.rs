//! Workers that run what they wait for, in their own place. Owns when, and what is around such a task; the rules are those of `lanes`.

use std::sync::Arc;

use super::Pool;
use crate::{
    backend::{lane::Lane, queue::Entry, seat::Seat},
    task::TaskState,
};

impl Pool {
    /// Runs a task that has not begun, at this place, whose own task waits for it. False when it has begun elsewhere, or is over.
    pub(in crate::backend) fn help(self: &Arc<Self>, at: &Arc<Seat>, task: &Entry) -> bool {
        if task.state() != TaskState::Queued {
            return false;
        }
        let nested = Nested::new(self, at, true);
        self.port.with_room(|| nested.lane.run_nested(Arc::clone(task)));
        drop(nested);
        task.state() == TaskState::Finished
    }

    /// All workers hold still, and nobody else can come: those are woken that can help themselves.
    pub(in crate::backend) fn check_stuck(self: &Arc<Self>) {
        if !self.lanes.is_stuck() {
            return;
        }
        for task in self.lanes.awaited() {
            if task.state() == TaskState::Queued {
                task.rouse();
            }
        }
        if let Some(workers) = self.started() {
            workers.stuck();
        }
    }
}

/// A place inside of a worker's, for one task that the worker runs while its own waits for that. The worker needs its own place
/// meanwhile, and no other has it.
pub(in crate::backend) struct Nested {
    pub(in crate::backend) lane: Lane,
    within: Arc<Seat>,
    /// The worker is a thread of this process.
    blocks: bool,
}

impl Nested {
    /// The task that is to run here stays where it is in the queue, like one that is withdrawn.
    pub(in crate::backend) fn new(pool: &Arc<Pool>, within: &Arc<Seat>, blocks: bool) -> Self {
        // If somebody else begins it first, he counts that back.
        pool.queue.left_over();
        within.helps(&pool.lanes);
        let seat = pool.lanes.claim_nested(within, || pool.make_seat(0));
        Self { lane: Lane::new(Arc::clone(pool), seat, true), within: Arc::clone(within), blocks }
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let pool = Arc::clone(self.lane.pool());
        if self.within.helps_no_more(&pool.lanes) {
            pool.call_stand_in(self.blocks);
        }
    }
}
