//! Who waits for which task of its own pool. Owns the answer to one question: does a worker wait for the pool's end, because it waits
//! for a task that does? The end does not wait for such a one, as it does not for that task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use super::{lanes::address, pool::Pool, queue::Entry, seat::Seat};
use crate::sys::lock::lock;

#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<usize, Awaited>>);

/// A task, and the places of those who wait for it.
type Awaited = (Entry, Vec<Arc<Seat>>);

impl Waiters {
    fn enter(&self, task: &Entry, seat: &Arc<Seat>) {
        let mut all = lock(&self.0);
        all.entry(address(task)).or_insert_with(|| (Arc::clone(task), Vec::new())).1.push(Arc::clone(seat));
    }

    fn leave(&self, task: &Entry, seat: &Arc<Seat>) {
        let mut all = lock(&self.0);
        let Some((_, seats)) = all.get_mut(&address(task)) else { return };
        let place = seats.iter().position(|other| Arc::ptr_eq(other, seat));
        let left = place.map(|place| seats.swap_remove(place));
        let gone = if seats.is_empty() { all.remove(&address(task)) } else { None };
        drop(all);
        drop((left, gone));
    }

    /// Do all of these workers' places wait for a task at a place that awaits the end, or for one at one of these, and so on? `at` gives
    /// the place of the worker that runs a task.
    pub(super) fn all_await_end(
        &self,
        mut places: Vec<Arc<Seat>>,
        at: impl Fn(&Entry) -> Option<Arc<Seat>>,
    ) -> bool {
        // Not under the lock: who asks a task locks it.
        let all: Vec<Awaited> = lock(&self.0).values().cloned().collect();
        while !places.is_empty() {
            let before = places.len();
            for (task, waiting) in &all {
                if at(task).is_some_and(|its| !is_in(&places, &its)) {
                    let waiting = waiting.iter().filter(|seat| seat.is_waiting());
                    let waiting: Vec<_> = waiting.map(Seat::outermost).collect();
                    places.retain(|place| !is_in(&waiting, place));
                }
            }
            if places.len() == before {
                return false;
            }
        }
        true
    }
}

fn is_in(seats: &[Arc<Seat>], seat: &Arc<Seat>) -> bool {
    seats.iter().any(|other| Arc::ptr_eq(other, seat))
}

/// That a task is waited for, as long as this lives.
pub(crate) struct Waiting {
    pool: Weak<Pool>,
    seat: Arc<Seat>,
    task: Entry,
}

impl Waiting {
    /// The task of this place is to wait for that task, or may: whether it does at a time, the place says.
    pub(crate) fn new(pool: &Arc<Pool>, seat: &Arc<Seat>, task: &Entry) -> Self {
        pool.waiters().enter(task, seat);
        Self { pool: Arc::downgrade(pool), seat: Arc::clone(seat), task: Arc::clone(task) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.waiters().leave(&self.task, &self.seat);
        }
    }
}
