//! What all queues can. Owns that values travel encoded, and that one is taken when it has arrived.

use std::{sync::Arc, time::Duration};

use super::{
    TryPutError,
    handle::{Handle, there},
    wait::{Asked, blocking},
};
use crate::{
    error::TaskError,
    function::{self, Packed, Portable},
    primitives::{Item, Key, Operation, Outcome},
};

/// The verbs of all queues; `made` is the call that makes one.
macro_rules! flow {
    ($name:ident, $made:literal, $puts:literal) => {
        impl<T: Portable> $name<T> {
            #[doc = $puts]
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
            #[doc = concat!("let queue = pool.context().", $made, ";")]
            /// queue.put(7).await?;
            /// assert_eq!(queue.get().await?, 7);
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
            pub async fn put(&self, value: T) -> Result<(), $crate::TaskError> {
                self.handle.put(value).await
            }

            /// The same on a thread that may block.
            ///
            /// # Errors
            /// As [`put`](Self::put); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
            ///
            /// # Examples
            /// See [`put`](Self::put).
            pub fn blocking_put(&self, value: T) -> Result<(), $crate::TaskError> {
                self.handle.blocking_put(value)
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
            pub async fn get(&self) -> Result<T, $crate::TaskError> {
                self.handle.get().await
            }

            /// The same on a thread that may block.
            ///
            /// # Errors
            /// As [`get`](Self::get); [`TaskError::Cancelled`] when the task is asked to stop meanwhile.
            ///
            /// # Examples
            /// See [`put`](Self::put).
            pub fn blocking_get(&self) -> Result<T, $crate::TaskError> {
                self.handle.blocking_get()
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
            #[doc = concat!("assert_eq!(pool.context().", $made, ".try_get()?, None::<u32>);")]
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn try_get(&self) -> Result<Option<T>, $crate::TaskError> {
                self.handle.try_get()
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
            #[doc = concat!("let queue = pool.context().", $made, ";")]
            /// assert_eq!(queue.get_timeout(Duration::from_millis(1)).await?, None::<u32>);
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
            pub async fn get_timeout(
                &self,
                limit: std::time::Duration,
            ) -> Result<Option<T>, $crate::TaskError> {
                self.handle.get_within(limit).await
            }

            /// The same on a thread that may block.
            ///
            /// # Errors
            /// As [`blocking_get`](Self::blocking_get).
            ///
            /// # Examples
            /// See [`get_timeout`](Self::get_timeout).
            pub fn blocking_get_timeout(
                &self,
                limit: std::time::Duration,
            ) -> Result<Option<T>, $crate::TaskError> {
                self.handle.blocking_get_within(limit)
            }

            /// Counts the values that are there now.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let queue = pool.context().", $made, ";")]
            /// queue.put(7).await?;
            /// assert_eq!(queue.len().await, 1);
            /// assert!(!queue.is_empty().await);
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
            pub async fn len(&self) -> usize {
                self.handle.len().await
            }

            /// The same on a thread that may block.
            ///
            /// # Examples
            /// See [`len`](Self::len).
            pub fn blocking_len(&self) -> usize {
                self.handle.blocking_len()
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
    };
}
pub(super) use flow;

impl Handle {
    pub(super) async fn put<T: Portable>(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(self.ask(Operation::Put { item, wait: true }).await)
    }

    pub(super) fn blocking_put<T: Portable>(&self, value: T) -> Result<(), TaskError> {
        let item = pack(value)?;
        was_put(blocking(self.ask(Operation::Put { item, wait: true })).ok_or(TaskError::Cancelled)?)
    }

    pub(super) async fn get<T: Portable>(&self) -> Result<T, TaskError> {
        self.received(self.ask(Operation::Get { wait: true })).await?.ok_or(TaskError::Cancelled)
    }

    pub(super) fn blocking_get<T: Portable>(&self) -> Result<T, TaskError> {
        self.blocking_receive(self.ask(Operation::Get { wait: true }))?.ok_or(TaskError::Cancelled)
    }

    pub(super) fn try_get<T: Portable>(&self) -> Result<Option<T>, TaskError> {
        self.blocking_receive(self.ask(Operation::Get { wait: false }))
    }

    pub(super) async fn get_within<T: Portable>(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        self.received(self.ask(Operation::Get { wait: true }).within(limit)).await
    }

    pub(super) fn blocking_get_within<T: Portable>(&self, limit: Duration) -> Result<Option<T>, TaskError> {
        self.blocking_receive(self.ask(Operation::Get { wait: true }).within(limit))
    }

    pub(super) async fn len(&self) -> usize {
        count(self.ask(Operation::Len).await)
    }

    pub(super) fn blocking_len(&self) -> usize {
        count(self.ask_now(Operation::Len))
    }

    async fn received<T: Portable>(&self, asked: Asked) -> Result<Option<T>, TaskError> {
        let key = asked.key();
        let outcome = asked.await;
        self.receive(key, outcome)
    }

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

fn pack<T: Portable>(value: T) -> Result<Item, TaskError> {
    function::pack(value).map(item)
}

pub(super) fn pack_ref<T: Portable>(value: &T) -> Result<Item, TaskError> {
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

pub(super) fn put_or_not<T>(value: T, outcome: Outcome<Item>) -> Result<(), TryPutError<T>> {
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
