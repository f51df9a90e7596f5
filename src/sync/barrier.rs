//! A barrier: nobody goes on before all are there.

use std::time::Duration;

use super::{
    handle::{Handle, there, travels},
    wait::{Asked, blocking_or_unwind},
};
use crate::primitives::{Kind, Operation, Outcome};

/// Where a number of tasks, threads or processes wait for each other; from
/// [`SyncContext::barrier`](super::SyncContext::barrier). Clones are the same barrier.
///
/// When the last of them has come, all go on, and the barrier waits for as many again. One that stops waiting, or dies, has not
/// come: the others wait for another in its place. As many must be able to run at a time: tasks that wait at a barrier keep
/// their workers.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// fn arrive(barrier: polypool::sync::Barrier) {
///     barrier.blocking_wait();
/// }
///
/// let pool = polypool::Executor::threads(2)?;
/// let barrier = pool.context().barrier(2);
/// let (a, b) = (pool.submit(arrive, barrier.clone()), pool.submit(arrive, barrier));
/// a.await?;
/// b.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Barrier {
    pub(super) handle: Handle,
}

impl Barrier {
    /// Waits until all have come.
    ///
    /// # Cancel safety
    /// Dropping the future before all have come takes this arrival back.
    ///
    /// # Examples
    /// See [`Barrier`].
    pub async fn wait(&self) {
        self.elect().await;
    }

    /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
    ///
    /// # Examples
    /// See [`Barrier`].
    pub fn blocking_wait(&self) {
        self.blocking_elect();
    }

    /// Waits as [`wait`](Self::wait) does, and is true for one of all: the last to come.
    ///
    /// # Cancel safety
    /// As of [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(1)?;
    /// assert!(pool.context().barrier(1).elect().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn elect(&self) -> bool {
        matches!(there(self.arrive().await), Outcome::Passed { last: true })
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`elect`](Self::elect).
    pub fn blocking_elect(&self) -> bool {
        matches!(there(blocking_or_unwind(self.arrive())), Outcome::Passed { last: true })
    }

    /// Waits until all have come, but not longer than `limit`; then this one has not come either. Tells whether all have.
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
    /// assert!(!pool.context().barrier(2).wait_timeout(Duration::from_millis(1)).await);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn wait_timeout(&self, limit: Duration) -> bool {
        matches!(there(self.arrive().within(limit).await), Outcome::Passed { .. })
    }

    /// The same on a thread that may block.
    ///
    /// # Examples
    /// See [`wait_timeout`](Self::wait_timeout).
    pub fn blocking_wait_timeout(&self, limit: Duration) -> bool {
        matches!(there(blocking_or_unwind(self.arrive().within(limit))), Outcome::Passed { .. })
    }

    fn arrive(&self) -> Asked {
        self.handle.ask(Operation::Arrive)
    }
}

travels!(Barrier, Kind::Barrier { .. });
