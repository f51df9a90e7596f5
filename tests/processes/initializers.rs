//! What runs first in every worker, and what becomes of the pool when that goes wrong.

use std::sync::OnceLock;

use futures::future::join_all;
use polypool::{Executor, Processes, TaskError};

use crate::gate::Gate;
use crate::ground::{builder, pids, run};
use crate::tasks::{abort, double, pid};

fn note_pid(journal: Gate) {
    journal.note(u64::from(std::process::id()));
}

fn sorted(pids: Vec<u32>) -> Vec<u64> {
    let mut pids: Vec<_> = pids.into_iter().map(u64::from).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn once_in_each_worker_before_its_first_task() {
    run(async {
        let journal = Gate::new();
        let pool = builder(Processes::new(), 3).initializer(note_pid, journal).build().unwrap();
        let seen = |journal: Gate| (u64::from(std::process::id()), journal.notes());
        for result in join_all((0..30).map(|_| pool.submit(seen, journal))).await {
            let (pid, notes) = result.unwrap();
            assert_eq!(notes.iter().filter(|&&note| note == pid).count(), 1);
        }
        let all = sorted(pids(&pool).await);
        assert_eq!(journal.sorted_notes(), all);
    });
}

#[test]
fn leaves_what_it_made_to_the_tasks() {
    static TABLE: OnceLock<Vec<u64>> = OnceLock::new();

    run(async {
        let fill = |n: u64| TABLE.set((0..n).map(|n| n * n).collect()).map_err(|_| "twice");
        let pool = builder(Processes::new(), 2).initializer(fill, 100).build().unwrap();
        let look_up = |n: usize| TABLE.get().expect("it was filled")[n];
        assert_eq!(pool.submit(look_up, 12).await.unwrap(), 144);
        assert!(TABLE.get().is_none(), "not here");
    });
}

#[test]
fn in_the_workers_that_replace_others() {
    run(async {
        let journal = Gate::new();
        let pool = builder(Processes::new(), 1).initializer(note_pid, journal).build().unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(pool.submit(pid, ()).await.unwrap());
            assert!(pool.submit(abort, ()).await.unwrap_err().is_worker_lost());
        }
        seen.push(pool.submit(pid, ()).await.unwrap());
        assert_eq!(journal.notes(), seen.into_iter().map(u64::from).collect::<Vec<_>>());
    });
}

#[test]
fn in_the_workers_that_come_after_recycling() {
    run(async {
        let journal = Gate::new();
        let backend = Processes::new().max_tasks_per_worker(2);
        let pool = builder(backend, 1).initializer(note_pid, journal).build().unwrap();
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(u64::from(pool.submit(pid, ()).await.unwrap()));
        }
        seen.dedup();
        assert_eq!(journal.notes()[..seen.len()], seen);
        assert!(journal.notes().len() <= seen.len() + 1, "at most one more is on its way");
    });
}

/// Checks that whatever is asked of the pool resolves, and as what.
async fn all_fail(pool: Executor, told: impl Fn(TaskError)) {
    let pending: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
    for result in join_all(pending).await {
        told(result.unwrap_err());
    }
    told(pool.submit(double, 1).await.unwrap_err());
    told(pool.warm_up().await.unwrap_err());
    for result in pool.run_on_all(double, 1).await {
        told(result.unwrap_err());
    }
    let report = pool.shutdown(false).await;
    assert_eq!(report.completed, 0);
}

fn told_as_failed(reason: &'static str) -> impl Fn(TaskError) {
    move |error| match error {
        TaskError::InitializerFailed(text) => assert!(text.contains(reason), "{text}"),
        other => panic!("{other:?}"),
    }
}

fn told_as_broken(error: TaskError) {
    assert_is!(error, TaskError::Broken(_));
}

#[test]
fn one_that_fails() {
    run(async {
        let failing = |()| Err::<(), _>("no licence for this");
        let pool = builder(Processes::new(), 2).initializer(failing, ()).build().unwrap();
        all_fail(pool, told_as_failed("no licence for this")).await;
    });
}

#[test]
fn one_that_panics() {
    run(async {
        let panicking = |n: u64| assert!(n < 3, "no table of {n}");
        let pool = builder(Processes::new(), 2).initializer(panicking, 7).build().unwrap();
        all_fail(pool, told_as_failed("no table of 7")).await;
    });
}

#[test]
fn one_that_fails_in_one_worker_only() {
    run(async {
        let gate = Gate::new();
        let failing = |gate: Gate| if gate.arrive() == 1 { Err("one is enough") } else { Ok(()) };
        let pool = builder(Processes::new(), 2).initializer(failing, gate).build().unwrap();
        let results = pool.run_on_all(double, 1).await;
        assert!(results.iter().any(Result::is_err));
        assert_is!(pool.submit(double, 1).await, Err(TaskError::InitializerFailed(text)) if text.contains("one is enough"));
    });
}

#[test]
fn one_that_aborts_its_process() {
    run(async {
        let aborting = |()| -> () { std::process::abort() };
        let pool = builder(Processes::new(), 2).initializer(aborting, ()).build().unwrap();
        all_fail(pool, told_as_broken).await;
    });
}

#[test]
fn one_that_exits_its_process() {
    run(async {
        let exiting = |()| -> () { std::process::exit(0) };
        let pool = builder(Processes::new(), 2).initializer(exiting, ()).build().unwrap();
        all_fail(pool, told_as_broken).await;
    });
}

#[test]
fn one_that_dies_now_and_then_is_tried_again() {
    run(async {
        let gate = Gate::new();
        let unlucky = |gate: Gate| {
            if gate.arrive() == 0 {
                std::process::abort()
            }
        };
        let pool = builder(Processes::new(), 1).initializer(unlucky, gate).build().unwrap();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
        assert_eq!(gate.arrived(), 2);
    });
}

#[test]
fn one_that_waits_is_stopped_with_its_pool() {
    run(async {
        let gate = Gate::new();
        let waiting = |gate: Gate| {
            note_pid(gate);
            gate.pass_blocking();
        };
        let pool = builder(Processes::new(), 1).initializer(waiting, gate).build().unwrap();
        let task = pool.submit(double, 21);
        gate.wait_arrivals(1).await;
        let pid = gate.notes()[0] as u32;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        pool.shutdown(polypool::CancellationPolicy::ALL).await;
        assert!(crate::proc::is_gone(pid));
    });
}
