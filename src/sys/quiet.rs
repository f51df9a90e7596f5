//! Panics that are expected, caught at once, and nobody's business. Owns the mark on the thread; who prints panics asks for it.

use std::cell::Cell;
#[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`, which may panic; nobody hears of it.
#[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> Option<T> {
    let before = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    result.ok()
}

/// Is a panic on this thread to pass in silence?
pub(crate) fn is_quiet() -> bool {
    QUIET.try_with(Cell::get).unwrap_or(false)
}
