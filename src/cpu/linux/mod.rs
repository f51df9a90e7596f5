//! The sources on Linux. Owns where each one is and in which order they are tried; every file is read below a
//! root, so that tests hand in a tree of their own, and what is not a file (the mask, the standard library's
//! count) is handed in as a value.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::report::Finding;
use crate::sys;

mod cgroup;
mod list;
mod mounts;
mod quota;
mod read;
mod topology;

#[cfg(test)]
mod tests;

use list::CpuList;

const ONLINE: &str = "/sys/devices/system/cpu/online";
const STATUS: &str = "/proc/thread-self/status";

/// Where the sources are read.
pub(super) struct Host {
    root: PathBuf,
    affinity: io::Result<Vec<usize>>,
    parallelism: io::Result<usize>,
}

impl Host {
    pub(super) fn current() -> Self {
        Self {
            root: PathBuf::from("/"),
            affinity: sys::affinity::allowed_cpus(),
            parallelism: thread::available_parallelism().map(usize::from),
        }
    }

    /// The CPUs that are online; the standard library's count (which has mask and quota in it already) when
    /// no list says.
    pub(super) fn machine(&self) -> Finding {
        let why = match self.online() {
            Ok(cpus) => return Finding::some(cpus.len(), ONLINE, cpus),
            Err(why) => why,
        };
        match &self.parallelism {
            Ok(cpus) => {
                Finding::some(*cpus, "available_parallelism", format_args!("{cpus}; {ONLINE}: {why}"))
            }
            Err(error) => Finding::nothing(ONLINE, format_args!("{why}; available_parallelism: {error}")),
        }
    }

    pub(super) fn affinity(&self) -> Finding {
        match self.mask() {
            Ok((origin, cpus)) => Finding::some(cpus.len(), origin, cpus),
            Err(why) => Finding::nothing("sched_getaffinity", why),
        }
    }

    /// The smallest quota of cgroup v2 and that of v1.
    pub(super) fn quotas(&self) -> [Finding; 2] {
        cgroup::quotas(&self.root)
    }

    /// The distinct cores under the mask, or under all CPUs online when there is no mask.
    pub(super) fn cores(&self) -> Finding {
        let online = self.online().ok();
        let mask = self.mask().ok().map(|(_, cpus)| cpus);
        topology::cores(&self.root, mask.as_ref().or(online.as_ref()), online.as_ref())
    }

    fn online(&self) -> Result<CpuList, String> {
        non_empty(&read::text(&self.root, ONLINE)?)
    }

    /// The mask and who told it. The kernel refuses the system call where its masks are longer than ours
    /// (more than 1,024 possible CPUs) and still lists them in the thread's status.
    fn mask(&self) -> Result<(&'static str, CpuList), String> {
        match &self.affinity {
            Ok(cpus) if cpus.is_empty() => Err("an empty mask".to_owned()),
            Ok(cpus) => Ok(("sched_getaffinity", cpus.iter().copied().collect())),
            Err(error) => match listed_in_status(&self.root) {
                Ok(cpus) => Ok((STATUS, cpus)),
                Err(why) => Err(format!("{error}; {STATUS}: {why}")),
            },
        }
    }
}

fn listed_in_status(root: &Path) -> Result<CpuList, String> {
    let status = read::text(root, STATUS)?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    non_empty(list.ok_or("has no Cpus_allowed_list")?)
}

fn non_empty(text: &str) -> Result<CpuList, String> {
    match CpuList::parse(text)? {
        cpus if cpus.is_empty() => Err("lists no CPU".to_owned()),
        cpus => Ok(cpus),
    }
}
