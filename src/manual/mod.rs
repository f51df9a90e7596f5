//! The manual: how things are meant, where the reference says what each does. Documentation only.
//!
//! | page | for |
//! |---|---|
//! | [`model`] | how a task goes: pending and running, the queue, who wakes whom, what dropping does |
//! | [`backends`] | choosing a backend, and when not to use this crate |
//! | [`cancellation`] | the four policies, tokens, grace periods, time limits, streams |
//! | [`processes`] | worker processes: the entry, start methods, initializers, recycling, crashes, limits, captured output |
//! | [`data`] | shared data, worker state, locks and queues across workers |
//! | [`configuration`] | one setting for users; files, environment, command line |
//! | [`service`] | back-pressure, deadlines, shutdown, events, metrics, tracing |
//! | [`clusters`] | past one machine: what is promised, what travels, modes, trust |
//! | [`mpi`], [`dask`], [`ray`] | how to start a cluster of each, and how to point a program at it |
//! | [`python`] | coming from cotengra, scinexus, pyDVL, loky, pytask-parallel, concurrent.futures |
//! | [`troubleshooting`] | every error message, what it means and what to do |
//!
//! For what each item does exactly, see the [reference](crate). Programs that show all of it are in `examples/`.

// What a build leaves out cannot be linked to there; the build with all features checks every link.
#![cfg_attr(
    not(all(
        feature = "processes",
        feature = "config",
        feature = "clap",
        feature = "graph",
        feature = "timeline",
        feature = "mpi",
        feature = "dask",
        feature = "ray",
        target_os = "linux"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod backends;
pub mod cancellation;
pub mod clusters;
pub mod configuration;
pub mod dask;
pub mod data;
pub mod model;
pub mod mpi;
pub mod processes;
pub mod python;
pub mod ray;
pub mod service;
pub mod troubleshooting;
