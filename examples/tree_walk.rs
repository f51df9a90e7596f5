//! How much there is in a folder and in all that are in it, through any backend: a task for each folder, which waits for those of
//! the folders inside.
//!
//! `cargo run --release --example tree_walk -- src --parallel-backend tasks -n 2`

use std::{
    ffi::OsString,
    fmt::Display,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
};

use clap::Parser;
use futures::{executor::block_on, future::join_all};
use polypool::{BuildError, Executor, worker};
use serde::{Deserialize, Serialize};

/// Prints how many bytes, files and folders there are under each folder, and how deep it is. Follows no symbolic links.
#[derive(Parser)]
struct Args {
    /// Folders to walk
    #[arg(value_name = "FOLDER", default_value = ".")]
    folders: Vec<PathBuf>,
    /// What runs the tasks: serial, threads, tasks or processes
    #[arg(long, value_name = "NAME", default_value = "threads")]
    parallel_backend: String,
    /// How many tasks run at a time: a number; `auto` for all CPUs but one. Without it, all CPUs
    #[arg(short, long, value_name = "N", value_parser = workers)]
    n_workers: Option<usize>,
}

fn workers(text: &str) -> Result<usize, &'static str> {
    match text {
        "auto" => Ok((polypool::cpu_count() - 1).max(1)),
        number => number.parse().or(Err("give a number or `auto`")),
    }
}

/// What there is under a folder.
#[derive(Default, Serialize, Deserialize)]
struct Totals {
    bytes: u64,
    files: u64,
    folders: u64,
    /// How many folders are in one another.
    depth: u64,
    /// What could not be read, and why.
    failures: Vec<String>,
}

impl Totals {
    /// Adds what is in a folder inside this one.
    fn add(&mut self, inside: Totals) {
        self.bytes += inside.bytes;
        self.files += inside.files;
        self.folders += inside.folders + 1;
        self.depth = self.depth.max(inside.depth + 1);
        self.failures.extend(inside.failures);
    }

    fn fail(&mut self, path: &Path, error: &impl Display) {
        self.failures.push(format!("{path:?}: {error}"));
    }
}

/// The task: it reads one folder, and awaits a task for each that is in it. A task that awaits others of its pool has given its
/// place as a worker away meanwhile, so two workers go as deep as there are folders.
fn walk(folder: OsString) -> Pin<Box<dyn Future<Output = Totals> + Send>> {
    Box::pin(async move {
        let pool = worker::executor().expect("this is a task");
        let (mut totals, inside) = read(Path::new(&folder));
        let tasks: Vec<_> =
            inside.iter().map(|folder| pool.submit_async(walk, folder.clone().into_os_string())).collect();
        for (folder, result) in inside.iter().zip(join_all(tasks).await) {
            match result {
                Ok(inside) => totals.add(inside),
                Err(error) => totals.fail(folder, &error),
            }
        }
        totals
    })
}

/// What is in a folder itself, and the folders in it.
fn read(folder: &Path) -> (Totals, Vec<PathBuf>) {
    let (mut totals, mut inside) = (Totals::default(), Vec::new());
    let look = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok::<_, io::Error>((entry.path(), entry.metadata()?))
    };
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries.map(look) {
                match entry {
                    Ok((path, metadata)) if metadata.is_dir() => inside.push(path),
                    Ok((_, metadata)) => {
                        totals.files += 1;
                        totals.bytes += metadata.len();
                    }
                    Err(error) => totals.fail(folder, &error),
                }
            }
        }
        Err(error) => totals.fail(folder, &error),
    }
    (totals, inside)
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    let args = Args::parse();
    let Ok(pool) = make_pool(&args).inspect_err(say) else { return ExitCode::from(2) };
    let tasks: Vec<_> =
        args.folders.iter().map(|folder| pool.submit_async(walk, folder.clone().into_os_string())).collect();
    let mut code = ExitCode::SUCCESS;
    for (folder, result) in args.folders.iter().zip(block_on(join_all(tasks))) {
        let Ok(totals) = result.inspect_err(say) else {
            code = ExitCode::FAILURE;
            continue;
        };
        for failure in &totals.failures {
            say(failure);
            code = ExitCode::FAILURE;
        }
        let Totals { bytes, files, folders, depth, .. } = totals;
        let line =
            format!("{bytes} bytes, {files} files, {folders} folders, {depth} deep: {}", folder.display());
        if writeln!(io::stdout(), "{line}").is_err() {
            // Who reads has enough.
            break;
        }
    }
    code
}

fn make_pool(args: &Args) -> Result<Executor, BuildError> {
    let mut pool = Executor::builder().backend(args.parallel_backend.as_str());
    if let Some(n) = args.n_workers {
        pool = pool.max_workers(n);
    }
    pool.build()
}

fn say(message: &impl Display) {
    // Not `eprintln!`: that panics when nobody listens.
    let _ = writeln!(io::stderr(), "tree_walk: {message}");
}
