//! One worker process from the pool's side: what it was sent, what came back, and its end. Owns the state of that; how it is
//! started is `launch`'s, how many there are is the crew's.
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
    task::{Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::{
    captured::Capture,
    control::Control,
    crew::Crew,
    inner::{Farewell, Inner},
    link::{Link, Received, Sent},
};
use crate::{
    backend::{lane::Lane, queue::Entry, seat::Seat},
    error::{Exit, TaskError, WorkerLost},
    function::{Counted, Reply, lost_in_chunk},
    policy::CancellationPolicy,
    runtime::{
        Alarm,
        reactor::{Trigger, Watch, Watcher, watch},
    },
    sys::{
        lock::lock,
        process::{Child, Ended, Signal, resident_private},
        shm::Mapping,
    },
    task::{TaskState, catch::wake},
    wire::{
        control::{ToPool, ToWorker},
        layout,
        ring::Nonsense,
    },
};

/// While a call takes less than this, others are sent ahead, for so long in all.
const AHEAD: Duration = Duration::from_millis(1);

/// How long a worker that was told to go may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often the memory of a worker is looked at, at most.
const MEMORY_LOOKS: Duration = Duration::from_millis(1);

/// What the watcher of descriptors has seen.
const DEATH: u32 = 1;
const CONTROL: u32 = 2;

pub(super) struct Worker {
    crew: Weak<Crew>,
    seat: Arc<Seat>,
    child: Child,
    control: Control,
    inner: Inner,
    memory: Arc<Mapping>,
    /// Taken without waiting, by who looks after the worker.
    state: Mutex<State>,
    again: AtomicBool,
    /// It has said that it can work.
    ready: AtomicBool,
    /// The process has ended.
    dead: AtomicBool,
    recall: AtomicBool,
    /// The call that waits for others of its pool, and the one that waits for the pool's end; or 0.
    left: AtomicU64,
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
    /// Who is to be woken when nobody looks after the worker any more.
    wakers: Vec<Waker>,
    was_unheard: bool,
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
        child: Child,
        control: Arc<OwnedFd>,
        link: Link,
        lane: Lane,
    ) -> Result<Arc<Self>, (std::io::Error, Option<Lane>)> {
        lane.set_pid(Some(child.pid()));
        let memory = Arc::clone(link.memory());
        layout::size(&memory).store(lane.pool().max_workers() as u64, Ordering::Relaxed);
        let state = State {
            lane: None,
            link,
            phase: Phase::Starting,
            sent: VecDeque::new(),
            released: 0,
            wakers: Vec::new(),
            was_unheard: false,
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
            memory,
            child,
            state: Mutex::new(state),
            again: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            recall: AtomicBool::new(false),
            left: AtomicU64::new(0),
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
        let death = Arc::new(self.child.pidfd().try_clone_to_owned()?);
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

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Sends a message, on a thread that may wait for the process to read it if need be. A process that cannot be told is ended:
    /// somebody there waits for it.
    pub(super) fn say_apart(self: &Arc<Self>, message: ToWorker) {
        if self.control.nudge(&message) {
            return;
        }
        let mut unsaid = Unsaid(Some(Arc::clone(self)));
        if let Some(crew) = self.crew() {
            crew.context().spawn_thread(move || {
                if let Some(worker) = unsaid.0.take() {
                    worker.control.say(&message);
                }
            });
        }
    }

    /// What was sent ahead goes back to the queue.
    pub(super) fn recall(self: &Arc<Self>) {
        self.recall.store(true, Ordering::SeqCst);
        self.look_after();
    }

    /// The pool may have so many workers now.
    pub(super) fn resized(&self, max_workers: usize) {
        layout::size(&self.memory).store(max_workers as u64, Ordering::Relaxed);
    }

    /// Ends the worker now, with what it does.
    pub(super) fn kill(&self) {
        // It may be gone already.
        let _ = self.child.signal_group(Signal::KILL);
        let _ = self.child.signal(Signal::KILL);
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
            drop(state);
            wakers.into_iter().for_each(wake);
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
        }
        // In this order: what a worker wrote before it died is there when its death is seen.
        let dead = self.dead.load(Ordering::SeqCst);
        if state.phase == Phase::Doomed && !dead {
            return;
        }
        if self.collect_replies(state).is_err() {
            tracing::error!(pid = self.pid(), "a worker wrote nonsense to its shared memory, and is ended");
            self.doom(state);
        }
        if dead {
            self.bury(state);
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
            self.seat.await_end();
        }
        let is_left = front != 0 && self.left.load(Ordering::SeqCst) == front;
        if is_left && state.released != front {
            // What was sent ahead would wait as well.
            Self::recall_behind(state, 1);
            self.inner.leave(&self.seat);
            state.released = front;
        } else if !is_left && state.released != 0 {
            state.released = 0;
            self.inner.rejoin();
        }
    }

    // ---- replies

    fn collect_replies(self: &Arc<Self>, state: &mut State) -> Result<(), Nonsense> {
        let mut count = 0;
        state.was_unheard = false;
        while let Some(received) = state.link.receive()? {
            count += 1;
            if !self.finish(state, received) {
                return Err(Nonsense);
            }
        }
        if count > 0 {
            state.link.made_room();
            let now = Instant::now();
            let each = (now - state.front_since) / count;
            state.pace = Some(state.pace.map_or(each, |pace| (pace * 3 + each) / 4));
            state.front_since = now;
        }
        Ok(())
    }

    /// One call is over. False when it is none that we know.
    fn finish(self: &Arc<Self>, state: &mut State, received: Received) -> bool {
        let Some(front) = Self::take_front(state, received.ticket) else {
            return false;
        };
        if received.said {
            self.control.read(|message| self.hear(message));
        }
        let Some(lane) = &state.lane else { return false };
        if state.tasks_done == 0
            && let Some(crew) = self.crew()
        {
            crew.works();
        }
        state.tasks_done += front.tasks();
        let captured = Capture::take(&mut state.capture, received.ticket, self.seat.index());
        match front.stop_asked() {
            Some(reason) => {
                captured.into_iter().for_each(|captured| front.keep_captured(captured));
                lane.stopped_call(&front, reason);
            }
            None => {
                let (waker, call) = lane.end_call(&front, received.reply, captured);
                state.wakers.extend(waker);
                if let Some(call) = call.filter(|call| call.arg.len() >= layout::LARGE)
                    && let Some(buffer) = Arc::into_inner(call).and_then(|call| call.arg.into_buffer())
                {
                    state.link.reuse(buffer);
                }
            }
        }
        if let Phase::Stopping { step, .. } = state.phase {
            state.phase = Phase::Working;
            if step != Step::Asked {
                // It was signalled, and ends sooner or later, with whatever it does then. Better now.
                Self::recall_behind(state, 0);
                Self::promote(state);
                self.doom(state);
                return true;
            }
        }
        Self::promote(state);
        true
    }

    /// Takes the call that came back out of those on their way. Those before it were withdrawn.
    fn take_front(state: &mut State, ticket: u64) -> Option<Entry> {
        loop {
            let front = state.sent.pop_front()?;
            if front.ticket == ticket {
                return Some(front.task);
            }
            // One that was withdrawn is over.
            if front.ticket > ticket || front.task.state() != TaskState::Finished {
                state.sent.push_front(front);
                return None;
            }
            Self::drop_withdrawn(state, front);
        }
    }

    /// A call was withdrawn, by who cancelled it.
    fn drop_withdrawn(state: &mut State, call: OnItsWay) {
        state.link.withdrawn(call.ticket);
        if let Some(lane) = &state.lane {
            lane.found_withdrawn();
        }
    }

    /// The front is gone, and the worker goes on with the next.
    fn promote(state: &mut State) {
        while let Some(front) = state.sent.front() {
            let Some(lane) = &state.lane else { return };
            if lane.begin_call(&front.task) {
                return;
            }
            // It was withdrawn, and the pool was told.
            let Some(front) = state.sent.pop_front() else { return };
            state.link.withdrawn(front.ticket);
        }
    }

    // ---- calls

    fn feed(self: &Arc<Self>, state: &mut State) {
        let is_worn = self.is_worn_out(state);
        if is_worn {
            Self::recall_behind(state, 1);
            if state.sent.is_empty() {
                if let Some(lane) = &state.lane {
                    lane.tell_recycled();
                }
                self.let_go(state);
            }
            return;
        }
        let me = Waker::from(Arc::clone(self));
        while state.sent.is_empty() {
            let Some(lane) = &mut state.lane else { return };
            match lane.poll_next(&me) {
                Poll::Ready(Some(task)) => {
                    state.idle_since = None;
                    if !self.send_front(state, task) {
                        return;
                    }
                }
                Poll::Ready(None) => {
                    self.let_go(state);
                    return;
                }
                Poll::Pending => {
                    self.idle(state);
                    return;
                }
            }
        }
        self.send_ahead(state);
    }

    /// Begins a call. False when the worker cannot take one now.
    fn send_front(self: &Arc<Self>, state: &mut State, task: Entry) -> bool {
        let State { lane: Some(lane), link, .. } = state else { return false };
        let Some(call) = task.call() else {
            lane.found_withdrawn();
            return true;
        };
        if !lane.begin_call(&task) {
            return true;
        }
        let is_captured = task.has_options() && task.options().is_some_and(|options| options.capture_output);
        state.capture = is_captured.then(|| Capture::begin(state.next_ticket, &self.control));
        let is_captured = state.capture.as_ref().is_some_and(Capture::is_sent);
        let limit = self.crew().and_then(|crew| crew.max_payload());
        let len = call.arg.len() as u64;
        let refused = match limit {
            Some(limit) if len > limit => Some(TaskError::TooLarge { size: len, limit }),
            _ => match link.offer_and_send(state.next_ticket, &call, is_captured) {
                Ok(Sent::Yes) => None,
                Ok(Sent::Impossible(why)) => Some(TaskError::Encode(why)),
                // Full of what was withdrawn, which the worker has yet to pass by.
                Ok(Sent::Full) => {
                    lane.lost_call(task, None);
                    self.set_alarm(state, Instant::now() + Duration::from_millis(1));
                    return false;
                }
                // Somebody wrote into the ring who should not.
                Err(_) => {
                    lane.lost_call(task, None);
                    self.doom(state);
                    return false;
                }
            },
        };
        if let Some(error) = refused {
            let tally =
                Counted { failed: u32::try_from(call.tasks).unwrap_or(u32::MAX), ..Counted::default() };
            let (waker, _) = lane.end_call(&task, Reply { result: Err(Box::new(error)), tally }, None);
            state.wakers.extend(waker);
            return true;
        }
        state.sent.push_back(OnItsWay { ticket: state.next_ticket, task });
        state.next_ticket += 1;
        state.front_since = Instant::now();
        true
    }

    /// Sends calls behind the front, as many as will be done in a moment.
    fn send_ahead(self: &Arc<Self>, state: &mut State) {
        self.fill_up(state);
        // Who lay down meanwhile has looked here before he did, and found nothing, or us.
        if state.sent.len() > 1
            && state.lane.as_ref().is_some_and(Lane::is_not_alone)
            && Self::recall_behind(state, 1) > 0
            && let Some(lane) = &state.lane
        {
            lane.call_others();
        }
    }

    fn fill_up(self: &Arc<Self>, state: &mut State) {
        let Some(pace) = state.pace.filter(|pace| *pace < AHEAD) else { return };
        if !self.crew().is_some_and(|crew| crew.prefetches()) {
            return;
        }
        let depth = (AHEAD.as_nanos() / pace.as_nanos().max(1)) as usize;
        let depth = depth.clamp(1, Link::most_sent() - 1);
        // Not one by one, which would be a wake-up each.
        if state.sent.len() > depth / 2 {
            return;
        }
        let most =
            self.crew().and_then(|crew| crew.max_tasks()).map(|most| most.saturating_sub(state.tasks_done));
        let mut on_their_way: u64 =
            if most.is_some() { state.sent.iter().map(|call| call.task.tasks()).sum() } else { 0 };
        while state.sent.len() <= depth && most.is_none_or(|most| on_their_way < most) {
            // A claim's word is used again after so many tickets.
            let oldest = state.sent.front().map_or(state.next_ticket, |front| front.ticket);
            if state.next_ticket - oldest >= Link::most_sent() as u64 {
                return;
            }
            let State { lane: Some(lane), link, .. } = state else { return };
            let Some(task) = lane.take_ahead() else { return };
            if task.has_options() {
                lane.put_back(task);
                return;
            }
            // Before the task is said to be there: who cancels it then looks at this.
            link.offer(state.next_ticket);
            let Some(call) = task.send(link.claims(), state.next_ticket, lane.index() as u32) else {
                lane.found_withdrawn();
                continue;
            };
            let sent =
                call.arg.len() < layout::LARGE && link.send(state.next_ticket, &call, false) == Ok(Sent::Yes);
            match sent {
                true => {
                    on_their_way += task.tasks();
                    state.sent.push_back(OnItsWay { ticket: state.next_ticket, task });
                    state.next_ticket += 1;
                }
                false => {
                    if task.recall() {
                        lane.put_back(task);
                    } else {
                        lane.found_withdrawn();
                    }
                    return;
                }
            }
        }
    }

    /// Withdraws what is behind the first `keep` calls and puts it back into the queue.
    fn recall_behind(state: &mut State, keep: usize) -> usize {
        let mut count = 0;
        while state.sent.len() > keep {
            let Some(last) = state.sent.back() else { break };
            if last.task.recall() {
                let Some(call) = state.sent.pop_back() else { break };
                state.link.withdrawn(call.ticket);
                if let Some(lane) = &state.lane {
                    lane.put_back(call.task);
                }
                count += 1;
            } else if last.task.state() == TaskState::Finished {
                let Some(call) = state.sent.pop_back() else { break };
                Self::drop_withdrawn(state, call);
            } else {
                // The worker is that far already.
                break;
            }
        }
        count
    }

    /// Gives half of what waits here to a worker that has nothing to do.
    pub(super) fn share(self: &Arc<Self>) -> bool {
        let share = |state: &mut State| {
            let is_at_work = state.phase == Phase::Working && state.sent.len() > 1;
            let keep = (state.sent.len() / 2).max(1);
            is_at_work && Self::recall_behind(state, keep) > 0
        };
        self.in_passing(share).unwrap_or(false)
    }

    // ---- idle, worn out, on the way out

    fn idle(self: &Arc<Self>, state: &mut State) {
        if let Some(crew) = self.crew() {
            crew.share_with(self);
        }
        let Some(after) = self.crew().and_then(|crew| crew.idle_timeout()) else { return };
        let now = Instant::now();
        let since = *state.idle_since.get_or_insert(now);
        match since.checked_add(after) {
            Some(until) if until <= now => self.let_go(state),
            Some(until) => self.set_alarm(state, until),
            None => {}
        }
    }

    fn is_worn_out(&self, state: &mut State) -> bool {
        let Some(crew) = self.crew() else { return true };
        if crew.max_tasks().is_some_and(|most| state.tasks_done >= most) {
            return true;
        }
        let Some(most) = crew.max_growth().filter(|_| state.tasks_done > 0) else { return false };
        let now = Instant::now();
        if state.memory.looked.is_some_and(|looked| now - looked < MEMORY_LOOKS) {
            return false;
        }
        state.memory.looked = Some(now);
        let Ok(used) = resident_private(self.pid()) else { return false };
        let first = *state.memory.first.get_or_insert(used);
        used.saturating_sub(first) > most
    }

    /// The worker has nothing to do and is not wanted any more.
    fn let_go(self: &Arc<Self>, state: &mut State) {
        state.link.ask_to_leave();
        let until = Instant::now() + FAREWELL;
        state.phase = Phase::Leaving { until };
        self.set_alarm(state, until);
        // Another may take its place; the pool waits for the process where it waits for anything.
        drop(state.lane.take());
    }

    // ---- the end by force

    /// Sees whether the front is to be stopped, and how far that is.
    fn stop_front(self: &Arc<Self>, state: &mut State) {
        if !matches!(state.phase, Phase::Working | Phase::Stopping { .. }) {
            return;
        }
        let Some(front) = state.sent.front() else { return };
        if front.task.tasks() > 1 && front.task.is_trimmed() {
            state.link.trim(front.ticket);
        }
        if front.task.stop_asked().is_none() {
            return;
        }
        let ticket = front.ticket;
        let now = Instant::now();
        if state.link.has_replies() {
            // It may have ended by itself.
            self.again.store(true, Ordering::SeqCst);
            return;
        }
        let grace = self.crew().map_or(Duration::ZERO, |crew| crew.grace());
        let after = now.checked_add(grace).unwrap_or_else(|| now + Duration::from_secs(1 << 30));
        let (next, step) = match state.phase {
            Phase::Stopping { next, step: Step::Asked } if next <= now => {
                let _ = self.child.signal_group(Signal::TERM);
                (after, Step::Terminated)
            }
            Phase::Stopping { next, step: Step::Terminated } if next <= now => {
                self.doom(state);
                return;
            }
            Phase::Stopping { next, step } => (next, step),
            _ => {
                Self::recall_behind(state, 1);
                state.link.ask_to_stop(ticket);
                if !grace.is_zero() {
                    // The word says it all. This is for who sleeps, and must not wait for a process that does not listen.
                    self.control.nudge(&ToWorker::Stop);
                    (after, Step::Asked)
                } else {
                    let _ = self.child.signal_group(Signal::TERM);
                    (now + Duration::from_millis(10), Step::Terminated)
                }
            }
        };
        state.phase = Phase::Stopping { next, step };
        self.set_alarm(state, next);
    }

    /// Kills the process. What it has not begun goes elsewhere; the rest follows when it is dead.
    fn doom(self: &Arc<Self>, state: &mut State) {
        Self::recall_behind(state, 1);
        self.kill();
        state.phase = Phase::Doomed;
    }

    fn bury(self: &Arc<Self>, state: &mut State) {
        // Before it is reaped: then its number, and its group's, is nobody else's.
        let _ = self.child.signal_group(Signal::KILL);
        let exit = match self.child.wait() {
            Ok(Ended::Code(code)) => Exit::Code(code),
            Ok(Ended::Signal(signal)) => Exit::Signal(signal),
            Ok(Ended::Unknown) | Err(_) => Exit::Unknown,
        };
        if let Some(crew) = self.crew() {
            crew.ended(exit);
        }
        let phase = mem::replace(&mut state.phase, Phase::Gone);
        state.alarm = None;
        Self::recall_behind(state, 1);
        let lane = state.lane.take();
        if let Some(lane) = &lane {
            let how =
                WorkerLost::new(lane.worker(), Some(self.pid()), exit).with_report(state.link.last_words());
            // One that never worked is no loss to anybody.
            if self.is_ready() {
                lane.tell_lost(&how);
            }
            let state_link = &state.link;
            for (n, call) in state.sent.drain(..).enumerate().rev() {
                if n > 0 && !lane.begin_call(&call.task) {
                    continue;
                }
                if state_link.is_sent(call.ticket) {
                    lane.lost_call(call.task, None);
                } else if let Some((reply, tally)) = Self::saved(state_link, lane, &call, &how) {
                    let (waker, _) = lane.end_call(&call.task, Reply { result: Ok(reply), tally }, None);
                    state.wakers.extend(waker);
                } else {
                    let captured = Capture::take(&mut state.capture, call.ticket, self.seat.index());
                    captured.into_iter().for_each(|captured| call.task.keep_captured(captured));
                    lane.lost_call(call.task, Some(how.clone()));
                }
            }
        }
        // What it had said before it died.
        self.control.read(|message| self.hear(message));
        lock(&self.watches).clear();
        self.inner.rejoin();
        let keep = lock(&self.keep).take();
        if let Some(crew) = self.crew() {
            crew.buried(self);
            match lane {
                Some(lane) if phase == Phase::Starting => crew.stillborn(lane, exit),
                lane => drop(lane),
            }
        }
        drop(keep);
    }

    /// What there is of a chunk whose worker died. Its sender sends the inputs again to which there is no answer; the one that the
    /// worker died at is among them only if it may be tried again.
    fn saved(link: &Link, lane: &Lane, call: &OnItsWay, how: &WorkerLost) -> Option<(Vec<u8>, Counted)> {
        if call.task.tasks() < 2 || call.task.stop_asked().is_some() {
            return None;
        }
        // Nothing yet, if it died at the first.
        let done =
            link.done_so_far(call.ticket).filter(|done| !done.is_empty()).unwrap_or_else(|| vec![0; 8]);
        lost_in_chunk(&done, (!lane.may_retry(&call.task)).then(|| TaskError::WorkerLost(how.clone())))
    }

    // ---- messages

    fn hear(self: &Arc<Self>, message: ToPool) {
        let Some(crew) = self.crew() else { return };
        match message {
            ToPool::Ready => {
                self.ready.store(true, Ordering::SeqCst);
                self.look_after();
            }
            ToPool::Refused(reason) => crew.give_up(TaskError::Broken(reason)),
            ToPool::InitializerFailed(reason) => crew.give_up(TaskError::InitializerFailed(reason)),
            ToPool::Submit(submission) => {
                if let Some(pool) = crew.pool() {
                    self.inner.submit(self, &pool, submission);
                }
            }
            ToPool::Cancel { id } => self.inner.cancel(id),
            ToPool::Resize { max_workers } => {
                if let (Some(pool), Ok(n)) = (crew.pool(), usize::try_from(max_workers)) {
                    pool.resize(n.max(1));
                }
            }
            ToPool::ShutDown { ticket, policy } => {
                if let Some(pool) = crew.pool() {
                    self.ending.store(ticket, Ordering::SeqCst);
                    self.look_after();
                    pool.shut_down(CancellationPolicy::from_bits_truncate(policy));
                    Farewell::say(self, &pool);
                }
            }
            ToPool::Leave { ticket } => {
                self.left.store(ticket, Ordering::SeqCst);
                self.look_after();
            }
            ToPool::Rejoin { ticket } => {
                if self.left.compare_exchange(ticket, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    self.look_after();
                }
            }
            ToPool::Progress { ticket, done, total } => {
                let find = |state: &mut State| {
                    state.sent.iter().find(|call| call.ticket == ticket).map(|call| call.task.id())
                };
                if let Some(task) = self.in_passing(find).flatten().or_else(|| self.seat.current_id()) {
                    crew.progressed(task, done, total);
                }
            }
            ToPool::Logged => self.look_after(),
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

/// A message that is on no thread yet.
struct Unsaid(Option<Arc<Worker>>);

impl Drop for Unsaid {
    fn drop(&mut self) {
        if let Some(worker) = &self.0 {
            worker.kill();
        }
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
        let open = self.control.read(|message| self.hear(message));
        if !open {
            // It cannot be told anything any more: it is dying, or it closed what is not its own.
            lock(&self.watches).truncate(1);
            self.kill();
        }
    }
}
