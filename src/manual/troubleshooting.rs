//! Troubleshooting by error message: what each means, and what to do.
//!
//! Look for the text that you have in this page. `…` stands for what differs from case to case: a name, a number, somebody else's words. A
//! test holds the page to the crate: every variant of the two error types has an entry, and every text in it is one that the crate prints.
//!
//! - [Tasks](#tasks): what [`TaskError`](crate::TaskError) says
//! - [Pools](#pools): what [`BuildError`](crate::BuildError) says
//! - [Settings](#settings): what [`ConfigError`](crate::config::ConfigError) says
//! - [The compiler](#the-compiler), [panics](#panics), and [what worker processes say](#worker-processes)
//! - [Without a message](#without-a-message): nothing happens, it hangs, it is slow
//!
//! # Tasks
//!
//! ## ``the task was cancelled``
//!
//! [`TaskError::Cancelled`](crate::TaskError::Cancelled). By its handle, its stream, or the policy of its pool. If nobody meant to: most likely the last
//! clone of the executor was dropped while the task waited, and the default policy cancelled it. Keep the executor, await the handle before it goes,
//! or build the pool with `on_drop(CancellationPolicy::NONE)`. See [`cancellation`](super::cancellation).
//!
//! ## ``timed out after …; allow more time, or make the task smaller``
//!
//! [`TaskError::TimedOut`](crate::TaskError::TimedOut). The task ran longer than its [`timeout`](crate::TaskOptions::timeout) or the pool's
//! [`task_timeout`](crate::ExecutorBuilder::task_timeout), or its stream longer than [its own](crate::Map::timeout). Time in the queue does not count for
//! tasks. On `threads` the code may still run: only processes are stopped by force.
//!
//! ## ``the task panicked: …``
//!
//! [`TaskError::Panicked`](crate::TaskError::Panicked). The pool goes on. [`PanicInfo`](crate::PanicInfo) has the message, the place and the
//! backtrace; the last is missing with `RUST_BACKTRACE=0`. A panic is never retried.
//!
//! ## ``…; the pool replaces the worker, and `retries` would run the task again``
//!
//! [`TaskError::WorkerLost`](crate::TaskError::WorkerLost). The process that ran the task has ended under it.
//!
//! | before the semicolon | |
//! |---|---|
//! | `worker … exited with code …` | something in the task called `exit`. 122: what it read from its pool made no sense, or nobody took its result |
//! | `worker … was ended by signal …` | 11, 7, 4, 8: a fault; 6: an abort, also of an allocation beyond [`memory_limit`](crate::Processes::memory_limit); 9: the system's memory ran out, or somebody killed it |
//! | `worker … was lost` | nobody could tell how |
//!
//! After a fault, [`WorkerLost::report`](crate::WorkerLost::report) says where it was. Ask for [`retries`](crate::ExecutorBuilder::retries) where running
//! twice does no harm. For signal 9 without anybody's doing, look at the kernel's log, and use fewer workers or recycle them by
//! [`max_memory_growth`](crate::Processes::max_memory_growth).
//!
//! ## ``the argument or result cannot be encoded: …``
//!
//! [`TaskError::Encode`](crate::TaskError::Encode), with the words of the type or of the system. The type's `Serialize` refuses, or it is one that the
//! encoding cannot carry (see [`Portable`](crate::Portable)): send it as text. A `Path` that is not UTF-8 is refused by serde: send an `OsString`.
//! Where shared memory or descriptors have run out, it says so: scatter fewer, larger values.
//!
//! ## ``the argument or result cannot be decoded: …``
//!
//! [`TaskError::Decode`](crate::TaskError::Decode), with the words of the type. Most often a type that looks at the data to know what it is: untagged,
//! internally tagged or flattened ones, `serde_json::Value`, fields that are left out (`skip_serializing_if`). Send it as text.
//!
//! | | |
//! |---|---|
//! | `there is no task function at …; the worker is not the same program as its pool` | the file was changed under a running program in a way that nobody noticed; restart it |
//!
//! ## ``… bytes exceed the limit of … bytes; raise the limit, or pass the data by reference``
//!
//! [`TaskError::TooLarge`](crate::TaskError::TooLarge). An encoded argument or result is larger than [`max_payload`](crate::Processes::max_payload). Pass a
//! path, or [`scatter`](crate::Executor::scatter) what many tasks need.
//!
//! ## ``the pool's queue is full; `submit_when_ready` waits for room, `max_pending` sets the bound``
//!
//! [`TaskError::QueueFull`](crate::TaskError::QueueFull). More tasks wait than [`max_pending`](crate::ExecutorBuilder::max_pending) allows. That is
//! overload: refuse the request, or wait. See [back-pressure](super::service#back-pressure).
//!
//! ## ``the pool is shut down; build another, or keep a clone of the executor while tasks are submitted``
//!
//! [`TaskError::Shutdown`](crate::TaskError::Shutdown). After [`shutdown`](crate::Executor::shutdown), or when the last executor was dropped. On `tasks`,
//! also what the runtime dropped when it ended.
//!
//! ## ``the pool's initializer failed: …``
//!
//! [`TaskError::InitializerFailed`](crate::TaskError::InitializerFailed), for every task, with the initializer's own error or panic. Mend what it says,
//! and build a new pool. [`warm_up`](crate::Executor::warm_up) finds it at the start.
//!
//! ## ``the pool is broken: …``
//!
//! [`TaskError::Broken`](crate::TaskError::Broken). No worker can work, for the reason given; a new pool may.
//!
//! | the reason | |
//! |---|---|
//! | `no worker process could be started: …` | the system's own words: too many processes (`ulimit -u`), no memory, no descriptors (`ulimit -n`) |
//! | `a worker process ended before …, …` | it ended before it worked: in what stands before `init()`, by a limit of the system, by a file of the program that cannot be run. Its standard error says more |
//! | `` `current_dir` is …, and there is no such folder: … `` | mend the path |
//! | `the pool … came into this process by a fork, and its workers did not; build one here` | a pool in a static, seen from a forked child |
//! | `the result of an earlier task is gone` | a graph whose pool was shut down |
//!
//! ## ``the backend `…` does not support …; …``
//!
//! [`TaskError::Unsupported`](crate::TaskError::Unsupported); after the semicolon is what to do instead.
//!
//! | what | |
//! |---|---|
//! | ``use `submit` with a function that captures nothing, or the backend `threads` `` | `spawn` and `spawn_blocking` keep what they capture in this process, and this backend's tasks leave it |
//! | `functions that are not part of the program's own file, but of a library that was loaded` | the worker, a copy of the program, has not loaded it |
//! | `tasks that are futures` | a backend of somebody's own that runs functions only |
//! | ``a second `join` `` | a [`Process`](crate::process::Process) gives its result once |
//!
//! ## ``the backend `…` failed: …``
//!
//! [`TaskError::Backend`](crate::TaskError::Backend). The engine behind the backend said so: the cluster is not there, or has gone. See
//! [`mpi`](super::mpi#when-it-does-not-work), [`dask`](super::dask#when-it-does-not-work), [`ray`](super::ray#when-it-does-not-work).
//!
//! ## ``the task failed: …``
//!
//! [`TaskError::Failed`](crate::TaskError::Failed). A task of a graph, added by [`try_task`](crate::graph::TaskGraph::try_task) or its kind, returned an
//! `Err`; this is its text.
//!
//! # Pools
//!
//! ## ``unknown backend `…`; known are …``
//!
//! [`BuildError::UnknownBackend`](crate::BuildError::UnknownBackend). A slip, or a backend that is not yet
//! [registered](crate::backend::register): that comes first.
//!
//! ## `` `…` is not part of this build of polypool; where the version has it, the feature `…` turns it on``
//!
//! [`BuildError::FeatureDisabled`](crate::BuildError::FeatureDisabled). Turn the feature on in `Cargo.toml`. `processes` is there on Linux only; the
//! default backend elsewhere is `threads`.
//!
//! ## `BuildError::OutOfRange`
//!
//! [`BuildError::OutOfRange`](crate::BuildError::OutOfRange). A number, name or word that makes no sense, or an environment variable that has one.
//! The message names it, and what would do.
//!
//! | the message | |
//! |---|---|
//! | `max_workers is 0; a pool needs 1 worker or more` | serial is the backend `serial` |
//! | `max_workers is …; the most is …` | a slip of the pen, or a subtraction below zero |
//! | `max_pending is 0, so no task could ever be submitted; it must be 1 or more` | for no bound, leave it out |
//! | `task_timeout is 0, so every task would time out; leave it out for no limit` | |
//! | `idle_timeout is 0, so no worker could ever take a task; leave it out for never` | |
//! | ``… is `…`; it must be a number of workers from 1 to 1048576, or not be set`` | `POLYPOOL_NUM_WORKERS` or `OMP_NUM_THREADS` in the environment |
//! | ``… is `…`; it must be a number, how deep pools may be nested`` | `POLYPOOL_MAX_DEPTH` in the environment |
//! | `` `…` is an address, and the backend `…` takes none `` | write the name alone |
//! | ``unknown cancellation policy `…`; known are none, pending, running, all, true and false`` | |
//! | ``unknown start method `…`; known are …`` | |
//! | ``unknown runtime `…`; known are detect, tokio, async-std, smol and standalone`` | |
//! | ``a backend cannot be named `…`: choose a word without colons, slashes and spaces`` | |
//!
//! ## `BuildError::Unsupported`
//!
//! [`BuildError::Unsupported`](crate::BuildError::Unsupported). The backend cannot honour an option, or not with the others.
//!
//! | the message | |
//! |---|---|
//! | ``a preload needs a process that loads once for all: set `start_method(StartMethod::ForkServer)`; with `…`, use an initializer`` | |
//! | ``no tokio runtime is in context; build the pool inside one, or pass `Runtime::tokio(handle)` `` | the runtime was named; detection would do without |
//! | ``the start method is … already; set it once, early in `main`, or use `force` `` | |
//! | `the initializer's argument: …` | it cannot be encoded |
//! | `` `env` is for worker processes by name; … `…` `` | of [`ReusableOptions`](crate::ReusableOptions): set it on the value of the backend |
//!
//! ## ``a backend named `…` exists already; choose another name``
//!
//! [`BuildError::NameTaken`](crate::BuildError::NameTaken). From [`register`](crate::backend::register). The crate's own names are taken whether or not
//! their features are on.
//!
//! ## ``the factory of the backend `…` failed: …``
//!
//! [`BuildError::Factory`](crate::BuildError::Factory). A [registered](crate::backend::register) backend could not be made; after the colon are its own
//! words.
//!
//! ## ``this program has no entry for worker processes; add `polypool::init();` as the first line of `main`, or `polypool::worker_main!();` at the top level``
//!
//! [`BuildError::WorkerEntryMissing`](crate::BuildError::WorkerEntryMissing). Add the line. In tests, benches and doctests it is `worker_main!()`. If
//! `init()` is there: it must have been called before the pool is built, by this very program; `LokyInitMain` needs `init`. See
//! [`processes`](super::processes).
//!
//! ## ``the pool would run its tasks one at a time; ask for two workers or more, or allow it with `on_serial` ``
//!
//! [`BuildError::Serial`](crate::BuildError::Serial). The pool was asked to refuse that, by [`OnSerial::Error`](crate::OnSerial). On a machine with one CPU
//! the default number of workers is one.
//!
//! ## ``pools are nested … deep, the limit is …; raise POLYPOOL_MAX_DEPTH if that is meant``
//!
//! [`BuildError::NestingTooDeep`](crate::BuildError::NestingTooDeep). Pools in tasks of pools in tasks; most often a library that builds a pool in every
//! call, called from tasks. Let it take a [`Parallel`](crate::Parallel), whose `auto` is serial in a task.
//!
//! ## `BuildError::Unreachable`
//!
//! [`BuildError::Unreachable`](crate::BuildError::Unreachable). The engine behind the backend does not answer, or the system has no process for us. The
//! message is the engine's, or the system's, own.
//!
//! ## `BuildError::Graph`
//!
//! [`BuildError::Graph`](crate::BuildError::Graph), from [`TaskGraph::run`](crate::graph::TaskGraph::run), before anything has run.
//!
//! | the message | |
//! |---|---|
//! | ``two tasks of the graph are named `…`; give each a name of its own`` | |
//! | ``the task `…` takes the output of a task in another graph, its number …; add both to one graph`` | |
//!
//! ## ``the tasks wait for each other, each for the one before it: …; take one of these dependencies away``
//!
//! [`BuildError::Cycle`](crate::BuildError::Cycle), from [`TaskGraph::run`](crate::graph::TaskGraph::run). The names are in the order of the waiting; the
//! first is the last once more.
//!
//! # Settings
//!
//! A [`ConfigError`](crate::config::ConfigError) names the setting, the file and line or the variable or the option, and what would do. Where its
//! text goes on with that of a `BuildError`, look there.
//!
//! | the message | |
//! |---|---|
//! | `… cannot be read: …` | the file; [`toml_file_if_there`](crate::config::PoolConfig::toml_file_if_there) allows that it is not there |
//! | `unknown key … in the program: …` | of [`set`](crate::config::PoolConfig::set); the nearest known one is named |
//! | `unknown variable … in the environment: …` | of `POLYPOOL_…`; the nearest known one is named |
//! | `…, and …: each says what the pool is made of; keep one of them` | `parallel = 4` beside `n_workers`, in one source |
//!
//! # The compiler
//!
//! | the message | |
//! |---|---|
//! | ``a task function must capture nothing: pass what the closure captures as its argument (a tuple will do), or use `spawn_blocking` or `spawn` if the task may stay in this process`` | from `cargo build`, not from `cargo check`. Also for a `fn` pointer: pass the function itself |
//! | `` `…` cannot be the argument of a task in a graph `` | a plain argument is [`value(argument)`](crate::graph::value()) |
//!
//! `the trait bound …: Serialize is not satisfied` is about an argument or a result: derive `serde::Serialize` and `serde::Deserialize` for it, or
//! use `spawn_blocking`. For an error type, return a [`Failure`](crate::Failure).
//!
//! `implementation of Deserialize is not general enough` is about a result or an argument that borrows, such as `&str`: what comes back from a task
//! owns what it holds. Return a `String`.
//!
//! # Panics
//!
//! | the message | |
//! |---|---|
//! | `a chunk size of 0 would send nothing; it must be 1 or more` | |
//! | `a window of 0 would let nothing through; it must be 1 or more` | |
//! | `a barrier for nobody lets nobody through; make it for 1 or more` | |
//! | `the guard was given back before; wait with one that holds the lock` | of [`Condition::wait`](crate::sync::Condition::wait) |
//!
//! # Worker processes
//!
//! | on standard error | |
//! |---|---|
//! | `a worker process of polypool could not begin: …` | it was started with `POLYPOOL_WORKER` set, but not by a pool; or the pool was gone before it began |
//!
//! # Without a message
//!
//! *A task never runs.* On `serial`, nobody polls its handle. Elsewhere: nobody polls the stream, and its window is full; or all workers are
//! busy: look at [`stats`](crate::Executor::stats) and [`workers`](crate::Executor::workers).
//!
//! *It hangs.* A future on `tasks` blocks its thread: use `threads` for what blocks. A `block_on` or `blocking_join` on the only thread of a runtime,
//! for a task that needs it: await instead. All workers wait, on a lock, a barrier, a queue, for what a queued task would bring: more workers, or
//! [`leave_pool`](crate::worker::leave_pool) around the wait. A [`Lock`](crate::sync::Lock) locked twice by one task: [`RLock`](crate::sync::RLock).
//!
//! *The program ends before its tasks.* Dropping does not wait. Await the handles, or [`shutdown`](crate::Executor::shutdown).
//!
//! *`main` runs several times.* Something before `init()` is done in every worker. Move it below.
//!
//! *It is slow.* A debug build? Tasks of a microsecond, one by one: use `map`, which sends them in chunks. Large arguments, again and again:
//! [`scatter`](crate::Executor::scatter). Libraries with threads of their own in each worker: [`inner_threads`](crate::Processes::inner_threads). A picture
//! says more: [`timeline`](crate::timeline).
//!
//! *Fewer workers than CPUs.* [`cpu::report`](mod@crate::cpu) says which quota, mask or variable it is.
