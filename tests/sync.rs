//! Primitives across worker processes: that they hold there, and what becomes of them when a process dies.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test binary has no outside, and a panic is how it fails"
)]

polypool::worker_main!();

#[path = "sync/bad.rs"]
mod bad;
#[path = "sync/common.rs"]
mod common;
#[path = "sync/deaths.rs"]
mod deaths;
#[path = "sync/handovers.rs"]
mod handovers;
#[path = "sync/lives.rs"]
mod lives;
#[path = "sync/work.rs"]
mod work;
