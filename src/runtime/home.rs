//! Where a worker process runs futures: in a runtime of the kind that its pool uses, as far as this program has it.

use std::{future::Future, pin::Pin};

#[cfg(feature = "tokio")]
use std::sync::OnceLock;

use super::block_on;

pub(crate) struct Home {
    #[cfg(feature = "tokio")]
    tokio: Option<OnceLock<Option<tokio::runtime::Runtime>>>,
}

impl Home {
    /// For the runtime of this name; started when it is first used.
    pub(crate) fn of(_name: &str) -> Self {
        Self {
            #[cfg(feature = "tokio")]
            tokio: (_name == "tokio").then(OnceLock::new),
        }
    }

    /// Another one of the same kind.
    pub(crate) fn again(&self) -> Self {
        Self {
            #[cfg(feature = "tokio")]
            tokio: self.tokio.is_some().then(OnceLock::new),
        }
    }

    /// Waits for a future on this thread, which drives the runtime meanwhile.
    pub(crate) fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        #[cfg(feature = "tokio")]
        if let Some(tokio) = &self.tokio {
            let make = || tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
            if let Some(runtime) = tokio.get_or_init(make) {
                return runtime.block_on(future);
            }
        }
        block_on(future);
    }
}

/// Is this thread one that polls futures for a runtime which would not have another started below them?
pub(crate) fn is_in_runtime() -> bool {
    #[cfg(feature = "tokio")]
    if tokio::runtime::Handle::try_current().is_ok() {
        return true;
    }
    false
}
