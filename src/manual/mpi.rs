//! Clusters with MPI: tasks on the ranks of a job. Read [`clusters`](super::clusters) first: what is promised is there.
//!
//! # Start
//!
//! ```console
//! $ cargo build --release --features polypool/mpi
//! $ mpiexec -n 4 target/release/app                    # one machine
//! $ mpiexec -n 64 --hostfile hosts target/release/app  # many
//! $ srun --mpi=pmix -n 64 target/release/app           # in a job of Slurm
//! ```
//!
//! Rank 0 goes on in `main`. The others become workers in [`init()`](crate::init), and run nothing that comes after it. They end when rank 0 does.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use polypool::Executor;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init(); // before anything else: it decides which rank this is
//!     let pool = Executor::builder().backend("mpi").build()?;
//!     let squares = pool.map(|n: u64| n * n, 0..1_000_000).try_collect::<Vec<_>>();
//!     println!("{} results of {} workers", futures::executor::block_on(squares)?.len(), pool.max_workers());
//!     Ok(())
//! }
//! ```
//!
//! The library of MPI is loaded when the program runs: Open MPI 4 and 5, MPICH and its relatives (Intel MPI, MVAPICH, Cray MPICH). One binary runs
//! with all of them, and a machine without MPI runs the rest of the program. It is that of the `mpiexec` that started the job; the variable
//! `POLYPOOL_MPI_LIBRARY` names another by its path.
//!
//! # Without `mpiexec`
//!
//! Started alone, the first pool that runs a task has MPI spawn the processes that it needs. They stay until the program ends. The program must have
//! the same path on all machines.
//!
//! # With a launcher
//!
//! Where the library of MPI should not be used, because it is not there, or does not like processes beside its ranks, the pool starts its own ranks
//! and talks to them over TCP. MPI then only starts processes. `mpiexec`, `srun` and whatever else takes `-n` and a command will do.
//!
//! ```no_run
//! # #[cfg(all(feature = "mpi", target_os = "linux"))]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     use polypool::{Executor, Mpi, MpiLauncher};
//!
//!     polypool::init();
//!     let launcher = MpiLauncher::new("srun").args(["--overlap"]).listen("10.1.0.4:0".parse()?);
//!     let pool = Executor::builder().backend(Mpi::new().launcher(launcher)).max_workers(64).build()?;
//!     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
//!     Ok(())
//! }
//! # #[cfg(not(all(feature = "mpi", target_os = "linux")))]
//! # fn main() {}
//! ```
//!
//! `listen` is the address of this machine by which the ranks find it; the default, loopback, is for ranks on this machine. Each rank and the pool prove
//! to each other that they know a key: see [trust](super::clusters#trust).
//!
//! # Size, and who is who
//!
//! A pool has one worker on each rank but the first, or as many as [`workers_per_rank`](crate::Mpi::workers_per_rank) says: for jobs with one rank for
//! each machine, that is the number of its CPUs. More than the job has is a [`BuildError`](crate::BuildError) that says how to start it.
//!
//! In a task, [`worker::rank`](crate::worker::rank) counts from 1, [`worker::size`](crate::worker::size) is the workers and the program, and
//! [`worker::is_master`](crate::worker::is_master) is false. They are the pool's, and the same on every backend.
//!
//! # A lost rank
//!
//! A *worker* that dies, or is killed, costs its task. Its rank hardly notices, and brings another.
//!
//! A *rank* that dies, or whose machine does, ends the job: that is what MPI's launchers do, and rank 0 goes with it, with all that it has in memory. No
//! more is promised. Where MPI and its launcher are fault tolerant (ULFM: Open MPI 5 with `mpiexec --with-ft ulfm`), the job goes
//! on: the tasks of that rank end with [`WorkerLost`](crate::TaskError::WorkerLost), or are tried again, and the rank is not used any more.
//!
//! Work that must survive the loss of machines belongs on [`dask`](super::dask) or [`ray`](super::ray), or saves its state.
//!
//! # Processor time
//!
//! MPI cannot wake a thread that waits for a message, so each rank looks: every 20 µs after there was one, then less often, up to every 2 ms. An idle
//! rank takes about a hundredth of a CPU. Do not let the launcher bind a rank to one CPU, if its worker should have more: `mpiexec --bind-to none`.
//!
//! # When it does not work
//!
//! | | |
//! |---|---|
//! | every rank runs `main` | `init()` is missing or comes too late; or `POLYPOOL_MPI=off` is set, which says that this program's ranks are its own |
//! | `no library of MPI … is found` | the error says where it was looked for; install Open MPI or MPICH, or set `POLYPOOL_MPI_LIBRARY` |
//! | ``it is `…`, and the job was started by an mpiexec of another`` | two kinds of MPI on one machine: start the job with the `mpiexec` of the one that is loaded |
//! | `max_workers is …, and the MPI job has …` | start more ranks, or allow more workers on each |
//! | a rank *cannot work*, on standard error | the reason follows; most often programs of different versions on different machines |
//! | the launcher refuses as root, or for want of slots | its own options: `--allow-run-as-root`, `--oversubscribe` (Open MPI) |
