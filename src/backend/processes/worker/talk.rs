//! What is said between a pool and a worker beside calls and replies. Owns what each message sets in motion.

use std::sync::{Arc, atomic::Ordering};

use super::{State, Worker};
use crate::{
    backend::{
        Wait,
        processes::{control::Heard, inner::Farewell, session::find_all},
    },
    error::TaskError,
    function::Counted,
    policy::CancellationPolicy,
    wire::control::{ToPool, ToWorker},
};

impl Worker {
    /// Sends a message, on a thread that may wait for the process to read it if need be. A process that cannot be told is ended:
    /// somebody there waits for it.
    pub(in crate::backend::processes) fn say_apart(self: &Arc<Self>, message: ToWorker) {
        if !self.control.nudge(&message) {
            let me = Arc::clone(self);
            self.apart(move || me.control.say(&message));
        }
    }

    /// Says something on a thread that may wait for it.
    pub(super) fn apart(self: &Arc<Self>, say: impl FnOnce() + Send + 'static) {
        let mut unsaid = Unsaid(Some(Arc::clone(self)));
        if let Some(crew) = self.crew() {
            crew.context().spawn_thread(move || {
                drop(unsaid.0.take());
                say();
            });
        }
    }

    /// Hears what was read, unless somebody is at it.
    pub(super) fn hear_all(self: &Arc<Self>) -> bool {
        let has_heard_all = self.control.hear(|heard| self.hear(heard));
        if self.awaits_words.swap(false, Ordering::SeqCst) {
            self.look_after();
        }
        has_heard_all
    }

    /// Hears what the worker has said until now. False when somebody else is at it; then the worker is looked after when he is done.
    pub(super) fn has_heard_all(self: &Arc<Self>) -> bool {
        // 1. This is set; 2. it is seen that somebody hears. He: 1. ends; 2. looks at this. One of the two sees the other.
        self.awaits_words.store(true, Ordering::SeqCst);
        self.control.read();
        let has_heard_all = self.control.hear(|heard| self.hear(heard));
        if has_heard_all {
            self.awaits_words.store(false, Ordering::SeqCst);
        }
        has_heard_all
    }

    fn hear(self: &Arc<Self>, (message, file): Heard) {
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
                    let names = find_all(&submission.names);
                    self.has_submitted();
                    self.inner.submit(self, &pool, submission, names);
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
                    if !self.nested.await_end(ticket) {
                        self.ending.store(ticket, Ordering::SeqCst);
                        self.look_after();
                    }
                    pool.shut_down(CancellationPolicy::from_bits_truncate(policy));
                    Farewell::say(self, &pool);
                }
            }
            ToPool::Leave { ticket, held } => {
                let how = if held { Wait::Held } else { Wait::Freely };
                if !self.nested.leave(ticket, how) {
                    self.left_held.store(held, Ordering::SeqCst);
                    self.left.store(ticket, Ordering::SeqCst);
                    self.look_after();
                }
            }
            ToPool::Rejoin { ticket } => {
                if !self.nested.rejoin(ticket)
                    && self.left.compare_exchange(ticket, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
                {
                    self.look_after();
                }
            }
            ToPool::Progress { ticket, done, total } => {
                let find = |state: &mut State| {
                    state.sent.iter().find(|call| call.ticket == ticket).map(|call| call.task.id())
                };
                if let Some(task) = self.nested.task(ticket) {
                    crew.progressed(task, done, total);
                } else if let Some(task) = self.in_passing(find).flatten().or_else(|| self.seat.current_id())
                {
                    crew.progressed(task, done, total);
                }
            }
            ToPool::Logged => self.look_after(),
            ToPool::Place { ticket, thing } => self.was_sent(ticket, *thing, file),
            ToPool::Named { ticket, names } => self.has_named(ticket, &names),
            ToPool::Ask { id } => self.was_asked(id.into()),
            ToPool::Sync { request, object, operation, item } => {
                self.session.ask(self, request, object, &operation, item);
            }
            ToPool::Make { object, kind } => self.session.make(object, &kind),
            ToPool::Keep { objects } => self.session.keep(&objects),
            ToPool::Unkeep { object } => self.session.unkeep(object),
            ToPool::Claim { id } => self.inner.claim(self, id),
            ToPool::Performed { ticket, counts: (completed, failed, cancelled), has_failed, bytes } => {
                let counted = Counted { completed, failed, cancelled };
                self.has_performed(ticket, counted, bytes, has_failed);
            }
        }
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
