//! Embedding in a service: runtimes, back-pressure, deadlines, shutdown, what to watch.
//!
//! # Which runtime
//!
//! A pool is built anywhere: in `main` before the runtime, in a static, inside a handler. [`Runtime::detect`](crate::Runtime::detect), the default, is
//! settled at the first submit: tokio when there is one in context; else async-std or smol when that is the only runtime whose feature is on; else
//! none, and the pool has threads of its own. Under tokio, workers on `threads` are its blocking threads.
//!
//! A handle can be awaited under any runtime, whichever the pool uses. When the runtime ends, the pool goes on with the one that is current at
//! the next submit, or without.
//!
//! Name it where the first submit may happen outside: `builder().runtime(Runtime::tokio(handle))`.
//!
//! # One pool for what
//!
//! Build one pool for each kind of work that should not starve another, in the service's state, and clone the executor into handlers. A pool
//! that has nothing to do holds no thread; its worker processes stay, unless it has an [`idle_timeout`](crate::Processes::idle_timeout).
//!
//! ```
//! use std::time::Duration;
//! use polypool::{BuildError, CancellationPolicy, Executor};
//!
//! fn thumbnails() -> Result<Executor, BuildError> {
//!     Executor::builder()
//!         .backend("threads") // or "processes", for decoders that may crash
//!         .max_workers(polypool::cpu_count())
//!         .max_pending(64) // more than that is overload, and is told so
//!         .task_timeout(Duration::from_secs(5))
//!         .on_drop(CancellationPolicy::ALL)
//!         .name("thumbnails") // in events, spans and metrics
//!         .build()
//! }
//! # thumbnails()?;
//! # Ok::<(), BuildError>(())
//! ```
//!
//! [`warm_up`](crate::Executor::warm_up) starts the workers and runs the initializer when the service starts, so that a mistake shows then and not
//! with the first request.
//!
//! # Back-pressure
//!
//! Without a bound, a queue grows until memory ends. With [`max_pending`](crate::ExecutorBuilder::max_pending), choose what a full queue
//! means:
//!
//! - *refuse*: [`try_submit`](crate::Executor::try_submit) gives the argument back at once. That is a 503.
//! - *wait*: [`submit_when_ready`](crate::Executor::submit_when_ready) takes its turn. That is for consumers of a queue of your own, which should
//!   slow down.
//!
//! ```
//! use polypool::{Executor, TaskError};
//!
//! /// What a handler answers.
//! async fn handle(pool: &Executor, body: Vec<u8>) -> (u16, String) {
//!     match pool.try_submit(|body: Vec<u8>| body.len(), body) {
//!         Err(refused) if refused.reason.is_refused() => (503, refused.reason.to_string()),
//!         Err(refused) => (500, refused.reason.to_string()),
//!         Ok(task) => match task.cancel_on_drop(true).await {
//!             Ok(len) => (200, len.to_string()),
//!             Err(TaskError::TimedOut { .. }) => (504, "it took too long".to_owned()),
//!             Err(error) => (500, error.to_string()),
//!         },
//!     }
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::builder().backend("threads").max_workers(1).max_pending(1).build()?;
//! assert_eq!(handle(&pool, vec![0; 7]).await, (200, "7".to_owned()));
//!
//! let gate = pool.context().event();
//! let started = pool.context().event();
//! let busy = pool.submit(
//!     |(started, gate): (polypool::sync::Event, polypool::sync::Event)| {
//!         started.blocking_set();
//!         gate.blocking_wait();
//!     },
//!     (started.clone(), gate.clone()),
//! );
//! started.wait().await;
//! let waiting = pool.submit(|()| (), ()); // the queue is full now
//! assert_eq!(handle(&pool, Vec::new()).await.0, 503);
//! gate.set().await;
//! busy.await?;
//! waiting.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # Deadlines, and clients that go away
//!
//! A framework drops a handler's future when its client is gone. A handle with
//! [`cancel_on_drop(CancellationPolicy::ALL)`](crate::TaskHandle::cancel_on_drop) then cancels the task: one that waits never runs, and one that runs is
//! stopped as its backend can. On `processes` that is for real, also in the midst of a C library.
//!
//! Your runtime's `timeout` around such a handle is a deadline that includes the queue. A pool's
//! [`task_timeout`](crate::ExecutorBuilder::task_timeout) counts from the start of the task, and bounds how long a worker can be held. Have both.
//! See [`cancellation`](super::cancellation).
//!
//! # A sketch with axum
//!
//! The whole service, with its load test, is `examples/service.rs`.
//!
//! ```text
//! async fn thumbnail(State(pool): State<Executor>, body: Bytes) -> Response {
//!     let task = match pool.try_submit(resize, body.to_vec()) {
//!         Ok(task) => task.cancel_on_drop(CancellationPolicy::ALL), // the client is gone: so is the task
//!         Err(refused) => return (StatusCode::SERVICE_UNAVAILABLE, refused.to_string()).into_response(),
//!     };
//!     match tokio::time::timeout(Duration::from_secs(10), task).await {
//!         Ok(Ok(Ok(png))) => png.into_response(),
//!         Ok(Ok(Err(bad))) => (StatusCode::UNPROCESSABLE_ENTITY, bad.to_string()).into_response(),
//!         Ok(Err(TaskError::TimedOut { .. })) | Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
//!         Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     polypool::init(); // before the runtime: a worker needs none of it
//!     let pool = Executor::builder().backend("processes").max_pending(64).task_timeout(Duration::from_secs(5)).build()?;
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         pool.warm_up().await?;
//!         let app = Router::new().route("/thumbnail", post(thumbnail)).with_state(pool.clone());
//!         let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!         axum::serve(listener, app).with_graceful_shutdown(signal()).await?;
//!         let report = pool.shutdown(CancellationPolicy::PENDING).await;
//!         tracing::info!(?report, "the pool has ended");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! `#[tokio::main]` starts a runtime before the first line of `main`, in every worker, too. It works; a plain `main` as above spares workers the
//! runtime, and so does [`worker_main!`](crate::worker_main) beside it.
//!
//! # The order of an end
//!
//! 1. Stop accepting requests, and let those that are there finish.
//! 2. `pool.shutdown(CancellationPolicy::PENDING).await`: what runs ends. With a limit of your runtime around it.
//! 3. `pool.shutdown(CancellationPolicy::ALL).await` when that was too long.
//! 4. Let the runtime end.
//!
//! Without any of it nothing hangs and nothing is left over: the last executor that is dropped applies its policy, a runtime that ends does not
//! wait for a pool that is idle, and worker processes end with the program. But nobody has waited for the tasks.
//!
//! # Events
//!
//! [`Executor::events`](crate::Executor::events) is a stream of what happens: tasks queued, started, finished, failed, lost, cancelled, their
//! progress; workers started, stopped, lost, recycled. It costs one load when nobody listens. A listener that is too slow loses the oldest
//! events, and is told how many.
//!
//! ```
//! use futures::StreamExt;
//! use polypool::{EventKind, Executor};
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(1)?;
//! let mut events = pool.events();
//! pool.submit(|()| polypool::worker::report_progress(1, 2), ()).await?;
//! pool.shutdown(true).await;
//! while let Some(event) = events.next().await {
//!     match event.kind {
//!         EventKind::TaskProgress { task, done, total, .. } => println!("{task}: {done} of {total}"),
//!         EventKind::WorkerLost(how) => eprintln!("{how}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! With the feature `timeline`, [`Recorder`](crate::timeline::Recorder) makes a picture or a trace of them.
//!
//! # Counts and metrics
//!
//! [`stats`](crate::Executor::stats) and [`workers`](crate::Executor::workers) never block: they are for health routes. With the feature `metrics`,
//! every pool counts through the crate `metrics`, with the labels `pool` and `backend`; the names are listed at
//! [`Executor::stats`](crate::Executor::stats). Watch `polypool_tasks_queued` and `polypool_task_queue_seconds` for overload,
//! `polypool_workers_lost_total` for crashes.
//!
//! # Tracing
//!
//! Each task runs in a span `task` of target `polypool`, within the span in which it was submitted: what a task logs is found under its request. A
//! task in another process has that span here, too. See [Spans](crate#spans). Without a subscriber it costs one load.
