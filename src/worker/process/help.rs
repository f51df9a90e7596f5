//! Calls that this process performs inside of another, which waits for them. Owns when it does so, and where: the pool has said that
//! nobody else can come, and each of them it gives to this process before.
//!
//! 1. Only the thread that performs the outer call performs one inside of it, or one that takes its place meanwhile. So they are
//!    nested like the calls of functions, and the innermost is the one under way.
//! 2. A future is polled by a runtime, in which no other can be nested. What it waits for is put off until the poll is over, and
//!    the runtime is left for it (see `driven`). Below any other `block_on` there is a thread of its own for it.
//! 3. What the pool says may overtake what it has said before: two of its threads say it. So a refusal takes back only what was heard
//!    before that was asked for.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

use super::{
    here::{Here, performed},
    perform::{Bench, Keeper, Work},
};
use crate::{
    backend::{Entry, PoolContext},
    error::TaskError,
    runtime::{Home, blocking_depth, is_in_runtime, with_room},
    sys::lock::lock,
    wire::control::{Blob, ToPool},
};

/// What there is to know of it in this process.
#[derive(Default)]
pub(super) struct Helping {
    /// How often the pool has said that nobody else can come, and how many of these a refusal has taken back.
    stuck: AtomicU64,
    taken_back: AtomicU64,
    was_opened: AtomicBool,
    context: OnceLock<PoolContext>,
    /// What the pool says to claims: a ticket, or 0.
    answers: Mutex<HashMap<u64, u64>>,
    news: Condvar,
    /// The calls that are under way, the outermost first, and whether each was asked to stop. Their number is beside it.
    calls: Mutex<Vec<(u64, bool)>>,
    depth: AtomicUsize,
}

impl Helping {
    /// There is somebody to whom tasks can be submitted.
    pub(super) fn is_ready(&self, context: PoolContext) {
        let _ = self.context.set(context);
    }

    // ---- what the pool says

    pub(super) fn is_stuck(&self) {
        self.stuck.fetch_add(1, Ordering::SeqCst);
        if let Some(context) = self.context.get() {
            context.open_up(self.was_opened.swap(true, Ordering::SeqCst));
        }
    }

    pub(super) fn answered(&self, id: u64, ticket: u64) {
        lock(&self.answers).insert(id, ticket);
        self.news.notify_all();
    }

    pub(super) fn heard_stop(&self, ticket: u64) {
        for (_, is_stopped) in lock(&self.calls).iter_mut().filter(|(its, _)| *its == ticket) {
            *is_stopped = true;
        }
    }

    // ---- what is asked here

    fn can_nobody_come(&self) -> bool {
        self.stuck.load(Ordering::SeqCst) > self.taken_back.load(Ordering::SeqCst)
    }

    fn answer(&self, id: u64) -> u64 {
        let mut answers = lock(&self.answers);
        loop {
            match answers.remove(&id) {
                Some(answer) => return answer,
                None => answers = self.news.wait(answers).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// A call begins, inside of that one if there is one.
    pub(super) fn begin(&self, ticket: u64, outer: u64) -> Inside<'_> {
        if outer != 0 {
            let mut calls = lock(&self.calls);
            if calls.is_empty() {
                calls.push((outer, false));
            }
            calls.push((ticket, false));
            self.depth.store(calls.len(), Ordering::SeqCst);
        }
        Inside { helping: self, is_inside: outer != 0 }
    }

    /// Was the call that is under way asked to stop, or one that it is inside of? The pool has `said` that of the outermost.
    pub(super) fn is_stopped(&self, ticket: u64, said: u64) -> bool {
        if self.depth.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let calls = lock(&self.calls);
        let mut up_to = calls.iter().take_while(|(its, _)| *its != ticket);
        let is_mine = calls.iter().any(|(its, is_stopped)| *its == ticket && *is_stopped);
        is_mine || up_to.any(|(its, is_stopped)| *is_stopped || *its == said)
    }
}

pub(super) struct Inside<'a> {
    helping: &'a Helping,
    is_inside: bool,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.is_inside {
            let mut calls = lock(&self.helping.calls);
            calls.pop();
            if calls.len() == 1 {
                calls.clear();
            }
            self.helping.depth.store(calls.len(), Ordering::SeqCst);
        }
    }
}

thread_local! {
    /// What the future that is polled here waits for and could be performed when that is over, and how deep the poll is.
    static PUT_OFF: RefCell<Option<(u32, Vec<Entry>)>> = const { RefCell::new(None) };

    /// The runtime for calls of a thread that is below another one.
    static OWN_HOME: RefCell<Option<Arc<Home>>> = const { RefCell::new(None) };
}

/// Polls the future of a call, and gives what it waits for that this process could perform itself.
pub(super) fn driven<T>(poll: impl FnOnce() -> Poll<T>) -> (Poll<T>, Vec<Entry>) {
    let former = PUT_OFF.replace(Some((blocking_depth(), Vec::new())));
    let polled = poll();
    let wanted = PUT_OFF.replace(former);
    (polled, wanted.map(|(_, wanted)| wanted).unwrap_or_default())
}

/// A runtime for the calls of this thread.
pub(super) fn home(here: &'static Here) -> HomeRef {
    match OWN_HOME.with_borrow(Option::clone) {
        Some(own) => HomeRef::Own(own),
        None => HomeRef::Usual(&here.home),
    }
}

pub(super) enum HomeRef {
    Usual(&'static Home),
    Own(Arc<Home>),
}

impl std::ops::Deref for HomeRef {
    type Target = Home;

    fn deref(&self) -> &Home {
        match self {
            Self::Usual(home) => home,
            Self::Own(home) => home,
        }
    }
}

/// The task is waited for on this thread. True when it may be finished now; what this process performs is, when its result has come
/// back from the pool.
pub(super) fn help(here: &'static Here, task: &Entry) -> bool {
    let is_mine = || performed().is_some_and(|ticket| ticket == here.ticket());
    if !here.helping.can_nobody_come() || !is_mine() {
        return false;
    }
    let has_put_off = PUT_OFF.with_borrow_mut(|put_off| match put_off {
        Some((depth, wanted)) if *depth == blocking_depth() && may_nest() => {
            if !wanted.iter().any(|other| Arc::ptr_eq(other, task)) {
                wanted.push(Arc::clone(task));
            }
            true
        }
        _ => false,
    });
    if !has_put_off {
        perform_instead(here, task);
    }
    false
}

/// Can a `block_on` of others be nested here?
fn may_nest() -> bool {
    futures::executor::enter().is_ok()
}

/// Performs a task for which the call that is under way waits, if the pool has nobody else for it.
pub(super) fn perform_instead(here: &'static Here, task: &Entry) {
    let Some(id) = here.upstream.number_of(task) else { return };
    let stuck = here.helping.stuck.load(Ordering::SeqCst);
    here.upstream.post(here, ToPool::Claim { id });
    let ticket = here.helping.answer(id);
    if ticket == 0 {
        here.helping.taken_back.fetch_max(stuck, Ordering::SeqCst);
        return;
    }
    let performing = || perform(here, task, ticket);
    if is_in_runtime() || !may_nest() {
        let own = Arc::new(here.home.again());
        let apart = || {
            OWN_HOME.set(Some(own));
            performing();
        };
        let work = Mutex::new(Some(apart));
        let run = || {
            let work = lock(&work).take();
            work.into_iter().for_each(|work| work());
        };
        thread::scope(|scope| {
            // Without a thread, it is tried here.
            let thread = thread::Builder::new().name("polypool-deep".to_owned()).spawn_scoped(scope, run);
            if thread.is_err() {
                run();
            }
        });
    } else {
        let own = OWN_HOME.with_borrow(Option::clone);
        with_room(|is_elsewhere| {
            if is_elsewhere {
                OWN_HOME.set(own);
            }
            performing();
        });
    }
}

fn perform(here: &'static Here, task: &Entry, ticket: u64) {
    let mut bench = Bench::new(here);
    let call = task.call();
    let (arg, entry, tasks) = match &call {
        Some(call) => (Ok(&*call.arg), call.entry, call.tasks),
        // Nobody waits for it any more.
        None => (Err(TaskError::Cancelled), 0, task.tasks()),
    };
    let work = Work { ticket, entry, tasks, is_captured: false, origin: None };
    let (counted, has_failed) = bench.perform(work, arg, &Nowhere);
    let message = ToPool::Performed {
        ticket,
        counts: (counted.completed, counted.failed, counted.cancelled),
        has_failed,
        bytes: Blob(Arc::new(std::mem::take(&mut bench.out))),
    };
    // What the call has posted is before it, what it has said was said.
    here.upstream.post(here, message);
    here.upstream.number_is_over(task);
}

/// There is no place for what is done of a chunk.
struct Nowhere;

impl Keeper for Nowhere {
    fn is_trimmed(&self) -> bool {
        false
    }

    fn keep(&self, _: usize, _: &[u8]) -> bool {
        true
    }
}
