//! Where the standard output and error of a call go while they are captured. Owns the descriptors 1 and 2 for that time; who
//! made the files and reads them is the pool.
//!
//! The files belong to one call. Whoever outlives it, a program that was started and goes on, writes into them and to nobody's
//! harm. Threads that outlive it are another matter: 1 and 2 are the process's, and what such a thread prints goes where they
//! lead then.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{Condvar, Mutex, PoisonError},
};

use rustix::io::retry_on_intr;

use super::{here::Here, records};
use crate::sys::{
    lock::lock,
    process::{flush_c_stdio, move_high, redirect},
};

/// The files of a call, as they arrive beside the rings.
pub(super) struct Files {
    out: OwnedFd,
    err: OwnedFd,
    records: OwnedFd,
}

impl Files {
    /// How many descriptors that is.
    const COUNT: usize = 3;

    fn take(fds: Vec<OwnedFd>) -> io::Result<Self> {
        // A task that closed 1 and 2 must not get them back as these.
        let high: Vec<OwnedFd> = fds.into_iter().map(move_high).collect::<io::Result<_>>()?;
        match <[OwnedFd; Self::COUNT]>::try_from(high) {
            Ok([out, err, records]) => Ok(Self { out, err, records }),
            Err(_) => Err(io::Error::other("descriptors are missing")),
        }
    }
}

/// What has arrived and was not taken yet. The thread that listens puts it here, the one that performs calls takes it.
#[derive(Default)]
pub(super) struct Delivery {
    arrived: Mutex<Option<(u64, io::Result<Files>)>>,
    news: Condvar,
}

impl Delivery {
    /// The files of a call have come.
    pub(super) fn put(&self, ticket: u64, fds: Vec<OwnedFd>) {
        let files = Files::take(fds);
        *lock(&self.arrived) = Some((ticket, files));
        self.news.notify_all();
    }

    /// Waits for the files of a call. They were sent before it, by another way.
    fn take(&self, ticket: u64) -> io::Result<Files> {
        let mut arrived = lock(&self.arrived);
        loop {
            match arrived.take() {
                Some((its, files)) if its == ticket => return files,
                // Those of a call that was withdrawn meanwhile.
                _ => arrived = self.news.wait(arrived).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A capture that is under way.
pub(super) struct Capture {
    /// Where 1 and 2 went before.
    former: [Option<OwnedFd>; 2],
}

impl Capture {
    /// What is written from now on belongs to this call. What it cannot have is said in its standard error.
    pub(super) fn begin(here: &'static Here, ticket: u64) -> Option<Self> {
        let Files { out, err, records } = here.delivery.take(ticket).ok()?;
        // What was buffered before is not this call's.
        flush();
        let former = [(&out, 1), (&err, 2)].map(|(file, onto)| redirect(file.as_fd(), onto));
        let former = former.map(|moved| match moved {
            Ok(former) => Some(former),
            Err(error) => {
                let told = err.try_clone().map(File::from).and_then(|mut err| {
                    writeln!(err, "polypool: not all of the output could be captured: {error}")
                });
                // Then it is not told.
                let _ = told;
                None
            }
        });
        records::begin(here, records);
        Some(Self { former })
    }

    /// What is written from now on goes where it went before.
    pub(super) fn end(self) {
        records::end();
        flush();
        // Takes no new number, and so cannot fail for want of one, as `redirect` may.
        let [out, err] = self.former;
        let _ = out.map(|former| retry_on_intr(|| rustix::stdio::dup2_stdout(&former)));
        let _ = err.map(|former| retry_on_intr(|| rustix::stdio::dup2_stderr(&former)));
    }
}

/// Writes out what is buffered, by Rust and by C.
fn flush() {
    // Where nobody reads any more, nobody misses it.
    let _ = io::stdout().flush();
    flush_c_stdio();
}
