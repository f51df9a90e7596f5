//! Locks and words for the files whose orderings are checked by models. They are the standard library's; in a build that
//! explores schedules (`cfg(polypool_loom)`) they are loom's, which runs a model once for each order that matters. Owns which of
//! the two it is, and nothing else: `Arc` is the standard library's in both, because loom's cannot hold a `dyn`.

#[cfg(not(polypool_loom))]
pub(crate) use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread_local,
};

#[cfg(not(polypool_loom))]
pub(crate) use super::lock::lock;

#[cfg(polypool_loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// Loom's has no constants.
#[cfg(polypool_loom)]
macro_rules! modelled_local {
    (static $name:ident: $type:ty = const $init:block;) => {
        loom::thread_local! { static $name: $type = $init; }
    };
}

#[cfg(polypool_loom)]
pub(crate) use modelled_local as thread_local;

/// As [`lock`](super::lock::lock).
#[cfg(polypool_loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
