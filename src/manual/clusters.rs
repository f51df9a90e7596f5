//! Past one machine: what [`mpi`](super::mpi), [`dask`](super::dask) and [`ray`](super::ray) have in common. How to start a cluster, and how to point a
//! program at it, is on their pages.
//!
//! # Which
//!
//! | you have | backend |
//! |---|---|
//! | a batch system (Slurm, PBS) or `mpiexec` | [`mpi`](super::mpi) |
//! | a Dask cluster, or Python people with one | [`dask`](super::dask) |
//! | a Ray cluster | [`ray`](super::ray) |
//! | machines with ssh and nothing else | [`mpi`](super::mpi) with a host file |
//! | one machine | `processes`: it is faster than any of these |
//!
//! They are for the clusters that there are. None of them is needed to build: MPI is loaded when the program runs, and for Dask and Ray a Python
//! interpreter that has them is run beside it. Each is a feature of this crate, on Linux.
//!
//! # How it works
//!
//! ```text
//! your program                 the engine                    a node
//! pool ──── stream ─────────── slot (rank, thread, actor) ── agent ── worker process
//! ```
//!
//! The engine places *slots*. In each slot an agent, a copy of your program, owns one worker process, and a stream connects it with the pool. From
//! there on a remote worker is a worker: the queue, priorities, cancellation, time limits, captured output, `scatter`, primitives and nesting are
//! those of [`processes`](super::processes). The program is the same, and so are its calls:
//!
//! ```
//! use futures::TryStreamExt;
//! use polypool::{BuildError, Executor};
//!
//! fn inside(seed: u64) -> u64 {
//!     let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
//!     let mut next = move || {
//!         state ^= state << 13;
//!         state ^= state >> 7;
//!         state ^= state << 17;
//!         (state >> 40) as f64 / (1 << 24) as f64
//!     };
//!     (0..1_000).filter(|_| next().hypot(next()) < 1.0).count() as u64
//! }
//!
//! async fn pi(backend: &str) -> Result<f64, Box<dyn std::error::Error>> {
//!     let pool = Executor::builder().backend(backend).build()?;
//!     let hits: Vec<u64> = pool.map(inside, 1..=100).try_collect().await?;
//!     Ok(4.0 * hits.iter().sum::<u64>() as f64 / 100_000.0)
//! }
//!
//! # futures::executor::block_on(async {
//! // "mpi", "dask", "ray", "dask://host:8786" and "ray://host:10001" do as well.
//! let estimate = pi("threads").await?;
//! assert!((3.0..3.3).contains(&estimate));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! The program needs its [entry](super::processes#the-entry), as for `processes`.
//!
//! # What is promised
//!
//! - *At most once.* A task runs once, or ends with an error. What an engine would do by itself about a task that fails is off. Ask for
//!   [`retries`](crate::ExecutorBuilder::retries) where twice does no harm.
//! - *One loss, one task.* A worker, an agent, or a slot that is lost costs the task that ran there:
//!   [`TaskError::WorkerLost`](crate::TaskError::WorkerLost). Another comes in its place, where the engine has one. (A lost *rank* of MPI is
//!   [another matter](super::mpi#a-lost-rank).)
//! - *Cancelling is for real.* What waits never runs. What runs is stopped with its process, wherever that is, by the policies, grace
//!   periods and time limits that hold everywhere.
//! - *An engine that is gone is told at once.* All tasks end with [`TaskError::Backend`](crate::TaskError::Backend), in the engine's words. Nothing
//!   hangs. A new pool connects anew.
//! - *Nothing is left over.* When the pool is gone, its agents and workers end and their slots are free; also when your program is killed.
//!
//! # What is not
//!
//! - Tasks do not survive your program. It is the only one who knows of them.
//! - Time limits and order hold in the pool, not among others who use the cluster: a worker waits for its slot as long as the engine lets it
//!   wait.
//! - Nothing is encrypted by this crate. Who needs that has an engine, or a network, that does it.
//! - Clocks of nodes are not compared.
//!
//! # What travels
//!
//! | | how |
//! |---|---|
//! | the program | Dask and Ray: its file, to each node once, by the hash of its content, into a cache folder. MPI: it is there, by the launcher or a shared file system |
//! | arguments and results | encoded, as for `processes`; [`max_payload`](crate::Processes::max_payload) bounds them |
//! | what is scattered | to each worker once, however many tasks name it |
//! | output, log records, events | back, while the task goes on |
//! | files, environment, the current folder | not at all: they are the node's own. [`env`](crate::Processes::env) and [`current_dir`](crate::Processes::current_dir) of the backend set what is needed |
//!
//! A node must be able to run the file: the same architecture, a C library that is new enough. A program that is linked statically (musl) runs
//! nearly anywhere. The cache folder must be on a file system that lets programs be executed; `cache_dir`, or the variable `POLYPOOL_CACHE_DIR`
//! there, names another.
//!
//! # Modes
//!
//! Dask and Ray have three ways for a call to travel:
//!
//! | `Mode` | a call | for |
//! |---|---|---|
//! | `PerTask` | is a task of the engine: it has its place among those of others, its resources, its line in the dashboard | long tasks, shared clusters, resources for each task |
//! | `Grouped` (default) | goes by the engine's connections, with others in a group that is as large as the traffic makes it | nearly everything |
//! | `Pilot` | goes by a connection of the worker's own to your program | many small tasks; nodes must be able to connect to your machine |
//!
//! In the last two a worker holds its slot for as long as it is there. [`idle_timeout`](crate::Processes::idle_timeout) gives slots back that have
//! nothing to do. In all three, a worker is one process and runs one task at a time.
//!
//! # Size
//!
//! Without [`max_workers`](crate::ExecutorBuilder::max_workers), a pool is as large as the engine has room for, and follows it: nodes that join are
//! used, those that leave are replaced. [`max_workers()`](crate::Executor::max_workers) says what it is now.
//!
//! # Trust
//!
//! Who may submit to the engine may run programs on its nodes; that is what it is for. This crate adds no rights and takes none away:
//!
//! - Whatever reaches a worker comes from the pool that brought it. Workers do not talk to each other.
//! - Where workers connect to your program (`Pilot`, and MPI with a launcher), it listens at one address while the pool lives. Both sides prove that
//!   they know a key, which is drawn for that worker and travels by the engine, in the environment of the agent. Who has no key is sent away before
//!   a byte of his is taken for a message. The key is no cipher: what follows is plain text on the wire.
//! - A worker runs as the user that the engine runs as. Others who may run programs as that user may read its memory, and its environment.
//! - What comes back is decoded with bounds, and checked; a node that lies can spoil the results of its own tasks, and nothing else of the pool's.
