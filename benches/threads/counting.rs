//! How many bytes the program has allocated. The only unsafe code of the benches; it knows nothing of what they measure.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Off but where memory is measured, so that threads do not meet at the counter.
static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

/// Counts from now on.
pub(crate) fn start() {
    ON.store(true, Ordering::SeqCst);
}

/// The bytes that were asked for and not given back since `start`, without what the allocator needs for itself.
pub(crate) fn live_bytes() -> i64 {
    LIVE.load(Ordering::SeqCst)
}

fn count(bytes: usize, sign: i64) {
    if ON.load(Ordering::Relaxed) {
        LIVE.fetch_add(sign * i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

// SAFETY: every method hands its arguments on to `System`, unchanged, and gives back what that gives. Counting allocates nothing
// and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps `System`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above; `pointer` came from `System`, for all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as above; `pointer` came from `System`, for all of ours do.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
