//! The machine that figures are taken on: which of its CPUs this process uses, and who else does. Elsewhere than on Linux it is
//! not known, and nothing is pinned.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;

/// How many CPUs this process may use.
pub(crate) fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Where threads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Place {
    /// All on one CPU.
    One,
    /// All on the same two, as the scheduler likes.
    Two,
    /// Who submits on one CPU, who works on another.
    Apart,
}

impl Place {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Apart => "apart",
        }
    }

    /// As in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::One => "1 CPU",
            Self::Two => "2 CPUs",
            Self::Apart => "2 CPUs, caller and workers apart",
        }
    }

    pub(crate) fn cpus(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::Apart => 2,
        }
    }

    /// Keeps this process there; call it before threads are started. False when that is not possible. Of the CPUs that there
    /// are, takes the last ones: the first serves most interrupts.
    pub(crate) fn take(self) -> bool {
        let allowed = allowed_cpus();
        let Some(first) = allowed.len().checked_sub(self.cpus()) else { return false };
        pin(&allowed[first..])
    }

    /// The CPUs of workers and of the caller, where they are to be apart; call it when the place is taken.
    pub(crate) fn apart(self) -> Option<(usize, usize)> {
        match (self, &*allowed_cpus()) {
            (Self::Apart, &[worker, caller]) => Some((worker, caller)),
            _ => None,
        }
    }
}

#[cfg(target_os = "linux")]
fn allowed_cpus() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect()
}

/// Keeps this thread, and those that it will start, to these CPUs.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpus: &[usize]) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: &[usize]) -> bool {
    false
}

/// What runs here, in a line.
pub(crate) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!("{} CPUs ({}), load {load}", cpus(), model.trim_start_matches([' ', '\t', ':']))
}

/// Tells how much of the machine others use while something of ours runs.
pub(crate) struct Meter {
    start: Instant,
    busy: f64,
    own: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), busy: busy_seconds(), own: own_seconds() }
    }

    /// From 0 to 1; clock ticks of 10 ms make it coarse.
    pub(crate) fn foreign_part(&self) -> f64 {
        let foreign = (busy_seconds() - self.busy) - (own_seconds() - self.own);
        // One tick for each CPU may be the meter's own mistake.
        let foreign = foreign - SECONDS_PER_TICK * cpus() as f64;
        (foreign / self.start.elapsed().as_secs_f64() / cpus() as f64).max(0.0)
    }
}

/// Waits until others leave the CPUs alone, but no longer than `patience`.
pub(crate) fn wait_until_quiet(disturbed: f64, patience: Duration) {
    let start = Instant::now();
    while start.elapsed() < patience {
        let meter = Meter::start();
        thread::sleep(Duration::from_millis(100));
        if meter.foreign_part() < disturbed {
            return;
        }
    }
}

const SECONDS_PER_TICK: f64 = 0.01;

fn ticks(words: &[&str]) -> f64 {
    words.iter().filter_map(|word| word.parse::<f64>().ok()).sum::<f64>() * SECONDS_PER_TICK
}

/// The time for which any CPU was not idle, what the hypervisor took included.
fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words: Vec<&str> = stat.lines().next().unwrap_or("").split_whitespace().skip(1).take(8).collect();
    // user nice system IDLE IOWAIT irq softirq steal
    words.get(..3).map_or(0.0, ticks) + words.get(5..).map_or(0.0, ticks)
}

/// The time that this process and its children used; a child counts when it has ended.
fn own_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets, which may hold anything; user and system time are fields 14 to 17.
    let words: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split_whitespace().collect();
    words.get(11..15).map_or(0.0, ticks)
}
