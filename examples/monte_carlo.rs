//! π by throwing darts, through any backend. Each chunk of darts has a seed of its own, so that the digits are the same whatever throws
//! them, wherever, and in whichever order.
//!
//! `cargo run --release --example monte_carlo -- --parallel-backend threads -n 4`

use std::{process::ExitCode, time::Instant};

use clap::{Parser, value_parser};
use futures::{TryStreamExt as _, executor::block_on, future};
use polypool::{BuildError, Executor, TaskError};
use serde::{Deserialize, Serialize};

/// Prints π as the darts have it. How long that took, and on what, is said on standard error.
#[derive(Parser)]
struct Args {
    /// How many darts to throw
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = value_parser!(u64).range(1..))]
    darts: u64,
    /// How many darts are one task
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u64).range(1..))]
    chunk: u64,
    /// Where the darts' random numbers begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What runs the tasks: serial, threads, tasks, processes, or an address
    #[arg(long, value_name = "NAME", default_value = "threads")]
    parallel_backend: String,
    /// How many tasks run at a time; without it, as many as CPUs
    #[arg(short, long, value_name = "N")]
    n_workers: Option<usize>,
}

impl Args {
    fn pool(&self) -> Result<Executor, BuildError> {
        let mut pool = Executor::builder().backend(self.parallel_backend.as_str());
        if let Some(n) = self.n_workers {
            pool = pool.max_workers(n);
        }
        pool.build()
    }
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    let args = Args::parse();
    let pool = match args.pool() {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("monte_carlo: {error}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    // The pool needs no runtime; a thread that waits will do. Where there is one, this is an `.await`.
    match block_on(hits(&pool, &args)) {
        Ok(hits) => {
            println!("{:.9}", 4.0 * hits as f64 / args.darts as f64);
            eprintln!(
                "darts: {}, seconds: {:.3}, backend: {}, workers: {}",
                args.darts,
                start.elapsed().as_secs_f64(),
                pool.backend_name(),
                pool.max_workers()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("monte_carlo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many darts land in the circle.
async fn hits(pool: &Executor, args: &Args) -> Result<u64, TaskError> {
    let (darts, chunk, seed) = (args.darts, args.chunk, args.seed);
    let chunks = (0..darts.div_ceil(chunk)).map(move |number| Chunk {
        number,
        darts: chunk.min(darts - number * chunk),
        seed,
    });
    pool.map(throw, chunks).try_fold(0, |sum, hits| future::ok(sum + hits)).await
}

#[derive(Serialize, Deserialize)]
struct Chunk {
    number: u64,
    darts: u64,
    seed: u64,
}

/// The task: throws the darts of a chunk at a square, and counts those in the quarter of a circle in it. It counts with whole numbers,
/// which are the same on every machine.
fn throw(chunk: Chunk) -> u64 {
    let mut random = SplitMix(chunk.seed);
    // Somewhere else in the generator's long period for each chunk.
    random.0 = random.next() ^ chunk.number;
    random.0 = random.next();
    let is_hit = |_: &u64| {
        let bits = random.next();
        let (x, y) = (bits >> 33, bits & (SIDE - 1));
        x * x + y * y < SIDE * SIDE
    };
    (0..chunk.darts).filter(is_hit).count() as u64
}

/// The side of the square.
const SIDE: u64 = 1 << 31;

/// The generator SplitMix64 of Steele, Lea and Flood (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
