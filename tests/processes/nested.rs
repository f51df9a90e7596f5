//! Pools inside tasks that run in processes: their own, and those that they build.

use futures::future::join_all;
use polypool::{BuildError, Executor, Processes, TaskError, worker};

use crate::gate::Gate;
use crate::ground::{builder, pool, pool_of, run};
use crate::tasks::{double, pid};

fn own_pool() -> Executor {
    worker::executor().expect("inside a task")
}

#[test]
fn threads_inside_a_process() {
    run(async {
        let inner = |n: u64| {
            let pool = Executor::threads(2).unwrap();
            let tasks: Vec<_> = (0..n).map(|n| pool.submit(double, n)).collect();
            tasks.into_iter().map(|task| task.blocking_join().unwrap()).sum::<u64>()
        };
        assert_eq!(pool(1).submit(inner, 10).await.unwrap(), 90);
    });
}

#[test]
fn depth_is_counted_across_processes() {
    run(async {
        let inner = |()| {
            let pool = Executor::threads(1).unwrap();
            (worker::depth(), pool.submit(|()| worker::depth(), ()).blocking_join().unwrap())
        };
        assert_eq!(pool(1).submit(inner, ()).await.unwrap(), (1, 2));
    });
}

#[test]
fn processes_inside_a_process() {
    run(async {
        let inner = |()| {
            let pool = pool(2);
            let depth = pool.submit(|()| worker::depth(), ()).blocking_join().unwrap();
            (std::process::id(), pool.submit(pid, ()).blocking_join().unwrap(), depth)
        };
        let (outer, inner, depth) = pool(1).submit(inner, ()).await.unwrap();
        assert!(outer != inner && inner != std::process::id());
        assert_eq!(depth, 2);
    });
}

#[test]
fn processes_inside_a_process_that_is_stopped_are_gone() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let building = |gate: Gate| {
            let inner = crate::ground::pool(2);
            let pids = [inner.submit(crate::tasks::hold, gate), inner.submit(crate::tasks::hold, gate)];
            pids.map(|task| task.blocking_join().is_ok())
        };
        let task = pool.submit(building, gate);
        gate.wait_arrivals(2).await;
        assert_eq!(task.cancel().await, None);
        let all = gate.notes();
        crate::proc::soon_async("all are dead", || all.iter().all(|&pid| crate::proc::is_dead(pid as u32)))
            .await;
    });
}

/// Builds a pool inside a task of a pool inside a task, until it is refused; gives the depth there and the limit.
fn dig((): ()) -> (usize, usize) {
    match builder(Processes::new(), 1).build() {
        Ok(pool) => pool.submit(dig, ()).blocking_join().unwrap(),
        Err(BuildError::NestingTooDeep { depth, limit }) => {
            assert_eq!(depth, limit + 1);
            (worker::depth(), limit)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn as_deep_as_allowed() {
    run(async {
        assert_eq!(pool(1).submit(dig, ()).await.unwrap(), (10, 10));
        let pool = pool_of(Processes::new().env("POLYPOOL_MAX_DEPTH", "3"), 1);
        assert_eq!(pool.submit(dig, ()).await.unwrap(), (3, 3));
    });
}

#[test]
fn awaits_a_task_of_its_own_pool() {
    run(async {
        let pool = pool(1);
        let awaiting = async |n: u64| own_pool().submit(double, n).await.unwrap();
        assert_eq!(pool.submit_async(awaiting, 21).await.unwrap(), 42);
        let joining = |n: u64| own_pool().submit(double, n).blocking_join().unwrap();
        assert_eq!(pool.submit(joining, 21).await.unwrap(), 42);
    });
}

#[test]
fn all_workers_wait_for_their_own_pool_at_once() {
    run(async {
        for workers in [1, 2, 4] {
            let (pool, gate) = (pool(workers), Gate::new());
            let waiting = |(gate, workers): (Gate, usize)| {
                gate.meet_blocking(workers);
                own_pool().submit(double, 21).blocking_join().unwrap()
            };
            let tasks: Vec<_> = (0..workers).map(|_| pool.submit(waiting, (gate, workers))).collect();
            assert!(join_all(tasks).await.into_iter().all(|result| matches!(result, Ok(42))));
        }
    });
}

fn sum(n: u64) -> u64 {
    if n == 0 { 0 } else { n + own_pool().submit(sum, n - 1).blocking_join().unwrap() }
}

#[test]
fn ten_levels_on_one_worker() {
    run(async {
        let pool = pool(1);
        assert_eq!(pool.submit(sum, 10).await.unwrap(), 55);
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    });
}

#[test]
fn inner_task_that_is_lost() {
    run(async {
        let pool = pool(1);
        let inner = |()| own_pool().submit(crate::tasks::abort, ()).blocking_join();
        assert_is!(pool.submit(inner, ()).await, Ok(Err(TaskError::WorkerLost(_))));
    });
}

#[test]
fn outer_task_that_is_lost_while_it_waits() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let waiting = |gate: Gate| {
            gate.note(u64::from(std::process::id()));
            own_pool().submit(crate::tasks::hold, gate).blocking_join().unwrap()
        };
        let task = pool.submit(waiting, gate);
        gate.wait_notes(2).await;
        crate::proc::kill(gate.notes()[0] as u32, rustix::process::Signal::KILL);
        assert!(task.await.unwrap_err().is_worker_lost());
        gate.open();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    });
}

#[test]
fn task_resizes_the_pool_that_it_runs_in() {
    run(async {
        let pool = pool(1);
        let resizing = |n: usize| own_pool().resize(n).is_ok();
        assert!(pool.submit(resizing, 3).await.unwrap());
        assert_eq!(pool.max_workers(), 3);
        assert_eq!(pool.submit(|()| own_pool().max_workers(), ()).await.unwrap(), 3);
    });
}

#[test]
fn inner_tasks_of_many_workers_are_not_mixed_up() {
    run(async {
        let pool = pool(3);
        let adding = |n: u64| {
            let own = own_pool();
            let parts: Vec<_> = (0..5).map(|part| own.submit(double, 10 * n + part)).collect();
            parts.into_iter().map(|part| part.blocking_join().unwrap()).collect::<Vec<u64>>()
        };
        let tasks: Vec<_> = (0..60).map(|n| pool.submit(adding, n)).collect();
        for (n, result) in (0..).zip(join_all(tasks).await) {
            assert_eq!(result.unwrap(), (0..5).map(|part| 2 * (10 * n + part)).collect::<Vec<u64>>());
        }
    });
}

#[test]
fn outer_task_is_cancelled_while_it_waits() {
    run(async {
        let (pool, gate) = (pool(2), Gate::new());
        let waiting = |gate: Gate| own_pool().submit(crate::tasks::hold, gate).blocking_join().unwrap();
        let task = pool.submit(waiting, gate);
        gate.wait_arrivals(1).await;
        assert_eq!(task.cancel().await, None);
        gate.open();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    });
}
