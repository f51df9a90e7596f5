//! Semaphores: so many holders at a time.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Guard, ReleaseError, guard::released, handle::Handle, wait::blocking_or_unwind, who};
use crate::primitives::{Kind, Operation};

/// So many holders at a time; from [`SyncContext::semaphore`](super::SyncContext::semaphore). Clones are the same semaphore.
///
/// Those who wait are served in the order in which they came. What a process held that ended comes back, and the next holder is
/// told. A [`release`](Self::release) without an acquire makes one permit more: so tasks can signal to each other.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(8)?;
/// let downloads = pool.context().semaphore(2);
///
/// fn download(at_most_two: polypool::sync::Semaphore) {
///     let _permit = at_most_two.blocking_acquire();
/// }
///
/// pool.submit(download, downloads.clone()).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Semaphore {
    pub(super) handle: Handle,
}

impl Semaphore {
    /// Waits for a permit.
    ///
    /// A task that waits keeps its worker's place in the pool; [`leave_pool`](crate::worker::leave_pool) gives it away meanwhile.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line. What was granted just then goes to the next.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().semaphore(2);
    /// let guard = semaphore.acquire().await;
    /// assert!(!guard.holder_died());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn acquire(&self) -> Guard {
        let who = who::future().await;
        self.handle.granted(self.handle.acquire(who)).await
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().semaphore(2);
    /// let guard = semaphore.blocking_acquire();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn blocking_acquire(&self) -> Guard {
        let asked = self.handle.acquire(who::thread());
        blocking_or_unwind(self.handle.granted(asked))
    }

    /// Takes it if it is free and nobody waits for it. From a worker process that takes the time of a question and its answer, for
    /// which the thread is blocked.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().semaphore(2);
    /// let guard = semaphore.try_acquire().unwrap();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn try_acquire(&self) -> Option<Guard> {
        self.handle.try_acquire(who::thread())
    }

    /// Waits for it, but not longer than `limit`.
    ///
    /// # Cancel safety
    /// As of [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().semaphore(2);
    /// let guard = semaphore.acquire_timeout(Duration::from_millis(1)).await;
    /// assert!(guard.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn acquire_timeout(&self, limit: Duration) -> Option<Guard> {
        let who = who::future().await;
        self.handle.granted_or_not(self.handle.acquire(who).within(limit)).await
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`acquire_timeout`](Self::acquire_timeout).
    pub fn blocking_acquire_timeout(&self, limit: Duration) -> Option<Guard> {
        let asked = self.handle.acquire(who::thread()).within(limit);
        blocking_or_unwind(self.handle.granted_or_not(asked))
    }

    /// Gives back what this task, or this thread outside of tasks, has acquired last and not given back; where that is nothing, there is one permit more.
    ///
    /// # Errors
    /// None, as it is now.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().semaphore(0);
    /// assert!(semaphore.try_acquire().is_none());
    /// semaphore.release().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn release(&self) -> Result<(), ReleaseError> {
        let who = who::future().await;
        released(self.handle.ask(Operation::ReleaseFor { who }).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    ///
    /// # Examples
    /// See [`release`](Self::release).
    pub fn blocking_release(&self) -> Result<(), ReleaseError> {
        released(blocking_or_unwind(self.handle.ask(Operation::ReleaseFor { who: who::thread() })))
    }
}

impl Clone for Semaphore {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("Semaphore", f)
    }
}

impl Serialize for Semaphore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Semaphore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::Semaphore { .. }), deserializer)?;
        Ok(Self { handle })
    }
}

/// So many holders at a time, and never more; from
/// [`SyncContext::bounded_semaphore`](super::SyncContext::bounded_semaphore). As [`Semaphore`], but a release too many is an error.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let semaphore = pool.context().bounded_semaphore(2);
/// assert!(semaphore.release().await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct BoundedSemaphore {
    pub(super) handle: Handle,
}

impl BoundedSemaphore {
    /// Waits for a permit.
    ///
    /// A task that waits keeps its worker's place in the pool; [`leave_pool`](crate::worker::leave_pool) gives it away meanwhile.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line. What was granted just then goes to the next.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().bounded_semaphore(2);
    /// let guard = semaphore.acquire().await;
    /// assert!(!guard.holder_died());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn acquire(&self) -> Guard {
        let who = who::future().await;
        self.handle.granted(self.handle.acquire(who)).await
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().bounded_semaphore(2);
    /// let guard = semaphore.blocking_acquire();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn blocking_acquire(&self) -> Guard {
        let asked = self.handle.acquire(who::thread());
        blocking_or_unwind(self.handle.granted(asked))
    }

    /// Takes it if it is free and nobody waits for it. From a worker process that takes the time of a question and its answer, for
    /// which the thread is blocked.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().bounded_semaphore(2);
    /// let guard = semaphore.try_acquire().unwrap();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn try_acquire(&self) -> Option<Guard> {
        self.handle.try_acquire(who::thread())
    }

    /// Waits for it, but not longer than `limit`.
    ///
    /// # Cancel safety
    /// As of [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().bounded_semaphore(2);
    /// let guard = semaphore.acquire_timeout(Duration::from_millis(1)).await;
    /// assert!(guard.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn acquire_timeout(&self, limit: Duration) -> Option<Guard> {
        let who = who::future().await;
        self.handle.granted_or_not(self.handle.acquire(who).within(limit)).await
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`acquire_timeout`](Self::acquire_timeout).
    pub fn blocking_acquire_timeout(&self, limit: Duration) -> Option<Guard> {
        let asked = self.handle.acquire(who::thread()).within(limit);
        blocking_or_unwind(self.handle.granted_or_not(asked))
    }

    /// Gives back what this task, or this thread outside of tasks, has acquired last and not given back; where that is nothing, what a guard was told to [forget](Guard::forget).
    ///
    /// # Errors
    /// [`ReleaseError::TooMany`] when all permits are there, or held by others.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let semaphore = pool.context().bounded_semaphore(1);
    /// semaphore.acquire().await.forget();
    /// semaphore.release().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn release(&self) -> Result<(), ReleaseError> {
        let who = who::future().await;
        released(self.handle.ask(Operation::ReleaseFor { who }).await)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    ///
    /// # Examples
    /// See [`release`](Self::release).
    pub fn blocking_release(&self) -> Result<(), ReleaseError> {
        released(blocking_or_unwind(self.handle.ask(Operation::ReleaseFor { who: who::thread() })))
    }
}

impl Clone for BoundedSemaphore {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("BoundedSemaphore", f)
    }
}

impl Serialize for BoundedSemaphore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BoundedSemaphore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::BoundedSemaphore { .. }), deserializer)?;
        Ok(Self { handle })
    }
}
