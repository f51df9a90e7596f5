//! A call on its way to a copy of this program, and the reply. Owns their shape; how a function becomes a call is `ship`'s,
//! how they travel is the wire's.

use std::{ops::Deref, sync::Arc};

use serde::{Deserialize, Serialize};

use super::named::Names;
use crate::error::TaskError;

/// A function and its argument, ready to travel.
#[derive(Debug)]
pub(crate) struct Call {
    /// Which function, as a copy of this program can find it.
    pub(crate) entry: u64,
    /// Its argument, encoded.
    pub(crate) arg: Bytes,
    /// For how many of the user's tasks it stands.
    pub(crate) tasks: u64,
    /// How often a worker was lost already at it; of a chunk, at its first input.
    pub(crate) lost: u32,
    /// What the argument names.
    pub(crate) names: Names,
}

impl Call {
    pub(crate) fn new(entry: u64, arg: impl Into<Bytes>, tasks: u64) -> Self {
        Self { entry, arg: arg.into(), tasks, lost: 0, names: Names::new() }
    }

    pub(crate) fn naming(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The same call once more. Its argument is kept once if it is [shared](Bytes::into_shared).
    pub(crate) fn again(&self) -> Self {
        Self { arg: self.arg.behind(0), names: self.names.clone(), ..*self }
    }
}

/// Encoded data, read as a slice. What several calls have in common is kept once.
#[derive(Debug)]
pub(crate) enum Bytes {
    Own(Vec<u8>),
    /// What is in `all` behind `from`.
    Shared {
        all: Arc<Vec<u8>>,
        from: usize,
    },
}

impl Bytes {
    pub(crate) fn shared(all: Vec<u8>) -> Self {
        Self::Shared { all: Arc::new(all), from: 0 }
    }

    pub(crate) fn into_shared(self) -> Self {
        match self {
            Self::Own(bytes) => Self::shared(bytes),
            shared => shared,
        }
    }

    /// The buffer itself, of a call that nobody else has and nobody needs.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub(crate) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Self::Own(bytes) => Some(bytes),
            Self::Shared { .. } => None,
        }
    }

    /// All of it, to be shared.
    pub(crate) fn into_whole(self) -> Arc<Vec<u8>> {
        match self {
            Self::Own(bytes) => Arc::new(bytes),
            Self::Shared { all, from: 0 } => all,
            behind @ Self::Shared { .. } => Arc::new(behind.to_vec()),
        }
    }

    /// What is behind the first `n` bytes. Does not copy what is shared.
    pub(crate) fn behind(&self, n: usize) -> Self {
        match self {
            Self::Own(bytes) => Self::Own(bytes.get(n..).unwrap_or_default().to_vec()),
            Self::Shared { all, from } => Self::Shared { all: Arc::clone(all), from: from.saturating_add(n) },
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared { all, from } => all.get(*from..).unwrap_or_default(),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(bytes)
    }
}

/// Where a call comes from, for a worker's `tracing`; told where anybody listens to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) task: u64,
    pub(crate) attempt: u32,
    pub(crate) name: Option<String>,
    /// The name and the id of the span in which the task was submitted.
    pub(crate) caller: Option<(String, u64)>,
}

/// What comes back of a call that was performed.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The value, encoded, or why there is none.
    pub(crate) result: Result<Vec<u8>, Box<TaskError>>,
    pub(crate) tally: Counted,
    /// What the value names.
    pub(crate) names: Names,
}

/// What became of the user's tasks in a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) cancelled: u32,
}

/// What a function that is being performed may ask of the worker around it.
pub(crate) trait Around {
    /// The call was asked to stop.
    fn is_stopped(&self) -> bool;

    /// Nobody wants those inputs of the call that have not begun.
    fn is_trimmed(&self) -> bool;

    /// Another input of a chunk is done, and this is the reply so far. Who puts it where it outlives the worker can make a reply
    /// of it when the worker is lost, by [`lost_in_chunk`](super::lost_in_chunk). False when there is no place for more: then
    /// the chunk ends here, and its rest goes to others.
    fn keep(&self, reply: &[u8]) -> bool {
        let _ = reply;
        true
    }

    /// The result, or what there is of it so far, names these.
    fn named(&self, names: Names) {
        drop(names);
    }

    /// Waits for a future on this thread, in the worker's runtime. False when the call was asked to stop first; then the
    /// future has not ended, and is dropped by the caller.
    fn block_on(&self, future: std::pin::Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool;
}
