//! The way of a chunk to a worker and back, which begins with a wait if the rest of another chunk finds no place in the queue.
//! Owns that such a rest is neither lost nor goes past the bound.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{away::Kept, chunk::Done};
use crate::{backend::room::Entering, error::TaskError, executor::Executor, task::TaskHandle};

pub(super) struct Way<R> {
    stage: Stage<R>,
    /// The chunk's inputs, if its worker may leave some of them.
    kept: Option<Kept<R>>,
}

enum Stage<R> {
    Waits {
        entering: Entering,
        pool: Executor,
    },
    Sent(TaskHandle<Done<R>>),
    /// It was aborted before there was a place for it.
    Aborted,
}

impl<R> Way<R> {
    pub(super) fn sent(handle: TaskHandle<Done<R>>, kept: Option<Kept<R>>) -> Self {
        Self { stage: Stage::Sent(handle), kept }
    }

    pub(super) fn abort(&mut self) {
        match &self.stage {
            Stage::Sent(handle) => handle.abort(),
            Stage::Waits { .. } => self.stage = Stage::Aborted,
            Stage::Aborted => {}
        }
    }

    pub(super) fn into_kept(self) -> Option<Kept<R>> {
        self.kept
    }

    /// Sends what is left of a chunk, at once if the queue has a place.
    pub(super) fn again(pool: &Executor, kept: Kept<R>) -> Self {
        let stage = match pool.pool().admit() {
            Err(TaskError::QueueFull) => Stage::Waits { entering: pool.room(), pool: pool.clone() },
            // Whatever else is wrong, its handle says.
            Ok(()) | Err(_) => Stage::Sent(kept.send(pool)),
        };
        Self { stage, kept: Some(kept) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Done<R>, TaskError>> {
        loop {
            match &mut self.stage {
                Stage::Sent(handle) => return handle.poll_report(cx).map(|report| report.result),
                Stage::Aborted => return Poll::Ready(Err(TaskError::Cancelled)),
                Stage::Waits { entering, pool } => {
                    ready!(Pin::new(entering).poll(cx));
                    self.stage = match &self.kept {
                        Some(kept) => Stage::Sent(kept.send(pool)),
                        None => Stage::Aborted,
                    };
                }
            }
        }
    }
}
