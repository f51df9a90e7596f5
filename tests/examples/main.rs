//! The examples as a newcomer meets them: what they print, what they refuse, how they end. `hashtree` and `taskfile` have tests of
//! their own.
//!
//! `cargo test` builds the examples first. Whoever runs this file alone builds them with `cargo build --examples`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod embed_tests;
mod ground;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod isolate;
#[cfg(all(feature = "progress", feature = "timeline"))]
mod mandelbrot;
mod monte_carlo;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod preload;
#[cfg(all(feature = "processes", target_os = "linux"))]
mod service;
#[cfg(feature = "tower")]
mod tower;
