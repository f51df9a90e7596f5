//! One suite for every backend under every runtime. A test is named `backend::runtime::topic::case`, so that
//! `cargo test --test conformance threads::tokio_multi::cancel::` runs what one is working on.
//!
//! A new backend is a line at the end of this file; a new case is an `async fn(Rig)` in the file of its topic and its name in the
//! list at the head of that file.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test binary has no outside, and a panic is how it fails"
)]

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

#[macro_use]
mod rig;
#[cfg(all(any(feature = "mpi", feature = "dask", feature = "ray"), target_os = "linux"))]
mod engines;
mod gate;
mod work;

mod cancel;
mod completed;
mod custom;
mod drop;
mod events;
mod forkjoin;
mod handle;
mod limits;
mod lost;
mod map;
mod misuse;
mod nested;
#[cfg(feature = "tokio")]
mod on_tokio;
mod panics;
mod payload;
mod policy;
mod priority;
mod reentry;
mod runtimes;
mod scatter;
mod shutdown;
mod spawn;
mod submit;
mod sync;
mod timeout;
mod wait;
mod workers;

#[path = "../../examples/rayon_backend.rs"]
#[allow(dead_code, reason = "an example has a main of its own")]
mod rayon_backend;

/// Every topic, for the host of the module around it.
macro_rules! suite {
    ($host:ident) => {
        const HOST: crate::rig::Host = crate::rig::Host::$host;

        crate::cancel::cases!();
        crate::completed::cases!();
        crate::drop::cases!();
        crate::events::cases!();
        crate::forkjoin::cases!();
        crate::handle::cases!();
        crate::limits::cases!();
        crate::lost::cases!();
        crate::map::cases!();
        crate::misuse::cases!();
        crate::nested::cases!();
        crate::panics::cases!();
        crate::payload::cases!();
        crate::policy::cases!();
        crate::priority::cases!();
        crate::reentry::cases!();
        crate::runtimes::cases!();
        crate::scatter::cases!();
        crate::shutdown::cases!();
        crate::spawn::cases!();
        crate::submit::cases!();
        crate::sync::cases!();
        crate::timeout::cases!();
        crate::wait::cases!();
        crate::workers::cases!();
    };
}

conformance!(serial, polypool::Serial::new());
conformance!(threads, polypool::Threads::new());
conformance!(tasks, polypool::Tasks::new());
conformance!(rayon, rayon_backend::Rayon::with_threads(8).unwrap());
#[cfg(all(feature = "processes", target_os = "linux"))]
conformance!(processes, polypool::Processes::new());
#[cfg(all(feature = "processes", target_os = "linux"))]
conformance!(
    processes_over_sockets,
    polypool::Processes::new().transport(polypool::Transport::Socket),
    [tokio_multi, standalone]
);
#[cfg(all(feature = "engine", target_os = "linux"))]
conformance!(agents, polypool::__private::Agents::new(), [tokio_multi]);
#[cfg(all(feature = "engine", target_os = "linux"))]
conformance!(agents_over_tcp, polypool::__private::Agents::connecting(), [standalone]);
#[cfg(all(feature = "mpi", target_os = "linux"))]
conformance!(mpi, engines::mpi(), [standalone]);
#[cfg(all(feature = "dask", target_os = "linux"))]
conformance!(dask, engines::dask(), [standalone]);
#[cfg(all(feature = "ray", target_os = "linux"))]
conformance!(ray, engines::ray(), [standalone]);
