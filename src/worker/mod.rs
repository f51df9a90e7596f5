//! What a task can ask about where it runs. Owns the questions; the answers are the seat's at which its thread works.

use std::fmt;

use crate::backend::{Wait, pool::Pool, seat};

#[cfg(all(feature = "engine", target_os = "linux"))]
pub(crate) mod agent;
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub(crate) mod mpi;
#[cfg(not(all(feature = "mpi", target_os = "linux")))]
#[path = "no_mpi.rs"]
mod mpi;
#[cfg(not(all(feature = "processes", target_os = "linux")))]
pub(crate) mod no_process;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod process;
#[cfg(not(all(feature = "processes", target_os = "linux")))]
pub(crate) use no_process as process;
mod state;

pub use state::{set_state, state};

use process::here;

/// Tells whether this code runs inside a task of a pool, on whichever backend.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert!(pool.submit(|()| polypool::worker::is_worker(), ()).await?);
/// assert!(!polypool::worker::is_worker());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn is_worker() -> bool {
    seat::with_current(|seat| seat.is_some()) || here().is_some()
}

/// Gives the index of the worker that runs this code: from 0 up, lower than `max_workers` unless other workers wait for tasks
/// of their own pool. `None` outside a task.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(|()| polypool::worker::index(), ()).await?, Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn index() -> Option<usize> {
    seat::with_current(|seat| seat.map(seat::Seat::index)).or_else(|| Some(here()?.place.index as usize))
}

/// Gives the id of the worker that runs this code, unique in its pool: a worker that comes in the place of another has the
/// same index and another id. `None` outside a task.
///
/// # Examples
/// ```
/// assert_eq!(polypool::worker::id(), None);
/// ```
pub fn id() -> Option<u64> {
    seat::with_current(|seat| seat.map(seat::Seat::worker)).or_else(|| Some(here()?.place.worker))
}

/// Gives the rank of this code among those that work together: 0 for the program that submits, and from 1 up for the workers,
/// one more than their [`index`].
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(|()| polypool::worker::rank(), ()).await?, 1);
/// assert_eq!(polypool::worker::rank(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn rank() -> usize {
    index().map_or(0, |index| index + 1)
}

/// Tells how many work together: the pool's `max_workers`, and the program that submits. 1 outside a task.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(3)?;
/// assert_eq!(pool.submit(|()| polypool::worker::size(), ()).await?, 4);
/// assert_eq!(polypool::worker::size(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn size() -> usize {
    match seat::current().and_then(|seat| seat.pool()) {
        Some(pool) => pool.max_workers() + 1,
        None => here().map_or(1, |here| here.max_workers() + 1),
    }
}

/// Tells whether this code is the program that submits, and not a worker.
///
/// # Examples
/// ```
/// if polypool::worker::is_master() {
///     println!("said once, however many work");
/// }
/// ```
pub fn is_master() -> bool {
    rank() == 0
}

/// Says how far the task is, to those who listen to [`Executor::events`](crate::Executor::events): `done` of `total`, in a unit
/// of its own. A `total` of 0 means that nobody knows. Outside a task it does nothing.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// fn count(to: u64) {
///     for n in 0..to {
///         polypool::worker::report_progress(n, to);
///     }
/// }
///
/// let pool = polypool::Executor::threads(1)?;
/// pool.submit(count, 3).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn report_progress(done: u64, total: u64) {
    if let Some(seat) = seat::current()
        && let (Some(pool), Some(task)) = (seat.pool(), seat.current_id())
    {
        pool.progressed(task, done, total);
    } else if let Some(here) = here() {
        here.progressed(done, total);
    }
}

/// Tells how many pools this code is inside of: 0 outside a task, 1 in a task of a pool that was built outside one.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(|()| polypool::worker::depth(), ()).await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn depth() -> usize {
    match seat::current().and_then(|seat| seat.pool()) {
        Some(pool) => pool.depth(),
        None => process::depth(),
    }
}

/// Tells whether the task that runs this code was asked to stop: cancelled, or out of time. False outside a task. Costs a few
/// nanoseconds; a long computation asks now and then.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// fn search(limit: u64) -> Option<u64> {
///     (1..limit).take_while(|_| !polypool::worker::is_cancelled()).find(|n| n * n > 1_000)
/// }
///
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(search, 100).await?, Some(32));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn is_cancelled() -> bool {
    seat::with_current(|seat| seat.map(seat::Seat::is_stop_asked))
        .unwrap_or_else(|| here().is_some_and(|here| here.is_stopped()))
}

/// Waits until the task that runs this code is asked to stop. Never ready outside a task.
///
/// A task that is a future is dropped when it is asked to stop, and sees nothing of this; it is for what a blocking task waits
/// for with a `block_on` of its own.
///
/// # Cancel safety
/// Dropping the future loses nothing.
///
/// # Examples
/// ```
/// use futures::{executor::block_on, future::{select, Either}};
///
/// fn wait_for_a_reply(host: String) -> Option<String> {
///     let reply = Box::pin(async move { format!("{host} says hello") });
///     match block_on(select(reply, Box::pin(polypool::worker::cancelled()))) {
///         Either::Left((reply, _)) => Some(reply),
///         Either::Right(_) => None,
///     }
/// }
///
/// # block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// assert_eq!(pool.submit(wait_for_a_reply, "it".to_owned()).await?.as_deref(), Some("it says hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub async fn cancelled() {
    match seat::current() {
        Some(seat) => {
            let task = seat.current_task();
            std::future::poll_fn(|cx| seat.poll_cancelled(task.as_ref(), cx)).await;
        }
        None => match here() {
            Some(here) => {
                let mut mine = None;
                std::future::poll_fn(|cx| here.poll_stopped(&mut mine, cx)).await;
            }
            None => std::future::pending().await,
        },
    }
}

/// Gives this worker's place away while the task waits for something, so that another task can run meanwhile. The place is
/// taken back when the guard is dropped, at once, even if there is one worker more than `max_workers` for a moment.
///
/// A task that waits for tasks of its own pool need not do this: awaiting their handles, or joining them, does, and within a bound
/// (see [Tasks of tasks](crate#tasks-of-tasks)). This is for a wait of another kind, which the pool knows nothing of, and has no
/// bound: each guard lets one worker more come, a thread or a process as the others, if there is a task for it. Outside a task it
/// does nothing.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// fn wait_for_the_disk(millis: u64) {
///     let _elsewhere = polypool::worker::leave_pool();
///     std::thread::sleep(std::time::Duration::from_millis(millis));
/// }
///
/// let pool = polypool::Executor::threads(1)?;
/// pool.submit(wait_for_the_disk, 1).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn leave_pool() -> LeaveGuard {
    let released: Option<Box<dyn Send + Sync>> = match seat::current() {
        Some(seat) => Pool::release_seat(seat, Wait::Freely).map(|released| Box::new(released) as _),
        None => here().map(process::leave),
    };
    LeaveGuard { _released: released }
}

/// A place in the pool that was given away; dropping it takes the place back. From [`leave_pool`].
///
/// # Examples
/// ```
/// let guard = polypool::worker::leave_pool();
/// drop(guard); // outside a task neither does anything
/// ```
#[must_use = "dropping the guard takes the place back at once"]
pub struct LeaveGuard {
    _released: Option<Box<dyn Send + Sync>>,
}

impl fmt::Debug for LeaveGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaveGuard").finish_non_exhaustive()
    }
}
