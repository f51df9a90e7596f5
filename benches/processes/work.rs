//! What a task does: nothing worth mentioning, wait, or keep a CPU busy. Knows no pool.

use std::{
    hint::{black_box, spin_loop},
    thread,
    time::{Duration, Instant},
};

use serde_bytes::ByteBuf;

/// A task that does nothing but be a task.
pub(crate) fn trifle(n: u64) -> u64 {
    black_box(n)
}

/// A chunk of them, for peers whose users make chunks themselves.
pub(crate) fn trifles(chunk: Vec<u64>) -> Vec<u64> {
    chunk.into_iter().map(trifle).collect()
}

pub(crate) fn echo(data: Vec<u8>) -> Vec<u8> {
    data
}

/// For peers whose codec goes through a vector byte by byte.
pub(crate) fn echo_bytes(data: ByteBuf) -> ByteBuf {
    data
}

/// Says which process this is.
pub(crate) fn process((): ()) -> u32 {
    std::process::id()
}

pub(crate) fn sleep(milliseconds: u64) -> u64 {
    thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

/// Keeps a CPU busy for so many microseconds of the clock: who is interrupted meanwhile does not start again.
pub(crate) fn busy(microseconds: u64) -> u64 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(microseconds) {
        spin_loop();
    }
    microseconds
}

/// One task in a hundred takes a hundred times longer. Where these are is always the same, and has no pattern.
pub(crate) fn skewed(n: usize) -> Vec<u64> {
    const SHORT: u64 = 100;
    let mut durations = vec![SHORT; n];
    let mut at = 1_u64;
    for _ in 0..n / 100 {
        // Knuth's generator; its upper bits.
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        durations[(at >> 33) as usize % n] = 100 * SHORT;
    }
    durations
}

/// What so many workers need for these, if none ever waits.
pub(crate) fn ideal_seconds(durations: &[u64], workers: usize) -> f64 {
    durations.iter().sum::<u64>() as f64 / workers as f64 / 1e6
}
