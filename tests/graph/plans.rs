//! What a graph may look like, and what is said of one that cannot be run.

use polypool::graph::TaskGraph;
use polypool::{BuildError, Executor};

use crate::ground::nothing;

#[track_caller]
fn refused(graph: TaskGraph) -> String {
    let dry = graph.order().map(|_| ()).unwrap_err().to_string();
    let error = graph.run(&Executor::serial()).unwrap_err();
    assert_eq!(error.to_string(), dry);
    dry
}

/// A graph of these tasks, each after those behind its name.
fn graph(tasks: &[(&str, &[&str])]) -> TaskGraph {
    let mut graph = TaskGraph::new();
    for (name, after) in tasks {
        graph.task(*name, nothing, ()).after(after.iter().copied());
    }
    graph
}

const CYCLE: &str = "the tasks wait for each other, each for the one before it: ";
const REMEDY: &str = "; take one of these dependencies away";

#[test]
fn names_that_a_task_comes_after() {
    let mut graph = TaskGraph::new();
    let owned = ["a".to_owned(), "b".to_owned()];
    graph.task("d", nothing, ()).after(owned.iter().map(String::as_str));
    graph.task("c", nothing, ()).after(["b", "a"]);
    graph.task("b", nothing, ()).after(vec!["a"]).after([]);
    graph.task("a", nothing, ()).after([]).after(vec![]);
    assert_eq!(graph.order().unwrap(), ["a", "b", "d", "c"]);
}

#[test]
fn cycle_of_one() {
    assert_eq!(refused(graph(&[("a", &["a"])])), format!("{CYCLE}a -> a{REMEDY}"));
}

#[test]
fn cycle_of_two() {
    let text = refused(graph(&[("b", &["a"]), ("a", &["b"])]));
    assert_eq!(text, format!("{CYCLE}b -> a -> b{REMEDY}"));
}

#[test]
fn cycle_among_others_is_named_from_each_task_to_the_one_that_waits_for_it() {
    let graph = graph(&[
        ("in", &[]),
        ("a", &["c", "in"]),
        ("b", &["a"]),
        ("c", &["b"]),
        ("out", &["c"]),
        ("more", &["out"]),
    ]);
    let BuildError::Cycle { path } = graph.run(&Executor::serial()).unwrap_err() else { unreachable!() };
    assert_eq!(path, ["a", "b", "c", "a"]);
}

#[test]
fn shortest_cycle_through_a_task() {
    let graph = graph(&[("a", &["d"]), ("b", &["a"]), ("c", &["b"]), ("d", &["c", "a"])]);
    let BuildError::Cycle { path } = graph.run(&Executor::serial()).unwrap_err() else { unreachable!() };
    assert_eq!(path, ["a", "d", "a"]);
}

#[test]
fn very_long_cycle_is_cut_in_the_message_and_whole_in_the_error() {
    const LONG: usize = 20_000;
    let mut graph = TaskGraph::new();
    for n in 0..LONG {
        graph.task(format!("t{n}"), nothing, ()).after([format!("t{}", (n + LONG - 1) % LONG).as_str()]);
    }
    let error = graph.run(&Executor::serial()).unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 300 && text.contains(" -> … 19989 more … -> "), "{text}");
    let BuildError::Cycle { path } = error else { unreachable!() };
    assert_eq!(path.len(), LONG + 1);
}

#[test]
fn unknown_name_is_answered_with_those_that_are_like_it() {
    let text =
        refused(graph(&[("lint", &[]), ("fetch", &[]), ("compile", &["fetch"]), ("test", &["compiel"])]));
    assert_eq!(
        text,
        "the task `test` comes after `compiel`, which is not in the graph; add it, or name one that is there: \
         compile, lint, fetch, test"
    );
    let many: Vec<_> = (0..100).map(|n| format!("t{n}")).collect();
    let mut graph = TaskGraph::new();
    for name in &many {
        graph.task(name.as_str(), nothing, ());
    }
    graph.task("x", nothing, ()).after(["t99?"]);
    let text = refused(graph);
    assert!(text.ends_with("one that is there: t99, t9, t90, t91, t92, …"), "{text}");
}

#[test]
fn name_that_is_there_twice() {
    let text = refused(graph(&[("a", &[]), ("b", &[]), ("a", &[])]));
    assert_eq!(text, "two tasks of the graph are named `a`; give each a name of its own");
}

#[test]
fn output_of_another_graph() {
    let mut one = TaskGraph::new();
    one.task("first", nothing, ());
    let foreign = one.task("second", |n: u32| n, 1).output();
    let mut other = TaskGraph::new();
    let own = other.task("own", |n: u32| n, 1).output();
    other.task_from("sum", |(a, b)| a + b, (own, foreign));
    assert_eq!(
        refused(other),
        "the task `sum` takes the output of a task in another graph, its number 2; add both to one graph"
    );
}

#[test]
fn limit_of_no_failures() {
    let mut graph = TaskGraph::new().max_failures(0);
    graph.task("a", nothing, ());
    assert!(matches!(graph.order(), Err(BuildError::OutOfRange(_))));
    assert_eq!(refused(graph), "a graph with `max_failures` of 0 would start nothing; it must be 1 or more");
}

#[test]
fn names_are_any_text() {
    let graph = graph(&[("", &[]), ("a b\n", &["", "", ""]), ("→", &["a b\n"])]);
    assert_eq!(graph.order().unwrap(), ["", "a b\n", "→"]);
}

#[test]
fn order_is_by_priority_then_by_the_way_that_is_left_then_as_added() {
    let mut graph = TaskGraph::new();
    graph.task("last", nothing, ()).priority(-1);
    graph.task("plain", nothing, ());
    graph.task("also plain", nothing, ());
    graph.task("c", nothing, ()).after(["b"]);
    graph.task("b", nothing, ()).after(["a"]);
    graph.task("a", nothing, ());
    graph.task("dear", nothing, ()).cost(3);
    graph.task("dearer", nothing, ()).cost(4);
    graph.task("first", nothing, ()).priority(1).cost(0);
    assert_eq!(
        graph.order().unwrap(),
        ["first", "dearer", "a", "dear", "b", "plain", "also plain", "c", "last"]
    );
    assert_eq!(graph.len(), 9);
    assert!(format!("{graph:?}").starts_with("TaskGraph [\"last\", \"plain\","), "{graph:?}");
}
