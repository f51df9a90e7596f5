//! The verbs of what is held: locks, and semaphores, whose names for them are others. Owns what they say and do, once for all.

use std::time::Duration;

use super::{
    Guard, ReleaseError,
    guard::released,
    handle::Handle,
    wait::{Asked, blocking_or_unwind},
    who,
};
use crate::{
    primitives::{Operation, Who},
    runtime::block_on,
};

/// The verbs by which something is had. Its examples call it `it`, and `made` is the call that makes it. `Guard` is to be in scope.
macro_rules! holding {
    (locks: $name:ident, $it:literal, $made:literal, $waits:literal) => {
        holding! {
            $name, $it, $made, $waits, lock, blocking_lock, try_lock, lock_timeout, blocking_lock_timeout
        }
    };
    (semaphores: $name:ident, $it:literal, $made:literal, $waits:literal) => {
        holding! {
            $name, $it, $made, $waits,
            acquire, blocking_acquire, try_acquire, acquire_timeout, blocking_acquire_timeout
        }
    };
    (
        $name:ident, $it:literal, $made:literal, $waits:literal,
        $lock:ident, $blocking_lock:ident, $try_lock:ident, $lock_timeout:ident, $blocking_lock_timeout:ident
    ) => {
        impl $name {
            #[doc = $waits]
            ///
            /// A task that waits keeps its worker's place in the pool; [`leave_pool`](crate::worker::leave_pool) gives it away meanwhile.
            ///
            /// # Cancel safety
            /// Dropping the future leaves the line. What was granted just then goes to the next.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let ", $it, " = pool.context().", $made, ";")]
            #[doc = concat!("let guard = ", $it, ".", stringify!($lock), "().await;")]
            /// assert!(!guard.holder_died());
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
            pub async fn $lock(&self) -> Guard {
                self.handle.hold().await
            }

            /// The same on a thread that may block. Where its task is asked to stop, the wait ends the task.
            ///
            /// # Examples
            /// ```
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let ", $it, " = pool.context().", $made, ";")]
            #[doc = concat!("let guard = ", $it, ".", stringify!($blocking_lock), "();")]
            /// # drop(guard);
            /// # Ok::<(), polypool::BuildError>(())
            /// ```
            pub fn $blocking_lock(&self) -> Guard {
                self.handle.blocking_hold()
            }

            /// Takes it if it is free and nobody waits for it. From a worker process that takes the time of a question and its answer, for
            /// which the thread is blocked.
            ///
            /// # Examples
            /// ```
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let ", $it, " = pool.context().", $made, ";")]
            #[doc = concat!("let guard = ", $it, ".", stringify!($try_lock), "().unwrap();")]
            /// # drop(guard);
            /// # Ok::<(), polypool::BuildError>(())
            /// ```
            pub fn $try_lock(&self) -> Option<Guard> {
                self.handle.try_hold()
            }

            /// Waits for it, but not longer than `limit`.
            ///
            /// # Cancel safety
            #[doc = concat!("As of [`", stringify!($lock), "`](Self::", stringify!($lock), ").")]
            ///
            /// # Examples
            /// ```
            /// use std::time::Duration;
            ///
            /// # futures::executor::block_on(async {
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let ", $it, " = pool.context().", $made, ";")]
            #[doc = concat!("let guard = ", $it, ".", stringify!($lock_timeout), "(Duration::from_millis(1)).await;")]
            /// assert!(guard.is_some());
            /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
            /// ```
            pub async fn $lock_timeout(&self, limit: std::time::Duration) -> Option<Guard> {
                self.handle.hold_within(limit).await
            }

            /// The same on a thread that may block.
            ///
            /// # Examples
            #[doc = concat!("See [`", stringify!($lock_timeout), "`](Self::", stringify!($lock_timeout), ").")]
            pub fn $blocking_lock_timeout(&self, limit: std::time::Duration) -> Option<Guard> {
                self.handle.blocking_hold_within(limit)
            }
        }
    };
}
pub(super) use holding;

/// The verbs by which it is given back without the guard. What `release` says of itself differs, and is given. `ReleaseError` is to
/// be in scope.
macro_rules! releasing {
    ($name:ident, $(#[$release:meta])*) => {
        impl $name {
            $(#[$release])*
            pub async fn release(&self) -> Result<(), ReleaseError> {
                self.handle.release().await
            }

            /// The same on a thread that may block.
            ///
            /// # Errors
            /// As [`release`](Self::release).
            ///
            /// # Examples
            /// See [`release`](Self::release).
            pub fn blocking_release(&self) -> Result<(), ReleaseError> {
                self.handle.blocking_release()
            }
        }
    };
}
pub(super) use releasing;

impl Handle {
    pub(super) async fn hold(&self) -> Guard {
        let who = who::future().await;
        self.granted(self.acquire(who)).await
    }

    pub(super) fn blocking_hold(&self) -> Guard {
        let asked = self.acquire(who::thread());
        blocking_or_unwind(self.granted(asked))
    }

    pub(super) fn try_hold(&self) -> Option<Guard> {
        let asked = self.ask(Operation::Acquire { who: who::thread(), wait: false });
        let key = asked.key();
        Guard::of(&self.0, key, block_on(asked)).map(|(guard, _)| guard)
    }

    pub(super) async fn hold_within(&self, limit: Duration) -> Option<Guard> {
        let who = who::future().await;
        self.granted_or_not(self.acquire(who).within(limit)).await
    }

    pub(super) fn blocking_hold_within(&self, limit: Duration) -> Option<Guard> {
        let asked = self.acquire(who::thread()).within(limit);
        blocking_or_unwind(self.granted_or_not(asked))
    }

    pub(super) async fn release(&self) -> Result<(), ReleaseError> {
        let who = who::future().await;
        released(self.ask(Operation::ReleaseFor { who }).await)
    }

    pub(super) fn blocking_release(&self) -> Result<(), ReleaseError> {
        released(blocking_or_unwind(self.ask(Operation::ReleaseFor { who: who::thread() })))
    }

    fn acquire(&self, who: Who) -> Asked {
        self.ask(Operation::Acquire { who, wait: true })
    }

    async fn granted(&self, asked: Asked) -> Guard {
        match self.granted_or_not(asked).await {
            Some(guard) => guard,
            None => std::future::pending().await,
        }
    }

    async fn granted_or_not(&self, asked: Asked) -> Option<Guard> {
        let key = asked.key();
        Guard::of(&self.0, key, asked.await).map(|(guard, _)| guard)
    }
}
