//! The port to the host's runtime: spawn a future, borrow a blocking thread, wait for a future on a thread. Owns which
//! runtime a pool uses and what happens when that has ended; knows nothing of tasks and pools.
//!
//! A pool asks for two things only: threads that may block, for its loops, and a place for futures. Neither is ever lost: what
//! a runtime drops before it ran is offered to the runtime that is current now, and a blocking loop falls back to a thread of
//! our own. What is dropped later, half-way, says so by being dropped.

use std::{fmt, pin::Pin, str::FromStr, sync::Mutex};

use futures::future::BoxFuture;

use crate::{error::BuildError, sys::lock::lock};

mod adapter;
mod block_on;
mod deep;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod home;
#[cfg(feature = "tokio")]
mod offer;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod reactor;
#[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
mod readiness;
mod timer;

use adapter::Adapter;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) use block_on::blocking_depth;
pub(crate) use block_on::{block_on, blocking, is_blocking};
pub(crate) use deep::with_room;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) use home::{Home, is_in_runtime};
#[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
pub(crate) use readiness::Readiness;
pub(crate) use timer::{Alarm, Sleep};

/// Which runtime a pool takes its threads from and puts its futures on.
///
/// A handle can be awaited under any runtime, whichever the pool uses. With [`detect`](Self::detect), the default, that is
/// settled at the first submit: tokio when there is one in context; else async-std or smol when it is the only runtime whose
/// feature is on; else none, and the pool has threads of its own. It is settled anew when the runtime has ended.
///
/// # Examples
/// ```
/// use polypool::{Executor, Runtime};
///
/// let pool = Executor::builder().backend("threads").runtime(Runtime::standalone()).build()?;
/// assert_eq!(pool.submit(|n: u8| n + 1, 1).blocking_join()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Runtime(Choice);

#[derive(Clone)]
enum Choice {
    Detect,
    Named(Adapter),
}

impl Runtime {
    /// Settles on a runtime at the first submit, as described above.
    ///
    /// # Examples
    /// ```
    /// let runtime = polypool::Runtime::detect();
    /// ```
    pub fn detect() -> Self {
        Self(Choice::Detect)
    }

    /// Uses no runtime, but threads that the pool starts itself and ends when they are idle.
    ///
    /// # Examples
    /// ```
    /// let runtime = polypool::Runtime::standalone();
    /// ```
    pub fn standalone() -> Self {
        Self(Choice::Named(Adapter::standalone()))
    }

    /// Uses this tokio runtime, wherever tasks are submitted from.
    ///
    /// # Examples
    /// ```
    /// # let tokio = tokio::runtime::Runtime::new()?;
    /// let runtime = polypool::Runtime::tokio(tokio.handle().clone());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn tokio(handle: tokio::runtime::Handle) -> Self {
        Self(Choice::Named(Adapter::Tokio(handle)))
    }

    /// Uses async-std's global runtime.
    ///
    /// # Examples
    /// ```
    /// let runtime = polypool::Runtime::async_std();
    /// ```
    #[cfg(feature = "async-std")]
    pub fn async_std() -> Self {
        Self(Choice::Named(Adapter::AsyncStd))
    }

    /// Uses smol's global executor.
    ///
    /// # Examples
    /// ```
    /// let runtime = polypool::Runtime::smol();
    /// ```
    #[cfg(feature = "smol")]
    pub fn smol() -> Self {
        Self(Choice::Named(Adapter::Smol))
    }
}

impl Default for Runtime {
    /// [`Runtime::detect`].
    fn default() -> Self {
        Self::detect()
    }
}

impl FromStr for Runtime {
    type Err = BuildError;

    /// Reads `detect`, `tokio` (the one in context now), `async-std`, `smol` or `standalone`.
    fn from_str(name: &str) -> Result<Self, BuildError> {
        match name {
            "detect" => Ok(Self::detect()),
            "standalone" => Ok(Self::standalone()),
            _ => Adapter::named(name).map(|adapter| Self(Choice::Named(adapter))),
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Choice::Detect => "detect",
            Choice::Named(adapter) => adapter.name(),
        };
        write!(f, "Runtime({name})")
    }
}

/// A pool's way to its runtime.
pub(crate) struct Port {
    choice: Choice,
    settled: Mutex<Option<Adapter>>,
}

impl Port {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { choice: runtime.0, settled: Mutex::new(None) }
    }

    /// Settles on a runtime now, if that has not happened.
    pub(crate) fn settle(&self) -> Adapter {
        let mut settled = lock(&self.settled);
        settled
            .get_or_insert_with(|| match &self.choice {
                Choice::Detect => Adapter::detect(),
                Choice::Named(adapter) => adapter.clone(),
            })
            .clone()
    }

    /// Settles again after `ended` has refused; gives none when there is no other runtime to turn to.
    fn settle_again(&self, ended: &Adapter) -> Option<Adapter> {
        let Choice::Detect = &self.choice else { return None };
        let now = Adapter::detect();
        let other = !now.is_same(ended);
        *lock(&self.settled) = Some(now.clone());
        other.then_some(now)
    }

    /// Runs `f` on a thread that may block. Drops `f` only where not even a thread of our own can be started.
    pub(crate) fn spawn_blocking(&self, f: impl FnOnce() + Send + 'static) {
        let adapter = self.settle();
        let Err(f) = adapter.spawn_blocking(Box::new(f)) else {
            return;
        };
        let refused = match self.settle_again(&adapter) {
            Some(other) => other.spawn_blocking(f).err(),
            None => Some(f),
        };
        if let Some(f) = refused {
            adapter::own_thread(f);
        }
    }

    /// The name of the runtime, settled now if it was not.
    pub(crate) fn name(&self) -> &'static str {
        self.settle().name()
    }

    /// Runs `f` on a thread of the pool's own, in the context of its runtime.
    pub(crate) fn spawn_thread(&self, f: impl FnOnce() + Send + 'static) {
        let adapter = self.settle();
        adapter::own_thread(Box::new(move || adapter.enter(f)));
    }

    /// Runs `f` where it has room enough on the stack, in the context of the runtime.
    pub(crate) fn with_room<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let adapter = self.settle();
        with_room(move |is_elsewhere| {
            if !is_elsewhere {
                return f();
            }
            let mut result = None;
            adapter.enter(|| result = Some(f()));
            result.expect("it has run")
        })
    }

    /// Has the runtime itself watch a descriptor, if that is of use; see [`readiness`].
    #[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
    pub(crate) fn watch(
        &self,
        fd: std::sync::Arc<std::os::fd::OwnedFd>,
        watcher: std::sync::Weak<dyn reactor::Watcher>,
        what: u32,
        ended: u32,
    ) -> Option<Readiness> {
        match self.settle() {
            Adapter::Tokio(runtime) => readiness::watch(&runtime, fd, watcher, what, ended),
            _ => None,
        }
    }

    /// Puts a future on the runtime. Drops it where the runtime has ended and there is no other.
    pub(crate) fn spawn(&self, future: BoxFuture<'static, ()>) {
        let adapter = self.settle();
        if let Err(future) = adapter.spawn(future)
            && let Some(other) = self.settle_again(&adapter)
        {
            drop(other.spawn(future));
        }
    }

    /// Waits for a future on this thread, in the context of the runtime.
    pub(crate) fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        self.settle().block_on(future);
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Runtime(self.choice.clone()).fmt(f)
    }
}
