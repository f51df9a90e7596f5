//! Where this process's cgroups are: reads `/proc/self/cgroup` and `/proc/self/mountinfo`. Owns the two
//! formats, byte by byte, as paths need not be UTF-8; must not know what a quota is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Longer paths than the kernel's `PATH_MAX` are garbage, and walking up their parents would take for ever.
const LONGEST_PATH: usize = 4096;

/// One of the two hierarchies that can carry a CPU quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// The unified one.
    V2,
    /// The one of the version 1 controller `cpu`, on its own or together with others.
    V1,
}

impl Hierarchy {
    /// Finds the path of the own group among the lines `id:controllers:path` of `/proc/self/cgroup`.
    pub(super) fn own_group(self, cgroup: &[u8]) -> Option<PathBuf> {
        cgroup.split(|&byte| byte == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':');
            let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let ours = match self {
                Self::V2 => id == b"0" && controllers.is_empty(),
                Self::V1 => is_listed(b"cpu", controllers),
            };
            (ours && path.starts_with(b"/") && path.len() <= LONGEST_PATH).then(|| to_path(path.to_vec()))
        })
    }

    /// Lists the mounts of this hierarchy, in the order of `/proc/self/mountinfo` (see `proc_pid_mountinfo(5)`).
    /// Of two at the same place only the later one can be seen.
    pub(super) fn mounts(self, mountinfo: &[u8]) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = Vec::new();
        for mount in mountinfo.split(|&byte| byte == b'\n').filter_map(|line| self.mount(line)) {
            mounts.retain(|earlier| earlier.point != mount.point);
            mounts.push(mount);
        }
        mounts
    }

    fn mount(self, line: &[u8]) -> Option<Mount> {
        // A varying number of optional fields ends in a lone hyphen.
        let hyphen = line.windows(3).position(|bytes| bytes == b" - ")?;
        let mut before = line[..hyphen].split(|&byte| byte == b' ');
        let mut after = line[hyphen + 3..].split(|&byte| byte == b' ');
        let (kind, _device, options) = (after.next()?, after.next()?, after.next()?);
        let ours = match self {
            Self::V2 => kind == b"cgroup2",
            Self::V1 => kind == b"cgroup" && is_listed(b"cpu", options),
        };
        let (root, point) = (before.nth(3)?, before.next()?);
        (ours && point.starts_with(b"/") && point.len() <= LONGEST_PATH)
            .then(|| Mount { root: to_path(unescape(root)), point: to_path(unescape(point)) })
    }
}

/// One place where a hierarchy, or a part of it, can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The group that is to be seen at `point`: `/`, or that of a container.
    pub(super) root: PathBuf,
    /// Where it is mounted.
    pub(super) point: PathBuf,
}

impl Mount {
    /// Says where below the mount point a group is; `None` when this mount does not show it. A `..`, with
    /// which the kernel writes groups outside of the cgroup namespace, leads out of the mount.
    pub(super) fn locate<'a>(&self, group: &'a Path) -> Option<&'a Path> {
        let below = group.strip_prefix(&self.root).ok()?;
        below.components().all(|part| matches!(part, Component::Normal(_))).then_some(below)
    }
}

fn is_listed(name: &[u8], list: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|entry| entry == name)
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// Undoes the octal escapes (`\040` for a space) of mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    loop {
        rest = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
            [] => return bytes,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"\
9:name=systemd:/init.scope
4:cpuset:/sets
2:cpu,cpuacct:/a:b/c d
0::/unified
";

    fn mount(root: &str, point: &str) -> Mount {
        Mount { root: root.into(), point: point.into() }
    }

    #[test]
    fn the_own_group_of_each_hierarchy() {
        assert_eq!(Hierarchy::V2.own_group(HYBRID), Some("/unified".into()));
        assert_eq!(Hierarchy::V1.own_group(HYBRID), Some("/a:b/c d".into()));
        assert_eq!(Hierarchy::V1.own_group(b"4:cpuset,cpuacct:/x\n0::/y\n"), None);
        assert_eq!(Hierarchy::V2.own_group(b"0::\n0:/\n\n::/\n0::relative"), None);
        assert_eq!(Hierarchy::V2.own_group(&[b"0::", "/a".repeat(5_000).as_bytes()].concat()), None);
    }

    #[test]
    fn mounts_with_and_without_optional_fields_escapes_and_garbage() {
        let mountinfo = b"\
22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
41 31 0:38 /docker/1 /with\\040space\\134 rw,relatime - cgroup2 cgroup2 rw
42 31 - cgroup2
 - cgroup2 cgroup2 rw

\xff\xfe - \xff";
        assert_eq!(Hierarchy::V1.mounts(mountinfo), [mount("/", "/sys/fs/cgroup/cpu,cpuacct")]);
        assert_eq!(Hierarchy::V2.mounts(mountinfo), [mount("/docker/1", "/with space\\")]);
    }

    #[test]
    fn a_mount_hides_the_one_below_it() {
        let mountinfo = b"\
1 0 0:1 / /cg rw - cgroup2 cgroup2 rw
2 0 0:1 / /other rw - cgroup2 cgroup2 rw
3 1 0:1 /pods /cg rw - cgroup2 cgroup2 rw
";
        assert_eq!(Hierarchy::V2.mounts(mountinfo), [mount("/", "/other"), mount("/pods", "/cg")]);
    }

    #[test]
    fn a_group_is_located_below_the_root_of_its_mount_only() {
        let locate = |root, group: &'static str| mount(root, "/mnt").locate(Path::new(group));
        assert_eq!(locate("/", "/a/b"), Some(Path::new("a/b")));
        assert_eq!(locate("/a", "/a/b"), Some(Path::new("b")));
        assert_eq!(locate("/a/b", "/a/b"), Some(Path::new("")));
        assert_eq!(locate("/a", "/ab"), None);
        assert_eq!(locate("/..", "/"), None);
        assert_eq!(locate("/", "/../other"), None);
    }
}
