//! Tasks on the ranks of an MPI job. Owns what may be set and its check; where workers are is in the files beside this one, and how
//! bytes get there is `inside::mpi`'s.

use std::sync::Arc;

mod launched;
mod launcher;
mod ranks;

pub use launcher::MpiLauncher;

use self::{launched::Launched, ranks::Ranks};
use super::{
    Backend, Capabilities, PoolContext, Settings, Workers,
    engine::{self, CAPABILITIES, Site, WorkerOptions},
};
use crate::{
    error::{BuildError, TaskError},
    inside::{mpi::ranks, process::here},
};

/// The backend's name.
const NAME: &str = "mpi";

/// Runs tasks in worker processes on the ranks of an MPI job.
///
/// ```text
/// mpiexec -n 4 app
/// ```
/// starts four copies of the program. Rank 0 goes on in `main` and builds pools; the others become holders of workers in
/// [`init`](crate::init), or before `main` where there is [`worker_main!`](crate::worker_main), and end when rank 0 does. Nothing else
/// of the program runs in them, whatever comes after `init`. The library of MPI is loaded when the program runs: Open MPI 4 and 5,
/// MPICH and its relatives (Intel MPI, MVAPICH, Cray MPICH), and what has the standard ABI of MPI 5. Nothing of MPI is needed to
/// build.
///
/// # Where workers are
/// Each pool may have one worker on every rank but the first, or as many as [`workers_per_rank`](Self::workers_per_rank) says; that
/// is its size if nobody names one, and its limit. A worker is a process beside the rank, so that it can be stopped, may crash, and is
/// replaced, as with [`Processes`](crate::Processes); the rank itself runs no task. Pools of one program share the ranks and never
/// wait for each other: a worker comes to the rank that has the fewest, and a pool alone has worker `i` on rank `i + 1`. In a task,
/// [`worker::rank`](crate::worker::rank) is the worker's index and 1, [`worker::size`](crate::worker::size) the pool's workers and
/// the program.
///
/// # How the program is started
/// - By `mpiexec`, `mpirun`, or `srun` with `--mpi=pmix` or `--mpi=pmi2`: the pool has the ranks of the job.
/// - Alone, or as the only rank: the first pool that runs a task has MPI spawn as many processes as it needs
///   (`MPI_Comm_spawn`), and a larger one those that are missing. They stay until the program ends. The program must have the same
///   path on all machines.
/// - With a [`launcher`](Self::launcher): the pool starts the launcher, and its ranks connect back over the network, each side having
///   proved that it knows a key. MPI is then used to start processes and for nothing else, so that no library of it is loaded.
///
/// A program that uses MPI itself, or is started by `mpiexec` for another reason, sets the variable `POLYPOOL_MPI=off`: then every
/// rank goes on in `main`. A process that a task or rank 0 starts is never taken for a rank, though it inherits the environment.
///
/// # Which library
/// The first of these that can be loaded, has a known ABI, and is of the family of the launcher: the one that the variable
/// `POLYPOOL_MPI_LIBRARY` names (and then no other); one that is in the process already; the one that belongs to the `mpiexec` that
/// started this process, or is in the path; the system's.
///
/// # What a lost rank means
/// A *worker* that dies, of itself or by `kill -9`, costs the task that it ran, and is replaced; its rank hardly notices. A *rank*
/// that dies, or whose machine does, is another matter: MPI has no rule for that, and what nearly all launchers do is to end the
/// whole job, rank 0 with all that it has in memory included. No more is promised here. Only where the library and its launcher are
/// fault tolerant (ULFM), as Open MPI 5 with `mpiexec --with-ft ulfm` is, does the job go on: tasks on the lost rank end with
/// [`TaskError::WorkerLost`], or are tried again, and the rank is not used any more. Work that must survive
/// the loss of machines belongs on Dask or Ray, or saves its state.
///
/// # Processor time
/// MPI cannot wake a thread that waits for a message. Each rank looks for messages every 20 µs after there was one, then less and less
/// often, up to every 2 ms; an idle rank takes about one hundredth of a CPU.
///
/// # Examples
/// ```no_run
/// use polypool::{Executor, Mpi};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     // From here on this is rank 0.
///     let pool = Executor::builder().backend(Mpi::new().max_tasks_per_worker(10_000)).build()?;
///     println!("{} workers", pool.max_workers());
///     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Mpi {
    workers: WorkerOptions,
    per_rank: usize,
    launcher: Option<MpiLauncher>,
}

impl Default for Mpi {
    fn default() -> Self {
        Self { workers: WorkerOptions::default(), per_rank: 1, launcher: None }
    }
}

impl Mpi {
    /// Makes the backend with its defaults.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Mpi::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many workers a pool may have on each rank, 1 or more. The default is 1. For jobs with one rank for each machine.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Mpi::new().workers_per_rank(16);
    /// ```
    pub fn workers_per_rank(mut self, n: usize) -> Self {
        self.per_rank = n;
        self
    }

    /// Has the pool start its ranks itself, through this launcher, and talk to them over the network and not over MPI. For clusters
    /// on which the library of MPI should not be used.
    ///
    /// # Examples
    /// See [`MpiLauncher`].
    pub fn launcher(mut self, launcher: MpiLauncher) -> Self {
        self.launcher = Some(launcher);
        self
    }

    /// How many ranks are needed for so many workers.
    fn ranks_for(&self, workers: usize) -> usize {
        workers.div_ceil(self.per_rank)
    }
}

engine::worker_options!(Mpi);

impl Backend for Mpi {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        if self.per_rank == 0 {
            return Err(BuildError::OutOfRange("workers_per_rank is 0; it must be 1 or more".to_owned()));
        }
        if here().is_some() {
            return Err(BuildError::Unsupported(
                "a task has no ranks: only the program itself, which is rank 0, builds pools on MPI; in a task, submit to its own \
                 pool (`worker::executor`), or use `processes`"
                    .to_owned(),
            ));
        }
        engine::check(&self.workers, settings)?;
        if let Some(launcher) = &self.launcher {
            return launcher.check();
        }
        match ranks() {
            Some(ranks) if ranks.is_job && settings.max_workers > ranks.n.saturating_mul(self.per_rank) => {
                Err(BuildError::OutOfRange(format!(
                    "max_workers is {}, and the MPI job has {} beside the first; start it with `mpiexec -n {}`, or allow more \
                     workers on each rank with `workers_per_rank({})`",
                    settings.max_workers,
                    if ranks.n == 1 { "1 rank".to_owned() } else { format!("{} ranks", ranks.n) },
                    self.ranks_for(settings.max_workers) + 1,
                    settings.max_workers.div_ceil(ranks.n.max(1)),
                )))
            }
            _ => Ok(()),
        }
    }

    fn default_workers(&self) -> Option<usize> {
        let ranks = ranks().filter(|ranks| ranks.is_job && self.launcher.is_none())?;
        Some(ranks.n.saturating_mul(self.per_rank))
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        let ranks = self.ranks_for(context.settings().max_workers);
        let site: Arc<dyn Site> = match &self.launcher {
            None => Arc::new(Ranks::new(ranks, self.per_rank)),
            Some(launcher) => Arc::new(Launched::new(launcher.clone(), context.settings().max_workers)),
        };
        engine::start(context, self.workers.clone(), site)
    }
}

/// An error of MPI, or of what is said to start it.
fn failed(error: std::io::Error) -> TaskError {
    TaskError::Backend { backend: NAME.to_owned(), source: Arc::new(error) }
}
