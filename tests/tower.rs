//! A pool as a `tower::Service`: its turn in the queue, what dropping a response does, and the layers around it.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    future::poll_fn,
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use polypool::{
    CancellationPolicy, Executor, TaskError, TaskOptions, TaskState,
    tower::{Response, TaskService},
};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, timeout::error::Elapsed,
};

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

/// Runs a test, and fails it when it hangs.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("it hangs") })
}

/// What the tasks of one test wait for. Each test has one of its own.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    const fn new() -> Self {
        Self { open: Mutex::new(false), opened: Condvar::new() }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let _open = self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap();
    }
}

/// One worker, and one place to wait.
fn narrow(backend: &str) -> Executor {
    Executor::builder().backend(backend).max_workers(1).max_pending(1).build().unwrap()
}

async fn started(response: &Response<u32>) {
    while response.task().state() == TaskState::Queued {
        tokio::task::yield_now().await;
    }
}

fn double(n: u32) -> u32 {
    2 * n
}

async fn double_later(n: u32) -> u32 {
    tokio::task::yield_now().await;
    2 * n
}

fn is_service<S: Service<u32, Response = u32, Error = TaskError> + Clone + Send + Sync + 'static>(_: &S) {}

#[test]
fn it_answers_on_every_backend() {
    let mut backends = vec!["serial", "threads", "tasks"];
    if cfg!(all(feature = "processes", target_os = "linux")) {
        backends.push("processes");
    }
    run(async {
        for backend in backends {
            for options in [None, Some(TaskOptions::new().priority(1).name("doubled"))] {
                let (mut blocking, mut later) = (
                    TaskService::new(narrow(backend), double),
                    TaskService::new_async(narrow(backend), async |n| {
                        futures::future::ready(()).await;
                        2 * n
                    }),
                );
                is_service(&blocking);
                is_service(&later);
                if let Some(options) = options {
                    blocking = blocking.options(options.clone());
                    later = later.options(options);
                }
                for n in 0..20 {
                    assert_eq!(blocking.ready().await.unwrap().call(n).await.unwrap(), 2 * n, "{backend}");
                    assert_eq!(later.ready().await.unwrap().call(n).await.unwrap(), 2 * n, "{backend}");
                }
                // Without a look whether there is room: there is, in an idle pool.
                assert_eq!((blocking.call(7).await.unwrap(), later.call(8).await.unwrap()), (14, 16));
                assert_eq!(blocking.executor().stats().completed, 21, "{backend}");
            }
        }
    });
}

#[test]
fn ready_waits_for_room_and_keeps_it() {
    static GATE: Gate = Gate::new();
    run(async {
        let pool = narrow("threads");
        let mut service = TaskService::new(pool.clone(), |n: u32| {
            GATE.pass();
            n
        });
        let first = service.ready().await.unwrap().call(1);
        started(&first).await;
        // The place is taken as soon as it is promised.
        service.ready().await.unwrap();
        assert!(format!("{service:?}").contains("is_ready: true"));
        assert!(matches!(pool.try_submit(double, 0).unwrap_err().reason, TaskError::QueueFull));
        let mut clone = service.clone();
        assert!(clone.ready().now_or_never().is_none(), "a clone has no place of its own");
        let second = service.call(2);
        assert_eq!(second.task().state(), TaskState::Queued);
        assert!(service.ready().now_or_never().is_none());
        // The clone was first.
        GATE.open();
        let third = clone.ready().await.unwrap().call(3);
        let fourth = service.ready().await.unwrap().call(4);
        let all = join_all([first, second, third, fourth]).await;
        assert_eq!(all.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_place_that_nobody_uses_comes_back() {
    static GATE: Gate = Gate::new();
    run(async {
        let pool = narrow("threads");
        let service = TaskService::new(pool.clone(), |n: u32| {
            GATE.pass();
            n
        });
        let busy = service.clone().call(1);
        started(&busy).await;
        let mut ready = service.clone();
        ready.ready().await.unwrap();
        let (mut waits, mut waits_longer) = (service.clone(), service.clone());
        assert!(waits.ready().now_or_never().is_none());
        assert!(waits_longer.ready().now_or_never().is_none());
        drop(waits);
        drop(ready);
        waits_longer.ready().now_or_never().expect("it is the next").unwrap();
        drop(waits_longer);
        let last = pool.try_submit(double, 4).expect("all places are free");
        GATE.open();
        assert_eq!((busy.await.unwrap(), last.await.unwrap()), (1, 8));
    });
}

#[test]
fn without_a_place_a_call_is_a_submit() {
    static GATE: Gate = Gate::new();
    run(async {
        let mut service = TaskService::new(narrow("threads"), |n: u32| {
            GATE.pass();
            n
        });
        let running = service.call(1);
        // Until it has started and left its place.
        service.clone().ready().await.unwrap();
        let waiting = service.call(2);
        assert!(matches!(service.call(3).await, Err(TaskError::QueueFull)));
        GATE.open();
        assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (1, 2));
    });
}

#[test]
fn many_clones_wait_in_turn_and_none_is_refused() {
    run(async {
        let pool = Executor::builder().backend("threads").max_workers(2).max_pending(2).build().unwrap();
        let service = TaskService::new(pool.clone(), double);
        let calls: FuturesUnordered<_> = (0..500).map(|n| service.clone().oneshot(n)).collect();
        let mut results: Vec<u32> = calls.map(Result::unwrap).collect().await;
        results.sort_unstable();
        assert!(results.into_iter().eq((0..500).map(double)));
        assert_eq!(pool.stats().completed, 500);
    });
}

#[test]
fn a_response_that_is_dropped_cancels_its_task() {
    static GATE: Gate = Gate::new();
    run(async {
        let pool = narrow("threads");
        let mut service = TaskService::new(pool.clone(), |n: u32| {
            while !polypool::worker::is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            GATE.open();
            n
        });
        let running = service.ready().await.unwrap().call(1);
        started(&running).await;
        let waiting = service.ready().await.unwrap().call(2);
        drop(waiting);
        drop(running);
        tokio::task::spawn_blocking(|| GATE.pass()).await.unwrap();
        let report = pool.shutdown(CancellationPolicy::NONE).await;
        assert_eq!((report.completed, report.cancelled), (0, 2));
    });
}

#[test]
fn a_response_may_be_dropped_without_harm_where_that_is_asked_for() {
    static GATE: Gate = Gate::new();
    run(async {
        let service = TaskService::new(narrow("threads"), |n: u32| {
            GATE.pass();
            n
        });
        let mut service = service.cancel_on_drop(CancellationPolicy::NONE);
        let running = service.ready().await.unwrap().call(1);
        started(&running).await;
        drop(running);
        drop(service.ready().await.unwrap().call(2));
        GATE.open();
        let report = service.executor().shutdown(CancellationPolicy::NONE).await;
        assert_eq!((report.completed, report.cancelled), (2, 0));
    });
}

#[test]
fn a_pool_that_is_shut_down_is_told_to_who_is_ready_waits_or_asks() {
    static GATE: Gate = Gate::new();
    run(async {
        let pool = narrow("threads");
        let service = TaskService::new(pool.clone(), |n: u32| {
            GATE.pass();
            n
        });
        let busy = service.clone().call(1);
        started(&busy).await;
        let (mut ready, mut waits) = (service.clone(), service.clone());
        ready.ready().await.unwrap();
        assert!(waits.ready().now_or_never().is_none());
        let waiting = tokio::spawn(async move { waits.ready().await.map(drop) });
        let end = pool.shutdown(CancellationPolicy::NONE);
        assert!(matches!(waiting.await.unwrap(), Err(TaskError::Shutdown)));
        let polled = poll_fn(|cx| ready.poll_ready(cx)).await;
        assert!(matches!(polled, Err(TaskError::Shutdown)));
        assert!(matches!(ready.call(2).await, Err(TaskError::Shutdown)));
        assert!(matches!(service.oneshot(3).await, Err(TaskError::Shutdown)));
        GATE.open();
        assert_eq!((end.await.completed, busy.await.unwrap()), (1, 1));
    });
}

#[test]
fn a_response_keeps_its_pool_and_lets_go_of_it() {
    static GATE: Gate = Gate::new();
    run(async {
        let pool = narrow("threads");
        let mut events = pool.events();
        let mut service = TaskService::new(pool, |n: u32| {
            GATE.pass();
            n
        });
        let running = service.call(1);
        started(&running).await;
        // The last that has the pool is the response of a task that has not started.
        let mut waiting = service.oneshot(2);
        assert!((&mut waiting).now_or_never().is_none());
        GATE.open();
        assert_eq!((running.await.unwrap(), (&mut waiting).await.unwrap()), (1, 2));
        while events.next().await.is_some() {}
    });
}

#[test]
fn options_are_those_of_each_task() {
    run(async {
        let pool = Executor::tasks(1).unwrap();
        let options = TaskOptions::new().timeout(Duration::from_millis(5));
        let service = TaskService::new_async(pool, async |()| futures::future::pending::<()>().await);
        let error = service.options(options).oneshot(()).await.unwrap_err();
        assert!(error.is_timed_out());
    });
}

// The layers.

#[test]
fn timeout_cancels_what_is_late() {
    run(async {
        let pool = Executor::tasks(1).unwrap();
        let service = TaskService::new_async(pool.clone(), async |()| futures::future::pending::<()>().await);
        let service = ServiceBuilder::new().timeout(Duration::from_millis(10)).service(service);
        // The second waits behind the first.
        let late = join_all([service.clone().oneshot(()), service.oneshot(())]).await;
        assert!(late.into_iter().all(|late| late.unwrap_err().is::<Elapsed>()));
        assert_eq!(pool.shutdown(CancellationPolicy::NONE).await.cancelled, 2);
    });
}

#[test]
fn load_shed_refuses_what_there_is_no_room_for() {
    static GATE: Gate = Gate::new();
    run(async {
        let service = TaskService::new(narrow("threads"), |n: u32| {
            GATE.pass();
            n
        });
        let shed = ServiceBuilder::new().load_shed().service(service.clone());
        let running = service.clone().call(1);
        service.clone().ready().await.unwrap();
        let waiting = service.clone().call(2);
        for _ in 0..3 {
            assert!(shed.clone().oneshot(3).await.unwrap_err().is::<Overloaded>());
        }
        GATE.open();
        assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (1, 2));
        // Those who were refused hold no place.
        assert_eq!(shed.oneshot(4).await.unwrap(), 4);
    });
}

#[test]
fn concurrency_limit_bounds_what_waits_and_runs() {
    run(async {
        let pool = Executor::builder().backend("threads").max_workers(4).build().unwrap();
        let limited =
            ServiceBuilder::new().concurrency_limit(2).service(TaskService::new(pool.clone(), double));
        let mut calls: FuturesUnordered<_> = (0..200).map(|n| limited.clone().oneshot(n)).collect();
        let mut sum = 0;
        while let Some(result) = calls.next().await {
            let stats = pool.stats();
            assert!(stats.queued + stats.running <= 2, "{stats:?}");
            sum += result.unwrap();
        }
        assert_eq!(sum, 199 * 200);
    });
}

#[test]
fn buffer_waits_for_room_on_behalf_of_many() {
    run(async {
        let pool = narrow("tasks");
        let buffered: tower::buffer::Buffer<u32, _> =
            ServiceBuilder::new().buffer(4).service(TaskService::new_async(pool.clone(), double_later));
        let calls = (0..200).map(|n| {
            let buffered = buffered.clone();
            tokio::spawn(async move { buffered.oneshot(n).await })
        });
        let results: Vec<Result<u32, BoxError>> =
            join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert!(results.into_iter().map(Result::unwrap).eq((0..200).map(double)));
        drop(pool.shutdown(true));
        let error = buffered.oneshot(1).await.unwrap_err();
        assert!(error.to_string().contains("the pool is shut down"), "{error}");
    });
}

#[cfg(all(feature = "processes", target_os = "linux"))]
#[test]
fn a_late_response_ends_the_process_that_worked_on_it() {
    use polypool::Processes;

    run(async {
        let workers = Processes::new().grace_period(Duration::from_millis(10));
        let pool = Executor::builder().backend(workers).max_workers(1).build().unwrap();
        let pid = pool.submit(|()| std::process::id(), ()).await.unwrap();
        let stuck = TaskService::new(pool.clone(), |()| thread::sleep(Duration::from_secs(600)));
        let stuck = ServiceBuilder::new().timeout(Duration::from_millis(50)).service(stuck);
        assert!(stuck.oneshot(()).await.unwrap_err().is::<Elapsed>());
        let process = format!("/proc/{pid}");
        let start = Instant::now();
        while std::path::Path::new(&process).exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "{pid} is still there");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_ne!(pool.submit(|()| std::process::id(), ()).await.unwrap(), pid);
    });
}
