//! Bad input and what the compiler is asked to check: every refusal has its error, and no refusal breaks anything.

use std::time::Duration;

use futures::Stream;
use polypool::{
    AbortHandle, AsCompleted, BuildError, CancellationPolicy, Events, Executor, Map, MapCompleted, OnSerial,
    Runtime, Shutdown, TaskError, TaskHandle, TaskOptions, Waiting,
};

use crate::rig::{Rig, on_thread};
use crate::work::double;

topic! { misuse:
    Every [
        zero_workers,
        no_room_at_all,
        no_time_at_all,
        serial_execution_refused,
        serial_execution_allowed,
        serial_execution_by_resizing,
        a_thousand_workers,
        without_a_runtime,
        long_names,
        futures_that_are_sent_elsewhere,
    ]
}

pub async fn zero_workers(rig: Rig) {
    assert_is!(rig.builder().max_workers(0).build(), Err(BuildError::OutOfRange(_)));
}

pub async fn no_room_at_all(rig: Rig) {
    assert_is!(rig.builder().max_pending(0).build(), Err(BuildError::OutOfRange(_)));
}

pub async fn no_time_at_all(rig: Rig) {
    assert_is!(rig.builder().task_timeout(Duration::ZERO).build(), Err(BuildError::OutOfRange(_)));
    let pool = rig.pool(1);
    let task = pool.submit_with(TaskOptions::new().timeout(Duration::ZERO), double, 21);
    assert_is!(task.await, Ok(42) | Err(TaskError::TimedOut { after: Duration::ZERO }));
}

pub async fn serial_execution_refused(rig: Rig) {
    assert_is!(rig.builder().max_workers(1).on_serial(OnSerial::Error).build(), Err(BuildError::Serial));
    let two = rig.builder().max_workers(2).on_serial(OnSerial::Error).build();
    assert_eq!(two.is_ok(), !rig.runs_alone());
}

pub async fn serial_execution_allowed(rig: Rig) {
    for on_serial in [OnSerial::Warn, OnSerial::Ignore] {
        let pool = rig.builder().max_workers(1).on_serial(on_serial).build().unwrap();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    }
}

pub async fn serial_execution_by_resizing(rig: Rig) {
    for on_serial in [OnSerial::Error, OnSerial::Warn, OnSerial::Ignore] {
        // Where there is only ever one worker, it is refused already, and no size is another one.
        let Ok(pool) = rig.builder().max_workers(2).on_serial(on_serial).build() else { continue };
        let resized = pool.resize(1);
        let refuses = on_serial == OnSerial::Error;
        assert_eq!(matches!(resized, Err(BuildError::Serial)), refuses);
        assert_eq!(pool.max_workers(), if refuses { 2 } else { 1 });
        pool.resize(3).unwrap();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    }
}

pub async fn a_thousand_workers(rig: Rig) {
    let pool = rig.pool(1000);
    let tasks: Vec<_> = (0..100).map(|n| pool.submit(double, n)).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.await.unwrap(), 2 * n);
    }
}

pub async fn without_a_runtime(rig: Rig) {
    let submitted = on_thread(move || {
        let pool = Executor::builder().backend(rig.backend()).max_workers(1).build().unwrap();
        let result = pool.submit(double, 21).blocking_join();
        drop(pool);
        result
    });
    assert_eq!(submitted.await.unwrap(), 42);
}

pub async fn long_names(rig: Rig) {
    let name = "long ".repeat(10_000) + "\0";
    let pool = rig.builder().max_workers(1).name(name.clone()).build().unwrap();
    assert_eq!(pool.submit_with(TaskOptions::new().name(name), double, 21).await.unwrap(), 42);
}

fn sendable<T: Send + Unpin + 'static>(value: T) -> T {
    value
}

fn sendable_future<T: Send + 'static>(future: T) -> T {
    future
}

/// What the compiler says of the futures that have no name.
pub async fn futures_that_are_sent_elsewhere(rig: Rig) {
    let pool = sendable(rig.pool(1));
    let report = sendable_future(pool.submit(double, 21).report());
    let cancel = sendable_future(pool.submit(double, 21).cancel());
    let ready = sendable_future(pool.submit_when_ready(double, 21));
    let on_all = sendable_future(pool.run_on_all(double, 21));
    let warm_up = sendable_future(pool.warm_up());
    let shutdown = sendable(pool.shutdown(false));
    drop((report, cancel, ready, on_all, warm_up, shutdown));
}

#[test]
fn what_is_sent_and_shared() {
    fn send_sync<T: Send + Sync + Unpin + 'static>() {}
    fn send<T: Send + Unpin + 'static>() {}
    fn debug<T: std::fmt::Debug>() {}
    fn future<T: Future>() {}
    fn stream<T: Stream>() {}

    // A result that is `Send` is all that a handle asks for.
    type Result = std::cell::Cell<u64>;

    send_sync::<Executor>();
    send_sync::<TaskError>();
    send_sync::<BuildError>();
    send_sync::<CancellationPolicy>();
    send_sync::<AbortHandle>();
    send_sync::<Runtime>();
    send::<TaskHandle<Result>>();
    send::<Map<Result>>();
    send::<MapCompleted<Result>>();
    send::<AsCompleted<Result>>();
    send::<Waiting<Result>>();
    send::<Shutdown>();
    send::<Events>();
    debug::<Executor>();
    debug::<TaskHandle<Result>>();
    future::<TaskHandle<Result>>();
    future::<Waiting<Result>>();
    future::<Shutdown>();
    stream::<Map<Result>>();
    stream::<MapCompleted<Result>>();
    stream::<AsCompleted<Result>>();
    stream::<Events>();
}

#[test]
fn unknown_backend_lists_the_known_ones() {
    let error = Executor::builder().backend("theads").build().unwrap_err();
    let text = error.to_string();
    match error {
        BuildError::UnknownBackend { name, known } => {
            assert_eq!(name, "theads");
            for backend in ["serial", "threads", "tasks"] {
                assert!(known.iter().any(|known| known == backend), "{known:?}");
                assert!(text.contains(backend), "{text}");
            }
        }
        other => panic!("{other:?}"),
    }
    assert_is!(Executor::builder().backend("").build(), Err(BuildError::UnknownBackend { .. }));
}

#[test]
fn backend_that_this_version_is_without() {
    for (backend, feature) in
        [("mpi", "mpi"), ("dask", "dask"), ("dask://127.0.0.1:8786", "dask"), ("ray", "ray")]
    {
        let is_here = cfg!(target_os = "linux")
            && match feature {
                "mpi" => cfg!(feature = "mpi"),
                "dask" => cfg!(feature = "dask"),
                _ => cfg!(feature = "ray"),
            };
        match Executor::builder().backend(backend).build() {
            Ok(pool) => assert!(is_here && pool.backend_name() == feature, "{backend}"),
            Err(BuildError::FeatureDisabled(name)) => assert_eq!(name, feature),
            other => panic!("{backend}: {other:?}"),
        }
    }
}

#[test]
fn other_names_of_the_backends() {
    let mut names = vec![("sync", "serial"), ("thread", "threads"), ("async", "tasks")];
    if cfg!(all(feature = "processes", target_os = "linux")) {
        let aliases = ["loky", "multiprocess", "multiprocessing", "concurrent.futures", "joblib"];
        names.extend(aliases.map(|alias| (alias, "processes")));
    }
    for (alias, name) in names {
        assert_eq!(Executor::builder().backend(alias).build().unwrap().backend_name(), name);
        assert_eq!(Executor::builder().backend(name.to_owned()).build().unwrap().backend_name(), name);
    }
}

#[test]
fn short_forms() {
    assert_eq!(Executor::serial().backend_name(), "serial");
    assert_eq!(Executor::threads(3).unwrap().max_workers(), 3);
    assert_eq!(Executor::tasks(3).unwrap().max_workers(), 3);
    #[cfg(all(feature = "processes", target_os = "linux"))]
    {
        assert_eq!(Executor::processes(3).unwrap().max_workers(), 3);
        assert_is!(Executor::processes(0), Err(BuildError::OutOfRange(_)));
    }
    assert_is!(Executor::threads(0), Err(BuildError::OutOfRange(_)));
    assert_is!(Executor::tasks(0), Err(BuildError::OutOfRange(_)));
}

#[test]
fn policies_by_name() {
    use CancellationPolicy as Policy;

    for (text, policy) in [
        ("none", Policy::NONE),
        ("Pending", Policy::PENDING),
        ("RUNNING", Policy::RUNNING),
        ("all", Policy::ALL),
    ] {
        assert_eq!(text.parse::<Policy>().unwrap(), policy);
    }
    assert_eq!((Policy::from(true), Policy::from(false)), (Policy::PENDING, Policy::NONE));
    assert_eq!(Policy::PENDING | Policy::RUNNING, Policy::ALL);
    assert!("most".parse::<Policy>().unwrap_err().to_string().contains("pending"));
}
