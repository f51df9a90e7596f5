//! Which CPUs share a core. Owns the two places that tell: sysfs, and `/proc/cpuinfo` where sysfs is hidden.

use std::collections::HashSet;
use std::path::Path;

use super::super::report::{Finding, quote};
use super::list::CpuList;
use super::read;

const SYSFS: &str = "/sys/devices/system/cpu/cpu*/topology";
const CPUINFO: &str = "/proc/cpuinfo";

/// Counts the distinct cores under `cpus`; `None` stands for all CPUs there are. `online` tells a CPU that is
/// switched off, and has no topology, from one that cannot be read.
pub(super) fn cores(root: &Path, cpus: Option<&CpuList>, online: Option<&CpuList>) -> Finding {
    let sysfs = match cpus {
        Some(cpus) => from_sysfs(root, cpus, online),
        None => Err("CPUs not known".to_owned()),
    };
    let why = match sysfs {
        Ok(found) => return found.finding(SYSFS),
        Err(why) => why,
    };
    match from_cpuinfo(root, cpus) {
        Ok(found) => found.finding(CPUINFO),
        Err(also) => Finding::nothing(SYSFS, format_args!("cannot tell: {why}; {CPUINFO}: {also}")),
    }
}

/// What tells a core from all others: package, die, cluster and number. Mostly package and number would do,
/// but the number starts again in each die of some packages (Cascade Lake-AP) and in each cluster of some ARM
/// systems.
type Core = [i64; 4];

struct Found {
    cpus: usize,
    cores: HashSet<Core>,
}

impl Found {
    fn finding(&self, origin: &str) -> Finding {
        let packages: HashSet<_> = self.cores.iter().map(|[package, ..]| package).collect();
        let detail =
            format!("CPUs: {}, cores: {}, packages: {}", self.cpus, self.cores.len(), packages.len());
        Finding::some(self.cores.len(), origin, detail)
    }

    fn unless_empty(self) -> Result<Self, String> {
        if self.cores.is_empty() { Err("none of our CPUs is listed".to_owned()) } else { Ok(self) }
    }
}

fn from_sysfs(root: &Path, cpus: &CpuList, online: Option<&CpuList>) -> Result<Found, String> {
    let mut found = Found { cpus: 0, cores: HashSet::new() };
    for cpu in cpus.iter() {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        let id = |name| {
            let file = format!("{directory}/{name}");
            let text = read::text(root, &file).map_err(|error| format!("{file}: {error}"))?;
            // An architecture that does not know writes -1.
            let known = text.trim().parse().ok().filter(|&id: &i64| id >= 0);
            known.ok_or_else(|| format!("{file}: {}", quote(&text)))
        };
        let switched_off = online.is_some_and(|online| !online.contains(cpu));
        if switched_off && !read::below(root, &directory).exists() {
            continue;
        }
        let unless_told = |id: Result<i64, String>| id.unwrap_or(-1);
        let core = [
            id("physical_package_id")?,
            unless_told(id("die_id")),
            unless_told(id("cluster_id")),
            id("core_id")?,
        ];
        found.cpus += 1;
        found.cores.insert(core);
    }
    found.unless_empty()
}

/// Reads the blocks of lines `key : value`, of which each begins with `processor`. ARM and others leave the
/// ids out.
fn from_cpuinfo(root: &Path, cpus: Option<&CpuList>) -> Result<Found, String> {
    #[derive(Default)]
    struct Processor {
        cpu: Option<usize>,
        package: Option<i64>,
        core: Option<i64>,
    }

    let text = read::text(root, CPUINFO)?;
    let mut processors: Vec<Processor> = Vec::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let (key, value) = (key.trim(), value.trim());
        if key == "processor" {
            processors.push(Processor { cpu: value.parse().ok(), ..Processor::default() });
        }
        let Some(processor) = processors.last_mut() else {
            continue;
        };
        match key {
            "physical id" => processor.package = value.parse().ok(),
            "core id" => processor.core = value.parse().ok(),
            _ => {}
        }
    }

    let mut found = Found { cpus: 0, cores: HashSet::new() };
    for Processor { cpu, package, core } in processors {
        let cpu = cpu.ok_or("a processor without a number")?;
        if cpus.is_none_or(|cpus| cpus.contains(cpu)) {
            let (package, core) = package.zip(core).ok_or_else(|| format!("no core id for CPU {cpu}"))?;
            found.cpus += 1;
            found.cores.insert([package, -1, -1, core]);
        }
    }
    found.unless_empty()
}
