//! The verb `shutdown`: an end that can be awaited.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;

use super::Executor;
use crate::policy::CancellationPolicy;

impl Executor {
    /// Takes no more tasks, applies `policy` to those that are there, at once, and gives a future that is ready when every
    /// worker is gone. Later submits resolve to [`TaskError::Shutdown`](crate::TaskError::Shutdown).
    ///
    /// May be called again, with a stricter policy for instance. A blocking task that does not heed its token is waited for:
    /// use a timeout of the runtime around it where that matters.
    ///
    /// A task of the pool may await it. It waits for all but that task and those who wait for that task, and what is still to be done is
    /// done in their place.
    ///
    /// # Backends
    /// On `serial`, where tasks run when they are polled, it does not wait for those that nobody polls.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: the pool closes without being waited for.
    ///
    /// # Examples
    /// ```
    /// use polypool::{CancellationPolicy, Executor};
    ///
    /// # futures::executor::block_on(async {
    /// let pool = Executor::threads(2)?;
    /// let task = pool.submit(|()| 1, ());
    /// let report = pool.shutdown(CancellationPolicy::NONE).await;
    /// assert_eq!(report.completed, 1);
    /// assert_eq!(task.await?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn shutdown(&self, policy: impl Into<CancellationPolicy>) -> Shutdown {
        self.pool().shut_down(policy.into());
        let pool = Arc::clone(self.pool());
        Shutdown {
            gone: Box::pin(async move {
                // A task of the pool lets others do what is still to be done.
                let _place = pool.wait();
                std::future::poll_fn(|cx| pool.poll_gone(cx)).await;
                let stats = pool.put_away().await;
                ShutdownReport {
                    completed: stats.completed,
                    failed: stats.failed,
                    cancelled: stats.cancelled,
                }
            }),
        }
    }
}

/// Waits for the end of a pool; from [`Executor::shutdown`]. Dropping it leaves the pool to close by itself.
///
/// # Examples
/// See [`Executor::shutdown`].
#[must_use = "the pool closes anyway; await this to know when it has"]
pub struct Shutdown {
    gone: BoxFuture<'static, ShutdownReport>,
}

impl Future for Shutdown {
    type Output = ShutdownReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ShutdownReport> {
        self.gone.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}

/// What became of a pool's tasks, since it was built.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let report = polypool::Executor::serial().shutdown(true).await;
/// assert_eq!((report.completed, report.failed, report.cancelled), (0, 0, 0));
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that gave a value.
    pub completed: u64,
    /// Tasks that ended with an error other than `Cancelled`.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
}
