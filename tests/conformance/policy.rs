//! The four policies, each applied by everything that applies one: dropping the last clone, shutting down, dropping a stream,
//! dropping a handle. The table of `CancellationPolicy`'s documentation, word for word.

use futures::future::join;
use futures::{StreamExt as _, poll};
use polypool::{CancellationPolicy, Executor, TaskError, TaskHandle};

use crate::gate::Gate;
use crate::rig::Rig;
use crate::work::{double, mark, run_until_asked_to_stop};

topic! { policy:
    Every [
        pool_drop_is_pending_by_default,
        unstarted_tasks_on_drop,
    ]
    Unattended [
        pool_drop_none, pool_drop_pending, pool_drop_running, pool_drop_all,
        shutdown_none, shutdown_pending, shutdown_running, shutdown_all,
        stream_drop_none, stream_drop_pending, stream_drop_running, stream_drop_all,
        completed_drop_none, completed_drop_pending, completed_drop_running, completed_drop_all,
        handle_drop_none, handle_drop_pending, handle_drop_running, handle_drop_all,
        stream_drop_is_pending_by_default,
        handle_drop_is_none_by_default,
        handle_drop_after_the_result_was_taken,
        bool_for_a_policy,
    ]
    ByAsking [
        pool_drop_sets_the_token,
        shutdown_sets_the_token,
        stream_drop_sets_the_token,
        handle_drop_sets_the_token,
    ]
}

/// One task that runs and waits at the gate, and two behind it that have not started. Each notes its number when it ends.
struct Scene {
    rig: Rig,
    pool: Executor,
    gate: Gate,
    running: TaskHandle<u64>,
    pending: [TaskHandle<u64>; 2],
}

impl Scene {
    async fn set(rig: Rig, on_drop: CancellationPolicy) -> Scene {
        let pool = rig.builder().max_workers(1).on_drop(on_drop).build().unwrap();
        let gate = rig.gate();
        let running = rig.gated(&pool, gate, 1);
        gate.wait_arrivals(1).await;
        let pending = [2, 3].map(|n| pool.submit(mark, (gate, n)));
        Scene { rig, pool, gate, running, pending }
    }
}

/// Checks the handles of a scene to which a policy was applied, from before the gate opens to the end.
async fn check_handles(
    rig: &Rig,
    policy: CancellationPolicy,
    gate: Gate,
    running: TaskHandle<u64>,
    pending: [TaskHandle<u64>; 2],
) {
    let (mut running, mut pending) = (Some(running), Vec::from(pending));
    if policy.contains(CancellationPolicy::PENDING) {
        for task in pending.drain(..) {
            assert_is!(task.await, Err(TaskError::Cancelled));
        }
    }
    if policy.contains(CancellationPolicy::RUNNING) {
        assert_is!(running.take().unwrap().await, Err(TaskError::Cancelled));
    }
    gate.open();
    for task in running.into_iter().chain(pending) {
        task.await.expect("a task that the policy leaves alone");
    }
    if !(policy.contains(CancellationPolicy::RUNNING) && rig.forceful()) {
        // Its handle may have resolved before.
        gate.wait_notes(1).await;
    }
    check_journal(rig, policy, gate.notes());
}

/// Checks that what the policy leaves alone has come to its end, and nothing else has.
fn check_journal(rig: &Rig, policy: CancellationPolicy, mut notes: Vec<u64>) {
    // Where running code is only asked to stop, this code does not listen, and comes to its end.
    let stopped = policy.contains(CancellationPolicy::RUNNING) && rig.forceful();
    let running = (!stopped).then_some(1);
    let pending = (!policy.contains(CancellationPolicy::PENDING)).then_some([2, 3]);
    let expected: Vec<u64> = running.into_iter().chain(pending.into_iter().flatten()).collect();
    notes.sort_unstable();
    assert_eq!(notes, expected);
}

async fn pool_drop(rig: Rig, policy: CancellationPolicy) {
    let Scene { rig, pool, gate, running, pending } = Scene::set(rig, policy).await;
    drop(pool);
    check_handles(&rig, policy, gate, running, pending).await;
}

async fn shutdown(rig: Rig, policy: CancellationPolicy) {
    // The policy for dropping is another one, and must not matter.
    let Scene { rig, pool, gate, running, pending } = Scene::set(rig, policy.complement()).await;
    let check = check_handles(&rig, policy, gate, running, pending);
    let (report, ()) = join(pool.shutdown(policy), check).await;
    let cancelled = u64::from(policy.contains(CancellationPolicy::RUNNING))
        + 2 * u64::from(policy.contains(CancellationPolicy::PENDING));
    assert_eq!((report.completed, report.failed, report.cancelled), (3 - cancelled, 0, cancelled));
}

async fn handle_drop(rig: Rig, policy: CancellationPolicy) {
    let Scene { rig, pool, gate, running, pending } = Scene::set(rig, CancellationPolicy::NONE).await;
    // In this order: a worker whose task is stopped takes the next.
    drop(pending.map(|task| task.cancel_on_drop(policy)));
    drop(running.cancel_on_drop(policy));
    let_end(&rig, policy, pool, gate).await;
    check_journal(&rig, policy, gate.notes());
}

/// Opens the gate and waits for the end of all code.
async fn let_end(rig: &Rig, policy: CancellationPolicy, pool: Executor, gate: Gate) {
    if policy.contains(CancellationPolicy::RUNNING) && rig.forceful() {
        // A future is stopped at its await, and it may not have come to that yet. Then its worker, the only one, goes on.
        pool.submit(double, 1).await.expect("the worker is free");
    }
    gate.open();
    pool.shutdown(CancellationPolicy::NONE).await;
}

/// As a scene, with a stream over all three.
macro_rules! drop_of_a_stream {
    ($stream:ident, $policy:expr, $rig:expr) => {{
        let (rig, policy): (Rig, Option<CancellationPolicy>) = ($rig, $policy);
        let (pool, gate, open) = (rig.pool(1), rig.gate(), rig.gate());
        open.open();
        let mut stream = rig.$stream(&pool, [(gate, 1), (open, 2), (open, 3)]).chunk_size(1).buffer(3);
        if let Some(policy) = policy {
            stream = stream.cancel_on_drop(policy);
        }
        assert!(poll!(stream.next()).is_pending());
        gate.wait_arrivals(1).await;
        drop(stream);
        let policy = policy.unwrap_or(CancellationPolicy::PENDING);
        let_end(&rig, policy, pool, gate).await;
        check_journal(&rig, policy, [gate.notes(), open.notes()].concat());
    }};
}

async fn stream_drop(rig: Rig, policy: CancellationPolicy) {
    drop_of_a_stream!(gated_map, Some(policy), rig);
}

async fn completed_drop(rig: Rig, policy: CancellationPolicy) {
    drop_of_a_stream!(gated_completed, Some(policy), rig);
}

pub async fn stream_drop_is_pending_by_default(rig: Rig) {
    drop_of_a_stream!(gated_map, None, rig.clone());
    drop_of_a_stream!(gated_completed, None, rig);
}

/// A case for each policy.
macro_rules! with_each_policy {
    ($($apply:ident: $none:ident $pending:ident $running:ident $all:ident;)*) => { $(
        pub async fn $none(rig: Rig) { $apply(rig, CancellationPolicy::NONE).await }
        pub async fn $pending(rig: Rig) { $apply(rig, CancellationPolicy::PENDING).await }
        pub async fn $running(rig: Rig) { $apply(rig, CancellationPolicy::RUNNING).await }
        pub async fn $all(rig: Rig) { $apply(rig, CancellationPolicy::ALL).await }
    )* };
}

with_each_policy! {
    pool_drop: pool_drop_none pool_drop_pending pool_drop_running pool_drop_all;
    shutdown: shutdown_none shutdown_pending shutdown_running shutdown_all;
    stream_drop: stream_drop_none stream_drop_pending stream_drop_running stream_drop_all;
    completed_drop: completed_drop_none completed_drop_pending completed_drop_running completed_drop_all;
    handle_drop: handle_drop_none handle_drop_pending handle_drop_running handle_drop_all;
}

pub async fn pool_drop_is_pending_by_default(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(mark, (journal, 1));
    drop(pool);
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
    assert_eq!(journal.notes(), []);
}

/// With NONE a handle still gives its result after the executor is gone, also where polling is what runs the task.
pub async fn unstarted_tasks_on_drop(rig: Rig) {
    let pool = rig.builder().max_workers(1).on_drop(false).build().unwrap();
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(double, 21);
    drop(pool);
    busy.open();
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn handle_drop_is_none_by_default(rig: Rig) {
    let Scene { rig, pool, gate, running, pending } = Scene::set(rig, CancellationPolicy::ALL).await;
    drop((running, pending));
    gate.open();
    pool.shutdown(CancellationPolicy::NONE).await;
    check_journal(&rig, CancellationPolicy::NONE, gate.notes());
}

pub async fn handle_drop_after_the_result_was_taken(rig: Rig) {
    let pool = rig.pool(1);
    let mut task = pool.submit(double, 1).cancel_on_drop(CancellationPolicy::ALL);
    assert_eq!((&mut task).await.unwrap(), 2);
    drop(task);
    assert_eq!(pool.shutdown(false).await.cancelled, 0);
}

pub async fn bool_for_a_policy(rig: Rig) {
    let Scene { rig, pool, gate, running, pending } = Scene::set(rig, CancellationPolicy::NONE).await;
    let check = check_handles(&rig, CancellationPolicy::PENDING, gate, running, pending);
    join(pool.shutdown(true), check).await;
}

/// Runs a task that ends only when it sees its token, so that a case which forgets to set it hangs.
async fn listener(rig: &Rig, on_drop: CancellationPolicy) -> (Executor, Gate, TaskHandle<u64>) {
    let pool = rig.builder().max_workers(1).on_drop(on_drop).build().unwrap();
    let gate = rig.gate();
    let task = pool.submit(run_until_asked_to_stop, (gate, 1));
    gate.wait_arrivals(1).await;
    (pool, gate, task)
}

pub async fn pool_drop_sets_the_token(rig: Rig) {
    let (pool, gate, task) = listener(&rig, CancellationPolicy::RUNNING).await;
    drop(pool);
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.wait_notes(1).await;
}

pub async fn shutdown_sets_the_token(rig: Rig) {
    let (pool, gate, task) = listener(&rig, CancellationPolicy::NONE).await;
    assert_eq!(pool.shutdown(CancellationPolicy::RUNNING).await.cancelled, 1);
    assert_eq!(gate.notes(), [1], "the pool is not down before its code has ended");
    assert_is!(task.await, Err(TaskError::Cancelled));
}

pub async fn stream_drop_sets_the_token(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let stream = pool.map(run_until_asked_to_stop, [(gate, 1)]);
    let mut stream = stream.cancel_on_drop(CancellationPolicy::RUNNING);
    assert!(poll!(stream.next()).is_pending());
    gate.wait_arrivals(1).await;
    drop(stream);
    gate.wait_notes(1).await;
}

pub async fn handle_drop_sets_the_token(rig: Rig) {
    let (_pool, gate, task) = listener(&rig, CancellationPolicy::NONE).await;
    drop(task.cancel_on_drop(CancellationPolicy::ALL));
    gate.wait_notes(1).await;
}
