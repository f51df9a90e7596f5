//! The place of one worker: what runs there now, how it is stopped, and what has been done there. Lives as long as its pool;
//! workers come and go.
//!
//! A long file: what is under the lock of `slot`, and what is read without it, is one protocol.

use std::{
    cell::RefCell,
    collections::VecDeque,
    mem,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    events::{EventKind, Speaker},
    lanes::{Lanes, Wait},
    pool::Pool,
    queue::Entry,
    spans,
    state::States,
};
use crate::{
    error::TaskError,
    runtime::is_blocking,
    sys::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, Ordering, lock, thread_local},
    task::{
        AnyTask, Host, Left, Tally, TaskId, TaskOptions, Told,
        catch::{discard, wake},
        clock::{Span, Stamp},
    },
};

/// Aligned, because two workers that count on one cache line slow each other down.
#[repr(align(128))]
pub(crate) struct Seat {
    index: AtomicU32,
    pool: Weak<Pool>,
    /// The beginning of a task concerns the pool: it has a bound, or a time limit.
    told_of_beginnings: bool,
    speaker: Arc<Speaker>,
    taken: AtomicBool,
    initialised: AtomicBool,
    /// What the worker keeps for its tasks, for as long as what its initializer did is there.
    states: Mutex<Arc<States>>,
    /// The place that this one is inside of, while something runs here.
    within: Mutex<Option<Arc<Seat>>>,
    /// The worker that sits here, unique in the pool.
    worker: AtomicU64,
    pid: AtomicU32,

    /// The task that runs here is asked to stop. Set and cleared under the lock of `slot`, read without.
    stop_asked: AtomicBool,
    slot: Mutex<Slot>,

    /// Tasks for this worker alone.
    own: Mutex<VecDeque<Entry>>,
    own_count: AtomicUsize,

    woken: AtomicBool,
    sleeper: Mutex<Option<Waker>>,
    /// Who sees to what runs here, where that is in another process.
    keeper: Mutex<Option<Waker>>,
    /// What runs here is polled by a runtime.
    is_polled: AtomicBool,
    is_waiting: AtomicBool,
    waits: Mutex<Waits>,
    awaits_end: AtomicBool,

    begun: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    ended: AtomicU64,
    /// When the last task ended, as a stamp's word, if the next may begin at that time; else 0.
    clock: AtomicU64,
}

#[derive(Default)]
struct Slot {
    current: Option<Entry>,
    deadline: Option<(Instant, Duration)>,
    /// Why the future that runs here is to be dropped.
    stop: Option<TaskError>,
    /// Who polls the future that runs here.
    runner: Option<Waker>,
    /// Who waits for the token.
    watchers: Vec<Waker>,
}

/// How many things the task here waits for that are of this pool.
struct Waits {
    count: usize,
    how: Wait,
    /// It runs what it waits for, so many at once; and needs its place meanwhile.
    helps: usize,
    /// Counts tasks that waited, so that a wait which outlives its task is not taken for one of the next.
    epoch: u64,
}

impl Default for Waits {
    fn default() -> Self {
        Self { count: 0, how: Wait::Freely, helps: 0, epoch: 0 }
    }
}

impl Waits {
    /// May another have the place?
    fn gives_away(&self) -> bool {
        self.count > 0 && self.helps == 0
    }
}

impl Slot {
    /// Takes what the last task left beside itself, which is seldom anything.
    fn take_rest(&mut self) -> Option<Slot> {
        let bare = self.deadline.is_none()
            && self.stop.is_none()
            && self.runner.is_none()
            && self.watchers.is_empty();
        if bare {
            return None;
        }
        let current = self.current.take();
        let rest = mem::take(self);
        self.current = current;
        Some(rest)
    }
}

/// What a seat has counted: jobs that have begun and ended, and what became of the user's tasks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) begun: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) ended: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Seat>>> = const { RefCell::new(None) };
}

/// The seat at which this thread works just now.
pub(crate) fn current() -> Option<Arc<Seat>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Calls `f` with the seat at which this thread works, without a share in it.
pub(crate) fn with_current<T>(f: impl FnOnce(Option<&Seat>) -> T) -> T {
    // A thread that is being torn down works nowhere.
    let mut f = Some(f);
    let result = CURRENT.try_with(|current| {
        let f = f.take()?;
        Some(f(current.borrow().as_deref()))
    });
    match (result, f) {
        (Ok(Some(value)), _) => value,
        (_, Some(f)) => f(None),
        _ => unreachable!("f is taken only where its value is returned"),
    }
}

/// Puts this thread at `seat` until the guard is dropped.
pub(super) fn sit(seat: Arc<Seat>) -> Sitting {
    // A thread that is being torn down still runs tasks, which then do not know where.
    Sitting(CURRENT.try_with(|current| current.borrow_mut().replace(seat)).ok().flatten())
}

pub(super) struct Sitting(Option<Arc<Seat>>);

impl Drop for Sitting {
    fn drop(&mut self) {
        let mine = CURRENT.try_with(|current| mem::replace(&mut *current.borrow_mut(), self.0.take()));
        drop(mine);
    }
}

impl Seat {
    pub(super) fn new(
        index: usize,
        pool: Weak<Pool>,
        told_of_beginnings: bool,
        speaker: Arc<Speaker>,
    ) -> Self {
        Self {
            index: AtomicU32::new(u32::try_from(index).unwrap_or(u32::MAX - 1)),
            pool,
            told_of_beginnings,
            speaker,
            taken: AtomicBool::new(false),
            initialised: AtomicBool::new(false),
            states: Mutex::default(),
            within: Mutex::default(),
            worker: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            stop_asked: AtomicBool::new(false),
            slot: Mutex::default(),
            own: Mutex::default(),
            own_count: AtomicUsize::new(0),
            woken: AtomicBool::new(false),
            sleeper: Mutex::default(),
            keeper: Mutex::default(),
            is_polled: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            waits: Mutex::default(),
            awaits_end: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            clock: AtomicU64::new(0),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    /// Makes this a place inside of another, for a task that its worker runs while it waits: a worker is the same, whatever it runs.
    pub(super) fn nest(&self, within: &Arc<Seat>) {
        self.index.store(within.index.load(Ordering::Relaxed), Ordering::Relaxed);
        self.set_worker(within.worker());
        self.set_polled(within.is_polled.load(Ordering::Relaxed));
        self.set_pid(within.pid());
        let states = lock(&within.states).clone();
        let old =
            (mem::replace(&mut *lock(&self.states), states), lock(&self.within).replace(Arc::clone(within)));
        drop(old);
    }

    /// What ran inside of another place is over.
    pub(super) fn unnest(&self) {
        let within = lock(&self.within).take();
        if within.is_some() {
            let shared = mem::take(&mut *lock(&self.states));
            drop((within, shared));
        }
    }

    /// The place of the worker itself.
    pub(super) fn outermost(self: &Arc<Self>) -> Arc<Self> {
        let within = lock(&self.within).clone();
        within.map_or_else(|| Arc::clone(self), |within| within.outermost())
    }

    pub(super) fn is_nested(&self) -> bool {
        lock(&self.within).is_some()
    }

    pub(crate) fn worker(&self) -> u64 {
        self.worker.load(Ordering::Relaxed)
    }

    pub(super) fn set_worker(&self, worker: u64) {
        self.worker.store(worker, Ordering::Relaxed);
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    pub(super) fn set_pid(&self, pid: Option<u32>) {
        self.pid.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade()
    }

    pub(super) fn is_of(&self, pool: &Pool) -> bool {
        std::ptr::eq(Weak::as_ptr(&self.pool), pool)
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn set_taken(&self, taken: bool) {
        self.taken.store(taken, Ordering::Release);
    }

    /// True for who asks first.
    pub(super) fn initialise(&self) -> bool {
        !self.initialised.swap(true, Ordering::AcqRel)
    }

    pub(super) fn forget_initialiser(&self) {
        self.initialised.store(false, Ordering::Release);
        self.states().clear();
    }

    pub(crate) fn states(&self) -> Arc<States> {
        lock(&self.states).clone()
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        // What has ended is read before what has begun, so that no task is seen to end without having begun.
        let (completed, failed, cancelled) =
            (read(&self.completed), read(&self.failed), read(&self.cancelled));
        let ended = read(&self.ended);
        Counts { begun: read(&self.begun), completed, failed, cancelled, ended }
    }

    // ---- what runs here

    /// Puts a task in the place of the last, which has ended.
    pub(super) fn set_current(&self, task: Entry) {
        self.end_waits();
        let last = {
            let mut slot = lock(&self.slot);
            self.stop_asked.store(false, Ordering::Relaxed);
            let rest = slot.take_rest();
            (slot.current.replace(task), rest)
        };
        self.forget(last);
    }

    pub(super) fn clear_current(&self) {
        self.end_waits();
        let last = {
            let mut slot = lock(&self.slot);
            let rest = slot.take_rest();
            (slot.current.take(), rest)
        };
        self.forget(last);
        self.clock.store(0, Ordering::Relaxed);
    }

    fn forget(&self, (task, rest): (Option<Entry>, Option<Slot>)) {
        let Some(task) = task else { return };
        if Arc::strong_count(&task) == 1 || rest.is_some() {
            // What is dropped now may take its time.
            self.clock.store(0, Ordering::Relaxed);
        }
        discard((task, rest));
    }

    pub(crate) fn current_task(&self) -> Option<Entry> {
        lock(&self.slot).current.clone()
    }

    pub(crate) fn current_id(&self) -> Option<TaskId> {
        lock(&self.slot).current.as_ref().map(|task| task.id())
    }

    pub(super) fn runs(&self, task: &Entry) -> bool {
        lock(&self.slot).current.as_ref().is_some_and(|current| Arc::ptr_eq(current, task))
    }

    pub(crate) fn is_stop_asked(&self) -> bool {
        self.stop_asked.load(Ordering::Relaxed)
    }

    /// Asks what runs here to stop, if it is `task`. A future is dropped for the reason given, and its task ends with it.
    pub(super) fn ask_to_stop(&self, task: &Entry, reason: Option<TaskError>) {
        let wakers = {
            let mut slot = lock(&self.slot);
            if !slot.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, task)) {
                return;
            }
            self.stop_asked.store(true, Ordering::Relaxed);
            let mut wakers = mem::take(&mut slot.watchers);
            if let Some(reason) = reason {
                slot.stop.get_or_insert(reason);
                wakers.extend(slot.runner.take());
            }
            wakers
        };
        wakers.into_iter().for_each(wake);
    }

    /// Why the future that runs here is to be dropped, if it is; else `cx` is woken when it comes to that.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<TaskError> {
        {
            let mut slot = lock(&self.slot);
            if let Some(reason) = slot.stop.take() {
                return Poll::Ready(reason);
            }
            if slot.runner.as_ref().is_some_and(|runner| runner.will_wake(cx.waker())) {
                return Poll::Pending;
            }
        }
        let waker = cx.waker().clone();
        let old = {
            let mut slot = lock(&self.slot);
            if let Some(reason) = slot.stop.take() {
                return Poll::Ready(reason);
            }
            slot.runner.replace(waker)
        };
        drop(old);
        Poll::Pending
    }

    /// Why what runs here was asked to stop, if it has not stopped yet.
    pub(super) fn take_stop(&self) -> Option<TaskError> {
        lock(&self.slot).stop.take()
    }

    /// Waits until `task`, which runs here, is asked to stop. What waits on when the task is over waits for ever.
    pub(crate) fn poll_cancelled(&self, task: Option<&Entry>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut slot = lock(&self.slot);
        let is_mine = match (task, &slot.current) {
            (Some(task), Some(current)) => Arc::ptr_eq(task, current),
            _ => false,
        };
        if !is_mine {
            return Poll::Pending;
        }
        if self.is_stop_asked() {
            return Poll::Ready(());
        }
        if !slot.watchers.iter().any(|other| other.will_wake(&waker)) {
            slot.watchers.push(waker);
        }
        Poll::Pending
    }

    /// The task here if its time is up, else when that will be.
    pub(super) fn expired(&self, now: Instant) -> Result<Option<Instant>, (Entry, Duration)> {
        let mut slot = lock(&self.slot);
        match (&slot.current, slot.deadline) {
            (Some(task), Some((at, after))) if at <= now => {
                let task = Arc::clone(task);
                slot.deadline = None;
                Err((task, after))
            }
            (_, deadline) => Ok(deadline.map(|(at, _)| at)),
        }
    }

    pub(super) fn set_deadline(&self, at: Instant, after: Duration) {
        lock(&self.slot).deadline = Some((at, after));
    }

    // ---- tasks for this worker alone

    pub(super) fn push_own(&self, task: Entry) {
        lock(&self.own).push_back(task);
        self.own_count.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn pop_own(&self) -> Option<Entry> {
        if !self.has_own_work() {
            return None;
        }
        let task = lock(&self.own).pop_front()?;
        self.own_count.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    pub(super) fn has_own_work(&self) -> bool {
        self.own_count.load(Ordering::SeqCst) > 0
    }

    // ---- sleep

    pub(super) fn prepare_sleep(&self, waker: Waker) {
        let old = lock(&self.sleeper).replace(waker);
        drop(old);
    }

    /// Called under the lock of the sleepers by who takes it out of them, and followed by `wake`.
    pub(super) fn set_woken(&self) {
        // A swap, which costs no more than such a store: models know one order of swaps alone.
        self.woken.swap(true, Ordering::SeqCst);
    }

    pub(super) fn wake(&self) {
        let waker = lock(&self.sleeper).take();
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    pub(crate) fn set_keeper(&self, keeper: Waker) {
        let old = lock(&self.keeper).replace(keeper);
        drop(old);
    }

    /// Has the keeper look after its task.
    pub(super) fn poke(&self) {
        let keeper = lock(&self.keeper).clone();
        if let Some(keeper) = keeper {
            wake(keeper);
        }
    }

    pub(super) fn forget_wakers(&self) {
        let wakers = (lock(&self.sleeper).take(), lock(&self.keeper).take());
        drop(wakers);
    }

    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// One thing more that the task here waits for. Gives the task's epoch, and whether another may have the place from now on.
    pub(super) fn wait(&self, lanes: &Lanes, how: Wait) -> (u64, bool) {
        self.change_waits(Some(lanes), |waits| {
            if waits.count == 0 {
                waits.how = how;
            }
            waits.count += 1;
        })
    }

    /// One thing less, if the task of that epoch still runs.
    pub(super) fn wait_no_more(&self, lanes: &Lanes, epoch: u64) {
        self.change_waits(Some(lanes), |waits| {
            if waits.epoch == epoch {
                waits.count -= 1;
            }
        });
    }

    /// The worker runs what it waits for, until it [`helps_no_more`](Self::helps_no_more).
    pub(super) fn helps(&self, lanes: &Lanes) {
        self.change_waits(Some(lanes), |waits| waits.helps += 1);
    }

    /// True when another may have the place again.
    pub(super) fn helps_no_more(&self, lanes: &Lanes) -> bool {
        self.change_waits(Some(lanes), |waits| waits.helps -= 1).1
    }

    /// Changes what the task here waits for, and with it, under the same lock, how many places are given away. Gives the epoch, and
    /// whether this place is now and was not before.
    fn change_waits(&self, lanes: Option<&Lanes>, change: impl FnOnce(&mut Waits)) -> (u64, bool) {
        let mut waits = lock(&self.waits);
        let before = waits.gives_away().then_some(waits.how);
        change(&mut waits);
        let after = waits.gives_away().then_some(waits.how);
        self.is_waiting.store(after.is_some(), Ordering::SeqCst);
        if let Some(lanes) = lanes.filter(|_| before != after) {
            after.into_iter().for_each(|how| lanes.release(how));
            before.into_iter().for_each(|how| lanes.rejoin(how));
        }
        (waits.epoch, after.is_some() && before.is_none())
    }

    /// How the task here waits for others of its pool, if it does on this thread and in this moment. Held only where what it waits
    /// for could run instead: a `block_on` of others can, as a rule, not be nested in another.
    pub(super) fn way_to_wait(&self) -> Wait {
        let may_nest = || self.is_polled.load(Ordering::Relaxed) || futures::executor::enter().is_ok();
        if is_blocking() && may_nest() { Wait::Held } else { Wait::Freely }
    }

    /// Whether a runtime polls what runs here, in which there may not be a `block_on` anyway.
    pub(super) fn set_polled(&self, yes: bool) {
        self.is_polled.store(yes, Ordering::Relaxed);
    }

    /// Does the task here wait for others of its pool?
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::SeqCst)
    }

    /// The task here is over, and with it its waiting.
    fn end_waits(&self) {
        if !self.is_waiting() && !self.awaits_end.load(Ordering::Relaxed) {
            return;
        }
        self.awaits_end.store(false, Ordering::SeqCst);
        let pool = self.pool.upgrade();
        self.change_waits(pool.as_deref().map(Pool::lanes), |waits| {
            waits.epoch += 1;
            waits.count = 0;
        });
    }

    /// The task here waits for the end of its own pool, which is not to wait for it.
    pub(crate) fn await_end(&self) {
        self.awaits_end.store(true, Ordering::SeqCst);
        let within = lock(&self.within).clone();
        if let Some(within) = within {
            within.await_end();
        }
    }

    pub(super) fn awaits_end(&self) -> bool {
        self.awaits_end.load(Ordering::SeqCst)
    }
}

impl Seat {
    /// The task here is left by its code, whose end nobody saw. (Not under a lock.)
    pub(super) fn quit(&self, task: &dyn AnyTask) {
        self.left(task, Tally::default(), Stamp::now());
        self.late(task);
    }
}

impl Host for Seat {
    fn worker(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    fn now(&self) -> Stamp {
        match self.clock.load(Ordering::Relaxed) {
            0 => Stamp::now(),
            word => Stamp::of_word(word),
        }
    }

    fn begun(&self, task: &dyn AnyTask, options: Option<&TaskOptions>, queued_for: Span) {
        if !task.is_counted() && !task.takes_room() {
            return;
        }
        if task.is_counted() {
            count(&self.begun, 1);
            self.speaker.meter().begun(queued_for);
        }
        let timed = options.is_some_and(|options| options.timeout.is_some());
        if (timed || self.told_of_beginnings || self.speaker.is_heard())
            && let Some(pool) = self.pool.upgrade()
        {
            pool.begun(self, task, options);
        }
    }

    fn span(&self, task: &dyn AnyTask, options: Option<&TaskOptions>) -> tracing::Span {
        if !spans::is_on() || !task.is_counted() {
            return tracing::Span::none();
        }
        self.pool.upgrade().map_or_else(tracing::Span::none, |pool| pool.span(self, task, options))
    }

    fn withdrawn(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.found_withdrawn();
        }
    }

    fn is_heard(&self) -> bool {
        self.speaker.is_heard()
    }

    fn told(&self, task: &dyn AnyTask, end: Told) {
        if !task.is_counted() {
            return;
        }
        self.speaker.meter().ended(end.tally, end.ran_for);
        self.speaker.forget(task.id());
        let (task, worker) = (task.id(), self.index());
        self.speaker.tell(|| match end.left {
            Left::Completed => EventKind::TaskFinished { task, worker },
            Left::Failed => EventKind::TaskFailed { task, error: end.why.unwrap_or_default() },
        });
    }

    fn late(&self, task: &dyn AnyTask) {
        if task.is_counted() {
            self.speaker.meter().freed();
        }
    }

    fn left(&self, task: &dyn AnyTask, tally: Tally, at: Stamp) {
        if task.is_counted() {
            count(&self.completed, tally.completed);
            count(&self.failed, tally.failed);
            count(&self.cancelled, tally.cancelled);
            count(&self.ended, 1);
        }
        self.clock.store(at.to_word(), Ordering::Relaxed);
    }
}

/// Adds to a count that only the worker at the seat adds to.
fn count(count: &AtomicU64, n: u64) {
    if n > 0 {
        count.store(count.load(Ordering::Relaxed) + n, Ordering::Release);
    }
}
