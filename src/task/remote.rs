//! A task that travels: its encoded call until it has ended, its encoded result when it has, and who waits for it. What
//! carries it to a worker and back is its lane's.
//!
//! A cell goes through these stages, each change under its lock:
//!
//! ```text
//!            ┌────────recall────────┐
//!            ▼                      │
//! Queued ──send──► Sent ──begin──► Running ──reply──► Done ──take──► Gone
//!    │  └───────────begin───────────►▲ │                ▲
//!    │▲              │               └─┼────requeue     │
//!    │└──────────────┼─────────────────┘                │
//!    └────resolve────┴──────resolve─────────────────────┘
//! ```
//!
//! 1. `Sent` is with a worker that has other calls before it. Whether it has started there is decided between the worker and
//!    [`Claim::withdraw`], by one atomic word that both change; so "pending" is exact for it as well. Where the worker is elsewhere, that
//!    is decided there, and until it is known here, who wants to end the task leaves his wish in it.
//! 2. `Done` is entered once. A reply that comes after a `resolve` is dropped.
//! 3. Decoding is user code. It happens in the poll that takes the result, and not under the lock.

use std::{
    cell::RefCell,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    Host, TaskId, TaskState,
    catch::{discard, wake},
    cell::{AnyTask, Ending, Left, Outcome, Resolved, Told},
    clock::{Span, Stamp},
    options::TaskOptions,
    report::{Captured, Facts},
    work::{Kind, Tally},
};
use crate::{
    error::TaskError,
    function::{Around, Call, Counted, Names, Reply, perform},
    runtime::block_on,
    sys::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
};

/// Who holds a call that was sent ahead.
pub(crate) trait Claim: Send + Sync {
    /// Takes the call back, if its worker has not started it. Decided once; must not block.
    fn withdraw(&self, ticket: u64) -> bool;

    /// Has the worker started it?
    fn is_taken(&self, ticket: u64) -> bool;

    /// Has no more inputs of the call begun, where that can be said at once; must not block.
    fn trim(&self, ticket: u64) {
        let _ = ticket;
    }
}

pub(crate) struct RemoteCell<R> {
    id: AtomicU64,
    open: fn(Vec<u8>, Names) -> Result<R, TaskError>,
    tasks: u64,
    takes_room: AtomicBool,
    is_counted: bool,
    has_options: bool,
    /// There is something to ask of whoever runs it.
    asked: AtomicBool,
    stage: Mutex<Stage>,
}

enum Stage {
    Queued {
        work: Work,
        since: Stamp,
    },
    Sent {
        work: Work,
        since: Stamp,
        claim: Arc<dyn Claim>,
        ticket: u64,
        worker: u32,
    },
    Running {
        work: Work,
        since: Stamp,
        queued_for: Span,
        worker: u32,
    },
    Done {
        result: Result<Vec<u8>, Box<TaskError>>,
        /// What the result names.
        names: Names,
        facts: Facts,
        captured: Option<Box<Captured>>,
    },
    Gone,
}

/// What a task keeps until it has ended.
struct Work {
    call: Arc<Call>,
    options: Option<Arc<TaskOptions>>,
    waker: Option<Waker>,
    attempts: u32,
    /// Why it is to be stopped where it runs.
    stop: Option<TaskError>,
    /// How it is to end if it turns out that it has not begun; and whether it is to be stopped if it has.
    wish: Option<TaskError>,
    stop_if_begun: bool,
    trim: bool,
    /// Who is told of that, where the call is a chunk.
    holder: Option<(Arc<dyn Claim>, u64)>,
    /// What the attempt that is under way has written, as far as it is known.
    captured: Option<Box<Captured>>,
}

impl<R> RemoteCell<R> {
    pub(crate) fn new(
        call: Call,
        open: fn(Vec<u8>, Names) -> Result<R, TaskError>,
        options: Option<Arc<TaskOptions>>,
        takes_room: bool,
        is_counted: bool,
    ) -> Self {
        let (tasks, has_options) = (call.tasks, options.is_some());
        let work = Work {
            attempts: call.lost,
            call: Arc::new(call),
            options,
            waker: None,
            stop: None,
            wish: None,
            stop_if_begun: false,
            trim: false,
            holder: None,
            captured: None,
        };
        Self::in_stage(
            Stage::Queued { work, since: Stamp::now() },
            open,
            tasks,
            takes_room,
            is_counted,
            has_options,
        )
    }

    /// A task that could not be made into a call.
    pub(crate) fn refused(error: TaskError, open: fn(Vec<u8>, Names) -> Result<R, TaskError>) -> Self {
        let facts = Facts::never_started(Span::default(), 0);
        let stage = Stage::Done { result: Err(Box::new(error)), names: Names::new(), facts, captured: None };
        Self::in_stage(stage, open, 1, false, false, false)
    }

    fn in_stage(
        stage: Stage,
        open: fn(Vec<u8>, Names) -> Result<R, TaskError>,
        tasks: u64,
        takes_room: bool,
        is_counted: bool,
        has_options: bool,
    ) -> Self {
        Self {
            id: AtomicU64::new(0),
            open,
            tasks,
            takes_room: AtomicBool::new(takes_room),
            is_counted,
            has_options,
            asked: AtomicBool::new(false),
            stage: Mutex::new(stage),
        }
    }

    /// Has `cx` woken when the task ends; false when it has ended.
    fn register(&self, cx: &mut Context<'_>) -> bool {
        let (old, waits) = {
            let mut stage = lock(&self.stage);
            match stage.work() {
                None => return false,
                Some(Work { waker: Some(waker), .. }) if waker.will_wake(cx.waker()) => return true,
                Some(_) => {}
            }
            // Cloning a waker is the user's code.
            drop(stage);
            let new = cx.waker().clone();
            stage = lock(&self.stage);
            match stage.work() {
                Some(work) => (work.waker.replace(new), true),
                None => (Some(new), false),
            }
        };
        drop(old);
        waits
    }
}

impl Stage {
    /// What there is as long as there is something to wait for.
    fn work(&mut self) -> Option<&mut Work> {
        match self {
            Stage::Queued { work, .. } | Stage::Sent { work, .. } | Stage::Running { work, .. } => Some(work),
            Stage::Done { .. } | Stage::Gone => None,
        }
    }
}

impl<R: Send + 'static> AnyTask for RemoteCell<R> {
    fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    fn set_id(&self, id: TaskId) {
        self.id.store(id.0, Ordering::Relaxed);
    }

    fn kind(&self) -> Kind {
        Kind::Remote
    }

    fn is_counted(&self) -> bool {
        self.is_counted
    }

    fn state(&self) -> TaskState {
        match &*lock(&self.stage) {
            Stage::Queued { .. } => TaskState::Queued,
            Stage::Sent { claim, ticket, .. } if !claim.is_taken(*ticket) => TaskState::Queued,
            Stage::Sent { .. } | Stage::Running { .. } => TaskState::Running,
            Stage::Done { .. } | Stage::Gone => TaskState::Finished,
        }
    }

    fn options(&self) -> Option<Arc<TaskOptions>> {
        lock(&self.stage).work()?.options.clone()
    }

    fn worker(&self) -> Option<u32> {
        match *lock(&self.stage) {
            Stage::Sent { worker, .. } | Stage::Running { worker, .. } => Some(worker),
            _ => None,
        }
    }

    fn tasks(&self) -> u64 {
        self.tasks
    }

    fn takes_room(&self) -> bool {
        self.takes_room.load(Ordering::Relaxed)
    }

    /// For a backend that keeps tasks in this process after all: the call is performed here.
    fn run(
        self: Arc<Self>,
        host: &Arc<dyn Host + Send + Sync>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let call = self.call();
        if !self.begin(&**host) {
            return None;
        }
        if let Some(call) = call {
            let mut out = Vec::new();
            let here = Here { task: &*self, names: RefCell::default() };
            let result = perform(call.entry, &call.arg, &mut out, &here);
            let names = here.names.take();
            let tally = match &result {
                Ok(tally) => *tally,
                Err(_) => {
                    Counted { failed: u32::try_from(call.tasks).unwrap_or(u32::MAX), ..Counted::default() }
                }
            };
            let result = result.map(|_| out).map_err(Box::new);
            if let (Some(waker), _) = self.reply(Reply { result, tally, names }, None, &**host) {
                wake(waker);
            }
        }
        None
    }

    fn resolve(&self, error: TaskError, running: bool, ending: &dyn Ending) -> Option<Resolved> {
        let mut stage = lock(&self.stage);
        let (was, mut work, facts) = match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Queued { work, since } => {
                let facts = Facts::never_started(Stamp::now().since(since), work.attempts);
                (Resolved::Queued, work, facts)
            }
            Stage::Sent { work, since, claim, ticket, .. } if claim.withdraw(ticket) => {
                let facts = Facts::never_started(Stamp::now().since(since), work.attempts);
                (Resolved::Queued, work, facts)
            }
            Stage::Sent { mut work, since, claim, ticket, worker } if !claim.is_taken(ticket) => {
                work.wish.get_or_insert(error);
                *stage = Stage::Sent { work, since, claim, ticket, worker };
                return None;
            }
            Stage::Running { work, since, queued_for, worker } if running => {
                let facts = Facts::ran(queued_for, Stamp::now().since(since), work.attempts, worker);
                (Resolved::Running, work, facts)
            }
            other => {
                *stage = other;
                return None;
            }
        };
        ending.count(was);
        let captured = work.captured.take();
        *stage = Stage::Done { result: Err(Box::new(error)), names: Names::new(), facts, captured };
        drop(stage);
        ending.told(was, facts.ran_for);
        let waker = { work }.waker.take();
        if let Some(waker) = waker {
            wake(waker);
        }
        Some(was)
    }

    fn lost_attempt(&self) -> u32 {
        match &mut *lock(&self.stage) {
            Stage::Queued { work, .. } => {
                work.attempts += 1;
                work.attempts
            }
            _ => u32::MAX,
        }
    }

    fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.register(cx) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn rouse(&self) {
        let waker = lock(&self.stage).work().and_then(|work| work.waker.take());
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    fn has_failed(&self) -> bool {
        matches!(&*lock(&self.stage), Stage::Done { result: Err(_), .. })
    }

    // ---- on its way

    fn call(&self) -> Option<Arc<Call>> {
        lock(&self.stage).work().map(|work| Arc::clone(&work.call))
    }

    fn send(&self, to: &Arc<dyn Claim>, at: u64, lane: u32) -> Option<Arc<Call>> {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Queued { work, since } => {
                let call = Arc::clone(&work.call);
                *stage = Stage::Sent { work, since, claim: Arc::clone(to), ticket: at, worker: lane };
                Some(call)
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    fn has_options(&self) -> bool {
        self.has_options
    }

    fn recall(&self) -> bool {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            // Both under the lock: who cancels finds it here or there, and never between.
            Stage::Sent { work, since, claim, ticket, .. } if claim.withdraw(ticket) => {
                *stage = Stage::Queued { work, since };
                true
            }
            other => {
                *stage = other;
                false
            }
        }
    }

    fn take_wish(&self) -> Option<TaskError> {
        lock(&self.stage).work()?.wish.take()
    }

    fn begin(&self, host: &dyn Host) -> bool {
        let (options, queued_for) = {
            let mut stage = lock(&self.stage);
            let (mut work, since) = match mem::replace(&mut *stage, Stage::Gone) {
                Stage::Queued { work, since } => (work, since),
                Stage::Sent { mut work, since, claim, ticket, .. } => {
                    let wish = work.wish.take();
                    if mem::take(&mut work.stop_if_begun) && wish.is_some() {
                        work.stop = wish;
                        self.asked.store(true, Ordering::Release);
                    }
                    work.holder = (self.tasks > 1).then_some((claim, ticket));
                    (work, since)
                }
                other => {
                    *stage = other;
                    drop(stage);
                    host.withdrawn();
                    return false;
                }
            };
            work.attempts += 1;
            let options = work.options.clone();
            let now = host.now();
            let queued_for = now.since(since);
            *stage = Stage::Running { work, since: now, queued_for, worker: host.worker() };
            (options, queued_for)
        };
        host.begun(self, options.as_deref(), queued_for);
        self.takes_room.store(false, Ordering::Relaxed);
        true
    }

    fn reply(
        &self,
        reply: Reply,
        captured: Option<Box<Captured>>,
        host: &dyn Host,
    ) -> (Option<Waker>, Option<Arc<Call>>) {
        let now = Stamp::now();
        let Reply { result, tally, names } = reply;
        let left = if result.is_ok() { Left::Completed } else { Left::Failed };
        let why = result.as_ref().err().filter(|_| host.is_heard()).map(ToString::to_string);
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Running { work, since, queued_for, worker } => {
                let tally = Tally::from(tally);
                host.left(self, tally, now);
                let facts = Facts::ran(queued_for, now.since(since), work.attempts, worker);
                *stage = Stage::Done { result, names, facts, captured };
                drop(stage);
                host.told(self, Told { left, tally, ran_for: facts.ran_for, why });
                let Work { waker, call, .. } = work;
                (waker, Some(call))
            }
            other => {
                *stage = other;
                host.left(self, Tally::default(), now);
                drop(stage);
                host.late(self);
                discard((result, names, captured));
                (None, None)
            }
        }
    }

    fn keep_captured(&self, captured: Box<Captured>) {
        if let Stage::Running { work, .. } = &mut *lock(&self.stage) {
            work.captured = Some(captured);
        }
    }

    fn attempts(&self) -> u32 {
        lock(&self.stage).work().map_or(u32::MAX, |work| work.attempts)
    }

    fn requeue(&self, host: &dyn Host, undone: bool) -> bool {
        let mut stage = lock(&self.stage);
        match mem::replace(&mut *stage, Stage::Gone) {
            Stage::Running { mut work, .. } if work.stop.is_none() => {
                work.attempts -= u32::from(undone);
                work.holder = None;
                work.captured = None;
                host.left(self, Tally::default(), Stamp::now());
                *stage = Stage::Queued { work, since: Stamp::now() };
                true
            }
            other => {
                *stage = other;
                false
            }
        }
    }

    fn ask_to_stop(&self, reason: TaskError) -> bool {
        let mut stage = lock(&self.stage);
        // What was sent and not taken has not begun, and is not running.
        if let Stage::Sent { claim, ticket, work, .. } = &mut *stage
            && !claim.is_taken(*ticket)
        {
            work.stop_if_begun = work.wish.is_some();
            return false;
        }
        match &mut *stage {
            Stage::Sent { work, .. } | Stage::Running { work, .. } => {
                work.stop.get_or_insert(reason);
                self.asked.store(true, Ordering::Release);
                true
            }
            _ => false,
        }
    }

    fn stop_asked(&self) -> Option<TaskError> {
        if !self.asked.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.stage).work()?.stop.clone()
    }

    fn ask_to_trim(&self) -> bool {
        let mut stage = lock(&self.stage);
        if let Stage::Sent { claim, ticket, .. } = &*stage {
            claim.trim(*ticket);
        }
        let Some(work) = stage.work() else { return false };
        work.trim = true;
        if let Some((claim, ticket)) = &work.holder {
            claim.trim(*ticket);
        }
        self.asked.store(true, Ordering::Release);
        true
    }

    fn held(&self, by: &Arc<dyn Claim>, ticket: u64) {
        if self.tasks < 2 {
            return;
        }
        if let Some(work) = lock(&self.stage).work() {
            if work.trim {
                by.trim(ticket);
            }
            work.holder = Some((Arc::clone(by), ticket));
        }
    }

    fn is_trimmed(&self) -> bool {
        self.asked.load(Ordering::Acquire) && lock(&self.stage).work().is_some_and(|work| work.trim)
    }
}

impl<R: Send + 'static> Outcome<R> for RemoteCell<R> {
    #[allow(clippy::type_complexity, reason = "the trait's")]
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<R, Box<TaskError>>, Facts, Option<Box<Captured>>)> {
        loop {
            let mut stage = lock(&self.stage);
            match mem::replace(&mut *stage, Stage::Gone) {
                Stage::Done { result, names, facts, captured } => {
                    drop(stage);
                    let result = result.and_then(|bytes| (self.open)(bytes, names).map_err(Box::new));
                    return Poll::Ready((result, facts, captured));
                }
                Stage::Gone => panic!("a task handle was polled after it had given its result"),
                waiting => *stage = waiting,
            }
            drop(stage);
            if self.register(cx) {
                return Poll::Pending;
            }
        }
    }
}

impl From<Counted> for Tally {
    fn from(counted: Counted) -> Self {
        Self {
            completed: counted.completed.into(),
            failed: counted.failed.into(),
            cancelled: counted.cancelled.into(),
        }
    }
}

/// The surroundings of a call that is performed in this process.
struct Here<'a> {
    task: &'a dyn AnyTask,
    names: RefCell<Names>,
}

impl Around for Here<'_> {
    fn is_stopped(&self) -> bool {
        self.task.stop_asked().is_some()
    }

    fn is_trimmed(&self) -> bool {
        false
    }

    fn named(&self, names: Names) {
        self.names.borrow_mut().extend(names);
    }

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        block_on(future);
        true
    }
}
