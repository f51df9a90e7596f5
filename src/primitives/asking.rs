//! Waiting for an answer. Owns that one which nobody will see any more is given back.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use super::{Answer, Item, Key, Object, Operation, Outcome};
use crate::{sys::lock::lock, task::catch::wake};

/// A question, asked in the first poll. Dropping it takes it back, and what it was given, if anything, goes to the next.
pub(crate) struct Asking {
    object: Arc<dyn Object>,
    key: Key,
    stage: Stage,
}

enum Stage {
    Unasked(Operation<Item>),
    Asked(Arc<Slot>),
    Over,
}

#[derive(Default)]
struct Slot(Mutex<Answered>);

#[derive(Default)]
struct Answered {
    outcome: Option<Outcome<Item>>,
    waker: Option<Waker>,
}

impl Asking {
    pub(crate) fn new(object: &Arc<dyn Object>, operation: Operation<Item>) -> Self {
        Self { object: Arc::clone(object), key: Key::next(), stage: Stage::Unasked(operation) }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Has the question answered now, one way or another.
    pub(crate) fn hurry(&self) {
        if let Stage::Asked(_) = self.stage {
            self.object.tell(self.key, Operation::TimeIsUp { request: self.key.request });
        }
    }
}

impl Future for Asking {
    type Output = Outcome<Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Unasked(_) = self.stage
            && let Stage::Unasked(operation) = mem::replace(&mut self.stage, Stage::Over)
        {
            let mut slot = None;
            let mut answer = || Arc::clone(slot.get_or_insert_with(Arc::<Slot>::default)) as Arc<dyn Answer>;
            if let Some(outcome) = self.object.ask(self.key, operation, &mut answer) {
                return Poll::Ready(outcome);
            }
            self.stage = slot.map_or(Stage::Over, Stage::Asked);
        }
        let Stage::Asked(slot) = &self.stage else { return Poll::Pending };
        let waker = cx.waker().clone();
        let (outcome, old) = {
            let mut answered = lock(&slot.0);
            match answered.outcome.take() {
                None => (None, answered.waker.replace(waker)),
                outcome => (outcome, answered.waker.take()),
            }
        };
        drop(old);
        match outcome {
            Some(outcome) => {
                self.stage = Stage::Over;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Stage::Asked(_) = self.stage {
            self.object.tell(self.key, Operation::Cancel { request: self.key.request });
        }
    }
}

impl Answer for Slot {
    fn answer(self: Arc<Self>, outcome: Outcome<Item>) {
        let waker = {
            let mut answered = lock(&self.0);
            answered.outcome = Some(outcome);
            answered.waker.take()
        };
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}
