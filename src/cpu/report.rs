//! What the sources said, and the counts that follow. Owns the arithmetic and the table; reads nothing
//! itself.

use std::ffi::OsStr;
use std::fmt;

/// The environment variable that caps every count.
pub(super) const MAX_CPU_COUNT: &str = "POLYPOOL_MAX_CPU_COUNT";

/// What [`report()`](super::report()) found: the two counts, and what each source said.
///
/// `Display` writes a table of at most ten lines, without a final line break, to be pasted into a bug report.
/// New sources may be added.
///
/// # Examples
///
/// ```
/// let report = polypool::cpu::report();
/// if let Some(cpus) = report.cgroup_v2.cpus {
///     println!("at most {cpus} CPUs, because of {}", report.cgroup_v2.origin);
/// }
/// assert!(report.physical <= report.logical);
/// assert!(report.to_string().contains("affinity"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuReport {
    /// Logical CPUs that this process may use, at least 1: what [`cpu_count`](crate::cpu_count) returns.
    pub logical: usize,
    /// Physical cores that this process may use, from 1 to `logical`: what
    /// [`physical_cpu_count`](crate::physical_cpu_count) returns.
    pub physical: usize,
    /// CPUs that are online in the whole machine.
    pub machine: Finding,
    /// CPUs that the calling thread may be scheduled on.
    pub affinity: Finding,
    /// The smallest quota of the own cgroup and its parents in the unified hierarchy; `origin` is the file
    /// that holds it.
    pub cgroup_v2: Finding,
    /// The same in the hierarchy of the version 1 controller `cpu`. Hybrid systems have both.
    pub cgroup_v1: Finding,
    /// What `POLYPOOL_MAX_CPU_COUNT` says.
    pub environment: Finding,
    /// Distinct cores under the CPUs of the affinity mask, before quota and environment are applied.
    pub cores: Finding,
}

/// What one source said.
///
/// # Examples
///
/// ```
/// let machine = polypool::cpu::report().machine;
/// match machine.cpus {
///     Some(cpus) => println!("{cpus} CPUs, says {}", machine.origin),
///     None => println!("{} says nothing: {}", machine.origin, machine.detail),
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How many CPUs (cores, for [`CpuReport::cores`]) it allows, at least 1; `None` when it sets no limit.
    pub cpus: Option<usize>,
    /// Where this was read: a file, a system call or an environment variable.
    pub origin: String,
    /// What was read there, or why it gave nothing.
    pub detail: String,
}

impl Finding {
    pub(super) fn some(cpus: usize, origin: impl ToString, detail: impl ToString) -> Self {
        Self { cpus: Some(cpus.max(1)), ..Self::nothing(origin, detail) }
    }

    pub(super) fn nothing(origin: impl ToString, detail: impl ToString) -> Self {
        Self { cpus: None, origin: origin.to_string(), detail: detail.to_string() }
    }

    fn variable(value: Option<&OsStr>) -> Self {
        let Some(value) = value else {
            return Self::nothing(MAX_CPU_COUNT, "not set");
        };
        let text = value.to_string_lossy();
        match text.trim().parse() {
            Ok(cpus @ 1..) => Self::some(cpus, MAX_CPU_COUNT, text.trim()),
            _ => {
                Self::nothing(MAX_CPU_COUNT, format_args!("ignored, {} is not a number from 1", quote(&text)))
            }
        }
    }
}

impl CpuReport {
    pub(super) fn new(limits: Limits, cores: Finding) -> Self {
        let logical = limits.logical();
        let physical = cores.cpus.map_or(logical, |cores| cores.min(logical));
        let Limits { machine, affinity, cgroup_v2, cgroup_v1, environment } = limits;
        Self { logical, physical, machine, affinity, cgroup_v2, cgroup_v1, environment, cores }
    }

    fn rows(&self) -> [(&'static str, &Finding); 6] {
        [
            ("machine", &self.machine),
            ("affinity", &self.affinity),
            ("cgroup v2", &self.cgroup_v2),
            ("cgroup v1", &self.cgroup_v1),
            ("environment", &self.environment),
            ("cores", &self.cores),
        ]
    }
}

impl fmt::Display for CpuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(_, row)| row.origin.chars().count()).max().unwrap_or(0);

        writeln!(f, "logical CPUs: {}, physical cores: {}", self.logical, self.physical)?;
        write!(f, "{:<12} {:>5}  {:<width$}  said", "source", "count", "read from")?;
        for (name, Finding { cpus, origin, detail }) in rows {
            let cpus = cpus.map_or_else(|| "-".to_owned(), |cpus| cpus.to_string());
            write!(f, "\n{name:<12} {cpus:>5}  {origin:<width$}  {detail}")?;
        }
        Ok(())
    }
}

/// Everything that limits the logical count. Apart from [`CpuReport`] because finding the cores costs four
/// files per CPU, which a logical count should not pay.
pub(super) struct Limits {
    pub(super) machine: Finding,
    pub(super) affinity: Finding,
    pub(super) cgroup_v2: Finding,
    pub(super) cgroup_v1: Finding,
    pub(super) environment: Finding,
}

impl Limits {
    /// `quotas` are those of cgroup v2 and v1, in this order; `variable` is the value of [`MAX_CPU_COUNT`].
    pub(super) fn new(
        machine: Finding,
        affinity: Finding,
        quotas: [Finding; 2],
        variable: Option<&OsStr>,
    ) -> Self {
        let [cgroup_v2, cgroup_v1] = quotas;
        Self { machine, affinity, cgroup_v2, cgroup_v1, environment: Finding::variable(variable) }
    }

    pub(super) fn logical(&self) -> usize {
        [&self.machine, &self.affinity, &self.cgroup_v2, &self.cgroup_v1, &self.environment]
            .into_iter()
            .filter_map(|finding| finding.cpus)
            .min()
            .unwrap_or(1)
    }
}

/// Shows what somebody else wrote: quoted, on one line, and no longer than a table can bear.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 40;
    let text = text.trim_end_matches('\n');
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(counts: [Option<usize>; 4], variable: Option<&str>) -> Limits {
        let [machine, affinity, v2, v1] =
            counts.map(|cpus| Finding { cpus, origin: "a file".to_owned(), detail: "a line".to_owned() });
        Limits::new(machine, affinity, [v2, v1], variable.map(OsStr::new))
    }

    #[test]
    fn the_smallest_source_decides() {
        assert_eq!(limits([Some(8), Some(6), Some(5), Some(4)], Some("7")).logical(), 4);
        assert_eq!(limits([Some(8), Some(6), Some(5), None], Some("7")).logical(), 5);
        assert_eq!(limits([Some(8), Some(6), None, None], Some("7")).logical(), 6);
        assert_eq!(limits([Some(8), None, None, None], Some(" 7 ")).logical(), 7);
        assert_eq!(limits([Some(8), None, None, None], None).logical(), 8);
    }

    #[test]
    fn no_source_at_all_still_counts_one() {
        assert_eq!(limits([None; 4], None).logical(), 1);
    }

    #[test]
    fn a_nonsense_variable_is_ignored_and_named() {
        for value in ["", " ", "abc", "0", "-1", "1.5", "4 cpus", "99999999999999999999999", "4\n5"] {
            let limits = limits([Some(8), None, None, None], Some(value));
            assert_eq!(limits.logical(), 8, "{value:?}");
            assert_eq!(limits.environment.origin, "POLYPOOL_MAX_CPU_COUNT");
            assert!(limits.environment.detail.contains(&quote(value)), "{:?}", limits.environment);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_variable_that_is_not_utf8_is_ignored() {
        use std::os::unix::ffi::OsStrExt;
        let finding = Finding::variable(Some(OsStr::from_bytes(b"\xff4")));
        assert_eq!(finding.cpus, None);
    }

    #[test]
    fn cores_are_capped_by_every_limit_and_default_to_logical() {
        let physical = |cores, variable| {
            let cores = Finding { cpus: cores, origin: String::new(), detail: String::new() };
            CpuReport::new(limits([Some(8), None, Some(3), None], variable), cores).physical
        };
        assert_eq!(physical(Some(2), None), 2);
        assert_eq!(physical(Some(4), None), 3);
        assert_eq!(physical(Some(4), Some("1")), 1);
        assert_eq!(physical(None, None), 3);
    }

    #[test]
    fn the_table_lines_up_and_stays_a_table() {
        let cores = Finding::nothing("/proc/cpuinfo", "cannot tell");
        let report = CpuReport::new(limits([Some(16), Some(4), None, None], Some("a\nb")), cores);
        assert_eq!(
            report.to_string(),
            "logical CPUs: 4, physical cores: 4\n\
             source       count  read from               said\n\
             machine         16  a file                  a line\n\
             affinity         4  a file                  a line\n\
             cgroup v2        -  a file                  a line\n\
             cgroup v1        -  a file                  a line\n\
             environment      -  POLYPOOL_MAX_CPU_COUNT  ignored, \"a\\nb\" is not a number from 1\n\
             cores            -  /proc/cpuinfo           cannot tell"
        );
    }

    #[test]
    fn long_garbage_is_cut_between_characters() {
        assert_eq!(quote(&"é".repeat(50)), format!("\"{}\"…", "é".repeat(40)));
        assert_eq!(quote("short\n"), "\"short\"");
    }
}
