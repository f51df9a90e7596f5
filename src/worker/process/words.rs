//! What the pool says to a worker at any time, in a word each: which call is to stop, how large the pool is. Owns where these are: in memory that the pool writes to, or in the worker's own, for messages to be put there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{sys::shm::Mapping, wire::layout};

pub(super) enum Words {
    Shared(Arc<Mapping>),
    Own(Own),
}

#[derive(Default)]
pub(super) struct Own {
    stop: AtomicU64,
    size: AtomicU64,
}

impl Words {
    pub(super) fn own(size: u64) -> Self {
        Self::Own(Own { size: AtomicU64::new(size), ..Own::default() })
    }

    pub(super) fn are_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// The ticket of the call that is asked to stop.
    pub(super) fn stop(&self) -> u64 {
        match self {
            Self::Shared(memory) => layout::stop(memory).load(Ordering::SeqCst),
            Self::Own(own) => own.stop.load(Ordering::SeqCst),
        }
    }

    /// How many workers the pool may have.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Shared(memory) => layout::size(memory).load(Ordering::Relaxed),
            Self::Own(own) => own.size.load(Ordering::Relaxed),
        }
    }

    /// There is a new record. Is the pool to be told? Where it cannot say that it has looked, it is told of each.
    pub(super) fn logged(&self) -> bool {
        match self {
            Self::Shared(memory) => layout::logged(memory).swap(1, Ordering::SeqCst) == 0,
            Self::Own(_) => true,
        }
    }

    // The pool said so in a message. Shared words it has written itself.

    pub(super) fn heard_stop(&self, ticket: u64) {
        if let Self::Own(own) = self {
            own.stop.store(ticket, Ordering::SeqCst);
        }
    }

    pub(super) fn heard_size(&self, size: u64) {
        if let Self::Own(own) = self {
            own.size.store(size, Ordering::Relaxed);
        }
    }
}
