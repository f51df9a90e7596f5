//! Shutting down: what it waits for, what it counts, what is refused afterwards, and doing it again.

use std::pin::Pin;

use futures::future::{join, join_all, join3, ready};
use futures::{StreamExt as _, poll};
use polypool::{CancellationPolicy, Executor, TaskError, TaskOptions, worker};

use crate::gate::Gate;
use crate::rig::Rig;
use crate::work::{double, double_async, fail, hold_async, mark};

topic! { shutdown:
    Every [
        of_a_pool_that_was_never_used,
        counts_what_became_of_the_tasks,
        twice_gives_the_same_counts,
        everything_is_refused_afterwards,
        try_submit_gives_the_argument_back_afterwards,
        streams_after_shutdown,
        seen_by_every_clone,
        pending_tasks_are_cancelled,
        leaves_no_worker_and_no_task,
        with_tasks_that_nobody_polls,
        drop_after_shutdown,
    ]
    Unattended [
        waits_for_running_and_pending_tasks,
        again_with_a_stricter_policy,
        again_with_a_laxer_policy_loosens_nothing,
        refuses_while_it_waits,
        goes_on_when_its_future_is_dropped,
        awaited_by_a_task_of_the_pool,
        awaited_by_the_only_worker_while_others_wait_for_it,
        awaited_by_all_tasks_of_the_pool,
        awaited_by_a_task_that_others_await,
        waiting_submitters_are_told,
        open_stream_is_told,
        many_at_once,
    ]
}

pub async fn of_a_pool_that_was_never_used(rig: Rig) {
    let report = rig.pool(2).shutdown(CancellationPolicy::ALL).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (0, 0, 0));
}

/// Runs three tasks to their end, fails two and aborts one.
async fn use_up(rig: &Rig, pool: &Executor) {
    for n in 0..3 {
        assert_eq!(pool.submit(double, n).await.unwrap(), 2 * n);
    }
    assert!(pool.submit(fail, "no".to_owned()).await.is_err());
    assert!(pool.submit_async(async |message: String| fail(message), "no".to_owned()).await.is_err());
    let aborted = pool.submit_async(hold_async, (rig.gate(), 0));
    aborted.abort();
    assert!(aborted.await.is_err());
}

pub async fn counts_what_became_of_the_tasks(rig: Rig) {
    let pool = rig.pool(2);
    use_up(&rig, &pool).await;
    let own_error = pool.submit(|()| Err::<(), _>("a value".to_owned()), ()).await;
    assert_eq!(own_error.unwrap(), Err("a value".to_owned()));
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (4, 2, 1));
}

pub async fn twice_gives_the_same_counts(rig: Rig) {
    let pool = rig.pool(2);
    use_up(&rig, &pool).await;
    for _ in 0..2 {
        let report = pool.shutdown(true).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (3, 2, 1));
    }
}

pub async fn everything_is_refused_afterwards(rig: Rig) {
    let pool = rig.pool(1);
    pool.shutdown(true).await;
    assert_is!(pool.submit(double, 1).await, Err(TaskError::Shutdown));
    assert_is!(pool.submit_async(double_async, 1).await, Err(TaskError::Shutdown));
    assert_is!(pool.submit_with(TaskOptions::new(), double, 1).await, Err(TaskError::Shutdown));
    assert_is!(pool.submit_async_with(TaskOptions::new(), double_async, 1).await, Err(TaskError::Shutdown));
    assert_is!(pool.submit_when_ready(double, 1).await.await, Err(TaskError::Shutdown));
    if rig.is_local() {
        assert_is!(pool.spawn(async { 1 }).await, Err(TaskError::Shutdown));
        assert_is!(pool.spawn_blocking(|| 1).await, Err(TaskError::Shutdown));
    }
    assert_is!(pool.warm_up().await, Err(TaskError::Shutdown));
    for result in pool.run_on_all(double, 1).await {
        assert_is!(result, Err(TaskError::Shutdown));
    }
    assert_eq!(pool.submit(double, 1).report().await.attempts, 0);
}

pub async fn try_submit_gives_the_argument_back_afterwards(rig: Rig) {
    let pool = rig.pool(1);
    pool.shutdown(true).await;
    let refused = pool.try_submit(|text: String| text, "mine".to_owned()).unwrap_err();
    assert_eq!(refused.arg, "mine");
    assert_is!(refused.reason, TaskError::Shutdown);
}

pub async fn streams_after_shutdown(rig: Rig) {
    let pool = rig.pool(1);
    pool.shutdown(true).await;
    let mapped: Vec<_> = pool.map(double, 0..3).collect().await;
    let completed: Vec<_> = pool.as_completed(double, 0..3).collect().await;
    assert!(!mapped.is_empty() && !completed.is_empty(), "three inputs are not nothing");
    for result in mapped.into_iter().chain(completed.into_iter().map(|(_, result)| result)) {
        assert_is!(result, Err(TaskError::Shutdown));
    }
    assert!(pool.map(double, 0..).next().await.unwrap().is_err(), "also where the input never ends");
}

pub async fn seen_by_every_clone(rig: Rig) {
    let pool = rig.pool(1);
    let clone = pool.clone();
    pool.shutdown(true).await;
    assert_is!(clone.submit(double, 1).await, Err(TaskError::Shutdown));
}

pub async fn pending_tasks_are_cancelled(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let tasks: Vec<_> = (0..5).map(|n| pool.submit(mark, (journal, n))).collect();
    let (report, ()) = join(pool.shutdown(true), async {
        for result in join_all(tasks).await {
            assert_is!(result, Err(TaskError::Cancelled));
        }
        busy.open();
    })
    .await;
    assert_eq!(report.cancelled, 5);
    assert_eq!(journal.notes(), []);
}

pub async fn leaves_no_worker_and_no_task(rig: Rig) {
    let pool = rig.pool(2);
    use_up(&rig, &pool).await;
    pool.shutdown(true).await;
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
    assert_eq!(pool.workers().len(), 0);
}

/// NONE lets pending tasks run, and where only polling runs them nobody may: shutting down does not wait for that.
pub async fn with_tasks_that_nobody_polls(rig: Rig) {
    let pool = rig.pool(1);
    let tasks: Vec<_> = (0..3).map(|n| pool.submit(double, n)).collect();
    pool.shutdown(false).await;
    for (n, task) in (0..).zip(tasks) {
        let result = task.await;
        if rig.runs_alone() {
            assert_is!(result, Ok(_) | Err(TaskError::Cancelled | TaskError::Shutdown));
        } else {
            assert_eq!(result.unwrap(), 2 * n);
        }
    }
}

pub async fn drop_after_shutdown(rig: Rig) {
    let pool = rig.builder().max_workers(1).on_drop(CancellationPolicy::ALL).build().unwrap();
    let task = pool.submit(double, 21);
    let (_, result) = join(pool.shutdown(false), task).await;
    assert_eq!(result.unwrap(), 42);
    drop(pool);
}

pub async fn waits_for_running_and_pending_tasks(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let running = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let pending = pool.submit(mark, (gate, 2));
    let mut shutdown = pool.shutdown(false);
    assert!(poll!(&mut shutdown).is_pending());
    gate.open();
    assert_eq!(shutdown.await.completed, 2);
    assert_eq!(gate.notes(), [1, 2]);
    assert_eq!((running.await.unwrap(), pending.await.unwrap()), (1, 2));
}

pub async fn again_with_a_stricter_policy(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let running = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let pending = pool.submit(mark, (gate, 2));
    let mut first = pool.shutdown(false);
    assert!(poll!(&mut first).is_pending());
    let mut second = pool.shutdown(true);
    assert!(poll!(&mut second).is_pending());
    assert_is!(pending.await, Err(TaskError::Cancelled));
    let third = pool.shutdown(CancellationPolicy::ALL);
    let (first, second, third) = join3(first, second, async {
        let (report, ()) = join(third, async {
            assert_is!(running.await, Err(TaskError::Cancelled));
            gate.open();
        })
        .await;
        report
    })
    .await;
    for report in [first, second, third] {
        assert_eq!((report.completed, report.failed, report.cancelled), (0, 0, 2));
    }
}

pub async fn again_with_a_laxer_policy_loosens_nothing(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let pending = pool.submit(mark, (journal, 1));
    let mut first = pool.shutdown(true);
    assert!(poll!(&mut first).is_pending());
    let second = pool.shutdown(false);
    assert_is!(pending.await, Err(TaskError::Cancelled));
    busy.open();
    assert_eq!(join(first, second).await.0.cancelled, 1);
    assert_eq!(journal.notes(), []);
}

pub async fn refuses_while_it_waits(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let mut shutdown = pool.shutdown(false);
    assert!(poll!(&mut shutdown).is_pending());
    assert_is!(pool.submit(double, 1).await, Err(TaskError::Shutdown));
    assert_is!(pool.try_submit(double, 1).unwrap_err().reason, TaskError::Shutdown);
    busy.release().await;
    assert_eq!(shutdown.await.completed, 1);
}

pub async fn goes_on_when_its_future_is_dropped(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let pending = pool.submit(mark, (journal, 1));
    let mut shutdown = pool.shutdown(true);
    assert!(poll!(&mut shutdown).is_pending());
    drop(shutdown);
    assert_is!(pending.await, Err(TaskError::Cancelled));
    assert_is!(pool.submit(double, 1).await, Err(TaskError::Shutdown));
    busy.release().await;
}

/// It waits for every worker but those whose tasks wait for just that.
pub async fn awaited_by_a_task_of_the_pool(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let asking = pool.submit_async(
        async |()| worker::executor().expect("inside a task").shutdown(true).await.cancelled,
        (),
    );
    let pending = pool.submit(mark, (journal, 1));
    busy.release().await;
    assert_eq!(asking.await.unwrap(), 1);
    assert_is!(pending.await, Err(TaskError::Cancelled));
    assert_eq!(pool.shutdown(true).await.cancelled, 1);
    assert_eq!(journal.notes(), []);
}

pub async fn awaited_by_the_only_worker_while_others_wait_for_it(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let end = async |()| worker::executor().expect("inside a task").shutdown(false).await.completed;
    let asking = pool.submit_async(end, ());
    let pending = pool.submit(mark, (journal, 1));
    busy.release().await;
    asking.await.unwrap();
    assert_eq!(pending.await.unwrap(), 1);
    assert_eq!(pool.shutdown(false).await.completed, 3);
}

pub async fn awaited_by_all_tasks_of_the_pool(rig: Rig) {
    let (pool, gate) = (rig.pool(3), rig.gate());
    let asking = async |gate: Gate| {
        gate.meet(3).await;
        worker::executor().expect("inside a task").shutdown(false).await;
    };
    let tasks: Vec<_> = (0..3).map(|_| pool.submit_async(asking, gate)).collect();
    assert!(join_all(tasks).await.into_iter().all(|result| result.is_ok()));
    assert_eq!(pool.shutdown(false).await.completed, 3);
}

/// Nor for those who wait for such a task.
pub async fn awaited_by_a_task_that_others_await(rig: Rig) {
    fn level(n: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let pool = worker::executor().expect("inside a task");
            match n {
                0 => _ = pool.shutdown(false).await,
                n => pool.submit_async(level, n - 1).await.expect("the next is well"),
            }
        })
    }
    let pool = rig.pool(2);
    pool.submit_async(level, 3).await.unwrap();
    assert_eq!(pool.shutdown(false).await.completed, 4);
}

pub async fn waiting_submitters_are_told(rig: Rig) {
    let pool = rig.builder().max_workers(1).max_pending(1).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let pending = pool.submit(double, 1);
    let mut waiting = Box::pin(pool.submit_when_ready(double, 2));
    assert!(poll!(&mut waiting).is_pending());
    let shutdown = pool.shutdown(false);
    let (report, ()) = join(shutdown, async {
        assert_is!(waiting.await.await, Err(TaskError::Shutdown));
        busy.open();
    })
    .await;
    assert_eq!(report.completed, 2);
    assert_eq!(pending.await.unwrap(), 2);
}

pub async fn open_stream_is_told(rig: Rig) {
    let pool = rig.pool(1);
    let mut results = pool.map(double, 0..).buffer(2);
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    pool.shutdown(false).await;
    let rest = results.take_while(|result| ready(result.is_ok())).count().await;
    assert!(rest <= 3, "{rest} items after the end of the pool");
}

pub async fn many_at_once(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..100).map(|n| pool.submit(double, n)).collect();
    let reports = join_all((0..10).map(|_| pool.shutdown(false))).await;
    assert!(reports.iter().all(|report| report.completed == 100));
    assert!(join_all(tasks).await.into_iter().all(|result| result.is_ok()));
}
