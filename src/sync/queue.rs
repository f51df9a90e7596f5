//! Queues: values that go from whoever puts them to whoever takes them, in whichever process. Owns that they travel encoded.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    handle::{Handle, there},
    wait::{Asked, blocking, blocking_or_unwind},
};
use crate::{
    error::TaskError,
    function::{self, Packed, Portable},
    primitives::{Item, Key, Kind, Operation, Outcome},
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

impl<T: Portable> Queue<T> {
    /// Puts a value at the end, after waiting for room if there is none.
    ///
    /// # Errors
    /// [`TaskError::Encode`] when the value cannot be encoded; [`TaskError::Broken`] when the queue is not there any more. The value
    /// is dropped then.
    ///
    /// # Cancel safety
    /// A future that is dropped while it waits for room puts nothing. From a worker process the value may be in the queue though the
    /// future was dropped before it said so.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().queue(8);
    /// queue.put(7).await?;
    /// assert_eq!(queue.get().await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(self.handle.ask(Operation::Put { item, wait: true }).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub fn blocking_put(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(blocking(self.handle.ask(Operation::Put { item, wait: true })).ok_or(TaskError::Cancelled)?)
    }

    /// Takes the first value, after waiting for one if there is none. Those who wait are served in the order in which they came.
    ///
    /// A value is taken when it has arrived: one that was on its way to a process which died, or to a future that was dropped, is
    /// the first again.
    ///
    /// # Errors
    /// [`TaskError::Decode`] when the value cannot be decoded: that one is gone, and the queue goes on. [`TaskError::Broken`] when
    /// the queue is not there any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub async fn get(&self) -> Result<T, TaskError> {
        let asked = self.handle.ask(Operation::Get { wait: true });
        let key = asked.key();
        let outcome = asked.await;
        self.handle.receive(key, outcome)?.ok_or(TaskError::Cancelled)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub fn blocking_get(&self) -> Result<T, TaskError> {
        self.handle
            .blocking_receive(self.handle.ask(Operation::Get { wait: true }))?
            .ok_or(TaskError::Cancelled)
    }

    /// Takes the first value if there is one now. From a worker process that takes the time of a question and its answer, for which
    /// the thread is blocked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// assert_eq!(pool.context().queue(8).try_get()?, None::<u32>);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get(&self) -> Result<Option<T>, TaskError> {
        self.handle.blocking_receive(self.handle.ask(Operation::Get { wait: false }))
    }

    /// Takes the first value, but waits no longer than `limit` for one.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().queue(8);
    /// assert_eq!(queue.get_timeout(Duration::from_millis(1)).await?, None::<u32>);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get_timeout(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        let asked = self.handle.ask(Operation::Get { wait: true }).within(limit);
        let key = asked.key();
        let outcome = asked.await;
        self.handle.receive(key, outcome)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`blocking_get`](Self::blocking_get).
    ///
    /// # Examples
    /// See [`get_timeout`](Self::get_timeout).
    pub fn blocking_get_timeout(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        self.handle.blocking_receive(self.handle.ask(Operation::Get { wait: true }).within(limit))
    }

    /// Counts the values that are there now.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().queue(8);
    /// queue.put(7).await?;
    /// assert_eq!(queue.len().await, 1);
    /// assert!(!queue.is_empty().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn len(&self) -> usize {
        count(self.handle.ask(Operation::Len).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub fn blocking_len(&self) -> usize {
        count(self.handle.ask_now(Operation::Len))
    }

    /// Tells whether there is no value now.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub async fn is_empty(&self) -> bool {
        self.len().await == 0
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub fn blocking_is_empty(&self) -> bool {
        self.blocking_len() == 0
    }

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

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("Queue", f)
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::Queue { .. }), deserializer)?;
        Ok(Self { handle, of: PhantomData })
    }
}

/// A [`Queue`] without a bound; from [`SyncContext::simple_queue`](super::SyncContext::simple_queue).
///
/// # Examples
/// See [`Queue`].
pub struct SimpleQueue<T> {
    pub(super) handle: Handle,
    pub(super) of: PhantomData<fn(T) -> T>,
}

impl<T: Portable> SimpleQueue<T> {
    /// Puts a value at the end. There is always room.
    ///
    /// # Errors
    /// [`TaskError::Encode`] when the value cannot be encoded; [`TaskError::Broken`] when the queue is not there any more. The value
    /// is dropped then.
    ///
    /// # Cancel safety
    /// A future that is dropped while it waits for room puts nothing. From a worker process the value may be in the queue though the
    /// future was dropped before it said so.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().simple_queue();
    /// queue.put(7).await?;
    /// assert_eq!(queue.get().await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn put(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(self.handle.ask(Operation::Put { item, wait: true }).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub fn blocking_put(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(blocking(self.handle.ask(Operation::Put { item, wait: true })).ok_or(TaskError::Cancelled)?)
    }

    /// Takes the first value, after waiting for one if there is none. Those who wait are served in the order in which they came.
    ///
    /// A value is taken when it has arrived: one that was on its way to a process which died, or to a future that was dropped, is
    /// the first again.
    ///
    /// # Errors
    /// [`TaskError::Decode`] when the value cannot be decoded: that one is gone, and the queue goes on. [`TaskError::Broken`] when
    /// the queue is not there any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub async fn get(&self) -> Result<T, TaskError> {
        let asked = self.handle.ask(Operation::Get { wait: true });
        let key = asked.key();
        let outcome = asked.await;
        self.handle.receive(key, outcome)?.ok_or(TaskError::Cancelled)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
    ///
    /// # Examples
    /// See [`put`](Self::put).
    pub fn blocking_get(&self) -> Result<T, TaskError> {
        self.handle
            .blocking_receive(self.handle.ask(Operation::Get { wait: true }))?
            .ok_or(TaskError::Cancelled)
    }

    /// Takes the first value if there is one now. From a worker process that takes the time of a question and its answer, for which
    /// the thread is blocked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// assert_eq!(pool.context().simple_queue().try_get()?, None::<u32>);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_get(&self) -> Result<Option<T>, TaskError> {
        self.handle.blocking_receive(self.handle.ask(Operation::Get { wait: false }))
    }

    /// Takes the first value, but waits no longer than `limit` for one.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().simple_queue();
    /// assert_eq!(queue.get_timeout(Duration::from_millis(1)).await?, None::<u32>);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn get_timeout(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        let asked = self.handle.ask(Operation::Get { wait: true }).within(limit);
        let key = asked.key();
        let outcome = asked.await;
        self.handle.receive(key, outcome)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`blocking_get`](Self::blocking_get).
    ///
    /// # Examples
    /// See [`get_timeout`](Self::get_timeout).
    pub fn blocking_get_timeout(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        self.handle.blocking_receive(self.handle.ask(Operation::Get { wait: true }).within(limit))
    }

    /// Counts the values that are there now.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let queue = pool.context().simple_queue();
    /// queue.put(7).await?;
    /// assert_eq!(queue.len().await, 1);
    /// assert!(!queue.is_empty().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn len(&self) -> usize {
        count(self.handle.ask(Operation::Len).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub fn blocking_len(&self) -> usize {
        count(self.handle.ask_now(Operation::Len))
    }

    /// Tells whether there is no value now.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub async fn is_empty(&self) -> bool {
        self.len().await == 0
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`len`](Self::len).
    pub fn blocking_is_empty(&self) -> bool {
        self.blocking_len() == 0
    }
}

impl<T> Clone for SimpleQueue<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for SimpleQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("SimpleQueue", f)
    }
}

impl<T> Serialize for SimpleQueue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for SimpleQueue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::SimpleQueue), deserializer)?;
        Ok(Self { handle, of: PhantomData })
    }
}

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

fn pack<T: Portable>(value: T) -> Result<Item, TaskError> {
    function::pack(value).map(item)
}

fn pack_ref<T: Portable>(value: &T) -> Result<Item, TaskError> {
    function::pack_ref(value).map(item)
}

fn item(packed: Packed) -> Item {
    Item { bytes: packed.bytes.into_whole(), names: Arc::new(packed.names) }
}

fn gone() -> TaskError {
    TaskError::Broken(
        "the queue is not there any more: the process that kept it is another one, or has ended".to_owned(),
    )
}

fn was_put(outcome: Outcome<Item>) -> Result<(), TaskError> {
    match outcome {
        Outcome::Done => Ok(()),
        _ => Err(gone()),
    }
}

fn put_or_not<T>(value: T, outcome: Outcome<Item>) -> Result<(), TryPutError<T>> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Busy => Err(TryPutError::Full(value)),
        _ => Err(TryPutError::Failed(value, gone())),
    }
}

fn count(outcome: Outcome<Item>) -> usize {
    match there(outcome) {
        Outcome::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        _ => 0,
    }
}

impl Handle {
    /// What came, if something did. It has arrived, whether or not it can be decoded.
    fn receive<T: Portable>(&self, key: Key, outcome: Outcome<Item>) -> Result<Option<T>, TaskError> {
        match outcome {
            Outcome::Item(Item { bytes, names }) => {
                let value = function::unpack(&bytes);
                // Only now: until then, what the value names is kept where it came from.
                self.0.tell(key, Operation::Receipt { request: key.request });
                drop(names);
                value.map(Some)
            }
            Outcome::Busy => Ok(None),
            _ => Err(gone()),
        }
    }

    fn blocking_receive<T: Portable>(&self, asked: Asked) -> Result<Option<T>, TaskError> {
        let key = asked.key();
        let outcome = blocking(asked).ok_or(TaskError::Cancelled)?;
        self.receive(key, outcome)
    }
}
