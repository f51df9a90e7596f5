//! Descriptors that tokio watches. Owns the promise that tokio asks for.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::io::{Interest, unix::AsyncFd};

/// Has the runtime in context watch a descriptor for something to read.
///
/// # Panics
///
/// In a runtime without a driver for descriptors, and outside of any.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn watched(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the descriptor must stay open, and the same, until the result is dropped. The result has a share of its owner, which
    // gives it away to nobody and closes it with the last share.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(watched?)
}
