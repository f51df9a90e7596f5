//! What can be asked about a pool, as plain values.

use crate::task::TaskId;

/// How many tasks of a pool wait and run, and what became of the others; from [`Executor::stats`](crate::Executor::stats).
///
/// # Examples
/// ```
/// let stats = polypool::Executor::serial().stats();
/// assert_eq!((stats.queued, stats.running), (0, 0));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Tasks that were submitted and have not started. A chunk of a stream is one.
    pub queued: usize,
    /// Tasks whose code runs. One that was cancelled and cannot be stopped counts until its code has ended.
    pub running: usize,
    /// Tasks that gave a value, since the pool was built. Each input of a stream is one.
    pub completed: u64,
    /// Tasks that ended with an error other than `Cancelled`, since the pool was built.
    pub failed: u64,
    /// Tasks that were cancelled, since the pool was built.
    pub cancelled: u64,
}

/// One worker of a pool; from [`Executor::workers`](crate::Executor::workers).
///
/// # Examples
/// ```
/// let pool = polypool::Executor::threads(2)?;
/// assert!(pool.workers().is_empty()); // none before there is work
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The worker's id, unique in its pool; one that comes in its place has another.
    pub id: u64,
    /// Its index, as in [`worker::index`](crate::worker::index).
    pub index: usize,
    /// Its process, where it has one of its own.
    pub pid: Option<u32>,
    /// The task that it runs now.
    pub task: Option<TaskId>,
}
