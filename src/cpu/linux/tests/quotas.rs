//! Which cgroup quota binds, where its file is found, and what broken files do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{Machine, V1_MOUNT, V2_MOUNT};

#[test]
fn v2_quota_of_the_own_group() {
    let report = Machine::new().v2("/app").file("/sys/fs/cgroup/app/cpu.max", "400000 100000\n").report();
    assert_eq!((report.logical, report.physical), (4, 4));
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cgroup/app/cpu.max");
    assert_eq!(report.cgroup_v2.detail, "400000 of 100000 µs");
    assert_eq!(report.cgroup_v1.cpus, None);
}

#[test]
fn v1_quota_of_the_own_group() {
    let report = Machine::new().v1("/app").v1_quota("/app", "150000\n", "50000\n").report();
    assert_eq!(report.logical, 3);
    assert_eq!(report.cgroup_v1.origin, "/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us");
    assert_eq!(report.cgroup_v2.cpus, None);
}

#[test]
fn hybrid_machine_with_a_quota_in_each_hierarchy() {
    let hybrid = |v1: &str, v2: &str| {
        Machine::new()
            .file("/proc/self/cgroup", "2:cpu,cpuacct:/old\n0::/new\n")
            .file(
                "/proc/self/mountinfo",
                [V1_MOUNT, "9 8 0:7 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"].concat(),
            )
            .v1_quota("/old", v1, "100000\n")
            .file("/sys/fs/cgroup/unified/new/cpu.max", v2)
            .report()
    };
    let report = hybrid("300000\n", "200000 100000\n");
    assert_eq!((report.logical, report.cgroup_v1.cpus, report.cgroup_v2.cpus), (2, Some(3), Some(2)));
    assert_eq!(hybrid("300000\n", "max 100000\n").logical, 3);
    assert_eq!(hybrid("-1\n", "500000 100000\n").logical, 5);
    assert_eq!(hybrid("-1\n", "max 100000\n").logical, 16);
}

#[test]
fn limit_in_a_grandparent() {
    let report = Machine::new()
        .v2("/pods/pod1/app")
        .file("/sys/fs/cgroup/pods/cpu.max", "200000 100000\n")
        .file("/sys/fs/cgroup/pods/pod1/cpu.max", "max 100000\n")
        .file("/sys/fs/cgroup/pods/pod1/app/cpu.max", "800000 100000\n")
        .report();
    assert_eq!(report.logical, 2);
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cgroup/pods/cpu.max");

    let report = Machine::new().v1("/pods/pod1/app").v1_quota("/pods", "100000", "100000").report();
    assert_eq!(report.logical, 1);
    assert_eq!(report.cgroup_v1.origin, "/sys/fs/cgroup/cpu,cpuacct/pods/cpu.cfs_quota_us");
}

#[test]
fn of_equal_quotas_the_own_group_is_named() {
    let report = Machine::new()
        .v2("/a/b")
        .file("/sys/fs/cgroup/a/cpu.max", "200000 100000\n")
        .file("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n")
        .report();
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cgroup/a/b/cpu.max");
}

#[test]
fn a_quota_of_max_is_none_and_no_complaint() {
    for max in ["max 100000\n", "max\n"] {
        let report = Machine::new().v2("/").file("/sys/fs/cgroup/cpu.max", max).report();
        assert_eq!(report.logical, 16);
        assert_eq!(report.cgroup_v2.detail, "no quota");
    }
}

#[test]
fn a_part_of_a_cpu_rounds_up() {
    let logical = |max: &str| Machine::new().v2("/app").file("/sys/fs/cgroup/app/cpu.max", max).logical();
    assert_eq!(logical("150000 100000\n"), 2);
    assert_eq!(logical("10000 100000\n"), 1);
    assert_eq!(logical("1 1000000\n"), 1);
    assert_eq!(logical("200000 100000\n"), 2);
}

#[test]
fn a_quota_beyond_the_machine_does_not_add_cpus() {
    let machine = Machine::new().v2("/app").file("/sys/fs/cgroup/app/cpu.max", "18446744073709551615 1\n");
    assert_eq!(machine.logical(), 16);
}

#[test]
fn container_with_a_cgroup_namespace_sees_itself_as_the_root() {
    let report = Machine::new().v2("/").file("/sys/fs/cgroup/cpu.max", "300000 100000\n").report();
    assert_eq!(report.logical, 3);
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cgroup/cpu.max");
}

#[test]
fn container_with_its_group_bind_mounted_and_the_path_of_the_host() {
    let report = Machine::new()
        .file("/proc/self/cgroup", "2:cpu,cpuacct:/docker/1\n")
        .file(
            "/proc/self/mountinfo",
            "5 4 0:29 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n",
        )
        .file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n")
        .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
        .report();
    assert_eq!(report.logical, 3);
    assert_eq!(report.cgroup_v1.origin, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
}

#[test]
fn container_whose_path_is_not_below_the_mount_falls_back_to_its_root() {
    let machine = Machine::new()
        .file("/proc/self/cgroup", "0::/docker/1\n")
        .file("/proc/self/mountinfo", V2_MOUNT)
        .file("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    let report = machine.report();
    assert_eq!(report.logical, 2);
    assert_eq!(
        report.cgroup_v2.detail,
        "200000 of 100000 µs; group /docker/1 is not below /sys/fs/cgroup, took its root"
    );

    // A group of the same name as the host's, made by a container runtime inside the container: its limit is
    // not ours.
    let machine = machine.file("/sys/fs/cgroup/docker/cpu.max", "100000 100000\n");
    assert_eq!(machine.logical(), 2);
}

#[test]
fn a_process_outside_of_its_namespace_falls_back_to_the_root_of_the_mount() {
    let machine = Machine::new().v2("/").file("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_eq!(machine.file("/proc/self/cgroup", "0::/../other\n").logical(), 2);

    let machine = Machine::new()
        .file("/proc/self/cgroup", "0::/\n")
        .file("/proc/self/mountinfo", "5 4 0:29 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        .file("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_eq!(machine.logical(), 2);
}

#[test]
fn every_mount_that_shows_the_own_group_is_asked_and_no_other() {
    let machine = Machine::new()
        .file("/proc/self/cgroup", "0::/a/b\n")
        .file(
            "/proc/self/mountinfo",
            "1 0 0:1 /other /first rw - cgroup2 cgroup2 rw\n\
             2 0 0:1 /a/b /second rw - cgroup2 cgroup2 rw\n\
             3 0 0:1 / /third rw - cgroup2 cgroup2 rw\n",
        )
        .file("/first/cpu.max", "100000 100000\n")
        .file("/second/cpu.max", "max 100000\n")
        .file("/third/a/b/cpu.max", "max 100000\n")
        .file("/third/a/cpu.max", "200000 100000\n");
    assert_eq!(machine.report().cgroup_v2.origin, "/third/a/cpu.max");
    assert_eq!(machine.logical(), 2);
}

#[test]
fn group_and_mount_whose_names_are_not_utf8() {
    let group = OsStr::from_bytes(b"/sys/fs/cg \xfe/app\xff/cpu.max");
    let report = Machine::new()
        .file("/proc/self/cgroup", b"0::/app\xff\n")
        .file("/proc/self/mountinfo", b"5 4 0:29 / /sys/fs/cg\\040\xfe rw - cgroup2 cgroup2 rw\n")
        .file(group, "200000 100000\n")
        .report();
    assert_eq!(report.logical, 2);
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cg \u{fffd}/app\u{fffd}/cpu.max");
}

#[test]
fn broken_quota_files_limit_nothing_and_are_named() {
    let garbage: [&[u8]; 12] = [
        b"",
        b"\n",
        b"abc",
        b"-1 100000",
        b"0 100000",
        b"100000 0",
        b"100000",
        b"100000 100000 100000",
        b"99999999999999999999999 100000",
        b"100000 99999999999999999999999",
        b"1e5 1e5",
        b"\xff\xfe 100000",
    ];
    for max in garbage {
        let report = Machine::new().v2("/app").file("/sys/fs/cgroup/app/cpu.max", max).report();
        assert_eq!(report.logical, 16, "{max:?}");
        assert!(report.cgroup_v2.detail.contains("/sys/fs/cgroup/app/cpu.max: "), "{max:?}: {report}");
        assert_eq!(report.to_string().lines().count(), 8, "{report}");
    }
    for (quota, period) in
        [("", "100000"), ("0", "100000"), ("-2", "100000"), ("x", "100000"), ("100000", ""), ("100000", "0")]
    {
        let report = Machine::new().v1("/app").v1_quota("/app", quota, period).report();
        assert_eq!(report.logical, 16, "{quota:?} {period:?}");
        assert!(report.cgroup_v1.detail.contains("is not a quota"), "{report}");
    }
}

#[test]
fn a_broken_quota_does_not_hide_the_sound_one_of_a_parent() {
    let report = Machine::new()
        .v2("/a/b")
        .file("/sys/fs/cgroup/a/b/cpu.max", "garbage\n")
        .file("/sys/fs/cgroup/a/cpu.max", "200000 100000\n")
        .report();
    assert_eq!(report.logical, 2);
    assert_eq!(
        report.cgroup_v2.detail,
        "200000 of 100000 µs; /sys/fs/cgroup/a/b/cpu.max: \"garbage\" is not a quota"
    );
}

#[test]
fn quota_files_that_are_missing_or_directories_limit_nothing() {
    let report = Machine::new().v2("/a/b").report();
    assert_eq!(report.logical, 16);
    assert_eq!(report.cgroup_v2.origin, "/sys/fs/cgroup/a/b");
    assert_eq!(report.cgroup_v2.detail, "no quota in 3 groups up to the root");

    let report = Machine::new().v2("/a").file("/sys/fs/cgroup/a/cpu.max/file", "").report();
    assert_eq!(report.logical, 16);
    assert!(report.cgroup_v2.detail.contains("/sys/fs/cgroup/a/cpu.max: "), "{report}");

    let machine = Machine::new().v1("/a").v1_quota("/a", "100000", "100000");
    let report = machine.without("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us").report();
    assert_eq!(report.logical, 16);
    assert!(report.cgroup_v1.detail.contains("cpu.cfs_period_us: missing"), "{report}");
}

#[test]
fn broken_descriptions_of_the_own_group_limit_nothing() {
    for garbage in [&b""[..], b"\n\n", b"::", b"0::", b"\xff\xff:\xff", b"0::relative\n", &[b'0'; 100_000]] {
        let machine = Machine::new().v2("/app").file("/sys/fs/cgroup/app/cpu.max", "200000 100000\n");
        assert_eq!(machine.logical(), 2);
        let machine = machine.file("/proc/self/cgroup", garbage);
        assert_eq!(machine.logical(), 16);
        let machine = machine.file("/proc/self/cgroup", "0::/app\n").file("/proc/self/mountinfo", garbage);
        assert_eq!(machine.logical(), 16);
        assert_eq!(machine.report().cgroup_v2.detail, "group /app is not mounted");
    }
}
