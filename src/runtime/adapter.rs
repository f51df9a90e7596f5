//! One arm per runtime, and nothing else: detection, spawn, spawn_blocking, block_on.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    thread,
};

use futures::{executor::ThreadPool, future::BoxFuture};

use super::block_on;
#[cfg(feature = "tokio")]
use super::offer::Offer;
use crate::{error::BuildError, sys::lock::lock};

pub(super) type Thunk = Box<dyn FnOnce() + Send>;

/// A runtime, cheap to clone.
#[derive(Clone)]
pub(crate) enum Adapter {
    #[cfg(feature = "tokio")]
    Tokio(tokio::runtime::Handle),
    #[cfg(feature = "async-std")]
    AsyncStd,
    #[cfg(feature = "smol")]
    Smol,
    Standalone(Arc<Standalone>),
}

/// Threads of our own for futures, where there is no runtime; started with the first future.
#[derive(Default)]
pub(crate) struct Standalone {
    threads: Mutex<Option<ThreadPool>>,
}

impl Standalone {
    fn pool(&self) -> Option<ThreadPool> {
        let mut threads = lock(&self.threads);
        if threads.is_none() {
            // Fewer threads are better than none when the system is short of them.
            *threads = [thread::available_parallelism().map_or(1, usize::from), 1]
                .into_iter()
                .find_map(|n| ThreadPool::builder().pool_size(n).name_prefix("polypool-").create().ok());
        }
        threads.clone()
    }
}

impl Adapter {
    pub(super) fn standalone() -> Self {
        Self::Standalone(Arc::default())
    }

    /// Finds the runtime in context; with one feature alone on, that one; else none.
    pub(super) fn detect() -> Self {
        #[cfg(feature = "tokio")]
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            return Self::Tokio(handle);
        }
        #[cfg(all(feature = "async-std", not(any(feature = "tokio", feature = "smol"))))]
        return Self::AsyncStd;
        #[cfg(all(feature = "smol", not(any(feature = "tokio", feature = "async-std"))))]
        return Self::Smol;
        #[cfg(not(any(
            all(feature = "async-std", not(any(feature = "tokio", feature = "smol"))),
            all(feature = "smol", not(any(feature = "tokio", feature = "async-std")))
        )))]
        {
            // One for all pools, so that many small ones do not each hold threads.
            use std::sync::OnceLock;

            use crate::sys::copy::PerCopy;

            static SHARED: PerCopy<OnceLock<Arc<Standalone>>> = PerCopy::new(OnceLock::new(), OnceLock::new);
            Self::Standalone(Arc::clone(SHARED.get().get_or_init(Arc::default)))
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, BuildError> {
        match name {
            #[cfg(feature = "tokio")]
            "tokio" => tokio::runtime::Handle::try_current().map(Self::Tokio).map_err(|_| {
                BuildError::Unsupported(
                    "no tokio runtime is in context; build the pool inside one, or pass `Runtime::tokio(handle)`".to_owned(),
                )
            }),
            #[cfg(feature = "async-std")]
            "async-std" => Ok(Self::AsyncStd),
            #[cfg(feature = "smol")]
            "smol" => Ok(Self::Smol),
            _ if ["tokio", "async-std", "smol"].contains(&name) => Err(BuildError::FeatureDisabled(name.to_owned())),
            _ => Err(BuildError::OutOfRange(format!(
                "unknown runtime `{name}`; known are detect, tokio, async-std, smol and standalone"
            ))),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(_) => "tokio",
            #[cfg(feature = "async-std")]
            Self::AsyncStd => "async-std",
            #[cfg(feature = "smol")]
            Self::Smol => "smol",
            Self::Standalone(_) => "standalone",
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            #[cfg(feature = "tokio")]
            (Self::Tokio(a), Self::Tokio(b)) => a.id() == b.id(),
            _ => self.name() == other.name(),
        }
    }

    /// Gives `f` back when the runtime refuses it on the spot; one that drops it later, unrun, has it run on a thread of ours.
    pub(super) fn spawn_blocking(&self, f: Thunk) -> Result<(), Thunk> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => Offer::make(f, own_thread, |offer| {
                drop(handle.spawn_blocking(move || {
                    if let Some(f) = offer.take() {
                        f();
                    }
                }));
            }),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => {
                drop(async_std::task::spawn_blocking(f));
                Ok(())
            }
            #[cfg(feature = "smol")]
            Self::Smol => {
                smol::unblock(f).detach();
                Ok(())
            }
            Self::Standalone(_) => {
                own_thread(f);
                Ok(())
            }
        }
    }

    /// Gives the future back when the runtime refuses it on the spot.
    pub(super) fn spawn(&self, future: BoxFuture<'static, ()>) -> Result<(), BoxFuture<'static, ()>> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => Offer::make(future, drop, |offer| {
                drop(handle.spawn(async move {
                    if let Some(future) = offer.take() {
                        future.await;
                    }
                }));
            }),
            #[cfg(feature = "async-std")]
            Self::AsyncStd => {
                drop(async_std::task::spawn(future));
                Ok(())
            }
            #[cfg(feature = "smol")]
            Self::Smol => {
                smol::spawn(future).detach();
                Ok(())
            }
            Self::Standalone(threads) => match threads.pool() {
                Some(threads) => {
                    threads.spawn_ok(future);
                    Ok(())
                }
                None => Err(future),
            },
        }
    }

    /// Waits for a future on this thread. With our own `block_on` in the runtime's context, because the runtimes' refuse, by
    /// panicking, to be called where futures are polled.
    pub(super) fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        self.enter(|| block_on(future));
    }

    /// Runs `f` where the runtime's own functions find it.
    pub(super) fn enter(&self, f: impl FnOnce()) {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(handle) => {
                let _context = handle.enter();
                f();
            }
            _ => f(),
        }
    }
}

/// Runs `f` on a thread of our own; drops it when the system has none.
pub(super) fn own_thread(f: Thunk) {
    if let Err(error) = thread::Builder::new().name("polypool".to_owned()).spawn(f) {
        tracing::warn!(%error, "no thread could be started for a pool");
    }
}
