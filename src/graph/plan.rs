//! A graph before it runs: whether it can, and what goes before what. Runs nothing.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use petgraph::{
    Direction,
    algo::toposort,
    graph::{DiGraph, NodeIndex},
};

use super::TaskGraph;
use crate::error::BuildError;

/// Of a name that nobody has, so many others are offered.
const OFFERED: usize = 5;

/// A graph that can be run: an edge goes from each task to those that come after it.
#[derive(Debug)]
pub(super) struct Plan {
    graph: DiGraph<(), (), u32>,
    priorities: Vec<i32>,
    /// The largest sum of costs on a way from the task to the end, itself included.
    paths: Vec<u64>,
}

/// Whose turn is first: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: i32,
    path: u64,
    node: Reverse<usize>,
}

impl Rank {
    pub(super) fn node(self) -> usize {
        self.node.0
    }
}

impl Plan {
    pub(super) fn new(tasks: &TaskGraph) -> Result<Self, BuildError> {
        if tasks.max_failures == Some(0) {
            let text = "a graph with `max_failures` of 0 would start nothing; it must be 1 or more";
            return Err(BuildError::OutOfRange(text.to_owned()));
        }
        let graph = edges(tasks)?;
        let order = toposort(&graph, None).map_err(|cycle| cycle_through(tasks, &graph, cycle.node_id()))?;
        let mut paths = vec![0; tasks.entries.len()];
        for node in order.into_iter().rev() {
            let below = graph.neighbors(node).map(|next| paths[next.index()]).max().unwrap_or(0);
            paths[node.index()] = below + u64::from(tasks.entries[node.index()].cost);
        }
        let priorities = tasks.entries.iter().map(|entry| entry.options.priority).collect();
        Ok(Self { graph, priorities, paths })
    }

    pub(super) fn rank(&self, node: usize) -> Rank {
        Rank { priority: self.priorities[node], path: self.paths[node], node: Reverse(node) }
    }

    /// The tasks that wait for this one. One may come several times, as it counts in `waits_for`.
    pub(super) fn next(&self, node: usize) -> impl Iterator<Item = usize> {
        self.graph.neighbors(NodeIndex::new(node)).map(NodeIndex::index)
    }

    /// How many tasks each one waits for.
    pub(super) fn waits_for(&self) -> Vec<usize> {
        let before = |node| self.graph.neighbors_directed(node, Direction::Incoming).count();
        self.graph.node_indices().map(before).collect()
    }

    /// The order in which one worker would go.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut waits_for = self.waits_for();
        let first = (0..waits_for.len()).filter(|&node| waits_for[node] == 0);
        let mut ready: BinaryHeap<_> = first.map(|node| self.rank(node)).collect();
        let mut order = Vec::with_capacity(waits_for.len());
        while let Some(rank) = ready.pop() {
            order.push(rank.node());
            for next in self.next(rank.node()) {
                waits_for[next] -= 1;
                if waits_for[next] == 0 {
                    ready.push(self.rank(next));
                }
            }
        }
        order
    }
}

fn edges(tasks: &TaskGraph) -> Result<DiGraph<(), (), u32>, BuildError> {
    let mut graph = DiGraph::with_capacity(tasks.entries.len(), 0);
    let mut names = HashMap::with_capacity(tasks.entries.len());
    for entry in &tasks.entries {
        let node: NodeIndex<u32> = graph.add_node(());
        if names.insert(entry.name.as_str(), node).is_some() {
            return Err(BuildError::Graph(format!(
                "two tasks of the graph are named `{}`; give each a name of its own",
                entry.name
            )));
        }
    }
    for (entry, node) in tasks.entries.iter().zip(graph.node_indices()) {
        for before in &entry.after {
            let Some(&before) = names.get(before.as_str()) else {
                return Err(BuildError::Graph(unknown(tasks, &entry.name, before)));
            };
            graph.add_edge(before, node, ());
        }
        for key in &entry.inputs {
            if key.graph != tasks.id {
                return Err(BuildError::Graph(format!(
                    "the task `{}` takes the output of a task in another graph, its number {}; add both to one graph",
                    entry.name,
                    key.node + 1
                )));
            }
            graph.add_edge(NodeIndex::new(key.node), node, ());
        }
    }
    Ok(graph)
}

fn unknown(tasks: &TaskGraph, task: &str, before: &str) -> String {
    let alike =
        |name: &str| name.chars().zip(before.chars()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let mut known: Vec<_> = tasks.entries.iter().map(|entry| entry.name.as_str()).collect();
    known.sort_by_key(|name| Reverse(alike(name)));
    let more = if known.len() > OFFERED { ", …" } else { "" };
    known.truncate(OFFERED);
    format!(
        "the task `{task}` comes after `{before}`, which is not in the graph; add it, or name one that is there: {}{more}",
        known.join(", ")
    )
}

/// The shortest cycle that this task is on.
fn cycle_through(tasks: &TaskGraph, graph: &DiGraph<(), (), u32>, on: NodeIndex<u32>) -> BuildError {
    let mut came_from = vec![None; graph.node_count()];
    let mut looking = VecDeque::from([on]);
    while let Some(node) = looking.pop_front() {
        for before in graph.neighbors_directed(node, Direction::Incoming) {
            if came_from[before.index()].is_none() {
                came_from[before.index()] = Some(node);
                looking.push_back(before);
            }
        }
        if came_from[on.index()].is_some() {
            break;
        }
    }
    let mut cycle = vec![on];
    let mut at = on;
    while let Some(next) = came_from[at.index()].filter(|&next| next != on) {
        cycle.push(next);
        at = next;
    }
    // Wherever the search began, it is told from the task that was added first.
    let first = (0..cycle.len()).min_by_key(|&n| cycle[n]).unwrap_or(0);
    cycle.rotate_left(first);
    cycle.push(cycle[0]);
    BuildError::Cycle {
        path: cycle.into_iter().map(|node| tasks.entries[node.index()].name.clone()).collect(),
    }
}
