//! What the tests of each engine stand on: a runtime, a watchdog, pools, and tasks.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use polypool::{CancellationPolicy, Executor, ExecutorBuilder, TaskError, TaskHandle};

use crate::cluster::{Cluster, python};
use crate::{ENGINE, Engine};

/// How long a test may take before it counts as hanging. Generous: it decides nothing but that.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long something that must happen soon may take.
const SOON: Duration = Duration::from_secs(90);

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

/// The backend at a cluster.
pub fn on(cluster: &Cluster) -> Engine {
    Engine::new(cluster.address()).python(python())
}

pub fn builder(backend: Engine) -> ExecutorBuilder {
    Executor::builder().backend(backend).on_drop(CancellationPolicy::ALL)
}

pub fn pool_of(backend: Engine, workers: usize) -> Executor {
    builder(backend).max_workers(workers).build().expect("a pool")
}

/// What a task of a pool that cannot work comes to, in words; and after how long.
pub async fn refusal(backend: Engine) -> (String, Duration) {
    let start = Instant::now();
    let pool = pool_of(backend, 1);
    let error = pool.submit(double, 1).await.expect_err("it cannot work");
    let took = start.elapsed();
    match &error {
        TaskError::Backend { backend, .. } => assert_eq!(backend, ENGINE),
        other => panic!("{other:?} is no error of the engine"),
    }
    end(&pool).await;
    (error.to_string(), took)
}

/// Checks that a task was lost with its worker.
pub async fn assert_lost<R: std::fmt::Debug>(task: TaskHandle<R>) {
    match task.await {
        Err(TaskError::WorkerLost(_)) => {}
        other => panic!("{other:?} is no loss"),
    }
}

/// Checks that the pool does what pools do.
pub async fn goes_on(pool: &Executor) {
    let tasks: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.await.expect("the pool goes on"), 2 * n);
    }
}

/// Shuts a pool down, and whatever it does.
pub async fn end(pool: &Executor) {
    pool.shutdown(CancellationPolicy::ALL).await;
}

/// A script that is run in place of the interpreter.
pub fn in_place_of_python(script: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("python");
    write_program(script, &path);
    (folder, path)
}

fn write_program(script: &str, path: &Path) {
    let (from, mut to) = std::io::pipe().expect("a pipe");
    // It is less than a pipe holds.
    to.write_all(script.as_bytes()).expect("there is room");
    drop(to);
    plant(Path::new("/dev/stdin"), Stdio::from(from), path);
}

/// An interpreter for one bridge, of which is known which process it is, and which files are its.
pub struct Apart {
    folder: tempfile::TempDir,
    pub python: PathBuf,
}

impl Apart {
    pub fn new() -> Self {
        // Sockets lie in it, whose paths are short.
        let folder = tempfile::Builder::new().prefix("").rand_bytes(6).tempdir_in("/tmp").expect("a folder");
        let path = folder.path().join("python");
        let (real, place) = (python(), folder.path().display());
        write_program(
            &format!(
                "#!/bin/sh\nexport TMPDIR={place}\necho $$ > {place}/pid\nexec '{}' \"$@\"\n",
                real.display()
            ),
            &path,
        );
        Self { folder, python: path }
    }

    /// The bridge, once it was started.
    pub fn bridge(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.path().join("pid")).expect("it was started");
        text.trim().parse().expect("a number")
    }

    /// What it has made in the folder for temporary files.
    pub fn files(&self) -> Vec<String> {
        let all = crate::proc::listing(self.folder.path().to_str().expect("UTF-8"));
        all.into_iter().filter(|name| name.starts_with("polypool-")).collect()
    }
}

/// Makes a program of this file. Another process writes it: a descriptor of ours for writing could be with a process that another test
/// starts just then, and who is written to cannot be executed.
pub fn plant(content: &Path, input: Stdio, path: &Path) {
    let done = Command::new("install").args(["-m", "755"]).arg(content).arg(path).stdin(input).status();
    assert!(done.expect("`install` is there").success());
}

/// Waits until `done`, as `proc::soon`, on a machine that starts interpreters meanwhile.
pub fn soon(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}: not after {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same for a test that is a future.
pub async fn soon_async(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}: not after {SOON:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// Tasks.

pub fn double(n: u64) -> u64 {
    2 * n
}

/// The numbers of the worker's process, of its agent's, and of the process in whose slot that is.
pub fn pids(_: ()) -> [u32; 3] {
    let me = std::process::id();
    let agent = parent_of(me);
    [me, agent, parent_of(agent)]
}

fn parent_of(pid: u32) -> u32 {
    crate::proc::look(pid).expect("it is there").1
}

/// Writes its numbers into a file, whole at once, and never ends.
pub fn hold(path: String) {
    let text = pids(()).map(|pid| pid.to_string()).join(" ");
    let draft = format!("{path}.draft");
    std::fs::write(&draft, text).expect("a folder");
    std::fs::rename(draft, path).expect("a folder");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A task that runs and does not end, and the processes that it has: its worker, the agent and the engine's.
pub async fn held(pool: &Executor, folder: &tempfile::TempDir) -> (TaskHandle<()>, [u32; 3]) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = folder.path().join(number.to_string());
    let task = pool.submit(hold, path.to_str().expect("UTF-8").to_owned());
    soon_async("the task runs", || path.exists()).await;
    let text = std::fs::read_to_string(&path).expect("it is there");
    let mut pids = text.split(' ').map(|pid| pid.parse().expect("a number"));
    (task, std::array::from_fn(|_| pids.next().expect("three numbers")))
}
