//! What a task does: nothing worth mentioning, or 100 ns of arithmetic. Knows no pool.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use crate::apart;

/// A function for `map` captures nothing, so what all items share is here.
static LOOPS: AtomicU32 = AtomicU32::new(1);

pub(crate) fn set_loops(loops: u32) {
    LOOPS.store(loops, Ordering::Relaxed);
}

/// A task that does nothing but be a task.
pub(crate) fn trifle(n: u64) -> u64 {
    apart::go_to_work();
    black_box(n)
}

/// The next number of a chain whose links cannot be computed side by side.
fn link(n: u64) -> u64 {
    (n ^ (n >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// One item of `map`.
pub(crate) fn item(n: u64) -> u64 {
    (0..LOOPS.load(Ordering::Relaxed)).fold(n, |n, _| link(n))
}

/// Finds how many links an item of a plain loop needs to take 100 ns. The fastest of many tries: others only slow it down.
pub(crate) fn calibrate() -> u32 {
    const ITEMS: u32 = 1_000;
    const LINKS: u32 = 100;
    set_loops(LINKS);
    let tries = (0..200).map(|_| {
        let start = Instant::now();
        black_box((0..u64::from(ITEMS)).map(item).collect::<Vec<_>>());
        start.elapsed().as_nanos()
    });
    let fastest = tries.min().unwrap_or(1).max(1);
    u32::try_from(100 * u128::from(ITEMS * LINKS) / fastest).unwrap_or(u32::MAX).max(1)
}
