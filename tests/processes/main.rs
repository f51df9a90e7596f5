//! What concerns the backend `processes` alone: its options, how its workers end, what is left of them, and what tasks may do
//! to the process that they have. What every backend must do is in `tests/conformance`.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test binary has no outside, a panic is how it fails, and its tasks do what tasks should not"
)]

polypool::worker_main!();

#[macro_use]
mod ground;
#[path = "../conformance/gate.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod gate;
mod proc;
mod tasks;

mod abuse;
mod capture;
mod growth;
mod initializers;
mod inside;
mod methods;
mod nested;
mod options;
mod orphans;
mod payload;
mod scenes;
mod starting;
mod stopping;
