//! The CPU quota of one cgroup. Owns the format of its files and the rounding; must not know where groups
//! are.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::report::quote;
use super::mounts::Hierarchy;
use super::read;

/// So much CPU time in so much time, both in microseconds and at least 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// The file that says so.
    pub(super) file: PathBuf,
    pub(super) micros: u64,
    pub(super) period: u64,
}

impl Quota {
    /// Reads the quota of the group at `directory`: `Ok(None)` when it has none, an error that names the file
    /// when the file makes no sense.
    pub(super) fn read(root: &Path, directory: &Path, hierarchy: Hierarchy) -> Result<Option<Self>, String> {
        match hierarchy {
            Hierarchy::V2 => Self::from_max(root, directory.join("cpu.max")),
            Hierarchy::V1 => Self::from_cfs(root, directory.join("cpu.cfs_quota_us")),
        }
    }

    /// How many CPUs that pays for, rounded up: with 1.5 CPUs a second worker is busy half of the time.
    pub(super) fn cpus(&self) -> usize {
        usize::try_from(self.micros.div_ceil(self.period)).unwrap_or(usize::MAX)
    }

    /// Version 2 has quota and period in one file: `150000 100000`, or `max 100000`.
    fn from_max(root: &Path, file: PathBuf) -> Result<Option<Self>, String> {
        let Some(text) = content(root, &file)? else {
            return Ok(None);
        };
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["max", _] | ["max"] => Ok(None),
            [micros, period] => match (positive(micros), positive(period)) {
                (Some(micros), Some(period)) => Ok(Some(Self { file, micros, period })),
                _ => Err(nonsense(&file, &text)),
            },
            _ => Err(nonsense(&file, &text)),
        }
    }

    /// Version 1 has two files of one number each; a quota of -1 is none.
    fn from_cfs(root: &Path, file: PathBuf) -> Result<Option<Self>, String> {
        let Some(text) = content(root, &file)? else {
            return Ok(None);
        };
        if text.trim() == "-1" {
            return Ok(None);
        }
        let micros = positive(text.trim()).ok_or_else(|| nonsense(&file, &text))?;

        let period_file = file.with_file_name("cpu.cfs_period_us");
        let text =
            content(root, &period_file)?.ok_or_else(|| format!("{}: missing", period_file.display()))?;
        let period = positive(text.trim()).ok_or_else(|| nonsense(&period_file, &text))?;
        Ok(Some(Self { file, micros, period }))
    }
}

/// A group without the file is normal: the root of version 2 never has one, and neither has a group whose
/// parent does not hand the controller down.
fn content(root: &Path, file: &Path) -> Result<Option<String>, String> {
    match read::bytes(root, file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&number| number > 0)
}

fn nonsense(file: &Path, text: &str) -> String {
    format!("{}: {} is not a quota", file.display(), quote(text))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Quota;

    #[test]
    fn a_part_of_a_cpu_counts_as_one_more() {
        let cpus = |micros, period| Quota { file: PathBuf::new(), micros, period }.cpus();
        assert_eq!(cpus(150_000, 100_000), 2);
        assert_eq!(cpus(10_000, 100_000), 1);
        assert_eq!(cpus(100_001, 100_000), 2);
        assert_eq!(cpus(200_000, 100_000), 2);
        assert_eq!(cpus(1, u64::MAX), 1);
        assert_eq!(cpus(u64::MAX, 1), usize::MAX);
    }
}
