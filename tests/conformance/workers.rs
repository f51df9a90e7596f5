//! Workers: what a task knows of its own, reaching all of them, initializers, resizing, figures.

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use futures::{StreamExt as _, poll};
use polypool::{BuildError, Capabilities, Executor, Parallel, TaskError, worker};

use crate::gate::Gate;
use crate::rig::{Class, Rig};
use crate::work::{double, dwell, dwell_async, fail, hold, hold_async};

topic! { workers:
    Every [
        outside_a_task,
        inside_a_task,
        inside_an_async_task,
        ranks_and_size_of_those_who_work_together,
        auto_is_serial_inside_a_task,
        executor_of_a_task_is_its_pool,
        names_of_the_backend,
        run_on_all_reaches_each_once,
        run_on_all_of_what_panics,
        initializer_runs_in_each_worker,
        initializer_runs_before_the_first_task,
        initializer_with_an_argument_and_an_outcome,
        initializer_of_a_pool_that_is_not_used,
        initializer_that_fails,
        initializer_that_panics,
        initializer_that_fails_is_told_by_warm_up,
        warm_up_starts_the_workers,
        warm_up_of_a_pool_in_use,
        resize_to_zero,
        max_workers_as_asked_for,
        figures_of_an_idle_pool,
        figures_of_what_waits,
    ]
    Unattended [
        index_is_below_the_number_of_workers,
        run_on_all_waits_for_busy_workers,
        run_on_all_keeps_a_worker_each_until_all_are_there,
        initializer_that_fails_resolves_streams,
        resize_grows_at_once,
        resize_grows_before_the_first_task,
        resize_shrinks_as_workers_become_idle,
        resize_to_and_fro,
        figures_of_what_runs,
        workers_of_a_busy_pool,
        leaving_the_pool_over_an_await,
    ]
    Blocking [
        leaving_the_pool_lets_another_in,
    ]
    Local [
        inside_a_spawned_task,
    ]
    Away [
        each_worker_has_a_process,
    ]
}

pub async fn outside_a_task(_rig: Rig) {
    assert!(!worker::is_worker());
    assert_eq!((worker::index(), worker::id(), worker::depth()), (None, None, 0));
    assert_eq!((worker::rank(), worker::size(), worker::is_master()), (0, 1, true));
    assert!(worker::executor().is_none());
    assert!(!worker::is_cancelled());
}

type Knowledge = (bool, Option<usize>, Option<u64>, usize, bool, bool);

fn knowledge(_: ()) -> Knowledge {
    let of_a_pool = worker::executor().is_some();
    (worker::is_worker(), worker::index(), worker::id(), worker::depth(), of_a_pool, worker::is_cancelled())
}

fn check_knowledge((is_worker, index, id, depth, of_a_pool, is_cancelled): Knowledge) {
    assert!(is_worker && of_a_pool && !is_cancelled);
    assert!(index == Some(0) && id.is_some());
    assert_eq!(depth, 1);
}

pub async fn inside_a_task(rig: Rig) {
    check_knowledge(rig.pool(1).submit(knowledge, ()).await.unwrap());
}

pub async fn inside_an_async_task(rig: Rig) {
    let before_and_after = async |()| {
        let before = knowledge(());
        crate::work::yield_now().await;
        assert_eq!(before, knowledge(()), "a task keeps its worker over an await");
        before
    };
    check_knowledge(rig.pool(1).submit_async(before_and_after, ()).await.unwrap());
}

pub async fn ranks_and_size_of_those_who_work_together(rig: Rig) {
    let place = |()| (worker::rank(), worker::size(), worker::is_master());
    let pool = rig.pool(3);
    for n in [3, 1, 2] {
        pool.resize(n).unwrap();
        let size = pool.max_workers() + 1;
        let places = pool.run_on_all(place, ()).await.into_iter().map(Result::unwrap);
        assert!(places.eq((1..size).map(|rank| (rank, size, false))));
    }
    assert_eq!(place(()), (0, 1, true), "who submits is the master, and alone when it is no task");
}

fn backend_of_auto() -> String {
    Parallel::Auto.executor().unwrap().backend_name().to_owned()
}

pub async fn auto_is_serial_inside_a_task(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(pool.submit(|()| backend_of_auto(), ()).await.unwrap(), "serial");
    let over_an_await = async |()| {
        crate::work::yield_now().await;
        backend_of_auto()
    };
    assert_eq!(pool.submit_async(over_an_await, ()).await.unwrap(), "serial");
    let mapped = pool.map(|_: u64| backend_of_auto(), 0..20).map(Result::unwrap).collect::<Vec<_>>().await;
    assert!(mapped.len() == 20 && mapped.iter().all(|name| name == "serial"));
}

pub async fn inside_a_spawned_task(rig: Rig) {
    let pool = rig.pool(1);
    check_knowledge(pool.spawn_blocking(|| knowledge(())).await.unwrap());
    check_knowledge(pool.spawn(async { knowledge(()) }).await.unwrap());
    assert!(!worker::is_worker(), "what is said of a task is not said of who awaits it");
}

pub async fn executor_of_a_task_is_its_pool(rig: Rig) {
    let pool = rig.builder().max_workers(1).name("mine").build().unwrap();
    let task = pool
        .submit(|()| worker::executor().map(|pool| (pool.max_workers(), pool.backend_name().to_owned())), ());
    let (max_workers, backend) = task.await.unwrap().expect("inside a task");
    assert_eq!((max_workers, backend.as_str()), (pool.max_workers(), pool.backend_name()));
}

pub async fn names_of_the_backend(rig: Rig) {
    let pool = rig.pool(1);
    assert!(!pool.backend_name().is_empty());
    let Capabilities { in_process, distributed, .. } = pool.capabilities();
    assert!(!(in_process && distributed));
}

fn own_index(_: ()) -> Option<usize> {
    worker::index()
}

pub async fn run_on_all_reaches_each_once(rig: Rig) {
    let pool = rig.pool(3);
    for _ in 0..3 {
        let indices: Vec<_> =
            pool.run_on_all(own_index, ()).await.into_iter().map(|index| index.unwrap().unwrap()).collect();
        assert_eq!(indices.len(), pool.max_workers());
        assert!(indices.into_iter().collect::<BTreeSet<_>>().into_iter().eq(0..pool.max_workers()));
    }
}

pub async fn run_on_all_of_what_panics(rig: Rig) {
    let pool = rig.pool(3);
    let results = pool.run_on_all(fail, "on all".to_owned()).await;
    assert_eq!(results.len(), pool.max_workers());
    assert!(results.iter().all(|result| result.as_ref().is_err_and(TaskError::is_panicked)));
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

fn note_own_index(journal: Gate) {
    journal.note(worker::index().expect("an initializer runs in a worker") as u64);
}

pub async fn initializer_runs_in_each_worker(rig: Rig) {
    let journal = rig.gate();
    let pool = rig.builder().max_workers(3).initializer(note_own_index, journal).build().unwrap();
    assert!(pool.run_on_all(double, 1).await.into_iter().all(|result| result.is_ok()));
    let everyone: Vec<u64> = (0..pool.max_workers() as u64).collect();
    assert_eq!(journal.sorted_notes(), everyone);
}

pub async fn initializer_runs_before_the_first_task(rig: Rig) {
    let journal = rig.gate();
    let pool = rig.builder().max_workers(2).initializer(note_own_index, journal).build().unwrap();
    let notes = |journal: Gate| (worker::index().unwrap() as u64, journal.notes());
    for result in join_all((0..20).map(|_| pool.submit(notes, journal))).await {
        let (index, notes) = result.unwrap();
        assert!(notes.contains(&index), "worker {index} after {notes:?}");
    }
}

pub async fn initializer_with_an_argument_and_an_outcome(rig: Rig) {
    let journal = rig.gate();
    let initializer = |(journal, text): (Gate, String)| -> Result<(), std::num::ParseIntError> {
        journal.note(text.parse()?);
        Ok(())
    };
    let pool =
        rig.builder().max_workers(1).initializer(initializer, (journal, "7".to_owned())).build().unwrap();
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    assert_eq!(journal.notes(), [7]);
}

pub async fn initializer_of_a_pool_that_is_not_used(rig: Rig) {
    let journal = rig.gate();
    let pool = rig.builder().max_workers(1).initializer(note_own_index, journal).build().unwrap();
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}

/// Checks that whatever is asked of the pool resolves, with the reason.
async fn is_told(pool: Executor, reason: &str) {
    let told = |error: TaskError| match error {
        TaskError::InitializerFailed(text) => assert!(text.contains(reason), "{text}"),
        other => panic!("{other:?}"),
    };
    let pending: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
    for result in join_all(pending).await {
        told(result.unwrap_err());
    }
    told(pool.submit(double, 1).await.unwrap_err());
    if pool.capabilities().in_process {
        told(pool.spawn(async {}).await.unwrap_err());
    }
    told(pool.warm_up().await.unwrap_err());
    assert!(pool.run_on_all(double, 1).await.into_iter().all(|result| result.is_err()));
    pool.shutdown(false).await;
}

pub async fn initializer_that_fails(rig: Rig) {
    let initializer = |()| Err::<(), _>("no database".to_owned());
    let pool = rig.builder().max_workers(2).initializer(initializer, ()).build().unwrap();
    is_told(pool, "no database").await;
}

fn panicking((): ()) {
    panic!("no database")
}

pub async fn initializer_that_panics(rig: Rig) {
    let pool = rig.builder().max_workers(2).initializer(panicking, ()).build().unwrap();
    is_told(pool, "no database").await;
}

pub async fn initializer_that_fails_is_told_by_warm_up(rig: Rig) {
    let initializer = |()| Err::<(), _>("no database".to_owned());
    let pool = rig.builder().max_workers(2).initializer(initializer, ()).build().unwrap();
    assert_is!(pool.warm_up().await, Err(TaskError::InitializerFailed(text)) if text.contains("no database"));
}

pub async fn initializer_that_fails_resolves_streams(rig: Rig) {
    let initializer = |()| Err::<(), _>("no database".to_owned());
    let pool = rig.builder().max_workers(2).initializer(initializer, ()).build().unwrap();
    let results: Vec<_> = pool.map(double, 0..).fail_fast().collect().await;
    assert_eq!(results.len(), 1);
    assert_is!(&results[0], Err(TaskError::InitializerFailed(_)));
}

pub async fn warm_up_starts_the_workers(rig: Rig) {
    let journal = rig.gate();
    let pool = rig.builder().max_workers(3).initializer(note_own_index, journal).build().unwrap();
    pool.warm_up().await.unwrap();
    assert_eq!(journal.notes().len(), pool.max_workers());
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn warm_up_of_a_pool_in_use(rig: Rig) {
    let pool = rig.pool(2);
    pool.warm_up().await.unwrap();
    pool.warm_up().await.unwrap();
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    pool.warm_up().await.unwrap();
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (1, 0, 0));
}

pub async fn resize_to_zero(rig: Rig) {
    let pool = rig.pool(2);
    assert_is!(pool.resize(0), Err(BuildError::OutOfRange(_)));
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn max_workers_as_asked_for(rig: Rig) {
    let workers = |n| {
        if rig.excuse(Class::Unattended).is_some() { 1 } else { n }
    };
    assert_eq!(rig.pool(1).max_workers(), 1);
    assert_eq!(rig.pool(5).max_workers(), workers(5));
    assert_eq!(rig.builder().build().unwrap().max_workers(), workers(rig.default_workers()));
}

pub async fn figures_of_an_idle_pool(rig: Rig) {
    let pool = rig.pool(2);
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0), "who sees the result sees the counts");
}

pub async fn figures_of_what_waits(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
    assert_eq!(pool.stats().queued, 10);
    tasks[3].abort();
    assert_eq!(pool.stats().queued, 9);
    busy.release().await;
    join_all(tasks).await;
    assert_eq!(pool.stats().queued, 0);
}

pub async fn index_is_below_the_number_of_workers(rig: Rig) {
    let pool = rig.pool(3);
    for result in join_all((0..200).map(|_| pool.submit(own_index, ()))).await {
        assert!(result.unwrap().is_some_and(|index| index < 3));
    }
}

pub async fn run_on_all_waits_for_busy_workers(rig: Rig) {
    let pool = rig.pool(2);
    let busy = rig.occupy(&pool).await;
    let mut all = Box::pin(pool.run_on_all(own_index, ()));
    assert!(poll!(&mut all).is_pending());
    let ((), indices) = join(busy.release(), all).await;
    assert_eq!(indices.len(), 2);
    let indices: BTreeSet<_> = indices.into_iter().map(|index| index.unwrap().unwrap()).collect();
    assert!(indices.into_iter().eq(0..2));
}

pub async fn run_on_all_keeps_a_worker_each_until_all_are_there(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let busy = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    // One worker is free, and must not do the other's part: what comes after is done, and that part is not.
    let mut all = Box::pin(pool.run_on_all(own_index, ()));
    assert!(poll!(&mut all).is_pending());
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert!(poll!(&mut all).is_pending());
    gate.open();
    assert!(busy.await.is_ok());
    let indices: BTreeSet<_> = all.await.into_iter().map(|index| index.unwrap().unwrap()).collect();
    assert!(indices.into_iter().eq(0..2));
}

pub async fn resize_grows_at_once(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let tasks: Vec<_> = (0..4).map(|n| rig.gated(&pool, gate, n)).collect();
    gate.wait_arrivals(1).await;
    pool.resize(4).unwrap();
    assert_eq!(pool.max_workers(), 4);
    gate.wait_arrivals(4).await;
    gate.open();
    assert!(join_all(tasks).await.into_iter().all(|result| result.is_ok()));
}

pub async fn resize_grows_before_the_first_task(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    pool.resize(3).unwrap();
    let tasks: Vec<_> = (0..3).map(|n| rig.gated(&pool, gate, n)).collect();
    gate.wait_arrivals(3).await;
    gate.open();
    join_all(tasks).await;
    assert_eq!(pool.run_on_all(double, 1).await.len(), 3);
}

/// Runs tasks that watch how many of them run at once.
async fn most_at_once(rig: &Rig, pool: &Executor) -> usize {
    let room = rig.gate();
    let blocking: Vec<_> = (0..40).map(|_| pool.submit(dwell, room)).collect();
    let suspended: Vec<_> = (0..40).map(|_| pool.submit_async(dwell_async, room)).collect();
    assert!(join_all(blocking.into_iter().chain(suspended)).await.into_iter().all(|result| result.is_ok()));
    room.most_inside()
}

pub async fn resize_shrinks_as_workers_become_idle(rig: Rig) {
    let pool = rig.pool(3);
    let busy = rig.occupy(&pool).await;
    pool.resize(1).unwrap();
    assert_eq!(pool.max_workers(), 1);
    busy.release().await;
    assert_eq!(most_at_once(&rig, &pool).await, 1);
    assert_eq!(pool.run_on_all(double, 1).await.len(), 1);
}

pub async fn resize_to_and_fro(rig: Rig) {
    let pool = rig.pool(1);
    for n in [4, 2, 1, 3, 1, 2] {
        pool.resize(n).unwrap();
        assert!(most_at_once(&rig, &pool).await <= n);
        let gate = rig.gate();
        let tasks: Vec<_> = (0..n as u64).map(|value| rig.gated(&pool, gate, value)).collect();
        gate.wait_arrivals(n).await;
        gate.open();
        join_all(tasks).await;
    }
}

pub async fn figures_of_what_runs(rig: Rig) {
    let pool = rig.pool(2);
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..3).map(|n| pool.submit(double, n)).collect();
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (3, 2));
    busy.release().await;
    join_all(tasks).await;
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
}

pub async fn workers_of_a_busy_pool(rig: Rig) {
    let pool = rig.pool(3);
    let busy = rig.occupy(&pool).await;
    let workers = pool.workers();
    assert_eq!(workers.iter().map(|worker| worker.id).collect::<BTreeSet<_>>().len(), 3);
    let here = |pid: u32| pid == std::process::id();
    assert!(
        workers.iter().all(|worker| worker.pid.map_or(rig.is_local(), |pid| here(pid) == rig.is_local()))
    );
    busy.release().await;
}

pub async fn each_worker_has_a_process(rig: Rig) {
    let pool = rig.pool(3);
    let pids: Vec<u32> =
        pool.run_on_all(|()| std::process::id(), ()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(!pids.contains(&std::process::id()));
    let busy = rig.occupy(&pool).await;
    let mut workers = pool.workers();
    workers.sort_by_key(|worker| worker.index);
    assert!(workers.iter().map(|worker| worker.pid).eq(pids.into_iter().map(Some)));
    busy.release().await;
}

pub async fn leaving_the_pool_lets_another_in(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let leaving = pool.submit(
        |gate: Gate| {
            let _guard = worker::leave_pool();
            hold((gate, 1))
        },
        gate,
    );
    gate.wait_arrivals(1).await;
    // The only worker waits at the gate, and yet another task runs.
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    gate.open();
    assert_eq!(leaving.await.unwrap(), 1);
    assert_eq!(pool.submit_async(hold_async, (gate, 2)).await.unwrap(), 2);
    assert_eq!(most_at_once(&rig, &pool).await, 1);
}

pub async fn leaving_the_pool_over_an_await(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let leaving = pool.submit_async(
        async |gate: Gate| {
            let _guard = worker::leave_pool();
            gate.pass().await;
        },
        gate,
    );
    gate.wait_arrivals(1).await;
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    gate.open();
    leaving.await.unwrap();
    assert_eq!(most_at_once(&rig, &pool).await, 1);
}
