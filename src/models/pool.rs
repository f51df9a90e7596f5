//! A whole pool, with workers that are the model's threads: who is called, who sleeps, who is woken, and how all of it ends.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{block_on, cell::result, explore, thread};
use crate::{
    backend::{
        Arrival, Backend, Capabilities, Entry, PoolContext, Settings, Workers, anchor::Anchor, pool::Pool,
    },
    error::TaskError,
    policy::CancellationPolicy,
    runtime::{Port, Runtime},
    task::{Blocking, Owner, TaskCell},
};

#[derive(Debug)]
struct Threads;

struct Started {
    came: AtomicUsize,
    most: usize,
}

impl Backend for Threads {
    fn name(&self) -> &str {
        "model"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { in_process: true, futures: true, ..Capabilities::default() }
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Started { came: AtomicUsize::new(0), most: context.settings().max_workers }))
    }
}

impl Workers for Started {
    fn wanted(&self, arrival: Arrival) {
        assert!(self.came.fetch_add(1, Relaxed) < self.most, "a worker too many was called");
        thread::spawn(move || block_on(work(arrival)));
    }
}

async fn work(arrival: Arrival) {
    let Some(mut lane) = arrival.claim() else { return };
    while let Some(job) = lane.next_async().await {
        job.run();
    }
}

fn pool(max_workers: usize) -> Arc<Pool> {
    let settings = Settings {
        name: "model".to_owned(),
        max_workers,
        is_sized: true,
        on_drop: CancellationPolicy::NONE,
        max_pending: None,
        task_timeout: None,
        retries: 0,
        has_initializer: false,
        spin: false,
    };
    Pool::new(Arc::new(Threads), settings, None, Port::new(Runtime::standalone()), 1)
}

type Task = Arc<TaskCell<Blocking<Box<dyn FnOnce() -> u32 + Send>>>>;

fn task(n: u32) -> Task {
    Arc::new(TaskCell::new(Blocking(Box::new(move || n))))
}

fn submit(pool: &Arc<Pool>, n: u32) -> Task {
    let task = task(n);
    pool.admit().expect("open");
    pool.push(Arc::<_>::clone(&task) as Entry, 0).expect("open");
    task
}

/// Every worker goes, and who waits for that is told.
fn end(pool: &Arc<Pool>) {
    pool.shut_down(CancellationPolicy::NONE);
    block_on(poll_fn(|cx| pool.poll_gone(cx)));
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0), "{stats:?}");
}

/// *Nothing is stranded.* Two submit to one worker, which may be asleep, on its way, or about to fall asleep: both tasks are done.
#[cfg_attr(test, test)]
pub fn two_submitters_and_a_worker() {
    explore(2, || {
        let pool = pool(1);
        let other = thread::spawn({
            let pool = Arc::clone(&pool);
            move || submit(&pool, 1)
        });
        let mine = submit(&pool, 2);
        assert_eq!(result(&*mine).ok(), Some(2));
        assert_eq!(result(&*other.join().expect("a submitter")).ok(), Some(1));
        end(&pool);
    });
}

/// *A burst wakes as many as it needs.* A worker that sleeps and one that has not come yet get two tasks done, of which the first waits
/// for the second.
#[cfg_attr(test, test)]
pub fn who_is_woken_wakes_the_next() {
    explore(2, || {
        let pool = pool(2);
        let first = submit(&pool, 1);
        assert_eq!(result(&*first).ok(), Some(1));
        let (second, third) = (submit(&pool, 2), submit(&pool, 3));
        assert_eq!(result(&*third).ok(), Some(3));
        assert_eq!(result(&*second).ok(), Some(2));
        end(&pool);
    });
}

/// *Cancelled or done.* A task that is cancelled while a worker comes for it ends once, and the worker goes on to the next.
#[cfg_attr(test, test)]
pub fn a_task_is_cancelled_while_a_worker_comes() {
    explore(2, || {
        let pool = pool(1);
        let (cancelled, other) = (submit(&pool, 1), submit(&pool, 2));
        Anchor { pool: Arc::clone(&pool) }
            .cancel(&(Arc::<_>::clone(&cancelled) as Entry), CancellationPolicy::PENDING);
        assert!(matches!(result(&*cancelled), Ok(1) | Err(TaskError::Cancelled)));
        assert_eq!(result(&*other).ok(), Some(2));
        end(&pool);
        let stats = pool.stats();
        assert_eq!(stats.completed + stats.cancelled, 2, "{stats:?}");
    });
}

/// *The end is told.* A pool that is shut down while a task is submitted lets it in and does it, or refuses it; either way its
/// workers go.
#[cfg_attr(test, test)]
pub fn a_submit_meets_a_shutdown() {
    explore(2, || {
        let pool = pool(1);
        let submitter = thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                let task = task(7);
                let is_in = pool.push(Arc::<_>::clone(&task) as Entry, 0).is_ok();
                is_in.then(|| result(&*task))
            }
        });
        pool.shut_down(CancellationPolicy::NONE);
        block_on(poll_fn(|cx| pool.poll_gone(cx)));
        if let Some(result) = submitter.join().expect("a submitter") {
            assert_eq!(result.ok(), Some(7), "it was let in");
        }
    });
}

/// *Nothing runs after the end.* A policy that cancels what waits meets a worker that is about to begin it.
#[cfg_attr(test, test)]
pub fn a_policy_meets_a_beginning() {
    explore(2, || {
        let pool = pool(1);
        let task = submit(&pool, 7);
        pool.shut_down(CancellationPolicy::PENDING);
        assert!(matches!(result(&*task), Ok(7) | Err(TaskError::Cancelled)));
        block_on(poll_fn(|cx| pool.poll_gone(cx)));
        let stats = pool.stats();
        assert_eq!(stats.completed + stats.cancelled, 1, "{stats:?}");
    });
}
