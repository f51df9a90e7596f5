//! One large buffer of a thread that is used again: the pages of a fresh one cost more than what is written to them.

use std::cell::Cell;

/// Below this a fresh one is cheap.
const LEAST: usize = 1 << 20;

/// A larger one is given back to the system.
#[cfg(all(feature = "processes", target_os = "linux"))]
const MOST: usize = 256 << 20;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps a buffer that nobody needs any more, in place of the last.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) fn keep(buffer: Vec<u8>) {
    if (LEAST..=MOST).contains(&buffer.capacity()) {
        // A thread that is being torn down needs none.
        let _ = SPARE.try_with(|spare| spare.set(buffer));
    }
}

/// Lets go of what is kept.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) fn forget() {
    let _ = SPARE.try_with(Cell::take);
}

/// An empty buffer with room for so many bytes: the one that was kept, if it is neither too small nor far too large.
pub(crate) fn take(len: usize) -> Vec<u8> {
    let mut spare = Vec::new();
    if len >= LEAST {
        spare = SPARE.try_with(Cell::take).unwrap_or_default();
        spare.clear();
    }
    if spare.capacity() >= len && spare.capacity() / 2 <= len {
        return spare;
    }
    drop(spare);
    fresh(len)
}

#[cfg(target_os = "linux")]
fn fresh(len: usize) -> Vec<u8> {
    crate::sys::roomy::roomy(len).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn fresh(len: usize) -> Vec<u8> {
    Vec::with_capacity(len)
}
