//! Semaphores: so many holders at a time.

use super::{
    Guard, ReleaseError,
    handle::{Handle, travels},
    holding::{holding, releasing},
};
use crate::primitives::Kind;

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

holding!(semaphores: Semaphore, "semaphore", "semaphore(2)", "Waits for a permit.");
releasing! {
    Semaphore,
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
}
travels!(Semaphore, Kind::Semaphore { .. });

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

holding!(semaphores: BoundedSemaphore, "semaphore", "bounded_semaphore(2)", "Waits for a permit.");
releasing! {
    BoundedSemaphore,
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
}
travels!(BoundedSemaphore, Kind::BoundedSemaphore { .. });
