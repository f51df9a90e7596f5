//! What a test stands on: pools of processes, a runtime, and a watchdog.

use std::future::Future;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use polypool::{Executor, ExecutorBuilder, Processes, TaskError, TaskHandle, WorkerLost};

/// How long a test may take before it counts as hanging. Generous: it decides nothing but that.
const PATIENCE: Duration = Duration::from_secs(90);

/// A time limit that tests let run out. It is waited for, never measured.
pub const SHORT: Duration = Duration::from_millis(30);

/// Runs a test to its end, under tokio, and ends the whole program when that does not come.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let (_alive, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: the test harness would capture it and die with it.
            let _ = writeln!(std::io::stderr(), "\n{name} hangs");
            std::process::abort();
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a tokio runtime").block_on(test)
}

pub fn builder(backend: Processes, workers: usize) -> ExecutorBuilder {
    Executor::builder().backend(backend).max_workers(workers)
}

/// A pool with options.
pub fn pool_of(backend: Processes, workers: usize) -> Executor {
    builder(backend, workers).build().expect("a pool")
}

/// A pool with the defaults.
pub fn pool(workers: usize) -> Executor {
    pool_of(Processes::new(), workers)
}

/// The pids of all workers, by their indices.
pub async fn pids(pool: &Executor) -> Vec<u32> {
    let pids = pool.run_on_all(crate::tasks::pid, ()).await;
    pids.into_iter().map(|pid| pid.expect("every worker answers")).collect()
}

/// Checks that a task was lost with its worker, and gives the account of that.
pub async fn loss_of<R: std::fmt::Debug>(task: TaskHandle<R>) -> WorkerLost {
    match task.await {
        Err(TaskError::WorkerLost(lost)) => lost,
        other => panic!("{other:?} is no loss"),
    }
}

/// Checks that the pool does what pools do.
pub async fn goes_on(pool: &Executor) {
    let tasks: Vec<_> = (0..20).map(|n| pool.submit(crate::tasks::double, n)).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.await.expect("the pool goes on"), 2 * n);
    }
}

/// Asserts that a value has a shape, and shows it where it has not.
macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?} is not {}", stringify!($pattern $(if $guard)?)),
        }
    };
}
