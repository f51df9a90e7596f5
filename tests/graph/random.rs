//! Any graph at all: each task is reported once, none runs before those that it comes after, none runs after one that failed.

use std::collections::{HashMap, HashSet};

use futures::StreamExt;
use polypool::graph::{Outcome, TaskGraph};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use crate::gate::Gate;
use crate::ground::Rig;

case_list!(random: any_graph);

#[derive(Debug, Clone)]
struct Plan {
    /// For each task those among the earlier ones that it comes after, and whether it fails.
    tasks: Vec<(Vec<usize>, bool)>,
    /// The order in which they are added.
    order: Vec<usize>,
    priorities: Vec<i32>,
    max_failures: Option<usize>,
    workers: usize,
}

fn plans(most: usize) -> impl Strategy<Value = Plan> {
    (0..most).prop_flat_map(|n| {
        let tasks: Vec<_> = (0..n)
            .map(|task| {
                let after = prop::collection::vec(0..task.max(1), 0..4.min(task + 1));
                (after, prop::bool::weighted(0.1))
                    .prop_map(move |(after, fails)| (if task == 0 { Vec::new() } else { after }, fails))
            })
            .collect();
        (
            tasks,
            Just((0..n).collect::<Vec<_>>()).prop_shuffle(),
            prop::collection::vec(-1..2, n),
            prop::option::weighted(0.3, 1..4_usize),
            1..5_usize,
        )
            .prop_map(|(tasks, order, priorities, max_failures, workers)| Plan {
                tasks,
                order,
                priorities,
                max_failures,
                workers,
            })
    })
}

fn work((gate, n, fails): (Gate, u64, bool)) -> Result<(), String> {
    gate.note(n);
    if fails { Err(format!("{n} fails")) } else { Ok(()) }
}

pub async fn any_graph(rig: Rig) {
    let (cases, most) = if rig.is_away() { (12, 20) } else { (100, 40) };
    let mut runner = TestRunner::new(Config::default());
    let plans = plans(most);
    for _ in 0..cases {
        let plan = plans.new_tree(&mut runner).unwrap().current();
        check(rig, &plan).await;
    }
}

async fn check(rig: Rig, plan: &Plan) {
    let gate = Gate::new();
    let mut graph = TaskGraph::new();
    if let Some(n) = plan.max_failures {
        graph = graph.max_failures(n);
    }
    for &task in &plan.order {
        let (after, fails) = &plan.tasks[task];
        let after: Vec<_> = after.iter().map(usize::to_string).collect();
        graph
            .try_task(task.to_string(), work, (gate, task as u64, *fails))
            .after(after.iter().map(String::as_str))
            .priority(plan.priorities[task]);
    }
    let mut run = graph.run(&rig.pool(plan.workers)).unwrap();
    let mut outcomes = HashMap::new();
    while let Some((name, report)) = run.next().await {
        let task: usize = name.parse().unwrap();
        let (after, fails) = &plan.tasks[task];
        let is_done = |task: &usize| outcomes.get(task) == Some(&Outcome::Done);
        match &report.outcome {
            Outcome::Done => assert!(!fails && after.iter().all(is_done), "{plan:?}"),
            Outcome::Failed => assert!(*fails && after.iter().all(is_done), "{plan:?}"),
            Outcome::Skipped { because } => {
                let because: usize = because.parse().unwrap();
                assert_eq!(outcomes.get(&because), Some(&Outcome::Failed), "{plan:?}");
                assert!(ancestors(plan, task).contains(&because), "{plan:?}");
            }
            Outcome::Abandoned => assert!(plan.max_failures.is_some(), "{plan:?}"),
            other => panic!("{task} {other}: {plan:?}"),
        }
        assert_eq!(outcomes.insert(task, report.outcome), None, "{task} was told twice: {plan:?}");
    }
    assert_eq!(outcomes.len(), plan.tasks.len(), "{plan:?}");
    let ran = gate.notes();
    let started = outcomes.values().filter(|outcome| matches!(outcome, Outcome::Done | Outcome::Failed));
    assert_eq!(ran.len(), started.count(), "{plan:?}");
    for (at, &task) in ran.iter().enumerate() {
        let (after, _) = &plan.tasks[usize::try_from(task).unwrap()];
        assert!(after.iter().all(|&before| ran[..at].contains(&(before as u64))), "{ran:?} of {plan:?}");
    }
    let failed = outcomes.values().filter(|outcome| **outcome == Outcome::Failed).count();
    if plan.max_failures.is_none() {
        assert!(!outcomes.values().any(|outcome| *outcome == Outcome::Abandoned));
    }
    if plan.workers == 1 || rig.0 == "serial" {
        assert!(plan.max_failures.is_none_or(|most| failed <= most), "{plan:?}");
    }
    gate.remove();
}

fn ancestors(plan: &Plan, task: usize) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut looking = vec![task];
    while let Some(task) = looking.pop() {
        looking.extend(plan.tasks[task].0.iter().filter(|&&before| found.insert(before)));
    }
    found
}
