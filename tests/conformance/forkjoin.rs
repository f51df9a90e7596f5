//! Tasks that wait for tasks of their own pool, which wait in their turn: as deep as anybody likes, on two workers.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::future::join_all;
use polypool::{Executor, TaskError, TaskHandle, TaskState, worker};

use crate::rig::Rig;
use crate::work::double;

topic! { forkjoin:
    Every [
        a_thousand_levels_that_await,
        a_thousand_levels_on_one_worker,
        a_tree_that_awaits_both_branches,
        panic_comes_up_through_all_levels,
    ]
    Blocking [
        a_thousand_levels_that_join,
        a_thousand_levels_that_join_what_has_begun,
        a_thousand_levels_that_join_and_await_in_turn,
        fifty_levels_that_wait_by_a_block_on_of_others,
        a_tree_that_joins_both_branches,
        several_trees_at_once,
        limit_holds_while_workers_help,
        worker_is_the_same_for_what_it_helps_with,
        counts_are_right_after_a_deep_recursion,
    ]
}

/// As deep as it gets. Where each level is a journey or two to another machine, less.
fn depth(rig: &Rig) -> u64 {
    if rig.is_far() { 100 } else { 1_000 }
}

fn sum(deep: u64) -> u64 {
    deep * (deep + 1) / 2
}

type Answer = Pin<Box<dyn Future<Output = u64> + Send>>;

fn own_pool() -> Executor {
    worker::executor().expect("inside a task")
}

fn joining(n: u64) -> u64 {
    if n == 0 { 0 } else { n + own_pool().submit(joining, n - 1).blocking_join().unwrap() }
}

fn awaiting(n: u64) -> Answer {
    Box::pin(
        async move { if n == 0 { 0 } else { n + own_pool().submit_async(awaiting, n - 1).await.unwrap() } },
    )
}

/// Waits a moment for a task to begin. Where no worker is left for it, it does not.
fn let_begin(task: &TaskHandle<u64>) {
    let start = Instant::now();
    while task.state() == TaskState::Queued && start.elapsed() < Duration::from_millis(1) {
        std::thread::yield_now();
    }
}

fn joining_late(n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    let rest = own_pool().submit(joining_late, n - 1);
    let_begin(&rest);
    n + rest.blocking_join().unwrap()
}

fn joining_in_turn(n: u64) -> u64 {
    if n == 0 { 0 } else { n + own_pool().submit_async(awaiting_in_turn, n - 1).blocking_join().unwrap() }
}

fn awaiting_in_turn(n: u64) -> Answer {
    Box::pin(
        async move { if n == 0 { 0 } else { n + own_pool().submit(joining_in_turn, n - 1).await.unwrap() } },
    )
}

fn blocking(n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    let rest = own_pool().submit(blocking, n - 1);
    let_begin(&rest);
    n + futures::executor::block_on(rest).unwrap()
}

fn tree(height: u64) -> u64 {
    if height == 0 {
        return 1;
    }
    let pool = own_pool();
    let branches = [pool.submit(tree, height - 1), pool.submit(tree, height - 1)];
    branches.into_iter().map(|branch| branch.blocking_join().unwrap()).sum()
}

fn tree_awaiting(height: u64) -> Answer {
    Box::pin(async move {
        if height == 0 {
            return 1;
        }
        let pool = own_pool();
        let branches = (0..2).map(|_| pool.submit_async(tree_awaiting, height - 1));
        join_all(branches).await.into_iter().map(Result::unwrap).sum()
    })
}

pub async fn a_thousand_levels_that_await(rig: Rig) {
    let deep = depth(&rig);
    let pool = rig.pool(2);
    assert_eq!(pool.submit_async(awaiting, deep).await.unwrap(), sum(deep));
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn a_thousand_levels_that_join(rig: Rig) {
    let deep = depth(&rig);
    let pool = rig.pool(2);
    assert_eq!(pool.submit(joining, deep).await.unwrap(), sum(deep));
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn a_thousand_levels_that_join_what_has_begun(rig: Rig) {
    let deep = depth(&rig);
    assert_eq!(rig.pool(2).submit(joining_late, deep).await.unwrap(), sum(deep));
}

pub async fn a_thousand_levels_on_one_worker(rig: Rig) {
    let deep = depth(&rig);
    let pool = rig.pool(1);
    assert_eq!(pool.submit_async(awaiting, deep).await.unwrap(), sum(deep));
    if rig.blocks_freely() || rig.runs_alone() {
        assert_eq!(pool.submit(joining, deep).await.unwrap(), sum(deep));
    }
}

pub async fn a_thousand_levels_that_join_and_await_in_turn(rig: Rig) {
    let deep = depth(&rig);
    assert_eq!(rig.pool(2).submit(joining_in_turn, deep).await.unwrap(), sum(deep));
}

/// Which cannot be nested, so that each level costs a thread.
pub async fn fifty_levels_that_wait_by_a_block_on_of_others(rig: Rig) {
    assert_eq!(rig.pool(2).submit(blocking, 50).await.unwrap(), 1_275);
}

pub async fn a_tree_that_awaits_both_branches(rig: Rig) {
    assert_eq!(rig.pool(2).submit_async(tree_awaiting, 7).await.unwrap(), 128);
}

pub async fn a_tree_that_joins_both_branches(rig: Rig) {
    assert_eq!(rig.pool(2).submit(tree, 9).await.unwrap(), 512);
}

pub async fn several_trees_at_once(rig: Rig) {
    let pool = rig.pool(2);
    let trees: Vec<_> = (0..5).map(|height| pool.submit(tree, height)).collect();
    let deep = pool.submit(joining, 100);
    let leaves: Vec<u64> = join_all(trees).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(leaves, [1, 2, 4, 8, 16]);
    assert_eq!(deep.await.unwrap(), 5_050);
}

pub async fn panic_comes_up_through_all_levels(rig: Rig) {
    fn falling(n: u64) -> Pin<Box<dyn Future<Output = Result<u64, TaskError>> + Send>> {
        Box::pin(async move {
            assert!(n > 0, "at the bottom");
            own_pool().submit_async(falling, n - 1).await?
        })
    }
    let error = rig.pool(2).submit_async(falling, depth(&rig) / 5).await.unwrap().unwrap_err();
    assert_is!(error, TaskError::Panicked(info) if info.message == "at the bottom");
}

/// No more tasks compute at once than there are workers, whoever computes them.
pub async fn limit_holds_while_workers_help(rig: Rig) {
    fn counted((gate, height): (crate::gate::Gate, u64)) -> u64 {
        let pool = own_pool();
        if height == 0 {
            let _inside = gate.enter();
            std::thread::sleep(Duration::from_micros(200));
            return 1;
        }
        let branches = [(); 2].map(|()| pool.submit(counted, (gate, height - 1)));
        branches.into_iter().map(|branch| branch.blocking_join().unwrap()).sum()
    }
    let gate = rig.gate();
    assert_eq!(rig.pool(2).submit(counted, (gate, 7)).await.unwrap(), 128);
    // More for a moment, where those take their places back whose wait is over, which a process says by a message. All that there
    // are would be ten.
    let most = if rig.is_local() { 6 } else { 8 };
    assert!(gate.most_inside() <= most, "{}", gate.most_inside());
}

pub async fn worker_is_the_same_for_what_it_helps_with(rig: Rig) {
    let deep = depth(&rig);
    fn places(n: u64) -> Vec<(usize, u64)> {
        let here = (worker::index().unwrap(), worker::id().unwrap());
        if n == 0 {
            return vec![here];
        }
        let mut below = own_pool().submit(places, n - 1).blocking_join().unwrap();
        assert_eq!((worker::index().unwrap(), worker::id().unwrap()), here, "it changes for nobody");
        below.push(here);
        below
    }
    let pool = rig.pool(2);
    let places = pool.submit(places, deep / 10).await.unwrap();
    let mut ids: Vec<u64> = places.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    // Two workers and eight that stand in.
    assert!(ids.len() <= 10, "{} workers", ids.len());
    assert!(places.iter().all(|(index, _)| *index < 10), "{places:?}");
}

pub async fn counts_are_right_after_a_deep_recursion(rig: Rig) {
    let deep = depth(&rig);
    let pool = rig.pool(2);
    pool.submit(joining, deep).await.unwrap();
    pool.submit(tree, 5).await.unwrap();
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (deep + 1 + 63, 0, 0));
}
