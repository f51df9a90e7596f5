//! Locks: one holder at a time.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Guard, ReleaseError, guard::released, handle::Handle, wait::blocking_or_unwind, who};
use crate::primitives::{Kind, Operation};

/// One holder at a time, across the tasks, threads and worker processes of a pool; from
/// [`SyncContext::lock`](super::SyncContext::lock). Clones are the same lock.
///
/// Those who wait have it in the order in which they came. When the process of the holder ends, the lock is free, and the next
/// holder is told ([`Guard::holder_died`]). Who locks it again without giving it up waits for ever; see [`RLock`].
///
/// # Examples
/// ```no_run
/// use polypool::{Executor, sync::Lock};
///
/// fn append((log, line): (Lock, String)) {
///     let _guard = log.blocking_lock();
///     // nobody else writes now, in whichever process
///     # let _ = line;
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// polypool::init();
/// let pool = Executor::processes(4)?;
/// let log = pool.context().lock();
/// let lines = (0..100).map(move |n| (log.clone(), format!("line {n}")));
/// futures::executor::block_on(futures::TryStreamExt::try_collect::<Vec<()>>(pool.map(append, lines)))?;
/// # Ok(()) }
/// ```
pub struct Lock {
    pub(super) handle: Handle,
}

impl Lock {
    /// Waits for the lock.
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
    /// let lock = pool.context().lock();
    /// let guard = lock.lock().await;
    /// assert!(!guard.holder_died());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn lock(&self) -> Guard {
        let who = who::future().await;
        self.handle.granted(self.handle.acquire(who)).await
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// let guard = lock.blocking_lock();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn blocking_lock(&self) -> Guard {
        let asked = self.handle.acquire(who::thread());
        blocking_or_unwind(self.handle.granted(asked))
    }

    /// Takes it if it is free and nobody waits for it. From a worker process that takes the time of a question and its answer, for
    /// which the thread is blocked.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// let guard = lock.try_lock().unwrap();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn try_lock(&self) -> Option<Guard> {
        self.handle.try_acquire(who::thread())
    }

    /// Waits for it, but not longer than `limit`.
    ///
    /// # Cancel safety
    /// As of [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// let guard = lock.lock_timeout(Duration::from_millis(1)).await;
    /// assert!(guard.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn lock_timeout(&self, limit: Duration) -> Option<Guard> {
        let who = who::future().await;
        self.handle.granted_or_not(self.handle.acquire(who).within(limit)).await
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`lock_timeout`](Self::lock_timeout).
    pub fn blocking_lock_timeout(&self, limit: Duration) -> Option<Guard> {
        let asked = self.handle.acquire(who::thread()).within(limit);
        blocking_or_unwind(self.handle.granted_or_not(asked))
    }

    /// Gives back what this task, or this thread outside of tasks, has locked last and not given back, whoever has the guard. A guard that is dropped afterwards does nothing.
    ///
    /// # Errors
    /// [`ReleaseError::NotHeld`] when that is nothing.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// std::mem::forget(lock.lock().await);
    /// lock.release().await?;
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

impl Clone for Lock {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("Lock", f)
    }
}

impl Serialize for Lock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::Lock), deserializer)?;
        Ok(Self { handle })
    }
}

/// A lock that its holder may lock again; from [`SyncContext::rlock`](super::SyncContext::rlock). It is free when all its guards
/// are gone. For all else, see [`Lock`].
///
/// The holder is the task of a pool that locked it, on whatever threads it goes on. Outside of tasks it is the thread, for what
/// blocks, and for what is awaited the future that the runtime polls: a `spawn`ed one, or that of `block_on`. What such a future
/// hands to another, or polls by a waker of its own as `FuturesUnordered` does, is another holder.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let lock = pool.context().rlock();
/// let outer = lock.lock().await;
/// let inner = lock.lock().await;
/// drop((outer, inner));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct RLock {
    pub(super) handle: Handle,
}

impl RLock {
    /// Waits for the lock, unless it is held by who asks.
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
    /// let lock = pool.context().rlock();
    /// let guard = lock.lock().await;
    /// assert!(!guard.holder_died());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn lock(&self) -> Guard {
        let who = who::future().await;
        self.handle.granted(self.handle.acquire(who)).await
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().rlock();
    /// let guard = lock.blocking_lock();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn blocking_lock(&self) -> Guard {
        let asked = self.handle.acquire(who::thread());
        blocking_or_unwind(self.handle.granted(asked))
    }

    /// Takes it if it is free and nobody waits for it. From a worker process that takes the time of a question and its answer, for
    /// which the thread is blocked.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().rlock();
    /// let guard = lock.try_lock().unwrap();
    /// # drop(guard);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn try_lock(&self) -> Option<Guard> {
        self.handle.try_acquire(who::thread())
    }

    /// Waits for it, but not longer than `limit`.
    ///
    /// # Cancel safety
    /// As of [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().rlock();
    /// let guard = lock.lock_timeout(Duration::from_millis(1)).await;
    /// assert!(guard.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn lock_timeout(&self, limit: Duration) -> Option<Guard> {
        let who = who::future().await;
        self.handle.granted_or_not(self.handle.acquire(who).within(limit)).await
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`lock_timeout`](Self::lock_timeout).
    pub fn blocking_lock_timeout(&self, limit: Duration) -> Option<Guard> {
        let asked = self.handle.acquire(who::thread()).within(limit);
        blocking_or_unwind(self.handle.granted_or_not(asked))
    }

    /// Gives back what this task, or this thread outside of tasks, has locked last and not given back, whoever has the guard. A guard that is dropped afterwards does nothing.
    ///
    /// # Errors
    /// [`ReleaseError::NotHeld`] when that is nothing.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().rlock();
    /// std::mem::forget(lock.lock().await);
    /// lock.release().await?;
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

impl Clone for RLock {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt("RLock", f)
    }
}

impl Serialize for RLock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RLock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = Handle::of_kind(|kind| matches!(kind, Kind::RLock), deserializer)?;
        Ok(Self { handle })
    }
}
