//! Tasks in the workers of a Dask cluster. Owns what may be set of that and its check; the bridge to Dask's client is `engine`'s, its
//! half in Python is in the files beside this one.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    Backend, Capabilities, PoolContext, Settings, Workers,
    engine::{
        CAPABILITIES, Mode, WorkerOptions,
        bridge::{BridgeSite, Plan, Side, Terms},
        check, start, worker_options,
    },
};
use crate::{
    cpu::cpu_count,
    error::{BuildError, TaskError},
};

const SIDE: Side = Side {
    engine: "dask",
    modules: &[
        ("polypool_dask_side", include_str!("dask_side.py")),
        ("polypool_dask_stream", include_str!("stream.py")),
        ("polypool_dask_slot", include_str!("dask_slot.py")),
    ],
};

/// Runs tasks in worker processes that have slots of a [Dask](https://distributed.dask.org) cluster.
///
/// Each worker is a copy of this program, started in a slot: a thread of a Dask worker, which Dask counts as taken for as long as
/// the worker is there. So Dask places the workers, and others who use the cluster keep their share. The program travels to each
/// node once, into a cache folder; nothing has to be installed there. What Dask itself would do about a task that fails or is lost
/// never touches tasks of the pool: those run once, unless [`retries`](crate::ExecutorBuilder::retries) says otherwise.
///
/// Here a Python interpreter with `distributed` of the cluster's own version is needed: `python3`, or another that
/// [`python`](Self::python) or the variable POLYPOOL_PYTHON names. Versions from 2024.1.0 on are supported.
///
/// Without [`max_workers`](crate::ExecutorBuilder::max_workers) a pool has as many workers as the cluster has threads, also when Dask's
/// workers come and go. When the scheduler is gone, so is the pool: its tasks fail with
/// [`TaskError::Backend`], and another pool connects anew.
///
/// A connection to the scheduler is made with the first task, or by [`warm_up`](crate::Executor::warm_up). Nothing stays on the
/// cluster when the pool is gone, also when this program is killed.
///
/// # Examples
/// ```no_run
/// use polypool::{Dask, Executor};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     let pool = Executor::builder().backend(Dask::new("tcp://scheduler:8786")).build()?;
///     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Dask {
    cluster: Cluster,
    python: Option<PathBuf>,
    resources: BTreeMap<String, f64>,
    placed_on: Vec<String>,
    priority: i32,
    mode: Mode,
    cache_dir: Option<PathBuf>,
    listen: Option<String>,
    workers: WorkerOptions,
}

#[derive(Debug, Clone)]
enum Cluster {
    At(String),
    Discovered,
    File(PathBuf),
    Local(usize),
    DiscoveredOrLocal,
}

impl Default for Dask {
    /// Uses the cluster that Dask's own configuration names, as [`discover`](Self::discover) does. Where it names none, it is a
    /// [`local`](Self::local) one with a worker for each CPU.
    fn default() -> Self {
        Self::of(Cluster::DiscoveredOrLocal)
    }
}

impl Dask {
    fn of(cluster: Cluster) -> Self {
        Self {
            cluster,
            python: None,
            resources: BTreeMap::new(),
            placed_on: Vec::new(),
            priority: 0,
            mode: Mode::default(),
            cache_dir: None,
            listen: None,
            workers: WorkerOptions::default(),
        }
    }

    /// Uses the cluster whose scheduler is at this address: `host:port`, `tcp://host:port`, `dask://host:port`, or one of Dask's
    /// other kinds, such as `tls://host:port` with the certificates that Dask's own configuration names.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::new("tcp://127.0.0.1:8786");
    /// ```
    pub fn new(address: impl Into<String>) -> Self {
        Self::of(Cluster::At(address.into()))
    }

    /// Uses the cluster that Dask's own configuration names: the variables DASK_SCHEDULER_ADDRESS and DASK_SCHEDULER_FILE, or its
    /// files.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover();
    /// ```
    pub fn discover() -> Self {
        Self::of(Cluster::Discovered)
    }

    /// Uses the cluster whose scheduler has written this file (`dask scheduler --scheduler-file`).
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::scheduler_file("/shared/scheduler.json");
    /// ```
    pub fn scheduler_file(path: impl Into<PathBuf>) -> Self {
        Self::of(Cluster::File(path.into()))
    }

    /// Starts a cluster of so many workers on this machine, 1 or more, which nobody else can reach, and stops it with the pool.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::local(4);
    /// ```
    pub fn local(n: usize) -> Self {
        Self::of(Cluster::Local(n))
    }

    /// Sets the Python interpreter that has `distributed`. The default is what POLYPOOL_PYTHON says, else `python3`.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().python("/opt/dask/bin/python");
    /// ```
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// Sets the resources of Dask that each worker of the pool has, beside one thread, by their names: only Dask workers that
    /// were started with enough of them (`dask worker --resources "GPU=2 MEMORY=16e9"`) are used, and what is taken is not there
    /// for others. With [`Mode::PerTask`] each task has them for its time. The workers of a [`local`](Self::local) cluster have
    /// what is asked for.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().resources([("GPU", 1.0), ("MEMORY", 16e9)]);
    /// ```
    pub fn resources<N: Into<String>>(mut self, resources: impl IntoIterator<Item = (N, f64)>) -> Self {
        self.resources.extend(resources.into_iter().map(|(name, amount)| (name.into(), amount)));
        self
    }

    /// Sets which of Dask's workers are used: their addresses, names or hosts. The default is all.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().workers(["node-3", "tcp://10.0.0.7:41235"]);
    /// ```
    pub fn workers<N: Into<String>>(mut self, workers: impl IntoIterator<Item = N>) -> Self {
        self.placed_on.extend(workers.into_iter().map(Into::into));
        self
    }

    /// Sets the priority that slots of the pool have with Dask's scheduler, where others wait for slots, too; with
    /// [`Mode::PerTask`] that of each task. The higher goes first. The default is 0.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().priority(-10);
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how calls travel. The default is [`Mode::Grouped`].
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().mode(polypool::Mode::Pilot);
    /// ```
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the folder in which the nodes keep the program. It must be on a file system that lets programs be executed. The
    /// default is what POLYPOOL_CACHE_DIR says there, else `polypool` in the user's cache folder.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().cache_dir("/scratch/programs");
    /// ```
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(path.into());
        self
    }

    /// Sets the address of this machine at which workers of [`Mode::Pilot`] connect, `ip:port`; port 0 is any that is free. The
    /// default is the address by which this machine reaches the scheduler.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Dask::discover().mode(polypool::Mode::Pilot).listen("10.0.0.1:0");
    /// ```
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    fn terms(&self) -> Terms {
        let mut terms = Terms::default();
        match &self.cluster {
            Cluster::At(address) => terms.set("address", address),
            Cluster::Discovered => {}
            Cluster::File(path) => terms.set("scheduler_file", path),
            Cluster::Local(n) => terms.set("local", n.to_string()),
            Cluster::DiscoveredOrLocal => terms.set("else_local", cpu_count().to_string()),
        }
        terms.set("priority", self.priority.to_string());
        self.resources.iter().for_each(|(name, amount)| terms.set("resource", format!("{name}={amount}")));
        self.placed_on.iter().for_each(|worker| terms.set("worker", worker));
        if let Some(path) = &self.cache_dir {
            terms.set("cache_dir", path);
        }
        terms
    }
}

worker_options!(Dask);

impl Backend for Dask {
    fn name(&self) -> &str {
        SIDE.engine
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn default_workers(&self) -> Option<usize> {
        match self.cluster {
            Cluster::Local(n) => Some(n),
            _ => None,
        }
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        let out_of_range = |what: String| Err(BuildError::OutOfRange(what));
        match &self.cluster {
            Cluster::Local(0) => return out_of_range("a local cluster has 1 worker or more".to_owned()),
            Cluster::At(address) if address.trim().is_empty() => {
                return out_of_range(
                    "the address of the scheduler is empty; it looks like `tcp://host:8786`".to_owned(),
                );
            }
            _ => {}
        }
        for (name, amount) in &self.resources {
            if name.is_empty() || !amount.is_finite() || *amount <= 0.0 {
                return out_of_range(format!(
                    "the resource `{name}` is {amount}; it has a name, and is more than 0"
                ));
            }
        }
        check(&self.workers, settings)
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        let plan = Plan {
            side: SIDE,
            python: self.python.clone(),
            terms: self.terms(),
            mode: self.mode,
            door: self.listen.clone(),
            is_shared: matches!(self.cluster, Cluster::At(_)),
        };
        // A call that has gone ahead would hold a turn of Dask's while it waits for another.
        let ahead = self.workers.prefetch && self.mode != Mode::PerTask;
        start(context, self.workers.clone().prefetch(ahead), Arc::new(BridgeSite::new(plan)))
    }
}
