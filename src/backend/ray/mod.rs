//! Tasks on the nodes of a Ray cluster. Owns what may be set of that and its check; the bridge to Ray's driver is `engine`'s, its half in
//! Python is in the files beside this one.

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
    engine: "ray",
    modules: &[
        ("polypool_ray_side", include_str!("ray_side.py")),
        ("polypool_ray_near", include_str!("ray_near.py")),
        ("polypool_ray_line", include_str!("ray_line.py")),
        ("polypool_ray_slot", include_str!("ray_slot.py")),
        ("polypool_ray_local", include_str!("ray_local.py")),
    ],
};

/// Ray's names for what each node has.
const CPU: &str = "CPU";
const MEMORY: &str = "memory";

/// Runs tasks in worker processes that have slots of a [Ray](https://docs.ray.io) cluster.
///
/// Each worker is a copy of this program, started beside an actor that holds its slot: one CPU, or what
/// [`resources`](Self::resources) says, which Ray counts as taken for as long as the worker is there. So Ray places the workers, and
/// others who use the cluster keep their share. The program travels to each node once, into a cache folder; nothing has to be
/// installed there. What Ray itself would do about a task or an actor that is lost never touches tasks of the pool: those run once,
/// unless [`retries`](crate::ExecutorBuilder::retries) says otherwise.
///
/// Here a Python interpreter with the cluster's own version of `ray` is needed, and of Python: `python3`, or another that
/// [`python`](Self::python) or the variable POLYPOOL_PYTHON names. Versions of Ray from 2.10 on are supported.
///
/// Without [`max_workers`](crate::ExecutorBuilder::max_workers) a pool has as many workers as the cluster has room for, also when nodes
/// come and go. When the head of the cluster is gone, so is the pool: its tasks fail with
/// [`TaskError::Backend`], and another pool connects anew.
///
/// Ray knows no priorities: those of the pool's tasks say in which order the pool hands them out, and nothing to others who wait.
///
/// A connection to the cluster is made with the first task, or by [`warm_up`](crate::Executor::warm_up). Nothing stays on the cluster
/// when the pool is gone, also when this program is killed.
///
/// # Examples
/// ```no_run
/// use polypool::{Executor, Ray};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     let pool = Executor::builder().backend(Ray::new("ray://head:10001")).build()?;
///     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Ray {
    cluster: Cluster,
    python: Option<PathBuf>,
    resources: BTreeMap<String, f64>,
    nodes: Vec<String>,
    labels: BTreeMap<String, String>,
    mode: Mode,
    cache_dir: Option<PathBuf>,
    listen: Option<String>,
    workers: WorkerOptions,
}

#[derive(Debug, Clone)]
enum Cluster {
    At(String),
    Discovered,
    /// Discovered; or, if there is none, one that is started.
    Any,
    Local(usize),
}

/// The cluster that [`Ray::discover`] finds; if there is none, or RAY_ADDRESS is `local`, an instance of Ray that it starts on this machine
/// and stops with the pool, as `ray.init()` does in Python.
impl Default for Ray {
    fn default() -> Self {
        Self::of(Cluster::Any)
    }
}

impl Ray {
    fn of(cluster: Cluster) -> Self {
        Self {
            cluster,
            python: None,
            resources: BTreeMap::new(),
            nodes: Vec::new(),
            labels: BTreeMap::new(),
            mode: Mode::default(),
            cache_dir: None,
            listen: None,
            workers: WorkerOptions::default(),
        }
    }

    /// Uses the cluster at this address: `host:port` of its head, where this machine is a node of the cluster; `ray://host:port` of the
    /// head's client server from elsewhere; or `auto`, as [`discover`](Self::discover).
    ///
    /// A cluster that asks for a token finds it where Ray looks for it: RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or
    /// RAY_AUTH_TOKEN_PATH.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::new("ray://127.0.0.1:10001");
    /// ```
    pub fn new(address: impl Into<String>) -> Self {
        Self::of(Cluster::At(address.into()))
    }

    /// Uses the cluster that the variable RAY_ADDRESS names, else the one that runs on this machine.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover();
    /// ```
    pub fn discover() -> Self {
        Self::of(Cluster::Discovered)
    }

    /// Starts an instance of Ray with so many CPUs on this machine, 1 or more, and stops it with the pool. It is on the loopback
    /// interface and asks for a key that nobody else has; other instances on the machine are left alone.
    ///
    /// Starting one takes some seconds.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::local(4);
    /// ```
    pub fn local(n: usize) -> Self {
        Self::of(Cluster::Local(n))
    }

    /// Sets the Python interpreter that has `ray`. The default is what POLYPOOL_PYTHON says, else `python3`.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().python("/opt/ray/bin/python");
    /// ```
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// Sets the resources that each worker of the pool has, by Ray's names for them: `CPU`, which is 1 if it is not named and may be a
    /// fraction or 0, `GPU`, `memory` in bytes, and what the cluster's nodes were started with (`ray start --resources`). Only nodes
    /// with enough of them are used, and what is taken is not there for others. With [`Mode::PerTask`] each task has them for its
    /// time, and workers that wait have none. The node of a [`local`](Self::local) instance has enough of what is its own.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().resources([("CPU", 2.0), ("licence", 1.0)]);
    /// ```
    pub fn resources<N: Into<String>>(mut self, resources: impl IntoIterator<Item = (N, f64)>) -> Self {
        self.resources.extend(resources.into_iter().map(|(name, amount)| (name.into(), amount)));
        self
    }

    /// Sets how many CPUs each worker has: the resource `CPU`.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().cpus(0.5);
    /// ```
    pub fn cpus(self, cpus: f64) -> Self {
        self.resources([(CPU, cpus)])
    }

    /// Sets how much memory of its node each worker counts as taking, in bytes: the resource `memory`. Ray places workers by that,
    /// and does not enforce it; [`memory_limit`](Self::memory_limit) does.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().memory(2 << 30);
    /// ```
    pub fn memory(self, bytes: u64) -> Self {
        self.resources([(MEMORY, bytes as f64)])
    }

    /// Sets which of the cluster's nodes are used: their ids, addresses or host names. The default is all.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().nodes(["10.0.0.7", "10.0.0.8"]);
    /// ```
    pub fn nodes<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.nodes.extend(nodes.into_iter().map(Into::into));
        self
    }

    /// Sets labels that nodes must have to be used, by name and value (`ray start --labels`).
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().labels([("rack", "b")]);
    /// ```
    pub fn labels<N: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.labels.extend(labels.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets how calls travel. The default is [`Mode::Grouped`].
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().mode(polypool::Mode::Pilot);
    /// ```
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the folder in which the nodes keep the program. It must be on a file system that lets programs be executed. The default is
    /// what POLYPOOL_CACHE_DIR says there, else `polypool` in the user's cache folder.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().cache_dir("/scratch/programs");
    /// ```
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(path.into());
        self
    }

    /// Sets the address of this machine at which workers of [`Mode::Pilot`] connect, `ip:port`; port 0 is any that is free. The default is
    /// the address by which this machine reaches the head.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Ray::discover().mode(polypool::Mode::Pilot).listen("10.0.0.1:0");
    /// ```
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    fn cpus_of_each(&self) -> f64 {
        self.resources.get(CPU).copied().unwrap_or(1.0)
    }

    fn terms(&self) -> Terms {
        let mut terms = Terms::default();
        match &self.cluster {
            Cluster::At(address) => terms.set("address", address.trim()),
            Cluster::Discovered => {}
            Cluster::Any => terms.set("otherwise", cpu_count().to_string()),
            Cluster::Local(n) => terms.set("local", n.to_string()),
        }
        self.resources.iter().for_each(|(name, amount)| terms.set("resource", format!("{name}={amount}")));
        self.nodes.iter().for_each(|node| terms.set("node", node));
        self.labels.iter().for_each(|(name, value)| terms.set("label", format!("{name}={value}")));
        if let Some(path) = &self.cache_dir {
            terms.set("cache_dir", path);
        }
        terms
    }
}

worker_options!(Ray);

impl Backend for Ray {
    fn name(&self) -> &str {
        SIDE.engine
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn default_workers(&self) -> Option<usize> {
        match self.cluster {
            // As many as it will say that it has room for.
            Cluster::Local(n) if self.cpus_of_each() > 0.0 => {
                Some(((n as f64 / self.cpus_of_each()) as usize).max(1))
            }
            Cluster::Local(n) => Some(n),
            _ => None,
        }
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        let out_of_range = |what: String| Err(BuildError::OutOfRange(what));
        match &self.cluster {
            Cluster::Local(0) => return out_of_range("a local instance of Ray has 1 CPU or more".to_owned()),
            Cluster::At(address) if address.trim().is_empty() => {
                return out_of_range(
                    "the address of the Ray cluster is empty; it looks like `host:6379`, `ray://host:10001` or `auto`".to_owned(),
                );
            }
            Cluster::Local(n) if self.cpus_of_each() > *n as f64 => {
                return out_of_range(format!(
                    "a worker has {} CPUs, and the local instance of Ray {n}; give it as many or more",
                    self.cpus_of_each()
                ));
            }
            _ => {}
        }
        for (name, amount) in &self.resources {
            let is_enough = if name == CPU { *amount >= 0.0 } else { *amount > 0.0 };
            if name.is_empty() || !amount.is_finite() || !is_enough {
                return out_of_range(format!(
                    "the resource `{name}` is {amount}; it has a name, and is more than 0, or for `CPU` 0 or more"
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
        let mut workers = self.workers.clone();
        if self.mode == Mode::PerTask {
            // A call that is sent ahead would hold resources while it waits for the one before.
            workers = workers.prefetch(false);
        }
        start(context, workers, Arc::new(BridgeSite::new(plan)))
    }
}
