//! Quicksort by fork-join, through any backend: each part larger than the cutoff is split in two, and one of them is a task. Sorts
//! numbers, one a line, as `sort -n` does.
//!
//! `seq 100000 | shuf | cargo run --release --example quicksort -- --parallel-backend processes -n 2`

use std::{
    fmt::Display,
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use polypool::{BuildError, Executor, TaskError, worker};
use serde::{Deserialize, Serialize};

/// Sorts whole numbers from standard input, one a line, and prints them.
#[derive(Parser)]
struct Args {
    /// What runs the tasks: serial, threads, tasks or processes
    #[arg(long, value_name = "NAME", default_value = "threads")]
    parallel_backend: String,
    /// How many tasks run at a time: a number; `auto` for all CPUs but one. Without it, all CPUs
    #[arg(short, long, value_name = "N", value_parser = workers)]
    n_workers: Option<usize>,
    /// Parts of so many numbers or fewer are no tasks
    #[arg(long, value_name = "N", default_value_t = 1 << 13)]
    cutoff: usize,
    /// By which number a part is split. By its first, numbers that are sorted already make as many levels as there are numbers
    #[arg(long, value_enum, default_value_t = Pivot::Middle)]
    pivot: Pivot,
}

#[derive(Clone, Copy, ValueEnum, Serialize, Deserialize)]
enum Pivot {
    First,
    Middle,
}

fn workers(text: &str) -> Result<usize, &'static str> {
    match text {
        "auto" => Ok((polypool::cpu_count() - 1).max(1)),
        number => number.parse().or(Err("give a number or `auto`")),
    }
}

/// What is to be sorted, and how.
#[derive(Serialize, Deserialize)]
struct Part {
    numbers: Vec<i64>,
    cutoff: usize,
    pivot: Pivot,
}

impl Part {
    /// Splits it into what is lower than one of its numbers, that number, and what is not lower.
    fn split(mut self) -> (Part, i64, Part) {
        let at = match self.pivot {
            Pivot::First => 0,
            Pivot::Middle => self.numbers.len() / 2,
        };
        let pivot = self.numbers.remove(at);
        let (low, high) = self.numbers.into_iter().partition(|number| *number < pivot);
        let part = |numbers| Part { numbers, cutoff: self.cutoff, pivot: self.pivot };
        (part(low), pivot, part(high))
    }
}

/// The task. It submits tasks to the pool that it runs in, and waits for them: the pool sees to it that somebody has the time to run
/// them, however deep that goes, and be it the worker that waits.
fn sort(part: Part) -> Result<Vec<i64>, TaskError> {
    if part.numbers.len() <= part.cutoff.max(1) {
        let mut numbers = part.numbers;
        numbers.sort_unstable();
        return Ok(numbers);
    }
    let pool = worker::executor().expect("this is a task");
    let (low, pivot, high) = part.split();
    let low = pool.submit(sort, low);
    let high = pool.submit(sort, high);
    let (mut sorted, high) = (low.blocking_join()??, high.blocking_join()??);
    sorted.push(pivot);
    sorted.extend(high);
    Ok(sorted)
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    let args = Args::parse();
    let Ok(pool) = make_pool(&args).inspect_err(say) else { return ExitCode::from(2) };
    let Ok(numbers) = read().inspect_err(say) else { return ExitCode::from(2) };
    let part = Part { numbers, cutoff: args.cutoff, pivot: args.pivot };
    let sorted = match pool.submit(sort, part).blocking_join() {
        Ok(Ok(sorted)) => sorted,
        Ok(Err(error)) | Err(error) => {
            say(&error);
            return ExitCode::FAILURE;
        }
    };
    let lines: String = sorted.iter().map(|number| format!("{number}\n")).collect();
    match io::stdout().write_all(lines.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // As in `quicksort | head`: who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::from(2)
        }
    }
}

fn make_pool(args: &Args) -> Result<Executor, BuildError> {
    let mut pool = Executor::builder().backend(args.parallel_backend.as_str());
    if let Some(n) = args.n_workers {
        pool = pool.max_workers(n);
    }
    pool.build()
}

fn read() -> io::Result<Vec<i64>> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let number = |(n, line): (usize, &str)| {
        line.trim().parse().map_err(|error| io::Error::other(format!("line {}: {line:?}: {error}", n + 1)))
    };
    text.lines().enumerate().map(number).collect()
}

fn say(message: &impl Display) {
    // Not `eprintln!`: that panics when nobody listens.
    let _ = writeln!(io::stderr(), "quicksort: {message}");
}
