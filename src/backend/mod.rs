//! The contract between a pool and what runs its tasks, and the machinery that all backends share. Owns the traits; knows no
//! backend by name.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::{
    error::{BuildError, TaskError},
    policy::CancellationPolicy,
};

pub(crate) mod anchor;
#[cfg(all(feature = "dask", target_os = "linux"))]
pub(crate) mod dask;
mod deadline;
#[cfg(all(feature = "engine", target_os = "linux"))]
pub(crate) mod engine;
mod events;
mod info;
mod job;
mod lane;
mod lanes;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(not(feature = "metrics"))]
#[path = "no_meter.rs"]
mod meter;
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub(crate) mod mpi;
pub(crate) mod pool;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod processes;
mod queue;
#[cfg(all(feature = "ray", target_os = "linux"))]
pub(crate) mod ray;
mod registry;
pub(crate) mod room;
pub(crate) mod seat;
pub(crate) mod serial;
pub(crate) mod sizes;
pub(crate) mod spans;
pub(crate) mod state;
pub(crate) mod tasks;
pub(crate) mod threads;
mod waiters;

pub use anchor::{Awaited, Polled};
pub use events::{Event, EventKind, Events};
pub use info::{Stats, WorkerInfo};
pub use job::Job;
pub use lane::{Arrival, Lane, Single};
pub(crate) use lanes::{Released, Wait};
pub(crate) use queue::Entry;
#[cfg(all(any(polypool_loom, test), feature = "processes", target_os = "linux"))]
pub(crate) use queue::Queue;
pub use registry::register;
pub(crate) use registry::{is_registered, make as make_registered, names as registered_names};
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) use waiters::Waiting;

use pool::Pool;

/// The names that no registered backend may take, whether or not this build has the backend.
pub(crate) const RESERVED: &[&str] = &[
    "serial",
    "sync",
    "threads",
    "thread",
    "tasks",
    "async",
    "processes",
    "loky",
    "multiprocess",
    "multiprocessing",
    "concurrent.futures",
    "joblib",
    "mpi",
    "dask",
    "ray",
];

/// What runs the tasks of a pool.
///
/// A backend is a value: it says what it can do and makes the workers of each pool that is built with it. It brings workers and
/// nothing else. The queue, priorities, bounds, time limits, cancellation, counting and events are the pool's, the same for
/// every backend.
///
/// # The contract
/// 1. [`start`](Self::start) is called once per pool, with its first task. It must not block and not use the pool.
/// 2. The pool says through [`Workers::wanted`] when it has use for one more worker. The backend takes the [`Arrival`] to where
///    its workers run, claims a [`Lane`] there, and lets it take and run one task after the other. To refuse, it drops the
///    arrival; then nothing waits for it in vain.
/// 3. A worker takes a task only when it is ready to run it, and runs it at once. So what waits can be cancelled exactly.
/// 4. A worker whose lane gives no more tasks drops it and goes. The pool asks again when it has need.
///
/// What a wrong backend looks like: it takes several jobs ahead (a task that was reported as cancelled may be among them, and one
/// long task holds up the others), it keeps the arrival "for later" (the pool waits for a worker that never comes), or it
/// blocks in `wanted` (and with it whoever submits).
///
/// # Examples
/// A backend that starts a thread for each worker. `examples/rayon_backend.rs` runs tasks on a rayon pool in the same way.
/// ```
/// use std::time::Duration;
/// use async_trait::async_trait;
/// use polypool::{Capabilities, Executor, TaskError};
/// use polypool::backend::{Arrival, Backend, PoolContext, Workers};
///
/// #[derive(Debug)]
/// struct Plain;
///
/// impl Backend for Plain {
///     fn name(&self) -> &str {
///         "plain"
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities { in_process: true, futures: true, ..Capabilities::default() }
///     }
///
///     fn start(&self, _: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
///         Ok(Box::new(PlainWorkers))
///     }
/// }
///
/// struct PlainWorkers;
///
/// #[async_trait]
/// impl Workers for PlainWorkers {
///     fn wanted(&self, arrival: Arrival) {
///         std::thread::spawn(move || {
///             let Some(mut lane) = arrival.claim() else { return };
///             while let Some(job) = lane.next(Duration::from_millis(10)) {
///                 job.run();
///             }
///         });
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::builder().backend(Plain).max_workers(2).build()?;
/// assert_eq!(pool.submit(|n: u32| n + 1, 1).await?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Gives the backend's name, for messages.
    fn name(&self) -> &str;

    /// Says what the backend can do.
    fn capabilities(&self) -> Capabilities;

    /// Looks at the settings of a pool that is being built. Starts nothing.
    ///
    /// # Errors
    /// [`BuildError::Unsupported`] for an option or a policy that the backend cannot honour.
    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        let _ = settings;
        Ok(())
    }

    /// Tells whether tasks run where their handles are polled. Then there are no workers, [`Workers::wanted`] is never called,
    /// and [`Workers::polled`] does the work.
    fn runs_in_polls(&self) -> bool {
        false
    }

    /// Gives the size of a pool for which nobody names one. The default is [`cpu_count`](crate::cpu_count).
    fn default_workers(&self) -> Option<usize> {
        None
    }

    /// Makes the workers of one pool; they may come later, one by one, when they are wanted.
    ///
    /// # Errors
    /// A pool whose backend does not start fails every task with the error given here.
    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError>;
}

/// The workers of one pool. Dropped with the pool.
///
/// # Examples
/// See [`Backend`].
#[async_trait]
pub trait Workers: Send + Sync {
    /// The pool has use for one more worker. Must return soon; see [`Arrival`].
    fn wanted(&self, arrival: Arrival);

    /// A handle is polled whose task has not finished; only where [`Backend::runs_in_polls`] says so. If the task is still
    /// unfinished when this returns, the handle's waker must be woken when there is a reason to poll again.
    fn polled(&self, task: Polled<'_>, cx: &mut std::task::Context<'_>) {
        let _ = (task, cx);
    }

    /// Starts or connects whatever tasks will need, so that it fails now and not later.
    ///
    /// # Errors
    /// What keeps the backend from running tasks.
    async fn warm_up(&self) -> Result<(), TaskError> {
        Ok(())
    }

    /// The pool has another size now. Must return soon.
    fn resized(&self, max_workers: usize) {
        let _ = max_workers;
    }

    /// Tasks that were taken and have not begun are to be put back: one that goes before them may have come. Must return soon.
    fn recall(&self) {}

    /// Somebody waits for a result without sleeping, until `done` says so, which is soon. A backend that has to fetch results
    /// does it here meanwhile.
    fn spin(&self, done: &mut dyn FnMut() -> bool) {
        while !done() {
            std::hint::spin_loop();
        }
    }

    /// A task waits for another of its pool, and it is not one that runs at a lane of this process. What is given back is dropped
    /// when it waits no more.
    fn awaited(&self) -> Option<Box<dyn Send + Sync>> {
        None
    }

    /// The same for a task that waits for one other task, which [`help`](Self::help) knows.
    fn awaited_one(&self) -> Option<Box<dyn Send + Sync>> {
        self.awaited()
    }

    /// A handle of that task is polled. Gives true when its worker, which waits, has run it; see [`stuck`](Self::stuck).
    fn help(&self, task: Awaited<'_>) -> bool {
        let _ = task;
        false
    }

    /// Every worker waits for tasks of the pool, and there may be no more workers. One that waits for a task which has not begun may
    /// run it in its own place; lanes of this process do so by themselves. Must return soon.
    fn stuck(&self) {}

    /// The pool will have no more tasks than it has now, and applies this policy to them. Must return soon.
    fn closing(&self, policy: CancellationPolicy) {
        let _ = policy;
    }

    /// Every lane is gone; whatever else the backend holds is put away now. Awaited by
    /// [`Executor::shutdown`](crate::Executor::shutdown). A backend whose pool is really elsewhere gives the counts from there.
    async fn gone(&self) -> Option<Stats> {
        None
    }
}

/// What kind of workers a registered backend has.
///
/// # Examples
/// See [`register`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerKind {
    /// Threads of this process: tasks are not encoded, and futures and closures may capture.
    Threads,
    /// Other processes on this machine.
    Processes,
    /// Processes that may be on other machines.
    Remote,
}

/// What a backend can do; from [`Executor::capabilities`](crate::Executor::capabilities).
///
/// # Examples
/// ```
/// let serial = polypool::Executor::serial().capabilities();
/// assert!(serial.in_process && !serial.distributed);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Tasks stay in this process: nothing is encoded, and `spawn` and `spawn_blocking` work.
    pub in_process: bool,
    /// Tasks may be futures.
    pub futures: bool,
    /// A running task can be stopped by force.
    pub stops_running: bool,
    /// Large data can be shared with workers without copying it.
    pub shared_memory: bool,
    /// The death of a worker costs one task and not the pool.
    pub survives_worker_loss: bool,
    /// Workers may be on other machines.
    pub distributed: bool,
    /// Tasks may submit to their own pool and wait.
    pub nests: bool,
}

/// The settings of a pool, as its backend sees them.
///
/// # Examples
/// ```
/// use polypool::{BuildError, CancellationPolicy, backend::Settings};
///
/// fn check(settings: &Settings) -> Result<(), BuildError> {
///     if settings.on_drop.contains(CancellationPolicy::RUNNING) {
///         return Err(BuildError::Unsupported("nothing stops a job once it is printed".to_owned()));
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The pool's name.
    pub name: String,
    /// How many workers there may be; 1 or more.
    pub max_workers: usize,
    /// Somebody said so. Else it is a default, and a backend that knows better may have another size.
    pub is_sized: bool,
    /// What happens to tasks when the last clone of the executor is dropped.
    pub on_drop: CancellationPolicy,
    /// How many tasks may wait.
    pub max_pending: Option<usize>,
    /// How long each task may run. The pool sees to it.
    pub task_timeout: Option<Duration>,
    /// How often a task is tried again after its worker was lost. The pool sees to it.
    pub retries: u32,
    /// There is something that every worker does before its first task. The pool sees to it in this process.
    pub has_initializer: bool,
    /// Who waits may spend CPU time on waiting faster. The pool sees to it.
    pub spin: bool,
}

/// More than there are at once.
#[cfg(all(feature = "processes", target_os = "linux"))]
const MANY: usize = 1 << 16;

/// What a backend may use of the pool's surroundings. Cheap to clone; does not keep the pool alive.
///
/// # Examples
/// ```
/// use polypool::backend::{Arrival, PoolContext};
///
/// fn on_the_runtime(context: &PoolContext, arrival: Arrival) {
///     context.spawn(async move {
///         let Some(mut lane) = arrival.claim() else { return };
///         while let Some(job) = lane.next_async().await {
///             job.run_async().await;
///         }
///     });
/// }
/// ```
#[derive(Clone)]
pub struct PoolContext {
    pool: std::sync::Weak<Pool>,
    settings: Settings,
}

impl PoolContext {
    fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::downgrade(pool), settings: pool.settings().clone() }
    }

    /// Gives the pool's settings. `max_workers` is what the pool began with; how many workers it wants, it says by asking.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs `f` on a thread of the pool's runtime that may block; on one of the pool's own where the runtime has ended.
    pub fn spawn_blocking(&self, f: impl FnOnce() + Send + 'static) {
        if let Some(pool) = self.pool.upgrade() {
            pool.port().spawn_blocking(f);
        }
    }

    /// Runs `f` on a thread of the pool's own, in the context of its runtime.
    pub fn spawn_thread(&self, f: impl FnOnce() + Send + 'static) {
        if let Some(pool) = self.pool.upgrade() {
            pool.port().spawn_thread(f);
        }
    }

    /// Has whoever waits for a task of the pool look at it again, and no task wait for one that passes it on.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub(crate) fn open_up(&self, was_open: bool) {
        let Some(pool) = self.pool.upgrade() else { return };
        if !was_open {
            pool.lanes().release_many(MANY);
            pool.call_if_work();
        }
        for task in pool.lanes().awaited() {
            task.rouse();
        }
    }

    /// Runs `f` where it has room enough on the stack: on this thread if it can be, else on another in its place.
    pub(crate) fn with_room<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match self.pool.upgrade() {
            Some(pool) => pool.port().with_room(f),
            None => f(),
        }
    }

    /// Puts a future on the pool's runtime. Drops it where that has ended and there is no other.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let future: BoxFuture<'static, ()> = Box::pin(future);
        if let Some(pool) = self.pool.upgrade() {
            pool.port().spawn(future);
        }
    }
}

impl fmt::Debug for PoolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolContext").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A backend by name or by value; what [`ExecutorBuilder::backend`](crate::ExecutorBuilder::backend) takes.
///
/// # Examples
/// ```
/// use polypool::{BackendSpec, Threads};
///
/// let by_name: BackendSpec = "threads".into();
/// let by_value: BackendSpec = Threads::new().into();
/// ```
#[derive(Debug, Clone)]
pub struct BackendSpec(pub(crate) Spec);

#[derive(Debug, Clone)]
pub(crate) enum Spec {
    Named(String),
    Value(Arc<dyn Backend>),
}

impl From<&str> for BackendSpec {
    fn from(name: &str) -> Self {
        Self(Spec::Named(name.to_owned()))
    }
}

impl From<String> for BackendSpec {
    fn from(name: String) -> Self {
        Self(Spec::Named(name))
    }
}

impl<B: Backend> From<B> for BackendSpec {
    fn from(backend: B) -> Self {
        Self(Spec::Value(Arc::new(backend)))
    }
}
