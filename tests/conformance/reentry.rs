//! User code that the pool calls back, wakers, drops, inputs, and tasks that turn on themselves: it may use the pool, and it may panic.

use std::cell::RefCell;
use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::channel::oneshot;
use futures::{StreamExt as _, TryStreamExt as _, poll};
use polypool::{AbortHandle, CancellationPolicy, Executor, TaskError, worker};

use crate::gate::Gate;
use crate::rig::{Rig, on_thread};
use crate::work::{double, hold_async, mark};

topic! { reentry:
    Every [
        input_uses_the_pool,
        initializer_uses_its_pool,
        task_resizes_its_pool,
        pool_in_a_thread_local,
    ]
    Unattended [
        waker_uses_the_pool,
        waker_that_panics,
        waker_that_drops_the_last_clone,
    ]
    Local [
        drop_of_a_capture_uses_the_pool_on_abort,
        drop_of_a_capture_uses_the_pool_on_shutdown,
        drop_of_a_capture_uses_the_pool_at_the_end,
        events_read_inside_a_task,
        last_clone_inside_a_result,
    ]
    Local Unattended [
        drop_of_a_result_uses_the_pool,
        future_that_aborts_itself,
        task_aborts_those_behind_it,
    ]
    Local Blocking [
        code_that_aborts_itself,
    ]
}

/// Does something when it is woken.
struct Act<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Act<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(act: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Act(act)))
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What a callback may do with a pool: everything that does not wait.
fn use_pool(pool: &Executor, journal: Gate) {
    let stats = pool.stats();
    assert!(stats.queued < 1_000 && format!("{pool:?} {:?}", pool.workers()).contains("Executor"));
    let aborted = pool.submit(double, 1);
    aborted.abort();
    drop(pool.try_submit(mark, (journal, 1)));
    journal.note(0);
}

pub async fn drop_of_a_capture_uses_the_pool_on_abort(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let clone = pool.clone();
    let capture = OnDrop(move || use_pool(&clone, journal));
    let task = pool.spawn_blocking(move || drop(capture));
    task.abort();
    assert_eq!(journal.notes(), [0]);
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.release().await;
    pool.shutdown(false).await;
}

pub async fn drop_of_a_capture_uses_the_pool_on_shutdown(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let clone = pool.clone();
    let capture = OnDrop(move || use_pool(&clone, journal));
    let task = pool.spawn(async move { drop(capture) });
    let shutdown = pool.shutdown(true);
    assert_is!(task.await, Err(TaskError::Cancelled));
    busy.open();
    shutdown.await;
    assert_eq!(journal.notes(), [0], "what it submitted was refused");
}

pub async fn drop_of_a_capture_uses_the_pool_at_the_end(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let clone = pool.clone();
    let capture = OnDrop(move || use_pool(&clone, journal));
    pool.spawn_blocking(move || drop(capture)).await.unwrap();
    assert!(journal.notes().contains(&0));
    pool.shutdown(true).await;
}

pub async fn input_uses_the_pool(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let clone = pool.clone();
    let inputs = (0..20).inspect(move |_| use_pool(&clone, journal));
    let results: Vec<u64> = pool.map(double, inputs).chunk_size(3).try_collect().await.unwrap();
    assert!(results.into_iter().eq((0..20).map(|n| 2 * n)));
    pool.shutdown(true).await;
}

pub async fn initializer_uses_its_pool(rig: Rig) {
    let journal = rig.gate();
    let initializer = |journal: Gate| use_pool(&worker::executor().expect("inside a worker"), journal);
    let pool = rig.builder().max_workers(2).initializer(initializer, journal).build().unwrap();
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert!(journal.notes().contains(&0));
    pool.shutdown(true).await;
}

pub async fn task_resizes_its_pool(rig: Rig) {
    let pool = rig.pool(2);
    for n in [1, 3, 1, 2] {
        let resizing = |n: usize| worker::executor().expect("inside a task").resize(n).is_ok();
        assert!(pool.submit(resizing, n).await.unwrap());
        assert_eq!(pool.map(double, 0..20).count().await, 20);
    }
}

pub async fn pool_in_a_thread_local(rig: Rig) {
    thread_local!(static POOL: RefCell<Option<Executor>> = const { RefCell::new(None) });

    let task = on_thread(move || {
        let pool = rig.builder().max_workers(1).on_drop(false).build().unwrap();
        let task = pool.submit(double, 21);
        POOL.set(Some(pool));
        task
    });
    assert_eq!(task.await.await.unwrap(), 42);
}

pub async fn events_read_inside_a_task(rig: Rig) {
    let pool = rig.pool(2);
    let mut events = pool.events();
    let listening = pool.spawn(async move { events.next().await.is_some() });
    assert!(listening.await.unwrap());
}

/// A result that holds the executor is dropped by whoever drops the handle, or by the pool itself.
pub async fn last_clone_inside_a_result(rig: Rig) {
    let pool = rig.builder().max_workers(1).on_drop(CancellationPolicy::ALL).build().unwrap();
    let clone = pool.clone();
    let task = pool.spawn(async move { clone });
    drop(pool);
    let pool = task.await.unwrap();
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    let clone = pool.clone();
    drop(pool.spawn_blocking(move || clone));
    drop(pool);
}

pub async fn waker_uses_the_pool(rig: Rig) {
    let (pool, gate, journal) = (rig.pool(1), rig.gate(), rig.gate());
    let mut task = Box::pin(rig.gated(&pool, gate, 7));
    let (abort, clone) = (task.abort_handle(), pool.clone());
    let waker = waker(move || {
        abort.abort();
        assert!(abort.is_finished());
        use_pool(&clone, journal);
    });
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    journal.wait_notes(1).await;
    assert_eq!(task.await.unwrap(), 7);
    pool.shutdown(false).await;
}

pub async fn waker_that_panics(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut task = Box::pin(rig.gated(&pool, gate, 7));
    let waker = waker(|| panic!("a waker of no use"));
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    assert_eq!(task.await.unwrap(), 7);
}

pub async fn waker_that_drops_the_last_clone(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut task = Box::pin(rig.gated(&pool, gate, 7));
    let pending = rig.gated(&pool, gate, 8);
    let last = std::sync::Mutex::new(Some(pool));
    let waker = waker(move || drop(last.lock().unwrap().take()));
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    assert_is!(pending.await, Ok(8) | Err(TaskError::Cancelled));
    assert_eq!(task.await.unwrap(), 7);
}

pub async fn drop_of_a_result_uses_the_pool(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let clone = pool.clone();
    drop(pool.spawn_blocking(move || OnDrop(move || use_pool(&clone, journal))));
    busy.release().await;
    journal.wait_notes(2).await;
    assert_eq!(journal.notes(), [0, 1]);
}

pub async fn future_that_aborts_itself(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let (send, receive) = oneshot::channel::<AbortHandle>();
    let task = pool.spawn(async move {
        receive.await.unwrap().abort();
        gate.pass().await;
        gate.note(1);
    });
    send.send(task.abort_handle()).unwrap();
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.open();
    assert_eq!(pool.submit_async(hold_async, (gate, 2)).await.unwrap(), 2);
    assert_eq!(gate.notes(), [2]);
}

pub async fn code_that_aborts_itself(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let (send, receive) = oneshot::channel::<AbortHandle>();
    let task = pool.spawn_blocking(move || {
        futures::executor::block_on(receive).unwrap().abort();
        gate.note(u64::from(worker::is_cancelled()));
    });
    send.send(task.abort_handle()).unwrap();
    assert_is!(task.await, Err(TaskError::Cancelled));
    gate.wait_notes(1).await;
    assert_eq!(gate.notes(), [1]);
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn task_aborts_those_behind_it(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let (send, receive) = oneshot::channel::<Vec<AbortHandle>>();
    let first = pool.spawn(async move { receive.await.unwrap().iter().for_each(AbortHandle::abort) });
    let behind: Vec<_> = (0..10).map(|n| pool.submit(mark, (journal, n))).collect();
    send.send(behind.iter().map(|task| task.abort_handle()).collect()).unwrap();
    let mut last = behind.into_iter().next_back().unwrap();
    assert!(poll!(&mut last).is_pending());
    busy.release().await;
    first.await.unwrap();
    assert_is!(last.await, Err(TaskError::Cancelled));
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}
