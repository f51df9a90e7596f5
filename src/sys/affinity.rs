//! Which CPUs the scheduler lets the calling thread use. Owns the system call; must not know what the answer
//! is for.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity};

/// Lists the CPUs that the calling thread may run on, in ascending order.
///
/// A thread inherits the mask of the one that made it, so that for most programs this is the mask of the
/// process (`taskset`, `cpuset` cgroups, batch systems).
///
/// # Errors
///
/// `EINVAL` on a machine with more than 1,024 possible CPUs: the mask that rustix hands to the kernel holds
/// no more.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mask = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu)).collect())
}

#[cfg(test)]
mod tests {
    use super::allowed_cpus;

    #[test]
    fn the_thread_that_asks_runs_somewhere() {
        let cpus = allowed_cpus().expect("machines with more than 1,024 CPUs do not run this test");
        assert!(!cpus.is_empty());
        assert!(cpus.is_sorted());
    }
}
