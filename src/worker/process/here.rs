//! What a worker process knows of itself, for all its threads. Owns the answer to who is asked to stop.

use std::{
    cell::Cell,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{
    capture::Delivery, help::Helping, outlet::Outlet, placing::Given, shared::Questions, upstream::Sendings,
    words::Words,
};
use crate::{
    backend::state::States,
    runtime::Home,
    sys::{copy::PerCopy, lock::lock},
    task::catch::wake,
    wire::control::{Place, ToPool},
};

/// A worker may be forked off another one.
static HERE: PerCopy<OnceLock<Here>> = PerCopy::new(OnceLock::new(), OnceLock::new);

/// This process, if it is a worker.
pub(crate) fn here() -> Option<&'static Here> {
    HERE.get().get()
}

thread_local! {
    static PERFORMED: Cell<u64> = const { Cell::new(0) };
}

/// The call that this very thread performs.
pub(crate) fn performed() -> Option<u64> {
    PERFORMED.try_with(Cell::get).ok().filter(|ticket| *ticket != 0)
}

/// How deep the pool is that this process works for, or the one that it was forked off: a fork server, or a worker by its task.
static SERVED: AtomicU64 = AtomicU64::new(0);

pub(super) fn serve(depth: u64) {
    SERVED.store(depth, Ordering::Relaxed);
}

/// How deep this process is nested in pools, by what it is and not by what it runs.
pub(crate) fn depth() -> usize {
    here().map_or_else(|| SERVED.load(Ordering::Relaxed), |here| here.place.depth) as usize
}

/// What a thread and its process performed before.
pub(super) struct Outer {
    ticket: u64,
    performed: u64,
}

impl Outer {
    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }
}

pub(crate) struct Here {
    pub(crate) place: Place,
    pub(super) outlet: Outlet,
    pub(super) upstream: Sendings,
    pub(super) delivery: Delivery,
    pub(super) questions: Questions,
    pub(super) given: Given,
    pub(super) helping: Helping,
    /// Where its tasks' futures run.
    pub(super) home: Home,
    pub(super) max_payload: Option<u64>,
    states: States,
    pub(super) words: Words,
    /// The call that is performed, or 0.
    ticket: AtomicU64,
    /// Who waits for it to be stopped.
    watchers: Mutex<Vec<Waker>>,
    is_watched: AtomicBool,
}

impl Here {
    pub(super) fn settle(
        place: Place,
        outlet: Outlet,
        words: Words,
        home: Home,
        max_payload: Option<u64>,
    ) -> &'static Self {
        let here = Self {
            place,
            outlet,
            upstream: Sendings::default(),
            delivery: Delivery::default(),
            questions: Questions::default(),
            given: Given::default(),
            helping: Helping::default(),
            home,
            max_payload,
            states: States::default(),
            words,
            ticket: AtomicU64::new(0),
            watchers: Mutex::default(),
            is_watched: AtomicBool::new(false),
        };
        serve(here.place.depth);
        HERE.get().get_or_init(|| here)
    }

    /// This thread performs the call now, and what is given back is inside of it: what it [`end`](Self::end)s with.
    pub(super) fn begin(&self, ticket: u64) -> Outer {
        Outer { ticket: self.ticket.swap(ticket, Ordering::AcqRel), performed: PERFORMED.replace(ticket) }
    }

    pub(super) fn end(&self, outer: Outer) {
        PERFORMED.set(outer.performed);
        let ticket = self.ticket.swap(outer.ticket, Ordering::AcqRel);
        self.upstream.over(ticket);
        if outer.ticket != 0 {
            return;
        }
        if self.is_watched.load(Ordering::Acquire) && self.is_watched.swap(false, Ordering::AcqRel) {
            let old = std::mem::take(&mut *lock(&self.watchers));
            drop(old);
        }
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let ticket = self.ticket();
        ticket != 0 && (self.words.stop() == ticket || self.helping.is_stopped(ticket, self.words.stop()))
    }

    /// What this worker keeps for its tasks.
    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    pub(crate) fn max_workers(&self) -> usize {
        self.words.size() as usize
    }

    pub(crate) fn progressed(&self, done: u64, total: u64) {
        self.outlet.say(&ToPool::Progress { ticket: self.ticket(), done, total });
        self.upstream.said();
    }

    /// Waits until the call that is performed when this is first polled is asked to stop.
    pub(crate) fn poll_stopped(&self, mine: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        let mine = *mine.get_or_insert_with(|| self.ticket());
        let waker = cx.waker().clone();
        {
            let mut watchers = lock(&self.watchers);
            if !watchers.iter().any(|other| other.will_wake(&waker)) {
                watchers.push(waker);
            }
        }
        self.is_watched.store(true, Ordering::Release);
        // A call that is over is not stopped any more, and who waits on waits for ever.
        if mine == self.ticket() && self.is_stopped() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The pool has something to say about the call.
    pub(super) fn look_up(&self) {
        let watchers = std::mem::take(&mut *lock(&self.watchers));
        watchers.into_iter().for_each(wake);
    }
}
