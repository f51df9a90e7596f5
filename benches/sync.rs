//! What a primitive costs: an uncontended lock from a worker process, next to a task's way there and back, and one in this
//! process. Rounds alternate, so that what else the machine does hits all alike; the median of the rounds is shown.
//!
//! `cargo bench --bench sync`; under `taskset -c 0` for one CPU.

#![allow(clippy::unwrap_used, reason = "a bench may fail")]

use std::time::{Duration, Instant};

use polypool::Executor;
use polypool::sync::{Event, Lock, Queue};

const ROUNDS: usize = 31;
const TIMES: u32 = 500;

fn main() {
    polypool::init();
    let pool = Executor::processes(1).unwrap();
    let context = pool.context();
    let (lock, event, queue) = (context.lock(), context.event(), context.queue::<u64>(0));
    for _ in 0..1_000 {
        pool.submit(|n: u64| n, 1).blocking_join().unwrap();
    }
    let mut rows = vec![
        row("a task there and back", {
            let pool = pool.clone();
            move || per(TIMES, || assert_eq!(pool.submit(|n: u64| n, 1).blocking_join().unwrap(), 1))
        }),
        row("a task that names a lock", {
            let (pool, lock) = (pool.clone(), lock.clone());
            move || per(TIMES, || pool.submit(|lock: Lock| drop(lock), lock.clone()).blocking_join().unwrap())
        }),
        row("a lock and its release, from a worker", {
            let (pool, lock) = (pool.clone(), lock.clone());
            let work = |lock: Lock| per(TIMES, || drop(lock.blocking_lock()));
            move || pool.submit(work, lock.clone()).blocking_join().unwrap()
        }),
        row("the same, awaited", {
            let (pool, lock) = (pool.clone(), lock.clone());
            let work = async |lock: Lock| {
                let start = Instant::now();
                for _ in 0..TIMES {
                    drop(lock.lock().await);
                }
                start.elapsed() / TIMES
            };
            move || pool.submit_async(work, lock.clone()).blocking_join().unwrap()
        }),
        row("is an event set, from a worker", {
            let (pool, event) = (pool.clone(), event.clone());
            let work = |event: Event| per(TIMES, || assert!(!event.blocking_is_set()));
            move || pool.submit(work, event.clone()).blocking_join().unwrap()
        }),
        row("put and get, from a worker", {
            let (pool, queue) = (pool.clone(), queue.clone());
            let work = |queue: Queue<u64>| {
                per(TIMES, || {
                    queue.blocking_put(7).unwrap();
                    queue.blocking_get().unwrap();
                })
            };
            move || pool.submit(work, queue.clone()).blocking_join().unwrap()
        }),
        row("a lock and its release, in this process", {
            let lock = lock.clone();
            move || per(TIMES * 20, || drop(lock.blocking_lock()))
        }),
        row("the same, tried", {
            let lock = lock.clone();
            move || per(TIMES * 20, || drop(lock.try_lock().unwrap()))
        }),
        row("put and get, in this process", {
            move || {
                per(TIMES * 20, || {
                    queue.blocking_put(7).unwrap();
                    queue.blocking_get().unwrap();
                })
            }
        }),
    ];
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let took = (row.run)();
            row.took.push(took);
        }
    }
    let medians: Vec<f64> = rows.iter_mut().map(Row::median).collect();
    for (row, median) in rows.iter().zip(&medians) {
        println!("{:42} {:>10.2} µs  {:>7.3} of a task", row.name, median * 1e6, median / medians[0]);
    }
}

struct Row {
    name: &'static str,
    run: Box<dyn FnMut() -> Duration>,
    took: Vec<Duration>,
}

fn row(name: &'static str, run: impl FnMut() -> Duration + 'static) -> Row {
    Row { name, run: Box::new(run), took: Vec::new() }
}

impl Row {
    fn median(&mut self) -> f64 {
        self.took.sort();
        self.took[self.took.len() / 2].as_secs_f64()
    }
}

fn per(times: u32, mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        f();
    }
    start.elapsed() / times
}
