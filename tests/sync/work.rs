//! Each primitive between processes, when nobody dies.

use std::fs;

use futures::{TryStreamExt, future::join_all};
use polypool::sync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, Queue, RLock, ReleaseError, Semaphore, SimpleQueue,
};
use polypool::{Executor, worker};

use crate::common::{AGES, SHORT, play, pool, pools};

/// Adds to a number in a file, in steps that others could come between.
fn add_one(path: &str) {
    let n: u64 = fs::read_to_string(path).unwrap().parse().unwrap();
    std::thread::yield_now();
    fs::write(path, (n + 1).to_string()).unwrap();
}

#[test]
fn a_lock_lets_one_process_in_at_a_time() {
    play("lock", async {
        for pool in pools(4) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("count").display().to_string();
            fs::write(&path, "0").unwrap();
            let lock = pool.context().lock();
            let inputs = (0..200).map({
                let (lock, path) = (lock.clone(), path.clone());
                move |_| (lock.clone(), path.clone())
            });
            let work = |(lock, path): (Lock, String)| {
                let guard = lock.blocking_lock();
                assert!(!guard.holder_died());
                add_one(&path);
            };
            pool.map(work, inputs).try_collect::<Vec<()>>().await.unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "200");
            assert!(lock.try_lock().is_some(), "what a task has given back is free when its result is there");
        }
    });
}

#[test]
fn a_lock_is_free_when_the_result_of_its_holder_is_there() {
    play("free", async {
        let pool = pool(1);
        let lock = pool.context().lock();
        for _ in 0..200 {
            pool.submit(|lock: Lock| drop(lock.blocking_lock()), lock.clone()).await.unwrap();
            assert!(lock.try_lock().is_some());
        }
    });
}

#[test]
fn awaited_in_a_worker_and_tried_there() {
    play("awaited", async {
        let pool = pool(2);
        let lock = pool.context().lock();
        let work = async |lock: Lock| {
            let guard = lock.lock().await;
            let again = lock.try_lock().is_some();
            guard.release().await.unwrap();
            let tried = lock.try_lock().is_some();
            (again, tried, lock.lock_timeout(AGES).await.is_some())
        };
        assert_eq!(pool.submit_async(work, lock.clone()).await.unwrap(), (false, true, true));
        let held = lock.lock().await;
        let try_both = async |lock: Lock| {
            (
                lock.try_lock().is_none(),
                lock.lock_timeout(SHORT).await.is_none(),
                lock.blocking_lock_timeout(SHORT).is_none(),
            )
        };
        assert_eq!(pool.submit_async(try_both, lock.clone()).await.unwrap(), (true, true, true));
        drop(held);
    });
}

#[test]
fn an_rlock_is_its_tasks() {
    play("rlock", async {
        let pool = pool(2);
        let lock = pool.context().rlock();
        let work = async |lock: RLock| {
            let outer = lock.lock().await;
            let inner = lock.blocking_lock();
            let third = lock.try_lock().unwrap();
            drop(outer);
            drop((third, inner));
        };
        let (a, b) = (pool.submit_async(work, lock.clone()), pool.submit_async(work, lock.clone()));
        a.await.unwrap();
        b.await.unwrap();
        let _mine = lock.lock().await;
        let is_busy = pool.submit(|lock: RLock| lock.try_lock().is_none(), lock.clone()).await;
        assert!(is_busy.unwrap());
    });
}

#[test]
fn who_does_not_hold_it_cannot_release_it() {
    play("release", async {
        let pool = pool(1);
        let lock = pool.context().lock();
        let _held = lock.lock().await;
        let release = |lock: Lock| matches!(lock.blocking_release(), Err(ReleaseError::NotHeld));
        assert!(pool.submit(release, lock.clone()).await.unwrap());
        let leaked = |lock: Lock| {
            std::mem::forget(lock.blocking_lock());
            lock.blocking_release().is_ok() && lock.blocking_release().is_err()
        };
        assert!(pool.submit(leaked, pool.context().lock()).await.unwrap());
    });
}

#[test]
fn semaphores_count_over_all_processes() {
    play("semaphores", async {
        let pool = pool(3);
        let semaphore = pool.context().bounded_semaphore(2);
        let event = pool.context().event();
        let hold = |(semaphore, arrived, go): (BoundedSemaphore, SimpleQueue<u32>, Event)| {
            let _permit = semaphore.blocking_acquire();
            arrived.blocking_put(0).unwrap();
            go.blocking_wait();
        };
        let arrived = pool.context().simple_queue();
        let tasks: Vec<_> =
            (0..2).map(|_| pool.submit(hold, (semaphore.clone(), arrived.clone(), event.clone()))).collect();
        arrived.get().await.unwrap();
        arrived.get().await.unwrap();
        assert!(semaphore.try_acquire().is_none());
        assert_eq!(semaphore.release().await, Err(ReleaseError::TooMany { limit: 2 }));
        event.set().await;
        for task in tasks {
            task.await.unwrap();
        }
        assert!(semaphore.try_acquire().is_some());

        let signal = pool.context().semaphore(0);
        let task = pool.submit(|signal: Semaphore| signal.blocking_release().unwrap(), signal.clone());
        signal.acquire().await.forget();
        task.await.unwrap();
    });
}

#[test]
fn a_condition_between_processes() {
    play("condition", async {
        let pool = pool(2);
        let (condition, ready, queue) =
            (pool.context().condition(), pool.context().event(), pool.context().simple_queue::<u32>());
        let wait = |(condition, ready, queue): (Condition, Event, SimpleQueue<u32>)| {
            let mut guard = condition.blocking_lock();
            queue.blocking_put(0).unwrap();
            while !ready.blocking_is_set() {
                guard = condition.blocking_wait(guard);
            }
            drop(guard);
            let (_guard, notified) =
                condition.blocking_wait_timeout(condition.blocking_lock(), crate::common::SHORT);
            notified
        };
        let tasks: Vec<_> =
            (0..2).map(|_| pool.submit(wait, (condition.clone(), ready.clone(), queue.clone()))).collect();
        queue.get().await.unwrap();
        queue.get().await.unwrap();
        let guard = condition.lock().await;
        ready.set().await;
        condition.notify_all().await;
        drop(guard);
        assert_eq!(join_all(tasks).await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [false, false]);
    });
}

#[test]
fn a_barrier_elects_one_each_time() {
    play("barrier", async {
        let pool = pool(3);
        let barrier = pool.context().barrier(4);
        let arrive = |barrier: Barrier| (0..5).filter(|_| barrier.blocking_elect()).count();
        let tasks: Vec<_> = (0..3).map(|_| pool.submit(arrive, barrier.clone())).collect();
        let mut leads = 0;
        for _ in 0..5 {
            leads += usize::from(barrier.elect().await);
        }
        for task in tasks {
            leads += task.await.unwrap();
        }
        assert_eq!(leads, 5);
    });
}

#[test]
fn queues_carry_large_values_and_each_other() {
    play("queues", async {
        for pool in pools(2) {
            let queue = pool.context().queue::<(Vec<u64>, SimpleQueue<Vec<u8>>)>(1);
            let echo = |queue: Queue<(Vec<u64>, SimpleQueue<Vec<u8>>)>| {
                for _ in 0..3 {
                    let (values, back) = queue.blocking_get().unwrap();
                    back.blocking_put(vec![values.len() as u8; 3_000_000]).unwrap();
                }
            };
            let task = pool.submit(echo, queue.clone());
            for n in [0, 1, 200_u8] {
                let back = pool.context().simple_queue();
                queue.put((vec![7; usize::from(n)], back.clone())).await.unwrap();
                assert_eq!(back.get().await.unwrap(), vec![n; 3_000_000]);
            }
            task.await.unwrap();
        }
    });
}

#[test]
fn a_bound_holds_across_processes() {
    play("bound", async {
        let pool = pool(1);
        let queue = pool.context().queue(2);
        let fill = |queue: Queue<u32>| {
            let puts = (0..4).map(|n| queue.try_put(n).is_ok()).collect::<Vec<_>>();
            (puts, queue.blocking_put_timeout(9, crate::common::SHORT).is_err())
        };
        let result = pool.submit(fill, queue.clone()).await.unwrap();
        assert_eq!(result, (vec![true, true, false, false], true));
        let put = pool.submit(|queue: Queue<u32>| queue.blocking_put(2).unwrap(), queue.clone());
        assert_eq!([queue.get().await.unwrap(), queue.get().await.unwrap()], [0, 1]);
        assert_eq!(queue.get().await.unwrap(), 2);
        put.await.unwrap();
        assert_eq!(queue.get_timeout(SHORT).await.unwrap(), None);
    });
}

#[test]
fn made_in_a_task_and_shared_by_tasks_of_tasks() {
    play("made in a task", async {
        let pool = pool(2);
        let work = |n: u32| {
            let pool = worker::executor().unwrap();
            let (queue, lock) = (pool.context().queue::<u32>(0), pool.context().lock());
            let put = |(n, queue, lock): (u32, Queue<u32>, Lock)| {
                let _guard = lock.blocking_lock();
                queue.blocking_put(n).unwrap();
            };
            let tasks: Vec<_> = (0..n).map(|n| pool.submit(put, (n, queue.clone(), lock.clone()))).collect();
            for task in tasks {
                task.blocking_join().unwrap();
            }
            assert_eq!(queue.blocking_len(), n as usize);
            queue
        };
        let queue = pool.submit(work, 5).await.unwrap();
        let mut got = Vec::new();
        while let Some(n) = queue.try_get().unwrap() {
            got.push(n);
        }
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn passed_on_to_a_pool_of_the_workers_own() {
    play("passed on", async {
        let pool = pool(1);
        let (lock, queue) = (pool.context().lock(), pool.context().queue::<u32>(0));
        let guard = lock.lock().await;
        let work = |(lock, queue): (Lock, Queue<u32>)| {
            let inner = Executor::processes(2).unwrap();
            let deep = |(lock, queue): (Lock, Queue<u32>)| {
                assert!(lock.try_lock().is_none());
                queue.blocking_put(worker::depth() as u32).unwrap();
                let _guard = lock.blocking_lock();
                queue.blocking_put(7).unwrap();
            };
            let tasks = [(); 2].map(|()| inner.submit(deep, (lock.clone(), queue.clone())));
            for task in tasks {
                task.blocking_join().unwrap();
            }
            lock.try_lock().is_some()
        };
        let task = pool.submit(work, (lock.clone(), queue.clone()));
        assert_eq!([queue.get().await.unwrap(), queue.get().await.unwrap()], [2, 2]);
        drop(guard);
        assert_eq!([queue.get().await.unwrap(), queue.get().await.unwrap()], [7, 7]);
        assert!(task.await.unwrap());
    });
}

#[test]
fn in_processes_of_a_context() {
    play("context", async {
        let context = polypool::process::context(None);
        let (queue, event) = (context.sync().queue::<u32>(0), context.sync().event());
        let work = |(queue, event): (Queue<u32>, Event)| {
            event.blocking_wait();
            queue.blocking_put(std::process::id()).unwrap();
        };
        let mut process = context.spawn(work, (queue.clone(), event.clone())).unwrap();
        event.set().await;
        assert_eq!(queue.get().await.unwrap(), process.pid());
        process.join().await.unwrap();
    });
}

#[test]
fn by_every_start_method() {
    use polypool::{Processes, StartMethod};
    play("start methods", async {
        for method in [StartMethod::Loky, StartMethod::Spawn, StartMethod::ForkServer, StartMethod::Fork] {
            let backend = Processes::new().start_method(method);
            let pool = Executor::builder().backend(backend).max_workers(1).build().unwrap();
            let lock = pool.context().lock();
            let task = pool.submit(|lock: Lock| lock.blocking_lock().holder_died(), lock.clone());
            assert!(!task.await.unwrap());
            assert!(lock.try_lock().is_some());
            pool.shutdown(true).await;
        }
    });
}
