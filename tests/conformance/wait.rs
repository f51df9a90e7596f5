//! `wait`: until the first, the first error, or all; and what it hands back.

use futures::future::join_all;
use futures::poll;
use polypool::{TaskError, TaskHandle, TaskId, Wait, Waited, wait};

use crate::rig::{AGES, Rig, SHORT};
use crate::work::{double, fail, mark, refuse_odd};

topic! { wait:
    Every [
        all,
        none_to_wait_for,
        first_of_several,
        first_error_ends_it,
        first_error_without_an_error_is_all,
        done_ones_are_done_already,
        limit_that_does_not_run_out,
    ]
    Unattended [
        first_while_others_run,
        first_error_while_others_run,
        all_waits_for_the_last,
        limit_gives_what_is_done,
        dropping_it_detaches,
        any_may_be_the_last,
    ]
}

fn ids<R>(tasks: &[TaskHandle<R>]) -> Vec<TaskId> {
    let mut ids: Vec<_> = tasks.iter().map(TaskHandle::id).collect();
    ids.sort_unstable();
    ids
}

/// Checks that nothing was lost, and that what is called done is; gives the ids of both parts.
fn parts<R>(waited: &Waited<R>, all: &[TaskId]) -> (Vec<TaskId>, Vec<TaskId>) {
    assert!(waited.done.iter().all(TaskHandle::is_finished));
    let (done, pending) = (ids(&waited.done), ids(&waited.pending));
    let mut both = [done.clone(), pending.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, all);
    (done, pending)
}

pub async fn all(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
    let all = ids(&tasks);
    let waited = wait(tasks, Wait::All).await;
    assert_eq!(parts(&waited, &all).1, []);
    let mut results: Vec<u64> = join_all(waited.done).await.into_iter().map(Result::unwrap).collect();
    results.sort_unstable();
    assert!(results.into_iter().eq((0..20).map(|n| 2 * n)));
}

pub async fn none_to_wait_for(_rig: Rig) {
    for until in [Wait::First, Wait::FirstError, Wait::All] {
        let waited = wait::<u64>([], until).await;
        assert!(waited.done.is_empty() && waited.pending.is_empty());
    }
}

pub async fn first_of_several(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..5).map(|n| pool.submit(double, n)).collect();
    let all = ids(&tasks);
    let waited = wait(tasks, Wait::First).await;
    assert!(!parts(&waited, &all).0.is_empty());
    assert!(
        join_all(waited.done.into_iter().chain(waited.pending))
            .await
            .into_iter()
            .all(|result| result.is_ok())
    );
}

pub async fn first_error_ends_it(rig: Rig) {
    let pool = rig.pool(1);
    let tasks: Vec<_> = [0, 2, 3, 4].map(|n| pool.submit(refuse_odd, n)).into();
    let (all, failing) = (ids(&tasks), tasks[2].id());
    let waited = wait(tasks, Wait::FirstError).await;
    assert!(parts(&waited, &all).0.contains(&failing));
    let results = join_all(waited.done.into_iter().chain(waited.pending)).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
}

pub async fn first_error_without_an_error_is_all(rig: Rig) {
    let pool = rig.pool(2);
    let own_error = |()| Err::<u64, String>("a value".to_owned());
    let waited = wait([pool.submit(own_error, ()), pool.submit(own_error, ())], Wait::FirstError).await;
    assert_eq!((waited.done.len(), waited.pending.len()), (2, 0));
}

pub async fn done_ones_are_done_already(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let (aborted, waiting) = (pool.submit(double, 1), pool.submit(double, 2));
    aborted.abort();
    let waited = wait([waiting, aborted], Wait::FirstError).await;
    assert_is!(join_all(waited.done).await.pop(), Some(Err(TaskError::Cancelled)));
    busy.release().await;
    for task in waited.pending {
        assert_eq!(task.await.unwrap(), 4);
    }
}

pub async fn limit_that_does_not_run_out(rig: Rig) {
    let pool = rig.pool(1);
    for limit in [AGES, std::time::Duration::MAX] {
        let waited = wait([pool.submit(double, 1)], Wait::All).timeout(limit).await;
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 0));
    }
}

pub async fn first_while_others_run(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let slow = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let fast = pool.submit(double, 1);
    let expected = (vec![fast.id()], vec![slow.id()]);
    let all = [slow.id(), fast.id()];
    let waited = wait([slow, fast], Wait::First).await;
    assert_eq!(parts(&waited, &all), expected);
    gate.open();
    for task in waited.pending {
        assert_eq!(task.await.unwrap(), 1);
    }
}

pub async fn first_error_while_others_run(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let slow = rig.gated(&pool, gate, 1);
    gate.wait_arrivals(1).await;
    let (fine, failing) = (pool.submit(double, 1), pool.submit(fail, "no".to_owned()));
    let expected = (vec![fine.id(), failing.id()], vec![slow.id()]);
    let all = [slow.id(), fine.id(), failing.id()];
    let waited = wait([slow, fine, failing], Wait::FirstError).await;
    assert_eq!(parts(&waited, &all), expected);
    gate.open();
    assert!(join_all(waited.pending).await[0].is_ok());
}

pub async fn all_waits_for_the_last(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let mut waiting = Box::pin(wait([pool.submit(double, 1), rig.gated(&pool, gate, 1)], Wait::All));
    gate.wait_arrivals(1).await;
    assert!(poll!(&mut waiting).is_pending());
    gate.open();
    assert_eq!(waiting.await.done.len(), 2);
}

pub async fn limit_gives_what_is_done(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let slow = rig.gated(&pool, gate, 1);
    let fast = pool.submit(double, 1);
    let all = [slow.id(), fast.id()];
    let slow_id = slow.id();
    let waited = wait([slow, fast], Wait::All).timeout(SHORT).await;
    assert!(parts(&waited, &all).1.contains(&slow_id));
    gate.open();
    let results = join_all(waited.done.into_iter().chain(waited.pending)).await;
    assert!(results.into_iter().all(|result| result.is_ok()), "a limit on waiting is none on the tasks");
}

pub async fn dropping_it_detaches(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let mut waiting = Box::pin(wait([pool.submit(mark, (journal, 1))], Wait::All));
    assert!(poll!(&mut waiting).is_pending());
    drop(waiting);
    busy.release().await;
    journal.wait_notes(1).await;
}

pub async fn any_may_be_the_last(rig: Rig) {
    for last in 0..3 {
        let (pool, gates) = (rig.pool(3), [rig.gate(), rig.gate(), rig.gate()]);
        let tasks = gates.map(|gate| rig.gated(&pool, gate, 0));
        let mut waiting = Box::pin(wait(tasks, Wait::All));
        for gate in gates {
            gate.wait_arrivals(1).await;
        }
        let first_two = (0..3).filter(|&n| n != last);
        for n in first_two {
            assert!(poll!(&mut waiting).is_pending());
            gates[n].open();
        }
        assert!(poll!(&mut waiting).is_pending());
        gates[last].open();
        assert_eq!(waiting.await.done.len(), 3);
    }
}
