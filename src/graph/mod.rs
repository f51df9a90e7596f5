//! Tasks that depend on each other. Owns the order in which they become ready; the work itself runs in a pool.
//!
//! A [`TaskGraph`] is described first: tasks by name, what comes after what, whose result is whose argument. Then it
//! [runs](TaskGraph::run) in any pool, as many tasks at once as that has workers, and reports each of them as it ends:
//!
//! ```
//! use futures::StreamExt;
//! use polypool::{Executor, graph::{Outcome, TaskGraph}};
//!
//! fn compile(unit: String) -> Result<String, String> {
//!     if unit.is_empty() { Err("no input".to_owned()) } else { Ok(format!("{unit}.o")) }
//! }
//!
//! fn link((a, b): (String, String)) -> String {
//!     format!("ld {a} {b}")
//! }
//!
//! # futures::executor::block_on(async {
//! let mut graph = TaskGraph::new();
//! let main = graph.try_task("main.o", compile, "main".to_owned()).output();
//! let util = graph.try_task("util.o", compile, "util".to_owned()).output();
//! let app = graph.task_from("app", link, (main, util)).output();
//! graph.task("test", |()| println!("ok"), ()).after(["app"]);
//!
//! let mut run = graph.run(&Executor::threads(2)?)?;
//! while let Some((name, report)) = run.next().await {
//!     println!("{name}: {}", report.outcome);
//!     assert_eq!(report.outcome, Outcome::Done);
//! }
//! assert_eq!(run.take_output(app).as_deref(), Some("ld main.o util.o"));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # What goes first
//!
//! Of the tasks that are ready, the one with the highest [priority](Node::priority); among equals the one with the longest way
//! to the end of the graph below it, in tasks or by their [cost](Node::cost); then the one that was added first.
//!
//! # When a task fails
//!
//! What comes after it, directly or not, is skipped and says because of whom; everything else goes on, until
//! [`max_failures`](TaskGraph::max_failures). A task has failed when it gave no value: it panicked, ran out of time, was lost
//! with its worker. An `Err` that it returns is a value, as everywhere in this crate, unless it was added by
//! [`try_task`](TaskGraph::try_task) or one of its kind.
//!
//! # Who does the work
//!
//! The end of a task brings the next ones into the pool, whether or not anybody polls the [`GraphRun`]. Its reports wait there.
//! Only where tasks run in the polls of those who wait for them, on the backend `serial`, nothing happens between polls.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

mod bar;
mod driver;
mod flight;
mod inputs;
mod node;
mod plan;
mod report;
mod run;
mod shared;

mod tasks;

pub use inputs::{Inputs, Output, Value, value};
pub use node::Node;
pub use report::{NodeReport, Outcome, Progress, Summary};
pub use run::GraphRun;

use self::{node::Entry, plan::Plan};
use crate::{error::BuildError, executor::Executor};

/// Tasks and what each of them has to wait for. Dropping it does nothing; [`run`](Self::run) runs it.
///
/// # Examples
/// ```
/// use polypool::{Executor, graph::TaskGraph};
///
/// # futures::executor::block_on(async {
/// let mut graph = TaskGraph::new();
/// graph.task("lay the table", |guests: u32| println!("{guests} plates"), 4);
/// graph.task("eat", |()| (), ()).after(["lay the table", "cook"]);
/// graph.task("cook", |()| (), ()).priority(1);
/// let summary = graph.run(&Executor::threads(2)?)?.finish().await;
/// assert_eq!(summary.to_string(), "3 done");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct TaskGraph {
    /// Tells its outputs from those of other graphs.
    id: u64,
    entries: Vec<Entry>,
    max_failures: Option<usize>,
    capture_output: bool,
}

impl TaskGraph {
    /// Makes a graph without tasks.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::graph::TaskGraph::new().is_empty());
    /// ```
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, entries: Vec::new(), max_failures: None, capture_output: false }
    }

    /// Starts no more tasks when `n` of them have failed; those that run then end. The default is to go on with all that does
    /// not come after a failed one. Skipped tasks are not counted. A limit of 0 is refused by [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, graph::TaskGraph};
    ///
    /// # futures::executor::block_on(async {
    /// let mut graph = TaskGraph::new().max_failures(1);
    /// graph.try_task("a", |()| Err::<(), _>("no"), ());
    /// graph.task("b", |()| (), ());
    /// let summary = graph.run(&Executor::serial())?.finish().await;
    /// assert_eq!(summary.to_string(), "0 done, 1 failed, 1 skipped");
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn max_failures(mut self, n: usize) -> Self {
        self.max_failures = Some(n);
        self
    }

    /// Collects what the tasks print and log into their [reports](NodeReport), as [`TaskOptions::capture_output`] does, but for
    /// tasks that say otherwise themselves. The default is not to.
    ///
    /// [`TaskOptions::capture_output`]: crate::TaskOptions::capture_output
    ///
    /// # Examples
    /// ```
    /// let graph = polypool::graph::TaskGraph::new().capture_output(true);
    /// ```
    #[must_use]
    pub fn capture_output(mut self, yes: bool) -> Self {
        self.capture_output = yes;
        self
    }

    /// Tells how many tasks there are.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("only", |()| (), ());
    /// assert_eq!(graph.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there are no tasks.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::graph::TaskGraph::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks the graph and names its tasks in the order in which a single worker would run them, if none failed. Runs nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task("eat", |()| (), ()).after(["cook"]);
    /// graph.task("cook", |()| (), ());
    /// assert_eq!(graph.order()?, ["cook", "eat"]);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    pub fn order(&self) -> Result<Vec<&str>, BuildError> {
        let order = Plan::new(self)?.order();
        Ok(order.into_iter().map(|node| self.entries[node].name.as_str()).collect())
    }

    /// Checks the graph and starts it (on `serial`, with the first poll). The run holds the pool until it ends.
    ///
    /// # Errors
    /// Nothing has run then. [`BuildError::Graph`] when two tasks have the same name, when a task comes after one that is not
    /// there, or takes the output of another graph; [`BuildError::Cycle`] when tasks wait for each other;
    /// [`BuildError::OutOfRange`] when [`max_failures`](Self::max_failures) is 0.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, graph::TaskGraph};
    ///
    /// let mut graph = TaskGraph::new();
    /// graph.task("hen", |()| (), ()).after(["egg"]);
    /// graph.task("egg", |()| (), ()).after(["hen"]);
    /// let error = graph.run(&Executor::serial()).unwrap_err();
    /// assert!(error.to_string().contains("hen -> egg -> hen"), "{error}");
    /// ```
    pub fn run(self, pool: &Executor) -> Result<GraphRun, BuildError> {
        let plan = Plan::new(&self)?;
        Ok(GraphRun::start(self, plan, pool))
    }
}

impl Default for TaskGraph {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TaskGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries.iter().map(|entry| &entry.name);
        f.write_str("TaskGraph ")?;
        f.debug_list().entries(names).finish()
    }
}
