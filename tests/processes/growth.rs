//! Workers that come and go between tasks: idle ones, used ones, those that have grown, and the pool's own growing and shrinking.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use polypool::{EventKind, Executor, Processes};

use crate::gate::Gate;
use crate::ground::{SHORT, goes_on, pids, pool, pool_of, run};
use crate::proc::{is_dead, is_gone, soon_async};
use crate::tasks::{hold, mark, pid};

#[test]
fn idle_worker_goes_and_another_comes() {
    run(async {
        let pool = pool_of(Processes::new().idle_timeout(SHORT), 1);
        for _ in 0..3 {
            let before = pool.submit(pid, ()).await.unwrap();
            soon_async("the idle worker is gone", || is_gone(before)).await;
            soon_async("and is listed no more", || pool.workers().is_empty()).await;
            assert_ne!(pool.submit(pid, ()).await.unwrap(), before);
        }
        goes_on(&pool).await;
    });
}

#[test]
fn all_idle_workers_go() {
    run(async {
        let pool = pool_of(Processes::new().idle_timeout(SHORT), 3);
        let busy: BTreeSet<_> = pids(&pool).await.into_iter().collect();
        soon_async("all are gone", || busy.iter().all(|&pid| is_gone(pid))).await;
        goes_on(&pool).await;
    });
}

#[test]
fn busy_worker_is_not_idle() {
    run(async {
        let (pool, gate) = (pool_of(Processes::new().idle_timeout(SHORT), 2), Gate::new());
        let task = pool.submit(hold, gate);
        gate.wait_arrivals(1).await;
        let busy = gate.notes()[0] as u32;
        // Another one comes and goes meanwhile, twice.
        for _ in 0..2 {
            let idle = pool.submit(pid, ()).await.unwrap();
            soon_async("the idle worker is gone", || is_gone(idle)).await;
        }
        assert!(!is_dead(busy) && !task.is_finished());
        gate.open();
        assert_eq!(task.await.unwrap(), busy);
        soon_async("then it is", || is_gone(busy)).await;
    });
}

#[test]
fn idle_worker_is_told_by_the_events() {
    run(async {
        let pool = pool_of(Processes::new().idle_timeout(SHORT), 1);
        let mut events = pool.events();
        pool.submit(pid, ()).await.unwrap();
        loop {
            match events.next().await.unwrap().kind {
                EventKind::WorkerStopped { worker } => break assert_eq!(worker, 0),
                EventKind::WorkerLost(lost) => panic!("{lost}"),
                _ => {}
            }
        }
    });
}

/// Tasks that come just when the worker goes: none is lost.
#[test]
fn tasks_that_race_with_the_idle_timeout() {
    run(async {
        let limit = Duration::from_millis(3);
        let pool = pool_of(Processes::new().idle_timeout(limit), 2);
        let mut seen = BTreeSet::new();
        for n in 0..150_u64 {
            let report = pool.submit(pid, ()).report().await;
            assert_eq!(report.attempts, 1);
            seen.insert(report.result.unwrap());
            tokio::time::sleep(limit / 2 + Duration::from_micros(n * 25)).await;
        }
        assert!(seen.len() > 1, "no worker ever went");
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (150, 0, 0));
    });
}

#[test]
fn worker_is_replaced_after_so_many_tasks() {
    run(async {
        let pool = pool_of(Processes::new().max_tasks_per_worker(3), 1);
        let mut seen = Vec::new();
        for _ in 0..10 {
            let report = pool.submit(pid, ()).report().await;
            assert_eq!(report.attempts, 1);
            seen.push(report.result.unwrap());
        }
        let turns: Vec<&[u32]> = seen.chunk_by(|a, b| a == b).collect();
        assert!(turns.iter().map(|turn| turn.len()).eq([3, 3, 3, 1]), "{seen:?}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 4);
    });
}

#[test]
fn no_task_is_lost_when_workers_are_replaced() {
    run(async {
        for (limit, prefetch) in [(1, true), (7, true), (7, false)] {
            let backend = Processes::new().max_tasks_per_worker(limit).prefetch(prefetch);
            let (pool, journal) = (pool_of(backend, 3), Gate::new());
            let mut events = pool.events();
            let tasks: Vec<_> = (0..70).map(|n| pool.submit(own_pid_and_mark, (journal, n))).collect();
            let mut ran = BTreeMap::<u32, usize>::new();
            for (n, report) in (0..).zip(join_all(tasks.into_iter().map(|task| task.report())).await) {
                let (pid, value) = report.result.unwrap();
                assert_eq!((value, report.attempts), (n, 1));
                *ran.entry(pid).or_default() += 1;
            }
            assert!(ran.values().all(|&ran| ran <= limit), "{ran:?}");
            assert!(journal.sorted_notes().into_iter().eq(0..70));
            pool.shutdown(false).await;
            drop(pool);
            let mut recycled = 0;
            while let Some(event) = events.next().await {
                match event.kind {
                    EventKind::WorkerRecycled { .. } => recycled += 1,
                    EventKind::WorkerLost(lost) => panic!("{lost}"),
                    _ => {}
                }
            }
            assert!(recycled + 3 >= ran.len(), "{recycled} of {} told", ran.len());
        }
    });
}

fn own_pid_and_mark(call: crate::tasks::Call) -> (u32, u64) {
    (std::process::id(), mark(call))
}

#[test]
fn items_of_a_stream_count_each() {
    run(async {
        let pool = pool_of(Processes::new().max_tasks_per_worker(4), 1);
        let pids: Vec<u32> =
            pool.map(|_: u64| std::process::id(), 0..40).chunk_size(2).map(Result::unwrap).collect().await;
        let turns: Vec<&[u32]> = pids.chunk_by(|a, b| a == b).collect();
        assert!(turns.iter().all(|turn| turn.len() == 4), "{pids:?}");
    });
}

fn leak(bytes: usize) -> u32 {
    // Written to, so that it is resident.
    std::hint::black_box(Vec::leak(vec![1_u8; bytes]));
    std::process::id()
}

#[test]
fn worker_that_grows_is_replaced() {
    run(async {
        let pool = pool_of(Processes::new().max_memory_growth(20 << 20), 1);
        let mut ran = BTreeMap::<u32, usize>::new();
        for _ in 0..50 {
            let report = pool.submit(leak, 3 << 20).report().await;
            assert_eq!(report.attempts, 1);
            *ran.entry(report.result.unwrap()).or_default() += 1;
        }
        // Seven leaks after the first task are over the limit, give or take what else a process does with memory.
        assert!(ran.len() >= 4 && ran.values().all(|&ran| ran <= 12), "{ran:?}");
    });
}

#[test]
fn worker_that_grows_under_many_tasks_loses_none() {
    run(async {
        let pool = pool_of(Processes::new().max_memory_growth(20 << 20), 2);
        let tasks: Vec<_> = (0..80).map(|_| pool.submit(leak, 3 << 20)).collect();
        let pids: BTreeSet<u32> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert!(pids.len() >= 4, "{pids:?}");
        assert_eq!(pool.shutdown(false).await.completed, 80);
    });
}

#[test]
fn worker_that_gives_memory_back_stays() {
    run(async {
        let pool = pool_of(Processes::new().max_memory_growth(100 << 20), 1);
        let spend = |bytes: usize| (std::process::id(), std::hint::black_box(vec![1_u8; bytes]).len()).0;
        let before = pool.submit(pid, ()).await.unwrap();
        for _ in 0..50 {
            assert_eq!(pool.submit(spend, 10 << 20).await.unwrap(), before);
        }
    });
}

/// Runs `n` tasks at once and gives the pids of their workers.
async fn at_once(pool: &Executor, n: usize) -> BTreeSet<u32> {
    let gate = Gate::new();
    let tasks: Vec<_> = (0..n).map(|_| pool.submit(hold, gate)).collect();
    gate.wait_arrivals(n).await;
    gate.remove();
    let pids: BTreeSet<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(pids.len(), n);
    pids
}

#[test]
fn resizing_keeps_those_who_survive() {
    run(async {
        let pool = pool(4);
        let four = at_once(&pool, 4).await;
        pool.resize(2).unwrap();
        soon_async("two are gone", || four.iter().filter(|&&pid| is_gone(pid)).count() == 2).await;
        let two = at_once(&pool, 2).await;
        assert!(two.is_subset(&four), "{two:?} of {four:?}");
        pool.resize(3).unwrap();
        let three = at_once(&pool, 3).await;
        assert!(two.is_subset(&three) && three.intersection(&four).count() == 2);
        pool.resize(1).unwrap();
        soon_async("one is left", || three.iter().filter(|&&pid| is_gone(pid)).count() == 2).await;
        assert!(at_once(&pool, 1).await.is_subset(&three));
    });
}

#[test]
fn growing_does_not_wait_for_running_work() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let first = pool.submit(hold, gate);
        gate.wait_arrivals(1).await;
        let more = [pool.submit(hold, gate), pool.submit(hold, gate)];
        pool.resize(3).unwrap();
        gate.wait_arrivals(3).await;
        let pids: BTreeSet<u64> = gate.notes().into_iter().collect();
        assert_eq!(pids.len(), 3);
        gate.open();
        assert!(first.await.is_ok() && join_all(more).await.iter().all(Result::is_ok));
    });
}

#[test]
fn shrinking_stops_no_running_work() {
    run(async {
        let (pool, gate) = (pool(3), Gate::new());
        let tasks: Vec<_> = (0..3).map(|_| pool.submit(hold, gate)).collect();
        gate.wait_arrivals(3).await;
        let pids: Vec<u32> = gate.notes().into_iter().map(|pid| pid as u32).collect();
        let queued = pool.submit(pid, ());
        pool.resize(1).unwrap();
        assert_eq!(pool.max_workers(), 1);
        assert!(pids.iter().all(|&pid| !is_dead(pid)));
        gate.open();
        let mut ran: Vec<u32> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        ran.sort_unstable();
        let mut expected = pids.clone();
        expected.sort_unstable();
        assert_eq!(ran, expected);
        assert!(pids.contains(&queued.await.unwrap()));
        soon_async("one is left", || pids.iter().filter(|&&pid| is_gone(pid)).count() == 2).await;
    });
}

#[test]
fn resizing_again_and_again_under_load() {
    run(async {
        let (pool, journal) = (pool(2), Gate::new());
        let tasks: Vec<_> = (0..2_000).map(|n| pool.submit(mark, (journal, n))).collect();
        for n in [4, 1, 3, 1, 5, 2, 1, 4] {
            pool.resize(n).unwrap();
            pool.submit(pid, ()).await.unwrap();
        }
        for (n, report) in (0..).zip(join_all(tasks.into_iter().map(|task| task.report())).await) {
            assert_eq!((report.result.unwrap(), report.attempts), (n, 1));
        }
        assert!(journal.sorted_notes().into_iter().eq(0..2_000));
    });
}
