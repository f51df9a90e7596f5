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
//! 4. A panic stays with the task that it concerns. One that comes out of the driver all the same ends the graph, and each of its
//!    tasks is reported.
//!
//! Who drives goes on as long as others add turns, which in a graph of tiny tasks may be to its end, and runs what the user wrote. A
//! thread on which a worker of the pool has just ended a task may as well do that. Others must not: the user's own, one that keeps
//! time, one that talks to many workers elsewhere. For them a thread of the runtime is borrowed, unless the run is to stop, which
//! is soon done. All threads of a runtime may be taken by those who wait for their graphs, so the turn is offered meanwhile: a poll
//! of the run takes it, too, for a while.
//!
//! The waker of who polls is kept here and given to nobody. It is foreign code: one that panics would leave others half-way.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU8, AtomicUsize, Ordering},
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

/// How many tasks' ends a poll takes in hand before it leaves the rest to whoever comes.
const IN_A_POLL: usize = 64;

/// A turn was taken, and waits for somebody who uses it.
const OFFERED: u8 = 1;
/// A thread was asked for, and has not come.
const ASKED: u8 = 2;

pub(super) struct Shared {
    turns: AtomicUsize,
    offer: AtomicU8,
    /// None while it is driven, and when the graph is over.
    driver: Mutex<Option<Box<Driver>>>,
    /// Wakes the driver.
    waker: Waker,
    pub(super) told: Told,
    pub(super) anchor: Arc<Anchor>,
}

impl Shared {
    pub(super) fn new(driver: Driver, total: usize, pool: &Executor) -> Arc<Self> {
        let progress = Progress { total, ..Progress::default() };
        let shared = Arc::new_cyclic(|shared| Self {
            turns: AtomicUsize::new(0),
            offer: AtomicU8::new(0),
            driver: Mutex::new(Some(Box::new(driver))),
            waker: Waker::from(Arc::new(Turn(Weak::clone(shared)))),
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
            self.offer();
        }
    }

    /// Has no more tasks started and drives the graph here, which is soon done. (Where tasks run in polls, who polls was woken.)
    pub(super) fn stop(&self, policy: CancellationPolicy) {
        self.told.order(policy | CancellationPolicy::PENDING);
        if !self.in_polls() && self.takes_turn() {
            self.drive_on(usize::MAX);
        }
    }

    /// Drives the graph in the poll of who waits for it: by a task where tasks run in polls, otherwise if nobody else has come to
    /// do it, and for a while only.
    pub(super) fn drive_in_poll(self: &Arc<Self>) {
        if self.in_polls() {
            self.step();
        } else if self.takes_offer() && !self.drive_on(IN_A_POLL) {
            self.offer();
        }
    }

    fn takes_turn(&self) -> bool {
        self.turns.fetch_add(1, Ordering::AcqRel) == 0 || self.takes_offer()
    }

    fn takes_offer(&self) -> bool {
        self.offer.fetch_and(!OFFERED, Ordering::AcqRel) & OFFERED != 0
    }

    /// Leaves a turn that was taken to whoever comes first.
    fn offer(self: &Arc<Self>) {
        let was = self.offer.fetch_or(OFFERED | ASKED, Ordering::AcqRel);
        if was & ASKED == 0 {
            let asked = Asked(Arc::downgrade(self));
            self.anchor.pool.port().spawn_blocking(move || drop(asked));
        }
        self.told.wake();
    }

    /// Uses a turn that was taken, for so many steps. False when there may be more to do: then the turn is still taken.
    fn drive_on(&self, steps: usize) -> bool {
        for _ in 0..steps {
            let seen = self.turns.load(Ordering::Acquire);
            let goes_on = self.step();
            if !goes_on && self.turns.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return true;
            }
        }
        false
    }

    /// Has the driver do what it can until a task ends. False when it waits for that, or the graph is over.
    fn step(&self) -> bool {
        let driver = lock(&self.driver).take();
        let Some(mut driver) = driver else {
            return false;
        };
        let mut cx = Context::from_waker(&self.waker);
        let goes_on = catch(|| driver.step(&self.told, &mut cx)).unwrap_or_else(|panic| {
            driver.break_off(&panic, &self.told);
            false
        });
        if driver.is_over() {
            discard(driver);
            return false;
        }
        *lock(&self.driver) = Some(driver);
        goes_on
    }

    /// Nobody will poll the run again.
    pub(super) fn leave(self: &Arc<Self>, policy: CancellationPolicy) {
        let goes_on = !self.in_polls() && !policy.contains(CancellationPolicy::PENDING);
        self.told.left(goes_on.then(|| Arc::clone(self)));
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
        } else if goes_on {
            self.told.order(policy);
            self.drive();
        } else {
            self.stop(policy);
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
        if shared.in_polls() {
            shared.told.wake();
        } else if !shared.anchor.is_at_work_here() {
            shared.drive();
        } else if shared.takes_turn() {
            shared.drive_on(usize::MAX);
        }
    }
}

/// A thread that was asked for. It uses what is offered when this is dropped, also by a runtime that has ended.
struct Asked(Weak<Shared>);

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else {
            return;
        };
        if shared.offer.swap(0, Ordering::AcqRel) & OFFERED != 0 {
            shared.drive_on(usize::MAX);
        }
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

    /// Has the listener woken when there is something to hear or to do.
    pub(super) fn listen(&self, waker: &Waker) {
        // Cloning and dropping a waker is the user's code.
        let waker = waker.clone();
        let old = lock(&self.state).waker.replace(waker);
        discard(old);
    }

    pub(super) fn wake(&self) {
        let waker = lock(&self.state).waker.take();
        waker.into_iter().for_each(wake);
    }

    /// The next report, or None when there was the last one. Who gets either listens no more.
    pub(super) fn poll_next(&self) -> Poll<Option<(String, NodeReport)>> {
        let mut state = lock(&self.state);
        let next = state.reports.pop_front();
        if next.is_none() && !state.is_over() {
            return Poll::Pending;
        }
        let unused = state.waker.take();
        drop(state);
        discard(unused);
        Poll::Ready(next)
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
        let old = mem::replace(&mut lock(&self.state).bar, bar.clone());
        drop(old);
        // A task that ends meanwhile may be shown before and must not be taken back.
        let mut shown = None;
        loop {
            let progress = self.progress();
            if shown.replace(progress.ended()) == Some(progress.ended()) {
                return;
            }
            bar.show(progress);
        }
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

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::{
        error::TaskError,
        graph::{
            Outcome, TaskGraph,
            flight::{Flight, Landed},
        },
    };

    /// What no task can do.
    struct Bomb;

    impl Flight for Bomb {
        fn poll(&mut self, _: bool, _: &mut Context<'_>) -> Poll<Landed> {
            panic!("out of the driver");
        }

        fn apply(&self, _: CancellationPolicy) {}
    }

    #[test]
    fn panic_in_the_driver_ends_the_graph_and_every_task_is_reported() {
        for pool in [Executor::serial(), Executor::threads(1).expect("a pool")] {
            let mut graph = TaskGraph::new();
            let first = graph.task("first", |()| 1, ()).output();
            graph.task("bomb", |()| (), ()).after(["first"]);
            graph.task("next", |()| (), ()).after(["bomb"]);
            graph.entries[1].launch = Box::new(|_| Ok(Box::new(Bomb)));
            let mut run = graph.run(&pool).expect("a run");
            let told = futures::executor::block_on((&mut run).collect::<Vec<_>>());
            let outcomes: Vec<_> =
                told.iter().map(|(name, report)| (name.as_str(), &report.outcome)).collect();
            let expected =
                [("first", Outcome::Done), ("next", Outcome::Cancelled), ("bomb", Outcome::Failed)];
            assert_eq!(outcomes, expected.each_ref().map(|(name, outcome)| (*name, outcome)));
            for (_, report) in &told[1..] {
                assert!(
                    matches!(&report.result, Err(TaskError::Broken(why)) if why.contains("out of the driver"))
                );
            }
            assert_eq!(run.progress().running, 0);
            assert_eq!(run.take_output(first), Some(1));
        }
    }
}
