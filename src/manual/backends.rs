//! Choosing a backend: when which, and when not this crate at all.
//!
//! # In a minute
//!
//! | your task | backend |
//! |---|---|
//! | may crash, leak, or must be stoppable by force | `processes` |
//! | calls C code that is not safe to run twice in one process, or that holds a global lock | `processes` |
//! | computes, or blocks on files, databases, DNS, in code that you trust | `threads` |
//! | is a future that waits more than it computes, and there are many of them | `tasks` |
//! | has a bug that you want to step through | `serial` |
//! | is more than one machine can do | [`mpi`](super::mpi), [`dask`](super::dask), [`ray`](super::ray), see [`clusters`](super::clusters) |
//! | belongs on something else | [a backend of your own](crate::backend::Backend) |
//!
//! The call is the same on all of them. Start with `threads`, and change the name when there is a reason. Let the name be a setting, so that
//! the reason may be your user's; see [`configuration`](super::configuration).
//!
//! ```
//! use futures::TryStreamExt;
//! use polypool::Executor;
//!
//! fn word_count(text: String) -> usize {
//!     text.split_whitespace().count()
//! }
//!
//! # futures::executor::block_on(async {
//! for backend in ["serial", "threads", "tasks"] {
//!     let pool = Executor::builder().backend(backend).build()?;
//!     let texts = ["to be", "or not to be"].map(str::to_owned);
//!     let counts: Vec<usize> = pool.map(word_count, texts).try_collect().await?;
//!     assert_eq!(counts, [2, 4], "on {backend}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # What differs
//!
//! | | `serial` | `threads` | `tasks` | `processes` |
//! |---|---|---|---|---|
//! | runs tasks | in the poll of who waits | on blocking threads, the runtime's or its own | on the runtime | in copies of this program |
//! | arguments and results | move | move | move | are encoded; large ones go through shared memory |
//! | a function that runs can be stopped by force | no | no, it is asked | no | yes, with what it has started |
//! | a future that runs can be stopped | at its next await | at its next await | at its next await | yes |
//! | a crash costs | the program | the program | the program | that task |
//! | memory of a task's leaks | stays | stays | stays | goes with the worker |
//! | captured output | passes through | passes through | passes through | comes with the task |
//! | `spawn`, `spawn_blocking` | yes | yes | yes | no |
//! | needs | nothing | nothing | a runtime, or it has threads of its own | Linux, and [an entry](super::processes) |
//! | a call there and back | nothing | a wake-up of a thread | a wake-up of the runtime | two wake-ups and the encoding |
//!
//! [`Executor::capabilities`](crate::Executor::capabilities) says the same in the program, for each backend, also for those that others
//! wrote:
//!
//! ```
//! let pool = polypool::Executor::builder().backend("threads").build()?;
//! let can = pool.capabilities();
//! assert!(can.in_process && !can.stops_running);
//! # Ok::<(), polypool::BuildError>(())
//! ```
//!
//! # `threads`
//!
//! Workers are blocking threads that are borrowed from the runtime while there is work, and given back when there is none: a pool in a static
//! holds no thread and does not keep a runtime from ending. A function that blocks, blocks its worker and nobody else. It cannot be stopped
//! by force: see [`cancellation`](super::cancellation).
//!
//! # `tasks`
//!
//! Workers are futures on the runtime, [`max_workers`](crate::ExecutorBuilder::max_workers) at a time. That is a bound, priorities, time
//! limits and an end that can be awaited, for futures. A function that blocks, blocks a thread of the runtime; do not do that here. `spawn` is
//! for futures that capture, [`submit_async`](crate::Executor::submit_async) for those that should run on every backend.
//!
//! ```
//! use std::time::Duration;
//! use polypool::Executor;
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::builder().backend("tasks").max_workers(100).task_timeout(Duration::from_secs(5)).build()?;
//! let name = String::from("host");
//! let reply = pool.spawn(async move { format!("{name} says hello") });
//! assert_eq!(reply.await?, "host says hello");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # `processes`
//!
//! Workers are copies of this program. They may crash, leak, exit, be killed, hold a lock for ever: that costs the task that they ran. It is the
//! default where it is built in. What it asks of the program, and all that it can do, is on [its page](super::processes).
//!
//! # `serial`
//!
//! Each task runs in the poll of its own handle or stream, on the caller's thread. There is one thread, and a breakpoint in a task is a
//! breakpoint in the caller. `--debug` of [`ParallelArgs`](crate::config::ParallelArgs) chooses it. A task that nobody polls never runs.
//!
//! # More workers, or fewer
//!
//! The default is [`cpu_count`](crate::cpu_count): what the machine, the affinity mask, the cgroup's quota and `POLYPOOL_MAX_CPU_COUNT` leave
//! of the CPUs. More is allowed, and right where tasks wait. [`physical_cpu_count`](crate::physical_cpu_count) is for dense arithmetic.
//! [`cpu::report`](mod@crate::cpu) says why it is the number that it is. [`resize`](crate::Executor::resize) changes it while the pool works.
//!
//! # When not to use this crate
//!
//! - *One blocking call now and then.* The runtime's own `spawn_blocking` does it, and you have it already.
//! - *A loop over data in memory that should be borrowed.* Tasks here own their data. [rayon](https://docs.rs/rayon) borrows it, joins, and
//!   steals work in nanoseconds.
//! - *Futures that need no bound.* The runtime's `spawn`.
//! - *Jobs that must survive the program.* A pool forgets its tasks when the program ends. Use a job queue with a store.
//! - *A service that others call.* This is no RPC: workers are copies of one program, and talk to their own pool alone.
//! - *Untrusted code.* A worker process has the rights of the program. It contains accidents. It is no sandbox.
