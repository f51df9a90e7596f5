//! Cancellation: the four policies, tokens, grace periods, time limits, handles and streams.
//!
//! # What it means
//!
//! A task can be cancelled by its handle, by its stream, by its time limit, and by the end of its pool. What becomes of it depends on one
//! question only: has it started?
//!
//! - *Not started*: it ends with [`TaskError::Cancelled`](crate::TaskError::Cancelled) and never runs. This is exact, on every backend.
//! - *Running*: it is told, and then stopped, as its backend can.
//!
//! | what runs | on | how it is stopped |
//! |---|---|---|
//! | a future | any | it is dropped at its next await |
//! | a function | `processes` | it is told; after a grace period its process gets SIGTERM, after another SIGKILL, with all that it has started |
//! | a function | `threads` | it is told, its handle resolves at once, and its code ends by itself |
//! | a function | `tasks`, `serial` | the same, but it has the thread of the runtime, or the caller's, until it returns |
//!
//! No Rust program can stop a thread from outside. Whoever needs that needs a process.
//!
//! # The four policies
//!
//! A [`CancellationPolicy`](crate::CancellationPolicy) says which of the two kinds are cancelled when an executor, a stream or a handle goes away.
//!
//! | policy | not started | running |
//! |---|---|---|
//! | `NONE` | runs, in the background | runs to its end |
//! | `PENDING` | cancelled | runs to its end |
//! | `RUNNING` | runs, in the background | stopped |
//! | `ALL` | cancelled | stopped |
//!
//! The default of a pool is `PENDING`. A `bool` will do as well: `true` is `PENDING`, `false` is `NONE`. Here they are, on one worker that has
//! a task to run and another that waits:
//!
//! ```
//! use polypool::{CancellationPolicy as Policy, Executor, sync::Event};
//!
//! fn work((started, gate): (Event, Event)) {
//!     started.blocking_set();
//!     gate.blocking_wait(); // a task that is asked to stop while it waits here, ends here
//! }
//!
//! # futures::executor::block_on(async {
//! for (policy, first_ends, second_ends) in [
//!     (Policy::NONE, true, true),
//!     (Policy::PENDING, true, false),
//!     (Policy::RUNNING, false, true),
//!     (Policy::ALL, false, false),
//! ] {
//!     let pool = Executor::threads(1)?;
//!     let (started, gate) = (pool.context().event(), pool.context().event());
//!     let first = pool.submit(work, (started.clone(), gate.clone()));
//!     started.wait().await; // now the first runs, and the second cannot
//!     let second = pool.submit(|()| (), ());
//!
//!     let end = pool.shutdown(policy); // the policy is applied here and now
//!     gate.set().await;
//!     end.await;
//!     assert_eq!((first.await.is_ok(), second.await.is_ok()), (first_ends, second_ends), "{policy}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! A policy is applied by
//!
//! | who | default | set by |
//! |---|---|---|
//! | the last clone of an executor that is dropped | `PENDING` | [`ExecutorBuilder::on_drop`](crate::ExecutorBuilder::on_drop) |
//! | [`Executor::shutdown`](crate::Executor::shutdown) | none | its argument; it may be called again with a stricter one |
//! | a stream that is dropped before its end | `PENDING` | [`Map::cancel_on_drop`](crate::Map::cancel_on_drop) |
//! | a handle that is dropped | `NONE` | [`TaskHandle::cancel_on_drop`](crate::TaskHandle::cancel_on_drop) |
//! | a graph's run that is dropped | `PENDING` | [`GraphRun::cancel_on_drop`](crate::graph::GraphRun::cancel_on_drop) |
//!
//! None of these blocks. The policy is applied however the executor goes away: at the end of a scope, by `?`, by a panic. (A pool in a static is
//! never dropped. What it runs when the program ends is cut off.)
//!
//! # One task
//!
//! [`abort`](crate::TaskHandle::abort) asks and returns. [`cancel`](crate::TaskHandle::cancel) asks, waits until the task is resolved, and gives
//! its value if it had one already. An [`AbortHandle`](crate::AbortHandle) can do the one and nothing else, and be cloned.
//!
//! ## Stop what nobody waits for any more
//!
//! ```
//! use polypool::{CancellationPolicy, Executor, TaskState};
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::tasks(1)?;
//! let task = pool.spawn(std::future::pending::<()>()).cancel_on_drop(CancellationPolicy::ALL);
//! drop(task); // as it is when the future that awaits it is dropped: a client that has gone, say
//! assert_eq!(pool.shutdown(false).await.cancelled, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # A function that can be asked to stop
//!
//! Inside a task, [`worker::is_cancelled`](crate::worker::is_cancelled) tells whether it was asked to stop: cancelled, or out of time. It costs a
//! few nanoseconds. A long computation on `threads` asks now and then. One on `processes` may, to put something in order before it is
//! stopped by force.
//!
//! ```
//! use polypool::{Executor, sync::Event, worker};
//!
//! fn count((started, stopped): (Event, Event)) -> u64 {
//!     started.blocking_set();
//!     let steps = (0..u64::MAX).take_while(|_| !worker::is_cancelled()).count() as u64;
//!     stopped.blocking_set(); // its handle has resolved long ago
//!     steps
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(1)?;
//! let (started, stopped) = (pool.context().event(), pool.context().event());
//! let task = pool.submit(count, (started.clone(), stopped.clone()));
//! started.wait().await;
//! assert_eq!(task.cancel().await, None);
//! stopped.wait().await; // the code has ended by itself
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! What blocks in a wait of [`sync`](crate::sync) is ended by the wait itself. What blocks in a `block_on` of its own can wait for
//! [`worker::cancelled`](crate::worker::cancelled) beside it.
//!
//! # A function that cannot
//!
//! On `processes`, a task that does not heed its token is stopped all the same. It has a
//! [grace period](crate::Processes::grace_period) of 100 ms before SIGTERM, and another before SIGKILL. Both signals go to the worker's process
//! group, so to whatever the task has started. Its handle resolves when the process has ended: then the task can do nothing any more, and a file
//! that it wrote is nobody's.
//!
//! ```rust,standalone_crate
//! use std::time::Duration;
//! use polypool::{Executor, Processes};
//!
//! fn deaf(started: polypool::sync::Event) {
//!     started.blocking_set();
//!     loop {
//!         std::thread::sleep(Duration::from_secs(3600));
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let backend = Processes::new().grace_period(Duration::from_millis(10));
//!     let pool = Executor::builder().backend(backend).max_workers(1).build()?;
//!     futures::executor::block_on(async {
//!         let started = pool.context().event();
//!         let task = pool.submit(deaf, started.clone());
//!         started.wait().await;
//!         assert_eq!(task.cancel().await, None); // its process is gone
//!         assert_eq!(pool.submit(|n: u32| n + 1, 1).await?, 2); // and another has come
//!         Ok(())
//!     })
//! }
//! ```
//!
//! A worker that was stopped for one task is replaced. It never takes the next one with it.
//!
//! # Time limits
//!
//! | limit | counts from | set by |
//! |---|---|---|
//! | of a task | its start: waiting does not count | [`TaskOptions::timeout`](crate::TaskOptions::timeout), [`ExecutorBuilder::task_timeout`](crate::ExecutorBuilder::task_timeout) |
//! | of a stream | its first poll | [`Map::timeout`](crate::Map::timeout) |
//! | of a wait | its first poll; nothing is cancelled | [`Waiting::timeout`](crate::Waiting::timeout) |
//! | of a request, with the time in the queue | when you say so | your runtime's `timeout` around a handle with [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop) |
//!
//! A task that runs out of time ends with [`TaskError::TimedOut`](crate::TaskError::TimedOut), and is stopped as one that is cancelled.
//!
//! ## A limit for one task
//!
//! ```
//! use std::time::Duration;
//! use polypool::{Executor, TaskOptions};
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::tasks(2)?;
//! let options = TaskOptions::new().timeout(Duration::from_millis(5));
//! let task = pool.submit_async_with(options, async |()| std::future::pending::<()>().await, ());
//! let error = task.await.unwrap_err();
//! assert!(error.is_timed_out());
//! assert_eq!(error.to_string(), "timed out after 5ms; allow more time, or make the task smaller");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! ## A deadline that includes the queue
//!
//! ```
//! use std::time::Duration;
//! use polypool::{CancellationPolicy, Executor};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! let pool = Executor::threads(1)?;
//! let gate = pool.context().event();
//! let busy = pool.submit(|gate: polypool::sync::Event| gate.blocking_wait(), gate.clone());
//!
//! let task = pool.submit(|()| (), ()).cancel_on_drop(CancellationPolicy::ALL);
//! let answer = tokio::time::timeout(Duration::from_millis(5), task).await;
//! assert!(answer.is_err()); // the handle is dropped with the timeout's future: the task was cancelled in the queue
//! gate.set().await;
//! busy.await?;
//! assert_eq!(pool.shutdown(false).await.cancelled, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Streams
//!
//! A stream that is dropped cancels what it has not started. [`fail_fast`](crate::Map::fail_fast) ends it with the first error and cancels
//! what is left. After a [`timeout`](crate::Map::timeout) the results that are there already are given, and the last item is
//! `Err(TimedOut)`.
//!
//! ```
//! use futures::StreamExt;
//! use polypool::Executor;
//!
//! fn check(n: u32) -> u32 {
//!     assert!(n != 2, "two is bad");
//!     n
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(1)?;
//! let results: Vec<_> = pool.map(check, 0..1_000_000).chunk_size(1).fail_fast().collect().await;
//! assert_eq!(results.len(), 3); // 0, 1, and the error
//! assert!(results[2].as_ref().unwrap_err().is_panicked());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # The end of a pool
//!
//! [`shutdown`](crate::Executor::shutdown) takes no more tasks, applies its policy at once, and is ready when every worker is gone. It may be
//! called again: a patient end first, a strict one when that takes too long.
//!
//! ```
//! use std::time::Duration;
//! use futures::future::{Either, select};
//! use polypool::{CancellationPolicy, Executor};
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::tasks(4)?;
//! let stuck = pool.spawn(std::future::pending::<()>());
//!
//! let patience = Executor::threads(1)?.spawn_blocking(|| std::thread::sleep(Duration::from_millis(5)));
//! let report = match select(pool.shutdown(CancellationPolicy::PENDING), patience).await {
//!     Either::Left((report, _)) => report,
//!     Either::Right(_) => pool.shutdown(CancellationPolicy::ALL).await,
//! };
//! assert_eq!(report.cancelled, 1);
//! # assert!(stuck.await.is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! A task may shut its own pool down and await that: it is not waited for, nor are the tasks that wait for it.
//!
//! On `threads`, a function that does not heed its token is waited for: put a time limit of your runtime around `shutdown` where that matters.
