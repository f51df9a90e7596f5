//! Workers that are forks of this very process. Owns what is done on both sides of the fork until the copy is a worker like any
//! other.
//!
//! The copy has one thread, that which called `fork`: a new one, so that it has a stack of its own, no runtime in context, and
//! nothing on it that somebody waits for. It never returns from there. Nothing of the original is dropped in it, its pools refuse
//! work ([`Pool`](crate::backend::pool::Pool)), and what our own threads have is made afresh ([`PerCopy`](crate::sys::copy)).

use std::{
    io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Once},
    thread,
};

use super::{Processes, ends::hold_still, launch::variables};
use crate::{
    inside::process::go_on,
    sys::{
        copy::became_copy,
        process::{
            Child, Forked, adopt_forked, exit_now, forget_fork, fork, lead_group, null_stdin, pair, set_env,
            thread_count,
        },
    },
};

/// The stack of a worker's first thread: what that of a program usually has.
const STACK: usize = 8 << 20;

/// The copy could not become a worker.
const NO_WORKER: i32 = 120;

/// Makes a copy of this process that works, and a socket to it.
pub(super) fn fork_worker(options: &Processes) -> io::Result<(Child, Arc<OwnedFd>)> {
    warn();
    // Nothing is allocated in the copy for these.
    let variables = variables(options);
    let current_dir = options.current_dir.clone();
    let forks = move || {
        let mut still = hold_still();
        let (ours, its) = pair()?;
        let ours = still.ours(ours);
        match fork()? {
            Forked::Parent(pid) => Ok((adopt_forked(pid)?, ours)),
            Forked::Child => {
                let work = AssertUnwindSafe(|| {
                    became_copy();
                    forget_fork();
                    still.let_go();
                    // What cannot be done shows by the worker's not being ready.
                    let prepared = lead_group().and_then(|()| null_stdin());
                    let moved = current_dir.map_or(Ok(()), std::env::set_current_dir);
                    if prepared.and(moved).is_err() {
                        exit_now(NO_WORKER);
                    }
                    for (name, value) in &variables {
                        set_env(name, value);
                    }
                    go_on(its)
                });
                let Err(_) = catch_unwind(work);
                exit_now(NO_WORKER)
            }
        }
    };
    let forker = thread::Builder::new().name("main".to_owned()).stack_size(STACK).spawn(forks)?;
    forker.join().unwrap_or_else(|_| Err(io::Error::other("the thread that forks panicked")))
}

/// Says once that it is a sharp tool, if it is.
fn warn() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        let threads = thread_count().unwrap_or(0);
        if threads > 1 {
            tracing::warn!(
                threads,
                "the start method `fork` copies a program with several threads: what they have locked stays locked in the workers"
            );
        }
    });
}
