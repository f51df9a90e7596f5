//! Backends that users write: their names, and that one which goes wrong costs its tasks and nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::executor::block_on;
use futures::future::join_all;
use polypool::backend::{self, Arrival, Backend, Job, PoolContext, Settings, WorkerKind, Workers};
use polypool::{
    BuildError, CancellationPolicy, Capabilities, Executor, ExecutorBuilder, Exit, TaskError, TaskOptions,
    Threads, WorkerLost,
};

use crate::rig::Watchdog;
use crate::work::{double, fail};

/// A backend that starts a thread per worker and does with each job what it is told.
#[derive(Clone)]
struct Rough {
    capabilities: Capabilities,
    fails_to_start: bool,
    refuses_workers: bool,
    treat: Arc<dyn Fn(Job<'_>) + Send + Sync>,
}

impl Rough {
    fn treating(treat: impl Fn(Job<'_>) + Send + Sync + 'static) -> Rough {
        let capabilities =
            Capabilities { in_process: true, futures: true, nests: true, ..Capabilities::default() };
        Rough { capabilities, fails_to_start: false, refuses_workers: false, treat: Arc::new(treat) }
    }

    fn new() -> Rough {
        Rough::treating(|job| job.run())
    }
}

impl std::fmt::Debug for Rough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rough").finish_non_exhaustive()
    }
}

impl Backend for Rough {
    fn name(&self) -> &str {
        "rough"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        if settings.on_drop.contains(CancellationPolicy::RUNNING) {
            return Err(BuildError::Unsupported("rough work is not stopped".to_owned()));
        }
        Ok(())
    }

    fn start(&self, _: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        if self.fails_to_start {
            return Err(TaskError::Broken("no engine".to_owned()));
        }
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Workers for Rough {
    fn wanted(&self, arrival: Arrival) {
        if self.refuses_workers {
            return drop(arrival);
        }
        let treat = Arc::clone(&self.treat);
        thread::spawn(move || {
            let Some(mut lane) = arrival.claim() else { return };
            while let Some(job) = lane.next(Duration::from_millis(1)) {
                treat(job);
            }
        });
    }
}

fn builder(backend: Rough) -> ExecutorBuilder {
    Executor::builder().backend(backend).max_workers(2)
}

/// Runs a test that must not hang.
fn test(name: &'static str, case: impl AsyncFnOnce()) {
    let _watchdog = Watchdog::start(name);
    block_on(case());
}

#[test]
fn registered_name() {
    let register = || backend::register("rough-1", WorkerKind::Threads, || Ok::<_, TaskError>(Rough::new()));
    register().unwrap();
    assert_is!(register(), Err(BuildError::NameTaken(name)) if name == "rough-1");
    let pool = Executor::builder().backend("rough-1").max_workers(2).build().unwrap();
    assert_eq!(pool.submit(double, 21).blocking_join().unwrap(), 42);
    assert_is!(
        Executor::builder().backend("rough-0").build(),
        Err(BuildError::UnknownBackend { known, .. }) if known.iter().any(|name| name == "rough-1")
    );
}

#[test]
fn names_that_are_taken_or_none() {
    let register = |name| backend::register(name, WorkerKind::Threads, || Ok::<_, TaskError>(Threads::new()));
    for name in ["threads", "sync", "processes", "loky", "mpi", "dask", "ray"] {
        assert_is!(register(name), Err(BuildError::NameTaken(_)));
    }
    for name in ["", "two words", "dask://host:8786"] {
        assert_is!(register(name), Err(BuildError::OutOfRange(_)));
    }
}

#[test]
fn factory_that_fails() {
    backend::register("rough-2", WorkerKind::Threads, || Err::<Rough, _>("no licence")).unwrap();
    let error = Executor::builder().backend("rough-2").build().unwrap_err();
    assert!(error.to_string().contains("rough-2") && error.to_string().contains("no licence"), "{error}");
    assert_is!(error, BuildError::Factory { .. });
}

#[test]
fn factory_of_another_kind() {
    backend::register("rough-3", WorkerKind::Remote, || Ok::<_, TaskError>(Rough::new())).unwrap();
    assert_is!(Executor::builder().backend("rough-3").build(), Err(BuildError::Unsupported(_)));
}

#[test]
fn policy_that_the_backend_refuses() {
    assert_is!(
        builder(Rough::new()).on_drop(CancellationPolicy::ALL).build(),
        Err(BuildError::Unsupported(_))
    );
    assert!(builder(Rough::new()).on_drop(CancellationPolicy::PENDING).build().is_ok());
}

#[test]
fn backend_that_does_not_start() {
    test("backend_that_does_not_start", async || {
        let pool = builder(Rough { fails_to_start: true, ..Rough::new() }).build().unwrap();
        assert_is!(pool.submit(double, 1).await, Err(TaskError::Broken(_)));
        assert_is!(pool.spawn(async {}).await, Err(TaskError::Broken(_)));
        assert_is!(pool.try_submit(double, 1).map(drop), Err(refused) if matches!(refused.reason, TaskError::Broken(_)) && refused.arg == 1);
        assert_is!(pool.warm_up().await, Err(TaskError::Broken(_)));
        assert!(pool.run_on_all(double, 1).await.into_iter().all(|result| result.is_err()));
        assert_is!(pool.map(double, 0..).fail_fast().next().await, Some(Err(TaskError::Broken(_))));
        pool.shutdown(false).await;
    });
}

#[test]
fn backend_that_brings_no_workers() {
    test("backend_that_brings_no_workers", async || {
        let pool = builder(Rough { refuses_workers: true, ..Rough::new() }).build().unwrap();
        let tasks: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
        for result in join_all(tasks).await {
            assert_is!(result, Err(TaskError::Shutdown));
        }
        assert!(pool.run_on_all(double, 1).await.into_iter().all(|result| result.is_err()));
        assert!(pool.warm_up().await.is_err());
        pool.shutdown(false).await;
    });
}

#[test]
fn worker_that_drops_its_jobs() {
    test("worker_that_drops_its_jobs", async || {
        let pool = builder(Rough::treating(|job| drop(job))).build().unwrap();
        let report = pool.submit(double, 1).report().await;
        assert_is!(report.result, Err(TaskError::WorkerLost(_)));
        let report = pool.submit_with(TaskOptions::new().retries(2), double, 1).report().await;
        assert_is!(report.result, Err(TaskError::WorkerLost(_)));
        assert_eq!(report.attempts, 3);
        assert!(
            pool.map(double, 0..10)
                .all(async |result| result.is_err_and(|error| error.is_worker_lost()))
                .await
        );
        pool.shutdown(false).await;
    });
}

/// Loses each task's first attempt, as far as one can count in the order of starts.
fn losing_every_other() -> Rough {
    let count = AtomicU32::new(0);
    Rough::treating(move |job| {
        if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            job.lost(WorkerLost::new(7, None, Exit::Signal(9)));
        } else {
            job.run();
        }
    })
}

#[test]
fn lost_task_is_tried_again_where_that_was_asked_for() {
    test("lost_task_is_tried_again_where_that_was_asked_for", async || {
        let pool = Executor::builder().backend(losing_every_other()).max_workers(1).build().unwrap();
        let report = pool.submit_with(TaskOptions::new().retries(1), double, 21).report().await;
        assert_eq!((report.result.unwrap(), report.attempts), (42, 2));
        let lost = pool.submit(double, 21).await.unwrap_err();
        assert_is!(lost, TaskError::WorkerLost(lost) if lost.exit == Exit::Signal(9));
        let totals = pool.shutdown(false).await;
        assert_eq!((totals.completed, totals.failed, totals.cancelled), (1, 1, 0));
    });
}

#[test]
fn lost_tasks_of_a_pool_that_tries_again() {
    test("lost_tasks_of_a_pool_that_tries_again", async || {
        let pool =
            Executor::builder().backend(losing_every_other()).max_workers(1).retries(1).build().unwrap();
        let results: Vec<_> = pool.map(double, 0..20).chunk_size(1).collect().await;
        assert!((0..).zip(results).all(|(n, result)| result.is_ok_and(|value| value == 2 * n)));
    });
}

#[test]
fn own_panic_is_never_tried_again() {
    test("own_panic_is_never_tried_again", async || {
        let pool = builder(Rough::new()).retries(5).build().unwrap();
        let report = pool.submit(fail, "once".to_owned()).report().await;
        assert!(report.result.unwrap_err().is_panicked());
        assert_eq!(report.attempts, 1);
    });
}

#[test]
fn worker_that_fails_its_jobs() {
    test("worker_that_fails_its_jobs", async || {
        let pool = builder(Rough::treating(|job| job.fail(TaskError::Broken("no disk".to_owned()))))
            .build()
            .unwrap();
        let tasks: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
        for result in join_all(tasks).await {
            assert_is!(result, Err(TaskError::Broken(reason)) if reason == "no disk");
        }
        assert_eq!(pool.shutdown(false).await.failed, 10);
    });
}

#[test]
fn worker_that_panics() {
    test("worker_that_panics", async || {
        let pool = builder(Rough::treating(|_job| panic!("a worker of no use"))).build().unwrap();
        assert!(pool.submit(double, 1).await.is_err());
        let tasks: Vec<_> = (0..10).map(|n| pool.submit(double, n)).collect();
        assert!(join_all(tasks).await.into_iter().all(|result| result.is_err()));
        pool.shutdown(false).await;
    });
}

#[test]
fn backend_without_futures() {
    test("backend_without_futures", async || {
        let rough = Rough::new();
        let capabilities = Capabilities { futures: false, ..rough.capabilities };
        let pool = builder(Rough { capabilities, ..rough }).build().unwrap();
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
        let error = pool.spawn(async { 1 }).await.unwrap_err();
        assert!(error.to_string().contains("rough"), "{error}");
        assert_is!(error, TaskError::Unsupported { backend, .. } if backend == "rough");
        assert_eq!(pool.spawn_blocking(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn backend_outside_this_process() {
    test("backend_outside_this_process", async || {
        let rough = Rough::new();
        let capabilities = Capabilities { in_process: false, ..rough.capabilities };
        let pool = builder(Rough { capabilities, ..rough }).build().unwrap();
        assert_is!(pool.spawn(async { 1 }).await, Err(TaskError::Unsupported { .. }));
        assert_is!(pool.spawn_blocking(|| 1).await, Err(TaskError::Unsupported { .. }));
    });
}
