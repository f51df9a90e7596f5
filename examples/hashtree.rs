//! The SHA-256 of every file under some folders, through any backend. Prints what `sha256sum` prints.
//!
//! `cargo run --release --example hashtree -- src --parallel-backend threads -n auto`

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{cmp::Ordering, fmt::Display, fs::File, process::ExitCode, slice, thread};

use clap::Parser;
use futures::{StreamExt as _, executor::block_on};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use polypool::{BuildError, Executor, Failure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use walkdir::{DirEntry, WalkDir};

/// Prints the SHA-256 of every file under the folders, as `sha256sum` does. Follows symbolic links.
#[derive(Parser)]
struct Args {
    /// Folders to walk; a file will do, too
    #[arg(value_name = "FOLDER", default_value = ".")]
    folders: Vec<PathBuf>,
    /// What runs the tasks: serial, threads or tasks
    #[arg(long, value_name = "NAME", default_value = "threads")]
    parallel_backend: String,
    /// How many tasks run at a time: a number; `auto` or `all-but-one` for all CPUs but one. Without it, all CPUs
    #[arg(short, long, value_name = "N", value_parser = workers)]
    n_workers: Option<usize>,
    /// Runs everything in one thread, where a debugger can follow; the same as `--parallel-backend serial`
    #[arg(long)]
    debug: bool,
    /// Draws what the workers did: a picture when the name ends in `.svg`, a trace for Perfetto when it ends in `.json`
    #[cfg(feature = "timeline")]
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

fn workers(text: &str) -> Result<usize, &'static str> {
    match text {
        "auto" | "all-but-one" => Ok((polypool::cpu_count() - 1).max(1)),
        number => number.parse().or(Err("give a number, `auto` or `all-but-one`")),
    }
}

impl Args {
    /// Makes the pool. Whatever is wrong with the options shows here: a backend that nobody knows, zero workers.
    fn pool(&self) -> Result<Executor, BuildError> {
        let mut pool = Executor::builder().backend(self.parallel_backend.as_str());
        if let Some(n) = self.n_workers {
            pool = pool.max_workers(n);
        }
        if self.debug {
            pool = pool.backend("serial");
        }
        pool.build()
    }
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    let args = Args::parse();
    let screen = Screen::new();
    let Ok(pool) = args.pool().inspect_err(|error| screen.say(error)) else {
        return ExitCode::from(2);
    };
    #[cfg(feature = "timeline")]
    let recording = args.timeline.map(|file| (file, polypool::timeline::Recorder::start(&pool)));
    if !args.debug {
        screen.show_progress(args.folders.clone());
    }
    // The pool needs no runtime; a thread that waits will do. Where there is one, this is an `.await`.
    let outcome = block_on(hash_trees(&pool, args.folders, &screen));
    #[cfg(feature = "timeline")]
    if let Some((file, recorder)) = recording
        && let Err(error) = recorder.finish().write(file)
    {
        screen.say(error);
        return ExitCode::from(2);
    }
    match outcome {
        Ok(()) if screen.failures.load(Relaxed) == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        // As in `hashtree | head`: who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            screen.say(format_args!("standard output: {error}"));
            ExitCode::from(2)
        }
    }
}

/// How far the walk may be ahead of the output. Lines come in the order of the walk, so a large file holds up those after it;
/// meanwhile the other workers go on, this many files far. That bounds the memory, too.
const AHEAD: usize = 1000;

async fn hash_trees(pool: &Executor, folders: Vec<PathBuf>, screen: &Screen) -> io::Result<()> {
    let (mut files, mut bytes, start) = (0_u64, 0, Instant::now());
    // Results come in the order of the inputs, so it is enough to queue the paths that go with them.
    let (sender, paths) = mpsc::channel();
    let inputs = walk(folders, screen.clone()).inspect(move |path| drop(sender.send(path.clone())));
    // Nothing has been walked yet: the stream pulls a path when there is use for it.
    let mut digests = pool.map(hash_file, inputs).buffer(AHEAD);
    while let Some(digest) = digests.next().await {
        let path = paths.try_recv().unwrap_or_default();
        match digest {
            Ok(Ok(digest)) => {
                screen.print(&line(&digest.hex, &path))?;
                files += 1;
                bytes += digest.bytes;
                screen.bar.set_message(files.to_string());
                screen.bar.set_position(bytes);
            }
            // The task's own error, which to the pool is a value like any other.
            Ok(Err(error)) => screen.fail(&path, error),
            // The pool's: the task panicked, or its worker died.
            Err(error) => screen.fail(&path, error),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = bytes as f64 / 1e6 / seconds;
    let failures = screen.failures.load(Relaxed);
    let (backend, workers) = (pool.backend_name(), pool.max_workers());
    screen.bar.finish_and_clear();
    screen.say(format_args!(
        "files: {files}, bytes: {bytes}, seconds: {seconds:.3}, MB/s: {rate:.1}, failures: {failures}, \
         backend: {backend}, workers: {workers}"
    ));
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Digest {
    hex: String,
    bytes: u64,
}

/// The task. It captures nothing, and what goes in and out can be encoded, so any backend can run it, also outside this process.
/// The path is an `OsString`, since serde refuses a `Path` that is not UTF-8; an `io::Error` becomes a `Failure`, which travels.
fn hash_file(path: OsString) -> Result<Digest, Failure> {
    let mut file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut chunk = vec![0; size.clamp(4 << 10, 256 << 10)];
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        hasher.update(&chunk[..n]);
        bytes += n as u64;
    }
    let digest = hasher.finalize();
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digest { hex, bytes })
}

/// The files under the folders, one by one. Whatever else is there is reported and left out.
fn walk(folders: Vec<PathBuf>, screen: Screen) -> impl Iterator<Item = OsString> + Send {
    entries(folders).filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_file() => Some(entry.into_path().into_os_string()),
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => {
            let path = entry.path();
            screen.say(format_args!("{path:?}: skipped, neither a file nor a folder"));
            None
        }
        Err(error) => {
            let path = error.path().unwrap_or(Path::new("")).as_os_str();
            let reason = error.io_error().map(ToString::to_string);
            let reason = reason.as_deref().unwrap_or("a link to a folder that it is in");
            screen.fail(path, reason);
            None
        }
    })
}

fn entries(folders: Vec<PathBuf>) -> impl Iterator<Item = walkdir::Result<DirEntry>> + Send {
    let walk = |folder| WalkDir::new(folder).follow_links(true).sort_by(by_path);
    folders.into_iter().flat_map(walk)
}

/// The order of `LC_ALL=C sort`, which compares whole paths: there a folder's name is followed by a slash, so that `a.txt` comes
/// before `a/b`, although `a` comes before `a.txt`.
fn by_path(a: &DirEntry, b: &DirEntry) -> Ordering {
    fn key(entry: &DirEntry) -> impl Iterator<Item = &u8> {
        let is_folder = entry.file_type().is_dir() || entry.path_is_symlink() && entry.path().is_dir();
        let name = entry.file_name().as_encoded_bytes().iter();
        name.chain(is_folder.then_some(&b'/'))
    }
    key(a).cmp(key(b))
}

/// A line as `sha256sum` writes it: what would break a line is escaped in the name, and a backslash in front says so.
fn line(hex: &str, path: &OsStr) -> Vec<u8> {
    fn escape(byte: &u8) -> &[u8] {
        match byte {
            b'\\' => br"\\",
            b'\n' => br"\n",
            b'\r' => br"\r",
            _ => slice::from_ref(byte),
        }
    }
    let name: Vec<u8> = path.as_encoded_bytes().iter().flat_map(escape).copied().collect();
    let mark: &[u8] = if name.len() > path.len() { br"\" } else { b"" };
    [mark, hex.as_bytes(), b"  ", &name, b"\n"].concat()
}

/// Where digests, messages and the progress bar meet. Clones are the same screen: the walk writes to it, too.
#[derive(Clone)]
struct Screen {
    bar: ProgressBar,
    failures: Arc<AtomicU64>,
}

impl Screen {
    fn new() -> Self {
        Self { bar: ProgressBar::hidden(), failures: Arc::default() }
    }

    /// Shows the progress bar, if stderr is a terminal. How much there is to do, nobody knows before all has been walked; so a
    /// thread walks ahead and only adds up.
    fn show_progress(&self, folders: Vec<PathBuf>) {
        let style = "{wide_bar} {msg} files, {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        self.bar.set_style(ProgressStyle::with_template(style).expect("all these keys exist"));
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(0);
        self.bar.enable_steady_tick(Duration::from_millis(100));
        let bar = self.bar.clone();
        thread::spawn(move || {
            let files = entries(folders).flatten().filter(|file| file.file_type().is_file());
            for metadata in files.flat_map(|file| file.metadata()) {
                bar.inc_length(metadata.len());
            }
        });
    }

    fn print(&self, line: &[u8]) -> io::Result<()> {
        let print = || io::stdout().write_all(line);
        // If it is a terminal, it is most likely the one with the bar.
        if io::stdout().is_terminal() {
            return self.bar.suspend(print);
        }
        print()
    }

    fn fail(&self, path: &OsStr, error: impl Display) {
        self.failures.fetch_add(1, Relaxed);
        // `{:?}`, because a name may hold anything, also what a terminal takes for a command.
        self.say(format_args!("{path:?}: {error}"));
    }

    fn say(&self, message: impl Display) {
        // Not `eprintln!`: that panics when nobody listens.
        let write = || drop(writeln!(io::stderr(), "hashtree: {message}"));
        self.bar.suspend(write);
    }
}
