//! Tasks in copies of this program. Owns what may be set and its check; how workers are started, fed and ended is in the files
//! beside this one.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

mod ahead;
mod body;
mod captured;
mod control;
mod crew;
mod ends;
#[cfg(feature = "engine")]
mod far;
mod fork;
pub(crate) mod forkserver;
mod inner;
mod launch;
mod link;
mod lone;
mod method;
mod retell;
mod rings;
mod session;
#[cfg(feature = "engine")]
pub(crate) mod site;
mod socket;
mod worker;

pub(crate) use lone::Lone;
pub use method::{StartMethod, Transport, set_start_method, start_method};

use self::{
    crew::{Crew, Office},
    forkserver::Depot,
};
use super::{Backend, Capabilities, PoolContext, Settings, Workers};
use crate::{
    error::{BuildError, TaskError},
    function::{Call, InitOutcome, Portable, TaskFn, assert_captures_nothing, pack, ship_packed},
    inside::process::has_entry,
};

/// How long a task that is asked to stop has before its process is signalled.
const GRACE: Duration = Duration::from_millis(100);

/// Runs tasks in worker processes: copies of this program, which can be stopped, may crash, and are replaced.
///
/// The program must let its copies in: [`init`](crate::init) first thing in `main`, or [`worker_main!`](crate::worker_main)
/// where `main` is not ours. Arguments and results are encoded with serde; large ones go through shared memory.
///
/// Workers are started when there is work for them and stay until they have been idle for
/// [`idle_timeout`](Self::idle_timeout), or until their pool is gone. A worker that dies costs the task that it ran, and no
/// other; that one ends with [`TaskError::WorkerLost`], or is tried again
/// ([`retries`](crate::ExecutorBuilder::retries)).
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use polypool::{Executor, Processes};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     let workers = Processes::new().idle_timeout(Duration::from_secs(60)).max_tasks_per_worker(10_000);
///     let pool = Executor::builder().backend(workers).max_workers(4).build()?;
///     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Processes {
    pub(super) method: Option<StartMethod>,
    pub(super) transport: Transport,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_tasks: Option<usize>,
    pub(super) max_growth: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) max_payload: Option<u64>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) current_dir: Option<PathBuf>,
    pub(super) grace: Duration,
    pub(super) inner_threads: Option<usize>,
    pub(super) prefetch: bool,
    /// What the fork server does first.
    pub(super) preload: Option<Result<Arc<Call>, TaskError>>,
    /// A fork server that others have, too.
    pub(super) depot: Option<Arc<Depot>>,
    /// There is but one process, ever.
    pub(super) lone: Option<Arc<Lone>>,
    /// The workers are elsewhere.
    #[cfg(feature = "engine")]
    pub(super) site: Option<Arc<dyn site::Site>>,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            method: None,
            transport: Transport::default(),
            idle_timeout: None,
            max_tasks: None,
            max_growth: None,
            memory_limit: None,
            max_payload: None,
            env: Vec::new(),
            current_dir: None,
            grace: GRACE,
            inner_threads: None,
            prefetch: true,
            preload: None,
            depot: None,
            lone: None,
            #[cfg(feature = "engine")]
            site: None,
        }
    }
}

impl Processes {
    /// Makes the backend with its defaults.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how workers are started. The default is what [`process::set_start_method`](crate::process::set_start_method) says,
    /// else [`StartMethod::Loky`].
    ///
    /// # Examples
    /// ```
    /// use polypool::{Processes, StartMethod};
    ///
    /// let backend = Processes::new().start_method(StartMethod::ForkServer);
    /// ```
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Sets how calls travel. The default is [`Transport::SharedMemory`].
    ///
    /// # Examples
    /// ```
    /// use polypool::{Processes, Transport};
    ///
    /// let backend = Processes::new().transport(Transport::Socket);
    /// ```
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Ends workers that had nothing to do for this long, more than 0. The default is never, as long as the pool lives.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let backend = polypool::Processes::new().idle_timeout(Duration::from_secs(10));
    /// ```
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = Some(after);
        self
    }

    /// Replaces a worker after so many tasks, 1 or more; between two tasks, so that none is lost. The items of a
    /// [`map`](crate::Executor::map) count each, but a chunk is not interrupted. The default is no limit.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().max_tasks_per_worker(1_000);
    /// ```
    pub fn max_tasks_per_worker(mut self, n: usize) -> Self {
        self.max_tasks = Some(n);
        self
    }

    /// Replaces a worker, between two tasks, whose resident memory has grown by more than so many bytes since its first task
    /// ended. Shared memory does not count. For libraries that leak. The default is no limit.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().max_memory_growth(300_000_000);
    /// ```
    pub fn max_memory_growth(mut self, bytes: u64) -> Self {
        self.max_growth = Some(bytes);
        self
    }

    /// Limits the memory that a worker may allocate, in bytes, through the operating system (`RLIMIT_DATA`). An allocation
    /// beyond it fails, which ends most programs: then that task alone is lost. The default is no limit.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().memory_limit(2 << 30);
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Refuses encoded arguments and results of more than so many bytes, with [`TaskError::TooLarge`]. The default is no limit
    /// but memory.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().max_payload(64 << 20);
    /// ```
    pub fn max_payload(mut self, bytes: u64) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Sets an environment variable of the workers, which otherwise inherit this program's.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().env("MALLOC_ARENA_MAX", "1");
    /// ```
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets the folder in which workers start. The default is this program's.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().current_dir("/tmp");
    /// ```
    pub fn current_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(path.into());
        self
    }

    /// Sets how long a task that is asked to stop may go on before its process is sent SIGTERM, and then again before SIGKILL.
    /// The default is 100 ms.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// let backend = polypool::Processes::new().grace_period(Duration::from_secs(2));
    /// ```
    pub fn grace_period(mut self, period: Duration) -> Self {
        self.grace = period;
        self
    }

    /// Tells the libraries in a worker how many threads they may use, 1 or more, through the variables that they read:
    /// `RAYON_NUM_THREADS`, `OMP_NUM_THREADS`, `TOKIO_WORKER_THREADS`, those of OpenBLAS, MKL, BLIS, Accelerate and numexpr,
    /// and `POLYPOOL_NUM_WORKERS`. The default leaves them alone.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().inner_threads(1);
    /// ```
    pub fn inner_threads(mut self, n: usize) -> Self {
        self.inner_threads = Some(n);
        self
    }

    /// Sets whether calls that are waiting may be sent to a worker before it has finished what it does, while its tasks are
    /// short; they can still be withdrawn. The default is true. Off, each call waits for the answer to the one before.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Processes::new().prefetch(false);
    /// ```
    pub fn prefetch(mut self, yes: bool) -> Self {
        self.prefetch = yes;
        self
    }

    /// Sets what the fork server does before it forks the first worker: loads what all of them need. They share its memory, of
    /// which the system copies only the pages that somebody writes to. Only for [`StartMethod::ForkServer`].
    ///
    /// It runs once for a pool, and again only when the server had to be replaced; what is to be done in each worker is an
    /// [`initializer`](crate::ExecutorBuilder::initializer). Threads that it starts are the server's, and are in no worker. When
    /// it fails or panics, so do all tasks, with [`TaskError::InitializerFailed`].
    ///
    /// # Examples
    /// ```
    /// use std::sync::OnceLock;
    /// use polypool::{Processes, StartMethod};
    ///
    /// static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    ///
    /// fn load(path: String) -> Result<(), std::io::Error> {
    ///     let words = std::fs::read_to_string(path)?;
    ///     WORDS.get_or_init(|| words.lines().map(str::to_owned).collect());
    ///     Ok(())
    /// }
    ///
    /// let backend = Processes::new()
    ///     .start_method(StartMethod::ForkServer)
    ///     .preload(load, "/usr/share/dict/words".to_owned());
    /// ```
    pub fn preload<F, A, R>(mut self, f: F, arg: A) -> Self
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: InitOutcome,
    {
        const { assert_captures_nothing::<F>() };
        // It captures `f` alone, and so is as good as `f`.
        let call = pack(arg).and_then(|arg| ship_packed(move |arg: A| f(arg).outcome(), arg));
        self.preload = Some(call.map(Arc::new));
        self
    }

    /// Makes the backend of a pool that is one process, which performs one task and ends.
    pub(crate) fn lone(method: Option<StartMethod>, depot: Arc<Depot>, lone: Arc<Lone>) -> Self {
        Self {
            method,
            depot: Some(depot),
            lone: Some(lone),
            max_tasks: Some(1),
            prefetch: false,
            ..Self::default()
        }
    }

    /// As it is where workers are not started by this process: of how they are, nothing may be chosen.
    #[cfg(feature = "engine")]
    pub(super) fn anywhere(self) -> Self {
        Self { method: Some(StartMethod::Loky), transport: Transport::Socket, ..self }
    }

    /// Makes the workers of a pool, which are where `site` brings them.
    #[cfg(feature = "engine")]
    pub(super) fn at(
        self,
        context: PoolContext,
        site: Arc<dyn site::Site>,
    ) -> Result<Box<dyn Workers>, TaskError> {
        let crew = Crew::new(context, Self { site: Some(Arc::clone(&site)), ..self })
            .map_err(|error| TaskError::Broken(format!("no bell: {error}")))?;
        site.listen(crew.ear());
        Ok(Box::new(Office(crew)))
    }

    /// How workers are started, if that were now.
    pub(super) fn start_method_now(&self) -> StartMethod {
        self.method.unwrap_or_else(start_method)
    }
}

impl Backend for Processes {
    fn name(&self) -> &str {
        "processes"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_process: false,
            futures: true,
            stops_running: true,
            shared_memory: self.transport == Transport::SharedMemory,
            survives_worker_loss: true,
            distributed: false,
            nests: true,
        }
    }

    fn check(&self, _settings: &Settings) -> Result<(), BuildError> {
        let out_of_range = |what: &str| Err(BuildError::OutOfRange(what.to_owned()));
        if self.idle_timeout == Some(Duration::ZERO) {
            return out_of_range(
                "idle_timeout is 0, so no worker could ever take a task; leave it out for never",
            );
        }
        if self.max_tasks == Some(0) {
            return out_of_range("max_tasks_per_worker is 0; it must be 1 or more, or left out for no limit");
        }
        if self.inner_threads == Some(0) {
            return out_of_range("inner_threads is 0; a library needs 1 thread or more");
        }
        if self.memory_limit == Some(0) || self.max_payload == Some(0) {
            return out_of_range(
                "memory_limit and max_payload must be more than 0, or left out for no limit",
            );
        }
        let method = self.start_method_now();
        if method != StartMethod::Fork && !has_entry(method == StartMethod::LokyInitMain) {
            return Err(BuildError::WorkerEntryMissing);
        }
        match &self.preload {
            Some(_) if method != StartMethod::ForkServer => {
                return Err(BuildError::Unsupported(format!(
                    "a preload needs a process that loads once for all: set `start_method(StartMethod::ForkServer)`; with \
                     `{method}`, use an initializer"
                )));
            }
            Some(Err(error)) => return Err(BuildError::Unsupported(format!("the preload: {error}"))),
            _ => {}
        }
        for (key, value) in &self.env {
            let bytes = key.as_encoded_bytes();
            let has_nul = bytes.contains(&0) || value.as_encoded_bytes().contains(&0);
            if bytes.is_empty() || bytes.contains(&b'=') || has_nul {
                return Err(BuildError::OutOfRange(format!(
                    "{key:?} cannot be an environment variable: a name has no `=`, neither has a NUL byte, and it is not empty"
                )));
            }
        }
        Ok(())
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        // Settled now, for all workers of the pool.
        let options = Self { method: Some(self.start_method_now()), ..self.clone() };
        let crew =
            Crew::new(context, options).map_err(|error| TaskError::Broken(format!("no bell: {error}")))?;
        Ok(Box::new(Office(crew)))
    }
}
