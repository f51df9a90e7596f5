//! One executor for work that must leave its own task: blocking functions, futures, whole streams of inputs, in copies of
//! this program, on threads, on the runtime, or in the caller's own poll, under any async runtime and under none.
//!
//! ```
//! use futures::{StreamExt, TryStreamExt};
//! use polypool::{CancellationPolicy, Executor};
//!
//! fn collatz(start: u64) -> u32 {
//!     let step = |n: &u64| Some(if n % 2 == 0 { n / 2 } else { 3 * n + 1 });
//!     std::iter::successors(Some(start), step).position(|n| n == 1).unwrap() as u32
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::builder().backend("threads").max_workers(4).on_drop(CancellationPolicy::ALL).build()?;
//!
//! // One task: a future of its result.
//! assert_eq!(pool.submit(collatz, 27).await?, 111);
//!
//! // Many: a stream of results, in the order of the inputs or as they come.
//! let steps: Vec<u32> = pool.map(collatz, 1..10).try_collect().await?;
//! assert_eq!(steps, [0, 1, 7, 2, 5, 8, 16, 3, 19]);
//! let mut results = pool.as_completed(collatz, [97, 871, 6171]);
//! while let Some((index, result)) = results.next().await {
//!     println!("input {index}: {} steps", result?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Where to begin
//!
//! The [`manual`] says how things are meant, page by page: the model, choosing a backend, cancellation, worker processes, shared data,
//! configuration, services, coming from Python, and each error message with what to do.
//!
//! | to | see |
//! |---|---|
//! | build a pool | [`Executor::builder`], `Executor::processes`, [`Executor::threads`], [`Executor::tasks`], [`Executor::serial`] |
//! | send one task | [`submit`](Executor::submit), [`submit_async`](Executor::submit_async), [`spawn`](Executor::spawn), [`TaskHandle`] |
//! | send many | [`map`](Executor::map), [`as_completed`](Executor::as_completed), and the same over streams |
//! | wait for some of several tasks | [`as_completed`](as_completed()), [`wait`](wait()) |
//! | stop work, and say what happens at the end | [`CancellationPolicy`], [`TaskHandle::abort`], [`Executor::shutdown`] |
//! | run tasks that depend on each other | `graph::TaskGraph` (feature `graph`) |
//! | limit time and number | [`TaskOptions::timeout`], [`ExecutorBuilder::task_timeout`], [`ExecutorBuilder::max_pending`] |
//! | let the user choose how it runs | [`Parallel`], [`set_default_backend`]; `config::PoolConfig` and `config::ParallelArgs`: files, environment, command line |
//! | give many tasks the same data | [`scatter`](Executor::scatter), [`scatter_slice`](Executor::scatter_slice) |
//! | load something once in every worker | [`ExecutorBuilder::initializer`], [`worker::state`] |
//! | lock, count, wait and queue between tasks | [`sync`], [`Executor::context`] |
//! | know where a task runs | [`worker`] |
//! | watch a pool | [`Executor::events`], [`Executor::stats`]; with features, `.progress(bar)` on streams and `timeline` for pictures |
//! | put a pool behind the layers of `tower` | `tower::TaskService` (feature `tower`) |
//! | run tasks on something else | [`backend`] |
//! | know how many CPUs there are | [`cpu_count`], [`cpu::report`] |
//!
//! # Four things to know
//!
//! *Pending means never started.* A worker takes a task when it is ready to run it, not before. A task that was cancelled while
//! it waited has not run, and never will.
//!
//! *Dropping never blocks.* The last clone of an [`Executor`] that is dropped applies the pool's [`CancellationPolicy`] in the
//! background. To wait, await [`Executor::shutdown`].
//!
//! *A process can be stopped by force.* A worker process may crash, leak and be killed; that costs the task that it ran, and no
//! other. The program lets its copies in: `init()` is the first line of `main`, or `worker_main!()` stands where `main` is not ours.
//!
//! *A thread cannot be stopped by force.* A function that runs on a thread and is cancelled is told so
//! ([`worker::is_cancelled`]), its handle resolves at once, and its code ends by itself. A future is dropped at its next await.
//!
//! # When something is wrong
//!
//! Nothing hangs and nothing is lost; each case has one outcome.
//!
//! | what | comes to |
//! |---|---|
//! | no workers, or more than 2²⁰; a `max_pending` or `task_timeout` of 0 | [`BuildError::OutOfRange`] |
//! | a backend or runtime that nobody knows, or that this build is without | [`BuildError::UnknownBackend`], [`BuildError::FeatureDisabled`] |
//! | a policy or option that the backend cannot honour | [`BuildError::Unsupported`]; the backends here honour every policy |
//! | worker processes in a program that does not let them in | `BuildError::WorkerEntryMissing`, with the line to add |
//! | a worker process that dies | [`TaskError::WorkerLost`] for the task that it ran, unless `retries` allows another attempt; the others go on |
//! | workers that cannot be started, or die at once, again and again | [`TaskError::Broken`] with the reason for every task, after a few attempts |
//! | an argument or result that cannot be encoded or decoded | [`TaskError::Encode`], [`TaskError::Decode`] with the type's own words, for that task |
//! | tasks of a graph that wait for each other, or for none that is there | `BuildError::Cycle`, `BuildError::Graph`, before any runs |
//! | a setting in a file, a variable or an option that makes no sense | `config::ConfigError` with the place, and what would |
//! | a scattered value whose handles are dropped while tasks that name it wait | they have it |
//! | a scattered value that cannot be encoded; that cannot be decoded in a worker | [`TaskError::Encode`] from `scatter`; [`TaskError::Decode`] for each task that names it |
//! | a scattered value that something names which is no argument and no result | an error where it is encoded; [`TaskError::Decode`] for a name that was kept and is nobody's any more |
//! | a worker process that dies with a lock, or with a value on its way to it | the lock is free, and its next holder is told; the value is in its queue again; see [`sync`] |
//! | a backend's name that is taken | [`BuildError::NameTaken`] |
//! | a chunk or window of 0 | a panic where it is set |
//! | a task that panics, also when its result is dropped | [`TaskError::Panicked`] for that task; the pool goes on |
//! | an initializer that fails | [`TaskError::InitializerFailed`] for every task, waiting or to come |
//! | an input iterator that panics | the results before it, then `Err(Panicked)`, then the end of the stream |
//! | a submit after `shutdown` | `Err(Shutdown)`; `try_submit` gives the argument back; a stream pulls no more inputs and ends |
//! | more tasks than `max_pending` | `Err(QueueFull)` from `submit`; `submit_when_ready` and streams wait |
//! | the runtime ends | on `threads`, threads of the pool's own take over; on `tasks`, what it had ends with `Err(Shutdown)`; the next submit finds the runtime that is current then |
//! | the last executor is dropped inside a task of its pool | the policy is applied, to that task, too |
//! | a task waits for tasks of its own pool | another worker takes its place meanwhile, or it runs them itself; see below |
//! | a task awaits the `shutdown` of its own pool | it is not waited for |
//! | a pool in a static | it holds no thread while it is idle, and does not keep a runtime from ending; tasks that run when the program ends are cut off |
//!
//! # Tasks of tasks
//!
//! A task finds its own pool with [`worker::executor`], submits to it, and waits: recursion by fork and join, as deep as it goes, on
//! any backend and with any number of workers. There are never more workers than `max_workers` and as many again, or eight more
//! where that is more, however many tasks wait for one another.
//!
//! - A task that awaits has given its place away. On `tasks` it costs no thread meanwhile; elsewhere it keeps its thread or process, and
//!   another stands in for it, up to that bound.
//! - A task that [joins](TaskHandle::blocking_join) another that has not begun runs it there and then on its own thread, without
//!   regard to priorities and order. On `processes` it does not, as long as a process can be had for it: each has its own fate.
//! - Beyond the bound, a task that waits for one that has not begun runs that in its own place, on threads and in processes. Nothing else
//!   is run there: whatever the waiting task has locked, it keeps from none but the one that it waits for anyway.
//! - Levels lie on one stack, as those of functions do. Where there is less than a megabyte left of it, the next ones go on in a thread
//!   with a large stack of its own, in whose memory only what is used takes room.
//!
//! What runs in the place of another has the same [`worker::index`], [`id`](worker::id) and [`state`](worker::state), and its own
//! token, time limit, span, report and count. It is on the same thread: what is bound to the thread, such as
//! a `RefCell` in a `thread_local`, it finds as the waiting task has left it. In a process that performs one call inside of another,
//! force ends both: a call there that is cancelled or out of time and does not listen, and one that crashes, ends the calls
//! that wait for it in that process, as [`TaskError::WorkerLost`]; if they are stopped, it is told so.
//!
//! A task that waits in other ways than by handles and streams of its pool, for a lock of the standard library, say, holds its place. When what it
//! waits for takes a worker, [`worker::leave_pool`] gives it one, beside the bound. So does, one for each that waits, a `block_on`
//! of others around a handle, which cannot be nested.
//!
//! # Spans
//!
//! Each task runs in a span of `tracing`, `task` of target `polypool` and level DEBUG, within the span in which it was submitted; of
//! a stream's inputs, that is where the stream is polled. It has the fields `task` (its number), `name`, `pool`, `backend`,
//! `worker`, `attempt` and, for a chunk, `inputs`. Where nobody wants it, the task runs in the caller's span itself. A future's span is entered
//! in each poll; a task's span is closed before its result can be seen.
//!
//! A task in another process has that span here, too; what it logs is told in it, where that is
//! [captured](TaskOptions::capture_output). A worker process with a subscriber of its own, set by the
//! [initializer](ExecutorBuilder::initializer), has a span of the same name and fields there, and of the span in which the task was
//! submitted the name and id, as `caller` and `caller_id`; what it can know only from here, it knows if somebody listens here.
//!
//! Without a subscriber that costs a load for each task.
//!
//! # Features
//!
//! | feature | for |
//! |---|---|
//! | `tokio` (default) | pools use the tokio runtime that they find in context |
//! | `async-std` | pools use async-std; it is discontinued (RUSTSEC-2025-0052), new programs choose another |
//! | `smol` | pools use smol's global executor |
//! | `processes` (default) | the backend of that name, on Linux |
//! | `mpi` | the backend of that name: the ranks of an MPI job, whose library is loaded when the program runs; on Linux |
//! | `config` | `config::PoolConfig`: settings from TOML files and the environment |
//! | `clap` | `config::ParallelArgs`: the same from a command line that clap reads |
//! | `graph` | `graph::TaskGraph`: tasks that depend on each other |
//! | `timeline` | `timeline::Recorder`: what a pool did, as a picture (SVG) or as a trace for Perfetto and Chrome |
//! | `progress` | `.progress(bar)` on result streams, with a bar of `indicatif` |
//! | `metrics` | what pools count, through the crate `metrics`; see [`Executor::stats`] |
//! | `tower` | `tower::TaskService`: a pool and a function as a `tower::Service` |
//!
//! Without any of them, pools have threads of their own. All features are additive; see [`Runtime`] for which runtime is used
//! when.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "processes", target_os = "linux")),
    allow(
        dead_code,
        unused_imports,
        reason = "what serves worker processes alone has no use in a build without them"
    )
)]

pub mod backend;
#[cfg(feature = "config")]
pub mod config;
pub mod cpu;
mod error;
mod executor;
mod function;
#[cfg(feature = "graph")]
pub mod graph;
#[path = "worker/mod.rs"]
mod inside;
pub mod manual;
mod parallel;
mod policy;
mod primitives;
mod runtime;
mod stream;
pub mod sync;
mod sys;
mod task;
#[cfg(feature = "timeline")]
pub mod timeline;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod wire;

#[cfg(all(feature = "dask", target_os = "linux"))]
pub use backend::dask::Dask;
#[cfg(all(any(feature = "dask", feature = "ray"), target_os = "linux"))]
pub use backend::engine::Mode;
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub use backend::mpi::{Mpi, MpiLauncher};
#[cfg(all(feature = "processes", target_os = "linux"))]
pub use backend::processes::{Processes, StartMethod, Transport};
#[cfg(all(feature = "ray", target_os = "linux"))]
pub use backend::ray::Ray;
pub use backend::{
    BackendSpec, Capabilities, Event, EventKind, Events, Stats, WorkerInfo, serial::Serial, tasks::Tasks,
    threads::Threads,
};
pub use bytemuck::Pod;
pub use cpu::{cpu_count, physical_cpu_count};
pub use error::{BuildError, Exit, Failure, PanicInfo, TaskError, WorkerLost};
pub use executor::{
    Executor, ExecutorBuilder, OnSerial, ReusableOptions, Reuse, Shutdown, ShutdownReport, Spin,
    TrySubmitError, default_backend, reusable, set_default_backend, with_default_backend,
};
pub use function::{InitOutcome, Portable, Scattered, SharedSlice, TaskFn};
pub use parallel::Parallel;
pub use policy::CancellationPolicy;
pub use runtime::Runtime;
pub use stream::{
    AsCompleted, ChunkSize, Map, MapCompleted, Wait, Waited, Waiting, as_completed, default_chunk_size, wait,
};
pub use sync::SyncContext;
pub use task::{AbortHandle, TaskHandle, TaskId, TaskOptions, TaskReport, TaskState};

/// What a task can ask about where it runs.
pub mod worker {
    pub use crate::{
        executor::inside::executor,
        inside::{
            LeaveGuard, cancelled, depth, id, index, is_cancelled, is_master, is_worker, leave_pool, rank,
            report_progress, set_state, size, state,
        },
    };
}

/// Single processes, and how processes are started.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub mod process {
    pub use crate::{
        backend::processes::{set_start_method, start_method},
        executor::process::{Process, ProcessContext, context},
    };
}

#[cfg(all(feature = "processes", target_os = "linux"))]
pub use inside::process::init;

/// What [`worker_main!`] expands to.
#[cfg(all(feature = "processes", target_os = "linux"))]
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "engine")]
    pub use crate::backend::engine::Agents;
    pub use crate::inside::process::before_main;
}

#[cfg(all(any(fuzzing, test), feature = "processes", target_os = "linux"))]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;

#[cfg(all(any(polypool_loom, test), feature = "processes", target_os = "linux"))]
#[doc(hidden)]
#[path = "models/mod.rs"]
pub mod __models;

/// The README's programs are tested like everything else.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
