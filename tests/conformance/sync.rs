//! Topic `sync`: primitives hold between tasks, and between tasks and who submits, wherever tasks run.

use futures::future::join_all;
use polypool::sync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, Queue, RLock, ReleaseError, SimpleQueue,
};
use polypool::{CancellationPolicy, TaskError};

use crate::rig::{Rig, SHORT};

topic! { sync:
    Every [a_lock_is_handed_on, sent_at_any_depth, tried_and_timed, an_rlock_is_its_tasks, released_by_who_does_not_hold_it, values_keep_their_order]
    Unattended [a_task_waits_for_who_submits, a_queue_with_a_bound, a_barrier_of_tasks, a_condition_wakes_tasks, a_stopped_task_leaves_the_line]
    Blocking [blocking_twins, a_stopped_task_leaves_its_blocking_wait]
}

pub async fn a_lock_is_handed_on(rig: Rig) {
    let pool = rig.pool(2);
    let (lock, count) = (pool.context().lock(), pool.context().queue(0));
    count.put(0).await.unwrap();
    let add = async |(lock, count): (Lock, Queue<u32>)| {
        for _ in 0..10 {
            let guard = lock.lock().await;
            assert!(!guard.holder_died());
            let n = count.try_get().unwrap().expect("nobody else is in here");
            count.put(n + 1).await.unwrap();
        }
    };
    let tasks = [(); 4].map(|()| pool.submit_async(add, (lock.clone(), count.clone())));
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    assert_eq!(count.get().await.unwrap(), 40);
    assert!(lock.try_lock().is_some());
}

pub async fn sent_at_any_depth(rig: Rig) {
    let pool = rig.pool(1);
    let queue = pool.context().simple_queue();
    let arg = vec![Some((1_u32, queue.clone())), None, Some((2, queue.clone()))];
    let put = async |arg: Vec<Option<(u32, SimpleQueue<u32>)>>| {
        let mut last = None;
        for (n, queue) in arg.into_iter().flatten() {
            queue.put(n).await.unwrap();
            last = Some(queue);
        }
        last
    };
    let back = pool.submit_async(put, arg).await.unwrap().expect("one of them");
    assert_eq!((back.get().await.unwrap(), queue.get().await.unwrap()), (1, 2));
    let inner = pool.context().simple_queue();
    let outer = pool.context().queue::<SimpleQueue<u32>>(1);
    outer.put(inner.clone()).await.unwrap();
    let take = async |outer: Queue<SimpleQueue<u32>>| outer.get().await.unwrap().put(3).await.unwrap();
    pool.submit_async(take, outer).await.unwrap();
    assert_eq!(inner.get().await.unwrap(), 3);
}

pub async fn tried_and_timed(rig: Rig) {
    let pool = rig.pool(1);
    let (semaphore, event) = (pool.context().bounded_semaphore(1), pool.context().event());
    let held = semaphore.acquire().await;
    let look = async |(semaphore, event): (BoundedSemaphore, Event)| {
        let tried = semaphore.try_acquire().is_some();
        let waited = semaphore.acquire_timeout(SHORT).await.is_some();
        (tried, waited, event.is_set().await, event.wait_timeout(SHORT).await)
    };
    let arg = (semaphore.clone(), event.clone());
    assert_eq!(pool.submit_async(look, arg.clone()).await.unwrap(), (false, false, false, false));
    drop(held);
    event.set().await;
    assert_eq!(pool.submit_async(look, arg).await.unwrap(), (true, true, true, true));
}

pub async fn an_rlock_is_its_tasks(rig: Rig) {
    let pool = rig.pool(1);
    let lock = pool.context().rlock();
    let nest = async |lock: RLock| {
        let outer = lock.lock().await;
        let inner = lock.lock().await;
        drop(outer);
        drop((lock.try_lock().expect("the task has it still"), inner));
    };
    pool.submit_async(nest, lock.clone()).await.unwrap();
    let outer = lock.lock().await;
    let inner = lock.lock().await;
    let is_free = async |lock: RLock| lock.try_lock().is_some();
    drop(outer);
    assert!(!pool.submit_async(is_free, lock.clone()).await.unwrap());
    drop(inner);
    assert!(pool.submit_async(is_free, lock).await.unwrap());
}

pub async fn released_by_who_does_not_hold_it(rig: Rig) {
    let pool = rig.pool(1);
    let lock = pool.context().lock();
    let held = lock.lock().await;
    let release = async |lock: Lock| lock.release().await == Err(ReleaseError::NotHeld);
    assert!(pool.submit_async(release, lock.clone()).await.unwrap());
    assert!(lock.try_lock().is_none());
    assert_eq!(held.release().await, Ok(()));
    let semaphore = pool.context().bounded_semaphore(1);
    let release = async |semaphore: BoundedSemaphore| {
        semaphore.release().await == Err(ReleaseError::TooMany { limit: 1 })
    };
    assert!(pool.submit_async(release, semaphore).await.unwrap());
}

pub async fn values_keep_their_order(rig: Rig) {
    let pool = rig.pool(1);
    let queue = pool.context().queue(0);
    let put = async |queue: Queue<String>| {
        for n in 0..50 {
            queue.put(n.to_string()).await.unwrap();
        }
    };
    pool.submit_async(put, queue.clone()).await.unwrap();
    assert_eq!(queue.len().await, 50);
    for n in 0..50 {
        assert_eq!(queue.get().await.unwrap(), n.to_string());
    }
    assert_eq!(queue.try_get().unwrap(), None);
}

pub async fn a_task_waits_for_who_submits(rig: Rig) {
    let pool = rig.pool(1);
    let (lock, asked, told) = (pool.context().lock(), pool.context().event(), pool.context().event());
    let held = lock.lock().await;
    let wait = async |(lock, asked, told): (Lock, Event, Event)| {
        asked.set().await;
        let guard = lock.lock().await;
        told.wait().await;
        guard.release().await.is_ok()
    };
    let task = pool.submit_async(wait, (lock.clone(), asked.clone(), told.clone()));
    asked.wait().await;
    drop(held);
    told.set().await;
    assert!(task.await.unwrap());
}

pub async fn a_queue_with_a_bound(rig: Rig) {
    let pool = rig.pool(1);
    let queue = pool.context().queue(2);
    let fill = async |queue: Queue<u32>| {
        for n in 0..20 {
            queue.put(n).await.unwrap();
        }
    };
    let task = pool.submit_async(fill, queue.clone());
    for n in 0..20 {
        assert!(queue.len().await <= 2);
        assert_eq!(queue.get().await.unwrap(), n);
    }
    task.await.unwrap();
}

pub async fn a_barrier_of_tasks(rig: Rig) {
    let pool = rig.pool(2);
    let barrier = pool.context().barrier(3);
    let arrive = async |barrier: Barrier| u32::from(barrier.elect().await);
    let tasks = [(); 2].map(|()| pool.submit_async(arrive, barrier.clone()));
    let mut leads = u32::from(barrier.elect().await);
    for task in tasks {
        leads += task.await.unwrap();
    }
    assert_eq!(leads, 1);
}

pub async fn a_condition_wakes_tasks(rig: Rig) {
    let pool = rig.pool(2);
    let (condition, go, asleep) =
        (pool.context().condition(), pool.context().event(), pool.context().simple_queue());
    let wait = async |(condition, go, asleep): (Condition, Event, SimpleQueue<u32>)| {
        let mut guard = condition.lock().await;
        asleep.put(0).await.unwrap();
        while !go.is_set().await {
            guard = condition.wait(guard).await;
        }
        guard.release().await.unwrap();
    };
    let arg = (condition.clone(), go.clone(), asleep.clone());
    let tasks = [(); 2].map(|()| pool.submit_async(wait, arg.clone()));
    asleep.get().await.unwrap();
    asleep.get().await.unwrap();
    let guard = condition.lock().await;
    go.set().await;
    condition.notify_one().await;
    condition.notify_one().await;
    drop(guard);
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
}

pub async fn a_stopped_task_leaves_the_line(rig: Rig) {
    let pool = rig.pool(1);
    let (lock, asked) = (pool.context().lock(), pool.context().event());
    let held = lock.lock().await;
    let wait = async |(lock, asked): (Lock, Event)| {
        asked.set().await;
        drop(lock.lock().await);
    };
    let task = pool.submit_async(wait, (lock.clone(), asked.clone()));
    asked.wait().await;
    task.cancel().await;
    drop(held);
    pool.shutdown(CancellationPolicy::ALL).await;
    assert!(lock.try_lock().is_some());
}

pub async fn blocking_twins(rig: Rig) {
    let pool = rig.pool(2);
    let (lock, queue, event) = (pool.context().lock(), pool.context().queue(1), pool.context().event());
    let work = |(lock, queue, event): (Lock, Queue<u32>, Event)| {
        event.blocking_wait();
        for n in 0..5 {
            let guard = lock.blocking_lock();
            guard.blocking_release().unwrap();
            queue.blocking_put(n).unwrap();
        }
    };
    let task = pool.submit(work, (lock.clone(), queue.clone(), event.clone()));
    event.set().await;
    for n in 0..5 {
        assert_eq!(queue.get().await.unwrap(), n);
    }
    task.await.unwrap();
}

pub async fn a_stopped_task_leaves_its_blocking_wait(rig: Rig) {
    let pool = rig.pool(1);
    let (lock, asked) = (pool.context().lock(), pool.context().event());
    let held = lock.lock().await;
    let wait = |(lock, asked): (Lock, Event)| {
        asked.blocking_set();
        drop(lock.blocking_lock());
    };
    let task = pool.submit(wait, (lock.clone(), asked.clone()));
    asked.wait().await;
    task.abort();
    assert!(matches!(task.await, Err(TaskError::Cancelled)));
    // Its thread waits no more, or the pool would never be gone: the lock is held.
    pool.shutdown(CancellationPolicy::ALL).await;
    drop(held);
    assert!(lock.try_lock().is_some());
}
