//! What a task in a worker process does beside its work: it submits tasks to its own pool, waits for them, or gives them up.
//! Owns those tasks, on behalf of the process that cannot.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::worker::Worker;
use crate::{
    backend::{
        Released, Stats, Wait, Waiting, anchor::Anchor, pool::Pool, room::Entering, seat::Seat,
        spans::on_behalf_of,
    },
    error::TaskError,
    function::{Call, Names},
    sys::lock::lock,
    task::{AnyTask, RemoteCell, TaskHandle, TaskOptions},
    wire::control::{Submission, ToWorker},
};

#[derive(Default)]
pub(super) struct Inner {
    tasks: Mutex<HashMap<u64, Arc<Relay>>>,
    released: Mutex<Option<Released>>,
}

impl Inner {
    /// A task waits for others: another worker may take its place.
    pub(super) fn leave(&self, seat: &Arc<Seat>, how: Wait) {
        let released = Pool::release_seat(Arc::clone(seat), how);
        let old = std::mem::replace(&mut *lock(&self.released), released);
        drop(old);
    }

    pub(super) fn rejoin(&self) {
        let released = lock(&self.released).take();
        drop(released);
    }

    pub(super) fn submit(
        &self,
        worker: &Arc<Worker>,
        pool: &Arc<Pool>,
        submission: Box<Submission>,
        names: Names,
    ) {
        let relay = Arc::new(Relay {
            id: submission.id,
            worker: Arc::downgrade(worker),
            pool: Arc::downgrade(pool),
            caller: worker.front_id().map_or_else(tracing::Span::none, |task| pool.span_of(task)),
            stage: Mutex::new(Some(Stage::Entering(pool.enter(), submission, names))),
            again: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
        });
        lock(&self.tasks).insert(relay.id, Arc::clone(&relay));
        relay.look();
    }

    /// The process would perform that task itself.
    pub(super) fn claim(&self, worker: &Arc<Worker>, id: u64) {
        let relay = {
            let tasks = lock(&self.tasks);
            // Under this lock: who forgets the task looks at it afterwards.
            tasks.get(&id).inspect(|relay| relay.claimed.store(true, Ordering::SeqCst)).cloned()
        };
        match relay {
            Some(relay) => relay.look(),
            None => worker.say_apart(ToWorker::Claimed { id, ticket: 0 }),
        }
    }

    pub(super) fn cancel(&self, id: u64) {
        let relay = lock(&self.tasks).get(&id).cloned();
        if let Some(relay) = relay {
            relay.cancelled.store(true, Ordering::SeqCst);
            relay.look();
        }
    }

    pub(super) fn forget(&self, id: u64) {
        let relay = lock(&self.tasks).remove(&id);
        drop(relay);
    }
}

/// A task of a task, for which there is a place in the queue.
fn launch(
    pool: &Arc<Pool>,
    submission: Submission,
    names: Names,
    takes_room: bool,
) -> TaskHandle<(Vec<u8>, Names)> {
    let Submission { entry, arg, tasks, priority, name, timeout, retries, is_counted, .. } = submission;
    let has_options = priority != 0 || name.is_some() || timeout.is_some() || retries.is_some();
    let options = has_options.then(|| {
        let mut options = TaskOptions::new().priority(priority);
        if let Some(timeout) = timeout {
            options = options.timeout(timeout);
        }
        if let Some(retries) = retries {
            options = options.retries(retries);
        }
        Arc::new(match name {
            Some(name) => options.name(name),
            None => options,
        })
    });
    let call = Call::new(entry, arg, tasks).naming(names);
    let open = |bytes, names| Ok((bytes, names));
    let task = Arc::new(RemoteCell::new(call, open, options, takes_room, is_counted));
    if let Err(reason) = pool.push(Arc::<RemoteCell<(Vec<u8>, Names)>>::clone(&task), priority) {
        task.resolve(reason, false, &());
    }
    TaskHandle::new(task, Arc::new(Anchor { pool: Arc::clone(pool) }))
}

/// A task of a task on its way: it waits for a place in the queue, as the one who submitted it would, then for its result, which
/// it sends back.
///
/// As everywhere, nobody waits for another who is at it: he leaves word.
struct Relay {
    id: u64,
    worker: Weak<Worker>,
    pool: Weak<Pool>,
    /// The span of the task that submits it. Whose thread this is has nothing to do with it.
    caller: tracing::Span,
    /// None while somebody is at it, and when it is over.
    stage: Mutex<Option<Stage>>,
    again: AtomicBool,
    cancelled: AtomicBool,
    /// The process waits for it, and for an answer to whether it may perform it.
    claimed: AtomicBool,
}

enum Stage {
    Entering(Entering, Box<Submission>, Names),
    Submitted(TaskHandle<(Vec<u8>, Names)>, Option<Waiting>),
}

impl Relay {
    fn look(self: &Arc<Self>) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            // Taken out: whoever is woken by what happens here may come back here.
            let Some(stage) = lock(&self.stage).take() else { return };
            self.again.store(false, Ordering::SeqCst);
            match self.advance(stage) {
                Ok(result) => {
                    self.send_back(result);
                    return;
                }
                Err(stage) => *lock(&self.stage) = Some(stage),
            }
        }
    }

    fn advance(self: &Arc<Self>, stage: Stage) -> Result<Result<(Vec<u8>, Names), TaskError>, Stage> {
        let waker = Waker::from(Arc::clone(self));
        let mut cx = Context::from_waker(&waker);
        let is_cancelled = self.cancelled.load(Ordering::SeqCst);
        let (mut handle, waiting) = match stage {
            Stage::Entering(..) if is_cancelled => return Ok(Err(TaskError::Cancelled)),
            Stage::Entering(mut entering, submission, names) => {
                let Some(pool) = self.pool.upgrade() else { return Ok(Err(TaskError::Shutdown)) };
                let is_in = Pin::new(&mut entering).poll(&mut cx).is_ready();
                // Who would perform it at once has no need of a place in the queue, where nothing may go on before.
                let is_urgent = self.claimed.load(Ordering::SeqCst) && pool.lanes().is_at_bound();
                if !is_in && !is_urgent {
                    self.answer_claim(None);
                    return Err(Stage::Entering(entering, submission, names));
                }
                let handle = on_behalf_of(self.caller.clone(), || launch(&pool, *submission, names, is_in));
                let worker = self.worker.upgrade();
                let waiting = worker.map(|worker| Waiting::new(&pool, worker.seat(), &handle.any()));
                (handle, waiting)
            }
            Stage::Submitted(handle, waiting) => (handle, waiting),
        };
        if is_cancelled {
            handle.abort();
        }
        self.answer_claim(Some(&handle));
        // Not as one who waits: there is nobody whose place could be given away, and nobody to spin.
        match handle.poll_alone(&mut cx) {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => Err(Stage::Submitted(handle, waiting)),
        }
    }

    /// Says whether the process may perform it, if it asked.
    fn answer_claim(&self, handle: Option<&TaskHandle<(Vec<u8>, Names)>>) {
        if !self.claimed.swap(false, Ordering::SeqCst) {
            return;
        }
        let Some(worker) = self.worker.upgrade() else { return };
        let granted =
            handle.zip(self.pool.upgrade()).and_then(|(handle, pool)| worker.entrust(&pool, &handle.any()));
        worker.say_apart(ToWorker::Claimed { id: self.id, ticket: granted.unwrap_or(0) });
    }

    fn send_back(&self, result: Result<(Vec<u8>, Names), TaskError>) {
        if let Some(worker) = self.worker.upgrade() {
            worker.inner().forget(self.id);
            // Whoever claims it from now on finds nothing, and is told so.
            self.answer_claim(None);
            let (result, names) = match result {
                Ok((result, names)) => (Ok(result), names),
                Err(error) => (Err(error), Names::new()),
            };
            worker.say_ended(self.id, result, names);
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

/// Tells a process when the pool has ended that a task there shut down.
pub(super) struct Farewell {
    worker: Weak<Worker>,
    pool: Weak<Pool>,
}

impl Farewell {
    pub(super) fn say(worker: &Arc<Worker>, pool: &Arc<Pool>) {
        let farewell = Self { worker: Arc::downgrade(worker), pool: Arc::downgrade(pool) };
        Arc::new(farewell).look();
    }

    fn look(self: &Arc<Self>) {
        let (Some(worker), Some(pool)) = (self.worker.upgrade(), self.pool.upgrade()) else { return };
        let waker = Waker::from(Arc::clone(self));
        if pool.poll_gone(&mut Context::from_waker(&waker)).is_ready() {
            let Stats { completed, failed, cancelled, .. } = pool.stats();
            worker.say_apart(ToWorker::Gone { completed, failed, cancelled });
        }
    }
}

impl Wake for Farewell {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
