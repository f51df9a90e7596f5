//! What is tested with each MPI.

use std::{thread::sleep, time::Duration};

use crate::jobs::{Engine, Kind, kill, ticks};

type Case = (&'static str, fn(&Engine));

macro_rules! cases {
    ($($name:ident)*) => {
        pub const ALL: &[Case] = &[$((stringify!($name), $name)),*];
    };
}

cases! {
    tasks_of_a_job
    sizes_of_pools
    pools_share_the_ranks
    first_rank_that_builds_no_pool
    exit_code_of_the_first_rank
    panic_of_the_first_rank
    abort_of_the_first_rank
    first_rank_killed
    worker_killed
    rank_killed_ends_the_job_or_the_job_survives
    idle_ranks
    processes_that_are_started_are_no_ranks
    one_rank_alone_has_more_spawned
    no_launcher_at_all
    launcher_of_the_pool_s_own
    ranks_that_are_none_of_our_business
    no_library
    library_of_another_mpi
    library_with_the_standard_abi
}

fn tasks_of_a_job(engine: &Engine) {
    let done = engine.job("tasks", 3).run();
    done.is_well();
    assert_eq!(done.out.matches("main of tasks").count(), 1, "the others have no main");
    assert!(done.took < Duration::from_secs(30), "{done:#?}");
}

fn sizes_of_pools(engine: &Engine) {
    engine.job("sizes", 3).run().is_well();
}

fn pools_share_the_ranks(engine: &Engine) {
    engine.job("pools", 3).run().is_well();
}

fn first_rank_that_builds_no_pool(engine: &Engine) {
    engine.job("nothing", 3).run().is_well();
}

fn exit_code_of_the_first_rank(engine: &Engine) {
    assert_eq!(engine.job("code", 3).run().code(), 3);
}

fn panic_of_the_first_rank(engine: &Engine) {
    let done = engine.job("panic", 3).run();
    assert_eq!(done.code(), 101);
    assert!(done.err.contains("as it is meant"), "{done:#?}");
}

fn abort_of_the_first_rank(engine: &Engine) {
    let job = engine.job("abort", 3).start();
    job.wait_for_file("started");
    let done = job.end();
    assert!(!done.status.success(), "{done:#?}");
}

fn first_rank_killed(engine: &Engine) {
    let job = engine.job("busy", 3).start();
    let pid = job.wait_for_file("started").parse().unwrap();
    let there = job.processes();
    assert_eq!(there.len(), 7, "three ranks, two agents, two workers: {there:?}");
    kill(pid);
    let done = job.end();
    assert!(!done.status.success(), "{done:#?}");
}

fn worker_killed(engine: &Engine) {
    engine.job("lost-worker", 3).run().is_well();
}

/// The rank is the one whose child is an agent. Only with an MPI that is fault tolerant does anything go on.
fn rank_killed_ends_the_job_or_the_job_survives(engine: &Engine) {
    let args: &[&str] = match engine.kind {
        Kind::Mpich | Kind::Open4 => &[],
        Kind::Open5 => &["--with-ft", "ulfm"],
    };
    let job = engine.job_with(args, "lost-rank", 3).start();
    let first: u32 = job.wait_for_file("started").parse().unwrap();
    let ranks = ranks(&job.processes());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    kill(*ranks.iter().find(|pid| **pid != first).unwrap());
    let done = job.end();
    match engine.kind {
        Kind::Mpich | Kind::Open4 => assert!(!done.status.success(), "{done:#?}"),
        // The launcher may still count the one that is lost.
        Kind::Open5 => assert!(done.out.contains("all is well"), "{done:#?}"),
    }
}

/// Those of them that have the library of MPI.
fn ranks(pids: &[u32]) -> Vec<u32> {
    let has_mpi = |pid: &&u32| {
        std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("libmpi"))
    };
    pids.iter().filter(has_mpi).copied().collect()
}

fn idle_ranks(engine: &Engine) {
    let job = engine.job("idle", 3).start();
    job.wait_for_file("started");
    sleep(Duration::from_millis(500));
    let pids = job.processes();
    assert_eq!(pids.len(), 7, "three ranks, two agents, two workers: {pids:?}");
    let before: Vec<u64> = pids.iter().map(|pid| ticks(*pid)).collect();
    sleep(Duration::from_secs(2));
    for (pid, before) in pids.iter().zip(before) {
        // Of 200.
        let used = ticks(*pid) - before;
        assert!(used < 10, "process {pid} used {used} hundredths of a second in 2 s");
    }
    job.end().is_well();
}

fn processes_that_are_started_are_no_ranks(engine: &Engine) {
    engine.job("children", 2).run().is_well();
}

fn one_rank_alone_has_more_spawned(engine: &Engine) {
    engine.job("alone", 1).run().is_well();
}

fn no_launcher_at_all(engine: &Engine) {
    engine.alone("alone").run().is_well();
}

fn launcher_of_the_pool_s_own(engine: &Engine) {
    engine.alone("launcher").run().is_well();
}

fn ranks_that_are_none_of_our_business(engine: &Engine) {
    let done = engine.job("off", 3).env("POLYPOOL_MPI", "off").run();
    assert!(done.status.success(), "{done:#?}");
    assert_eq!(done.out.matches("main of off").count(), 3, "{done:#?}");
}

fn no_library(engine: &Engine) {
    for (library, why) in
        [("/no/such/libmpi.so", "No such file"), ("libc.so.6", "does not say which MPI it is")]
    {
        let done = engine.alone("broken").env("POLYPOOL_MPI_LIBRARY", library).run();
        assert_eq!(done.code(), 9, "{done:#?}");
        assert!(done.out.contains("`POLYPOOL_MPI_LIBRARY` names no library of MPI"), "{done:#?}");
        assert!(done.out.contains(why), "{done:#?}");
    }
}

/// In a job all ranks say it and end, and the launcher with them.
fn library_of_another_mpi(engine: &Engine) {
    let others = Engine::all();
    let is_open = |kind| kind != Kind::Mpich;
    let Some(other) = others.iter().find(|other| is_open(other.kind) != is_open(engine.kind)) else { return };
    let library =
        std::fs::read_dir(other.mpiexec.parent().unwrap().with_file_name("lib")).ok().and_then(|files| {
            let mut names = files.filter_map(|file| Some(file.ok()?.path()));
            names.find(|path| path.to_string_lossy().contains("libmpi.so."))
        });
    let Some(library) = library else { return };
    let done = engine.job("nothing", 3).env("POLYPOOL_MPI_LIBRARY", library).run();
    assert!(!done.status.success(), "{done:#?}");
    assert!(done.err.contains("the job was started by an mpiexec of another"), "{done:#?}");
}

/// MPICH has it beside its own.
fn library_with_the_standard_abi(engine: &Engine) {
    if let Some(library) = engine.library("libmpi_abi.so.") {
        engine.job("tasks", 3).env("POLYPOOL_MPI_LIBRARY", library).run().is_well();
    }
}
