//! Shared data and primitives: what many tasks need, placed once; locks, queues and their kin across workers.
//!
//! # Which
//!
//! | what | by | a worker process has it |
//! |---|---|---|
//! | a small argument | the argument | once per task, encoded |
//! | a value that many tasks read | [`scatter`](crate::Executor::scatter) | once, decoded |
//! | a large array of numbers | [`scatter_slice`](crate::Executor::scatter_slice) | as shared memory, never copied |
//! | something that each worker makes for itself: a model, a connection | an [initializer](crate::ExecutorBuilder::initializer) and [`worker::state`](crate::worker::state) | its own |
//! | something huge that is loaded once and read by all | [`preload`](crate::Processes::preload) | shared until it is written to |
//! | something that changes, for all | a primitive of [`sync`](crate::sync) | a handle |
//!
//! On `threads`, `tasks` and `serial` none of these copies or encodes anything. The same program is right on both kinds.
//!
//! # A value, placed once
//!
//! [`Scattered`](crate::Scattered) is a handle that any argument or result may contain, at any depth. It derefs to the value.
//!
//! ```rust,standalone_crate
//! use std::collections::HashMap;
//! use futures::TryStreamExt;
//! use polypool::{Executor, Scattered};
//!
//! fn price((prices, item): (Scattered<HashMap<String, u32>>, String)) -> Option<u32> {
//!     prices.get(&item).copied()
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let pool = Executor::processes(2)?;
//!     futures::executor::block_on(async {
//!         let prices = HashMap::from([("egg".to_owned(), 30), ("hen".to_owned(), 900)]);
//!         let prices = pool.scatter(prices).await?;
//!         let inputs = ["hen", "egg", "cow"].map(|item| (prices.clone(), item.to_owned()));
//!         let found: Vec<_> = pool.map(price, inputs).try_collect().await?;
//!         assert_eq!(found, [Some(900), Some(30), None]);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! The value is encoded once, and sent to a worker with the first task there that names it. It stays for as long as anybody has a handle, or a
//! task that waits names it. Workers that come later get it, too. It may be named in tasks of other pools.
//!
//! # Numbers in shared memory
//!
//! [`SharedSlice`](crate::SharedSlice) is for elements that are plain memory ([`Pod`](crate::Pod)): numbers, arrays of them, your own `repr(C)`
//! types. One copy is made, and every worker process sees that.
//!
//! ```
//! use futures::TryStreamExt;
//! use polypool::{Executor, SharedSlice};
//!
//! fn mean((samples, from, to): (SharedSlice<f64>, usize, usize)) -> f64 {
//!     samples[from..to].iter().sum::<f64>() / (to - from) as f64
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(2)?;
//! let samples = pool.scatter_slice((0..1000).map(f64::from).collect()).await?;
//! let quarters = (0..4).map(move |n| (samples.clone(), n * 250, (n + 1) * 250));
//! let means: Vec<f64> = pool.map(mean, quarters).try_collect().await?;
//! assert_eq!(means, [124.5, 374.5, 624.5, 874.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! [`SharedSlice::filled`](crate::SharedSlice::filled) makes one in place, in a task as well: a large result that comes back without a copy.
//!
//! Each placed value takes a descriptor, here and in every worker process that has it (`ulimit -n`). Many small values are better placed as one.
//!
//! # What a worker keeps
//!
//! ```
//! use polypool::{Executor, worker};
//!
//! struct Connection {
//!     number: usize,
//! }
//!
//! fn connect(_host: String) {
//!     worker::set_state(Connection { number: worker::index().unwrap_or(0) });
//! }
//!
//! fn query(_: String) -> Option<usize> {
//!     Some(worker::state::<Connection>()?.number)
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::builder().backend("threads").max_workers(1).initializer(connect, "db".to_owned()).build()?;
//! assert_eq!(pool.submit(query, "select 1".to_owned()).await?, Some(0));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! [`run_on_all`](crate::Executor::run_on_all) does something once in each worker that there is: it drops a cache, or asks for counts. A worker
//! that comes later has not done it.
//!
//! # Primitives
//!
//! [`Executor::context`](crate::Executor::context) makes them. They are sent to tasks like data, awaited or blocked on, and clones are the same
//! thing. Each verb has a `blocking_` twin, a `try_` twin that does not wait, and a `_timeout` twin that does not wait for ever.
//!
//! | | made by | |
//! |---|---|---|
//! | [`Lock`](crate::sync::Lock) | `lock()` | one holder at a time |
//! | [`RLock`](crate::sync::RLock) | `rlock()` | its holder may lock it again |
//! | [`Semaphore`](crate::sync::Semaphore), [`BoundedSemaphore`](crate::sync::BoundedSemaphore) | `semaphore(n)`, `bounded_semaphore(n)` | so many holders at a time |
//! | [`Condition`](crate::sync::Condition) | `condition()` | waits under a lock for a change |
//! | [`Event`](crate::sync::Event) | `event()` | has happened, or not |
//! | [`Queue`](crate::sync::Queue), [`SimpleQueue`](crate::sync::SimpleQueue) | `queue(capacity)`, `simple_queue()` | values from some to others |
//! | [`Barrier`](crate::sync::Barrier) | `barrier(n)` | lets all through when all have come |
//!
//! ```
//! use polypool::{Executor, sync::{Queue, Semaphore}};
//!
//! fn fetch((at_most_two, found, page): (Semaphore, Queue<String>, u32)) {
//!     let _permit = at_most_two.blocking_acquire(); // given back when it is dropped
//!     found.blocking_put(format!("page {page}")).unwrap();
//! }
//!
//! # futures::executor::block_on(async {
//! let pool = Executor::threads(8)?;
//! let (at_most_two, found) = (pool.context().semaphore(2), pool.context().queue(0));
//! for page in 0..4 {
//!     drop(pool.submit(fetch, (at_most_two.clone(), found.clone(), page)));
//! }
//! for _ in 0..4 {
//!     println!("{}", found.get().await?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! Their state is in the process whose executor made them; worker processes ask it. So nothing has a name in the system, and nothing is left
//! over. Where all workers wait for what only a queued task can bring, they wait for ever: such a wait
//! [leaves the pool](crate::worker::leave_pool) first.
//!
//! # When the holder dies
//!
//! A lock whose holder died is free. The next holder is told: what the lock protects may be half done.
//!
//! ```rust,standalone_crate
//! use polypool::{Executor, sync::Lock};
//!
//! fn die(lock: Lock) {
//!     let _guard = lock.blocking_lock();
//!     std::process::abort();
//! }
//!
//! fn repair(lock: Lock) -> bool {
//!     lock.blocking_lock().holder_died()
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     polypool::init();
//!     let pool = Executor::processes(1)?;
//!     let lock = pool.context().lock();
//!     assert!(pool.submit(die, lock.clone()).blocking_join().is_err());
//!     assert!(pool.submit(repair, lock.clone()).blocking_join()?);
//!     assert!(!pool.submit(repair, lock).blocking_join()?); // it is told once
//!     Ok(())
//! }
//! ```
//!
//! The same is true of permits. A value on its way to a worker that died is the first in its queue again. Who waited and died leaves the line.
//! The whole table is in [`sync`](crate::sync#when-something-ends).
