//! A condition: waiting for something that others bring about, under a lock.

use std::time::Duration;

use super::{
    Guard,
    handle::{Handle, there, travels},
    holding::holding,
    wait::{Asked, blocking_or_unwind},
    who,
};
use crate::primitives::{Kind, Operation, Outcome, Who};

/// A lock with a place to wait: who holds the lock and does not find things as they should be sleeps until another has changed them
/// and [notifies](Self::notify_one). From [`SyncContext::condition`](super::SyncContext::condition). Clones are the same condition.
///
/// Who is woken has the lock again. Things may be otherwise by then, so he looks again, in a loop. A notification is not lost: when
/// the process that it woke dies first, the next is woken, who may then find nothing changed.
///
/// # Examples
/// ```
/// use polypool::sync::{Condition, Event};
///
/// # futures::executor::block_on(async {
/// fn announce((changed, happened): (Condition, Event)) {
///     let _guard = changed.blocking_lock();
///     happened.blocking_set();
///     changed.blocking_notify_all();
/// }
///
/// let pool = polypool::Executor::threads(1)?;
/// let (changed, happened) = (pool.context().condition(), pool.context().event());
/// let mut guard = changed.lock().await;
/// let task = pool.submit(announce, (changed.clone(), happened.clone()));
/// while !happened.is_set().await {
///     guard = changed.wait(guard).await;
/// }
/// drop(guard);
/// task.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Condition {
    pub(super) handle: Handle,
}

holding!(locks: Condition, "condition", "condition()", "Waits for the lock.");

impl Condition {
    /// Gives up the lock, waits to be notified, then for the lock.
    ///
    /// # Panics
    /// When the guard is not one of this condition's lock, or was given back already.
    ///
    /// # Cancel safety
    /// Dropping the future gives the lock up. A notification that came just then goes to the next.
    ///
    /// # Examples
    /// See [`Condition`].
    pub async fn wait(&self, guard: Guard) -> Guard {
        let who = who::future().await;
        self.awoken(self.sleep(guard, who)).await.0
    }

    /// The same on a thread that may block.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// See [`Condition`].
    pub fn blocking_wait(&self, guard: Guard) -> Guard {
        let asked = self.sleep(guard, who::thread());
        blocking_or_unwind(self.awoken(asked)).0
    }

    /// The same, but sleeps no longer than `limit`; then it waits for the lock all the same. True when it was notified.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Cancel safety
    /// As of [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let condition = pool.context().condition();
    /// let guard = condition.lock().await;
    /// let (guard, was_notified) = condition.wait_timeout(guard, Duration::from_millis(1)).await;
    /// assert!(!was_notified);
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn wait_timeout(&self, guard: Guard, limit: Duration) -> (Guard, bool) {
        let who = who::future().await;
        self.awoken(self.sleep(guard, who).within(limit)).await
    }

    /// The same on a thread that may block.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// See [`wait_timeout`](Self::wait_timeout).
    pub fn blocking_wait_timeout(&self, guard: Guard, limit: Duration) -> (Guard, bool) {
        let asked = self.sleep(guard, who::thread()).within(limit);
        blocking_or_unwind(self.awoken(asked))
    }

    /// Wakes the one who has slept longest, if somebody sleeps. The lock need not be held, though it usually is.
    ///
    /// # Cancel safety
    /// Once it was polled it is done, also if the future is dropped.
    ///
    /// # Examples
    /// See [`Condition`].
    pub async fn notify_one(&self) {
        there(self.handle.ask(Operation::Notify { all: false }).await);
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`Condition`].
    pub fn blocking_notify_one(&self) {
        there(self.handle.ask_now(Operation::Notify { all: false }));
    }

    /// Wakes all who sleep. They have the lock one after the other.
    ///
    /// # Cancel safety
    /// As of [`notify_one`](Self::notify_one).
    ///
    /// # Examples
    /// See [`Condition`].
    pub async fn notify_all(&self) {
        there(self.handle.ask(Operation::Notify { all: true }).await);
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`Condition`].
    pub fn blocking_notify_all(&self) {
        there(self.handle.ask_now(Operation::Notify { all: true }));
    }

    fn sleep(&self, guard: Guard, who: Who) -> Asked {
        let hold = guard.surrender(&self.handle.0);
        self.handle.ask(Operation::Sleep { hold, who })
    }

    async fn awoken(&self, asked: Asked) -> (Guard, bool) {
        let key = asked.key();
        let outcome = there(asked.await);
        assert!(
            !matches!(outcome, Outcome::Fault(_)),
            "the guard was given back before; wait with one that holds the lock"
        );
        match Guard::of(&self.handle.0, key, outcome) {
            Some((guard, late)) => (guard, !late),
            None => std::future::pending().await,
        }
    }
}

travels!(Condition, Kind::Condition);
