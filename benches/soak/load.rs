//! The load: pools that live as long as it, pools that come and go, and everything that may be done to them. Each round ends with
//! nothing under way, and every result is looked at.

use std::{fmt, thread::sleep, time::Duration};

use futures::{StreamExt, TryStreamExt};
use polypool::{
    CancellationPolicy, Executor, Processes, ReusableOptions, Scattered, SharedSlice, TaskError, TaskHandle,
    TaskOptions, Transport, reusable,
    sync::{Lock, Queue},
};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// Numbers that look random: an additive step and a hash (after Steele, Lea and Flood, 2014).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % n
    }
}

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    tasks: u64,
    cancelled: u64,
    killed: u64,
    pools: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, cancelled, killed, pools } = self;
        write!(f, "{tasks} tasks, {cancelled} cancelled, {killed} workers killed, {pools} more pools")
    }
}

fn square(n: u64) -> u64 {
    n * n
}

fn nap(millis: u64) -> u64 {
    sleep(Duration::from_millis(millis));
    millis
}

fn die(_: u64) {
    let _ = kill_process(getpid(), Signal::KILL);
}

/// The pools that live as long as the load.
pub struct Load {
    threads: Executor,
    tasks: Executor,
    rings: Executor,
    sockets: Executor,
}

impl Load {
    /// How many kinds of load there are.
    pub const KINDS: usize = 11;

    pub fn new() -> Self {
        let by = |transport| {
            let processes = Processes::new().transport(transport);
            Executor::builder().backend(processes).max_workers(2).build().unwrap()
        };
        Self {
            threads: Executor::threads(3).unwrap(),
            tasks: Executor::tasks(3).unwrap(),
            rings: by(Transport::SharedMemory),
            sockets: by(Transport::Socket),
        }
    }

    fn all(&self) -> [&Executor; 4] {
        [&self.threads, &self.tasks, &self.rings, &self.sockets]
    }

    fn processes(&self) -> [&Executor; 2] {
        [&self.rings, &self.sockets]
    }

    pub async fn round(&self, kind: usize, dice: &mut Dice, tally: &mut Tally) {
        match kind {
            0 => self.maps(dice, tally).await,
            1 => self.half_of_a_map(tally).await,
            2 => self.cancels(dice, tally).await,
            3 => self.deaths(dice, tally).await,
            4 => self.timeouts(tally).await,
            5 => self.scatter(dice, tally).await,
            6 => self.primitives(tally).await,
            7 => self.large(dice, tally).await,
            8 => self.resize(dice, tally).await,
            9 => self.reuse(dice, tally).await,
            _ => self.short_lives(dice, tally).await,
        }
    }

    async fn maps(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in self.all() {
            let n = 200 + dice.below(1_000);
            let squares: Vec<u64> = pool.map(square, 0..n).try_collect().await.unwrap();
            assert!(squares.into_iter().eq((0..n).map(square)));
            let futures = (0..50).map(|n| pool.submit_async(async |n: u64| n + 1, n));
            for (n, task) in futures.collect::<Vec<_>>().into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), n as u64 + 1);
            }
            tally.tasks += n + 50;
        }
    }

    async fn half_of_a_map(&self, tally: &mut Tally) {
        for pool in self.all() {
            let some: Vec<u64> = pool.map(square, 0..1_000_000).take(100).try_collect().await.unwrap();
            assert_eq!(some[99], 99 * 99);
            tally.tasks += 100;
        }
    }

    async fn cancels(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in self.all() {
            let tasks: Vec<TaskHandle<u64>> = (0..40).map(|_| pool.submit(nap, 1)).collect();
            for task in tasks.iter().filter(|_| dice.below(2) == 0) {
                task.abort();
            }
            for task in tasks {
                match task.await {
                    Ok(1) => tally.tasks += 1,
                    Err(TaskError::Cancelled) => tally.cancelled += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    async fn deaths(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in self.processes() {
            let deadly = pool.submit(die, 1);
            let others: Vec<_> = (0..20).map(|n| pool.submit(square, n)).collect();
            assert!(matches!(deadly.await, Err(TaskError::WorkerLost(_))));
            for (n, task) in others.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), square(n as u64), "the task of another");
            }
            // From outside, while it may be idle or at work.
            let busy: Vec<_> =
                (0..8).map(|_| pool.submit_with(TaskOptions::new().retries(20), nap, 2)).collect();
            let workers = pool.workers();
            let victim = workers.get(dice.below(workers.len().max(1) as u64) as usize);
            if let Some(pid) = victim.and_then(|worker| Pid::from_raw(worker.pid?.try_into().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
                tally.killed += 1;
            }
            for task in busy {
                assert_eq!(task.await.unwrap(), 2);
            }
            tally.tasks += 28;
            tally.killed += 1;
        }
    }

    async fn timeouts(&self, tally: &mut Tally) {
        for pool in self.processes() {
            let task = pool.submit_with(TaskOptions::new().timeout(Duration::from_millis(20)), nap, 60_000);
            assert!(matches!(task.await, Err(TaskError::TimedOut { .. })));
            tally.cancelled += 1;
        }
    }

    async fn scatter(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in self.all() {
            let n = 1_000 + dice.below(50_000);
            let table = pool.scatter((0..n).collect::<Vec<u64>>()).await.unwrap();
            let slice = pool.scatter_slice((0..n).collect::<Vec<u64>>()).await.unwrap();
            for at in 0..10 {
                let at = at * n / 10;
                let named = (table.clone(), slice.clone(), at as usize);
                let look = |(table, slice, at): (Scattered<Vec<u64>>, SharedSlice<u64>, usize)| {
                    (table[at], slice[at])
                };
                assert_eq!(pool.submit(look, named).await.unwrap(), (at, at));
            }
            tally.tasks += 10;
        }
    }

    async fn primitives(&self, tally: &mut Tally) {
        for pool in self.all() {
            let context = pool.context();
            let (lock, queue) = (context.lock(), context.queue::<u64>(0));
            let work = async |(lock, queue, n): (Lock, Queue<u64>, u64)| {
                let _guard = lock.lock().await;
                queue.put(n).await.unwrap();
            };
            let tasks: Vec<_> =
                (0..8).map(|n| pool.submit_async(work, (lock.clone(), queue.clone(), n))).collect();
            let mut sum = 0;
            for _ in 0..8 {
                sum += queue.get().await.unwrap();
            }
            assert_eq!(sum, 28);
            for task in tasks {
                task.await.unwrap();
            }
            tally.tasks += 8;
        }
    }

    async fn large(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in self.processes() {
            let bytes = vec![dice.below(256) as u8; 70_000 + dice.below(2_000_000) as usize];
            let back = pool.submit(|bytes: Vec<u8>| bytes, bytes.clone()).await.unwrap();
            assert!(back == bytes);
            tally.tasks += 1;
        }
    }

    async fn resize(&self, dice: &mut Dice, tally: &mut Tally) {
        for pool in [&self.threads, &self.rings, &self.sockets] {
            let tasks: Vec<_> = (0..20).map(|_| pool.submit(nap, 1)).collect();
            pool.resize(1 + dice.below(3) as usize).unwrap();
            for task in tasks {
                assert_eq!(task.await.unwrap(), 1);
            }
            pool.resize(2).unwrap();
            tally.tasks += 20;
        }
    }

    async fn reuse(&self, dice: &mut Dice, tally: &mut Tally) {
        let options = ReusableOptions::new().backend("processes").max_workers(1 + dice.below(2) as usize);
        let pool = reusable(options.kill_workers(dice.below(2) == 0)).unwrap();
        let all: Vec<u64> = pool.map(square, 0..100).try_collect().await.unwrap();
        assert_eq!(all[9], 81);
        tally.tasks += 100;
    }

    /// Pools that are shut down, with tasks in them or without, and pools that are dropped.
    async fn short_lives(&self, dice: &mut Dice, tally: &mut Tally) {
        for backend in ["threads", "tasks", "processes"] {
            let policy = if dice.below(2) == 0 { CancellationPolicy::ALL } else { CancellationPolicy::NONE };
            let pool = Executor::builder().backend(backend).max_workers(2).on_drop(policy).build().unwrap();
            let tasks: Vec<_> = (0..10).map(|_| pool.submit(nap, 1)).collect();
            match dice.below(3) {
                0 => drop(pool),
                1 => _ = pool.shutdown(false).await,
                _ => _ = pool.shutdown(policy).await,
            }
            for task in tasks {
                match task.await {
                    Ok(1) => tally.tasks += 1,
                    Err(TaskError::Cancelled | TaskError::Shutdown) => tally.cancelled += 1,
                    other => panic!("{other:?}"),
                }
            }
            tally.pools += 1;
        }
    }
}
