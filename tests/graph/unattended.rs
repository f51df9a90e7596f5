//! Graphs in pools whose workers run by themselves.

use futures::{FutureExt, StreamExt};
use polypool::graph::{Outcome, TaskGraph};
use polypool::{CancellationPolicy, EventKind, Executor, TaskError, worker};

use crate::gate::Gate;
use crate::ground::{Rig, hold, mark, named, nothing, outcomes, reports, sorted};

case_list!(
    unattended: nobody_polls,
    no_more_under_way_than_workers,
    pool_that_grows_meanwhile,
    pool_that_shrinks_meanwhile,
    limit_lets_end_what_runs,
    run_that_is_aborted_amid,
    run_dropped_with_none_goes_on,
    run_dropped_with_pending_lets_end_what_runs,
    run_dropped_with_running_stops_what_runs,
    run_dropped_with_all_stops_everything,
    detached_run_holds_its_pool_and_lets_it_go,
    pool_shut_down_amid_with_all,
    pool_shut_down_amid_with_none,
    others_use_the_bounded_queue,
    time_limit_of_a_task,
    graph_within_a_task_of_its_pool,
    two_runs_share_a_pool,
    progress_tells_what_runs,
);

pub async fn nobody_polls(rig: Rig) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new();
    let first = graph.task("first", mark, (gate, 1)).output();
    let second = graph.task_from("second", |n| n + 1, first).output();
    graph.task_from("third", mark, (polypool::graph::value(gate), second));
    let mut run = graph.run(&rig.pool(1)).unwrap();
    gate.wait_notes(2).await;
    assert_eq!(gate.notes(), [1, 2]);
    let names: Vec<_> = (&mut run).map(|(name, _)| name).collect().await;
    assert_eq!(names, ["first", "second", "third"]);
}

async fn inside((gate, n): (Gate, usize)) {
    let _inside = gate.enter();
    gate.meet(n).await;
}

pub async fn no_more_under_way_than_workers(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(3));
    let mut graph = TaskGraph::new();
    for n in 0..30 {
        // The first three meet, so three are seen at once.
        graph.task_async(n.to_string(), inside, (gate, 3));
    }
    let mut events = pool.events();
    let mut run = graph.run(&pool).unwrap();
    while let Some((_, report)) = run.next().await {
        assert_eq!(report.outcome, Outcome::Done);
        assert!(run.progress().running <= 3, "{:?}", run.progress());
    }
    // The end of a task is told before the next is submitted.
    let mut under_way = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        match event.kind {
            EventKind::TaskQueued { .. } => under_way += 1,
            EventKind::TaskFinished { .. } => under_way -= 1,
            _ => {}
        }
        assert!((0..=3).contains(&under_way), "{under_way}: {event:?}");
    }
    assert_eq!(under_way, 0);
    assert_eq!(gate.most_inside(), 3);
}

pub async fn pool_that_grows_meanwhile(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(1));
    let mut graph = TaskGraph::new();
    for n in 0..3 {
        graph.task_async(n.to_string(), inside, (gate, 3));
    }
    let mut run = graph.run(&pool).unwrap();
    gate.wait_arrivals(1).await;
    pool.resize(3).unwrap();
    assert!(run.finish().await.is_success());
    assert_eq!(gate.most_inside(), 3);
}

pub async fn pool_that_shrinks_meanwhile(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(3));
    let mut graph = TaskGraph::new();
    for n in 0..12 {
        graph.task_async(n.to_string(), hold, (gate, n));
    }
    let mut run = graph.run(&pool).unwrap();
    gate.wait_notes(3).await;
    pool.resize(1).unwrap();
    gate.open();
    assert!(run.finish().await.is_success());
    assert_eq!(gate.notes().len(), 12);
}

pub async fn limit_lets_end_what_runs(rig: Rig) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new().max_failures(1);
    graph.task_async("held", hold, (gate, 1));
    graph.try_task_async(
        "bad",
        async |gate: Gate| {
            gate.wait_notes(1).await;
            Err::<(), _>("no")
        },
        gate,
    );
    graph.task("not started", mark, (gate, 2));
    graph.task("after held", mark, (gate, 3)).after(["held"]);
    let mut run = graph.run(&rig.pool(2)).unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(run.next().await.map(|(name, report)| (name, report.outcome)).unwrap());
    }
    assert_eq!(told[0], ("bad".to_owned(), Outcome::Failed));
    assert_eq!(
        sorted(told[1..].to_vec()),
        named([("after held", Outcome::Abandoned), ("not started", Outcome::Abandoned)])
    );
    assert_eq!(run.progress().running, 1);
    gate.open();
    assert_eq!(outcomes(&mut run).await, named([("held", Outcome::Done)]));
    assert_eq!(gate.notes(), [1]);
}

/// Two that run until the gate is open, one that is ready, one that waits.
fn held_graph(gate: Gate) -> TaskGraph {
    let mut graph = TaskGraph::new();
    graph.task_async("a", hold, (gate, 1)).priority(1);
    graph.task_async("b", hold, (gate, 2)).priority(1);
    graph.task("c", mark, (gate, 3));
    graph.task("d", mark, (gate, 4)).after(["a", "b"]);
    graph
}

pub async fn run_that_is_aborted_amid(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let mut run = held_graph(gate).run(&pool).unwrap();
    gate.wait_notes(2).await;
    run.abort();
    let outcomes = sorted(outcomes(&mut run).await);
    assert_eq!(outcomes, ["a", "b", "c", "d"].map(|name| (name.to_owned(), Outcome::Cancelled)));
    gate.open();
    assert_eq!(pool.submit(mark, (gate, 9)).await.unwrap(), 9);
    assert_eq!(gate.sorted_notes(), [1, 2, 9]);
}

pub async fn run_dropped_with_none_goes_on(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    drop(held_graph(gate).run(&pool).unwrap().cancel_on_drop(CancellationPolicy::NONE));
    gate.wait_notes(2).await;
    gate.open();
    gate.wait_notes(4).await;
    assert_eq!(gate.sorted_notes(), [1, 2, 3, 4]);
}

pub async fn run_dropped_with_pending_lets_end_what_runs(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let run = held_graph(gate).run(&pool).unwrap();
    gate.wait_notes(2).await;
    drop(run);
    assert_eq!(pool.stats().running, 2);
    gate.open();
    let report = pool.shutdown(CancellationPolicy::NONE).await;
    assert_eq!((report.completed, report.cancelled), (2, 0));
    assert_eq!(gate.sorted_notes(), [1, 2]);
}

pub async fn run_dropped_with_running_stops_what_runs(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let run = held_graph(gate).run(&pool).unwrap().cancel_on_drop(CancellationPolicy::RUNNING);
    gate.wait_notes(2).await;
    drop(run);
    // What comes after those that were stopped is skipped, and what was ready goes on.
    gate.wait_notes(3).await;
    let report = pool.shutdown(CancellationPolicy::NONE).await;
    assert_eq!((report.completed, report.cancelled), (1, 2));
    assert_eq!(gate.sorted_notes(), [1, 2, 3]);
}

pub async fn run_dropped_with_all_stops_everything(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let others = pool.submit(nothing, ());
    others.await.unwrap();
    let run = held_graph(gate).run(&pool).unwrap().cancel_on_drop(CancellationPolicy::ALL);
    gate.wait_notes(2).await;
    drop(run);
    let report = pool.shutdown(CancellationPolicy::NONE).await;
    assert_eq!((report.completed, report.cancelled), (1, 2));
    assert_eq!(gate.sorted_notes(), [1, 2]);
}

pub async fn detached_run_holds_its_pool_and_lets_it_go(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let events = pool.events();
    let run = held_graph(gate).run(&pool).unwrap().cancel_on_drop(false);
    drop(pool);
    gate.wait_notes(2).await;
    drop(run);
    gate.open();
    // The events end with the pool.
    let completed = events.filter(|event| {
        let is_finished = matches!(event.kind, polypool::EventKind::TaskFinished { .. });
        async move { is_finished }
    });
    assert_eq!(completed.count().await, 4);
    assert_eq!(gate.sorted_notes(), [1, 2, 3, 4]);
}

pub async fn pool_shut_down_amid_with_all(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let mut run = held_graph(gate).run(&pool).unwrap();
    gate.wait_notes(2).await;
    pool.shutdown(CancellationPolicy::ALL).await;
    let reports = reports(&mut run).await;
    assert_eq!(reports.len(), 4);
    for (name, report) in reports {
        match &report.outcome {
            Outcome::Cancelled => {
                assert!(matches!(report.result, Err(TaskError::Cancelled | TaskError::Shutdown)))
            }
            // It comes after both; one of them was cancelled first.
            Outcome::Skipped { because } => {
                assert!(name == "d" && ["a", "b"].contains(&because.as_str()), "{name}: {because}");
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(gate.sorted_notes(), [1, 2]);
}

pub async fn pool_shut_down_amid_with_none(rig: Rig) {
    let (gate, pool) = (Gate::new(), rig.pool(2));
    let mut run = held_graph(gate).run(&pool).unwrap();
    gate.wait_notes(2).await;
    let shutdown = pool.shutdown(CancellationPolicy::NONE);
    gate.open();
    let (outcomes, _) = futures::join!(outcomes(&mut run), shutdown);
    assert_eq!(
        sorted(outcomes),
        named([
            ("a", Outcome::Done),
            ("b", Outcome::Done),
            ("c", Outcome::Cancelled),
            ("d", Outcome::Cancelled),
        ])
    );
}

pub async fn others_use_the_bounded_queue(rig: Rig) {
    let gate = Gate::new();
    let pool = rig.builder(2).max_pending(1).build().unwrap();
    // The second is refused where the first was not taken yet. One at least is in the way.
    let others: Vec<_> = (0..2).map(|n| pool.submit_async(hold, (gate, n))).collect();
    let mut graph = TaskGraph::new();
    for n in 10..40 {
        graph.task(n.to_string(), mark, (gate, n));
    }
    let mut run = graph.run(&pool).unwrap();
    gate.wait_notes(1).await;
    gate.open();
    assert_eq!(run.finish().await.to_string(), "30 done");
    for other in others {
        match other.await {
            Ok(_) | Err(TaskError::QueueFull) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub async fn time_limit_of_a_task(rig: Rig) {
    let mut graph = TaskGraph::new();
    let limit = std::time::Duration::from_millis(20);
    graph.task_async("endless", |()| std::future::pending::<()>(), ()).timeout(limit);
    graph.task("after", nothing, ()).after(["endless"]);
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let (name, report) = run.next().await.unwrap();
    assert_eq!((name.as_str(), report.outcome), ("endless", Outcome::Failed));
    assert!(report.result.unwrap_err().is_timed_out());
    assert_eq!(run.finish().await.to_string(), "0 done, 1 failed, 1 skipped");
}

/// Runs a graph in the pool that it runs in itself, and waits for it.
async fn nested(depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    let pool: Executor = worker::executor().unwrap();
    let mut graph = TaskGraph::new();
    let left = graph.task_async("left", nested_boxed, depth - 1).output();
    let right = graph.task_async("right", nested_boxed, depth - 1).output();
    let sum = graph.task_from("sum", |(a, b)| a + b, (left, right)).output();
    let mut run = graph.run(&pool).unwrap();
    assert!(run.finish().await.is_success());
    run.take_output(sum).unwrap()
}

fn nested_boxed(depth: u64) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(nested(depth))
}

pub async fn graph_within_a_task_of_its_pool(rig: Rig) {
    let pool = rig.pool(1);
    assert_eq!(pool.submit_async(nested_boxed, 2).await.unwrap(), 4);
}

pub async fn two_runs_share_a_pool(rig: Rig) {
    let pool = rig.pool(2);
    let run = |n: u64| {
        let mut graph = TaskGraph::new();
        let parts: Vec<_> = (0..20).map(|i| graph.task(i.to_string(), |n: u64| n, n).output()).collect();
        let sum = graph.task_from("sum", |parts: Vec<u64>| parts.iter().sum::<u64>(), parts).output();
        (graph.run(&pool).unwrap(), sum)
    };
    let ((mut a, sum_a), (mut b, sum_b)) = (run(1), run(2));
    futures::join!(a.finish(), b.finish());
    assert_eq!((a.take_output(sum_a), b.take_output(sum_b)), (Some(20), Some(40)));
    assert_eq!(a.take_output(sum_b), None);
}

pub async fn progress_tells_what_runs(rig: Rig) {
    let gate = Gate::new();
    let mut run = held_graph(gate).run(&rig.pool(2)).unwrap();
    gate.wait_notes(2).await;
    let progress = run.progress();
    assert_eq!((progress.total, progress.ended(), progress.running), (4, 0, 2));
    assert_eq!(futures::Stream::size_hint(&run), (4, Some(4)));
    gate.open();
    run.finish().await;
    let progress = run.progress();
    assert_eq!((progress.done, progress.running), (4, 0));
}
