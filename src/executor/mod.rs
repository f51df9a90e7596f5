//! The front: what users hold of a pool. Owns when a pool's policy is applied; each verb has a file of its own beside this one.

use std::{fmt, sync::Arc};

use crate::{
    backend::{Capabilities, Events, Stats, WorkerInfo, anchor::Anchor, pool::Pool},
    error::{BuildError, TaskError},
    policy::CancellationPolicy,
};

mod backends;
mod builder;
pub(crate) mod default;
mod everywhere;
pub(crate) mod inside;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod process;
mod reusable;
mod scatter;
mod shutdown;
mod spawn;
pub(crate) mod submit;

pub(crate) use backends::{check_name, plain_name};
pub(crate) use builder::check_workers;
pub use builder::{ExecutorBuilder, OnSerial, Spin};
pub use default::{default_backend, set_default_backend, with_default_backend};
pub(crate) use reusable::Slot;
pub use reusable::{ReusableOptions, Reuse, reusable};
pub use shutdown::{Shutdown, ShutdownReport};
pub use submit::TrySubmitError;

/// Runs tasks elsewhere and gives futures and streams of their results.
///
/// Cheap to clone; the clones share one pool. When the last clone is dropped, the pool's [`CancellationPolicy`] is applied to
/// the tasks that are left, in the background: dropping never blocks. To wait for the end, use [`shutdown`](Self::shutdown).
/// Streams such as [`Map`](crate::Map) hold a clone until they end; handles do not.
///
/// Nothing is started before the first task. An executor can be built, cloned, used and dropped anywhere: under any runtime,
/// under none, in a static, inside a task.
///
/// # Examples
/// ```
/// use polypool::Executor;
///
/// fn is_prime(n: u64) -> bool {
///     n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(4)?;
/// assert!(pool.submit(is_prime, 1_000_003).await?);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Executor {
    front: Arc<Front>,
    anchor: Arc<Anchor>,
}

/// What all clones share; its end is the end of the executor.
struct Front {
    pool: Arc<Pool>,
    on_drop: CancellationPolicy,
    on_serial: OnSerial,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.pool.abandon(self.on_drop);
    }
}

impl Executor {
    /// Starts the description of a pool.
    ///
    /// # Examples
    /// ```
    /// use polypool::{CancellationPolicy, Executor};
    ///
    /// let pool = Executor::builder()
    ///     .backend("threads")
    ///     .max_workers(4)
    ///     .on_drop(CancellationPolicy::ALL)
    ///     .name("thumbnails")
    ///     .build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::new()
    }

    /// Builds a pool that runs each task in the poll of its handle, for debugging; see [`Serial`](crate::Serial).
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// assert_eq!(polypool::Executor::serial().submit(|n: u8| n + 1, 1).await?, 2);
    /// # Ok::<(), polypool::TaskError>(()) }).unwrap();
    /// ```
    pub fn serial() -> Executor {
        builder::serial()
    }

    /// Builds a pool of up to `n` blocking threads; see [`Threads`](crate::Threads).
    ///
    /// # Errors
    /// [`BuildError::OutOfRange`] when `n` is 0; [`BuildError::NestingTooDeep`] inside too many tasks inside tasks.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(8)?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn threads(n: usize) -> Result<Executor, BuildError> {
        Self::builder().backend("threads").max_workers(n).build()
    }

    /// Builds a pool of up to `n` worker processes; see [`Processes`](crate::Processes).
    ///
    /// # Errors
    /// As [`threads`](Self::threads); and [`BuildError::WorkerEntryMissing`] in a program that lets no workers in.
    ///
    /// # Examples
    /// ```no_run
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     polypool::init();
    ///     let pool = polypool::Executor::processes(4)?;
    ///     Ok(())
    /// }
    /// ```
    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub fn processes(n: usize) -> Result<Executor, BuildError> {
        Self::builder().backend("processes").max_workers(n).build()
    }

    /// Builds a pool that runs up to `n` futures at a time on the runtime; see [`Tasks`](crate::Tasks).
    ///
    /// # Errors
    /// As [`threads`](Self::threads).
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::tasks(100)?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn tasks(n: usize) -> Result<Executor, BuildError> {
        Self::builder().backend("tasks").max_workers(n).build()
    }

    fn new(pool: Arc<Pool>, on_drop: CancellationPolicy, on_serial: OnSerial) -> Self {
        let front = Arc::new(Front { pool: Arc::clone(&pool), on_drop, on_serial });
        let shared: Arc<dyn std::any::Any + Send + Sync> = Arc::<Front>::clone(&front);
        pool.set_home(Arc::downgrade(&shared));
        Self::of(front)
    }

    fn of(front: Arc<Front>) -> Self {
        let anchor = Arc::new(Anchor { pool: Arc::clone(&front.pool) });
        Self { front, anchor }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.front.pool
    }

    pub(crate) fn anchor(&self) -> &Arc<Anchor> {
        &self.anchor
    }

    /// Changes how many workers there may be. Growing takes effect at once; shrinking as workers become idle. A pool whose
    /// tasks run in the polls of their handles stays as it is.
    ///
    /// # Errors
    /// [`BuildError::OutOfRange`] when `n` is 0 or more than a million, and [`BuildError::Serial`] when it is 1 and the pool was built with
    /// [`OnSerial::Error`]; then the pool stays as it is, too.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::threads(2)?;
    /// pool.resize(16)?;
    /// assert_eq!(pool.max_workers(), 16);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn resize(&self, n: usize) -> Result<(), BuildError> {
        check_workers(n)?;
        if n != self.max_workers() {
            self.front.on_serial.check(n, self.name())?;
        }
        self.pool().resize(n);
        Ok(())
    }

    /// Starts or connects the workers now and runs the initializer in each, so that what would fail, fails now. Optional: the
    /// first tasks do as much.
    ///
    /// # Errors
    /// The reason why no task could run: [`TaskError::InitializerFailed`], [`TaskError::Broken`], [`TaskError::Backend`].
    ///
    /// # Cancel safety
    /// What has been started stays.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(2)?;
    /// pool.warm_up().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn warm_up(&self) -> impl Future<Output = Result<(), TaskError>> + Send + use<> {
        let this = self.clone();
        async move {
            this.pool().warm_up_backend().await?;
            futures::future::try_join_all(this.greet_all()).await?;
            Ok(())
        }
    }

    /// Counts the tasks of the pool, now.
    ///
    /// # Metrics
    /// With the feature `metrics`, every pool counts through the crate of that name, with the labels `pool` and `backend`. Here a
    /// chunk of a stream's inputs is one task, but for the counters that say so.
    ///
    /// | name | kind | counts |
    /// |---|---|---|
    /// | `polypool_tasks_submitted_total` | counter | tasks that were submitted |
    /// | `polypool_tasks_completed_total` | counter | tasks that gave their value; each input of a chunk |
    /// | `polypool_tasks_failed_total` | counter | tasks that ended with any other error than `Cancelled`; each input of a chunk |
    /// | `polypool_tasks_cancelled_total` | counter | tasks that were cancelled; each input of a chunk |
    /// | `polypool_tasks_lost_total` | counter | attempts that were lost with their worker |
    /// | `polypool_tasks_queued` | gauge | tasks that wait |
    /// | `polypool_tasks_running` | gauge | tasks that workers are busy with, though they may be cancelled |
    /// | `polypool_task_queue_seconds` | histogram | how long tasks waited that began |
    /// | `polypool_task_run_seconds` | histogram | how long tasks ran, from their last start |
    /// | `polypool_workers` | gauge | workers that there are |
    /// | `polypool_workers_started_total` | counter | workers that began to work |
    /// | `polypool_workers_lost_total` | counter | workers that died |
    /// | `polypool_workers_recycled_total` | counter | workers that were replaced on purpose |
    ///
    /// They go to the recorder that is there at the time. Install it before the first pool is built, so that it hears their
    /// descriptions, and all of a gauge's changes.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::serial();
    /// let task = pool.submit(|()| (), ());
    /// assert_eq!(pool.stats().queued, 1);
    /// ```
    pub fn stats(&self) -> Stats {
        self.pool().stats()
    }

    /// Lists the workers that there are now. Workers come when there is work and go when there is none.
    ///
    /// # Examples
    /// ```
    /// for worker in polypool::Executor::serial().workers() {
    ///     println!("worker {} runs {:?}", worker.id, worker.task);
    /// }
    /// ```
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.pool().workers()
    }

    /// Says what the pool's backend can do.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::Executor::tasks(1)?.capabilities().stops_running);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn capabilities(&self) -> Capabilities {
        self.pool().backend().capabilities()
    }

    /// Gives the name of the pool's backend.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(polypool::Executor::serial().backend_name(), "serial");
    /// ```
    pub fn backend_name(&self) -> &str {
        self.pool().backend().name()
    }

    /// Gives the name of the pool; that of its backend when it was given none.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::builder().backend("serial").name("checks").build()?;
    /// assert_eq!(pool.name(), "checks");
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.pool().settings().name
    }

    /// Tells how many workers there may be.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(polypool::Executor::serial().max_workers(), 1);
    /// ```
    pub fn max_workers(&self) -> usize {
        self.pool().max_workers()
    }

    /// Listens to what happens in the pool from now on.
    ///
    /// # Examples
    /// See [`Event`](crate::Event).
    pub fn events(&self) -> Events {
        self.pool().events()
    }
}

impl Clone for Executor {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.front))
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("name", &self.name())
            .field("backend", &self.backend_name())
            .field("max_workers", &self.max_workers())
            .finish_non_exhaustive()
    }
}
