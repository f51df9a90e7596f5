//! Machines as trees of small files: each test says what is in the tree and which counts follow.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::super::report::{CpuReport, Limits};
use super::{Host, read};

mod cpus;
mod quotas;

/// A machine under construction. Without a mask of its own, it is one where the system call fails.
struct Machine {
    tree: TempDir,
    mask: Option<Vec<usize>>,
    variable: Option<&'static str>,
}

const V2_MOUNT: &str = "31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNT: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

impl Machine {
    /// A machine of 16 CPUs on 16 cores, and no word of cgroups.
    fn new() -> Self {
        let machine = Self::bare().file("/sys/devices/system/cpu/online", "0-15\n");
        (0..16).fold(machine, |machine, cpu| machine.core(cpu, 0, cpu))
    }

    /// A machine of which nothing can be read.
    fn bare() -> Self {
        Self { tree: TempDir::new().expect("a temporary directory"), mask: None, variable: None }
    }

    fn file(self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        let path = read::below(self.tree.path(), path);
        fs::create_dir_all(path.parent().expect("files have a directory")).expect("directories can be made");
        fs::write(path, content).expect("files can be written");
        self
    }

    fn without(self, path: &str) -> Self {
        let path = read::below(self.tree.path(), path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it was there");
        self
    }

    fn core(self, cpu: usize, package: i64, core: usize) -> Self {
        let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        self.file(format!("{topology}/physical_package_id"), format!("{package}\n"))
            .file(format!("{topology}/core_id"), format!("{core}\n"))
    }

    /// In the unified hierarchy, as the member of `group`.
    fn v2(self, group: &str) -> Self {
        self.file("/proc/self/cgroup", format!("0::{group}\n"))
            .file("/proc/self/mountinfo", V2_MOUNT)
            .file("/sys/fs/cgroup/cgroup.procs", "")
            .file(format!("/sys/fs/cgroup{group}/cgroup.procs"), "")
    }

    /// In the hierarchy of the version 1 controller, as the member of `group`.
    fn v1(self, group: &str) -> Self {
        self.file(
            "/proc/self/cgroup",
            format!("3:cpuset:/elsewhere\n2:cpu,cpuacct:{group}\n1:name=systemd:/\n"),
        )
        .file("/proc/self/mountinfo", V1_MOUNT)
        .v1_quota(group, "-1\n", "100000\n")
    }

    fn v1_quota(self, group: &str, quota: &str, period: &str) -> Self {
        let directory = format!("/sys/fs/cgroup/cpu,cpuacct{group}");
        self.file(format!("{directory}/cpu.cfs_quota_us"), quota)
            .file(format!("{directory}/cpu.cfs_period_us"), period)
    }

    fn mask(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.mask = Some(cpus.into_iter().collect());
        self
    }

    fn variable(mut self, value: &'static str) -> Self {
        self.variable = Some(value);
        self
    }

    fn report(&self) -> CpuReport {
        let affinity = self.mask.clone().ok_or_else(|| io::Error::other("no such call"));
        let parallelism = Err(io::Error::other("no standard library"));
        let host = Host { root: self.tree.path().to_owned(), affinity, parallelism };
        let variable = self.variable.map(OsStr::new);
        CpuReport::new(Limits::new(host.machine(), host.affinity(), host.quotas(), variable), host.cores())
    }

    fn logical(&self) -> usize {
        self.report().logical
    }
}
