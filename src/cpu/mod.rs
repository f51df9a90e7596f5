//! What the machine offers this process: how many CPUs, how many cores, and why. Owns every rule about
//! counting them; must not know what is done with the numbers (no pool, no worker).
//!
//! The rule is loky's `cpu_count` ([`loky/backend/context.py`]): the smallest of what the machine has, what
//! the affinity mask allows, what the cgroup quota pays for and what an environment variable says, and never
//! less than 1. Two things are described here rather than borrowed: a quota is rounded *up* (1.5 CPUs keep
//! two workers busy, 0.1 still needs one; the standard library's
//! [`available_parallelism`](std::thread::available_parallelism) rounds down), and it is looked for in the
//! process's own cgroup and all its parents, of which any may carry the limit (loky reads the root only).
//!
//! | source | limits | read from |
//! |---|---|---|
//! | machine | CPUs that are online | `/sys/devices/system/cpu/online`, else the standard library |
//! | affinity | CPUs in the calling thread's mask (`taskset`, cpusets) | `sched_getaffinity`, else `Cpus_allowed_list` |
//! | cgroup v2, v1 | quota / period, rounded up, the smallest on the way to the root | `cpu.max`; `cpu.cfs_quota_us` and `cpu.cfs_period_us` |
//! | environment | any number from 1 | `POLYPOOL_MAX_CPU_COUNT` |
//!
//! A source that is missing, empty or nonsense limits nothing and is never an error: [`report()`] says what was
//! wrong with it. Everything is read afresh at each call, because quotas and masks change while a process
//! runs; a call opens about ten small files ([`physical_cpu_count`]: four more per CPU), so that a loop
//! should keep the number. Away from Linux the machine's count is the standard library's, and cores cannot be
//! told from CPUs.
//!
//! [`loky/backend/context.py`]: https://github.com/joblib/loky/blob/master/loky/backend/context.py

use std::env;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::Host;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
use elsewhere::Host;

mod report;
pub use report::{CpuReport, Finding};
use report::{Limits, MAX_CPU_COUNT};

/// Counts the logical CPUs that this process may use: the default number of workers of a pool.
///
/// This is the smallest of the CPUs online, the CPUs in the calling thread's affinity mask, the cgroup quota
/// rounded up, and the environment variable `POLYPOOL_MAX_CPU_COUNT`; at least 1. It is read afresh at each
/// call and never fails: a source that makes no sense is left out, and [`report()`] says why. A value of the
/// variable that is not a positive number is also warned about, once per process.
///
/// # Examples
///
/// ```
/// let workers = polypool::cpu_count();
/// assert!(workers >= 1);
/// ```
#[must_use]
pub fn cpu_count() -> usize {
    let variable = env::var_os(MAX_CPU_COUNT);
    let limits = limits(&Host::current(), variable.as_deref());
    limits.logical()
}

/// Counts the physical cores that this process may use: the number of workers for work that gains nothing
/// from two threads on one core, such as dense arithmetic.
///
/// The CPUs of the affinity mask are grouped by core, so that the two hyperthreads of one core count once and
/// equal core numbers on two sockets count twice. The result is at most [`cpu_count`], which applies the
/// quota and `POLYPOOL_MAX_CPU_COUNT`, and at least 1. Where the system does not tell cores from CPUs (some
/// virtual machines, every system but Linux) it is [`cpu_count`] itself, with one warning per process.
///
/// # Examples
///
/// ```
/// let cores = polypool::physical_cpu_count();
/// assert!((1..=polypool::cpu_count()).contains(&cores));
/// ```
#[must_use]
pub fn physical_cpu_count() -> usize {
    report().physical
}

/// Reports what every source said about the CPUs, and the two counts that follow from it.
///
/// Printed, it is a small table made for bug reports: it answers why a pool has as many workers as it has.
///
/// # Examples
///
/// ```
/// let report = polypool::cpu::report();
/// println!("{report}");
/// assert_eq!(report.logical, polypool::cpu_count());
/// ```
#[must_use]
pub fn report() -> CpuReport {
    let variable = env::var_os(MAX_CPU_COUNT);
    let host = Host::current();
    let limits = limits(&host, variable.as_deref());
    let cores = host.cores();
    if cores.cpus.is_none() {
        warn_about_cores(&cores);
    }
    CpuReport::new(limits, cores)
}

fn limits(host: &Host, variable: Option<&OsStr>) -> Limits {
    let limits = Limits::new(host.machine(), host.affinity(), host.quotas(), variable);
    if variable.is_some() && limits.environment.cpus.is_none() {
        warn_about_variable(&limits.environment);
    }
    limits
}

// Flags rather than `Once`: a subscriber that itself asks for the count while it handles the warning would
// wait for itself.

fn warn_about_variable(finding: &Finding) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(reason = %finding.detail, "{MAX_CPU_COUNT} is ignored; set it to a number from 1, or unset it");
    }
}

fn warn_about_cores(finding: &Finding) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(reason = %finding.detail, "cannot tell physical cores from logical CPUs; counting logical CPUs");
    }
}
