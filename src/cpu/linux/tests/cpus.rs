//! Which CPUs and cores count: masks, CPUs that are offline, hyperthreads, sockets, the variable.

use std::io;

use super::{Host, Machine};

#[test]
fn mask_smaller_than_the_machine() {
    let report = Machine::new().mask([2, 3, 5]).report();
    assert_eq!((report.logical, report.physical), (3, 3));
    assert_eq!(report.affinity.detail, "2-3,5");
}

#[test]
fn mask_too_long_for_the_system_call_is_read_from_the_status() {
    let status = "Name:\tpython\nCpus_allowed:\tff\nCpus_allowed_list:\t0-4,7\nMems_allowed_list:\t0\n";
    let report = Machine::new().file("/proc/thread-self/status", status).report();
    assert_eq!(report.logical, 6);
    assert_eq!(report.affinity.origin, "/proc/thread-self/status");

    let report = Machine::new().file("/proc/thread-self/status", "Name:\tpython\n").report();
    assert_eq!(report.logical, 16);
    assert_eq!(report.affinity.detail, "no such call; /proc/thread-self/status: has no Cpus_allowed_list");
}

#[test]
fn an_empty_mask_limits_nothing() {
    let report = Machine::new().mask([]).report();
    assert_eq!((report.logical, report.physical), (16, 16));
    assert_eq!(report.affinity.detail, "an empty mask");
}

#[test]
fn offline_cpus_do_not_count() {
    let machine = Machine::new().file("/sys/devices/system/cpu/online", "0-1,3\n").mask(0..4);
    let report = machine.without("/sys/devices/system/cpu/cpu2").report();
    assert_eq!((report.logical, report.physical), (3, 3));
    assert_eq!(report.cores.detail, "CPUs: 3, cores: 3, packages: 1");
}

#[test]
fn broken_lists_of_online_cpus_fall_back_to_the_standard_library() {
    for garbage in [&b""[..], b"\n", b"abc", b"3-1", b"0-99999999999", b"0,\xff"] {
        let machine = Machine::new().file("/sys/devices/system/cpu/online", garbage);
        let affinity = Err(io::Error::other("no such call"));
        let host = Host { root: machine.tree.path().to_owned(), affinity, parallelism: Ok(6) };
        let finding = host.machine();
        assert_eq!((finding.cpus, &finding.origin[..]), (Some(6), "available_parallelism"), "{garbage:?}");
        assert_eq!(machine.logical(), 1, "with nothing else to go by");
    }
}

#[test]
fn the_variable_caps_both_counts() {
    let report = Machine::new().mask(0..8).variable("2").report();
    assert_eq!((report.logical, report.physical), (2, 2));
    let report = Machine::new().mask(0..8).variable("200").report();
    assert_eq!((report.logical, report.physical), (8, 8));
    let report = Machine::new().mask(0..8).variable("none").report();
    assert_eq!((report.logical, report.physical), (8, 8));
}

/// Four cores of two hyperthreads each, numbered as Linux does: the siblings of 0..4 are 4..8.
fn hyperthreads() -> Machine {
    let machine = Machine::bare().file("/sys/devices/system/cpu/online", "0-7\n").mask(0..8);
    (0..8).fold(machine, |machine, cpu| machine.core(cpu, 0, cpu % 4))
}

#[test]
fn siblings_share_a_core() {
    let report = hyperthreads().report();
    assert_eq!((report.logical, report.physical), (8, 4));
    assert_eq!(report.cores.detail, "CPUs: 8, cores: 4, packages: 1");
}

#[test]
fn siblings_outside_of_the_mask_do_not_count() {
    assert_eq!(hyperthreads().mask([1, 5]).report().physical, 1);
    assert_eq!(hyperthreads().mask([0, 1, 5]).report().physical, 2);
    assert_eq!(hyperthreads().mask([0, 1, 2, 3]).report().physical, 4);
}

#[test]
fn two_sockets_number_their_cores_alike() {
    let machine = Machine::bare().file("/sys/devices/system/cpu/online", "0-7\n").mask(0..8);
    let machine = (0..8).fold(machine, |machine, cpu| machine.core(cpu, (cpu / 4) as i64, cpu % 2));
    let report = machine.report();
    assert_eq!((report.logical, report.physical), (8, 4));
    assert_eq!(report.cores.detail, "CPUs: 8, cores: 4, packages: 2");
}

#[test]
fn dies_and_clusters_of_one_package_number_their_cores_alike() {
    for id in ["die_id", "cluster_id"] {
        let machine = Machine::bare().file("/sys/devices/system/cpu/online", "0-3\n");
        let machine = (0..4).fold(machine, |machine, cpu| {
            let file = format!("/sys/devices/system/cpu/cpu{cpu}/topology/{id}");
            machine.core(cpu, 0, cpu % 2).file(file, format!("{}\n", cpu / 2))
        });
        assert_eq!(machine.report().physical, 4, "{id}");
    }
}

#[test]
fn quota_caps_cores_too() {
    let machine = hyperthreads().v2("/app").file("/sys/fs/cgroup/app/cpu.max", "300000 100000\n");
    let report = machine.report();
    assert_eq!((report.logical, report.physical), (3, 3));
}

const CPUINFO: &str = "\
processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\n\
processor\t: 1\nphysical id\t: 0\ncore id\t\t: 1\n\n\
processor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n\n\
processor\t: 3\nphysical id\t: 1\ncore id\t\t: 0\n";

#[test]
fn cpuinfo_tells_where_sysfs_does_not() {
    let machine = Machine::bare().file("/proc/cpuinfo", CPUINFO);
    assert_eq!(machine.report().cores.cpus, Some(3), "all of them where no CPUs are known");
    let report = machine.mask([0, 2, 3]).report();
    assert_eq!((report.logical, report.physical), (3, 2));
    assert_eq!(report.cores.origin, "/proc/cpuinfo");

    let machine = hyperthreads().file("/proc/cpuinfo", CPUINFO).mask(0..4);
    let report = machine.without("/sys/devices/system/cpu/cpu3").report();
    assert_eq!(report.cores.origin, "/proc/cpuinfo", "half of a topology is none");
}

#[test]
fn cores_that_nobody_tells_are_counted_as_logical_cpus() {
    let arm = "processor\t: 0\nBogoMIPS\t: 108.00\n\nprocessor\t: 1\nBogoMIPS\t: 108.00\n";
    let garbage: [&[u8]; 6] =
        [b"", b"\n:::\n", b"processor: x\n", arm.as_bytes(), b"\xff\xfe", b"core id: 1\nprocessor : 0"];
    for cpuinfo in garbage {
        let report = Machine::bare().file("/proc/cpuinfo", cpuinfo).mask(0..4).report();
        assert_eq!((report.logical, report.physical, report.cores.cpus), (4, 4, None), "{report}");
        assert!(report.cores.detail.contains("/proc/cpuinfo: "), "{report}");
    }
}

#[test]
fn ids_that_are_not_ids_tell_nothing() {
    for id in [&b""[..], b"-1\n", b"x", b"99999999999999999999999", b"\xff"] {
        for name in ["physical_package_id", "core_id"] {
            let file = format!("/sys/devices/system/cpu/cpu1/topology/{name}");
            let report = hyperthreads().file(&file, id).report();
            assert_eq!((report.logical, report.physical), (8, 8), "{id:?}");
            assert!(report.cores.detail.contains(&file), "{report}");
        }
    }
}

#[test]
fn a_machine_that_tells_nothing_has_one_cpu() {
    let report = Machine::bare().report();
    assert_eq!((report.logical, report.physical), (1, 1));
    assert_eq!(report.to_string().lines().count(), 8);
}
