//! The description of a pool, and its check. Owns what may be asked for; starts nothing.

use std::{fmt, sync::Arc, time::Duration};

use super::{Executor, backends, default::default_backend};
use crate::{
    backend::{
        Backend, BackendSpec, Settings,
        pool::{Initializer, Pool},
        serial::Serial,
    },
    cpu::cpu_count,
    error::BuildError,
    function::{InitOutcome, Packed, Portable, TaskFn, assert_captures_nothing, pack, ship_packed, unpack},
    policy::CancellationPolicy,
    runtime::{Port, Runtime},
    sys::copy::notice_forks,
    task::catch::install_hook,
};

/// What happens when a pool would have one worker only, so that its tasks run one after the other: at
/// [`build`](ExecutorBuilder::build), and at [`resize`](Executor::resize).
///
/// # Examples
/// ```
/// use polypool::{BuildError, Executor, OnSerial};
///
/// let refused = Executor::builder().backend("threads").max_workers(1).on_serial(OnSerial::Error).build();
/// assert!(matches!(refused, Err(BuildError::Serial)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnSerial {
    /// The pool is not built, or keeps its size.
    Error,
    /// The pool is built, or resized, with a warning through `tracing`.
    Warn,
    /// The pool is built, or resized.
    #[default]
    Ignore,
}

impl OnSerial {
    /// Looks at a pool that is to have so many workers.
    pub(super) fn check(self, max_workers: usize, pool: &str) -> Result<(), BuildError> {
        match self {
            Self::Error if max_workers == 1 => return Err(BuildError::Serial),
            Self::Warn if max_workers == 1 => tracing::warn!(pool, "the pool runs its tasks one at a time"),
            _ => {}
        }
        Ok(())
    }
}

/// Whether those who wait may spend CPU time on waiting faster.
///
/// # Examples
/// ```
/// use polypool::{Executor, Spin};
///
/// let pool = Executor::builder().backend("threads").spin(Spin::Adaptive).build()?;
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spin {
    /// Who waits sleeps.
    #[default]
    Off,
    /// Workers that have nothing to do, and polls of handles that are not ready, look again and again for up to 20 µs before they
    /// sleep. A wake-up between two processors costs more than that. The time is taken from whatever else would run there; with
    /// one processor, nobody spins.
    Adaptive,
}

/// Describes a pool; from [`Executor::builder`]. Dropping it does nothing.
///
/// # Examples
/// See [`Executor::builder`].
#[must_use = "a description does nothing before `build()`"]
pub struct ExecutorBuilder {
    backend: Option<BackendSpec>,
    max_workers: Option<usize>,
    on_drop: CancellationPolicy,
    max_pending: Option<usize>,
    task_timeout: Option<Duration>,
    retries: u32,
    runtime: Runtime,
    on_serial: OnSerial,
    spin: Spin,
    name: Option<String>,
    initializer: Option<Result<Initializer, BuildError>>,
}

impl ExecutorBuilder {
    pub(super) fn new() -> Self {
        Self {
            backend: None,
            max_workers: None,
            on_drop: CancellationPolicy::default(),
            max_pending: None,
            task_timeout: None,
            retries: 0,
            runtime: Runtime::detect(),
            on_serial: OnSerial::default(),
            spin: Spin::default(),
            name: None,
            initializer: None,
        }
    }

    /// Chooses what runs the tasks: a name, an address such as `dask://host:8786`, or a value. The default is
    /// [`default_backend`](crate::default_backend()) when the pool is built.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, Threads};
    ///
    /// let by_name = Executor::builder().backend("threads").build()?;
    /// let by_value = Executor::builder().backend(Threads::new()).build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn backend(mut self, backend: impl Into<BackendSpec>) -> Self {
        self.backend = Some(backend.into());
        self
    }

    /// Sets how many workers there may be, from 1 to 2²⁰; more than CPUs is fine. The default is [`cpu_count`]. The `serial`
    /// backend has one whatever is set here.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::builder().backend("threads").max_workers(3).build()?;
    /// assert_eq!(pool.max_workers(), 3);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn max_workers(mut self, n: usize) -> Self {
        self.max_workers = Some(n);
        self
    }

    /// Sets what happens to the tasks that are left when the last clone of the executor is dropped. The default is
    /// [`CancellationPolicy::PENDING`]; a `bool` will do, too.
    ///
    /// # Examples
    /// ```
    /// use polypool::{CancellationPolicy, Executor};
    ///
    /// let pool = Executor::builder().backend("threads").on_drop(CancellationPolicy::NONE).build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn on_drop(mut self, policy: impl Into<CancellationPolicy>) -> Self {
        self.on_drop = policy.into();
        self
    }

    /// Bounds how many tasks may wait, 1 or more. Beyond it [`submit`](Executor::submit) gives
    /// [`TaskError::QueueFull`](crate::TaskError::QueueFull), [`try_submit`](Executor::try_submit) gives the argument back,
    /// [`submit_when_ready`](Executor::submit_when_ready) waits, and so do the streams. The default is no bound.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::builder().backend("threads").max_pending(10_000).build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn max_pending(mut self, n: usize) -> Self {
        self.max_pending = Some(n);
        self
    }

    /// Limits how long each task may run, from its start. The default is no limit. In [`map`](Executor::map) and its like, each
    /// item is then a task of its own, whatever the chunk size.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = polypool::Executor::builder().backend("threads").task_timeout(Duration::from_secs(30)).build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn task_timeout(mut self, after: Duration) -> Self {
        self.task_timeout = Some(after);
        self
    }

    /// Sets how often a task is tried again after its worker was lost; its own error or panic is never retried. The default
    /// is 0.
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::Executor::builder().backend("threads").retries(2).build()?;
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn retries(mut self, n: u32) -> Self {
        self.retries = n;
        self
    }

    /// Sets the runtime. The default is [`Runtime::detect`].
    ///
    /// # Examples
    /// See [`Runtime`].
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Sets what happens when there would be one worker only. The default is [`OnSerial::Ignore`].
    ///
    /// # Examples
    /// See [`OnSerial`].
    pub fn on_serial(mut self, on: OnSerial) -> Self {
        self.on_serial = on;
        self
    }

    /// Sets whether those who wait may spin. The default is [`Spin::Off`].
    ///
    /// # Examples
    /// See [`Spin`].
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Has every worker call `f` before its first task. The argument is encoded once and decoded in each worker. When the
    /// initializer fails or panics in any worker, the pool is broken: every task, waiting or to come, fails with
    /// [`TaskError::InitializerFailed`](crate::TaskError::InitializerFailed).
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// use std::cell::Cell;
    ///
    /// thread_local!(static FACTOR: Cell<u32> = const { Cell::new(0) });
    ///
    /// let pool = polypool::Executor::builder()
    ///     .backend("threads")
    ///     .initializer(|factor: u32| FACTOR.set(factor), 3)
    ///     .build()?;
    /// assert_eq!(pool.submit(|n: u32| n * FACTOR.get(), 14).await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn initializer<F, A, R>(mut self, f: F, arg: A) -> Self
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: InitOutcome,
    {
        const { assert_captures_nothing::<F>() };
        match pack(arg) {
            Ok(arg) => self.initializer_packed(f, arg),
            Err(error) => {
                let why = format!("the initializer's argument: {error}");
                self.initializer = Some(Err(BuildError::Unsupported(why)));
                self
            }
        }
    }

    /// The same with an argument that is encoded already.
    pub(super) fn initializer_packed<F, A, R>(mut self, f: F, arg: Packed) -> Self
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: InitOutcome,
    {
        let arg = arg.into_shared();
        // It captures `f` alone, and so is as good as `f`.
        let call = ship_packed(move |arg: A| f(arg).outcome(), arg.again()).map(Arc::new);
        let run = move || f(unpack(&arg.bytes).map_err(|error| error.to_string())?).outcome();
        self.initializer = Some(Ok(Initializer { run: Arc::new(run), call }));
        self
    }

    /// Names the pool in logs and events. The default is the backend's name.
    ///
    /// # Examples
    /// See [`Executor::name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Checks the description and makes the pool. Starts nothing and needs no runtime.
    ///
    /// # Errors
    /// - [`BuildError::UnknownBackend`], [`BuildError::FeatureDisabled`], [`BuildError::Factory`] for the backend;
    /// - [`BuildError::OutOfRange`] for zero workers or more than a million, a bound of zero or a time limit of zero;
    /// - [`BuildError::Unsupported`] for an option or a policy that the backend cannot honour;
    /// - [`BuildError::Serial`] as [`on_serial`](Self::on_serial) says;
    /// - [`BuildError::NestingTooDeep`] inside ten tasks inside tasks (`POLYPOOL_MAX_DEPTH` sets another limit).
    ///
    /// # Examples
    /// ```
    /// let error = polypool::Executor::builder().max_workers(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "max_workers is 0; a pool needs 1 worker or more");
    /// ```
    pub fn build(self) -> Result<Executor, BuildError> {
        let backend = backends::resolve(self.backend.unwrap_or_else(|| default_backend().into()))?;
        if let Some(n) = self.max_workers {
            check_workers(n)?;
        }
        if self.max_pending == Some(0) {
            return Err(BuildError::OutOfRange(
                "max_pending is 0, so no task could ever be submitted; it must be 1 or more".to_owned(),
            ));
        }
        if self.task_timeout == Some(Duration::ZERO) {
            return Err(BuildError::OutOfRange(
                "task_timeout is 0, so every task would time out; leave it out for no limit".to_owned(),
            ));
        }
        let default = || backend.default_workers().unwrap_or_else(cpu_count);
        let max_workers = if backend.runs_in_polls() { 1 } else { self.max_workers.unwrap_or_else(default) };
        let initializer = self.initializer.transpose()?;
        let settings = Settings {
            name: self.name.unwrap_or_else(|| backend.name().to_owned()),
            max_workers,
            is_sized: self.max_workers.is_some(),
            on_drop: self.on_drop,
            max_pending: self.max_pending,
            task_timeout: self.task_timeout,
            retries: self.retries,
            has_initializer: initializer.is_some(),
            spin: self.spin == Spin::Adaptive && cpu_count() > 1,
        };
        backend.check(&settings)?;
        let depth = check_depth()?;
        self.on_serial.check(max_workers, &settings.name)?;
        Ok(make(backend, settings, initializer, (self.runtime, self.on_serial), depth))
    }
}

fn make(
    backend: Arc<dyn Backend>,
    settings: Settings,
    initializer: Option<Initializer>,
    (runtime, on_serial): (Runtime, OnSerial),
    depth: usize,
) -> Executor {
    install_hook();
    notice_forks();
    let on_drop = settings.on_drop;
    Executor::new(Pool::new(backend, settings, initializer, Port::new(runtime), depth), on_drop, on_serial)
}

/// The serial pool, whose description has nothing in it that could be refused. It may be nested without limit: it starts
/// nothing.
pub(super) fn serial() -> Executor {
    let settings = Settings {
        name: "serial".to_owned(),
        max_workers: 1,
        is_sized: true,
        on_drop: CancellationPolicy::default(),
        max_pending: None,
        task_timeout: None,
        retries: 0,
        has_initializer: false,
        spin: false,
    };
    make(Arc::new(Serial::new()), settings, None, (Runtime::detect(), OnSerial::Ignore), current_depth() + 1)
}

/// The pool that a worker process works for, as its tasks see it. It is as deep as the task.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(super) fn upstream(place: &crate::wire::control::Place) -> Executor {
    let settings = Settings {
        name: place.name.clone(),
        max_workers: usize::try_from(place.max_workers).unwrap_or(1),
        is_sized: true,
        on_drop: CancellationPolicy::NONE,
        max_pending: None,
        task_timeout: None,
        retries: 0,
        has_initializer: false,
        spin: false,
    };
    let executor = make(
        Arc::new(crate::inside::process::Upstream),
        settings,
        None,
        (Runtime::standalone(), OnSerial::Ignore),
        current_depth(),
    );
    // It is there already, whether or not it is given a task.
    executor.pool().begin();
    executor
}

/// More than anybody means: a slip of the pen, or a number that wrapped.
const MOST_WORKERS: usize = 1 << 20;

pub(crate) fn check_workers(n: usize) -> Result<(), BuildError> {
    match n {
        0 => Err(BuildError::OutOfRange("max_workers is 0; a pool needs 1 worker or more".to_owned())),
        1..=MOST_WORKERS => Ok(()),
        _ => Err(BuildError::OutOfRange(format!("max_workers is {n}; the most is {MOST_WORKERS}"))),
    }
}

fn current_depth() -> usize {
    crate::inside::depth()
}

fn check_depth() -> Result<usize, BuildError> {
    const VARIABLE: &str = "POLYPOOL_MAX_DEPTH";
    let limit = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text.trim().parse().map_err(|_| {
            BuildError::OutOfRange(format!(
                "{VARIABLE} is `{text}`; it must be a number, how deep pools may be nested"
            ))
        })?,
        _ => 10,
    };
    let depth = current_depth() + 1;
    if depth > limit { Err(BuildError::NestingTooDeep { depth, limit }) } else { Ok(depth) }
}

impl fmt::Debug for ExecutorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorBuilder")
            .field("backend", &self.backend)
            .field("max_workers", &self.max_workers)
            .field("on_drop", &self.on_drop)
            .field("max_pending", &self.max_pending)
            .field("task_timeout", &self.task_timeout)
            .field("retries", &self.retries)
            .field("runtime", &self.runtime)
            .field("on_serial", &self.on_serial)
            .field("spin", &self.spin)
            .field("name", &self.name)
            .field("initializer", &self.initializer.is_some())
            .finish()
    }
}
