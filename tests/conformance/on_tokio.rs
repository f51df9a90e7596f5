//! What only tokio has: a context, handles of its runtimes, and several ways to end one. Instantiated where it is the host.

use futures::StreamExt as _;
use polypool::{Executor, Runtime, TaskError};
use tokio::runtime::{Builder, Handle};
use tokio::task::LocalSet;

use crate::rig::{Rig, SHORT, on_thread};
use crate::runtimes::resolve;
use crate::work::{double, double_async, hold_async, mark};

topic! { on_tokio:
    Every [
        futures_find_the_runtime,
        named_runtime,
        named_runtime_that_is_gone,
        handle_in_a_select_that_another_branch_wins,
        inside_a_local_set,
    ]
    Unattended [
        runtime_shut_down_in_the_background,
        runtime_shut_down_with_a_limit,
        awaited_in_many_tasks_of_the_runtime,
    ]
    Borrowing [
        blocking_code_finds_the_runtime,
    ]
}

fn runtime_is_in_context((): ()) -> bool {
    Handle::try_current().is_ok()
}

pub async fn futures_find_the_runtime(rig: Rig) {
    let pool = rig.pool(1);
    assert!(pool.submit_async(async |()| runtime_is_in_context(()), ()).await.unwrap());
    assert!(pool.submit_async(tokio::time::sleep, SHORT).await.is_ok());
    let inner = pool.submit_async(async |n: u64| tokio::spawn(double_async(n)).await.unwrap(), 21);
    assert_eq!(inner.await.unwrap(), 42);
    if rig.is_local() {
        assert!(pool.spawn(tokio::time::sleep(SHORT)).await.is_ok());
        let inner = pool.spawn(async { tokio::spawn(double_async(21)).await.unwrap() });
        assert_eq!(inner.await.unwrap(), 42);
    }
}

pub async fn blocking_code_finds_the_runtime(rig: Rig) {
    let pool = rig.pool(1);
    assert!(pool.submit(runtime_is_in_context, ()).await.unwrap());
    assert!(pool.spawn_blocking(|| runtime_is_in_context(())).await.unwrap());
}

pub async fn named_runtime(rig: Rig) {
    let runtime = Runtime::tokio(Handle::current());
    let pool = Executor::builder().backend(rig.backend()).runtime(runtime).max_workers(1).build().unwrap();
    let first = pool.clone();
    let task = on_thread(move || first.submit_async(async |()| runtime_is_in_context(()), ())).await;
    assert!(task.await.unwrap());
    assert_eq!(pool.map(double, 0..10).count().await, 10);
}

/// A pool that was told to use a runtime which has ended works on threads of its own, or says that it cannot.
pub async fn named_runtime_that_is_gone(rig: Rig) {
    let handle = rig.elsewhere(async |_| Handle::current()).await;
    let builder = Executor::builder().backend(rig.backend()).runtime(Runtime::tokio(handle));
    let pool = builder.max_workers(2).build().unwrap();
    resolve(vec![pool.submit(double, 21), pool.submit_async(double_async, 21)]).await;
    for result in pool.map(double, 0..10).collect::<Vec<_>>().await {
        assert_is!(result, Ok(_) | Err(TaskError::Shutdown));
    }
    pool.shutdown(false).await;
}

pub async fn handle_in_a_select_that_another_branch_wins(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut task = pool.submit_async(hold_async, (gate, 7));
    tokio::select! {
        biased;
        result = &mut task => panic!("{result:?} through a closed gate"),
        () = tokio::time::sleep(SHORT) => gate.open(),
    }
    assert_eq!(task.await.unwrap(), 7);
}

pub async fn inside_a_local_set(rig: Rig) {
    let pool = rig.pool(2);
    let local = LocalSet::new();
    let results = local.run_until(async move {
        let mapped = tokio::task::spawn_local(pool.map(double, 0..50).count());
        let task = tokio::task::spawn_local(pool.submit(double, 21));
        (mapped.await.unwrap(), task.await.unwrap().unwrap())
    });
    assert_eq!(results.await, (50, 42));
}

/// Leaves tasks behind in a runtime of its own, which is then ended in the given way.
async fn end_a_runtime(rig: Rig, end: impl FnOnce(tokio::runtime::Runtime) + Send + 'static) {
    let left_behind = on_thread(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let left_behind = runtime.block_on(async {
            let (pool, gate) = (rig.pool(1), rig.gate());
            let running = rig.gated(&pool, gate, 0);
            gate.wait_arrivals(1).await;
            let mut tasks: Vec<_> = (1..500).map(|n| pool.submit(mark, (gate, n))).collect();
            tasks.push(running);
            (pool, gate, tasks)
        });
        end(runtime);
        left_behind
    });
    let (pool, gate, tasks) = left_behind.await;
    gate.open();
    resolve(tasks).await;
    resolve(vec![pool.submit(double, 21), pool.submit_async(double_async, 21)]).await;
    pool.shutdown(false).await;
}

pub async fn runtime_shut_down_in_the_background(rig: Rig) {
    end_a_runtime(rig, tokio::runtime::Runtime::shutdown_background).await;
}

pub async fn runtime_shut_down_with_a_limit(rig: Rig) {
    end_a_runtime(rig, |runtime| runtime.shutdown_timeout(SHORT)).await;
}

pub async fn awaited_in_many_tasks_of_the_runtime(rig: Rig) {
    let pool = rig.pool(2);
    let waiting: Vec<_> = (0..500).map(|n| (n, tokio::spawn(pool.submit(double, n)))).collect();
    for (n, task) in waiting {
        assert_eq!(task.await.unwrap().unwrap(), 2 * n);
    }
}
