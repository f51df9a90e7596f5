//! How many workers there are, who sleeps, and who is woken when there is work. Owns the wake-up; knows no task.
//!
//! A *seat* is a place at which one worker may work; a worker that sits there is a *lane*. The rules, and why nothing is
//! stranded:
//!
//! 1. `arriving` says that a worker has been woken or asked for and has not looked at the queue yet. Whoever sets it has to see
//!    that someone comes; whoever comes clears it *before* looking at the queue. So a burst wakes one worker, not one each.
//! 2. Who arrives and finds more than one task wakes the next before starting on its own.
//! 3. A worker that runs out of tasks announces itself (in `asleep`, or by giving up its seat in `claimed`) and then looks at
//!    the queue once more. A submitter pushes and then looks at `asleep`, `claimed` and `arriving`. Both looks happen after the
//!    own deed under the queue's inbox lock, so whichever of the two comes second under that lock sees the other's deed:
//!    - submitter second: it finds the sleeper or the free seat, and wakes;
//!    - worker second: it finds the task.
//!
//!    The same holds for the clearing of `arriving`.
//! 4. Whatever raises the number of allowed workers calls for one if there is work.
//!
//! # Workers that wait for tasks of their own pool
//!
//! Such a worker gives its place away, and a *stand-in* may take it. A wait that leaves a thread or a process standing is *held*:
//! for those no more than [`spare`](Lanes::spare) stand-ins come, however many wait. So there are never more workers than
//! `max + spare`, but for those whose tasks asked for it by `leave_pool`. Beyond that, who waits *helps*: it runs the very task that
//! it waits for, in its own place (see `pool::help`). Why nothing is stranded there:
//!
//! 5. Nobody begins to hold still at the bound for a task that has not begun: it runs that task instead.
//! 6. Who held still before the bound was reached may wait for one that has not begun, for which a stand-in was to come. When all
//!    workers hold still and no other may come, the waiters of all those tasks are woken, see rule 5, and run them.
//! 7. So each that holds still waits for a task that has begun, at another worker, further up in a chain that has an end: at it
//!    there is a worker that works.
//! 8. Who helps runs nothing but what it waits for anyway. What it has locked meanwhile, that task could not have had from anywhere
//!    else; an unrelated one could, and would now wait for ever for what is below it on its own stack.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{pool::Pool, queue::Entry, seat::Seat, waiters::Waiting};
use crate::{
    runtime::is_blocking,
    sys::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock},
};

pub(super) struct Lanes {
    /// The user's `max_workers`; 0 for backends whose tasks run in the polls of their handles.
    max: AtomicUsize,
    /// Workers that wait and whose place another may take in any case: it costs nothing, or was asked for.
    released: AtomicUsize,
    /// Workers that hold still for other tasks of the pool, and whose place another may take within the bound.
    held: AtomicUsize,
    /// Threads that were asked for to stand in for one that is blocked, and have not come yet.
    coming: AtomicUsize,
    /// Tasks that have not begun, and for which a worker holds still: by their address, with the number of those who do.
    awaited: Mutex<HashMap<usize, (Entry, usize)>>,
    claimed: AtomicUsize,
    asleep: AtomicUsize,
    arriving: AtomicBool,
    /// Tasks that wait for one certain worker.
    own_work: AtomicUsize,
    seats: Mutex<Vec<Arc<Seat>>>,
    sleepers: Mutex<Vec<Arc<Seat>>>,
    /// Places inside of others, where a worker runs what it waits for.
    nested: Mutex<Vec<Arc<Seat>>>,
}

/// How a worker waits for other tasks of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Without a thread or process of its own, or because its task asked for it.
    Freely,
    /// Its thread or process does nothing else meanwhile.
    Held,
}

/// Who comes when work is announced.
#[must_use]
pub(super) enum Call {
    /// All that can work does, or somebody is on the way.
    Nobody,
    /// This sleeper; wake it.
    Wake(Arc<Seat>),
    /// A new worker; ask the backend for it.
    Summon,
}

impl Lanes {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            released: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            coming: AtomicUsize::new(0),
            awaited: Mutex::default(),
            claimed: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            arriving: AtomicBool::new(false),
            own_work: AtomicUsize::new(0),
            seats: Mutex::default(),
            sleepers: Mutex::default(),
            nested: Mutex::default(),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::SeqCst)
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::SeqCst);
    }

    /// How many stand-ins there may be for workers that hold still.
    fn spare(&self) -> usize {
        self.max().max(FEW)
    }

    fn limit(&self) -> usize {
        let held = self.held.load(Ordering::SeqCst).min(self.spare());
        self.max() + self.released.load(Ordering::SeqCst) + held
    }

    /// Would one more that holds still have no stand-in?
    pub(super) fn is_at_bound(&self) -> bool {
        self.held.load(Ordering::SeqCst) >= self.spare()
    }

    pub(super) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::SeqCst)
    }

    /// Should the worker at this seat go? When there are too many, and when it keeps one from coming that has work of its own.
    pub(super) fn is_one_too_many(&self, seat: &Seat) -> bool {
        self.claimed() > self.limit()
            || (seat.index() >= self.max() && self.has_own_work() && self.wants_lower_seat())
    }

    /// Is there work for a worker that has not come?
    fn wants_lower_seat(&self) -> bool {
        let seats = lock(&self.seats);
        seats.iter().take(self.max()).any(|seat| !seat.is_taken() && seat.has_own_work())
    }

    pub(super) fn has_own_work(&self) -> bool {
        self.own_work.load(Ordering::SeqCst) > 0
    }

    pub(super) fn own_work_came(&self) {
        self.own_work.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn own_work_went(&self) {
        self.own_work.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn has_released(&self) -> bool {
        self.released.load(Ordering::SeqCst) + self.held.load(Ordering::SeqCst) > 0
    }

    /// There is no worker that could do anything just now.
    pub(super) fn all_wait(&self) -> bool {
        self.claimed() <= self.released.load(Ordering::SeqCst) + self.held.load(Ordering::SeqCst)
    }

    /// The same, and nobody else can come.
    pub(super) fn is_stuck(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0 && self.all_wait() && !self.has_place()
    }

    pub(super) fn has_sleepers(&self) -> bool {
        self.asleep.load(Ordering::SeqCst) > 0
    }

    pub(super) fn has_place(&self) -> bool {
        self.claimed() < self.limit()
    }

    /// There is a place for one more thread, with all that are on their way. False when those will do: each calls the next if there is
    /// more to do than it can.
    pub(super) fn expect(&self) -> bool {
        let coming = self.coming.fetch_add(1, Ordering::SeqCst);
        let is_wanted = self.claimed() + coming < self.limit();
        if !is_wanted {
            self.has_come();
        }
        is_wanted
    }

    /// One that was expected is here, or will not come.
    pub(super) fn has_come(&self) {
        self.coming.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn is_arriving(&self) -> bool {
        self.arriving.load(Ordering::SeqCst)
    }

    pub(super) fn release(&self, how: Wait) {
        self.waiting(how).fetch_add(1, Ordering::SeqCst);
    }

    /// There may be so many workers more, from now on.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub(super) fn release_many(&self, n: usize) {
        self.released.fetch_add(n, Ordering::SeqCst);
    }

    pub(super) fn rejoin(&self, how: Wait) {
        self.waiting(how).fetch_sub(1, Ordering::SeqCst);
    }

    fn waiting(&self, how: Wait) -> &AtomicUsize {
        match how {
            Wait::Freely => &self.released,
            Wait::Held => &self.held,
        }
    }

    /// A worker holds still for this task.
    pub(super) fn awaits(&self, task: &Entry) {
        lock(&self.awaited).entry(address(task)).or_insert_with(|| (Arc::clone(task), 0)).1 += 1;
    }

    pub(super) fn awaits_no_more(&self, task: &Entry) {
        let mut awaited = lock(&self.awaited);
        let gone = match awaited.get_mut(&address(task)) {
            Some((_, n @ 2..)) => {
                *n -= 1;
                None
            }
            _ => awaited.remove(&address(task)),
        };
        drop(awaited);
        drop(gone);
    }

    /// The tasks for which workers hold still.
    pub(super) fn awaited(&self) -> Vec<Entry> {
        lock(&self.awaited).values().map(|(task, _)| Arc::clone(task)).collect()
    }

    /// There is work: says who is to come, and marks them as on the way.
    pub(super) fn call(&self) -> Call {
        loop {
            let nobody = self.asleep.load(Ordering::SeqCst) == 0 && self.claimed() >= self.limit();
            if nobody || self.arriving.load(Ordering::SeqCst) || self.arriving.swap(true, Ordering::SeqCst) {
                return Call::Nobody;
            }
            if let Some(seat) = self.pop_sleeper() {
                return Call::Wake(seat);
            }
            if self.claimed() < self.limit() {
                return Call::Summon;
            }
            // The sleeper woke by itself meanwhile. Others may have relied on the mark, so look again without it.
            self.arrived();
        }
    }

    /// Who was called is here, and looks at the queue next.
    pub(super) fn arrived(&self) {
        // A swap, which costs no more than such a store: models know one order of swaps alone.
        self.arriving.swap(false, Ordering::SeqCst);
    }

    fn pop_sleeper(&self) -> Option<Arc<Seat>> {
        let mut sleepers = lock(&self.sleepers);
        let seat = sleepers.pop();
        seat.iter().for_each(|seat| seat.set_woken());
        self.asleep.store(sleepers.len(), Ordering::SeqCst);
        seat
    }

    pub(super) fn all_sleepers(&self) -> Vec<Arc<Seat>> {
        let mut sleepers = lock(&self.sleepers);
        self.asleep.store(0, Ordering::SeqCst);
        sleepers.iter().for_each(|seat| seat.set_woken());
        std::mem::take(&mut *sleepers)
    }

    pub(super) fn lie_down(&self, seat: &Arc<Seat>) {
        let mut sleepers = lock(&self.sleepers);
        sleepers.push(Arc::clone(seat));
        self.asleep.store(sleepers.len(), Ordering::SeqCst);
    }

    /// False when someone has taken the sleeper out to wake it.
    pub(super) fn get_up(&self, seat: &Arc<Seat>) -> bool {
        let mut sleepers = lock(&self.sleepers);
        let before = sleepers.len();
        sleepers.retain(|other| !Arc::ptr_eq(other, seat));
        self.asleep.store(sleepers.len(), Ordering::SeqCst);
        sleepers.len() < before
    }

    /// Takes a seat, if one is allowed: one that has work of its own before others, the lowest otherwise.
    pub(super) fn claim(&self, make: impl Fn(usize) -> Arc<Seat>) -> Option<Arc<Seat>> {
        let mut seats = lock(&self.seats);
        if self.claimed() >= self.limit() {
            return None;
        }
        let seat = Self::sit_down(&mut seats, make);
        self.claimed.fetch_add(1, Ordering::SeqCst);
        Some(seat)
    }

    /// Takes a seat beside the limit.
    pub(super) fn claim_extra(&self, make: impl Fn(usize) -> Arc<Seat>) -> Arc<Seat> {
        Self::sit_down(&mut lock(&self.seats), make)
    }

    /// Takes a place inside that of a worker, which runs something else there meanwhile.
    pub(super) fn claim_nested(&self, within: &Arc<Seat>, make: impl FnOnce() -> Arc<Seat>) -> Arc<Seat> {
        let mut nested = lock(&self.nested);
        let seat = match nested.iter().find(|seat| !seat.is_taken()) {
            Some(seat) => Arc::clone(seat),
            None => {
                let seat = make();
                nested.push(Arc::clone(&seat));
                seat
            }
        };
        seat.nest(within);
        seat.set_taken(true);
        seat
    }

    fn sit_down(seats: &mut Vec<Arc<Seat>>, make: impl Fn(usize) -> Arc<Seat>) -> Arc<Seat> {
        let free = || seats.iter().filter(|seat| !seat.is_taken());
        let seat = match free().find(|seat| seat.has_own_work()).or_else(|| free().next()) {
            Some(seat) => Arc::clone(seat),
            None => {
                let seat = make(seats.len());
                seats.push(Arc::clone(&seat));
                seat
            }
        };
        seat.set_taken(true);
        seat
    }

    pub(super) fn leave(&self, seat: &Seat, extra: bool) {
        let _seats = lock(&self.seats);
        seat.set_taken(false);
        if !extra {
            self.claimed.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The first `n` seats, made if need be.
    pub(super) fn first(&self, n: usize, make: impl Fn(usize) -> Arc<Seat>) -> Vec<Arc<Seat>> {
        let mut seats = lock(&self.seats);
        while seats.len() < n {
            let seat = make(seats.len());
            seats.push(seat);
        }
        seats[..n].to_vec()
    }

    /// The place where a task runs that a worker of this index runs.
    pub(super) fn seat_of(&self, index: u32, task: &Entry) -> Option<Arc<Seat>> {
        let mine = |seat: &&Arc<Seat>| seat.is_taken() && seat.index() == index as usize && seat.runs(task);
        let nested = lock(&self.nested).iter().find(mine).cloned();
        nested.or_else(|| lock(&self.seats).get(index as usize).cloned())
    }

    /// All places where something runs or has run, also inside of others.
    pub(super) fn all_seats(&self) -> Vec<Arc<Seat>> {
        let mut all = self.seats();
        all.extend(lock(&self.nested).iter().cloned());
        all
    }

    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        lock(&self.seats).clone()
    }
}

/// The bound for stand-ins in a pool that has fewer workers.
const FEW: usize = 8;

pub(super) fn address(task: &Entry) -> usize {
    Arc::as_ptr(task).cast::<()>().addr()
}

/// The place of a worker that waits for other tasks of its pool, given to another worker while this lives, and at most until
/// the task that gave it ends.
pub(crate) struct Released {
    pool: Weak<Pool>,
    seat: Arc<Seat>,
    epoch: u64,
    /// What it holds still for.
    task: Option<Entry>,
    waiting: Option<Waiting>,
}

impl Released {
    /// However many things a task waits for, it has one place to give.
    pub(super) fn new(pool: &Arc<Pool>, seat: Arc<Seat>, how: Wait, task: Option<&Entry>) -> Self {
        let waiting = task.map(|task| Waiting::new(pool, &seat, task));
        let task = task.filter(|_| how == Wait::Held).cloned();
        task.iter().for_each(|task| pool.lanes().awaits(task));
        let (epoch, first) = seat.wait(pool.lanes(), how);
        if first {
            pool.call_stand_in(is_blocking());
        }
        if pool.is_closing() {
            // It may be what the end waited for.
            pool.check_gone();
        }
        Self { pool: Arc::downgrade(pool), seat, epoch, task, waiting }
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(pool) = self.pool.upgrade() {
            self.seat.wait_no_more(pool.lanes(), self.epoch);
            self.task.take().iter().for_each(|task| pool.lanes().awaits_no_more(task));
        }
    }
}

/// How long a lane that has nothing to do waits for more before it goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Linger {
    For(Duration),
    Forever,
}
