//! A process of its own: what a pool that is but one process, for one task, tells of it. Owns what is known of that process while
//! it runs and after; starting and ending it is the crew's.

use std::sync::{
    Arc, Mutex, OnceLock, Weak,
    atomic::{AtomicBool, Ordering},
};

use super::worker::Worker;
use crate::{error::Exit, sys::lock::lock};

#[derive(Default)]
pub(crate) struct Lone {
    is_called: AtomicBool,
    worker: Mutex<Weak<Worker>>,
    pid: OnceLock<u32>,
    exit: OnceLock<Exit>,
}

impl Lone {
    /// True once.
    pub(super) fn is_first(&self) -> bool {
        !self.is_called.swap(true, Ordering::SeqCst)
    }

    pub(super) fn begin(&self, worker: &Arc<Worker>) {
        let _ = self.pid.set(worker.pid());
        *lock(&self.worker) = Arc::downgrade(worker);
    }

    pub(super) fn end(&self, exit: Exit) {
        let _ = self.exit.set(exit);
    }

    /// None when none could be started.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid.get().copied()
    }

    /// None while it runs.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    pub(crate) fn kill(&self) {
        let worker = lock(&self.worker).upgrade();
        if let Some(worker) = worker {
            worker.kill();
        }
    }
}

impl std::fmt::Debug for Lone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lone").field("pid", &self.pid()).field("exit", &self.exit()).finish_non_exhaustive()
    }
}
