//! An event: something that has happened, or not yet.

use std::time::Duration;

use super::{
    handle::{Handle, there, travels},
    wait::blocking_or_unwind,
};
use crate::primitives::{Kind, Operation, Outcome};

/// Something that has happened or not, for all tasks, threads and worker processes that have it; from
/// [`SyncContext::event`](super::SyncContext::event). Clones are the same event.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let go = pool.context().event();
/// let task = pool.submit(|go: polypool::sync::Event| go.blocking_wait(), go.clone());
/// go.set().await;
/// task.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Event {
    pub(super) handle: Handle,
}

impl Event {
    /// Says that it has happened. Who waits goes on, and who waits from now on need not.
    ///
    /// # Cancel safety
    /// Once it was polled it is done, also if the future is dropped.
    ///
    /// # Examples
    /// See [`Event`].
    pub async fn set(&self) {
        there(self.handle.ask(Operation::Set).await);
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`Event`].
    pub fn blocking_set(&self) {
        there(self.handle.ask_now(Operation::Set));
    }

    /// Says that it has not happened.
    ///
    /// # Cancel safety
    /// As of [`set`](Self::set).
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// let event = pool.context().event();
    /// event.set().await;
    /// event.clear().await;
    /// assert!(!event.is_set().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn clear(&self) {
        there(self.handle.ask(Operation::Clear).await);
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`clear`](Self::clear).
    pub fn blocking_clear(&self) {
        there(self.handle.ask_now(Operation::Clear));
    }

    /// Tells whether it has happened.
    ///
    /// # Examples
    /// See [`clear`](Self::clear).
    pub async fn is_set(&self) -> bool {
        matches!(there(self.handle.ask(Operation::IsSet).await), Outcome::Is(true))
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`clear`](Self::clear).
    pub fn blocking_is_set(&self) -> bool {
        matches!(there(self.handle.ask_now(Operation::IsSet)), Outcome::Is(true))
    }

    /// Waits until it has happened.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    /// See [`Event`].
    pub async fn wait(&self) {
        there(self.handle.ask(Operation::WaitUntilSet).await);
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// See [`Event`].
    pub fn blocking_wait(&self) {
        there(blocking_or_unwind(self.handle.ask(Operation::WaitUntilSet)));
    }

    /// Waits until it has happened, but not longer than `limit`. Tells whether it has.
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
    /// assert!(!pool.context().event().wait_timeout(Duration::from_millis(1)).await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn wait_timeout(&self, limit: Duration) -> bool {
        matches!(there(self.handle.ask(Operation::WaitUntilSet).within(limit).await), Outcome::Done)
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`wait_timeout`](Self::wait_timeout).
    pub fn blocking_wait_timeout(&self, limit: Duration) -> bool {
        let asked = self.handle.ask(Operation::WaitUntilSet).within(limit);
        matches!(there(blocking_or_unwind(asked)), Outcome::Done)
    }
}

travels!(Event, Kind::Event);
