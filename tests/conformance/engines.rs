//! The engines that the suite runs on: real ones, on the loopback interface, one of each for all cases.
//!
//! Dask and Ray are started by the first case that needs them, with the interpreter that `POLYPOOL_PYTHON` names. MPI is that of the job
//! whose first rank this program is (`mpiexec -n 4 conformance-… mpi::`); outside of a job, each pool starts one, by the `mpiexec` in the
//! path.

/// What a task is told that is asked to stop has to get there and back, also on a busy machine.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// As many workers as cases that run side by side may want.
#[cfg(any(feature = "dask", feature = "ray"))]
const SLOTS: usize = 64;

/// As many workers on each of two ranks as the largest pool of the suite needs.
#[cfg(feature = "mpi")]
const PER_RANK: usize = 500;

/// How many workers a pool of MPI has for which nobody named a number: all that the job allows.
#[cfg(feature = "mpi")]
pub fn default_of_mpi() -> usize {
    let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(|name| std::env::var(name).ok());
    let ranks = sizes.map(|size| size.parse::<usize>().expect("a number"));
    ranks.map_or_else(polypool::cpu_count, |ranks| (ranks - 1) * PER_RANK)
}

#[cfg(feature = "mpi")]
pub fn mpi() -> polypool::Mpi {
    if ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].iter().any(|name| std::env::var_os(name).is_some()) {
        // Few ranks, as each looks for messages all the time.
        return polypool::Mpi::new().workers_per_rank(PER_RANK).grace_period(GRACE);
    }
    polypool::Mpi::new().launcher(polypool::MpiLauncher::mpiexec()).grace_period(GRACE)
}

#[cfg(feature = "dask")]
#[path = "../dask/cluster.rs"]
#[allow(dead_code, reason = "the tests of `dask` use the rest")]
mod dask_cluster;

#[cfg(feature = "dask")]
pub fn dask() -> polypool::Dask {
    use std::sync::OnceLock;

    static CLUSTER: OnceLock<dask_cluster::Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| dask_cluster::Cluster::with_threads(SLOTS));
    polypool::Dask::new(cluster.address()).python(dask_cluster::python()).grace_period(GRACE)
}

#[cfg(feature = "ray")]
#[path = "../ray/cluster.rs"]
#[allow(dead_code, reason = "the tests of `ray` use the rest")]
mod ray_cluster;

#[cfg(feature = "ray")]
pub fn ray() -> polypool::Ray {
    use std::sync::OnceLock;

    static CLUSTER: OnceLock<ray_cluster::Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| ray_cluster::Cluster::with_cpus(SLOTS));
    polypool::Ray::new(cluster.address()).python(ray_cluster::python()).grace_period(GRACE)
}
