//! The backend `mpi` with real MPIs. This program is all of it: the test, which starts the launchers; the jobs that they start, whose
//! ranks are copies of it; and their workers.
//!
//! The launchers are those of the variable `TEST_MPIEXEC`, paths with `:` between them, or the one in the path. Without any,
//! nothing is tested, and that is said. `cargo test --test mpi --features mpi -- open-mpi lost` runs the cases whose names have one of
//! these words in them.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test program has no outside, and a panic is how it fails"
)]

mod cases;
mod jobs;
mod roles;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use crate::jobs::{Engine, ROLE};

fn main() -> ExitCode {
    polypool::init();
    if let Ok(role) = std::env::var(ROLE) {
        return roles::play(&role);
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let engines = Engine::all();
    if engines.is_empty() {
        println!("no MPI is tested: set TEST_MPIEXEC, or install one");
        return ExitCode::SUCCESS;
    }
    let (mut run, mut failed) = (0, Vec::new());
    for engine in &engines {
        for (case, test) in cases::ALL {
            let name = format!("{} {case}", engine.name);
            if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
                continue;
            }
            let start = Instant::now();
            let passed = catch_unwind(AssertUnwindSafe(|| test(engine))).is_ok();
            println!("{name} ... {} ({:?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
            run += 1;
            if !passed {
                failed.push(name);
            }
        }
    }
    println!("{run} run, {} failed {failed:?}", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}
