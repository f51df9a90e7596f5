//! Coming from Python: what the calls of cotengra, scinexus, pyDVL, loky and pytask-parallel are called here.
//!
//! Each of these five has grown a layer that chooses a pool, feeds it and cleans up. This crate has the five layers as one. The tables go by what
//! you have now; where the right column differs in what it does, it says so.
//!
//! Three things are different everywhere:
//!
//! - Results are *futures and streams*. `.await` is `future.result()`; `futures::executor::block_on` and
//!   [`blocking_join`](crate::TaskHandle::blocking_join) are for code that is not async.
//! - A task's own error is a value: `Ok(Err(e))`. The outer error is the pool's: cancelled, timed out, lost.
//! - Functions ship by themselves. There is no pickle, no `__main__` guard but [`init()`](crate::init), and a closure that captures does not
//!   compile: pass what it captures.
//!
//! # cotengra: one `parallel=` argument
//!
//! | theirs | here |
//! |---|---|
//! | `parse_parallel_arg(False / True / "auto" / 4 / "threads" / "loky" / …)` | [`Parallel`](crate::Parallel) by [`parse`](str::parse), `From<bool>`, `From<usize>`, serde; then [`executor()`](crate::Parallel::executor). An unknown name is an error that lists the known ones |
//! | `parallel=True`, `parallel=4`: the remembered backend | [`Parallel::On`](crate::Parallel::On), [`Parallel::Workers`](crate::Parallel::Workers); remembered when it was built |
//! | `parallel="auto"`: serial inside workers and forked children | [`Parallel::Auto`](crate::Parallel::Auto); whoever submitted the task |
//! | threads are never remembered | the same |
//! | explicit requests nest | to a depth of ten (`POLYPOOL_MAX_DEPTH`), then [`BuildError::NestingTooDeep`](crate::BuildError::NestingTooDeep) |
//! | `choose_default_num_workers()`, `COTENGRA_NUM_WORKERS`, `OMP_NUM_THREADS` | `POLYPOOL_NUM_WORKERS`, `OMP_NUM_THREADS`, [`cpu_count()`](crate::cpu_count); read afresh; nonsense is an error |
//! | `get_pool(n_workers, maybe_create, backend)`, cached pools | [`Parallel::executor`](crate::Parallel::executor), [`reusable`](crate::reusable()): resized, not replaced |
//! | `get_n_workers(pool)` | [`Executor::max_workers`](crate::Executor::max_workers) |
//! | `submit(pool, fn, *args)` | [`Executor::submit`](crate::Executor::submit); several arguments are a tuple |
//! | `scatter(pool, data)`, `can_scatter(pool)` | [`Executor::scatter`](crate::Executor::scatter), on every backend; what it saves, [`capabilities`](crate::Executor::capabilities) say |
//! | `should_nest(pool)` | [`capabilities().nests`](crate::Capabilities), [`worker::is_worker`](crate::worker::is_worker) |
//! | `maybe_leave_pool(pool)`, `maybe_rejoin_pool(...)` | [`worker::leave_pool`](crate::worker::leave_pool): its guard rejoins. Waiting for tasks of the own pool needs neither |
//! | `worker_client()`, the pool inside a task | [`worker::executor`](crate::worker::executor) |
//! | `RayExecutor(remote_opts).submit(.., pure)` / `.map` / `.scatter` / `.shutdown` | an [`Executor`](crate::Executor) on the backend [`ray`](super::ray), with its resources; `Scattered` inside any argument |
//! | `RayFuture.result()`, `.done()`, `.cancel()` | `.await`, [`is_finished`](crate::TaskHandle::is_finished), [`cancel`](crate::TaskHandle::cancel) |
//! | `parallel="dask"`: the client that is there, else a local cluster | the backend [`dask`](super::dask): `Dask::discover()`, an address, `Dask::local(n)` |
//!
//! ```
//! use futures::TryStreamExt;
//! use polypool::Parallel;
//!
//! fn trial(seed: u64) -> u64 {
//!     seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) % 1000
//! }
//!
//! // def best(n, parallel="auto"): pool = parse_parallel_arg(parallel); ...
//! async fn best(n: u64, parallel: Parallel) -> Result<Option<u64>, Box<dyn std::error::Error>> {
//!     let pool = parallel.executor()?;
//!     let scores: Vec<u64> = pool.map(trial, 0..n).try_collect().await?;
//!     Ok(scores.into_iter().min())
//! }
//!
//! # futures::executor::block_on(async {
//! let serial = best(100, false.into()).await?;
//! let threads = best(100, "threads".parse()?).await?;
//! assert_eq!(serial, threads);
//! assert!("threds".parse::<Parallel>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # scinexus: `map`, `imap`, `as_completed`
//!
//! | theirs | here |
//! |---|---|
//! | `imap(f, s)`: results in the order of the inputs | [`Executor::map`](crate::Executor::map), a stream |
//! | `as_completed(f, s)` | [`Executor::as_completed`](crate::Executor::as_completed), with the index of each input |
//! | `map(f, s)`: all, in order | `map(..).try_collect().await` |
//! | `max_workers=None`; too many raises, or is clamped | [`cpu_count()`](crate::cpu_count); any number from 1 is allowed; 0 is a [`BuildError`](crate::BuildError) |
//! | `if_serial="raise" / "warn" / "ignore"` | [`OnSerial::Error`](crate::OnSerial), `Warn`, `Ignore`; on every backend |
//! | `chunksize=`, `get_default_chunksize(s, max_workers)` | [`chunk_size`](crate::Map::chunk_size); [`ChunkSize`](crate::ChunkSize): adaptive by default, `PerWorker` is theirs; [`default_chunk_size`](crate::default_chunk_size) |
//! | `set_parallel_backend(name)`, `get_parallel_backend(b)` | [`set_default_backend`](crate::set_default_backend), [`default_backend`](crate::default_backend()), [`with_default_backend`](crate::with_default_backend); a name that is refused leaves the choice as it was |
//! | `get_rank()`, `get_size()`, `is_master_process()` | [`worker::rank`](crate::worker::rank), [`worker::size`](crate::worker::size), [`worker::is_master`](crate::worker::is_master) |
//! | `mpiexec -n 4 python -m mpi4py.futures app.py` | `mpiexec -n 4 app`, see [`mpi`](super::mpi) |
//! | everything is submitted at once; a generator that is dropped blocks | a window of inputs, pulled lazily; dropping never blocks |
//! | `PicklableAndCallable` | not needed |
//! | subclass `Parallel` | [`Backend`](crate::backend::Backend) and [`backend::register`](crate::backend::register) |
//!
//! ```
//! use futures::StreamExt;
//! use polypool::Executor;
//!
//! fn square(n: u64) -> u64 {
//!     n * n
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(4)?;
//!
//! // for y in imap(square, range(5)): ...
//! let mut in_order = pool.map(square, 0..5);
//! while let Some(y) = in_order.next().await {
//!     println!("{}", y?);
//! }
//!
//! // for y in as_completed(square, range(5), chunksize=2): ...
//! let mut as_they_come = pool.as_completed(square, 0..5).chunk_size(2);
//! while let Some((index, y)) = as_they_come.next().await {
//!     assert_eq!(y?, (index * index) as u64);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # pyDVL: backends by name, and what happens on exit
//!
//! | theirs | here |
//! |---|---|
//! | `CancellationPolicy.NONE / PENDING / RUNNING / ALL` | [`CancellationPolicy`](crate::CancellationPolicy), the same names, on every backend |
//! | `cancel_futures=True` | `true` is `PENDING` |
//! | `with backend.executor(max_workers=4, cancel_futures=..) as ex:` | [`Executor::builder()`](crate::Executor::builder) with [`on_drop`](crate::ExecutorBuilder::on_drop); the scope ends it |
//! | `init_parallel_backend(name)`; joblib if none is named | [`backend(name)`](crate::ExecutorBuilder::backend), [`default_backend`](crate::default_backend()) |
//! | the policy is applied by `with` only; `shutdown(wait=True)` does not wait; `max_workers` bounds a queue | applied however the executor goes; [`shutdown`](crate::Executor::shutdown) waits for all; `max_workers` is how many run |
//! | `available_cpus()` | [`cpu_count()`](crate::cpu_count) |
//! | `backend.put(x)` / `.get(ref)` | [`scatter`](crate::Executor::scatter) / `.await` |
//! | `backend.wait(futures, num_returns, timeout)` | [`wait(handles, Wait::First)`](crate::wait()) with [`timeout`](crate::Waiting::timeout) |
//! | `backend.wrap(f)` | not needed |
//!
//! ```
//! use std::time::Duration;
//! use polypool::{CancellationPolicy, Executor, Wait, wait};
//!
//! # futures::executor::block_on(async {
//! // with backend.executor(max_workers=2, cancel_futures=CancellationPolicy.ALL) as executor:
//! let pool = Executor::builder().backend("threads").max_workers(2).on_drop(CancellationPolicy::ALL).build()?;
//! let futures = (0..4).map(|n| pool.submit(|n: u32| n + 1, n));
//!
//! // done, pending = backend.wait(futures, timeout=60)
//! let waited = wait(futures, Wait::All).timeout(Duration::from_secs(60)).await;
//! assert_eq!((waited.done.len(), waited.pending.len()), (4, 0));
//! drop(pool); // and the policy is applied
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # loky: processes that survive real life
//!
//! | theirs | here |
//! |---|---|
//! | `get_reusable_executor(max_workers, timeout=10, kill_workers, reuse="auto", initializer, env)` | [`reusable`](crate::reusable()) with [`ReusableOptions`](crate::ReusableOptions); [`Reuse`](crate::Reuse) `IfSame`, `Always`, `Never`. Resizing does not wait for running work |
//! | `ProcessPoolExecutor(max_workers)` | [`Executor::processes`](crate::Executor::processes) |
//! | `cpu_count(only_physical_cores=False / True)`, `LOKY_MAX_CPU_COUNT` | [`cpu_count`](crate::cpu_count), [`physical_cpu_count`](crate::physical_cpu_count), `POLYPOOL_MAX_CPU_COUNT`; the own cgroup and all its parents; [`cpu::report`](mod@crate::cpu) says why |
//! | `get_context("loky" / "loky_init_main" / "spawn" / "fork" / "forkserver")`, `set_start_method(m, force)`, `get_start_method()` | [`StartMethod`](crate::StartMethod), [`process::context`](crate::process::context), [`process::set_start_method`](crate::process::set_start_method), [`process::start_method`](crate::process::start_method) |
//! | `ctx.Process(target, args)` | [`ProcessContext::spawn`](crate::process::ProcessContext::spawn) |
//! | `ctx.Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Condition`, `Event`, `Queue`, `SimpleQueue` | [`sync`](crate::sync), by [`Executor::context`](crate::Executor::context); awaitable; a lock survives its holder |
//! | `TerminatedWorkerError`: the pool is broken | [`TaskError::WorkerLost`](crate::TaskError::WorkerLost) for that task, with exit code or signal; the rest goes on |
//! | what cannot be pickled fails one task; what cannot be unpickled breaks the pool | [`Encode`](crate::TaskError::Encode), [`Decode`](crate::TaskError::Decode): one task, both ways |
//! | `initializer=`, whose failure breaks the pool | [`initializer`](crate::ExecutorBuilder::initializer); [`InitializerFailed`](crate::TaskError::InitializerFailed), with the reason, at once and for all |
//! | `timeout=`: idle workers end | [`idle_timeout`](crate::Processes::idle_timeout) |
//! | memory leaks: `LOKY_MAX_MEMORY_LEAK_SIZE` | [`max_memory_growth`](crate::Processes::max_memory_growth), [`max_tasks_per_worker`](crate::Processes::max_tasks_per_worker), [`memory_limit`](crate::Processes::memory_limit) |
//! | `LOKY_MAX_DEPTH` | `POLYPOOL_MAX_DEPTH` |
//! | `env=` | [`env`](crate::Processes::env) |
//! | faulthandler | a crash report on stderr and in [`WorkerLost::report`](crate::WorkerLost::report) |
//! | `shutdown(kill_workers=True)` | `shutdown(CancellationPolicy::ALL)`: worker processes, with what they have started |
//! | the remote traceback as text | [`PanicInfo`](crate::PanicInfo): message, place, backtrace |
//! | `wrap_non_picklable_objects` | not needed |
//!
//! ```rust,standalone_crate
//! use std::time::Duration;
//! use polypool::{ReusableOptions, reusable};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init(); // where Python has `if __name__ == "__main__":`
//!
//!     // executor = get_reusable_executor(max_workers=2, timeout=2)
//!     let options = ReusableOptions::new().max_workers(2).idle_timeout(Duration::from_secs(2));
//!     let executor = reusable(options.clone())?;
//!     let pid = executor.submit(|()| std::process::id(), ()).blocking_join()?;
//!     assert_ne!(pid, std::process::id());
//!
//!     // Anybody who asks for the same has the same pool, workers and all; another size resizes it.
//!     assert_eq!(reusable(options.max_workers(3))?.max_workers(), 3);
//!     assert_eq!(executor.max_workers(), 3);
//!     Ok(())
//! }
//! ```
//!
//! # pytask-parallel: the tasks of a build
//!
//! | theirs | here |
//! |---|---|
//! | `-n 4`, `--n-workers auto`, `--parallel-backend processes` | [`ParallelArgs`](crate::config::ParallelArgs), the same options; `auto` is all CPUs but one |
//! | `n_workers`, `parallel_backend` in `pyproject.toml` | the same keys, by [`PoolConfig`](crate::config::PoolConfig), also from `POLYPOOL_*` |
//! | `registry.register_parallel_backend(kind, builder, worker_type, remote)` | [`backend::register(name, kind, factory)`](crate::backend::register); the factory's error is named |
//! | the wrapper in the child: exception text, warnings, stdout, stderr | [`TaskReport`](crate::TaskReport) with [`capture_output`](crate::TaskOptions::capture_output); also what C prints |
//! | tasks with `depends_on` and `produces`, submitted when ready, by priority | [`TaskGraph`](crate::graph::TaskGraph): [`after`](crate::graph::Node::after), results as arguments, [`priority`](crate::graph::Node::priority) |
//! | `--max-failures` | [`max_failures`](crate::graph::TaskGraph::max_failures) |
//! | `--pdb`, `--trace` switch parallelism off | `--debug`, [`Parallel::Off`](crate::Parallel::Off): the same program in one thread |
//! | polls with sleeps | nothing polls |
//!
//! ```
//! # #[cfg(feature = "graph")] {
//! # futures::executor::block_on(async {
//! use futures::StreamExt;
//! use polypool::{Executor, graph::TaskGraph};
//!
//! // def task_clean() -> produces(clean); def task_fit(depends_on=clean)
//! let mut graph = TaskGraph::new().max_failures(1).capture_output(true);
//! let clean = graph.task("clean", |rows: Vec<i64>| rows.into_iter().filter(|n| *n >= 0).collect(), vec![3, -1, 5]).output();
//! let fit = graph.task_from("fit", |rows: Vec<i64>| rows.iter().sum::<i64>(), clean).output();
//!
//! let mut run = graph.run(&Executor::threads(2)?)?;
//! while let Some((name, report)) = run.next().await {
//!     println!("{name}: {}\n{}", report.outcome, report.stdout);
//! }
//! assert_eq!(run.take_output(fit), Some(8));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! # }
//! ```
//!
//! `examples/taskfile` is a small build runner with all of it.
//!
//! # concurrent.futures and multiprocessing
//!
//! | theirs | here |
//! |---|---|
//! | `ProcessPoolExecutor(n)`, `ThreadPoolExecutor(n)` | [`Executor::processes(n)`](crate::Executor::processes), [`Executor::threads(n)`](crate::Executor::threads) |
//! | `submit`, `Future.result(timeout)` | [`submit`](crate::Executor::submit), `.await` with your runtime's timeout |
//! | `Future.cancel()` | [`cancel`](crate::TaskHandle::cancel), also of what runs |
//! | `as_completed(futures)`, `wait(futures, FIRST_COMPLETED)` | [`as_completed(handles)`](crate::as_completed()), [`wait(handles, Wait::First)`](crate::wait()) |
//! | `BrokenProcessPool` | [`TaskError::WorkerLost`](crate::TaskError::WorkerLost), of one task |
//! | `Pool(maxtasksperchild=..)` | [`max_tasks_per_worker`](crate::Processes::max_tasks_per_worker) |
//! | `Pool.imap_unordered` | [`as_completed(f, inputs)`](crate::Executor::as_completed) |
//! | `shared_memory` | [`scatter_slice`](crate::Executor::scatter_slice) |
//! | `Manager()` | [`sync`](crate::sync) |
