//! The model: how a task goes from its submitter to a worker and back, who wakes whom, and what dropping does.
//!
//! # The words
//!
//! A *task* is a function with its argument, or a future. A *worker* is what runs one task after the other: a thread, a process, a slot on
//! the runtime. A *pool* is a queue and its workers. An [`Executor`](crate::Executor) is what you hold of a pool; its clones share it. A
//! *backend* is what brings the workers. A *handle* is what you hold of a task.
//!
//! # The way of a task
//!
//! ```text
//! submit ──► queue ──► a worker that is ready takes it ──► it runs ──► the handle or the stream wakes
//!            │                                             │
//!            pending: never started                        running
//! ```
//!
//! 1. `submit` makes the task, puts it into the queue and returns its [`TaskHandle`](crate::TaskHandle). It does not wait and needs no
//!    runtime. Where workers are other processes, the argument is encoded now, in the call.
//! 2. A worker that is ready for one more task takes the one with the highest
//!    [priority](crate::TaskOptions::priority), of equals the one that was submitted first.
//! 3. It runs the task at once. Time limits begin here, not in the queue.
//! 4. The task ends in exactly one way: a value, or one [`TaskError`](crate::TaskError). Then whoever awaits its handle is woken.
//!
//! What a task returns is its value, also when that is an `Err` of its own. So the result of a task that may fail has two layers: the
//! outer is the pool's, the inner the task's.
//!
//! ```
//! use polypool::Executor;
//!
//! fn parse(text: String) -> Result<u16, String> {
//!     text.parse().map_err(|_| format!("{text} is no port"))
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(2)?;
//! assert_eq!(pool.submit(parse, "80".to_owned()).await?, Ok(80));
//! assert_eq!(pool.submit(parse, "http".to_owned()).await?, Err("http is no port".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! An error type that serde cannot encode becomes a [`Failure`](crate::Failure), with `?`: it keeps the messages of the whole chain.
//!
//! # Pending and running
//!
//! *Pending* means that no worker has begun the task. This is exact. A task that is reported as cancelled while it was pending has not
//! run, not even its first line, and never will. Workers take a task when they are ready to run it, and not before. (A worker process may
//! be sent a call while it finishes another. It can still be withdrawn, and is, before it counts as started.)
//!
//! [`TaskHandle::state`](crate::TaskHandle::state) tells where a task is; [`Executor::stats`](crate::Executor::stats) counts all of them.
//!
//! ```
//! use polypool::{Executor, TaskState};
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(1)?;
//! let gate = pool.context().event();
//! let first = pool.submit(|gate: polypool::sync::Event| gate.blocking_wait(), gate.clone());
//! let second = pool.submit(|n: u32| n + 1, 1);
//!
//! // There is one worker, and it has something to do.
//! assert_eq!(second.state(), TaskState::Queued);
//! assert_eq!(second.cancel().await, None); // cancelled, and never started
//! gate.set().await;
//! first.await?;
//! assert_eq!(pool.shutdown(false).await.completed, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Functions are their type
//!
//! What [`submit`](crate::Executor::submit), [`map`](crate::Executor::map) and their like take is a `fn` or a closure that captures
//! nothing: then the function is its type, and a copy of this program has it as well. What a closure would capture is passed as the
//! argument; a tuple will do. One that captures does not compile. (The check is made when code is generated: `cargo build` and
//! `cargo test` report it, `cargo check` does not.)
//!
//! Arguments and results are what serde can encode and decode, see [`Portable`](crate::Portable). On `threads`, `tasks` and `serial` nothing
//! is encoded: values move. So the same line runs on every backend, and the cheap ones cost nothing extra.
//!
//! [`spawn`](crate::Executor::spawn) takes a future and [`spawn_blocking`](crate::Executor::spawn_blocking) a closure that may capture
//! whatever they like. They work where tasks stay in this process.
//!
//! # The queue
//!
//! There is one queue for each pool, the same for every backend. It has no bound unless you set one with
//! [`max_pending`](crate::ExecutorBuilder::max_pending). With a bound there are three ways to submit:
//!
//! | call | when the queue is full |
//! |---|---|
//! | [`submit`](crate::Executor::submit) | the handle resolves to [`TaskError::QueueFull`](crate::TaskError::QueueFull) |
//! | [`try_submit`](crate::Executor::try_submit) | gives the argument back |
//! | [`submit_when_ready`](crate::Executor::submit_when_ready) | waits its turn |
//!
//! Streams wait, too. They pull inputs lazily, never further ahead of the results that were taken than their
//! [window](crate::Map::buffer). So an endless iterator is fine, and so is a result set that is larger than memory:
//!
//! ```
//! use futures::{StreamExt, TryStreamExt};
//!
//! # futures::executor::block_on(async {
//! let pool = polypool::Executor::threads(2)?;
//! let first_ten: Vec<u64> = pool.map(|n: u64| n * n, 0..).take(10).try_collect().await?;
//! assert_eq!(first_ten[9], 81);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! Inputs of a stream travel in chunks that grow and shrink with the measured time of a task. Each input keeps a result of its own, and an
//! error in one is not the others'. To events, counters and the queue a chunk is one task.
//!
//! # Who wakes whom
//!
//! Nothing polls and nothing sleeps for a fixed time.
//!
//! - A submit wakes one worker, or has the backend bring one, if there is one to be had. A burst of submits wakes one; it wakes the next.
//! - A task that ends wakes whoever awaits its handle, under whichever runtime that is.
//! - A stream only hands inputs in and takes results out. The work goes on in the pool while you do not poll; when the window is full, it
//!   pauses.
//! - On `serial` there are no workers: a task runs in the poll of its own handle or stream, and one that is never polled never runs.
//!
//! # A task that waits for its own pool
//!
//! A task may submit to the pool that it runs in ([`worker::executor`](crate::worker::executor)) and wait for the result. While it waits,
//! another worker takes its place, so that a pool of one does not hang. A task that waits for something else, a disk or a peer, may give its
//! place away itself, with [`worker::leave_pool`](crate::worker::leave_pool).
//!
//! ```
//! fn depth(n: u32) -> u32 {
//!     if n == 0 {
//!         return 0;
//!     }
//!     let pool = polypool::worker::executor().expect("this is a task");
//!     1 + pool.submit(depth, n - 1).blocking_join().unwrap()
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = polypool::Executor::threads(1)?;
//! assert_eq!(pool.submit(depth, 5).await?, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! A task may also build a pool of its own. Such pools nest up to ten deep (`POLYPOOL_MAX_DEPTH`).
//!
//! # What dropping does
//!
//! Dropping never blocks.
//!
//! | what is dropped | what happens |
//! |---|---|
//! | a [`TaskHandle`](crate::TaskHandle) | nothing: the task goes on, detached. [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop) changes that |
//! | a stream ([`Map`](crate::Map), [`MapCompleted`](crate::MapCompleted)) | what it submitted and has not started is cancelled, what runs ends; [`cancel_on_drop`](crate::Map::cancel_on_drop) changes that. Nobody else's tasks are touched |
//! | a clone of an [`Executor`](crate::Executor) | nothing |
//! | the last clone | the pool's [`CancellationPolicy`](crate::CancellationPolicy) is applied, in the background |
//! | the future of [`submit_when_ready`](crate::Executor::submit_when_ready) | nothing is submitted |
//! | the future of [`shutdown`](crate::Executor::shutdown) | the pool closes all the same, and nobody waits for it |
//!
//! A handle does not keep its pool; a stream does. So `pool().map(f, inputs)` on a temporary executor works, and
//! `pool().submit(f, x).await` on a temporary one may be cancelled while it is pending: keep the executor for as long as you have use for
//! its tasks.
//!
//! To wait until everything has ended, await [`shutdown`](crate::Executor::shutdown). It says how many tasks completed, failed and were
//! cancelled.
