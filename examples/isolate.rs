//! Code in C that crashes, leaks and hangs, kept in check by worker processes: each accident costs one task, and the rest goes on.
//! Needs Linux.
//!
//! `cargo run --example isolate`

#![allow(unsafe_code, reason = "it is about code that is not safe")]

use std::{
    collections::BTreeSet,
    error::Error,
    ffi::{CString, c_char, c_int, c_uint, c_void},
    hint::black_box,
    process::ExitCode,
    ptr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, executor::block_on};
use polypool::{Executor, Exit, Processes, TaskError, TaskOptions};

/// Lets functions in C crash, leak and hang in worker processes, and says what became of each task.
#[derive(Parser)]
struct Args {
    /// How many worker processes there are
    #[arg(short, long, value_name = "N", default_value_t = 2)]
    n_workers: usize,
}

fn main() -> ExitCode {
    polypool::init();
    match block_on(accidents(Args::parse().n_workers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("isolate: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn accidents(workers: usize) -> Result<(), Box<dyn Error>> {
    crash(workers).await?;
    crash_and_try_again(workers).await?;
    leak(workers).await?;
    devour(workers).await?;
    hang(workers).await
}

// The library, which is not ours. Three functions of C's own stand for it.
unsafe extern "C" {
    fn strlen(text: *const c_char) -> usize;
    fn malloc(size: usize) -> *mut c_void;
    fn memset(memory: *mut c_void, byte: c_int, size: usize) -> *mut c_void;
    safe fn sleep(seconds: c_uint) -> c_uint;
}

/// Measures a text that nobody has looked for.
fn c_measure(text: *const c_char) -> usize {
    // SAFETY: there is none, and that is the point: where the pointer is null, there is no text. The process ends by SIGSEGV then, as
    // it would in any language; but it is a process of its own. `black_box` keeps the compiler from drawing conclusions.
    unsafe { strlen(black_box(text)) }
}

/// Fills so many MiB of memory and forgets them; like many a library, it takes for granted that it is given memory.
fn c_forget(mib: usize) {
    // SAFETY: `malloc` may give a null pointer, to which `memset` must not write. If it does, the process ends by SIGSEGV.
    unsafe { memset(black_box(malloc(mib << 20)), 1, mib << 20) };
}

// The tasks.

/// Measures a text of so many bytes. There is none of 0 bytes.
fn measure(length: usize) -> usize {
    let text = CString::new(vec![b'x'; length]).unwrap_or_default();
    c_measure(if length == 0 { ptr::null() } else { text.as_ptr() })
}

/// Crashes at its third call in a process, as does code that spoils its own memory.
fn measure_until_spoilt(length: usize) -> usize {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    if CALLS.fetch_add(1, Relaxed) < 2 { measure(length) } else { c_measure(ptr::null()) }
}

fn forget(mib: usize) -> u32 {
    c_forget(mib);
    std::process::id()
}

// What is done about them.

/// A crash costs the task that crashed, and says so.
async fn crash(workers: usize) -> Result<(), Box<dyn Error>> {
    let pool = Executor::processes(workers)?;
    let mut lengths = pool.map(measure, [3, 0, 5, 0, 7]);
    let (mut measured, mut lost) = (Vec::new(), Vec::new());
    while let Some(length) = lengths.next().await {
        match length {
            Ok(length) => measured.push(length),
            Err(TaskError::WorkerLost(worker)) => lost.push(worker),
            Err(other) => return Err(other.into()),
        }
    }
    println!("crash: measured {measured:?}, lost {} with their workers", lost.len());
    for worker in lost {
        let report = worker.report.as_deref().unwrap_or("nothing");
        let Exit::Signal(signal) = worker.exit else { continue };
        println!("  signal {signal}; its last words: {}", report.lines().next().unwrap_or(report));
    }
    Ok(())
}

/// Where a crash is bad luck and not the input's doing, the task has another chance. (With one worker, in a fresh process; with more,
/// in whichever is free, which may be spoilt as well.)
async fn crash_and_try_again(workers: usize) -> Result<(), Box<dyn Error>> {
    let pool = Executor::builder().backend("processes").max_workers(1).retries(1).build()?;
    let measured: Vec<usize> = pool.map(measure_until_spoilt, 1..=9).try_collect().await?;
    println!("retries: measured {measured:?}");
    // Or do not let it come to that: a process is replaced before its third task.
    let fresh = Processes::new().max_tasks_per_worker(2);
    let pool = Executor::builder().backend(fresh).max_workers(workers).build()?;
    let measured: Vec<usize> = pool.map(measure_until_spoilt, 1..=9).chunk_size(1).try_collect().await?;
    println!("max_tasks_per_worker: measured {measured:?}");
    Ok(())
}

/// A leak ends with its process, which is replaced, between two tasks, when it has grown by too much.
async fn leak(workers: usize) -> Result<(), Box<dyn Error>> {
    let small = Processes::new().max_memory_growth(32 << 20);
    let pool = Executor::builder().backend(small).max_workers(workers).build()?;
    let pids: Vec<u32> = pool.map(forget, vec![10; 20]).chunk_size(1).try_collect().await?;
    let processes: BTreeSet<_> = pids.iter().collect();
    println!("max_memory_growth: forgot 10 MiB {} times, in {} processes", pids.len(), processes.len());
    Ok(())
}

/// Who wants more memory than there is for it gets none, before the machine has none left for others.
async fn devour(workers: usize) -> Result<(), Box<dyn Error>> {
    let bounded = Processes::new().memory_limit(256 << 20);
    let pool = Executor::builder().backend(bounded).max_workers(workers).build()?;
    for mib in [16, 4096] {
        match pool.submit(forget, mib).await {
            Ok(_) => println!("memory_limit: {mib} MiB are fine"),
            Err(TaskError::WorkerLost(worker)) => {
                println!("memory_limit: {mib} MiB are not: {:?}", worker.exit)
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// What waits for ever in C hears nobody. Its process is stopped, and replaced.
async fn hang(workers: usize) -> Result<(), Box<dyn Error>> {
    let pool = Executor::processes(workers)?;
    let options = TaskOptions::new().timeout(Duration::from_millis(200));
    match pool.submit_with(options, sleep_for_ever, ()).await {
        Err(error) if error.is_timed_out() => println!("timeout: {error}"),
        other => println!("timeout: {other:?}"),
    }
    println!("and the pool goes on: {}", pool.submit(measure, 42).await?);
    Ok(())
}

fn sleep_for_ever(_: ()) {
    loop {
        sleep(c_uint::MAX);
    }
}
