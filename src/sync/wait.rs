//! How primitives are waited for: in a poll, on a thread, and not for ever. Owns that the end of a time limit is decided where the
//! object is, and that a blocking wait ends when its task is asked to stop.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    inside::cancelled,
    primitives::{Asking, Item, Key, Object, Operation, Outcome},
    runtime::{Sleep, block_on},
};

/// A question, with its limit of time.
pub(super) struct Asked {
    asking: Asking,
    limit: Option<Sleep>,
}

impl Asked {
    pub(super) fn new(object: &Arc<dyn Object>, operation: Operation<Item>) -> Self {
        Self { asking: Asking::new(object, operation), limit: None }
    }

    pub(super) fn key(&self) -> Key {
        self.asking.key()
    }

    /// After so long it is answered as if it did not want to wait.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = Sleep::new(limit);
        self
    }
}

impl Future for Asked {
    type Output = Outcome<Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.asking).poll(cx) {
            return Poll::Ready(outcome);
        }
        if let Some(limit) = &mut self.limit
            && Pin::new(limit).poll(cx).is_ready()
        {
            self.limit = None;
            self.asking.hurry();
            return Pin::new(&mut self.asking).poll(cx);
        }
        Poll::Pending
    }
}

/// Waits on this thread. None when the task that runs here is asked to stop.
pub(super) fn blocking<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut stop = None;
    block_on(poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if std::thread::panicking() {
            // What is being undone may need just this.
            return Poll::Pending;
        }
        stop.get_or_insert_with(|| Box::pin(cancelled())).as_mut().poll(cx).map(|()| None)
    }))
}

/// The same where there is no way to say so: the task, which nobody waits for any more, ends here.
pub(super) fn blocking_or_unwind<F: Future>(future: F) -> F::Output {
    blocking(future).unwrap_or_else(|| {
        // Not `panic!`: nothing is wrong, and nobody need read of it.
        std::panic::resume_unwind(Box::new("the task was asked to stop while it waited".to_owned()))
    })
}
