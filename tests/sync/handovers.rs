//! A lock handed on from process to process, thousands of times, while processes are killed at random: none is lost, and each
//! holder learns of the one before who died. `POLYPOOL_HANDOVERS` sets how many.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, TryStreamExt};
use polypool::sync::Lock;
use polypool::{Executor, TaskError, TaskOptions};

use crate::common::{kill, play};

const AT_ONCE: usize = 4;
const PER_TASK: u64 = 20;

fn handovers() -> u64 {
    std::env::var("POLYPOOL_HANDOVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// The number in the file is what was done; the mark before it says that somebody is at it.
fn take_turns((lock, path, times): (Lock, String, u64)) -> u64 {
    let mut told = 0;
    for _ in 0..times {
        let guard = lock.blocking_lock();
        told += u64::from(guard.holder_died());
        let text = fs::read_to_string(&path).unwrap();
        if text.starts_with('!') {
            assert!(guard.holder_died(), "nobody else is at it, unless it died there");
        }
        let n: u64 = text.trim_start_matches('!').parse().unwrap();
        write(&path, &format!("!{n}"));
        write(&path, &(n + 1).to_string());
        drop(guard);
    }
    told
}

/// All at once, or not at all: whoever writes may be killed.
fn write(path: &str, text: &str) {
    let new = format!("{path}.{}", std::process::id());
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

#[test]
fn none_is_lost_while_processes_are_killed() {
    play("handovers", async {
        let total = handovers();
        let pool = Executor::builder().backend("processes").max_workers(AT_ONCE).build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("count").display().to_string();
        fs::write(&path, "0").unwrap();
        let lock = pool.context().lock();
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let killer = std::thread::spawn({
            let (pool, done) = (pool.clone(), std::sync::Arc::clone(&done));
            move || {
                let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
                let mut killed = 0_u64;
                while !done.load(Ordering::SeqCst) {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Some work is to be done in between; how much decides nothing.
                    std::thread::sleep(std::time::Duration::from_millis(5 + (seed >> 59)));
                    // Those that are at it: one that dies each time before it is ready is not replaced for ever.
                    let at_work = pool.workers().into_iter().filter(|worker| worker.task.is_some());
                    let pids: Vec<u32> = at_work.filter_map(|worker| worker.pid).collect();
                    if let Some(pid) = pids.get((seed >> 33) as usize % pids.len().max(1))
                        && kill(*pid, 9)
                    {
                        killed += 1;
                    }
                }
                killed
            }
        });
        let (mut completed, mut lost, mut told) = (0_u64, 0_u64, 0_u64);
        while completed * PER_TASK < total {
            let tasks = (0..AT_ONCE * 2).map(|_| {
                pool.submit_with(TaskOptions::new(), take_turns, (lock.clone(), path.clone(), PER_TASK))
            });
            let mut results = futures::stream::FuturesUnordered::from_iter(tasks);
            while let Some(result) = results.next().await {
                match result {
                    Ok(n) => {
                        completed += 1;
                        told += n;
                    }
                    Err(TaskError::WorkerLost(_)) => lost += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        done.store(true, Ordering::SeqCst);
        let killed = killer.join().unwrap();
        // Whoever is last finds the lock free, and the count is what the living and the dead have done.
        let guard = lock.lock().await;
        told += u64::from(guard.holder_died());
        let text = fs::read_to_string(&path).unwrap();
        let count: u64 = text.trim_start_matches('!').parse().unwrap();
        assert!(count >= completed * PER_TASK, "{count} of {}", completed * PER_TASK);
        assert!(count <= (completed + lost) * PER_TASK);
        println!("{count} hand-overs, {killed} killed, {lost} tasks lost, {told} told of a death");
        drop(guard);
        let rest = pool.map(take_turns, vec![(lock.clone(), path.clone(), 1); 3]);
        rest.try_collect::<Vec<u64>>().await.unwrap();
        assert!(lock.try_lock().is_some());
    });
}
