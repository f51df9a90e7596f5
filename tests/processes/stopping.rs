//! Cancelling and time limits: exactly that task is stopped, with all that it has started, and what waits behind it runs.

use futures::future::join_all;
use polypool::{CancellationPolicy, Processes, TaskError, TaskOptions, worker};

use crate::gate::Gate;
use crate::ground::{SHORT, builder, goes_on, pids, pool, pool_of, run};
use crate::proc::{is_dead, is_gone, soon_async};
use crate::tasks::{double, hold, hold_async, hold_with_a_child, listen, mark, pid, spin_for_ever};

/// The first pids that tasks said they have.
async fn said(gate: Gate, n: usize) -> Vec<u32> {
    gate.wait_notes(n).await;
    gate.notes().into_iter().map(|pid| pid as u32).collect()
}

#[test]
fn process_is_gone_when_the_handle_resolves() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let task = pool.submit(hold, gate);
        let pid = said(gate, 1).await[0];
        assert!(!is_dead(pid));
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(is_gone(pid), "{:?}", crate::proc::look(pid));
        goes_on(&pool).await;
    });
}

#[test]
fn process_is_gone_when_the_time_is_up() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let task = pool.submit_with(TaskOptions::new().timeout(SHORT), hold, gate);
        assert_is!(task.await, Err(TaskError::TimedOut { after: SHORT }));
        // Its time may have been up before it could say who it is.
        assert!(gate.notes().into_iter().all(|pid| is_gone(pid as u32)));
        goes_on(&pool).await;
    });
}

#[test]
fn code_that_never_waits() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let task = pool.submit(spin_for_ever, gate);
        let pid = said(gate, 1).await[0];
        assert_eq!(task.cancel().await, None);
        assert!(is_gone(pid));
        let task = pool.submit_with(TaskOptions::new().timeout(SHORT), spin_for_ever, gate);
        assert_is!(task.await, Err(TaskError::TimedOut { .. }));
        goes_on(&pool).await;
    });
}

#[test]
fn future_that_never_waits() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let task = pool.submit_async(async |gate: Gate| spin_for_ever(gate), gate);
        let pid = said(gate, 1).await[0];
        assert_eq!(task.cancel().await, None);
        assert!(is_gone(pid));
        goes_on(&pool).await;
    });
}

#[test]
fn future_at_its_await_costs_no_process() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let before = pids(&pool).await;
        for n in 1..=5 {
            let task = pool.submit_async(hold_async, gate);
            gate.wait_arrivals(n).await;
            task.abort();
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
        let task = pool.submit_async_with(TaskOptions::new().timeout(SHORT), hold_async, gate);
        assert_is!(task.await, Err(TaskError::TimedOut { .. }));
        assert_eq!(pids(&pool).await, before);
    });
}

#[test]
fn children_of_the_task_are_gone_as_well() {
    run(async {
        let (pool, gate) = (pool(2), Gate::new());
        let task = pool.submit(hold_with_a_child, gate);
        let said = said(gate, 2).await;
        assert!(said.iter().all(|&pid| !is_dead(pid)));
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(is_gone(said[1]));
        soon_async("the child is dead", || is_dead(said[0])).await;
        goes_on(&pool).await;
    });
}

#[test]
fn children_of_a_task_that_ran_out_of_time_are_gone_as_well() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        // Started before the limit begins: the time it takes to start a program is nobody's affair here.
        let limit = std::time::Duration::from_secs(1);
        let task = pool.submit_with(TaskOptions::new().timeout(limit), hold_with_a_child, gate);
        let said = said(gate, 2).await;
        assert_is!(task.await, Err(TaskError::TimedOut { .. }));
        assert!(is_gone(said[1]));
        soon_async("the child is dead", || is_dead(said[0])).await;
    });
}

#[test]
fn those_behind_it_run() {
    run(async {
        for prefetch in [true, false] {
            let (pool, gate, journal) =
                (pool_of(Processes::new().prefetch(prefetch), 1), Gate::new(), Gate::new());
            let task = pool.submit(hold, gate);
            gate.wait_arrivals(1).await;
            let behind: Vec<_> = (0..50).map(|n| pool.submit(mark, (journal, n))).collect();
            task.abort();
            assert_is!(task.await, Err(TaskError::Cancelled));
            assert!(join_all(behind).await.into_iter().map(Result::unwrap).eq(0..50));
            assert!(journal.notes().into_iter().eq(0..50), "once each, in order");
        }
    });
}

/// Tasks so short that they are sent ahead, and one among them that is not: stopping it must not take those along.
#[test]
fn those_sent_ahead_run() {
    run(async {
        let (pool, gate, journal) = (pool(1), Gate::new(), Gate::new());
        let warm: Vec<_> = (0..2_000).map(|n| pool.submit(double, n)).collect();
        let task = pool.submit(hold, gate);
        let behind: Vec<_> = (0..200).map(|n| pool.submit(mark, (journal, n))).collect();
        gate.wait_arrivals(1).await;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(join_all(warm).await.into_iter().map(Result::unwrap).eq((0..2_000).map(|n| 2 * n)));
        for (n, report) in (0..).zip(join_all(behind.into_iter().map(|task| task.report())).await) {
            assert_eq!((report.result.unwrap(), report.attempts), (n, 1));
        }
        assert!(journal.notes().into_iter().eq(0..200), "once each, in order");
    });
}

#[test]
fn those_on_other_workers_run_on() {
    run(async {
        let (pool, gate, other) = (pool(2), Gate::new(), Gate::new());
        let kept = pool.submit(hold, other);
        let pid = said(other, 1).await[0];
        for n in 1..=5 {
            let task = pool.submit(hold, gate);
            gate.wait_arrivals(n).await;
            task.abort();
            assert_is!(task.await, Err(TaskError::Cancelled));
            assert!(!is_dead(pid) && !kept.is_finished());
        }
        other.open();
        assert_eq!(kept.await.unwrap(), pid);
    });
}

#[test]
fn one_that_waits_costs_no_process() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let before = pids(&pool).await;
        let running = pool.submit(hold, gate);
        gate.wait_arrivals(1).await;
        let waiting: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
        waiting.iter().for_each(|task| task.abort());
        gate.open();
        assert_eq!(vec![running.await.unwrap()], before);
        for task in waiting {
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
        assert_eq!(pids(&pool).await, before);
    });
}

#[test]
fn aborted_while_its_worker_starts() {
    run(async {
        for _ in 0..10 {
            let (pool, gate) = (pool(1), Gate::new());
            let task = pool.submit(hold, gate);
            task.abort();
            assert_is!(task.await, Err(TaskError::Cancelled));
            goes_on(&pool).await;
        }
    });
}

#[test]
fn one_that_listens_in_time_keeps_its_process() {
    run(async {
        let grace = std::time::Duration::from_secs(30);
        let (pool, gate) = (pool_of(Processes::new().grace_period(grace), 1), Gate::new());
        let before = pids(&pool).await;
        let task = pool.submit(listen, (gate, 7));
        gate.wait_arrivals(1).await;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert_eq!(gate.notes(), [7], "its code has ended when the handle resolves");
        assert_eq!(pids(&pool).await, before);
    });
}

#[test]
fn one_that_runs_out_of_time_and_listens_keeps_its_process() {
    run(async {
        let grace = std::time::Duration::from_secs(30);
        let (pool, gate) = (pool_of(Processes::new().grace_period(grace), 1), Gate::new());
        let before = pids(&pool).await;
        let task = pool.submit_with(TaskOptions::new().timeout(SHORT), listen, (gate, 7));
        assert_is!(task.await, Err(TaskError::TimedOut { after: SHORT }));
        assert_eq!(gate.notes(), [7]);
        assert_eq!(pids(&pool).await, before);
    });
}

#[test]
fn one_that_waits_for_its_token() {
    run(async {
        let grace = std::time::Duration::from_secs(30);
        let (pool, gate) = (pool_of(Processes::new().grace_period(grace), 1), Gate::new());
        let waiting = |gate: Gate| {
            gate.arrive();
            futures::executor::block_on(worker::cancelled());
            gate.note(1);
        };
        let before = pids(&pool).await;
        let task = pool.submit(waiting, gate);
        gate.wait_arrivals(1).await;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert_eq!(gate.notes(), [1]);
        assert_eq!(pids(&pool).await, before);
    });
}

#[test]
fn grace_of_nothing() {
    run(async {
        let (pool, gate) =
            (pool_of(Processes::new().grace_period(std::time::Duration::ZERO), 1), Gate::new());
        let task = pool.submit(hold, gate);
        let pid = said(gate, 1).await[0];
        assert_eq!(task.cancel().await, None);
        assert!(is_gone(pid));
        goes_on(&pool).await;
    });
}

/// Ends its process in its own way when it is sent SIGTERM: so that signal comes first.
fn hold_with_a_last_will(gate: Gate) {
    extern "C" fn last_will(_: libc::c_int) {
        // SAFETY: `_exit` may be called in a signal handler.
        unsafe { libc::_exit(42) }
    }
    // SAFETY: the handler does nothing but end the process.
    unsafe { libc::signal(libc::SIGTERM, last_will as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    hold(gate);
}

#[test]
fn asked_by_signal_before_it_is_killed() {
    run(async {
        // With so long a grace, only SIGTERM can be what ends it in time: SIGKILL would come after twice as long.
        let grace = std::time::Duration::from_secs(2);
        let (pool, gate) = (pool_of(Processes::new().grace_period(grace), 1), Gate::new());
        let started = std::time::Instant::now();
        let task = pool.submit(hold_with_a_last_will, gate);
        let pid = said(gate, 1).await[0];
        gate.wait_arrivals(1).await;
        assert_eq!(task.cancel().await, None);
        assert!(is_gone(pid));
        assert!(started.elapsed() >= grace, "the token comes first");
        goes_on(&pool).await;
    });
}

#[test]
fn drop_of_the_pool_stops_what_runs() {
    run(async {
        let pool = builder(Processes::new(), 2).on_drop(CancellationPolicy::ALL).build().unwrap();
        let gate = Gate::new();
        let tasks = [pool.submit(hold_with_a_child, gate), pool.submit(hold_with_a_child, gate)];
        let said = said(gate, 4).await;
        drop(pool);
        for task in tasks {
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
        soon_async("all are dead", || said.iter().all(|&pid| is_dead(pid))).await;
    });
}

#[test]
fn shutdown_stops_what_runs_and_waits_for_it() {
    run(async {
        let (pool, gate) = (pool(2), Gate::new());
        let tasks = [pool.submit(spin_for_ever, gate), pool.submit(spin_for_ever, gate)];
        let said = said(gate, 2).await;
        let report = pool.shutdown(CancellationPolicy::ALL).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (0, 0, 2));
        assert!(said.iter().all(|&pid| is_gone(pid)));
        for task in tasks {
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
    });
}

#[test]
fn shutdown_leaves_no_process() {
    run(async {
        let pool = pool(3);
        let pids = pids(&pool).await;
        pool.shutdown(false).await;
        for pid in pids {
            assert!(is_gone(pid), "{:?}", crate::proc::look(pid));
        }
        assert!(pool.workers().is_empty());
    });
}

#[test]
fn stream_that_is_dropped_stops_its_own() {
    run(async {
        use futures::StreamExt as _;

        let (pool, gate, other) = (pool(2), Gate::new(), Gate::new());
        let kept = pool.submit(hold, other);
        gate.note(0);
        let mut results = pool.map(hold, [gate, gate]).chunk_size(1).cancel_on_drop(CancellationPolicy::ALL);
        assert!(futures::poll!(results.next()).is_pending());
        let stopped = said(gate, 2).await[1];
        drop(results);
        soon_async("it is gone", || is_gone(stopped)).await;
        other.open();
        assert!(kept.await.is_ok());
        assert_eq!(gate.notes().len(), 2, "the second input never started");
        goes_on(&pool).await;
    });
}

#[test]
fn a_hundred_at_once() {
    run(async {
        let (pool, gate) = (pool(4), Gate::new());
        let tasks: Vec<_> = (0..100).map(|_| pool.submit(hold, gate)).collect();
        gate.wait_arrivals(4).await;
        tasks.iter().for_each(|task| task.abort());
        for task in tasks {
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
        assert!(gate.notes().iter().all(|&pid| is_gone(pid as u32)));
        assert!(pool.submit(pid, ()).await.is_ok());
    });
}

#[test]
fn by_turns_with_those_that_end() {
    run(async {
        let (pool, gate) = (pool(2), Gate::new());
        for n in 1..=30 {
            let task = pool.submit(hold, gate);
            let fine = pool.submit(double, n);
            gate.wait_arrivals(n as usize).await;
            task.abort();
            assert_eq!(fine.await.unwrap(), 2 * n);
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (30, 0, 30));
    });
}
