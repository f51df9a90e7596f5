//! How long primitives are there: as long as somebody can ask them.

use std::sync::Mutex;

use polypool::sync::{Event, Lock, Queue, SimpleQueue};
use polypool::worker;

use crate::common::{play, pool};

#[test]
fn dropped_by_its_owner_while_tasks_that_name_it_wait() {
    play("dropped", async {
        let pool = pool(1);
        let go = pool.context().event();
        let first = pool.submit(|go: Event| go.blocking_wait(), go.clone());
        let (queue, back) = (pool.context().queue::<u32>(0), pool.context().queue::<u32>(0));
        queue.put(7).await.unwrap();
        let pass =
            |(from, to): (Queue<u32>, Queue<u32>)| to.blocking_put(from.blocking_get().unwrap()).unwrap();
        let task = pool.submit(pass, (queue, back.clone()));
        go.set().await;
        drop(go);
        first.await.unwrap();
        task.await.unwrap();
        assert_eq!(back.get().await.unwrap(), 7);
    });
}

#[test]
fn kept_in_a_worker_from_task_to_task() {
    play("kept", async {
        static KEPT: Mutex<Option<Queue<u32>>> = Mutex::new(None);
        let pool = pool(1);
        let queue = pool.context().queue(0);
        pool.submit(|queue: Queue<u32>| *KEPT.lock().unwrap() = Some(queue), queue).await.unwrap();
        for n in 0..3 {
            pool.submit(|n: u32| KEPT.lock().unwrap().as_ref().unwrap().blocking_put(n).unwrap(), n)
                .await
                .unwrap();
        }
        let back = |()| KEPT.lock().unwrap().take().unwrap();
        let queue = pool.submit(back, ()).await.unwrap();
        assert_eq!(queue.len().await, 3);
        pool.submit(|()| (), ()).await.unwrap();
        assert_eq!(queue.get().await.unwrap(), 0);
    });
}

#[test]
fn came_out_of_a_queue() {
    play("out of a queue", async {
        static KEPT: Mutex<Option<SimpleQueue<u32>>> = Mutex::new(None);
        let pool = pool(1);
        let outer = pool.context().queue::<SimpleQueue<u32>>(0);
        let inner = pool.context().simple_queue();
        inner.put(7).await.unwrap();
        outer.put(inner).await.unwrap();
        let take =
            |outer: Queue<SimpleQueue<u32>>| *KEPT.lock().unwrap() = Some(outer.blocking_get().unwrap());
        pool.submit(take, outer.clone()).await.unwrap();
        let got = pool.submit(|()| KEPT.lock().unwrap().as_ref().unwrap().blocking_get().unwrap(), ()).await;
        assert_eq!(got.unwrap(), 7);
        // Put in by a worker that forgets it then.
        let put = |outer: Queue<SimpleQueue<u32>>| {
            let fresh = worker::executor().unwrap().context().simple_queue();
            fresh.blocking_put(8).unwrap();
            outer.blocking_put(fresh).unwrap();
        };
        pool.submit(put, outer.clone()).await.unwrap();
        assert_eq!(outer.get().await.unwrap().get().await.unwrap(), 8);
    });
}

#[test]
fn the_result_of_a_task_of_a_task() {
    play("result", async {
        let pool = pool(2);
        let work = |()| {
            let pool = worker::executor().unwrap();
            let make = |()| {
                let queue = worker::executor().unwrap().context().queue::<u32>(0);
                queue.blocking_put(7).unwrap();
                queue
            };
            let queue = pool.submit(make, ()).blocking_join().unwrap();
            queue.blocking_put(8).unwrap();
            queue
        };
        for _ in 0..20 {
            let queue = pool.submit(work, ()).await.unwrap();
            assert_eq!((queue.get().await.unwrap(), queue.get().await.unwrap()), (7, 8));
        }
    });
}

#[test]
fn given_to_an_initializer() {
    play("initializer", async {
        static KEPT: Mutex<Option<Lock>> = Mutex::new(None);
        let lock = polypool::process::context(None).sync().lock();
        let pool = polypool::Executor::builder()
            .backend("processes")
            .max_workers(1)
            .initializer(|lock: Lock| *KEPT.lock().unwrap() = Some(lock), lock.clone())
            .build()
            .unwrap();
        let _guard = lock.lock().await;
        for _ in 0..2 {
            let is_locked = |()| KEPT.lock().unwrap().as_ref().unwrap().try_lock().is_none();
            assert!(pool.submit(is_locked, ()).await.unwrap());
        }
    });
}
