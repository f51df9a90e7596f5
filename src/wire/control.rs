//! Messages beside the rings: the beginning and the end, and what is too rare for them. Owns their format: a length of eight
//! bytes, little endian, and the message in postcard. Reading and writing is the caller's.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::server::Orders;
use crate::{error::TaskError, sys::image::Identity};

/// Changes whenever anything in `wire` does.
pub(crate) const VERSION: u32 = 1;

/// The environment variable by which a process knows that it is to be a worker, and where it becomes one.
pub(crate) const MARK: &str = "POLYPOOL_WORKER";

/// What a pool says to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first message. Beside it travel descriptors: the shared memory, the arena for calls, the arena for replies, the bell;
    /// or, by socket, that for calls, the diary, and where last words go. Then the pool's own process.
    Welcome(Box<Welcome>),
    /// The call is asked to stop. In shared memory that stands in the `stop` word already.
    Stop { ticket: u64 },
    /// How many workers the pool may have now. In shared memory that stands, too; elsewhere each call says it.
    Size { max_workers: u64 },
    /// Beside it travel the files to which the standard output, the standard error and the records of a call go.
    Capture { ticket: u64 },
    /// The pool has ended, as a task asked, with these counts of tasks that completed, failed and were cancelled.
    Gone { completed: u64, failed: u64, cancelled: u64 },
    /// What became of a task that was submitted from within a task.
    Ended { id: u64, result: Result<Vec<u8>, TaskError>, names: Vec<Name> },
    /// Data that what comes after it names. Beside it travels its file.
    Place(Box<Thing>),
    /// Nobody names it any more, and it is kept for nobody.
    Forget { id: Name },
    /// It was asked for, or should have come, and does not. Without a reason, because it is nowhere any more.
    Missing { id: Name, why: Option<String> },
    /// What was asked of a primitive is answered; an item of a queue is beside it.
    Synced { request: u64, outcome: Vec<u8>, item: Option<Load> },
    /// Instead of a welcome: the process is to be no worker but to fork them.
    BeServer(Box<Orders>),
    /// All workers wait for tasks of the pool, and nobody else can come. Who waits for one that has not begun may perform it itself.
    Stuck,
    /// That task of a task is for this process to perform, as the call of this ticket; or not, if that is 0.
    Claimed { id: u64, ticket: u64 },
}

/// What a worker says to its pool. What is about the call that it performs says which, for the reply to the one before goes another
/// way and may be read later.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToPool {
    /// It is the same program, and its initializer has run.
    Ready,
    /// It cannot work, for this reason.
    Refused(String),
    InitializerFailed(String),
    Progress {
        ticket: u64,
        done: u64,
        total: u64,
    },
    /// A task submits a task to its own pool.
    Submit(Box<Submission>),
    /// It gives such a task up.
    Cancel {
        id: u64,
    },
    /// A task asks for another size of its own pool.
    Resize {
        max_workers: u64,
    },
    /// A task shuts its own pool down, by the policy of these bits.
    ShutDown {
        ticket: u64,
        policy: u8,
    },
    /// The task here waits, and its place may be given to another: within the bound if it is `held`, as it would be by a worker that
    /// could do something else instead.
    Leave {
        ticket: u64,
        held: bool,
    },
    Rejoin {
        ticket: u64,
    },
    /// There are new records in the file for them.
    Logged,
    /// Data that the call names, in its result or in what it submits. Beside it travels its file.
    Place {
        ticket: u64,
        thing: Box<Thing>,
    },
    /// The result of the call, or what is kept of it so far, names these.
    Named {
        ticket: u64,
        names: Vec<Name>,
    },
    /// Something is named here that has not come.
    Ask {
        id: Name,
    },
    /// Something is asked of a primitive, or told it, if the request is 0; an item for a queue is beside it.
    Sync {
        request: u64,
        object: Name,
        operation: Vec<u8>,
        item: Option<Load>,
    },
    /// A task makes a primitive for its own pool, of the kind that is encoded here.
    Make {
        object: Name,
        kind: Vec<u8>,
    },
    /// This process has primitives from now on, whatever the pool does with them.
    Keep {
        objects: Vec<Name>,
    },
    /// One of those is gone.
    Unkeep {
        object: Name,
    },
    /// The task here waits for a task of its own, and would perform it.
    Claim {
        id: u64,
    },
    /// What became of such a task. Of an error the bytes are its encoding; what a value names was said before.
    Performed {
        ticket: u64,
        counts: (u32, u32, u32),
        has_failed: bool,
        bytes: Blob,
    },
}

impl ToWorker {
    /// How many files travel beside it, but for the first message.
    #[cfg(feature = "engine")]
    pub(crate) fn files(&self) -> usize {
        match self {
            Self::Place(_) => 1,
            Self::Capture { .. } => 3,
            _ => 0,
        }
    }
}

impl ToPool {
    /// Does a file travel beside it?
    pub(crate) fn brings_file(&self) -> bool {
        matches!(self, Self::Place { .. })
    }
}

/// By what data is named that travels but once: who made it, and its number there.
pub(crate) type Name = (u64, u64);

/// Such data: what there is to know of a file that no process can change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Thing {
    pub(crate) id: Name,
    /// Elements as they are in memory, not a value that is encoded.
    pub(crate) is_slice: bool,
    /// The name of the type.
    pub(crate) what: String,
    pub(crate) len: u64,
    /// What it names in its turn; all that came before.
    pub(crate) names: Vec<Name>,
}

/// Encoded data, and what it names.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) bytes: Blob,
    pub(crate) names: Vec<Name>,
}

/// Bytes that are not walked through.
#[derive(Debug)]
pub(crate) struct Blob(pub(crate) std::sync::Arc<Vec<u8>>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Copied;

        impl serde::de::Visitor<'_> for Copied {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(std::sync::Arc::new(bytes.to_vec())))
            }
        }

        deserializer.deserialize_bytes(Copied)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) version: u32,
    /// Which program the pool is.
    pub(crate) program: Identity,
    pub(crate) place: Place,
    /// The name of the runtime that the pool uses.
    pub(crate) runtime: String,
    /// The function that runs first, and its argument.
    pub(crate) initializer: Option<(u64, Vec<u8>)>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) max_payload: Option<u64>,
    pub(crate) spin: bool,
    /// Calls come by a socket, and not through shared memory.
    pub(crate) by_socket: bool,
    /// The worker may be on another machine, and run a copy of the program's file.
    pub(crate) is_copy: bool,
}

/// Which worker it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) worker: u64,
    pub(crate) depth: u64,
    pub(crate) max_workers: u64,
    pub(crate) name: String,
    /// The name of the backend that it works for.
    pub(crate) backend: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Submission {
    pub(crate) id: u64,
    pub(crate) entry: u64,
    pub(crate) arg: Vec<u8>,
    pub(crate) tasks: u64,
    pub(crate) priority: i32,
    pub(crate) name: Option<String>,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) is_counted: bool,
    /// What the argument names; all that came before.
    pub(crate) names: Vec<Name>,
}

/// A record that a task logged; in its file as it would be in a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// 1 for an error to 5 for a trace.
    pub(crate) level: u8,
    pub(crate) target: String,
    pub(crate) message: String,
    /// It came through `tracing` and not through `log`.
    pub(crate) is_tracing: bool,
}

const LENGTH: usize = 8;

/// Encodes a message with its length before it.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, TaskError> {
    let mut bytes = vec![0; LENGTH];
    bytes = postcard::to_extend(message, bytes).map_err(|error| TaskError::Encode(error.to_string()))?;
    let len = (bytes.len() - LENGTH) as u64;
    bytes[..LENGTH].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

/// Puts together what arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    read: usize,
}

impl Inbox {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.read > 0 && self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next message, if all of it is there.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, TaskError> {
        self.next_as(|_, message| message)
    }

    /// The same, and what `f` makes of it and of its bytes, its length before them.
    pub(crate) fn next_as<T: DeserializeOwned, U>(
        &mut self,
        f: impl FnOnce(&[u8], T) -> U,
    ) -> Result<Option<U>, TaskError> {
        let rest = &self.bytes[self.read..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        // A length that is not meant never arrives, and costs nothing: room is made for what has come.
        let Some(body) = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|len| rest.get(..len))
        else {
            return Ok(None);
        };
        let message = postcard::from_bytes(body).map_err(|error| TaskError::Decode(error.to_string()))?;
        let end = self.read + LENGTH + body.len();
        let made = f(&self.bytes[self.read..end], message);
        self.read = end;
        if self.read > (1 << 16) && self.read * 2 > self.bytes.len() {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        Ok(Some(made))
    }
}
