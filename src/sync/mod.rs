//! Locks, semaphores, conditions, events, queues and barriers that work across the tasks, threads and worker processes of a pool, and
//! survive a process that dies.
//!
//! They are made by [`Executor::context`](crate::Executor::context) or `ProcessContext::sync`, sent as part of a task's argument or
//! result, at any depth, and used as `.lock().await`, under any runtime, or as `.blocking_lock()`, on a thread that may block; each verb
//! has a `try_` twin that does not wait and a `_timeout` twin that does not wait for ever.
//!
//! ```
//! use polypool::{Executor, sync::{Lock, Queue}};
//!
//! async fn work((lock, results): (Lock, Queue<u64>)) {
//!     let guard = lock.lock().await;
//!     // alone now, among all tasks that were given this lock
//!     drop(guard);
//!     results.put(42).await.unwrap();
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::tasks(2)?;
//! let (lock, results) = (pool.context().lock(), pool.context().queue(0));
//! let task = pool.submit_async(work, (lock, results.clone()));
//! assert_eq!(results.get().await?, 42);
//! task.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Where they are
//! The state of each is in the process whose executor made it; made in a task, by [`worker::executor`](crate::worker::executor), in the
//! process that the pool is of. Worker processes ask it, which takes about as long as a task's way there and back. There is nothing
//! with a name in the system, so nothing is left over. Any pool of that process may be given a primitive, and a worker passes on
//! what it was given to pools of its own. It goes when nobody has it any more: no handle, no task that names it, no worker that kept it.
//! It outlives the pool that it was made with.
//!
//! # When something ends
//! | what | comes to |
//! |---|---|
//! | a worker process dies, is killed, or ends while it holds something | that is free, and the next holder is told by [`Guard::holder_died`] |
//! | a worker process dies while it waits | it leaves the line, the barrier, the condition |
//! | a worker process dies with a value on its way to it | the value is the first in its queue again |
//! | a future that waits is dropped | the same; what was granted just then goes to the next |
//! | a guard is leaked | held until its process ends, or until `release` in the same task |
//! | a task that blocks in a wait is stopped | the wait ends the task; `put` and `get` return `Err(Cancelled)` |
//! | the pool is shut down | nothing: who waits is stopped, or not, as its task is |
//! | nobody but those who wait has it any more | they wait until they are stopped, as for any lock that nobody will release |
//! | a release by who does not hold it | [`ReleaseError::NotHeld`] |
//! | a release too many of a bounded semaphore | [`ReleaseError::TooMany`] |
//! | a value in a queue that cannot be decoded | that `get` is `Err(Decode)`, and the queue goes on |
//! | a primitive that is encoded for anything but a task or a queue | an error of its `Serialize` |
//! | a primitive of another kind or program in an argument | [`TaskError::Decode`](crate::TaskError::Decode) for that task |
//!
//! A task that waits keeps its worker's place in the pool: where all workers wait for what only a queued task can bring, they wait for
//! ever, unless they [leave the pool](crate::worker::leave_pool) meanwhile. On the backend `serial`, where a task runs in its handle's
//! poll, an `await` lets others run and a blocking wait blocks its caller.

use std::{fmt, marker::PhantomData, sync::Arc};

mod barrier;
mod condition;
mod event;
mod flow;
mod guard;
mod handle;
mod holding;
mod lock;
mod queue;
mod semaphore;
mod wait;
mod who;

pub use barrier::Barrier;
pub use condition::Condition;
pub use event::Event;
pub use guard::{Guard, ReleaseError};
pub use lock::{Lock, RLock};
pub use queue::{Queue, SimpleQueue, TryPutError};
pub use semaphore::{BoundedSemaphore, Semaphore};

use crate::{
    executor::Executor,
    function::Portable,
    inside::process::make_upstream,
    primitives::{Kind, Local, Object},
};
use handle::Handle;

/// Makes primitives; from [`Executor::context`]. They live on without it.
///
/// # Examples
/// ```
/// let pool = polypool::Executor::threads(2)?;
/// let context = pool.context();
/// let (lock, event, barrier) = (context.lock(), context.event(), context.barrier(2));
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Clone)]
pub struct SyncContext {
    /// The pool is that which this process works for.
    is_upstream: bool,
}

impl SyncContext {
    /// Makes a lock.
    ///
    /// # Examples
    /// See [`Lock`].
    pub fn lock(&self) -> Lock {
        Lock { handle: self.make(Kind::Lock) }
    }

    /// Makes a lock that its holder may lock again.
    ///
    /// # Examples
    /// See [`RLock`].
    pub fn rlock(&self) -> RLock {
        RLock { handle: self.make(Kind::RLock) }
    }

    /// Makes a semaphore of `n` permits, which may be 0.
    ///
    /// # Examples
    /// See [`Semaphore`].
    pub fn semaphore(&self, n: usize) -> Semaphore {
        Semaphore { handle: self.make(Kind::Semaphore { free: n as u64 }) }
    }

    /// Makes a semaphore that never has more than its `n` permits.
    ///
    /// # Examples
    /// See [`BoundedSemaphore`].
    pub fn bounded_semaphore(&self, n: usize) -> BoundedSemaphore {
        BoundedSemaphore { handle: self.make(Kind::BoundedSemaphore { free: n as u64 }) }
    }

    /// Makes a condition, with a lock of its own.
    ///
    /// # Examples
    /// See [`Condition`].
    pub fn condition(&self) -> Condition {
        Condition { handle: self.make(Kind::Condition) }
    }

    /// Makes an event that has not happened.
    ///
    /// # Examples
    /// See [`Event`].
    pub fn event(&self) -> Event {
        Event { handle: self.make(Kind::Event) }
    }

    /// Makes a queue with room for `capacity` values; 0 is no bound.
    ///
    /// # Examples
    /// See [`Queue`].
    pub fn queue<T: Portable>(&self, capacity: usize) -> Queue<T> {
        Queue { handle: self.make(Kind::Queue { capacity: capacity as u64 }), of: PhantomData }
    }

    /// Makes a queue without a bound.
    ///
    /// # Examples
    /// See [`SimpleQueue`].
    pub fn simple_queue<T: Portable>(&self) -> SimpleQueue<T> {
        SimpleQueue { handle: self.make(Kind::SimpleQueue), of: PhantomData }
    }

    /// Makes a barrier for `n` tasks, threads or processes.
    ///
    /// # Panics
    /// When `n` is 0.
    ///
    /// # Examples
    /// See [`Barrier`].
    #[track_caller]
    pub fn barrier(&self, n: usize) -> Barrier {
        assert!(n > 0, "a barrier for nobody lets nobody through; make it for 1 or more");
        Barrier { handle: self.make(Kind::Barrier { parties: n as u64 }) }
    }

    fn make(&self, kind: Kind) -> Handle {
        let upstream: Option<Arc<dyn Object>> = if self.is_upstream { make_upstream(kind) } else { None };
        Handle(upstream.unwrap_or_else(|| Local::make(kind)))
    }
}

impl fmt::Debug for SyncContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext").finish_non_exhaustive()
    }
}

impl Executor {
    /// Makes locks, queues and their kin for the tasks of this pool; see [`sync`](crate::sync).
    ///
    /// # Examples
    /// See [`SyncContext`].
    pub fn context(&self) -> SyncContext {
        SyncContext { is_upstream: self.is_upstream() }
    }
}

#[cfg(all(feature = "processes", target_os = "linux"))]
impl crate::executor::process::ProcessContext {
    /// Makes locks, queues and their kin for the processes started here; see [`sync`](crate::sync).
    ///
    /// # Examples
    /// ```no_run
    /// use polypool::{process, sync::Queue};
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     polypool::init();
    ///     let context = process::context(None);
    ///     let queue = context.sync().queue::<u32>(0);
    ///     let mut process = context.spawn(|queue: Queue<u32>| queue.blocking_put(7).unwrap(), queue.clone())?;
    ///     assert_eq!(queue.blocking_get()?, 7);
    ///     futures::executor::block_on(process.join())?;
    ///     Ok(())
    /// }
    /// ```
    pub fn sync(&self) -> SyncContext {
        SyncContext { is_upstream: false }
    }
}
