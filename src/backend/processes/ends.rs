//! What a fork of this process must not take along: our ends of the sockets to other workers, which would never hear that we hung
//! up as long as the copy held them. Owns the list of them, and the rule that nobody forks while one is being made.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use crate::sys::{lock::lock, process::blind};

static ENDS: Mutex<Vec<Weak<OwnedFd>>> = Mutex::new(Vec::new());

/// Shared by those who make sockets, from there until both ends are where they belong; exclusive for those who fork.
static FORKING: RwLock<()> = RwLock::new(());

/// Nobody forks while this is held.
pub(super) fn no_fork() -> RwLockReadGuard<'static, ()> {
    FORKING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Adds an end that is ours alone.
pub(super) fn ours(fd: OwnedFd) -> Arc<OwnedFd> {
    let fd = Arc::new(fd);
    add(&mut lock(&ENDS), &fd);
    fd
}

fn add(ends: &mut Vec<Weak<OwnedFd>>, fd: &Arc<OwnedFd>) {
    if ends.len() == ends.capacity() {
        ends.retain(|end| end.strong_count() > 0);
    }
    ends.push(Arc::downgrade(fd));
}

/// All of it stays as it is while this is held, also across a fork: in the copy, it is this thread that holds it.
pub(super) struct Still {
    ends: MutexGuard<'static, Vec<Weak<OwnedFd>>>,
    _alone: RwLockWriteGuard<'static, ()>,
}

pub(super) fn hold_still() -> Still {
    let alone = FORKING.write().unwrap_or_else(PoisonError::into_inner);
    Still { ends: lock(&ENDS), _alone: alone }
}

impl Still {
    /// The same as [`ours`] for who holds all still.
    pub(super) fn ours(&mut self, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        add(&mut self.ends, &fd);
        fd
    }

    /// In the copy: lets go of the ends.
    pub(super) fn let_go(mut self) {
        for end in self.ends.drain(..) {
            if let Some(end) = end.upgrade() {
                // Without descriptors to spare it goes on, and others hear later that the pool is gone: with its process.
                let _ = blind(end.as_fd());
            }
        }
    }
}
