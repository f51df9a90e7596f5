//! The smallest quota on the way from the own cgroup to the root. Owns which groups are asked.

use std::path::{Path, PathBuf};

use super::super::report::Finding;
use super::mounts::{Hierarchy, Mount};
use super::quota::Quota;
use super::read;

const CGROUP: &str = "/proc/self/cgroup";
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Finds the quota of version 2 and that of version 1. A hybrid system has groups in both hierarchies, and
/// the controller in one of them; which one is known only by asking both.
pub(super) fn quotas(root: &Path) -> [Finding; 2] {
    let cgroup = match read::bytes(root, CGROUP) {
        Ok(cgroup) => cgroup,
        Err(error) => return [(); 2].map(|()| Finding::nothing(CGROUP, &error)),
    };
    let mountinfo = match read::bytes(root, MOUNTINFO) {
        Ok(mountinfo) => mountinfo,
        Err(error) => return [(); 2].map(|()| Finding::nothing(MOUNTINFO, &error)),
    };
    [Hierarchy::V2, Hierarchy::V1].map(|hierarchy| {
        let Some(group) = hierarchy.own_group(&cgroup) else {
            return Finding::nothing(CGROUP, "no group in this hierarchy");
        };
        match &hierarchy.mounts(&mountinfo)[..] {
            [] => Finding::nothing(MOUNTINFO, format_args!("group {} is not mounted", group.display())),
            mounts => smallest(root, hierarchy, &Groups::new(root, &group, mounts)),
        }
    })
}

/// The directories of the groups whose quotas bind this process.
struct Groups {
    /// The own group first, then its parents, once for each mount that shows it.
    directories: Vec<PathBuf>,
    /// Why these and not those that the kernel named.
    remark: Option<String>,
}

impl Groups {
    /// Any mount that shows the own group shows some of its parents. When none does, the path was written for
    /// other eyes than ours: inside a container it can be the host's, while the mount shows the container's
    /// group as its root. Then that root is all there is to ask; directories on the named path would be
    /// somebody else's, a container's in ours.
    fn new(root: &Path, group: &Path, mounts: &[Mount]) -> Self {
        let shown = mounts.iter().filter_map(|mount| Some((mount, mount.locate(group)?)));
        let directories: Vec<_> = shown
            .filter(|(mount, below)| read::below(root, mount.point.join(below)).is_dir())
            .flat_map(|(mount, below)| below.ancestors().map(|parent| join(&mount.point, parent)))
            .collect();
        if !directories.is_empty() {
            return Self { directories, remark: None };
        }
        let Mount { point, .. } = &mounts[0];
        let remark = format!("group {} is not below {}, took its root", group.display(), point.display());
        Self { directories: vec![point.clone()], remark: Some(remark) }
    }
}

fn smallest(root: &Path, hierarchy: Hierarchy, groups: &Groups) -> Finding {
    let mut quotas = Vec::new();
    let mut remarks: Vec<_> = groups.remark.iter().cloned().collect();
    for directory in &groups.directories {
        match Quota::read(root, directory, hierarchy) {
            Ok(quota) => quotas.extend(quota),
            Err(why) => remarks.push(why),
        }
    }

    // The first of equals: of two groups with the same quota, the own one is the better answer to "where?".
    match quotas.iter().min_by_key(|quota| quota.cpus()) {
        Some(quota) => {
            remarks.insert(0, format!("{} of {} µs", quota.micros, quota.period));
            Finding::some(quota.cpus(), quota.file.display(), remarks.join("; "))
        }
        None => {
            let what = match groups.directories.len() {
                1 => "no quota".to_owned(),
                several => format!("no quota in {several} groups up to the root"),
            };
            remarks.insert(0, what);
            Finding::nothing(groups.directories[0].display(), remarks.join("; "))
        }
    }
}

/// `Path::join` ends in a slash when there is nothing to join.
fn join(point: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { point.to_owned() } else { point.join(below) }
}
