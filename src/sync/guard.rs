//! What is held of a lock or semaphore. Owns that it is given back once.

use std::{fmt, sync::Arc};

use super::{
    handle::there,
    wait::{Asked, blocking_or_unwind},
};
use crate::primitives::{Fault, Item, Key, Object, Operation, Outcome};

/// Holds a [`Lock`](super::Lock), an [`RLock`](super::RLock), the lock of a [`Condition`](super::Condition), or a permit of a
/// semaphore. Dropping it gives it back, without waiting.
///
/// It may be moved to other tasks and threads of its process, but not sent to another. A guard that is leaked
/// ([`std::mem::forget`]) is held until its process ends: a worker process that keeps a guard in a static holds the lock from
/// task to task.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let lock = pool.context().lock();
/// let guard = lock.lock().await;
/// assert!(lock.try_lock().is_none());
/// drop(guard);
/// assert!(lock.try_lock().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "dropping the guard gives back what it holds at once"]
pub struct Guard {
    object: Arc<dyn Object>,
    key: Key,
    died: bool,
    is_over: bool,
}

impl Guard {
    /// The guard of what was asked for, if it was granted.
    pub(super) fn of(object: &Arc<dyn Object>, key: Key, outcome: Outcome<Item>) -> Option<(Self, bool)> {
        match there(outcome) {
            Outcome::Granted { died, late } => {
                Some((Self { object: Arc::clone(object), key, died, is_over: false }, late))
            }
            _ => None,
        }
    }

    /// Tells whether the process that held this before died with it, or ended without giving it back. What the lock protects
    /// may be half done then. Told once for each such end, to the next holder.
    ///
    /// # Examples
    /// ```no_run
    /// use polypool::sync::Lock;
    ///
    /// fn append(log: Lock) {
    ///     let guard = log.blocking_lock();
    ///     if guard.holder_died() {
    ///         // cut off what the other has left unfinished
    ///     }
    /// }
    /// ```
    pub fn holder_died(&self) -> bool {
        self.died
    }

    /// Gives it back, and waits until the others know, wherever they are. The next who asks finds it free.
    ///
    /// # Errors
    /// [`ReleaseError::NotHeld`] when it was given back already, by the `release` of the lock itself.
    ///
    /// # Cancel safety
    /// It is given back also if the future is dropped.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// lock.lock().await.release().await?;
    /// assert!(lock.try_lock().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        let asked = self.ask_release();
        released(asked.await)
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(1)?;
    /// let lock = pool.context().lock();
    /// lock.blocking_lock().blocking_release()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn blocking_release(mut self) -> Result<(), ReleaseError> {
        let asked = self.ask_release();
        released(blocking_or_unwind(asked))
    }

    /// Leaves it taken, by nobody: the permit of a semaphore that somebody else will
    /// [`release`](super::Semaphore::release), maybe in another process. It does not come back when this process ends. A lock
    /// stays locked for ever.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let rooms = pool.context().bounded_semaphore(1);
    /// rooms.acquire().await.forget();
    /// assert!(rooms.try_acquire().is_none());
    /// rooms.release().await?;
    /// assert!(rooms.try_acquire().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn forget(mut self) {
        self.is_over = true;
        self.object.tell(self.key, Operation::Forget { hold: self.key.request });
    }

    /// To be polled at once.
    fn ask_release(&mut self) -> Asked {
        self.is_over = true;
        Asked::new(&self.object, Operation::Release { hold: self.key.request })
    }

    /// Gives up the hold for a wait that takes it over; the request by which it is held.
    /// Whoever has it asks at once.
    pub(super) fn surrender(mut self, object: &Arc<dyn Object>) -> u64 {
        assert!(
            Arc::ptr_eq(object, &self.object),
            "the guard is not one of this condition's lock; lock the condition itself"
        );
        self.is_over = true;
        self.key.request
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_over {
            self.object.tell(self.key, Operation::Release { hold: self.key.request });
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("of", &self.object)
            .field("holder_died", &self.died)
            .finish_non_exhaustive()
    }
}

pub(super) fn released(outcome: Outcome<Item>) -> Result<(), ReleaseError> {
    match there(outcome) {
        Outcome::Fault(Fault::NotHeld) => Err(ReleaseError::NotHeld),
        Outcome::Fault(Fault::TooMany { limit }) => Err(ReleaseError::TooMany { limit }),
        _ => Ok(()),
    }
}

/// Why something was not given back.
///
/// # Examples
/// ```
/// use polypool::sync::ReleaseError;
///
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.context().lock().release().await, Err(ReleaseError::NotHeld));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The task or thread does not hold it.
    #[error(
        "the lock is not held by who releases it; release it in the task that locked it, or drop its guard"
    )]
    NotHeld,
    /// All permits of the bounded semaphore are there already.
    #[error(
        "the semaphore has all its {limit} permits already; release once for each acquire, or use `semaphore`"
    )]
    TooMany {
        /// How many there are.
        limit: u64,
    },
}
