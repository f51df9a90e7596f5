//! What a run and the tasks of it that are under way have in common. Owns whose turn it is to drive the graph, and what was told
//! and not heard yet.
//!
//! Whatever happens that concerns the driver is a *turn*: a task has ended, there is room in the queue, there are more workers, the
//! run is to stop. The rules, and why no turn is lost:
//!
//! 1. Who takes `turns` from 0 drives; everyone else has driven by adding to it.
//! 2. Who has driven goes back to 0 only if nothing was added meanwhile, and drives once more if something was.
//! 3. The driver is out of its place while it is driven: what the user wrote (to clone, encode, decode and drop values) runs under
//!    no lock, and a turn that comes out of it is noted and waits.
//!
//! Who drives goes on as long as others add turns, which in a graph of tiny tasks may be to its end, and runs what the user wrote. A
//! thread on which a worker of the pool has just ended a task may as well do that. Others must not: the user's own, one that keeps
//! time, one that talks to many workers elsewhere. For them a thread of the runtime is borrowed, unless the run is to stop, which
//! is soon done.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{
    bar::Bar,
    driver::Driver,
    report::{NodeReport, Progress},
};
use crate::{
    backend::{anchor::Anchor, sizes::OnResize},
    executor::Executor,
    policy::CancellationPolicy,
    sys::lock::lock,
    task::catch::{catch, discard, wake},
};

pub(super) struct Shared {
    turns: AtomicUsize,
    /// None while it is driven, and when the graph is over.
    driver: Mutex<Option<Box<Driver>>>,
    pub(super) told: Told,
    pub(super) anchor: Arc<Anchor>,
}

impl Shared {
    pub(super) fn new(driver: Driver, total: usize, pool: &Executor) -> Arc<Self> {
        let progress = Progress { total, ..Progress::default() };
        let shared = Arc::new(Self {
            turns: AtomicUsize::new(0),
            driver: Mutex::new(Some(Box::new(driver))),
            told: Told::new(progress),
            anchor: Arc::clone(pool.anchor()),
        });
        let watcher: Weak<dyn OnResize> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn OnResize>));
        pool.pool().sizes().watch(watcher);
        shared
    }

    /// Tasks run in the polls of those who wait for them, and so does the driver.
    pub(super) fn in_polls(&self) -> bool {
        self.anchor.pool.runs_in_polls()
    }

    /// Has the graph driven elsewhere.
    pub(super) fn drive(self: &Arc<Self>) {
        if self.takes_turn() {
            let taken = Taken::new(Arc::clone(self));
            self.anchor.pool.port().spawn_blocking(move || drop(taken));
        }
    }

    /// Has no more tasks started and drives the graph here, which is soon done. (Where tasks run in polls, who polls was woken.)
    pub(super) fn stop(self: &Arc<Self>, policy: CancellationPolicy) {
        self.told.order(policy | CancellationPolicy::PENDING);
        if !self.in_polls() && self.takes_turn() {
            drop(Taken::new(Arc::clone(self)));
        }
    }

    /// Drives the graph in the poll of who waits for it.
    pub(super) fn drive_in_poll(&self, cx: &mut Context<'_>) {
        if self.takes_turn() {
            self.drive_on(cx);
        }
    }

    fn takes_turn(&self) -> bool {
        self.turns.fetch_add(1, Ordering::AcqRel) == 0
    }

    fn drive_on(&self, cx: &mut Context<'_>) {
        let mut seen = 1;
        loop {
            let driver = lock(&self.driver).take();
            if let Some(mut driver) = driver {
                driver.step(&self.told, cx);
                if driver.is_over() {
                    discard(driver);
                } else {
                    *lock(&self.driver) = Some(driver);
                }
            }
            match self.turns.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Nobody will poll the run again.
    pub(super) fn leave(self: &Arc<Self>, policy: CancellationPolicy) {
        if self.told.is_over() {
            return;
        }
        if self.in_polls() {
            // What waits here has nobody left to run it.
            let driver = lock(&self.driver).take();
            if let Some(mut driver) = driver {
                driver.stop(policy | CancellationPolicy::PENDING, &self.told);
                discard(driver);
            }
            return;
        }
        if policy.contains(CancellationPolicy::PENDING) {
            self.told.left(None);
            self.stop(policy);
        } else {
            self.told.left(Some(Arc::clone(self)));
            self.told.order(policy);
            self.drive();
        }
    }
}

impl OnResize for Shared {
    fn resized(self: Arc<Self>) {
        if !self.in_polls() {
            self.drive();
        }
    }
}

/// Wakes the driver. Does not keep it: what is under way does not hold on to a run that was given up.
struct Turn(Weak<Shared>);

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(shared) = self.0.upgrade() else {
            return;
        };
        if !shared.anchor.is_at_work_here() {
            shared.drive();
        } else if shared.takes_turn() {
            drop(Taken(shared, Waker::from(Arc::clone(self))));
        }
    }
}

/// A turn that was taken and must be used: it is, when this is dropped, also by a runtime that has ended.
struct Taken(Arc<Shared>, Waker);

impl Taken {
    fn new(shared: Arc<Shared>) -> Self {
        let waker = Waker::from(Arc::new(Turn(Arc::downgrade(&shared))));
        Self(shared, waker)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.drive_on(&mut Context::from_waker(&self.1));
    }
}

/// What the driver says, until it is heard.
pub(super) struct Told {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reports: VecDeque<(String, NodeReport)>,
    /// Results for who has the key.
    kept: HashMap<usize, Box<dyn Any + Send>>,
    progress: Progress,
    bar: Bar,
    waker: Option<Waker>,
    /// What is to be done with the rest of the graph.
    order: Option<CancellationPolicy>,
    /// Nobody listens any more.
    is_left: bool,
    /// Holds a run that goes on without anybody, until it is over.
    holds: Option<Arc<Shared>>,
}

impl State {
    fn is_over(&self) -> bool {
        self.progress.ended() == self.progress.total
    }
}

impl Told {
    fn new(progress: Progress) -> Self {
        Self { state: Mutex::new(State { progress, ..State::default() }) }
    }

    // ---- the driver's side

    pub(super) fn take_order(&self) -> Option<CancellationPolicy> {
        lock(&self.state).order.take()
    }

    pub(super) fn launched(&self) {
        lock(&self.state).progress.running += 1;
    }

    pub(super) fn report(&self, name: String, report: NodeReport, was_started: bool) {
        let (waker, holds, bar, progress) = {
            let mut state = lock(&self.state);
            state.progress.running -= usize::from(was_started);
            state.progress.count(&report.outcome);
            if !state.is_left {
                state.reports.push_back((name, report));
            }
            let holds = if state.is_over() { state.holds.take() } else { None };
            (state.waker.take(), holds, state.bar.clone(), state.progress)
        };
        // It is foreign code, too.
        discard(catch(|| bar.show(progress)));
        waker.into_iter().for_each(wake);
        drop(holds);
    }

    pub(super) fn keep(&self, node: usize, value: Box<dyn Any + Send>) {
        let old = {
            let mut state = lock(&self.state);
            if state.is_left { Some(value) } else { state.kept.insert(node, value) }
        };
        discard(old);
    }

    // ---- the listener's side

    /// The next report that is there.
    pub(super) fn try_next(&self) -> Option<(String, NodeReport)> {
        lock(&self.state).reports.pop_front()
    }

    /// The next report, or None when there was the last one.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<(String, NodeReport)>> {
        // Cloning and dropping a waker is the user's code.
        let waker = cx.waker().clone();
        let mut state = lock(&self.state);
        let next = state.reports.pop_front();
        let poll = if next.is_some() || state.is_over() { Poll::Ready(next) } else { Poll::Pending };
        let unused = if poll.is_pending() { state.waker.replace(waker) } else { Some(waker) };
        drop(state);
        drop(unused);
        poll
    }

    /// How many reports there are still to come.
    pub(super) fn unheard(&self) -> usize {
        let state = lock(&self.state);
        state.reports.len() + state.progress.total - state.progress.ended()
    }

    pub(super) fn take(&self, node: usize) -> Option<Box<dyn Any + Send>> {
        lock(&self.state).kept.remove(&node)
    }

    pub(super) fn progress(&self) -> Progress {
        lock(&self.state).progress
    }

    #[cfg(feature = "progress")]
    pub(super) fn set_bar(&self, bar: Bar) {
        let (old, progress) = {
            let mut state = lock(&self.state);
            (mem::replace(&mut state.bar, bar.clone()), state.progress)
        };
        drop(old);
        bar.show(progress);
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).is_over()
    }

    /// Adds to what is to be done with the rest, and wakes who polls.
    pub(super) fn order(&self, policy: CancellationPolicy) {
        let waker = {
            let mut state = lock(&self.state);
            state.order = Some(state.order.map_or(policy, |order| order | policy));
            state.waker.take()
        };
        waker.into_iter().for_each(wake);
    }

    fn left(&self, holds: Option<Arc<Shared>>) {
        let unheard = {
            let mut state = lock(&self.state);
            state.is_left = true;
            if !state.is_over() {
                state.holds = holds;
            }
            (mem::take(&mut state.reports), mem::take(&mut state.kept), state.waker.take())
        };
        discard(unheard);
    }
}
