//! Locks: one holder at a time.

use super::{
    Guard, ReleaseError,
    handle::{Handle, travels},
    holding::{holding, releasing},
};
use crate::primitives::Kind;

/// What both can.
macro_rules! verbs {
    ($name:ident, $made:literal, $waits:literal) => {
        holding!(locks: $name, "lock", $made, $waits);
        releasing! {
            $name,
            /// Gives back what this task, or this thread outside of tasks, has locked last and not given back, whoever has the guard. A guard that is dropped afterwards does nothing.
            ///
            /// # Errors
            /// [`ReleaseError::NotHeld`] when that is nothing.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let lock = pool.context().", $made, ";")]
            /// std::mem::forget(lock.lock().await);
            /// lock.release().await?;
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
        }
    };
}

/// One holder at a time, across the tasks, threads and worker processes of a pool; from
/// [`SyncContext::lock`](super::SyncContext::lock). Clones are the same lock.
///
/// Those who wait have it in the order in which they came. When the process of the holder ends, the lock is free, and the next
/// holder is told ([`Guard::holder_died`]). Who locks it again without giving it up waits for ever; see [`RLock`].
///
/// # Examples
/// ```no_run
/// use polypool::{Executor, sync::Lock};
///
/// fn append((log, line): (Lock, String)) {
///     let _guard = log.blocking_lock();
///     // nobody else writes now, in whichever process
///     # let _ = line;
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// polypool::init();
/// let pool = Executor::processes(4)?;
/// let log = pool.context().lock();
/// let lines = (0..100).map(move |n| (log.clone(), format!("line {n}")));
/// futures::executor::block_on(futures::TryStreamExt::try_collect::<Vec<()>>(pool.map(append, lines)))?;
/// # Ok(()) }
/// ```
pub struct Lock {
    pub(super) handle: Handle,
}

verbs!(Lock, "lock()", "Waits for the lock.");
travels!(Lock, Kind::Lock);

/// A lock that its holder may lock again; from [`SyncContext::rlock`](super::SyncContext::rlock). It is free when all its guards
/// are gone. For all else, see [`Lock`].
///
/// The holder is the task of a pool that locked it, on whatever threads it goes on. Outside of tasks it is the thread, for what
/// blocks, and for what is awaited the future that the runtime polls: a `spawn`ed one, or that of `block_on`. What such a future
/// hands to another, or polls by a waker of its own as `FuturesUnordered` does, is another holder.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let lock = pool.context().rlock();
/// let outer = lock.lock().await;
/// let inner = lock.lock().await;
/// drop((outer, inner));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct RLock {
    pub(super) handle: Handle,
}

verbs!(RLock, "rlock()", "Waits for the lock, unless it is held by who asks.");
travels!(RLock, Kind::RLock);
