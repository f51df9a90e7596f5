//! Calls that a worker process performs inside of another, which waits for them. Owns those that are under way: how they begin, how
//! they are stopped, and their end.
//!
//! Such a call has a place of its own inside of the worker's. It came to the process with what the process said itself, so there is
//! nothing to send; its ticket tells it from those of the rings.
//!
//! What it writes is the outermost call's, as far as that is captured: the descriptors are the process's.
//!
//! It cannot be ended by force without what waits for it: the process is one. So a call that is stopped and does not listen ends,
//! after the same time as any other, with the process.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use super::{Step, Worker};
use crate::{
    backend::{
        Released, Wait,
        pool::{Pool, help::Nested},
        queue::Entry,
    },
    error::{TaskError, WorkerLost},
    function::{Counted, Names, Reply},
    runtime::Alarm,
    sys::{lock::lock, process::Signal},
    task::{Claim, TaskId, catch::wake},
    wire::control::{Blob, ToWorker},
};

/// Where their tickets begin. Those of the rings count up from 1, and never come here.
const FIRST: u64 = 1 << 62;

#[derive(Default)]
pub(super) struct AllNested {
    last: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<u64, Arc<Inside>>,
    is_over: bool,
}

/// One such call.
struct Inside {
    ticket: u64,
    task: Entry,
    worker: Weak<Worker>,
    /// None when it is over.
    place: Mutex<Option<Nested>>,
    /// It waits for others in its turn.
    released: Mutex<Option<Released>>,
    stop: Mutex<Option<Stop>>,
}

/// How far it is that the call is stopped.
struct Stop {
    next: Instant,
    step: Step,
    _alarm: Alarm,
}

/// It is with its worker from the first moment on.
struct Taken;

impl Claim for Taken {
    fn withdraw(&self, _: u64) -> bool {
        false
    }

    fn is_taken(&self, _: u64) -> bool {
        true
    }
}

impl AllNested {
    fn get(&self, ticket: u64) -> Option<Arc<Inside>> {
        if ticket < FIRST { None } else { lock(&self.state).calls.get(&ticket).cloned() }
    }

    pub(super) fn task(&self, ticket: u64) -> Option<TaskId> {
        Some(self.get(ticket)?.task.id())
    }

    /// The call waits. False when it is none of these.
    pub(super) fn leave(&self, ticket: u64, how: Wait) -> bool {
        if let Some(inside) = self.get(ticket) {
            let seat = lock(&inside.place).as_ref().map(|place| Arc::clone(place.lane.seat()));
            let released = seat.and_then(|seat| Pool::release_seat(seat, how));
            let old = mem::replace(&mut *lock(&inside.released), released);
            drop(old);
        }
        ticket >= FIRST
    }

    pub(super) fn rejoin(&self, ticket: u64) -> bool {
        if let Some(inside) = self.get(ticket) {
            let released = lock(&inside.released).take();
            drop(released);
        }
        ticket >= FIRST
    }

    /// The call waits for the pool's end.
    pub(super) fn await_end(&self, ticket: u64) -> bool {
        if let Some(inside) = self.get(ticket)
            && let Some(place) = &*lock(&inside.place)
        {
            place.lane.seat().await_end();
        }
        ticket >= FIRST
    }

    fn wait(&self) -> bool {
        lock(&self.state).calls.values().any(|inside| lock(&inside.released).is_some())
    }

    /// There will be no more. What there is never came to its worker.
    pub(super) fn end(&self) {
        self.close().into_values().for_each(|inside| inside.lose(None));
    }

    fn close(&self) -> BTreeMap<u64, Arc<Inside>> {
        let mut state = lock(&self.state);
        state.is_over = true;
        mem::take(&mut state.calls)
    }
}

impl Worker {
    /// Nobody else can come: who waits in the process may help itself.
    pub(in crate::backend::processes) fn is_stuck(self: &Arc<Self>) {
        if self.seat.is_waiting() || self.nested.wait() {
            self.say_apart(ToWorker::Stuck);
        }
    }

    /// Gives a task of this process, which waits for it, to it to be performed. None when it has begun, or others will come to it.
    /// Else its ticket.
    pub(in crate::backend::processes) fn entrust(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        task: &Entry,
    ) -> Option<u64> {
        if !pool.lanes().is_at_bound() {
            return None;
        }
        let ticket = FIRST + self.nested.last.fetch_add(1, Ordering::Relaxed);
        // What is with another worker already, waits behind one that works, or comes back.
        let call = task.send(&(Arc::new(Taken) as Arc<dyn Claim>), ticket, self.seat.index() as u32)?;
        let place = Nested::new(pool, &self.seat, false);
        if !place.lane.begin_call(task) {
            return None;
        }
        let limit = self.crew().and_then(|crew| crew.max_payload());
        let size = call.arg.len() as u64;
        if let Some(limit) = limit.filter(|limit| size > *limit) {
            let failed = u32::try_from(call.tasks).unwrap_or(u32::MAX);
            let reply = Reply {
                result: Err(Box::new(TaskError::TooLarge { size, limit })),
                tally: Counted { failed, ..Counted::default() },
                names: Names::new(),
            };
            let (waker, _) = place.lane.end_call(task, reply, None);
            drop(place);
            waker.into_iter().for_each(wake);
            return None;
        }
        let seat = Arc::clone(place.lane.seat());
        let inside = Arc::new(Inside {
            ticket,
            task: Arc::clone(task),
            worker: Arc::downgrade(self),
            place: Mutex::new(Some(place)),
            released: Mutex::default(),
            stop: Mutex::default(),
        });
        seat.set_keeper(Waker::from(Arc::clone(&inside)));
        let is_over = {
            let mut state = lock(&self.nested.state);
            if !state.is_over {
                state.calls.insert(ticket, Arc::clone(&inside));
            }
            state.is_over
        };
        if is_over {
            // It never came to it.
            inside.lose(None);
            return None;
        }
        // Whoever stopped it before it had a keeper was not heard.
        inside.look();
        Some(ticket)
    }

    /// Such a call is over.
    pub(super) fn has_performed(
        self: &Arc<Self>,
        ticket: u64,
        tally: Counted,
        bytes: Blob,
        has_failed: bool,
    ) {
        let Some(inside) = lock(&self.nested.state).calls.remove(&ticket) else { return };
        let names = self.take_named_within(ticket);
        let bytes = Arc::try_unwrap(bytes.0).unwrap_or_else(|shared| shared.to_vec());
        let result = if has_failed {
            let unreadable = || TaskError::Decode("the error of a task cannot be read".to_owned());
            Err(Box::new(postcard::from_bytes(&bytes).unwrap_or_else(|_| unreadable())))
        } else {
            Ok(bytes)
        };
        let was_signalled = lock(&inside.stop).as_ref().is_some_and(|stop| stop.step == Step::Terminated);
        let Some(place) = inside.over() else { return };
        let waker = match inside.task.stop_asked() {
            Some(reason) => {
                place.lane.stopped_call(&inside.task, reason);
                None
            }
            None => place.lane.end_call(&inside.task, Reply { result, tally, names }, None).0,
        };
        // The worker is back in its own place before anybody goes on.
        drop(place);
        waker.into_iter().for_each(wake);
        if was_signalled {
            // It ends sooner or later, with whatever it does then. Better now.
            self.kill();
        }
    }

    /// The process is dead, and they with it, the innermost first.
    pub(super) fn lose_nested(&self, how: &WorkerLost) {
        for inside in self.nested.close().into_values().rev() {
            inside.lose(Some(how.clone()));
        }
    }
}

impl Inside {
    /// Takes its place, and waits no more.
    fn over(&self) -> Option<Nested> {
        let released = lock(&self.released).take();
        let stop = lock(&self.stop).take();
        drop((released, stop));
        lock(&self.place).take()
    }

    fn lose(&self, how: Option<WorkerLost>) {
        if let Some(place) = self.over() {
            place.lane.lost_call(Arc::clone(&self.task), how);
        }
    }

    /// Sees whether it is to be stopped, and how far that is.
    fn look(self: &Arc<Self>) {
        let Some(worker) = self.worker.upgrade() else { return };
        if self.task.stop_asked().is_none() || lock(&self.place).is_none() {
            return;
        }
        let grace = worker.crew().map_or(Duration::ZERO, |crew| crew.grace());
        let now = Instant::now();
        let after = now.checked_add(grace).unwrap_or_else(|| now + Duration::from_secs(1 << 30));
        let step = {
            let mut stop = lock(&self.stop);
            let step = match &*stop {
                None => Some(Step::Asked),
                Some(Stop { next, .. }) if *next > now => return,
                Some(Stop { step: Step::Asked, .. }) => Some(Step::Terminated),
                Some(Stop { step: Step::Terminated, .. }) => None,
            };
            if let Some(step) = step {
                let alarm = Alarm::set(after, Waker::from(Arc::clone(self)));
                *stop = Some(Stop { next: after, step, _alarm: alarm });
            }
            step
        };
        match step {
            Some(Step::Asked) => worker.say_apart(ToWorker::Stop { ticket: self.ticket }),
            // It may be gone already.
            Some(Step::Terminated) => worker.child.signal_group(Signal::TERM),
            None => worker.kill(),
        }
    }
}

impl Wake for Inside {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
