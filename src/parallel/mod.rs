//! The `parallel=` setting of a program: what its user says, and the pool that it means.

use std::num::NonZeroUsize;

use crate::{
    error::BuildError,
    executor::{
        Executor,
        default::{Moment, Preferred},
        plain_name,
    },
    inside::is_worker,
    sys::copy::{notice_forks, was_forked},
};

mod kept;
mod text;
mod workers;

pub(crate) use workers::default_workers;
#[cfg(feature = "config")]
pub(crate) use workers::{OWN, own_workers};

/// What a user's `parallel=` setting means: one value for whether, how and how much of a program runs in parallel.
///
/// It is read from text ([`FromStr`](std::str::FromStr)), from a file (serde), or made of a `bool` or a number, and printed in a form
/// that is read back. Nothing is built before [`executor`](Self::executor), so dropping it does nothing, unless it is
/// [`With`](Self::With), which is a clone of an executor like any other.
///
/// | setting | pool |
/// |---|---|
/// | `off`, `false`, `no`, `none`, `0` | serial: one thing after the other, where it is polled |
/// | `on`, `true`, `yes` | the backend that was used last, else [the default](crate::default_backend()), with the default number of workers |
/// | `auto` | the pool of the same backend, as it is, where there is one; else that of `on`; serial where more workers would be too many |
/// | `4` | that of `on`, with so many workers |
/// | `threads`, `processes`, … | that backend, with the default number of workers |
///
/// # Which pool
/// One pool of each backend is kept for the whole process, and given to whoever asks. Another number of workers resizes it; a new one
/// is made when it is broken or was shut down. Nobody's drop closes it, and its worker processes end when they are idle for 10 s.
/// A pool that is asked for inside a task is another one, nested in the pool that the task runs in, up to ten deep
/// (`POLYPOOL_MAX_DEPTH`).
///
/// The backend that `On` and `Auto` take again is the one whose pool was built last for `On`, a number or a name. Those that work in
/// this process (`threads`, `tasks`, `serial`) are never taken because they were used: only because they are named, here or as the
/// default. [`set_default_backend`](crate::set_default_backend) has all that forgotten.
///
/// The default number of workers is that of the environment variable `POLYPOOL_NUM_WORKERS`, else of `OMP_NUM_THREADS` (the first, of
/// several), else [`cpu_count`](crate::cpu_count); read afresh each time. A variable that is empty is as one that is not set.
///
/// # Where `Auto` is serial
/// - Inside a task, whoever submitted it and on whichever backend: its pool has the CPUs busy already. Other threads are not affected.
/// - In a process that was forked off one which had built a pool, by somebody else than this crate: the threads of the pool are not
///   there.
/// - Where the backend that was used last works on other machines (see [`Capabilities`](crate::Capabilities)), and its pool has ended:
///   nobody means to start a cluster by `auto`.
///
/// # Examples
/// ```
/// use futures::TryStreamExt;
/// use polypool::Parallel;
///
/// async fn squares(parallel: Parallel) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
///     Ok(parallel.executor()?.map(|n: u64| n * n, 1..4).try_collect().await?)
/// }
///
/// # futures::executor::block_on(async {
/// assert_eq!(squares(false.into()).await?, [1, 4, 9]);
/// assert_eq!(squares("threads".parse()?).await?, [1, 4, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Parallel {
    /// Serial, in the caller's own poll.
    Off,
    /// The backend that was used last, or the default one, with the default number of workers.
    On,
    /// In parallel where that makes sense.
    #[default]
    Auto,
    /// As `On`, with so many workers.
    Workers(NonZeroUsize),
    /// The backend of this name, or at this address, with the default number of workers.
    Backend(String),
    /// This executor, and no other.
    With(Executor),
}

impl Parallel {
    /// Gives the pool that the setting means; see [`Parallel`]. Starts nothing.
    ///
    /// # Errors
    /// As [`ExecutorBuilder::build`](crate::ExecutorBuilder::build); [`BuildError::OutOfRange`] also when the default number of
    /// workers is needed, and the environment variable for it is no such number.
    ///
    /// # Examples
    /// ```
    /// use polypool::Parallel;
    ///
    /// let pool = Parallel::Backend("threads".to_owned()).executor()?;
    /// assert_eq!(pool.backend_name(), "threads");
    /// assert_eq!(Parallel::Off.executor()?.max_workers(), 1);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn executor(&self) -> Result<Executor, BuildError> {
        // Before there is anything that a copy of this process could take for its own.
        notice_forks();
        match self {
            Self::Off => Ok(Executor::serial()),
            Self::On => preferred(Preferred::now()?, default_workers()?),
            Self::Auto => auto(),
            Self::Workers(n) => preferred(Preferred::now()?, n.get()),
            Self::Backend(name) => {
                let (moment, name) = (Moment::now(), plain_name(name)?);
                let pool = kept::obtain(&name, default_workers()?)?;
                moment.remember(name, &pool);
                Ok(pool)
            }
            Self::With(executor) => Ok(executor.clone()),
        }
    }
}

fn preferred(preferred: Preferred, workers: usize) -> Result<Executor, BuildError> {
    let pool = kept::obtain(&preferred.name, workers)?;
    preferred.remember(&pool);
    Ok(pool)
}

fn auto() -> Result<Executor, BuildError> {
    if is_worker() || was_forked() {
        return Ok(Executor::serial());
    }
    let before = Preferred::now()?;
    if let Some(pool) = kept::current(&before.name) {
        return Ok(pool);
    }
    // What there is of such a backend is its pool. Where a backend can find more, that is to be asked here.
    if before.remembered.as_ref().is_some_and(|remembered| remembered.is_distributed) {
        return Ok(Executor::serial());
    }
    preferred(before, default_workers()?)
}

impl From<bool> for Parallel {
    fn from(yes: bool) -> Self {
        if yes { Self::On } else { Self::Off }
    }
}

impl From<usize> for Parallel {
    /// 0 is [`Parallel::Off`].
    fn from(workers: usize) -> Self {
        NonZeroUsize::new(workers).map_or(Self::Off, Self::Workers)
    }
}

impl From<Executor> for Parallel {
    fn from(executor: Executor) -> Self {
        Self::With(executor)
    }
}
