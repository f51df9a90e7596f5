//! Worker processes: how a program lets them in, how they start, what they keep, how they die, and what a task prints.
//!
//! # The entry
//!
//! Workers are copies of this program. They are started from its own file, and have to become workers before they do anything else. So the
//! program has a door for them. There are two, and one is enough.
//!
//! - [`polypool::init()`](crate::init) as the first line of `main`. In a worker it never returns; anywhere else it returns at once. What stands
//!   before it is done in every worker, too: leave nothing there that talks to the world.
//! - [`polypool::worker_main!()`](crate::worker_main) at the top level of any file, where `main` is not yours: in tests, benches, and
//!   libraries. It lets workers in before `main`.
//!
//! ```rust,standalone_crate
//! use polypool::Executor;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let pool = Executor::processes(2)?;
//!     let pid = pool.submit(|()| std::process::id(), ()).blocking_join()?;
//!     assert_ne!(pid, std::process::id());
//!     Ok(())
//! }
//! ```
//!
//! In a test:
//!
//! ```no_run
//! polypool::worker_main!();
//!
//! # fn main() {}
//! #[test]
//! fn two_processes_add() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = polypool::Executor::processes(2)?;
//!     assert_eq!(pool.submit(|(a, b): (u32, u32)| a + b, (1, 2)).blocking_join()?, 3);
//!     Ok(())
//! }
//! ```
//!
//! A program with neither gets [`BuildError::WorkerEntryMissing`](crate::BuildError::WorkerEntryMissing), with the line to add, when the pool
//! is built. It never runs its `main` a second time. A program that is rebuilt while it runs is no trouble: workers are started from the
//! file that runs, not from its name, and prove that they are the same.
//!
//! # What a task may expect
//!
//! - A worker is a fresh process, not a fork of yours: nothing that `main` has set up is there. What a task needs comes with its argument,
//!   by [`scatter`](crate::Executor::scatter), or by an initializer.
//! - It has the environment and the folder of the program, unless [`env`](crate::Processes::env) and
//!   [`current_dir`](crate::Processes::current_dir) say otherwise.
//! - Its standard input is empty. Its standard output and error are the program's.
//! - It runs one task at a time, always on the same thread. A task that is a future has a runtime for it: tokio, where the program's pool is on
//!   tokio.
//! - It ends with the program, also when that is killed.
//!
//! # Start methods
//!
//! | [`StartMethod`](crate::StartMethod) | a worker is | for |
//! |---|---|---|
//! | `Loky` (default), `Spawn` | a fresh process, which works before `main` or in `init` | nearly everything |
//! | `LokyInitMain` | a fresh process that runs `main` up to `init` | programs that set something up before it |
//! | `ForkServer` | a fork of a server that was started fresh | many short-lived workers; large data that is loaded once |
//! | `Fork` | a fork of this very process | data that cannot be sent; only where there is one thread |
//!
//! One pool's is set by [`Processes::start_method`](crate::Processes::start_method), the program's by
//! [`process::set_start_method`](crate::process::set_start_method), a user's by `start_method` in the [configuration](super::configuration).
//!
//! # Once in every worker: initializers
//!
//! An initializer runs in a worker before its first task, also in one that comes in the place of another. What it keeps by
//! [`worker::set_state`](crate::worker::set_state), tasks find by [`worker::state`](crate::worker::state). When it fails, every task fails, with
//! [`TaskError::InitializerFailed`](crate::TaskError::InitializerFailed) and its reason.
//!
//! ```rust,standalone_crate
//! use polypool::{Executor, Failure, worker};
//!
//! struct Dictionary(Vec<String>);
//!
//! fn load(path: String) -> Result<(), Failure> {
//!     let words = std::fs::read_to_string(path)?.lines().map(str::to_owned).collect();
//!     worker::set_state(Dictionary(words));
//!     Ok(())
//! }
//!
//! fn knows(word: String) -> bool {
//!     worker::state::<Dictionary>().is_some_and(|words| words.0.contains(&word))
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     # let folder = tempfile::tempdir()?;
//!     # let path = folder.path().join("words").display().to_string();
//!     # std::fs::write(&path, "hen\negg\n")?;
//!     let pool = Executor::builder().backend("processes").max_workers(2).initializer(load, path).build()?;
//!     assert!(pool.submit(knows, "egg".to_owned()).blocking_join()?);
//!
//!     let broken = Executor::builder().backend("processes").initializer(load, "no such file".to_owned()).build()?;
//!     let error = pool_error(&broken);
//!     assert!(error.starts_with("the pool's initializer failed: No such file"), "{error}");
//!     Ok(())
//! }
//!
//! fn pool_error(pool: &Executor) -> String {
//!     pool.submit(knows, "egg".to_owned()).blocking_join().unwrap_err().to_string()
//! }
//! ```
//!
//! # Once for all workers: the fork server
//!
//! With [`StartMethod::ForkServer`](crate::StartMethod), a server process is started fresh and early, while it has one thread, and forks itself
//! for each worker. A worker is there in a tenth of the time. What [`preload`](crate::Processes::preload) loads into the server, all workers
//! share: the system copies only the pages that somebody writes to.
//!
//! ```rust,standalone_crate
//! use std::sync::OnceLock;
//! use polypool::{Executor, Processes, StartMethod};
//!
//! static TABLE: OnceLock<Vec<u64>> = OnceLock::new();
//!
//! fn load(len: u64) {
//!     TABLE.get_or_init(|| (0..len).map(|n| n * n).collect());
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let backend = Processes::new().start_method(StartMethod::ForkServer).preload(load, 1_000_000);
//!     let pool = Executor::builder().backend(backend).max_workers(2).build()?;
//!     assert_eq!(pool.submit(|n: usize| TABLE.get().map(|table| table[n]), 999).blocking_join()?, Some(998_001));
//!     Ok(())
//! }
//! ```
//!
//! Threads that the preload starts are the server's, and are in no worker.
//!
//! # When a worker dies
//!
//! A worker that crashes, exits, runs out of memory or is killed costs the task that it ran. That ends with
//! [`TaskError::WorkerLost`](crate::TaskError::WorkerLost), which knows the process, its exit code or signal, and, after a fault, a report
//! of where it was. The worker is replaced, and the other tasks go on.
//!
//! ```rust,standalone_crate
//! use polypool::{Executor, Exit, TaskError};
//!
//! fn careless(n: u32) -> u32 {
//!     if n == 3 {
//!         std::process::exit(42);
//!     }
//!     n
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let pool = Executor::processes(2)?;
//!     let tasks: Vec<_> = (0..6).map(|n| pool.submit(careless, n)).collect();
//!     let mut lost = 0;
//!     for task in tasks {
//!         match task.blocking_join() {
//!             Ok(_) => {}
//!             Err(TaskError::WorkerLost(how)) => {
//!                 assert_eq!(how.exit, Exit::Code(42));
//!                 lost += 1;
//!             }
//!             Err(other) => return Err(other.into()),
//!         }
//!     }
//!     assert_eq!(lost, 1);
//!     Ok(())
//! }
//! ```
//!
//! With [`retries`](crate::ExecutorBuilder::retries), such a task is tried again, so many times. The default is none, and a task runs at most
//! once. Ask for retries where running twice does no harm: the lost attempt may have done all of its work but the answer. A task's own
//! panic, error or time limit is never retried.
//!
//! Workers that cannot be started at all, or die before they work, are tried again a few times with growing pauses. Then every task fails
//! with [`TaskError::Broken`](crate::TaskError::Broken) and the reason. A pool never spins.
//!
//! # Recycling
//!
//! A worker is replaced between two tasks, so that none is lost, when it
//!
//! | | set by |
//! |---|---|
//! | has run so many tasks | [`max_tasks_per_worker`](crate::Processes::max_tasks_per_worker) |
//! | has grown by so many bytes since its first task | [`max_memory_growth`](crate::Processes::max_memory_growth) |
//! | had nothing to do for so long (it ends, and another comes when there is work) | [`idle_timeout`](crate::Processes::idle_timeout) |
//!
//! ```
//! use std::time::Duration;
//! use polypool::Processes;
//!
//! let leaky = Processes::new()
//!     .max_tasks_per_worker(1_000)
//!     .max_memory_growth(300 << 20)
//!     .idle_timeout(Duration::from_secs(60));
//! ```
//!
//! # Limits
//!
//! - [`memory_limit`](crate::Processes::memory_limit): what a worker may allocate, enforced by the system. An allocation beyond it fails, which
//!   ends most programs. That is a lost worker, and one lost task.
//! - [`max_payload`](crate::Processes::max_payload): how large an encoded argument or result may be. Beyond it the task ends with
//!   [`TaskError::TooLarge`](crate::TaskError::TooLarge).
//! - [`task_timeout`](crate::ExecutorBuilder::task_timeout): how long a task may run, see [`cancellation`](super::cancellation).
//! - [`inner_threads`](crate::Processes::inner_threads): how many threads the libraries in a worker may use. Four workers with eight threads
//!   each are 32 threads.
//!
//! # What a task prints
//!
//! It goes where the program's output goes. With [`capture_output`](crate::TaskOptions::capture_output), it comes with the task: all that reaches
//! the descriptors 1 and 2 while it runs, also from C and from programs that it starts, and the events of `tracing` and `log`.
//!
//! ```rust,standalone_crate
//! use polypool::{Executor, TaskOptions};
//!
//! fn noisy(n: u32) -> u32 {
//!     println!("{n} is the number");
//!     eprintln!("careful");
//!     n
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let pool = Executor::processes(1)?;
//!     let task = pool.submit_with(TaskOptions::new().capture_output(true), noisy, 7);
//!     let report = futures::executor::block_on(task.report());
//!     assert_eq!(report.result?, 7);
//!     assert_eq!((report.stdout.as_str(), report.stderr.as_str()), ("7 is the number\n", "careful\n"));
//!     Ok(())
//! }
//! ```
//!
//! The report of a task that was stopped or lost has what it printed until then. On backends that share this process, output passes through
//! and the fields stay empty.
//!
//! # A process for one function
//!
//! Where a pool is too much, [`process::context`](crate::process::context) starts one process for one function. It can be joined, killed, and
//! asked how it ended.
//!
//! ```rust,standalone_crate
//! use polypool::{Exit, process};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let mut process = process::context(None).spawn(|n: u64| (1..=n).product::<u64>(), 10)?;
//!     assert_eq!(futures::executor::block_on(process.join())?, 3_628_800);
//!     assert_eq!(process.exit(), Some(Exit::Code(0)));
//!     Ok(())
//! }
//! ```
//!
//! # How calls travel
//!
//! By rings in memory that the pool shares with each worker; arguments and results of 64 KiB and more through a shared arena beside them.
//! [`Transport::Socket`](crate::Transport) does without shared memory, for sandboxes that have none, at about twice the time for a call.
//!
//! The encoding has no names and no types in it: what must look at the data to know what it is (`serde_json::Value`, untagged and flattened
//! types) cannot be decoded, and is refused with an error that says so. Send such a value as text. Bytes and text that are the whole argument
//! or result are not walked through.
//!
//! # Elsewhere than on Linux
//!
//! The backend is there on Linux. Elsewhere the feature `processes` changes nothing, and asking for the backend by name is
//! [`BuildError::FeatureDisabled`](crate::BuildError::FeatureDisabled); the default backend is `threads` there. Code for both says
//! `#[cfg(all(feature = "processes", target_os = "linux"))]` around `init()`, or chooses by
//! [`capabilities`](crate::Executor::capabilities).
