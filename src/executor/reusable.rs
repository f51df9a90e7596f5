//! One pool for a whole program, whoever asks for it. Owns which pool that is, and when it is replaced.

use std::{
    any::TypeId,
    ffi::OsString,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Executor, backends, default::default_backend};
use crate::{
    backend::{Backend, BackendSpec, Spec},
    error::BuildError,
    function::{InitOutcome, Packed, Portable, TaskFn, assert_captures_nothing, pack},
    policy::CancellationPolicy,
    sys::{copy::PerCopy, lock::lock},
};

/// How long a worker of the reusable pool may be idle, if nothing else is said.
const IDLE: Duration = Duration::from_secs(10);

/// When [`reusable`] gives the pool that is there.
///
/// # Examples
/// See [`reusable`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reuse {
    /// When it was made with the same options; only its size may differ, and is changed.
    #[default]
    IfSame,
    /// Whenever it works, whatever options it was made with.
    Always,
    /// Never: a new one takes its place.
    Never,
}

/// What is asked of the program's one pool; see [`reusable`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use polypool::{ReusableOptions, reusable};
///
/// let options = ReusableOptions::new().backend("threads").max_workers(2).idle_timeout(Duration::from_secs(60));
/// let pool = reusable(options)?;
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct ReusableOptions {
    max_workers: Option<usize>,
    backend: Option<BackendSpec>,
    idle_timeout: Option<Duration>,
    reuse: Reuse,
    kill_workers: bool,
    initializer: Option<Initializer>,
    env: Vec<(OsString, OsString)>,
}

#[derive(Clone)]
struct Initializer {
    function: TypeId,
    arg: Result<Arc<Packed>, String>,
    set: Arc<dyn Fn(super::ExecutorBuilder) -> super::ExecutorBuilder + Send + Sync>,
}

impl ReusableOptions {
    /// Makes options that ask for nothing in particular.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::ReusableOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many workers there may be. The default is what the pool has, for a new one [`cpu_count`](crate::cpu_count).
    ///
    /// # Examples
    /// See [`ReusableOptions`].
    pub fn max_workers(mut self, n: usize) -> Self {
        self.max_workers = Some(n);
        self
    }

    /// Sets the backend, by name or by value. The default is that of [`ExecutorBuilder::backend`](crate::ExecutorBuilder::backend).
    ///
    /// # Examples
    /// See [`ReusableOptions`].
    pub fn backend(mut self, backend: impl Into<BackendSpec>) -> Self {
        self.backend = Some(backend.into());
        self
    }

    /// Sets how long a worker process may be idle before it ends. The default is 10 s. A backend that is given by value has its
    /// own, and threads need none.
    ///
    /// # Examples
    /// See [`ReusableOptions`].
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = Some(after);
        self
    }

    /// Sets when the pool that is there will do. The default is [`Reuse::IfSame`].
    ///
    /// # Examples
    /// ```
    /// use polypool::{Reuse, ReusableOptions};
    ///
    /// let options = ReusableOptions::new().reuse(Reuse::Never);
    /// ```
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets whether a pool that is replaced is stopped, with what it runs. The default is to let it finish.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::ReusableOptions::new().kill_workers(true);
    /// ```
    pub fn kill_workers(mut self, yes: bool) -> Self {
        self.kill_workers = yes;
        self
    }

    /// Has every worker call `f` before its first task; see [`ExecutorBuilder::initializer`](crate::ExecutorBuilder::initializer).
    ///
    /// # Examples
    /// ```
    /// let options = polypool::ReusableOptions::new().initializer(|level: u8| println!("log level {level}"), 3);
    /// ```
    pub fn initializer<F, A, R>(mut self, f: F, arg: A) -> Self
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: InitOutcome,
    {
        const { assert_captures_nothing::<F>() };
        let arg = pack(arg).map(|arg| Arc::new(arg.into_shared())).map_err(|error| error.to_string());
        let kept = arg.clone();
        let set = move |builder: super::ExecutorBuilder| match &kept {
            Ok(arg) => builder.initializer_packed::<F, A, R>(f, arg.again()),
            Err(_) => builder,
        };
        self.initializer = Some(Initializer { function: TypeId::of::<F>(), arg, set: Arc::new(set) });
        self
    }

    /// Sets an environment variable of the worker processes.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::ReusableOptions::new().env("RUST_LOG", "warn");
    /// ```
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The backend with what is asked of it.
    fn resolve(&self) -> Result<Arc<dyn Backend>, BuildError> {
        let spec = self.backend.clone().unwrap_or_else(|| default_backend().into());
        let by_name = matches!(spec.0, Spec::Named(_));
        let backend = backends::resolve(spec)?;
        #[cfg(all(feature = "processes", target_os = "linux"))]
        if by_name && backend.name() == "processes" {
            let mut processes =
                crate::backend::processes::Processes::new().idle_timeout(self.idle_timeout.unwrap_or(IDLE));
            for (key, value) in &self.env {
                processes = processes.env(key, value);
            }
            return Ok(Arc::new(processes));
        }
        if !self.env.is_empty() {
            return Err(BuildError::Unsupported(format!(
                "`env` is for worker processes by name; {} `{}`",
                if by_name {
                    "there are none of its own for the backend"
                } else {
                    "set it on the value of the backend"
                },
                backend.name()
            )));
        }
        Ok(backend)
    }
}

impl fmt::Debug for ReusableOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReusableOptions")
            .field("max_workers", &self.max_workers)
            .field("backend", &self.backend)
            .field("idle_timeout", &self.idle_timeout)
            .field("reuse", &self.reuse)
            .field("kill_workers", &self.kill_workers)
            .field("initializer", &self.initializer.is_some())
            .field("env", &self.env)
            .finish()
    }
}

/// What makes two pools the same, but for their size.
#[derive(PartialEq, Eq)]
struct Key {
    /// A backend's `Debug` shows all of its options.
    backend: String,
    initializer: Option<(TypeId, Vec<u8>)>,
}

/// One for each process: a pool does not come along by a fork.
static CURRENT: PerCopy<Slot> = PerCopy::new(Slot::new(), Slot::new);

/// Gives the program's one pool, whoever asks for it: the same for the same options, so that libraries which know nothing of each
/// other share their workers.
///
/// With another `max_workers` it is resized, and the workers that stay keep their processes. With other options, or when it is
/// broken or was shut down, a new one takes its place; the old goes on serving those who hold it, and ends after them, having
/// run what they submitted. Nobody's drop closes it for others.
///
/// # Errors
/// As [`ExecutorBuilder::build`](crate::ExecutorBuilder::build).
///
/// # Examples
/// ```
/// use polypool::{ReusableOptions, reusable};
///
/// # futures::executor::block_on(async {
/// let options = ReusableOptions::new().backend("threads").max_workers(2);
/// let pool = reusable(options.clone())?;
/// assert_eq!(pool.submit(|n: u32| n + 1, 1).await?, 2);
/// assert_eq!(reusable(options.max_workers(4))?.max_workers(), 4);
/// assert_eq!(pool.max_workers(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn reusable(options: ReusableOptions) -> Result<Executor, BuildError> {
    CURRENT.get().obtain(&options)
}

/// A place for one pool, which stays there until another takes its place.
pub(crate) struct Slot(Mutex<Option<(Key, Executor)>>);

impl Slot {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The pool that is there, whether or not it works.
    pub(crate) fn current(&self) -> Option<Executor> {
        lock(&self.0).as_ref().map(|(_, pool)| pool.clone())
    }

    /// The pool that is there, resized if need be, or a new one in its place.
    pub(crate) fn obtain(&self, options: &ReusableOptions) -> Result<Executor, BuildError> {
        let backend = options.resolve()?;
        let initializer = match &options.initializer {
            Some(Initializer { function, arg: Ok(arg), .. }) => Some((*function, arg.bytes.to_vec())),
            Some(Initializer { arg: Err(error), .. }) => {
                return Err(BuildError::Unsupported(format!("the initializer's argument: {error}")));
            }
            None => None,
        };
        let key = Key { backend: format!("{backend:?}"), initializer };
        let there = usable(&lock(&self.0), &key, options.reuse);
        if let Some(pool) = there {
            return pool.sized(options.max_workers);
        }
        let mut builder =
            Executor::builder().backend(BackendSpec(Spec::Value(backend))).on_drop(CancellationPolicy::NONE);
        if let Some(n) = options.max_workers {
            builder = builder.max_workers(n);
        }
        if let Some(initializer) = &options.initializer {
            builder = (initializer.set)(builder);
        }
        let pool = builder.build()?;
        // That was not under the lock: a backend's check is foreign code, and so is who listens to what a pool does. So somebody else may
        // have been faster, and then his pool is the one.
        let mut current = lock(&self.0);
        if let Some(pool) = usable(&current, &key, options.reuse) {
            drop(current);
            return pool.sized(options.max_workers);
        }
        let old = current.replace((key, pool.clone()));
        drop(current);
        if options.kill_workers
            && let Some((_, old)) = &old
        {
            drop(old.shutdown(CancellationPolicy::ALL));
        }
        Ok(pool)
    }
}

/// The pool that is there, if it will do.
fn usable(current: &Option<(Key, Executor)>, key: &Key, reuse: Reuse) -> Option<Executor> {
    let (of, pool) = current.as_ref()?;
    let is_wanted = match reuse {
        Reuse::IfSame => of == key,
        Reuse::Always => true,
        Reuse::Never => false,
    };
    (is_wanted && pool.pool().takes_tasks()).then(|| pool.clone())
}

impl Executor {
    /// This pool with so many workers.
    pub(crate) fn sized(self, max_workers: Option<usize>) -> Result<Self, BuildError> {
        if let Some(n) = max_workers.filter(|n| *n != self.max_workers()) {
            self.resize(n)?;
        }
        Ok(self)
    }
}
