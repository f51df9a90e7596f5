//! Processes that die with something in their hands, or on its way to them.

use polypool::sync::{Barrier, Condition, Event, Lock, Queue, RLock, Semaphore, SimpleQueue};
use polypool::{CancellationPolicy, Executor, worker};

use crate::common::{assert_lost, die, kill, play, pool, pools};

#[test]
fn a_lock_of_the_dead_is_free_and_its_next_holder_is_told() {
    play("told", async {
        for pool in pools(1) {
            let lock = pool.context().lock();
            let work = |lock: Lock| {
                let _guard = lock.blocking_lock();
                die()
            };
            assert_lost::<()>(pool.submit(work, lock.clone()).await);
            let guard = lock.try_lock().expect("free, for its holder is known to be dead");
            assert!(guard.holder_died());
            drop(guard);
            assert!(!lock.try_lock().unwrap().holder_died(), "told once");
        }
    });
}

#[test]
fn who_waits_for_a_lock_of_the_dead_has_it_and_is_told() {
    play("waits", async {
        let pool = pool(3);
        let (lock, held) = (pool.context().lock(), pool.context().event());
        let hold = |(lock, held): (Lock, Event)| -> () {
            let _guard = lock.blocking_lock();
            held.blocking_set();
            loop {
                std::thread::park();
            }
        };
        let task = pool.submit(hold, (lock.clone(), held.clone()));
        held.wait().await;
        let waits = pool.submit(|lock: Lock| lock.blocking_lock().holder_died(), lock.clone());
        let mine = lock.lock();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let told = waits.await.unwrap();
        let mine = mine.await.holder_died();
        assert!(told ^ mine, "one of the two is told, whoever came first");
    });
}

#[test]
fn an_rlock_of_the_dead_is_free_whatever_its_depth() {
    play("rlock", async {
        let pool = pool(1);
        let lock = pool.context().rlock();
        let work = |lock: RLock| {
            let _guards = [lock.blocking_lock(), lock.blocking_lock(), lock.blocking_lock()];
            die()
        };
        assert_lost::<()>(pool.submit(work, lock.clone()).await);
        assert!(lock.lock().await.holder_died());
        assert!(!lock.lock().await.holder_died());
    });
}

#[test]
fn permits_of_the_dead_come_back_but_for_those_that_were_given_away() {
    play("permits", async {
        let pool = pool(1);
        let semaphore = pool.context().semaphore(3);
        let work = |semaphore: Semaphore| {
            semaphore.blocking_acquire().forget();
            let _permits = [semaphore.blocking_acquire(), semaphore.blocking_acquire()];
            die()
        };
        assert_lost::<()>(pool.submit(work, semaphore.clone()).await);
        let permits = [semaphore.acquire().await, semaphore.acquire().await];
        assert_eq!(permits.iter().filter(|permit| permit.holder_died()).count(), 2);
        assert!(semaphore.try_acquire().is_none());
        semaphore.release().await.unwrap();
    });
}

#[test]
fn the_dead_leave_the_line() {
    play("line", async {
        let pool = pool(1);
        let lock = pool.context().lock();
        let held = lock.lock().await;
        let pid = pool.submit(|()| std::process::id(), ()).await.unwrap();
        let asked = pool.context().event();
        let work = async |(lock, asked): (Lock, Event)| {
            let mut waiting = Box::pin(lock.lock());
            assert!(futures::poll!(&mut waiting).is_pending());
            // On the same way as the question, so it was heard when this was.
            asked.set().await;
            waiting.await.holder_died()
        };
        let task = pool.submit_async(work, (lock.clone(), asked.clone()));
        asked.wait().await;
        kill(pid, 9);
        assert_lost(task.await);
        drop(held);
        assert!(!lock.try_lock().expect("nobody waits").holder_died());
    });
}

#[test]
fn a_value_on_its_way_to_the_dead_is_the_first_again() {
    play("value", async {
        for pool in pools(1) {
            let (queue, asked) = (pool.context().queue::<String>(0), pool.context().event());
            let work = async |(queue, asked): (Queue<String>, Event)| {
                let mut waiting = Box::pin(queue.get());
                assert!(futures::poll!(&mut waiting).is_pending());
                asked.set().await;
                // What is given from now on arrives at nobody.
                loop {
                    std::thread::park();
                }
            };
            let task = pool.submit_async(work, (queue.clone(), asked.clone()));
            asked.wait().await;
            queue.put("first".to_owned()).await.unwrap();
            queue.put("second".to_owned()).await.unwrap();
            assert_eq!(queue.len().await, 1);
            let pid = pool.workers()[0].pid.unwrap();
            kill(pid, 9);
            let lost: Result<(), _> = task.await;
            assert_lost(lost);
            assert_eq!(queue.get().await.unwrap(), "first");
            assert_eq!(queue.get().await.unwrap(), "second");
        }
    });
}

#[test]
fn what_the_dead_have_put_stays() {
    play("put", async {
        let pool = pool(1);
        let queue = pool.context().simple_queue();
        let work = |queue: SimpleQueue<u32>| {
            queue.blocking_put(7).unwrap();
            die()
        };
        assert_lost::<()>(pool.submit(work, queue.clone()).await);
        assert_eq!(queue.try_get().unwrap(), Some(7));
    });
}

#[test]
fn the_dead_have_not_come_to_the_barrier() {
    play("barrier", async {
        let pool = pool(1);
        let (barrier, asked) = (pool.context().barrier(2), pool.context().event());
        let work = async |(barrier, asked): (Barrier, Event)| {
            let mut waiting = Box::pin(barrier.wait());
            assert!(futures::poll!(&mut waiting).is_pending());
            asked.set().await;
            waiting.await;
        };
        let task = pool.submit_async(work, (barrier.clone(), asked.clone()));
        asked.wait().await;
        kill(pool.workers()[0].pid.unwrap(), 9);
        assert_lost(task.await);
        assert!(!barrier.wait_timeout(crate::common::SHORT).await);
        let task = pool.submit(|barrier: Barrier| barrier.blocking_wait(), barrier.clone());
        barrier.wait().await;
        task.await.unwrap();
    });
}

#[test]
fn a_notification_of_the_dead_goes_to_the_next() {
    play("notification", async {
        let pool = pool(2);
        let (condition, asleep) = (pool.context().condition(), pool.context().simple_queue::<u32>());
        let work = |(condition, asleep): (Condition, SimpleQueue<u32>)| {
            let guard = condition.blocking_lock();
            asleep.blocking_put(std::process::id()).unwrap();
            condition.blocking_wait(guard).holder_died()
        };
        let first = pool.submit(work, (condition.clone(), asleep.clone()));
        let pid = asleep.get().await.unwrap();
        let second = pool.submit(work, (condition.clone(), asleep.clone()));
        asleep.get().await.unwrap();
        // Both sleep, as the lock is free. The first is notified, and dies before it has the lock again.
        let guard = condition.lock().await;
        condition.notify_one().await;
        kill(pid, 9);
        assert_lost(first.await);
        drop(guard);
        assert!(!second.await.unwrap());
    });
}

#[test]
fn a_worker_that_leaves_gives_back_what_it_kept_in_a_static() {
    play("leaves", async {
        use std::sync::Mutex;
        static KEPT: Mutex<Option<polypool::sync::Guard>> = Mutex::new(None);
        let pool = pool(1);
        let lock = pool.context().lock();
        pool.submit(|lock: Lock| *KEPT.lock().unwrap() = Some(lock.blocking_lock()), lock.clone())
            .await
            .unwrap();
        assert!(lock.try_lock().is_none(), "from task to task");
        pool.submit(|()| (), ()).await.unwrap();
        assert!(lock.try_lock().is_none());
        pool.shutdown(CancellationPolicy::PENDING).await;
        assert!(lock.try_lock().unwrap().holder_died());
    });
}

#[test]
fn a_worker_of_a_worker_dies() {
    play("deep", async {
        let pool = pool(1);
        let (lock, queue) = (pool.context().lock(), pool.context().queue::<u32>(0));
        let work = |(lock, queue): (Lock, Queue<u32>)| {
            let inner = Executor::processes(1).unwrap();
            let deep = |(lock, queue): (Lock, Queue<u32>)| {
                let _guard = lock.blocking_lock();
                queue.blocking_put(worker::depth() as u32).unwrap();
                die()
            };
            let lost: Result<(), _> = inner.submit(deep, (lock.clone(), queue)).blocking_join();
            assert!(lost.unwrap_err().is_worker_lost());
            lock.blocking_lock().holder_died()
        };
        assert!(pool.submit(work, (lock.clone(), queue.clone())).await.unwrap());
        assert_eq!(queue.get().await.unwrap(), 2);
    });
}

#[test]
fn a_task_that_is_stopped_while_it_blocks_does_not_cost_its_process() {
    play("stopped", async {
        let pool = pool(1);
        let (lock, asked) = (pool.context().lock(), pool.context().event());
        let held = lock.lock().await;
        let pid = pool.submit(|()| std::process::id(), ()).await.unwrap();
        let work = |(lock, asked): (Lock, Event)| {
            asked.blocking_set();
            drop(lock.blocking_lock());
        };
        let task = pool.submit(work, (lock.clone(), asked.clone()));
        asked.wait().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(held);
        assert!(lock.lock().await.release().await.is_ok());
        assert_eq!(pool.submit(|()| std::process::id(), ()).await.unwrap(), pid);
    });
}
