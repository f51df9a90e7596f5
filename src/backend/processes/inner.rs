//! What a task in a worker process does beside its work: it submits tasks to its own pool, waits for them, or gives them up.
//! Owns those tasks, on behalf of the process that cannot.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Wake, Waker},
};

use super::worker::Worker;
use crate::{
    backend::{Released, Stats, anchor::Anchor, pool::Pool, seat::Seat},
    error::TaskError,
    function::Call,
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
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        let released = Pool::release_seat(Arc::clone(seat));
        let old = std::mem::replace(&mut *lock(&self.released), released);
        drop(old);
    }

    pub(super) fn rejoin(&self) {
        let released = lock(&self.released).take();
        drop(released);
    }

    pub(super) fn submit(&self, worker: &Arc<Worker>, pool: &Arc<Pool>, submission: Submission) {
        let id = submission.id;
        let relay = Arc::new(Relay {
            id,
            worker: Arc::downgrade(worker),
            handle: Mutex::new(Some(launch(pool, submission))),
        });
        lock(&self.tasks).insert(id, Arc::clone(&relay));
        relay.look();
    }

    pub(super) fn cancel(&self, id: u64) {
        let relay = lock(&self.tasks).get(&id).cloned();
        let handle = relay.and_then(|relay| lock(&relay.handle).as_ref().map(TaskHandle::abort_handle));
        // Not under a lock: the end of the task wakes who waits, and that is the relay.
        if let Some(handle) = handle {
            handle.abort();
        }
    }

    pub(super) fn forget(&self, id: u64) {
        let relay = lock(&self.tasks).remove(&id);
        drop(relay);
    }
}

fn launch(pool: &Arc<Pool>, submission: Submission) -> TaskHandle<Vec<u8>> {
    let Submission { entry, arg, tasks, priority, name, timeout, retries, is_counted, .. } = submission;
    let options = (priority != 0 || name.is_some() || timeout.is_some() || retries.is_some()).then(|| {
        let mut options = TaskOptions::new().priority(priority);
        options = match timeout {
            Some(timeout) => options.timeout(timeout),
            None => options,
        };
        options = match retries {
            Some(retries) => options.retries(retries),
            None => options,
        };
        Arc::new(match name {
            Some(name) => options.name(name),
            None => options,
        })
    });
    let call = Call { entry, arg: arg.into(), tasks };
    let task = Arc::new(RemoteCell::new(call, Ok, options, true, is_counted));
    let pushed = pool.admit().and_then(|()| pool.push(Arc::<RemoteCell<Vec<u8>>>::clone(&task), priority));
    if let Err(reason) = pushed {
        task.resolve(reason, false, &());
    }
    TaskHandle::new(task, Arc::new(Anchor { pool: Arc::clone(pool) }))
}

/// A task of a task: it sends the result back when there is one.
struct Relay {
    id: u64,
    worker: Weak<Worker>,
    handle: Mutex<Option<TaskHandle<Vec<u8>>>>,
}

impl Relay {
    fn look(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let result: Result<Vec<u8>, TaskError> = {
            let mut slot = lock(&self.handle);
            let Some(handle) = slot.as_mut() else { return };
            match Pin::new(handle).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => return,
                Poll::Ready(result) => {
                    *slot = None;
                    result
                }
            }
        };
        if let Some(worker) = self.worker.upgrade() {
            worker.inner().forget(self.id);
            // It may be large, and the process in no hurry to read it.
            worker.say_apart(ToWorker::Ended { id: self.id, result });
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
