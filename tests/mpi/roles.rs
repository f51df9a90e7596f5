//! What rank 0 of a job does, by the name that the test gave it.

use std::{
    process::{Command, ExitCode},
    thread::sleep,
    time::Duration,
};

use futures::{TryStreamExt, executor::block_on};
use polypool::{BuildError, CancellationPolicy, Executor, Mpi, MpiLauncher, TaskError, worker};

use crate::jobs::{ROLE, kill, say};

const FAIL: u8 = 9;

pub fn play(role: &str) -> ExitCode {
    println!("main of {role}");
    match role {
        "tasks" => tasks(&pool()),
        "sizes" => sizes(),
        "pools" => pools(),
        "nothing" => {}
        "code" => return ExitCode::from(3),
        "panic" => panic!("as it is meant"),
        "abort" => {
            let _pool = started();
            std::process::abort();
        }
        "busy" => {
            let _pool = started();
            sleep(Duration::from_secs(600));
        }
        "lost-worker" => lost_worker(&pool()),
        "lost-rank" => lost_rank(),
        "idle" => {
            let pool = started();
            sleep(Duration::from_secs(4));
            drop(pool);
        }
        "children" => children(&pool()),
        "child" => {
            polypool_is_free();
            return ExitCode::SUCCESS;
        }
        "alone" => {
            let pool = Executor::builder().backend(Mpi::new()).max_workers(2).build().unwrap();
            tasks(&pool);
            grow();
        }
        "launcher" => launcher(),
        "broken" => return broken(),
        "off" => return ExitCode::SUCCESS,
        other => panic!("no role is called {other}"),
    }
    println!("all is well");
    ExitCode::SUCCESS
}

fn pool() -> Executor {
    Executor::builder().backend("mpi").build().unwrap()
}

/// A pool with all its workers, which the test hears of.
fn started() -> Executor {
    let pool = pool();
    assert_eq!(ranks_at_once(&pool), [1, 2]);
    say("started", &std::process::id().to_string());
    pool
}

fn tasks(pool: &Executor) {
    assert_eq!(pool.max_workers(), 2);
    assert!(worker::is_master() && worker::rank() == 0 && worker::size() == 1);
    assert_eq!(ranks_at_once(pool), [1, 2]);
    let who = |()| (worker::is_master(), worker::is_worker(), worker::size());
    assert_eq!(pool.submit(who, ()).blocking_join().unwrap(), (false, true, 3));
    // Large both ways.
    let turned = |mut bytes: Vec<u8>| {
        bytes.reverse();
        bytes
    };
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut back = pool.submit(turned, bytes.clone()).blocking_join().unwrap();
    back.reverse();
    assert!(back == bytes);
    let sum: u64 = block_on(pool.map(|n: u64| n, 0..20_000).try_fold(0, async |sum, n| Ok(sum + n))).unwrap();
    assert_eq!(sum, 199_990_000);
    let error = pool.submit(|()| -> u32 { panic!("no") }, ()).blocking_join().unwrap_err();
    assert!(matches!(error, TaskError::Panicked(_)), "{error}");
}

fn sizes() {
    let build = |backend: Mpi, n| Executor::builder().backend(backend).max_workers(n).build();
    assert_eq!(pool().max_workers(), 2);
    let error = build(Mpi::new(), 3).unwrap_err();
    assert!(matches!(error, BuildError::OutOfRange(_)));
    let text = error.to_string();
    assert!(text.contains("mpiexec -n 4") && text.contains("workers_per_rank(2)"), "{text}");
    assert!(build(Mpi::new().workers_per_rank(0), 1).is_err());
    let many = Executor::builder().backend(Mpi::new().workers_per_rank(3)).build().unwrap();
    assert_eq!(many.max_workers(), 6);
    assert_eq!(ranks_at_once(&many), [1, 2, 3, 4, 5, 6]);
    let inside = |()| Executor::builder().backend("mpi").build().map(drop).unwrap_err().to_string();
    let text = pool().submit(inside, ()).blocking_join().unwrap();
    assert!(text.contains("a task has no ranks"), "{text}");
}

fn pools() {
    for n in 0..10 {
        assert_eq!(pool().submit(|n: u32| n + 1, n).blocking_join().unwrap(), n + 1);
    }
    let pools: Vec<Executor> = (0..4).map(|_| pool()).collect();
    let hold = |n: u32| {
        sleep(Duration::from_millis(100));
        n
    };
    let handles: Vec<_> =
        pools.iter().flat_map(|pool| (0..4).map(|n| pool.submit(hold, n)).collect::<Vec<_>>()).collect();
    for (at, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.blocking_join().unwrap(), at as u32 % 4);
    }
    for pool in &pools {
        block_on(pool.shutdown(CancellationPolicy::NONE));
    }
    // One in a static is there to the end.
    std::mem::forget(pools);
}

fn lost_worker(pool: &Executor) {
    for _ in 0..3 {
        let error = pool.submit(|()| -> u32 { kill_myself() }, ()).blocking_join().unwrap_err();
        assert!(matches!(error, TaskError::WorkerLost(_)), "{error}");
        assert_eq!(pool.submit(|n: u32| n + 1, 1).blocking_join().unwrap(), 2);
    }
}

fn kill_myself() -> u32 {
    kill(std::process::id());
    unreachable!("killed");
}

/// The test kills a rank, and where MPI is fault tolerant the tasks go on on the other one.
fn lost_rank() {
    let pool = Executor::builder().backend("mpi").retries(3).build().unwrap();
    let hold = |n: u64| {
        sleep(Duration::from_millis(20));
        n
    };
    assert_eq!(ranks_at_once(&pool), [1, 2]);
    say("started", &std::process::id().to_string());
    let sum: u64 = block_on(pool.map(hold, 0..200).try_fold(0, async |sum, n| Ok(sum + n))).unwrap();
    assert_eq!(sum, 19_900);
    let left = Executor::builder().backend("mpi").build().unwrap();
    assert_eq!(left.max_workers(), 1);
    assert_eq!(left.submit(|n: u32| n + 1, 1).blocking_join().unwrap(), 2);
}

fn children(pool: &Executor) {
    let run = |()| {
        let output = Command::new(std::env::current_exe().unwrap()).env(ROLE, "child").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(pool.submit(run, ()).blocking_join().unwrap(), (true, "main of child\nfree\n".to_owned()));
    assert_eq!(run(()), (true, "main of child\nfree\n".to_owned()));
}

/// A process that is not of the job has pools of its own.
fn polypool_is_free() {
    let pool = Executor::processes(1).unwrap();
    assert_eq!(pool.submit(|n: u32| n + 1, 1).blocking_join().unwrap(), 2);
    println!("free");
}

fn grow() {
    let pool = Executor::builder().backend(Mpi::new()).max_workers(3).build().unwrap();
    assert_eq!(ranks_at_once(&pool), [1, 2, 3]);
}

/// The ranks of all workers, in order, of which each has a task that waits for the others.
fn ranks_at_once(pool: &Executor) -> Vec<usize> {
    let barrier = pool.context().barrier(pool.max_workers());
    let meet = |barrier: polypool::sync::Barrier| {
        barrier.blocking_wait();
        worker::rank()
    };
    let tasks: Vec<_> = (0..pool.max_workers()).map(|_| pool.submit(meet, barrier.clone())).collect();
    let mut ranks: Vec<usize> = tasks.into_iter().map(|task| task.blocking_join().unwrap()).collect();
    ranks.sort_unstable();
    ranks
}

fn launcher() {
    let missing = Mpi::new().launcher(MpiLauncher::new("no-such-mpiexec"));
    let error = Executor::builder().backend(missing).max_workers(2).build().unwrap_err();
    assert!(matches!(error, BuildError::Unreachable(_)), "{error}");
    let wrong = Mpi::new().launcher(MpiLauncher::new("false"));
    let pool = Executor::builder().backend(wrong).max_workers(1).build().unwrap();
    let error = pool.submit(|()| (), ()).blocking_join().unwrap_err().to_string();
    assert!(error.contains("`false` ended (exit code 1)"), "{error}");
    drop(pool);
    let backend = Mpi::new().launcher(MpiLauncher::mpiexec());
    let pool = Executor::builder().backend(backend).max_workers(2).build().unwrap();
    tasks(&pool);
    // No library of MPI is here, nor there.
    let maps = |()| std::fs::read_to_string("/proc/self/maps").unwrap().contains("libmpi");
    assert!(!maps(()) && !pool.submit(maps, ()).blocking_join().unwrap());
    lost_worker(&pool);
    block_on(pool.shutdown(CancellationPolicy::NONE));
}

/// The pool's tasks fail, with a reason that the test looks at.
fn broken() -> ExitCode {
    let backend = Executor::builder().backend(Mpi::new()).max_workers(1).build().unwrap();
    match backend.submit(|()| (), ()).blocking_join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ TaskError::Backend { .. }) => {
            println!("error: {error}");
            ExitCode::from(FAIL)
        }
        Err(error) => panic!("{error}"),
    }
}
