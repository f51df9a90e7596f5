//! The process of a worker, be it on this machine or elsewhere. Owns that it is one to who looks after it.

use std::{io, os::fd::OwnedFd};

#[cfg(feature = "engine")]
use super::far::Far;
use crate::sys::process::{Child, Ended, Signal, resident_private};

pub(super) enum Body {
    Here(Child),
    #[cfg(feature = "engine")]
    Far(std::sync::Arc<Far>),
}

impl Body {
    /// Its number, where it is.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Here(child) => child.pid(),
            #[cfg(feature = "engine")]
            Self::Far(far) => far.pid(),
        }
    }

    /// A descriptor that becomes readable when it has ended.
    pub(super) fn death(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Here(child) => child.pidfd().try_clone_to_owned(),
            #[cfg(feature = "engine")]
            Self::Far(far) => far.death(),
        }
    }

    /// Sends a signal to the group that it leads.
    pub(super) fn signal_group(&self, signal: Signal) {
        match self {
            // It may be gone already.
            Self::Here(child) => drop(child.signal_group(signal)),
            #[cfg(feature = "engine")]
            Self::Far(far) => far.signal(signal, true),
        }
    }

    pub(super) fn kill(&self) {
        self.signal_group(Signal::KILL);
        match self {
            Self::Here(child) => drop(child.signal(Signal::KILL)),
            #[cfg(feature = "engine")]
            Self::Far(far) => far.signal(Signal::KILL, false),
        }
    }

    /// How it ended, which it has.
    pub(super) fn wait(&self) -> io::Result<Ended> {
        match self {
            Self::Here(child) => child.wait(),
            #[cfg(feature = "engine")]
            Self::Far(far) => Ok(far.ended()),
        }
    }

    /// How much memory it has to itself, in bytes; of one that is elsewhere, when it last replied.
    pub(super) fn memory(&self) -> io::Result<u64> {
        match self {
            Self::Here(child) => resident_private(child.pid()),
            #[cfg(feature = "engine")]
            Self::Far(far) => far.memory().ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}
