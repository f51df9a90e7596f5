//! What every backend makes of a graph.

use futures::StreamExt;
use polypool::graph::{Outcome, TaskGraph, value};
use polypool::{Failure, TaskError, TaskOptions};
use serde::{Deserialize, Serialize};

use crate::gate::Gate;
use crate::ground::{Rig, burst, mark, named, nothing, outcomes, refuse, reports, skipped, sorted};

case_list!(
    everywhere: empty_graph,
    diamond_passes_its_values,
    every_shape_of_argument,
    result_is_cloned_for_all_but_the_last,
    results_after_the_run,
    result_that_was_to_be_kept,
    one_worker_goes_by_priority_way_and_order,
    skipped_tasks_name_the_one_that_failed,
    error_of_a_task_is_a_value_or_a_failure,
    panic_fails_one_task,
    too_many_failures,
    second_failure_is_the_limit,
    abort_before_anything_ran,
    cancelled_run_says_so,
    result_that_cannot_be_decoded,
    clone_that_panics_fails_the_task_that_wanted_it,
    name_is_told_in_events,
    chain_of_thousands,
    pool_that_was_shut_down_before,
    bounded_queue,
    run_is_send_and_holds_its_pool,
);

pub async fn empty_graph(rig: Rig) {
    let mut run = TaskGraph::new().run(&rig.pool(1)).unwrap();
    assert_eq!(futures::Stream::size_hint(&run), (0, Some(0)));
    assert!(run.next().await.is_none());
    assert!(run.next().await.is_none());
    let summary = run.finish().await;
    assert!(summary.is_success());
    assert_eq!(summary.to_string(), "0 done");
}

pub async fn diamond_passes_its_values(rig: Rig) {
    let mut graph = TaskGraph::new();
    let top = graph.task("top", |n: u64| n + 1, 1).output();
    let left = graph.task_from("left", |n| n * 10, top).output();
    let right = graph.task_from_async("right", async |n: u64| format!("{n}"), top).output();
    let bottom = graph.task_from("bottom", |(n, text): (u64, String)| (n, text), (left, right)).output();
    let mut run = graph.run(&rig.pool(2)).unwrap();
    let reports = reports(&mut run).await;
    let names: Vec<_> = reports.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        [["top", "left", "right", "bottom"], ["top", "right", "left", "bottom"]]
            .contains(&names[..].try_into().unwrap())
    );
    for (_, report) in &reports {
        assert_eq!((&report.outcome, report.attempts), (&Outcome::Done, 1));
        assert!(report.result.is_ok() && report.worker.is_some());
    }
    assert_eq!(run.take_output(bottom), Some((20, "2".to_owned())));
    assert_eq!(run.take_output(bottom), None);
    assert_eq!(run.take_output(top), None, "it went on");
}

/// Eight values: a tuple in a tuple, a vector of tuples, and so on.
type Everything = ((u8, u8), String, Vec<u32>, (u8,), (), char, Vec<(u8, u8)>, u8);

pub async fn every_shape_of_argument(rig: Rig) {
    let mut graph = TaskGraph::new();
    let a = graph.task("a", |n: u8| n, 1).output();
    let text =
        graph.try_task_async("text", async |s: String| Ok::<_, Failure>(s + "!"), "t".to_owned()).output();
    let many: Vec<_> = (0..5).map(|n| graph.task(format!("n{n}"), |n: u32| n * n, n).output()).collect();
    let all = graph
        .task_from(
            "all",
            |((a, b), c, d, (e,), f, g, h, i): Everything| format!("{a}{b}{c}{d:?}{e}{f:?}{g}{h:?}{i}"),
            ((a, a), text, many, (a,), value(()), value('g'), vec![(a, value(2)); 2], a),
        )
        .output();
    graph.task_from(
        "none of many",
        |all: Vec<u32>| assert!(all.is_empty()),
        Vec::<polypool::graph::Output<u32>>::new(),
    );
    let mut run = graph.run(&rig.pool(3)).unwrap();
    assert!(run.finish().await.is_success());
    assert_eq!(run.take_output(all).unwrap(), "11t![0, 1, 4, 9, 16]1()g[(1, 2), (1, 2)]1");
}

/// Counts how often it was cloned.
#[derive(Debug, Serialize, Deserialize)]
struct Counted(Gate);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.note(1);
        Counted(self.0)
    }
}

pub async fn result_is_cloned_for_all_but_the_last(rig: Rig) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new();
    let counted = graph.task("counted", Counted, gate).output();
    for n in 0..3 {
        graph.task_from(format!("use {n}"), |_: Counted| (), counted);
    }
    let alone = graph.task("alone", Counted, gate).output();
    graph.task_from("its use", |_: Counted| (), alone);
    graph.task("unused", Counted, gate);
    assert!(graph.run(&rig.pool(1)).unwrap().finish().await.is_success());
    assert_eq!(gate.notes(), [1, 1]);
}

pub async fn results_after_the_run(rig: Rig) {
    let mut other = TaskGraph::new();
    let foreign = other.task("b", |n: u32| n, 0).output();
    let mut graph = TaskGraph::new();
    let failed = graph.try_task("a", refuse, "no".to_owned()).output();
    let b = graph.task("b", |n: u32| n, 7).output();
    let mut run = graph.run(&rig.pool(1)).unwrap();
    run.finish().await;
    assert_eq!(
        (run.take_output(failed), run.take_output(foreign), run.take_output(b), run.take_output(b)),
        (None, None, Some(7), None)
    );
}

pub async fn result_that_was_to_be_kept(rig: Rig) {
    let mut graph = TaskGraph::new();
    let kept = graph.task("kept", |()| "k".to_owned(), ()).keep().output();
    let doubled = graph.task_from("doubled", |(a, b): (String, String)| a + &b, (kept, kept)).output();
    // What a task took that then did not run is not lost.
    let unused = graph.task("unused", |()| 5, ()).output();
    let failed = graph.try_task("failed", refuse, String::new()).output();
    graph.task_from("sum", |(a, b): (u64, u64)| a + b, (unused, failed));
    let mut run = graph.run(&rig.pool(1)).unwrap();
    assert_eq!(run.finish().await.to_string(), "3 done, 1 failed, 1 skipped");
    assert_eq!(run.take_output(kept).as_deref(), Some("k"));
    assert_eq!(run.take_output(doubled).as_deref(), Some("kk"));
    assert_eq!(run.take_output(unused), Some(5));
}

pub async fn one_worker_goes_by_priority_way_and_order(rig: Rig) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new();
    graph.task("last", mark, (gate, 8)).priority(-1);
    graph.task("plain", mark, (gate, 5));
    graph.task("also plain", mark, (gate, 6));
    graph.task("c", mark, (gate, 7)).after(["b"]);
    graph.task("b", mark, (gate, 4)).after(["a"]);
    graph.task("a", mark, (gate, 2));
    graph.task("dear", mark, (gate, 3)).cost(3);
    graph.task("dearer", mark, (gate, 1)).cost(4);
    graph.task("first", mark, (gate, 0)).priority(1).cost(0);
    let order: Vec<_> = graph.order().unwrap().into_iter().map(str::to_owned).collect();
    let run = graph.run(&rig.pool(1)).unwrap();
    let names: Vec<_> = run.map(|(name, _)| name).collect().await;
    assert_eq!(names, order);
    assert_eq!(gate.notes(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

pub async fn skipped_tasks_name_the_one_that_failed(rig: Rig) {
    let mut graph = TaskGraph::new();
    graph.task("fine", nothing, ());
    let bad = graph.try_task("bad", refuse, "as told".to_owned()).output();
    graph.task_from("child", |n: u64| n, bad).after(["fine"]);
    graph.task("grandchild", nothing, ()).after(["child", "bad"]);
    graph.task("beside", nothing, ()).after(["fine"]);
    let mut run = graph.run(&rig.pool(2)).unwrap();
    let reports = reports(&mut run).await;
    let outcomes = reports.iter().map(|(name, report)| (name.clone(), report.outcome.clone())).collect();
    assert_eq!(
        sorted(outcomes),
        named([
            ("bad", Outcome::Failed),
            ("beside", Outcome::Done),
            ("child", skipped("bad")),
            ("fine", Outcome::Done),
            ("grandchild", skipped("bad")),
        ])
    );
    for (name, report) in reports {
        match name.as_str() {
            "bad" => assert_eq!(report.result.unwrap_err().to_string(), "the task failed: as told"),
            "child" => {
                assert!(report.result.unwrap_err().is_cancelled());
                assert_eq!((report.worker, report.attempts), (None, 0));
            }
            _ => {}
        }
    }
    let progress = run.progress();
    assert_eq!((progress.total, progress.ended(), progress.running), (5, 5, 0));
    assert_eq!((progress.done, progress.failed, progress.skipped, progress.cancelled), (2, 1, 2, 0));
}

pub async fn error_of_a_task_is_a_value_or_a_failure(rig: Rig) {
    // The error itself need not travel.
    let parse = |text: String| text.parse::<u16>();
    let mut graph = TaskGraph::new();
    let value = graph.task("value", refuse, "kept".to_owned()).output();
    let good = graph.try_task("good", parse, "80".to_owned()).output();
    let bad = graph.try_task("bad", parse, "eighty".to_owned()).output();
    graph.try_task_async("late", async |()| Err::<(), _>(std::fmt::Error), ());
    graph.try_task_from("passed on", |n: u16| if n > 80 { Ok(n) } else { Err(n) }, good);
    graph.try_task_from_async("never", async |n: u16| Ok::<_, Failure>(n), bad);
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let reports = reports(&mut run).await;
    let told = |name: &str| {
        let (_, report) = reports.iter().find(|(other, _)| other == name).unwrap();
        (report.outcome.to_string(), report.result.as_ref().err().map(ToString::to_string))
    };
    let failed = |text: &str| ("failed".to_owned(), Some(format!("the task failed: {text}")));
    assert_eq!(told("value"), ("done".to_owned(), None));
    assert_eq!(told("good"), ("done".to_owned(), None));
    assert_eq!(told("bad"), failed("invalid digit found in string"));
    assert_eq!(told("late"), failed("an error occurred when formatting an argument"));
    assert_eq!(told("passed on"), failed("80"));
    assert_eq!(told("never").0, "skipped because of `bad`");
    assert_eq!(run.take_output(value), Some(Err("kept".to_owned())));
    assert_eq!(run.take_output(bad), None);
}

pub async fn panic_fails_one_task(rig: Rig) {
    let mut graph = TaskGraph::new();
    graph.task("bursts", burst, ());
    graph.task("after", nothing, ()).after(["bursts"]);
    graph.task("goes on", nothing, ());
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let reports = reports(&mut run).await;
    assert_eq!(reports.len(), 3);
    let (_, report) = reports.iter().find(|(name, _)| name == "bursts").unwrap();
    let Err(TaskError::Panicked(info)) = &report.result else { panic!("{report:?}") };
    assert_eq!((info.message.as_str(), &report.outcome), ("no luck", &Outcome::Failed));
    assert_eq!(run.finish().await.to_string(), "1 done, 1 failed, 1 skipped");
}

pub async fn too_many_failures(rig: Rig) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new().max_failures(1);
    graph.try_task("bad", refuse, "no".to_owned()).priority(2);
    graph.task("child", mark, (gate, 1)).after(["bad", "other"]);
    graph.task("other", mark, (gate, 2));
    graph.task("before", mark, (gate, 3)).priority(3);
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let outcomes = outcomes(&mut run).await;
    assert_eq!(
        outcomes,
        named([
            ("before", Outcome::Done),
            ("bad", Outcome::Failed),
            ("child", skipped("bad")),
            ("other", Outcome::Abandoned),
        ])
    );
    assert_eq!(gate.notes(), [3]);
    assert_eq!(run.finish().await.to_string(), "1 done, 1 failed, 2 skipped");
}

pub async fn second_failure_is_the_limit(rig: Rig) {
    let mut graph = TaskGraph::new().max_failures(2);
    for n in 0..5 {
        graph.try_task(format!("bad {n}"), refuse, "no".to_owned());
        graph.task(format!("child {n}"), nothing, ()).after([format!("bad {n}").as_str()]);
    }
    let summary = graph.run(&rig.pool(1)).unwrap().finish().await;
    assert_eq!((summary.done, summary.failed, summary.skipped), (0, 2, 8));
    assert!(!summary.is_success());
}

pub async fn abort_before_anything_ran(rig: Rig) {
    let pool = rig.pool(1);
    let gate = Gate::new();
    // The one worker is kept busy, so that nothing of the graph can run.
    let held = (rig.0 != "serial").then(|| pool.submit_async(crate::ground::hold, (gate, 0)));
    let mut graph = TaskGraph::new();
    graph.task("a", mark, (gate, 1));
    graph.task("b", mark, (gate, 2)).after(["a"]);
    let mut run = graph.run(&pool).unwrap();
    run.abort();
    run.abort();
    let outcomes = sorted(outcomes(&mut run).await);
    assert_eq!(outcomes, named([("a", Outcome::Cancelled), ("b", Outcome::Cancelled)]));
    gate.open();
    if let Some(held) = held {
        held.await.unwrap();
    }
    assert!(!gate.notes().contains(&1));
}

pub async fn cancelled_run_says_so(rig: Rig) {
    let mut graph = TaskGraph::new();
    graph.task("a", nothing, ());
    graph.task_async("b", |()| std::future::pending::<()>(), ()).after(["a"]);
    graph.task("c", nothing, ()).after(["b"]);
    let mut run = graph.run(&rig.pool(1)).unwrap();
    assert_eq!(run.next().await.unwrap().0, "a");
    assert_eq!(run.cancel().await.to_string(), "1 done, 2 cancelled");
    assert!(run.next().await.is_none());
    assert_eq!(run.cancel().await.to_string(), "1 done, 2 cancelled");
}

/// Can be encoded, and not decoded.
#[derive(Debug, Clone, Serialize)]
struct OneWay(u8);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer)?;
        Err(serde::de::Error::custom("there is no way back"))
    }
}

pub async fn result_that_cannot_be_decoded(rig: Rig) {
    let mut graph = TaskGraph::new();
    let one_way = graph.task("one way", OneWay, 1).output();
    graph.task_from("next", |_: OneWay| (), one_way);
    graph.task("beside", nothing, ());
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let reports = reports(&mut run).await;
    if !rig.is_away() {
        assert!(reports.iter().all(|(_, report)| report.outcome == Outcome::Done));
        return;
    }
    let (_, report) = reports.iter().find(|(name, _)| name == "one way").unwrap();
    assert_eq!(report.outcome, Outcome::Failed);
    let Err(TaskError::Decode(why)) = &report.result else { panic!("{report:?}") };
    assert!(why.contains("no way back"), "{why}");
    assert_eq!(run.finish().await.to_string(), "1 done, 1 failed, 1 skipped");
}

/// Panics when it is cloned.
#[derive(Debug, Serialize, Deserialize)]
struct Unique;

impl Clone for Unique {
    fn clone(&self) -> Self {
        panic!("there is but one")
    }
}

pub async fn clone_that_panics_fails_the_task_that_wanted_it(rig: Rig) {
    let mut graph = TaskGraph::new();
    let unique = graph.task("unique", |()| Unique, ()).output();
    graph.task_from("a", |_: Unique| (), unique);
    graph.task_from("b", |_: Unique| (), unique);
    graph.task("c", nothing, ()).after(["a"]);
    let mut run = graph.run(&rig.pool(1)).unwrap();
    let reports = reports(&mut run).await;
    let (_, report) = reports.iter().find(|(name, _)| name == "a").unwrap();
    let Err(TaskError::Panicked(info)) = &report.result else { panic!("{report:?}") };
    assert_eq!(info.message, "there is but one");
    assert_eq!((report.outcome.clone(), report.attempts), (Outcome::Failed, 0));
    let summary = run.finish().await;
    assert_eq!((summary.done + summary.failed, summary.skipped), (3, 1));
}

pub async fn name_is_told_in_events(rig: Rig) {
    let pool = rig.pool(1);
    let events = pool.events();
    let mut graph = TaskGraph::new();
    graph.task("by the graph", nothing, ());
    graph.task("b", nothing, ()).options(TaskOptions::new().name("by the options")).after(["by the graph"]);
    assert!(graph.run(&pool).unwrap().finish().await.is_success());
    pool.shutdown(true).await;
    drop(pool);
    let names: Vec<_> = events
        .filter_map(async |event| match event.kind {
            polypool::EventKind::TaskQueued { name, .. } => name.map(|name| name.to_string()),
            _ => None,
        })
        .collect()
        .await;
    assert_eq!(names, ["by the graph", "by the options"]);
}

pub async fn chain_of_thousands(rig: Rig) {
    let length = if rig.is_away() { 300 } else { 5_000 };
    let mut graph = TaskGraph::new();
    let mut last = graph.task("0", |n: u64| n, 0).output();
    for n in 1..=length {
        last = graph.task_from(n.to_string(), |n| n + 1, last).output();
    }
    let mut run = graph.run(&rig.pool(2)).unwrap();
    assert!(run.finish().await.is_success());
    assert_eq!(run.take_output(last), Some(length));
}

pub async fn pool_that_was_shut_down_before(rig: Rig) {
    let pool = rig.pool(2);
    pool.shutdown(true).await;
    let mut graph = TaskGraph::new();
    for n in 0..5 {
        graph.task(n.to_string(), nothing, ());
    }
    graph.task("after", nothing, ()).after(["1", "2"]);
    let mut run = graph.run(&pool).unwrap();
    let reports = reports(&mut run).await;
    assert_eq!(reports.len(), 6);
    for (_, report) in reports {
        assert_eq!(report.outcome, Outcome::Cancelled);
        assert!(matches!(report.result, Err(TaskError::Shutdown)), "{report:?}");
    }
}

pub async fn bounded_queue(rig: Rig) {
    let pool = rig.builder(4).max_pending(1).build().unwrap();
    let mut graph = TaskGraph::new();
    for n in 0..100 {
        graph.task(n.to_string(), nothing, ());
    }
    let summary = graph.run(&pool).unwrap().finish().await;
    assert_eq!(summary.to_string(), "100 done");
    // Its place is free again.
    assert_eq!(pool.try_submit(|n: u8| n, 1).unwrap().await.unwrap(), 1);
}

pub async fn run_is_send_and_holds_its_pool(rig: Rig) {
    fn check<T: Send + Unpin + 'static>(_: &T) {}
    let mut graph = TaskGraph::new();
    for n in 0..20 {
        graph.task(n.to_string(), nothing, ());
    }
    let mut run = graph.run(&rig.pool(2)).unwrap();
    check(&run);
    let finish = run.finish();
    fn check_future<T: Send>(future: T) -> T {
        future
    }
    assert_eq!(check_future(finish).await.to_string(), "20 done");
    assert!(format!("{run:?}").contains("done: 20"), "{run:?}");
}
