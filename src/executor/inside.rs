//! The executor as a task of its own pool sees it.

use std::sync::Arc;
#[cfg(all(feature = "processes", target_os = "linux"))]
use std::sync::OnceLock;

#[cfg(all(feature = "processes", target_os = "linux"))]
use super::builder;
use super::{Executor, Front, OnSerial};
#[cfg(all(feature = "processes", target_os = "linux"))]
use crate::sys::copy::PerCopy;
use crate::{backend::seat, policy::CancellationPolicy};

/// Gives the pool that this task runs in, so that it can submit to it, and wait: recursion by fork and join, as deep as it goes, with
/// a bounded number of workers. [Tasks of tasks](crate#tasks-of-tasks) says how. `None` outside a task.
///
/// Inside a task whose executor was dropped, it gives an executor for the same pool; where the policy did not cancel what waits,
/// that still takes tasks.
///
/// # Examples
/// ```
/// fn sum(range: (u64, u64)) -> u64 {
///     let (from, to) = range;
///     if to - from <= 100 {
///         return (from..to).sum();
///     }
///     let middle = from.midpoint(to);
///     let pool = polypool::worker::executor().unwrap();
///     let left = pool.submit(sum, (from, middle));
///     sum((middle, to)) + left.blocking_join().unwrap()
/// }
///
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(sum, (0, 1_000)).await?, 499_500);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn executor() -> Option<Executor> {
    let Some(seat) = seat::current() else {
        return upstream();
    };
    let pool = seat.pool()?;
    let front = pool.home().and_then(|home| Arc::downcast::<Front>(home).ok());
    Some(match front {
        Some(front) => Executor::of(front),
        None => Executor::new(pool, CancellationPolicy::NONE, OnSerial::Ignore),
    })
}

/// The pool that this process works for.
#[cfg(all(feature = "processes", target_os = "linux"))]
fn upstream() -> Option<Executor> {
    // A worker may be forked off another one, and has another pool then.
    static UPSTREAM: PerCopy<OnceLock<Executor>> = PerCopy::new(OnceLock::new(), OnceLock::new);
    let here = crate::inside::process::here()?;
    Some(UPSTREAM.get().get_or_init(|| builder::upstream(&here.place)).clone())
}

#[cfg(not(all(feature = "processes", target_os = "linux")))]
fn upstream() -> Option<Executor> {
    None
}

impl Executor {
    /// Is it the pool that this process works for?
    pub(crate) fn is_upstream(&self) -> bool {
        upstream().is_some_and(|upstream| Arc::ptr_eq(upstream.pool(), self.pool()))
    }
}
