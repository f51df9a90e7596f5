//! The crate's way to lock. Owns one rule: no foreign code runs under a lock of ours, so a panic never leaves one in a state
//! that anybody need fear, and poison is passed over.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
