//! The pools that `parallel=` settings share. Owns which there are; what becomes of one is decided where the reusable pool's fate is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{
    error::BuildError,
    executor::{Executor, ReusableOptions, Reuse, Slot},
    inside::depth,
    sys::{copy::PerCopy, lock::lock},
};

/// By backend, and by the depth of who asks: a pool for those inside a task is nested in the task's own, and is not that.
type Pools = Mutex<BTreeMap<(String, usize), Arc<Slot>>>;

static POOLS: PerCopy<Pools> = PerCopy::new(Mutex::new(BTreeMap::new()), Mutex::default);

fn slot(backend: &str) -> Arc<Slot> {
    let key = (backend.to_owned(), depth());
    Arc::clone(lock(POOLS.get()).entry(key).or_insert_with(|| Arc::new(Slot::new())))
}

/// The backend's pool, where there is one that works.
pub(super) fn current(backend: &str) -> Option<Executor> {
    working(&slot(backend))
}

/// The backend's pool, or a new one, with so many workers.
pub(super) fn obtain(backend: &str, workers: usize) -> Result<Executor, BuildError> {
    let slot = slot(backend);
    match working(&slot) {
        // Who asks again does not have the factory of the backend called for nothing.
        Some(pool) => pool.sized(Some(workers)),
        None => {
            let options = ReusableOptions::new().backend(backend).max_workers(workers).reuse(Reuse::Always);
            slot.obtain(&options)
        }
    }
}

fn working(slot: &Slot) -> Option<Executor> {
    slot.current().filter(|pool| pool.pool().takes_tasks())
}
