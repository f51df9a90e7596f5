//! How workers are started and how calls travel: the names, and the choice that holds for the whole program.

use std::{fmt, str::FromStr, sync::Mutex};

use crate::{error::BuildError, sys::lock::lock};

/// How a worker process is started.
///
/// # Examples
/// ```
/// use polypool::StartMethod;
///
/// assert_eq!("forkserver".parse::<StartMethod>()?, StartMethod::ForkServer);
/// assert_eq!(StartMethod::LokyInitMain.to_string(), "loky_init_main");
/// # Ok::<(), polypool::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartMethod {
    /// A fresh process of this program, which becomes a worker before `main` where [`worker_main!`](crate::worker_main) is
    /// linked in, else in [`init`](crate::init).
    #[default]
    Loky,
    /// A fresh process that runs `main` up to [`init`](crate::init), so that what stands before it is done in workers, too.
    LokyInitMain,
    /// The same as `Loky`, under the name that Python's multiprocessing has for it.
    Spawn,
    /// A server process, started fresh and early, forks itself for each worker: in a tenth of the time, and with what
    /// [`preload`](crate::Processes::preload) loaded once shared by all, copied only where it is written to.
    ForkServer,
    /// A fork of this very process, with all that it holds at that moment. A sharp tool: other threads do not exist in the
    /// worker, but the locks that they held do, locked for ever; only a program that forks while it has one thread, or whose
    /// libraries are made for it, is safe. It exists for data that is too large to send and was not loaded by a preload.
    ///
    /// Needs neither `init` nor `worker_main!`. What the program does when it ends, destructors and `atexit`, is not done in a
    /// worker. A pool of this process that a worker finds, in a static say, refuses all work with
    /// [`TaskError::Broken`](crate::TaskError::Broken).
    Fork,
}

impl StartMethod {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Loky, "loky"),
        (Self::LokyInitMain, "loky_init_main"),
        (Self::Spawn, "spawn"),
        (Self::ForkServer, "forkserver"),
        (Self::Fork, "fork"),
    ];
}

impl FromStr for StartMethod {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self, BuildError> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(method, _)| *method).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|(_, known)| *known).collect();
            BuildError::OutOfRange(format!("unknown start method `{name}`; known are {}", known.join(", ")))
        })
    }
}

impl fmt::Display for StartMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(method, _)| method == self);
        f.write_str(known.map_or("", |(_, name)| name))
    }
}

/// How calls and replies travel between a pool and its worker processes.
///
/// # Examples
/// See [`Processes::transport`](crate::Processes::transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Transport {
    /// Through rings in memory that the pool shares with each worker.
    #[default]
    SharedMemory,
    /// Through a pair of connected sockets alone, for systems and sandboxes without shared memory: one call at a time, nothing is
    /// sent ahead. A call takes about twice as long, and large arguments and results are copied twice. All else is the same;
    /// where output is [captured](crate::TaskOptions::capture_output), it goes into files in memory here, too.
    Socket,
}

static CHOSEN: Mutex<Option<StartMethod>> = Mutex::new(None);

/// Sets the start method of all pools and processes that are built from now on and do not name one. To be called once, early in
/// `main`.
///
/// # Errors
/// [`BuildError::Unsupported`] when it was set before, unless `force` says to set it again.
///
/// # Examples
/// ```
/// use polypool::{StartMethod, process};
///
/// process::set_start_method(StartMethod::Spawn, false)?;
/// assert_eq!(process::start_method(), StartMethod::Spawn);
/// assert!(process::set_start_method(StartMethod::ForkServer, false).is_err());
/// process::set_start_method(StartMethod::ForkServer, true)?;
/// assert_eq!(process::start_method(), StartMethod::ForkServer);
/// # Ok::<(), polypool::BuildError>(())
/// ```
pub fn set_start_method(method: StartMethod, force: bool) -> Result<(), BuildError> {
    let mut chosen = lock(&CHOSEN);
    match *chosen {
        Some(before) if !force => Err(BuildError::Unsupported(format!(
            "the start method is {before} already; set it once, early in `main`, or use `force`"
        ))),
        _ => {
            *chosen = Some(method);
            Ok(())
        }
    }
}

/// Gives the start method of all pools and processes that do not name one: what was [set](set_start_method), else
/// [`StartMethod::Loky`].
///
/// # Examples
/// See [`set_start_method`].
pub fn start_method() -> StartMethod {
    lock(&CHOSEN).unwrap_or_default()
}
