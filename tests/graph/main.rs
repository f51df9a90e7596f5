//! Graphs of tasks, on every backend of this crate, with and without tokio. What a graph may look like is in `plans`; what every
//! backend makes of it in `everywhere`; what foreign code may not do to it in `foreign`; what needs workers that run by themselves in `unattended`; what is of one backend alone in
//! `alone`; any graph at all in `random`.

#![cfg(feature = "graph")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test binary has no outside, and a panic is how it fails"
)]

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

#[path = "../conformance/gate.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod gate;
#[macro_use]
mod ground;

mod alone;
mod everywhere;
mod foreign;
mod plans;
mod random;
mod unattended;

/// Every case, for the backends and the hosts of the modules around it.
macro_rules! suite {
    ($backend:ident: $($topic:ident),+) => {
        mod $backend {
            const BACKEND: &str = stringify!($backend);

            mod bare {
                const HOST: crate::ground::Host = crate::ground::Host::Bare;
                $(crate::$topic::cases!();)+
            }

            #[cfg(feature = "tokio")]
            mod tokio {
                const HOST: crate::ground::Host = crate::ground::Host::Tokio;
                $(crate::$topic::cases!();)+
            }
        }
    };
}

suite!(serial: everywhere, foreign, random);
suite!(threads: everywhere, foreign, unattended, random);
suite!(tasks: everywhere, foreign, unattended, random);
#[cfg(all(feature = "processes", target_os = "linux"))]
suite!(processes: everywhere, foreign, unattended, random);
