//! Life and death of workers, for every way to start them and every way to reach them.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use polypool::{Executor, Exit, Processes, StartMethod, TaskError, TaskOptions, Transport};

use crate::gate::Gate;
use crate::ground::{SHORT, goes_on, loss_of, pids, pool_of, run};
use crate::proc::{is_gone, soon_async};
use crate::tasks::{bytes, echo, exit_or_go_on, hold, hold_async, mark, pid};

fn pool_by(method: StartMethod, transport: Transport, workers: usize) -> Executor {
    pool_of(Processes::new().start_method(method).transport(transport), workers)
}

pub async fn calls(method: StartMethod, transport: Transport) {
    let (pool, journal) = (pool_by(method, transport, 2), Gate::new());
    let all = pids(&pool).await;
    assert!(all[0] != all[1] && !all.contains(&std::process::id()));
    let tasks: Vec<_> = (0..500).map(|n| pool.submit(mark, (journal, n))).collect();
    assert!(join_all(tasks).await.into_iter().map(Result::unwrap).eq(0..500));
    assert!(journal.sorted_notes().into_iter().eq(0..500));
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (502, 0, 0));
    assert!(all.into_iter().all(is_gone));
}

pub async fn futures(method: StartMethod, transport: Transport) {
    let (pool, gate) = (pool_by(method, transport, 1), Gate::new());
    let task = pool.submit_async(hold_async, gate);
    gate.wait_arrivals(1).await;
    gate.open();
    assert_eq!(u64::from(task.await.unwrap()), gate.notes()[0]);
}

pub async fn payloads(method: StartMethod, transport: Transport) {
    let pool = pool_by(method, transport, 2);
    for size in [0, 1, 65_535, 65_536, 65_537, 1 << 20, 9_000_001] {
        let there_and_back = || async {
            let result = pool.submit(echo::<Vec<u8>>, bytes(size)).await.unwrap();
            assert!(result == bytes(size), "{size} bytes");
        };
        join_all([there_and_back(), there_and_back(), there_and_back()]).await;
    }
}

pub async fn losses(method: StartMethod, transport: Transport) {
    let pool = pool_by(method, transport, 1);
    for code in [7, 0] {
        let before = pool.submit(pid, ()).await.unwrap();
        let task = pool.submit(exit_or_go_on, code);
        let behind: Vec<_> = (0..10).map(|_| pool.submit(exit_or_go_on, -1)).collect();
        let lost = loss_of(task).await;
        assert_eq!((lost.pid, lost.exit), (Some(before), Exit::Code(code)));
        assert!(is_gone(before), "it was reaped");
        assert!(join_all(behind).await.into_iter().all(|result| matches!(result, Ok(-1))));
        assert_ne!(pool.submit(pid, ()).await.unwrap(), before);
    }
    let lost = loss_of(pool.submit(crate::tasks::abort, ())).await;
    assert_eq!(lost.exit, Exit::Signal(libc::SIGABRT));
    goes_on(&pool).await;
}

pub async fn stops(method: StartMethod, transport: Transport) {
    let (pool, gate) = (pool_by(method, transport, 1), Gate::new());
    let task = pool.submit(hold, gate);
    gate.wait_arrivals(1).await;
    let behind = pool.submit(pid, ());
    assert_eq!(task.cancel().await, None);
    assert!(is_gone(gate.notes()[0] as u32));
    assert!(behind.await.is_ok());
    let task = pool.submit_with(TaskOptions::new().timeout(SHORT), hold, gate);
    assert_is!(task.await, Err(TaskError::TimedOut { .. }));
    goes_on(&pool).await;
}

pub async fn ends(method: StartMethod, transport: Transport) {
    let pool = pool_by(method, transport, 3);
    let all = pids(&pool).await;
    drop(pool);
    soon_async("all are gone", || all.iter().all(|&pid| is_gone(pid))).await;
}

/// A test for each way of starting and reaching workers: life, death, and all between.
macro_rules! ways {
    ($($(#[$note:meta])* $name:ident: $method:ident by $transport:ident;)*) => { $(
        mod $name {
            use super::*;

            ways! { case $method $transport $(#[$note])* calls }
            ways! { case $method $transport $(#[$note])* futures }
            ways! { case $method $transport $(#[$note])* payloads }
            ways! { case $method $transport $(#[$note])* losses }
            ways! { case $method $transport $(#[$note])* stops }
            ways! { case $method $transport $(#[$note])* ends }
        }
    )* };
    (case $method:ident $transport:ident $(#[$note:meta])* $case:ident) => {
        #[test]
        $(#[$note])*
        fn $case() {
            run(super::$case(StartMethod::$method, Transport::$transport));
        }
    };
}

ways! {
    loky: Loky by SharedMemory;
    spawn: Spawn by SharedMemory;
    loky_by_socket: Loky by Socket;
    fork_server: ForkServer by SharedMemory;
    fork_server_by_socket: ForkServer by Socket;
    fork: Fork by SharedMemory;
    fork_by_socket: Fork by Socket;
}

#[test]
fn names() {
    for (name, method) in [
        ("loky", StartMethod::Loky),
        ("loky_init_main", StartMethod::LokyInitMain),
        ("spawn", StartMethod::Spawn),
        ("forkserver", StartMethod::ForkServer),
        ("fork", StartMethod::Fork),
    ] {
        assert_eq!(name.parse::<StartMethod>().unwrap(), method);
        assert_eq!(method.to_string(), name);
    }
    let error = "spork".parse::<StartMethod>().unwrap_err().to_string();
    assert!(error.contains("spork") && error.contains("forkserver"), "{error}");
}

static REMEMBERED: AtomicU64 = AtomicU64::new(0);

fn remembered((): ()) -> u64 {
    REMEMBERED.load(Ordering::SeqCst)
}

#[test]
fn a_fresh_process_remembers_nothing() {
    run(async {
        REMEMBERED.store(7, Ordering::SeqCst);
        for method in [StartMethod::Loky, StartMethod::Spawn] {
            let pool = pool_by(method, Transport::SharedMemory, 1);
            assert_eq!(pool.submit(remembered, ()).await.unwrap(), 0, "{method}");
        }
    });
}

#[test]
fn a_fork_remembers_what_its_parent_knew() {
    run(async {
        REMEMBERED.store(7, Ordering::SeqCst);
        let pool = pool_by(StartMethod::Fork, Transport::SharedMemory, 1);
        assert_eq!(pool.submit(remembered, ()).await.unwrap(), 7);
    });
}

#[test]
fn a_fork_server_starts_fresh() {
    run(async {
        REMEMBERED.store(7, Ordering::SeqCst);
        let pool = pool_by(StartMethod::ForkServer, Transport::SharedMemory, 2);
        assert_eq!(pool.submit(remembered, ()).await.unwrap(), 0);
        let parents = pool.run_on_all(|()| rustix::process::getppid().map(|pid| pid.as_raw_pid()), ()).await;
        let parents: Vec<_> = parents.into_iter().map(Result::unwrap).collect();
        assert_eq!(parents[0], parents[1], "both were forked by the server");
        assert_ne!(parents[0], Some(std::process::id() as i32));
    });
}
