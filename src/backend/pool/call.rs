//! Who is called to work, comes and goes. Owns when a worker is asked for, and at which place it sits down.

use std::sync::{Arc, atomic::Ordering};

use super::Pool;
use crate::{
    backend::{
        events::EventKind,
        lane::{Arrival, Summons},
        lanes::Call,
        seat::Seat,
    },
    error::TaskError,
};

impl Pool {
    /// There is work: somebody is to come.
    pub(super) fn call(self: &Arc<Self>) {
        match self.lanes.call() {
            Call::Nobody => self.check_stuck(),
            Call::Wake(seat) => seat.wake(),
            Call::Summon => self.summon(Summons::Announced),
        }
    }

    pub(in crate::backend) fn call_if_tasks(self: &Arc<Self>) {
        if self.has_tasks() {
            self.call();
        }
    }

    /// Called whenever a place became free.
    pub(in crate::backend) fn call_if_work(self: &Arc<Self>) {
        self.call_if_tasks();
        self.call_for_own_work();
    }

    /// A worker waits for tasks of the pool. Who is on the way already may be stuck behind it, so another is asked for.
    pub(in crate::backend) fn call_stand_in(self: &Arc<Self>, blocked: bool) {
        if self.has_tasks() {
            // One that was too many, and slept, may work now.
            for sleeper in self.lanes.all_sleepers() {
                sleeper.wake();
            }
            let is_wanted = if blocked { self.lanes.expect() } else { self.lanes.has_place() };
            if is_wanted {
                self.summon(Summons::StandIn { blocked });
            }
        }
        self.call_for_own_work();
        self.check_stuck();
    }

    /// Work that only one worker may do is no use to those that are there.
    pub(super) fn call_for_own_work(self: &Arc<Self>) {
        if !self.lanes.has_own_work() || self.runs_in_polls() {
            return;
        }
        let mut was_moved = false;
        for seat in self.lanes.seats().into_iter().filter(|seat| seat.has_own_work()) {
            if seat.is_waiting() {
                // It will not come to it itself, and what it waits for may be just this.
                while let Some(task) = self.pop_own(&seat) {
                    self.queue.put_back(task, i32::MAX);
                    was_moved = true;
                }
            } else if !seat.is_taken() && self.lanes.has_place() {
                // Who comes and finds no place calls nobody: it is called again when there is one.
                self.summon(Summons::Own);
            }
        }
        if was_moved && self.lanes.expect() {
            self.summon(Summons::StandIn { blocked: true });
        }
    }

    fn summon(self: &Arc<Self>, summons: Summons) {
        let arrival = Arrival::new(Arc::clone(self), summons);
        if let Some(workers) = self.started() {
            workers.wanted(arrival);
        }
    }

    /// Who was asked for is here, or will not come.
    pub(in crate::backend) fn came(&self, summons: Summons) {
        match summons {
            Summons::Announced => self.lanes.arrived(),
            Summons::StandIn { blocked: true } => self.lanes.has_come(),
            Summons::StandIn { blocked: false } | Summons::Own => {}
        }
    }

    /// The backend did not bring the worker that it was asked for.
    pub(in crate::backend) fn refused(self: &Arc<Self>, summons: Summons) {
        self.came(summons);
        if self.lanes.all_wait() {
            self.fail_waiting(&TaskError::Shutdown);
        } else {
            // The others make do. What only the missing worker could do, nobody will.
            for seat in self.lanes.seats().iter().filter(|seat| !seat.is_taken()) {
                self.fail_own(seat, &TaskError::Shutdown);
            }
        }
        self.check_gone();
    }

    pub(super) fn make_seat(self: &Arc<Self>, index: usize) -> Arc<Seat> {
        let told = self.settings.max_pending.is_some() || self.settings.task_timeout.is_some();
        Arc::new(Seat::new(index, Arc::downgrade(self), told, Arc::clone(&self.speaker)))
    }

    pub(in crate::backend) fn claim(self: &Arc<Self>) -> Option<Arc<Seat>> {
        self.lanes.claim(|index| self.make_seat(index))
    }

    pub(in crate::backend) fn seated(&self, seat: &Seat, extra: bool) {
        if !seat.is_nested() {
            seat.set_worker(self.next_worker.fetch_add(1, Ordering::Relaxed) + 1);
        }
        if !extra {
            self.speaker.meter().worker_started();
            self.speaker.tell(|| EventKind::WorkerStarted { worker: seat.index() });
        }
    }

    pub(in crate::backend) fn left(self: &Arc<Self>, seat: &Seat, extra: bool) {
        if !extra {
            self.speaker.meter().worker_stopped();
            self.speaker.tell(|| EventKind::WorkerStopped { worker: seat.index() });
        }
        seat.unnest();
        self.lanes.leave(seat, extra);
        self.call_if_work();
        self.check_gone();
    }
}
