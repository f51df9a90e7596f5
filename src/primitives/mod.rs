//! What locks, queues and their kin are, without who uses them: the state of each in the process that owns it, what may be asked of
//! it, and by whom. Owns the vocabulary and the list of all that there are in this process; knows no pool, no worker and no wire.
//!
//! An *object* is one lock or queue. Its state is in the process that made it, or for which it was made; other processes have a
//! stand-in that passes on what is asked. Who asks is a [`Key`]: a client, which may die with all that it has, and the number of its
//! request, which from then on is the name of what the client waits for, or holds. What has been answered and what the client
//! has seen need not be the same: a client that will never see an answer says so ([`Operation::Cancel`]), and what it was given
//! goes to the next.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::function::named::{Id, Named, Names};

mod asking;
mod local;
mod registry;
mod state;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod travelling;

pub(crate) use asking::Asking;
pub(crate) use local::Local;
pub(crate) use registry::{enter, find, leave};

/// Who asks, and by which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) client: u64,
    pub(crate) request: u64,
}

/// This process, as a client of what is in it.
pub(crate) const HERE: u64 = 0;

impl Key {
    /// The next request of this process.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { client: HERE, request: LAST.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    fn of_same(self, request: u64) -> Self {
        Self { request, ..self }
    }
}

/// A number for another process that asks.
pub(crate) fn new_client() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(HERE);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The task or thread for which something is asked, as a number for each that no other process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who(pub(crate) u64, pub(crate) u64, pub(crate) u64);

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Lock,
    RLock,
    Semaphore {
        free: u64,
    },
    BoundedSemaphore {
        free: u64,
    },
    Condition,
    Event,
    Barrier {
        parties: u64,
    },
    /// A capacity of 0 is none.
    Queue {
        capacity: u64,
    },
    SimpleQueue,
}

/// What may be asked. `I` is what is in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Operation<I> {
    /// Locks, semaphores, the lock of a condition.
    Acquire {
        who: Who,
        wait: bool,
    },
    /// What this request of the same client holds is free again.
    Release {
        hold: u64,
    },
    /// The same for what was last acquired for `who`; a semaphore has one permit more if that is nothing.
    ReleaseFor {
        who: Who,
    },
    /// What this request holds is nobody's from now on, and stays taken.
    Forget {
        hold: u64,
    },
    /// A condition: gives up the lock that is held, and waits to be notified, then for the lock.
    Sleep {
        hold: u64,
        who: Who,
    },
    Notify {
        all: bool,
    },
    /// An event.
    Set,
    Clear,
    IsSet,
    WaitUntilSet,
    /// A barrier.
    Arrive,
    /// A queue.
    Put {
        item: I,
        wait: bool,
    },
    Get {
        wait: bool,
    },
    Len,
    /// The item that was given to this request has arrived, and is not given to another any more.
    Receipt {
        request: u64,
    },
    /// The time is up: the request is answered now. One that gave up a lock to sleep waits on, for the lock only.
    TimeIsUp {
        request: u64,
    },
    /// Nobody waits for the answer to this request, and nobody has seen it if there was one.
    Cancel {
        request: u64,
    },
    /// Who made this request has died, in a process that asks for others.
    Lost {
        request: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome<I> {
    /// It is held. `died`: who had it before did not give it back. `late`: who slept was not notified.
    Granted {
        died: bool,
        late: bool,
    },
    Done,
    /// It would have to wait, and does not want to.
    Busy,
    Is(bool),
    Count(u64),
    /// All have arrived.
    Passed {
        last: bool,
    },
    Item(I),
    Fault(Fault),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// Who releases does not hold it.
    NotHeld,
    /// There would be more permits than in the beginning.
    TooMany { limit: u64 },
    /// There is no such object, or it is another kind of thing.
    Gone,
}

/// What is in a queue: an encoded value, and what it names.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) names: Arc<Names>,
}

/// An object as it is asked, here or by way of another process.
pub(crate) trait Object: Named {
    fn kind(&self) -> Kind;

    /// Asks. What is not answered at once is answered by what `answer` makes.
    fn ask(
        &self,
        key: Key,
        operation: Operation<Item>,
        answer: &mut dyn FnMut() -> Arc<dyn Answer>,
    ) -> Option<Outcome<Item>>;

    /// Asks for what has no answer.
    fn tell(&self, key: Key, operation: Operation<Item>);

    /// A client has ended, with all that it held and waited for.
    fn lost(&self, client: u64);

    /// Itself, as something that data can name.
    fn named(self: Arc<Self>) -> Arc<dyn Named>;
}

impl fmt::Debug for dyn Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind(), self.id())
    }
}

/// Who waits for an answer. Called once at most, under no lock.
pub(crate) trait Answer: Send + Sync {
    fn answer(self: Arc<Self>, outcome: Outcome<Item>);
}

/// The number of this process in the ids of what it makes.
pub(crate) fn origin() -> u64 {
    Id::fresh().origin
}
