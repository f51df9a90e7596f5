//! A backend of one's own: tasks on a rayon thread pool, written against polypool's public API alone.
//!
//! `cargo run --release --example rayon_backend`

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use polypool::{
    BuildError, Capabilities, Executor, TaskError,
    backend::{self, Arrival, Backend, PoolContext, WorkerKind, Workers},
};

/// Runs tasks on the threads of a rayon pool that the program has anyway. The pool's `max_workers` bounds how many of them it
/// takes.
#[derive(Debug, Clone)]
pub struct Rayon {
    pool: Arc<rayon::ThreadPool>,
}

impl Rayon {
    /// Uses a pool that others use as well.
    pub fn new(pool: Arc<rayon::ThreadPool>) -> Self {
        Self { pool }
    }

    /// Makes a rayon pool of its own.
    pub fn with_threads(n: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Ok(Self::new(Arc::new(rayon::ThreadPoolBuilder::new().num_threads(n).build()?)))
    }
}

impl Backend for Rayon {
    fn name(&self) -> &str {
        "rayon"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { in_process: true, futures: true, nests: true, ..Capabilities::default() }
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(RayonWorkers { pool: Arc::clone(&self.pool), context }))
    }
}

struct RayonWorkers {
    pool: Arc<rayon::ThreadPool>,
    context: PoolContext,
}

/// A rayon thread that waits is lost to rayon, so it goes home at once.
const LINGER: Duration = Duration::ZERO;

fn work(arrival: Arrival) {
    let Some(mut lane) = arrival.claim() else { return };
    while let Some(job) = lane.next(LINGER) {
        job.run();
    }
}

#[async_trait]
impl Workers for RayonWorkers {
    fn wanted(&self, arrival: Arrival) {
        // Rayon's threads may all be taken by tasks that wait for others; a stand-in for one of those needs another thread.
        if arrival.is_stand_in() {
            self.context.spawn_thread(move || work(arrival));
        } else {
            self.pool.spawn(move || work(arrival));
        }
    }
}

#[allow(dead_code, reason = "the tests include this file for the backend")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    backend::register("rayon", WorkerKind::Threads, || Rayon::with_threads(polypool::cpu_count()))?;
    let pool: Result<Executor, BuildError> = Executor::builder().backend("rayon").max_workers(2).build();
    let pool = pool?;

    let sum = futures::executor::block_on(async {
        use futures::TryStreamExt;
        pool.map(|n: u64| n * n, 1..=1000).try_fold(0, |sum, n| async move { Ok(sum + n) }).await
    })?;
    println!("the squares up to 1000 sum to {sum}, on {pool:?}");
    assert_eq!(sum, 333_833_500);
    Ok(())
}
