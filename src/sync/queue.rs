//! Queues: values that go from whoever puts them to whoever takes them, in whichever process. Owns who waits for room; what all
//! queues can is in `flow`.

use std::{fmt, marker::PhantomData, time::Duration};

use super::{
    flow::{flow, pack_ref, put_or_not},
    handle::{Handle, travels},
    wait::blocking_or_unwind,
};
use crate::{
    error::TaskError,
    function::Portable,
    primitives::{Kind, Operation},
};

/// Values on their way from some tasks, threads or processes to others, first in, first out; from
/// [`SyncContext::queue`](super::SyncContext::queue). Clones are the same queue.
///
/// It may have a bound; then who puts a value waits for room. Values are encoded, also where they stay in this process, so a queue may
/// hold primitives and queues, too. What a process has put stays when that process dies.
///
/// # Examples
/// ```
/// use polypool::sync::Queue;
///
/// # futures::executor::block_on(async {
/// fn count(to: Queue<u32>) {
///     for n in 0..10 {
///         to.blocking_put(n).unwrap();
///     }
/// }
///
/// let pool = polypool::Executor::threads(1)?;
/// let queue = pool.context().queue(2);
/// let task = pool.submit(count, queue.clone());
/// for n in 0..10 {
///     assert_eq!(queue.get().await?, n);
/// }
/// task.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Queue<T> {
    pub(super) handle: Handle,
    pub(super) of: PhantomData<fn(T) -> T>,
}

flow!(Queue, "queue(8)", "Puts a value at the end, after waiting for room if there is none.");

impl<T: Portable> Queue<T> {
    /// Puts a value at the end if there is room now. From a worker process that takes the time of a question and its answer, for
    /// which the thread is blocked.
    ///
    /// # Errors
    /// [`TryPutError`] gives the value back.
    ///
    /// # Examples
    /// ```
    /// use polypool::sync::TryPutError;
    ///
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().queue(1);
    /// queue.try_put("first".to_owned())?;
    /// assert!(matches!(queue.try_put("second".to_owned()), Err(TryPutError::Full(value)) if value == "second"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_put(&self, value: T) -> Result<(), TryPutError<T>> {
        match pack_ref(&value) {
            Ok(item) => put_or_not(value, self.handle.ask_now(Operation::Put { item, wait: false })),
            Err(error) => Err(TryPutError::Failed(value, error)),
        }
    }

    /// Puts a value at the end, but waits no longer than `limit` for room.
    ///
    /// # Errors
    /// [`TryPutError`] gives the value back.
    ///
    /// # Cancel safety
    /// As of [`put`](Self::put).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().queue(1);
    /// queue.put(1).await?;
    /// assert!(queue.put_timeout(2, Duration::from_millis(1)).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put_timeout(&self, value: T, limit: Duration) -> Result<(), TryPutError<T>> {
        match pack_ref(&value) {
            Ok(item) => {
                let asked = self.handle.ask(Operation::Put { item, wait: true }).within(limit);
                put_or_not(value, asked.await)
            }
            Err(error) => Err(TryPutError::Failed(value, error)),
        }
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout).
    ///
    /// # Examples
    /// See [`put_timeout`](Self::put_timeout).
    pub fn blocking_put_timeout(&self, value: T, limit: Duration) -> Result<(), TryPutError<T>> {
        match pack_ref(&value) {
            Ok(item) => {
                let asked = self.handle.ask(Operation::Put { item, wait: true }).within(limit);
                put_or_not(value, blocking_or_unwind(asked))
            }
            Err(error) => Err(TryPutError::Failed(value, error)),
        }
    }
}

travels!(Queue<T>, Kind::Queue { .. }, of);

/// A [`Queue`] without a bound; from [`SyncContext::simple_queue`](super::SyncContext::simple_queue).
///
/// # Examples
/// See [`Queue`].
pub struct SimpleQueue<T> {
    pub(super) handle: Handle,
    pub(super) of: PhantomData<fn(T) -> T>,
}

flow!(SimpleQueue, "simple_queue()", "Puts a value at the end. There is always room.");
travels!(SimpleQueue<T>, Kind::SimpleQueue, of);

/// Why a value was not put, and the value.
///
/// # Examples
/// See [`Queue::try_put`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TryPutError<T> {
    /// There is no room.
    #[error("the queue is full; `put` waits for room")]
    Full(T),
    /// There is another reason, as of [`Queue::put`].
    #[error("{1}")]
    Failed(T, #[source] TaskError),
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Failed(_, error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}
