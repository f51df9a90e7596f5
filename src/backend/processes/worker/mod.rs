//! One worker process from the pool's side: what it was sent, what came back, and its end. Owns the state of that and who looks
//! after it; `feed` has what it is given, `replies` what comes back, `end` how it is ended, `talk` what is said beside; how it is started is `launch`'s, how many there are is the crew's.
//!
//! Whoever has a reason looks after the worker: who submits, who cancels, the thread that watches descriptors, the timer. One
//! does at a time; who comes meanwhile leaves word (`again`) and goes, so that nobody waits for anybody, and the one who is at
//! it looks once more.
//!
//! The worker performs one call at a time, the `front`, which has begun. Calls behind it were sent ahead and can be withdrawn
//! until the worker takes them; the two sides decide that by one word per call (see `wire::layout::Claim`). So:
//!
//! 1. Before anything that ends the process, what is behind the front is withdrawn and goes back to the queue.
//! 2. When the process is gone, replies that it had written are taken first. Then the front is lost, if the worker had taken it,
//!    and goes back to the queue otherwise. Nothing is lost that was not begun, and nothing that was begun is done twice unless
//!    retries were asked for.
//! 3. The process is buried once: its group is killed, it is reaped, its place in the pool is given up, in this order.

use std::{
    collections::VecDeque,
    mem,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, TryLockError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

mod end;
mod feed;
mod nested;
mod placing;
mod replies;
mod talk;

use self::{nested::AllNested, placing::Placing};
use super::{
    body::Body,
    captured::Capture,
    control::Control,
    crew::Crew,
    inner::Inner,
    link::{Link, Received, Size},
    session::Session,
};
use crate::{
    backend::{Wait, lane::Lane, queue::Entry, seat::Seat},
    runtime::{
        Alarm,
        reactor::{Trigger, Watch, Watcher, watch},
    },
    sys::lock::lock,
    task::{TaskId, catch::wake},
    wire::control::ToWorker,
};

/// What the watcher of descriptors has seen.
const DEATH: u32 = 1;
const CONTROL: u32 = 2;

pub(super) struct Worker {
    crew: Weak<Crew>,
    seat: Arc<Seat>,
    child: Body,
    control: Control,
    inner: Inner,
    session: Session,
    placing: Placing,
    nested: AllNested,
    size: Size,
    /// Taken without waiting, by who looks after the worker.
    state: Mutex<State>,
    again: AtomicBool,
    /// Something waits until all is heard that the worker said.
    awaits_words: AtomicBool,
    /// It has said that it can work.
    ready: AtomicBool,
    /// The process has ended.
    dead: AtomicBool,
    recall: AtomicBool,
    /// The call that waits for others of its pool, and the one that waits for the pool's end; or 0.
    left: AtomicU64,
    left_held: AtomicBool,
    ending: AtomicU64,
    watches: Mutex<Vec<Watch>>,
    /// Until it is buried, a worker keeps itself.
    keep: Mutex<Option<Arc<Worker>>>,
}

struct State {
    lane: Option<Lane>,
    link: Link,
    /// Whether it has said that it can work.
    phase: Phase,
    /// The front, which has begun, and those behind it.
    sent: VecDeque<OnItsWay>,
    /// The front has begun. Else nobody knows yet whether it will: it was asked for when it was behind another.
    is_begun: bool,
    /// Who is to be woken when nobody looks after the worker any more.
    wakers: Vec<Waker>,
    /// The front waits for the pool's end, as of now.
    awaits_end: bool,
    was_unheard: bool,
    /// A reply before which there is something to hear.
    put_off: Option<Received>,
    has_worked: bool,
    /// The call whose place another has, or 0.
    released: u64,
    next_ticket: u64,
    /// Calls that take so long each, lately.
    pace: Option<Duration>,
    front_since: Instant,
    tasks_done: u64,
    memory: Memory,
    idle_since: Option<Instant>,
    alarm: Option<(Instant, Alarm)>,
    /// What the front writes, where that is wanted.
    capture: Option<Capture>,
}

struct OnItsWay {
    ticket: u64,
    task: Entry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Working,
    /// The front is asked to stop; at that time its process is sent a signal.
    Stopping {
        next: Instant,
        step: Step,
    },
    /// It was told to go; at that time it is killed.
    Leaving {
        until: Instant,
    },
    /// It was killed, and cannot do anything any more.
    Doomed,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Asked,
    Terminated,
}

#[derive(Default)]
struct Memory {
    first: Option<u64>,
    looked: Option<Instant>,
}

impl Worker {
    /// Takes charge of a process that was just started.
    pub(super) fn employ(
        crew: &Arc<Crew>,
        child: Body,
        control: Arc<OwnedFd>,
        link: Link,
        lane: Lane,
    ) -> Result<Arc<Self>, (std::io::Error, Option<Lane>)> {
        lane.set_pid(Some(child.pid()));
        let size = link.size();
        size.set(lane.pool().max_workers() as u64);
        let state = State {
            lane: None,
            link,
            phase: Phase::Starting,
            sent: VecDeque::new(),
            is_begun: true,
            released: 0,
            wakers: Vec::new(),
            awaits_end: false,
            was_unheard: false,
            put_off: None,
            has_worked: false,
            next_ticket: 1,
            pace: None,
            front_since: Instant::now(),
            tasks_done: 0,
            memory: Memory::default(),
            idle_since: None,
            alarm: None,
            capture: None,
        };
        let worker = Arc::new(Self {
            crew: Arc::downgrade(crew),
            seat: Arc::clone(lane.seat()),
            ready: AtomicBool::new(false),
            control: Control::new(control),
            inner: Inner::default(),
            session: Session::default(),
            placing: Placing::default(),
            nested: AllNested::default(),
            size,
            child,
            state: Mutex::new(state),
            again: AtomicBool::new(false),
            awaits_words: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            recall: AtomicBool::new(false),
            left: AtomicU64::new(0),
            left_held: AtomicBool::new(false),
            ending: AtomicU64::new(0),
            watches: Mutex::default(),
            keep: Mutex::default(),
        });
        worker.seat.set_keeper(Waker::from(Arc::clone(&worker)));
        lock(&worker.state).lane = Some(lane);
        *lock(&worker.keep) = Some(Arc::clone(&worker));
        // Held until the watches are in their place: a death that is seen before waits here.
        let mut watches = lock(&worker.watches);
        match worker.watch() {
            Ok(made) => {
                *watches = made;
                drop(watches);
                Ok(worker)
            }
            Err(error) => {
                drop(watches);
                worker.kill();
                let _ = worker.child.wait();
                lock(&worker.keep).take();
                let lane = lock(&worker.state).lane.take();
                worker.seat.forget_wakers();
                Err((error, lane))
            }
        }
    }

    fn watch(self: &Arc<Self>) -> std::io::Result<Vec<Watch>> {
        let me: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Watcher>));
        let death = Arc::new(self.child.death()?);
        lock(&self.state).link.attend(Arc::downgrade(self))?;
        Ok(vec![
            watch(death, Trigger::Level, Weak::clone(&me), DEATH)?,
            watch(self.control.fd(), Trigger::Level, me, CONTROL)?,
        ])
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// The task that it performs.
    pub(super) fn front_id(&self) -> Option<TaskId> {
        self.seat.current_id()
    }

    pub(super) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// What was sent ahead goes back to the queue.
    pub(super) fn recall(self: &Arc<Self>) {
        self.recall.store(true, Ordering::SeqCst);
        self.look_after();
    }

    /// The pool may have so many workers now.
    pub(super) fn resized(self: &Arc<Self>, max_workers: usize) {
        let max_workers = max_workers as u64;
        self.size.set(max_workers);
        // Before that nothing is performed.
        if self.size.is_sent() && self.is_ready() {
            self.nudge(ToWorker::Size { max_workers });
        }
    }

    /// Sends a short message without waiting. Where nothing else says so, another thread waits in our place.
    fn nudge(self: &Arc<Self>, message: ToWorker) {
        if !self.control.nudge(&message) && self.size.is_sent() {
            self.say_apart(message);
        }
    }

    /// Ends the worker now, with what it does.
    pub(super) fn kill(&self) {
        self.child.kill();
    }

    /// Does what there is to do. Never waits for another who is at it.
    pub(super) fn look_after(self: &Arc<Self>) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            let mut state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while self.again.swap(false, Ordering::SeqCst) {
                self.step(&mut state);
            }
            // Not while the state is held: whoever is woken may have the next call for this worker.
            let wakers = mem::take(&mut state.wakers);
            let awaits_end = mem::take(&mut state.awaits_end);
            drop(state);
            wakers.into_iter().for_each(wake);
            if awaits_end && let Some(pool) = self.crew().and_then(|crew| crew.pool()) {
                pool.check_gone();
            }
        }
    }

    /// Somebody looks at the replies all the time, and needs no bell.
    pub(super) fn disarm(self: &Arc<Self>) {
        self.in_passing(|state| state.link.disarm());
    }

    /// Has the pool's bell rung for this one?
    pub(super) fn collect(self: &Arc<Self>) {
        // Whoever is at it may have looked before.
        let is_due = |state: &mut State| {
            // A bell that was rung for a reply which was taken before is to be set again.
            state.link.has_replies() || (!state.sent.is_empty() && !state.link.is_armed())
        };
        if self.in_passing(is_due).unwrap_or(true) {
            self.look_after();
        }
    }

    /// Are there replies that were there when somebody last asked?
    #[cfg(feature = "tokio")]
    pub(super) fn is_overdue(self: &Arc<Self>) -> bool {
        let look = |state: &mut State| {
            let has_replies = state.link.has_replies();
            let was = mem::replace(&mut state.was_unheard, has_replies);
            has_replies && was
        };
        self.in_passing(look).unwrap_or(false)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn is_busy(self: &Arc<Self>) -> bool {
        self.in_passing(|state| !state.sent.is_empty()).unwrap_or(true)
    }

    /// Does something small, if nobody else is at it. Who left word meanwhile is heard.
    fn in_passing<T>(self: &Arc<Self>, f: impl FnOnce(&mut State) -> T) -> Option<T> {
        let result = match self.state.try_lock() {
            Ok(mut state) => f(&mut state),
            Err(_) => return None,
        };
        if self.again.load(Ordering::SeqCst) {
            self.look_after();
        }
        Some(result)
    }

    fn step(self: &Arc<Self>, state: &mut State) {
        if state.phase == Phase::Gone {
            return;
        }
        if state.phase == Phase::Starting && self.ready.load(Ordering::SeqCst) {
            state.phase = Phase::Working;
            state.has_worked = true;
        }
        self.take_back(state);
        // In this order: what a worker wrote before it died is there when its death is seen, and the link was closed.
        let is_dead = self.dead.load(Ordering::SeqCst);
        let is_closed = is_dead && state.link.close();
        if state.phase == Phase::Doomed && !is_dead {
            return;
        }
        if self.collect_replies(state).is_err() {
            tracing::error!(pid = self.pid(), "a worker replied nonsense, and is ended");
            self.doom(state);
        }
        if state.put_off.is_some() {
            // The worker is looked after again when it was heard.
            return;
        }
        if is_dead {
            if is_closed && self.has_heard_all() {
                self.bury(state);
            }
            return;
        }
        if let Some(capture) = &mut state.capture {
            state.link.look_for_records();
            capture.relay(self.seat.index());
        }
        self.release_front(state);
        self.stop_front(state);
        if self.recall.swap(false, Ordering::SeqCst)
            && Self::recall_behind(state, 1) > 0
            && let Some(lane) = &state.lane
        {
            lane.call_others();
        }
        match state.phase {
            Phase::Starting if state.lane.as_ref().is_some_and(Lane::is_useless) => self.doom(state),
            Phase::Working => self.feed(state),
            Phase::Leaving { until } if until <= Instant::now() => self.doom(state),
            Phase::Leaving { until } => self.set_alarm(state, until),
            _ => {}
        }
        state.link.notify();
        if !state.sent.is_empty()
            && state.phase != Phase::Doomed
            && let Some(crew) = self.crew()
        {
            crew.expects_replies();
            if !crew.is_watched() && !state.link.arm() {
                self.again.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The front may wait for other tasks of its pool, or for the pool's end.
    fn release_front(self: &Arc<Self>, state: &mut State) {
        let front = state.sent.front().map_or(0, |front| front.ticket);
        if front != 0 && self.ending.load(Ordering::SeqCst) == front {
            // What was sent ahead is over first, or back, or else it would not be counted.
            Self::recall_behind(state, 1);
            if state.sent.len() == 1 {
                self.seat.await_end();
                // It may be what the end waited for.
                state.awaits_end = true;
            }
        }
        let is_left = front != 0 && self.left.load(Ordering::SeqCst) == front;
        if is_left && state.released != front {
            // What was sent ahead would wait as well.
            Self::recall_behind(state, 1);
            let held = self.left_held.load(Ordering::SeqCst);
            self.inner.leave(&self.seat, if held { Wait::Held } else { Wait::Freely });
            state.released = front;
        } else if !is_left && state.released != 0 {
            state.released = 0;
            self.inner.rejoin();
        }
    }

    fn set_alarm(self: &Arc<Self>, state: &mut State, at: Instant) {
        if !state.alarm.as_ref().is_some_and(|(set, _)| *set <= at && *set > Instant::now()) {
            state.alarm = Some((at, Alarm::set(at, Waker::from(Arc::clone(self)))));
        }
    }

    fn crew(&self) -> Option<Arc<Crew>> {
        self.crew.upgrade()
    }
}

impl Wake for Worker {
    fn wake(self: Arc<Self>) {
        self.look_after();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.look_after();
    }
}

impl Watcher for Worker {
    fn readable(self: Arc<Self>, what: u32) {
        if what == DEATH {
            self.dead.store(true, Ordering::SeqCst);
            self.look_after();
            return;
        }
        let open = self.control.read_some();
        self.hear_all();
        if !open {
            // It cannot be told anything any more: it is dying, or it closed what is not its own.
            lock(&self.watches).truncate(1);
            self.kill();
        }
    }
}
