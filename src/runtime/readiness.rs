//! Watches a descriptor by the runtime's own driver, where its thread is the very one that waits for what will be read: a thread of
//! ours between the two would cost a switch each time. Owns when that is so.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use futures::future::{AbortHandle, abortable};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::reactor::Watcher;
use crate::sys::{quiet::quietly, ready::watched};

/// A descriptor that the runtime watches until this is dropped.
pub(crate) struct Readiness(AbortHandle);

impl Drop for Readiness {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has `watcher` called with `what` each time something comes, and with `ended` when the runtime watches no more. None where it
/// would not help, or not work.
pub(super) fn watch(
    runtime: &Handle,
    fd: Arc<OwnedFd>,
    watcher: Weak<dyn Watcher>,
    what: u32,
    ended: u32,
) -> Option<Readiness> {
    if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
        return None;
    }
    // It panics in a runtime that was built without a driver for descriptors, and there is no asking.
    let fd = quietly(|| {
        let _context = runtime.enter();
        watched(fd)
    })?
    .ok()?;
    let (watching, abort) = abortable(async move {
        // Made here, so that one that is dropped before it began, under whatever locks, calls nobody.
        let _end = End { watcher: Weak::clone(&watcher), ended };
        while let Ok(mut guard) = fd.readable().await {
            // Nobody reads it: each time something comes is an edge of its own.
            guard.clear_ready();
            let Some(watcher) = watcher.upgrade() else { return };
            watcher.readable(what);
        }
    });
    // One that has ended drops it on the spot.
    let is_refused = runtime.spawn(watching).is_finished();
    (!is_refused).then_some(Readiness(abort))
}

/// Says so when the runtime drops what it watches.
struct End {
    watcher: Weak<dyn Watcher>,
    ended: u32,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.readable(self.ended);
        }
    }
}
