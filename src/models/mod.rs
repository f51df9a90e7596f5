//! What threads may do to each other in which order, as models: the stages of a task, the queue, the wake-up, the rings. Owns the
//! models and the invariants that each names; exists for tests, and for `loom/`.
//!
//! What runs is the crate's own code. With `cfg(polypool_loom)` its locks and words are loom's (`sys/sync.rs`), and a model runs once for
//! each order that matters. In tests it runs some times with true threads, which is little; but so it is what Miri looks at, too.
//! A model has as few threads and steps as show the thing: their orders are many.

pub mod cell;
pub mod pool;
pub mod queue;
pub mod remote;
pub mod rings;
pub mod room;

use crate::sys::shm::Mapping;

#[cfg(polypool_loom)]
use loom::{
    future::block_on,
    sync::{Condvar, Mutex},
    thread,
};

#[cfg(not(polypool_loom))]
use {
    crate::runtime::block_on,
    std::{
        sync::{Condvar, Mutex},
        thread,
    },
};

/// Runs a model in every order in which no more than so many threads are interrupted where they need not be;
/// `LOOM_MAX_PREEMPTIONS` says another number.
#[cfg(polypool_loom)]
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// Runs a model in whatever orders come.
#[cfg(not(polypool_loom))]
fn explore(_: usize, model: impl Fn() + Send + Sync + 'static) {
    for _ in 0..if cfg!(miri) { 3 } else { 300 } {
        model();
    }
}

/// Memory that two processes would share.
#[cfg(any(miri, polypool_loom))]
fn memory(len: usize) -> Mapping {
    Mapping::plain(len)
}

#[cfg(not(any(miri, polypool_loom)))]
fn memory(len: usize) -> Mapping {
    use crate::sys::shm::SharedFile;

    let file = SharedFile::create("polypool-model", len as u64).expect("a file in memory");
    Mapping::new(&file, len, true).expect("a mapping")
}
