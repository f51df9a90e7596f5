//! How to test code that uses a pool. The code takes a `Parallel` and leaves to its caller what it runs on: a program passes its user's
//! setting, a unit test `Parallel::Off`, and one test more runs it on worker processes, as in production.
//!
//! `cargo run --example embed_tests -- threads README.md`, and its tests with `cargo test --example embed_tests`

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use futures::{StreamExt as _, executor::block_on};
use polypool::{BuildError, Failure, Parallel, TaskError};

/// Counts the words of files.
#[derive(Parser)]
struct Args {
    /// How to run: off, on, auto, a number of workers, or the name of a backend
    parallel: Parallel,
    /// The files; a name that is not UTF-8 is shown as it can be
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    let Args { parallel, files } = Args::parse();
    let counts = match block_on(count_all(&parallel, &files)) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("embed_tests: {error}");
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for (file, count) in files.iter().zip(counts) {
        match count {
            Ok(count) => println!("{count} {}", file.display()),
            Err(error) => {
                eprintln!("embed_tests: {}: {error}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// The code under test: what a library would offer. One file that cannot be counted does not stop the others.
async fn count_all(
    parallel: &Parallel,
    files: &[PathBuf],
) -> Result<Vec<Result<usize, Failure>>, BuildError> {
    let pool = parallel.executor()?;
    let counts = pool.map(count, files.to_vec()).map(flatten);
    Ok(counts.collect().await)
}

/// The task. Being a plain function, it can be tested without any pool, and most tests should.
fn count(file: PathBuf) -> Result<usize, Failure> {
    let text = std::fs::read(file)?;
    Ok(text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count())
}

/// To who reads the counts, the pool's errors and the task's own are alike.
fn flatten(result: Result<Result<usize, Failure>, TaskError>) -> Result<usize, Failure> {
    result.unwrap_or_else(|error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use polypool::{CancellationPolicy, Executor, TaskOptions, with_default_backend};
    use tempfile::TempDir;

    use super::*;

    // Copies of the test program become workers before its `main`, which is not ours. Once for each test program.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::worker_main!();

    fn files() -> (TempDir, Vec<PathBuf>) {
        let temp = TempDir::new().expect("a folder");
        let files: Vec<_> = ["a", "b", "missing"].map(|name| temp.path().join(name)).into();
        fs::write(&files[0], "one  two\nthree\n").expect("a file");
        fs::write(&files[1], "").expect("a file");
        (temp, files)
    }

    fn check(parallel: &Parallel) {
        let (_temp, files) = files();
        let counts = block_on(count_all(parallel, &files)).expect("a pool");
        assert!(matches!(counts.as_slice(), [Ok(3), Ok(0), Err(_)]), "{parallel}: {counts:?}");
    }

    /// The logic, without a pool.
    #[test]
    fn a_file_is_counted() {
        let (_temp, files) = files();
        assert_eq!(count(files[0].clone()).expect("it is there"), 3);
    }

    /// The same program in one thread, in a fixed order: for most tests, and for a debugger. A breakpoint in `count` has the caller on
    /// its stack.
    #[test]
    fn serially() {
        check(&Parallel::Off);
    }

    /// Real concurrency without processes: it shows what tasks share by mistake.
    #[test]
    fn on_threads() {
        check(&"threads".parse().expect("a backend"));
    }

    /// As in production: it shows what cannot be encoded, and what a task takes for granted of its process.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    #[test]
    fn in_processes() {
        check(&"processes".parse().expect("a backend"));
    }

    /// Code that leaves the choice to the default is told here, for this thread and this call alone: tests run side by side.
    #[test]
    fn with_another_default() {
        let pool = with_default_backend("serial", || Parallel::On.executor());
        let pool = pool.expect("a known name").expect("a pool");
        assert_eq!(pool.backend_name(), "serial");
        check(&pool.into());
    }

    /// A pool of the test's own, with its own settings, is a `Parallel`, too. At its end nothing of it is left.
    #[test]
    fn in_a_pool_of_its_own() {
        let pool = Executor::builder().backend("threads").max_workers(2).max_pending(1).build();
        let pool = pool.expect("a pool");
        check(&pool.clone().into());
        let report = block_on(pool.shutdown(CancellationPolicy::ALL));
        assert_eq!((report.completed, report.failed, report.cancelled), (3, 0, 0));
    }

    /// How the code takes it when a worker dies under a task: let one die.
    #[cfg(all(feature = "processes", target_os = "linux"))]
    #[test]
    fn a_lost_worker_is_one_failure() {
        let pool = Executor::processes(1).expect("a pool");
        let lost = block_on(pool.submit(|()| -> Result<usize, Failure> { std::process::exit(3) }, ()));
        let failure = flatten(lost).expect_err("its worker is gone");
        assert!(failure.to_string().contains("exited with code 3"), "{failure}");
    }

    /// How it takes it when time is up. A limit that is run into on purpose may be short; one that must hold may be generous.
    #[test]
    fn a_late_task_is_one_failure() {
        let pool = Executor::tasks(1).expect("a pool");
        let options = TaskOptions::new().timeout(Duration::from_millis(1));
        let never = async |()| futures::future::pending::<Result<usize, Failure>>().await;
        let failure = flatten(block_on(pool.submit_async_with(options, never, ()))).expect_err("it is late");
        assert!(failure.to_string().contains("timed out"), "{failure}");
    }
}
