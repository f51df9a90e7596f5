//! Everything at once: workers that are killed from outside and die by themselves, tasks that panic, run out of time, are
//! cancelled, or carry what cannot be read, pools that are resized, shut down and dropped. Every handle must resolve once, with
//! the right value or a right error, every task that was not lost must have run once, and at the end nothing may be left.
//!
//! The order of things is random. `POLYPOOL_CHAOS_SEED` repeats a choice of tasks (the timing is the machine's own),
//! `POLYPOOL_CHAOS_TASKS` sets how many there are; 100,000 and more make sense.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use polypool::{
    AbortHandle, CancellationPolicy, Executor, Exit, Processes, StartMethod, TaskError, TaskHandle,
    TaskOptions, Transport,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

polypool::worker_main!();

/// How many tasks there are, unless the environment says otherwise.
const TASKS: u64 = 5_000;

/// How long one task may stay without an outcome before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Deed {
    /// Gives twice its number.
    Double,
    /// Gives so many bytes of what it was given.
    Echo(usize),
    /// Makes so many bytes.
    Make(usize),
    Panic,
    Exit(i32),
    Abort,
    /// Runs for so many microseconds.
    Spin(u64),
    /// Runs until it is stopped, or for a time in which it should have been.
    Hang,
    /// Waits for so many microseconds as a future.
    Wait(u64),
    /// Waits as a future until it is stopped.
    WaitForEver,
    UnreadableArgument,
    UnreadableResult,
    /// Starts a program that would go on for ever, and gives its value.
    StartProgram,
}

/// A small generator of numbers that look random (SplitMix64, Steele et al. 2014).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn deed(&mut self) -> Deed {
        match self.below(1_000) {
            0..600 => Deed::Double,
            600..700 => Deed::Echo(self.below(300) as usize),
            700..720 => Deed::Echo(60_000 + self.below(12_000) as usize),
            720..724 => Deed::Echo(1_000_000 + self.below(3_000_000) as usize),
            724..740 => Deed::Make(self.below(200_000) as usize),
            740..780 => Deed::Panic,
            780..790 => Deed::Exit(self.below(3) as i32),
            790..800 => Deed::Abort,
            800..900 => Deed::Spin(self.below(2_000)),
            900..904 => Deed::Hang,
            904..950 => Deed::Wait(self.below(2_000)),
            950..956 => Deed::WaitForEver,
            956..976 => Deed::UnreadableArgument,
            976..996 => Deed::UnreadableResult,
            _ => Deed::StartProgram,
        }
    }
}

/// What goes there and comes back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Parcel {
    number: u64,
    deed: Deed,
    bytes: Vec<u8>,
    seal: Seal,
}

/// Says in its own words that it cannot be read, where it is broken.
#[derive(Debug, PartialEq)]
struct Seal {
    broken: bool,
}

impl Serialize for Seal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.broken)
    }
}

impl<'de> Deserialize<'de> for Seal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Err(serde::de::Error::custom("the seal is broken")),
            false => Ok(Seal { broken: false }),
        }
    }
}

fn bytes(number: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|n| (n ^ (n >> 8) ^ number) as u8).collect()
}

impl Parcel {
    fn new(number: u64, deed: Deed) -> Parcel {
        let size = if let Deed::Echo(size) = deed { size } else { 0 };
        let broken = deed == Deed::UnreadableArgument;
        Parcel { number, deed, bytes: bytes(number, size), seal: Seal { broken } }
    }

    /// What must come back, if anything does.
    fn answer(number: u64, deed: Deed) -> Parcel {
        let size = if let Deed::Echo(size) | Deed::Make(size) = deed { size } else { 0 };
        Parcel { number: 2 * number, deed, bytes: bytes(number, size), seal: Seal { broken: false } }
    }
}

fn run(mut parcel: Parcel) -> Parcel {
    match parcel.deed {
        Deed::Double | Deed::Echo(_) | Deed::UnreadableArgument | Deed::Wait(_) | Deed::WaitForEver => {}
        Deed::Make(size) => parcel.bytes = bytes(parcel.number, size),
        Deed::Panic => panic!("number {} panics", parcel.number),
        Deed::Exit(code) => std::process::exit(code),
        Deed::Abort => std::process::abort(),
        Deed::Spin(micros) => {
            let end = Instant::now() + Duration::from_micros(micros);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        }
        Deed::Hang => std::thread::sleep(2 * PATIENCE),
        Deed::UnreadableResult => parcel.seal.broken = true,
        Deed::StartProgram => {
            // Nobody waits for it: that it goes with its worker is the point.
            drop(std::process::Command::new("sleep").arg("100000").spawn().unwrap());
        }
    }
    parcel.number *= 2;
    parcel
}

async fn run_async(parcel: Parcel) -> Parcel {
    match parcel.deed {
        Deed::Wait(micros) => tokio::time::sleep(Duration::from_micros(micros)).await,
        Deed::WaitForEver => std::future::pending().await,
        _ => {}
    }
    run(parcel)
}

/// What was done to a task from outside, so that its outcome can be judged.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    aborted: bool,
    limited: bool,
    /// Its pool was dropped or shut down with a policy that touches it.
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Tally {
    values: u64,
    panics: u64,
    lost: u64,
    cancelled: u64,
    timed_out: u64,
    unreadable: u64,
    refused: u64,
}

impl Tally {
    fn judge(&mut self, number: u64, deed: Deed, fate: Fate, result: Result<Parcel, TaskError>) {
        match result {
            Ok(parcel) => {
                let ends = !matches!(
                    deed,
                    Deed::Panic
                        | Deed::Exit(_)
                        | Deed::Abort
                        | Deed::Hang
                        | Deed::WaitForEver
                        | Deed::UnreadableArgument
                        | Deed::UnreadableResult
                );
                assert!(ends, "{number} {deed:?} gave a value");
                assert!(parcel == Parcel::answer(number, deed), "{number} {deed:?} gave another's value");
                self.values += 1;
            }
            Err(TaskError::Panicked(info)) => {
                assert_eq!((deed, info.message), (Deed::Panic, format!("number {number} panics")));
                self.panics += 1;
            }
            // Anybody may have been killed from outside, and nobody else dies of what another does.
            Err(TaskError::WorkerLost(lost)) => {
                match (deed, lost.exit) {
                    (_, Exit::Signal(9)) | (Deed::Abort, Exit::Signal(6)) => {}
                    // The server that would have known was killed as well.
                    (_, Exit::Unknown) => {}
                    (Deed::Exit(code), Exit::Code(told)) => assert_eq!(code, told, "{number}"),
                    (deed, exit) => panic!("{number} {deed:?} was lost as {exit:?}"),
                }
                self.lost += 1;
            }
            Err(TaskError::Cancelled) => {
                assert!(fate.aborted || fate.abandoned, "{number} {deed:?} was cancelled by nobody");
                self.cancelled += 1;
            }
            Err(TaskError::TimedOut { .. }) => {
                assert!(fate.limited, "{number} {deed:?} had no limit");
                self.timed_out += 1;
            }
            Err(TaskError::Decode(text)) => {
                assert!(
                    matches!(deed, Deed::UnreadableArgument | Deed::UnreadableResult),
                    "{number} {deed:?}"
                );
                assert!(text.contains("the seal is broken"), "{number} {deed:?}: {text}");
                self.unreadable += 1;
            }
            Err(TaskError::Shutdown) => {
                assert!(fate.abandoned, "{number} {deed:?} was refused by a pool that was not shut down");
                self.refused += 1;
            }
            Err(other) => panic!("{number} {deed:?}: {other:?}"),
        }
    }
}

fn pool(dice: &mut Dice, folder: &Path) -> Executor {
    let grace = Duration::from_millis(dice.below(20));
    let mut backend = Processes::new().grace_period(grace).prefetch(!dice.once_in(4)).env("TMPDIR", folder);
    // Or a panic takes so long, in a build without optimisation, that hardly one lives to its end.
    backend = backend.env("RUST_BACKTRACE", "0");
    if dice.once_in(3) {
        backend = backend.start_method(StartMethod::ForkServer);
    }
    if dice.once_in(4) {
        backend = backend.transport(Transport::Socket);
    }
    if dice.once_in(3) {
        backend = backend.max_tasks_per_worker(1 + dice.below(50) as usize);
    }
    if dice.once_in(3) {
        backend = backend.idle_timeout(Duration::from_millis(1 + dice.below(20)));
    }
    let policy = match dice.below(3) {
        0 => CancellationPolicy::ALL,
        1 => CancellationPolicy::RUNNING,
        _ => CancellationPolicy::PENDING,
    };
    let builder = Executor::builder().backend(backend).on_drop(policy);
    builder.max_workers(1 + dice.below(4) as usize).build().unwrap()
}

/// Kills a worker of the pool now and then, and more rarely the server that forks them, from a thread of its own, until it is
/// told to stop.
struct Killer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Killer {
    fn start(pool: Arc<Mutex<Option<Executor>>>, mut dice: Dice) -> Killer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut kills = 0;
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(500 + dice.below(30_000)));
                let workers = pool.lock().unwrap().as_ref().map(Executor::workers).unwrap_or_default();
                let pids: Vec<_> = workers.iter().filter_map(|worker| worker.pid).collect();
                // A pid that was listed may be gone by now; one that is none of ours must not be touched.
                let ours = descendants();
                let server = children().into_iter().find(|pid| !pids.contains(pid));
                let victim = match server {
                    Some(server) if dice.once_in(40) => server,
                    _ if pids.is_empty() => continue,
                    _ => pids[dice.below(pids.len() as u64) as usize],
                };
                if ours.contains(&victim) {
                    kills +=
                        u64::from(kill_process(Pid::from_raw(victim as i32).unwrap(), Signal::KILL).is_ok());
                }
            }
            kills
        });
        Killer { stop, thread: Some(thread) }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn children() -> BTreeSet<u32> {
    processes().into_iter().filter(|&(_, parent, _)| parent == std::process::id()).map(|of| of.0).collect()
}

/// Children, and theirs.
fn descendants() -> BTreeSet<u32> {
    let all = processes();
    let mut found = BTreeSet::from([std::process::id()]);
    loop {
        let before = found.len();
        found.extend(
            all.iter().filter(|(_, parent, _)| found.contains(parent)).map(|of| of.0).collect::<Vec<_>>(),
        );
        if found.len() == before {
            found.remove(&std::process::id());
            return found;
        }
    }
}

/// All processes: pid, parent, name.
fn processes() -> Vec<(u32, u32, String)> {
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stat = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat[rest + 1..].split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != "Z" || parent == std::process::id()).then(|| (pid, parent, stat[name + 1..rest].to_owned()))
    };
    pids.filter_map(stat).collect()
}

/// The sleepers that this program's workers have started: they bear its mark in their environment.
fn sleepers(mark: &str) -> usize {
    let marked = |pid: u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()))
    };
    processes().into_iter().filter(|(pid, _, name)| name == "sleep" && marked(*pid)).count()
}

fn count(path: &str) -> usize {
    fs::read_dir(path).unwrap().count()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// One pool's life: tasks of all sorts, most of them awaited, and an end in one of several ways.
async fn life(
    dice: &mut Dice,
    (first, tasks): (u64, u64),
    tally: &mut Tally,
    progress: &AtomicU64,
    folder: &Path,
) -> u64 {
    let pool = pool(dice, folder);
    let shared = Arc::new(Mutex::new(Some(pool.clone())));
    let killer = Killer::start(Arc::clone(&shared), dice.clone());
    let mut open: Vec<(u64, Deed, Fate, TaskHandle<Parcel>)> = Vec::new();
    let mut victims: Vec<(AbortHandle, usize)> = Vec::new();
    for number in first..first + tasks {
        let deed = dice.deed();
        let endless = matches!(deed, Deed::Hang | Deed::WaitForEver);
        let mut fate = Fate { aborted: endless && dice.once_in(2) || dice.once_in(30), ..Fate::default() };
        fate.limited = endless && !fate.aborted || dice.once_in(50);
        let mut options = TaskOptions::new().priority(dice.below(3) as i32);
        if fate.limited {
            options = options.timeout(Duration::from_micros(200 + dice.below(20_000)));
        }
        let parcel = Parcel::new(number, deed);
        let handle = if matches!(deed, Deed::Wait(_) | Deed::WaitForEver) || dice.once_in(10) {
            pool.submit_async_with(options, run_async, parcel)
        } else {
            pool.submit_with(options, run, parcel)
        };
        if fate.aborted {
            victims.push((handle.abort_handle(), dice.below(40) as usize));
        }
        open.push((number, deed, fate, handle));
        victims.retain_mut(|(victim, wait)| {
            if *wait == 0 {
                victim.abort();
            }
            *wait = wait.saturating_sub(1);
            !victim.is_finished()
        });
        if dice.once_in(200) {
            pool.resize(1 + dice.below(4) as usize).unwrap();
        }
        if open.len() > 300 {
            victims.drain(..).for_each(|(victim, _)| victim.abort());
            for (number, deed, fate, handle) in open.drain(..200) {
                tally.judge(number, deed, fate, handle.await);
                progress.store(number, Ordering::Relaxed);
            }
        }
        if dice.once_in(500) {
            let numbers = dice.below(100);
            let results = pool.map(|n: u64| 2 * n, 0..numbers).buffer(20).collect::<Vec<_>>().await;
            assert_eq!(results.len() as u64, numbers);
            for (n, result) in (0..).zip(results) {
                assert!(
                    result.as_ref().map_or_else(TaskError::is_worker_lost, |value| *value == 2 * n),
                    "input {n}: {result:?}"
                );
            }
        }
    }
    victims.drain(..).for_each(|(victim, _)| victim.abort());
    drop(shared.lock().unwrap().take());
    // Those that nobody stops would keep a pool that waits for them.
    let abandon = |open: &mut Vec<(u64, Deed, Fate, TaskHandle<Parcel>)>| {
        open.iter_mut().for_each(|(_, _, fate, _)| fate.abandoned = true);
    };
    match dice.below(4) {
        0 => {
            abandon(&mut open);
            drop(pool);
        }
        1 => {
            abandon(&mut open);
            pool.shutdown(CancellationPolicy::ALL).await;
            assert!(open.iter().all(|(_, _, _, handle)| handle.is_finished()), "shutdown waits for all");
        }
        2 => {
            abandon(&mut open);
            let first = pool.shutdown(true);
            drop(first);
            pool.shutdown(CancellationPolicy::NONE).await;
        }
        _ => {
            pool.shutdown(false).await;
        }
    }
    for (number, deed, fate, handle) in open {
        tally.judge(number, deed, fate, handle.await);
        progress.store(number, Ordering::Relaxed);
    }
    killer.stop()
}

/// Waits until `left` gives nothing, and says what it gives when that does not come.
async fn nothing_left<T: std::fmt::Debug + Default + PartialEq>(what: &str, left: impl Fn() -> T) {
    let start = Instant::now();
    while left() != T::default() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} left: {:?}", left());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn every_task_has_one_right_end_and_nothing_is_left() {
    let seed = setting("POLYPOOL_CHAOS_SEED").unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
    });
    let tasks = setting("POLYPOOL_CHAOS_TASKS").unwrap_or(TASKS);
    // Past the harness, so that it is known also when the program is killed.
    let _ = writeln!(std::io::stderr(), "chaos: POLYPOOL_CHAOS_SEED={seed} POLYPOOL_CHAOS_TASKS={tasks}");
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("TMPDIR={}", folder.path().display());
    let progress = Arc::new(AtomicU64::new(0));
    let (_alive, watched) = mpsc::channel::<()>();
    let watch = Arc::clone(&progress);
    std::thread::spawn(move || {
        let mut last = u64::MAX;
        while watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let now = watch.load(Ordering::Relaxed);
            if now == last {
                let _ = writeln!(std::io::stderr(), "\nchaos hangs after task {now} (seed {seed})");
                std::process::abort();
            }
            last = now;
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut dice = Dice(seed);
        let (mut tally, mut kills) = (Tally::default(), 0);
        // Once, so that what a program has once is there, and counted before.
        life(&mut dice, (0, 200), &mut tally, &progress, folder.path()).await;
        nothing_left("children", children).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = (count("/proc/self/fd"), count("/proc/self/task"));
        let mut number = 1_000_000;
        let mut left = tasks;
        while left > 0 {
            let now = left.min(300 + dice.below(900));
            kills += life(&mut dice, (number, now), &mut tally, &progress, folder.path()).await;
            number += now;
            left -= now;
        }
        let _ = writeln!(std::io::stderr(), "chaos: {kills} kills, {tally:?}");
        nothing_left("children and zombies", children).await;
        nothing_left("programs of the workers", || sleepers(&mark)).await;
        nothing_left("descriptors", || count("/proc/self/fd").saturating_sub(before.0)).await;
        nothing_left("threads", || count("/proc/self/task").saturating_sub(before.1)).await;
        nothing_left("files", || count(folder.path().to_str().unwrap())).await;
        let shared = fs::read_dir("/dev/shm").map(|entries| entries.flatten().collect::<Vec<_>>());
        let named = shared
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.file_name().to_string_lossy().contains("polypool"));
        assert_eq!(named.count(), 0, "shared memory objects are left");
    });
}
