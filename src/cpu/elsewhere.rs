//! The twin of `linux` for every other system: the standard library's count is the machine's, and nothing
//! else is known.

use std::thread;

use super::report::Finding;

const NOT_HERE: &str = "read on Linux only";

/// Where the sources are read.
pub(super) struct Host;

impl Host {
    pub(super) fn current() -> Self {
        Self
    }

    pub(super) fn machine(&self) -> Finding {
        const ORIGIN: &str = "available_parallelism";
        match thread::available_parallelism() {
            Ok(cpus) => Finding::some(cpus.get(), ORIGIN, cpus),
            Err(error) => Finding::nothing(ORIGIN, error),
        }
    }

    pub(super) fn affinity(&self) -> Finding {
        Finding::nothing("affinity mask", NOT_HERE)
    }

    pub(super) fn quotas(&self) -> [Finding; 2] {
        ["cpu.max", "cpu.cfs_quota_us"].map(|file| Finding::nothing(file, NOT_HERE))
    }

    pub(super) fn cores(&self) -> Finding {
        Finding::nothing("topology", NOT_HERE)
    }
}
