//! A task of a graph as it is described: what it waits for and what it asks for.

use std::{any::Any, fmt, marker::PhantomData, time::Duration};

use super::{
    TaskGraph,
    flight::{CopyValue, Launch},
    inputs::{Key, Output},
};
use crate::task::TaskOptions;

/// What the graph keeps of a task.
pub(super) struct Entry {
    pub(super) name: String,
    /// Names of tasks that go before it.
    pub(super) after: Vec<String>,
    /// Tasks whose results are its argument.
    pub(super) inputs: Vec<Key>,
    pub(super) options: TaskOptions,
    pub(super) cost: u32,
    pub(super) launch: Launch,
    /// Somebody has the key to its result.
    pub(super) has_output: bool,
    /// Makes the copy that is kept beside those that other tasks get.
    pub(super) keep: Option<CopyValue>,
}

/// A task that was added to a graph; from [`TaskGraph::task`] and its kind. Dropping it leaves the task where it is.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use polypool::graph::TaskGraph;
///
/// let mut graph = TaskGraph::new();
/// graph.task("fetch", |n: u32| vec![n], 3).retries(2).timeout(Duration::from_secs(60));
/// graph.task("report", |()| (), ()).after(["fetch"]).priority(-1).capture_output(true);
/// ```
pub struct Node<'g, R> {
    graph: &'g mut TaskGraph,
    node: usize,
    result: PhantomData<fn() -> R>,
}

impl<'g, R> Node<'g, R> {
    pub(super) fn new(graph: &'g mut TaskGraph, node: usize) -> Self {
        Self { graph, node, result: PhantomData }
    }

    fn entry(&mut self) -> &mut Entry {
        &mut self.graph.entries[self.node]
    }

    /// Has the task wait until those of these names are done. They may be added later; that they are there is checked when the
    /// graph is run. May be called several times, and adds to what its [inputs](super::Inputs) imply.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("test", |()| (), ()).after(["build", "fixtures"]);
    ///
    /// let crates: Vec<String> = (0..3).map(|n| format!("crate {n}")).collect();
    /// graph.task("build", |()| (), ()).after(crates.iter().map(String::as_str));
    /// graph.task("fixtures", |()| (), ()).after([]);
    /// ```
    pub fn after<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.entry().after.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Sets the priority: of the tasks that are ready, a higher one goes first, also among other tasks in the pool. The default
    /// is 0.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("slowest", |()| (), ()).priority(10);
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.entry().options.priority = priority;
        self
    }

    /// Says how long the task takes in comparison with others; the default is 1. Among tasks of equal priority that goes first
    /// which has the largest sum of costs on its way to the end of the graph.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("link", |()| (), ()).cost(20);
    /// ```
    pub fn cost(mut self, cost: u32) -> Self {
        self.entry().cost = cost;
        self
    }

    /// Limits how long the task may run; see [`TaskOptions::timeout`].
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("fetch", |()| (), ()).timeout(std::time::Duration::from_secs(30));
    /// ```
    pub fn timeout(mut self, after: Duration) -> Self {
        self.entry().options.timeout = Some(after);
        self
    }

    /// Sets how often the task is tried again after its worker was lost; see [`TaskOptions::retries`].
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("fragile", |()| (), ()).retries(2);
    /// ```
    pub fn retries(mut self, n: u32) -> Self {
        self.entry().options.retries = Some(n);
        self
    }

    /// Collects what the task prints and logs into its report, or does not, whatever the
    /// [graph](TaskGraph::capture_output) says; see [`TaskOptions::capture_output`].
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new().capture_output(true);
    /// graph.task("interactive", |()| (), ()).capture_output(false);
    /// ```
    pub fn capture_output(mut self, yes: bool) -> Self {
        self.entry().options.capture_output = Some(yes);
        self
    }

    /// Sets all options at once, in place of what was set before. A name among them is what events call the task; without one
    /// it is the name in the graph. Where they say nothing of output, what the [graph](TaskGraph::capture_output) says goes.
    ///
    /// # Examples
    /// ```
    /// let careful = polypool::TaskOptions::new().retries(3).priority(-1);
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("a", |()| (), ()).options(careful.clone());
    /// graph.task("b", |()| (), ()).options(careful);
    /// ```
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.entry().options = options;
        self
    }

    /// Gives the key to the task's result: other tasks of this graph take it as their argument, and after the run
    /// [`GraphRun::take_output`](super::GraphRun::take_output) gives the result for it.
    ///
    /// A result that no other task takes stays until then. One that others take goes with the last of them, so that a long
    /// graph does not hold on to all that it ever made, unless the task is told to [keep](Self::keep) it.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let two = graph.task("two", |n: u32| n + 1, 1).output();
    /// let four = graph.task_from("four", |(a, b)| a + b, (two, two)).output();
    /// let mut run = graph.run(&polypool::Executor::serial())?;
    /// run.finish().await;
    /// assert_eq!((run.take_output(two), run.take_output(four)), (None, Some(4)));
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn output(mut self) -> Output<R> {
        self.entry().has_output = true;
        Output::new(self.graph.id, self.node)
    }
}

impl<R: Clone + Send + 'static> Node<'_, R> {
    /// Keeps a copy of the result for [`GraphRun::take_output`](super::GraphRun::take_output), also where other tasks take it.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let two = graph.task("two", |n: u32| n + 1, 1).keep().output();
    /// graph.task_from("four", |n| n * 2, two);
    /// let mut run = graph.run(&polypool::Executor::serial())?;
    /// run.finish().await;
    /// assert_eq!(run.take_output(two), Some(2));
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn keep(mut self) -> Self {
        fn copy<R: Clone + Send + 'static>(value: &(dyn Any + Send)) -> Option<Box<dyn Any + Send>> {
            value.downcast_ref::<R>().map(|value| Box::new(value.clone()) as _)
        }
        self.entry().keep = Some(copy::<R>);
        self
    }
}

impl<R> fmt::Debug for Node<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = &self.graph.entries[self.node];
        f.debug_struct("Node").field("name", &entry.name).field("after", &entry.after).finish_non_exhaustive()
    }
}
