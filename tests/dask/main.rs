//! What concerns the backend `dask` alone: its clusters, which are real ones on the loopback interface, what becomes of tasks when parts
//! of them end, and what its users may say wrongly. What every backend must do is in `tests/conformance`.

#![cfg(all(feature = "dask", target_os = "linux"))]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test binary has no outside, and a panic is how it fails"
)]

polypool::worker_main!();

use polypool::Dask as Engine;

/// Its name as a backend.
const ENGINE: &str = "dask";

mod cluster;
#[path = "../examples/ground.rs"]
#[allow(dead_code, reason = "the tests of the examples use the rest")]
mod example;
#[path = "../engine/ground.rs"]
mod ground;
#[path = "../processes/proc.rs"]
#[allow(dead_code, reason = "the tests of `processes` use the rest")]
mod proc;

mod bad_input;
mod elastic;
mod ends;
#[path = "../engine/examples.rs"]
mod examples;
mod local;
mod modes;
#[path = "../engine/programs.rs"]
mod programs;
