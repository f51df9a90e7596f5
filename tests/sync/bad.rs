//! What should not be done with primitives, and what comes of it.

use polypool::sync::{Event, Lock, Queue, Semaphore, TryPutError};
use polypool::{CancellationPolicy, Executor, TaskError, worker};
use serde::{Deserialize, Serialize};

use crate::common::{play, pool};

/// Data that only this program's own process can decode.
#[derive(Debug, PartialEq)]
struct Fussy(u32);

impl Serialize for Fussy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 13 {
            return Err(serde::ser::Error::custom("13 is not sent"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fussy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(serde::de::Error::custom("0 is not read")),
            n => Ok(Self(n)),
        }
    }
}

#[test]
fn a_value_that_cannot_be_decoded_is_that_gets_error() {
    play("undecodable", async {
        let pool = pool(1);
        let queue = pool.context().queue::<Fussy>(0);
        for n in [1, 0, 2, 0, 3] {
            queue.put(Fussy(n)).await.unwrap();
        }
        assert_eq!(queue.get().await.unwrap(), Fussy(1));
        let error = queue.get().await.unwrap_err();
        assert!(matches!(&error, TaskError::Decode(why) if why.contains("0 is not read")), "{error}");
        let work = |queue: Queue<Fussy>| {
            let got = [(); 3].map(|()| queue.blocking_get());
            got.map(|got| got.map_err(|error| matches!(error, TaskError::Decode(_))))
                .map(|got| got.map(|Fussy(n)| n))
        };
        assert_eq!(pool.submit(work, queue.clone()).await.unwrap(), [Ok(2), Err(true), Ok(3)]);
        assert!(matches!(queue.put(Fussy(13)).await, Err(TaskError::Encode(_))));
        assert!(matches!(
            queue.try_put(Fussy(13)),
            Err(TryPutError::Failed(Fussy(13), TaskError::Encode(_)))
        ));
        assert_eq!(queue.len().await, 0);
    });
}

#[test]
fn a_primitive_of_another_pool_of_the_process_works() {
    play("another pool", async {
        let (one, other) = (pool(1), pool(1));
        let lock = one.context().lock();
        let _guard = lock.lock().await;
        assert!(other.submit(|lock: Lock| lock.try_lock().is_none(), lock.clone()).await.unwrap());
    });
}

#[test]
fn outlives_the_pool_that_it_was_made_with() {
    play("outlives", async {
        let (one, other) = (pool(1), pool(1));
        let queue = one.context().queue(0);
        one.shutdown(CancellationPolicy::ALL).await;
        drop(one);
        let put = |queue: Queue<u32>| queue.blocking_put(7).unwrap();
        other.submit(put, queue.clone()).await.unwrap();
        assert_eq!(queue.get().await.unwrap(), 7);
    });
}

#[test]
fn encoded_for_nobody_is_an_error() {
    let lock = pool(1).context().lock();
    assert!(serde_json::to_string(&lock).unwrap_err().to_string().contains("argument"));
}

#[test]
fn of_another_kind_or_of_nobody_is_that_tasks_error() {
    play("another kind", async {
        let pool = pool(1);
        // Who lies about what a type is gets the other's bytes.
        #[derive(Serialize)]
        struct Liar(Lock);
        impl<'de> Deserialize<'de> for Liar {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Event::deserialize(deserializer)?;
                Err(serde::de::Error::custom("never"))
            }
        }
        let error = pool.submit(|_: Liar| (), Liar(pool.context().lock())).await.unwrap_err();
        assert!(matches!(&error, TaskError::Decode(why) if why.contains("another kind")), "{error}");

        /// As a lock is encoded that nobody has.
        #[derive(Serialize)]
        struct Forged(#[serde(with = "serde_bytes")] Vec<u8>, u8);
        impl<'de> Deserialize<'de> for Forged {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let lock = Lock::deserialize(deserializer)?;
                assert!(lock.try_lock().is_none());
                Ok(Self(Vec::new(), 0))
            }
        }
        let error = pool.submit(|_: Forged| (), Forged(vec![1; 16], 0)).await.unwrap_err();
        assert!(matches!(&error, TaskError::Decode(why) if why.contains("not there any more")), "{error}");
        assert_eq!(pool.submit(|n: u32| n, 1).await.unwrap(), 1);
    });
}

#[test]
fn a_lock_of_a_workers_own_pool_is_no_result() {
    play("own", async {
        let pool = pool(1);
        let work = |()| Executor::processes(1).unwrap().context().lock();
        let error = pool.submit(work, ()).await.unwrap_err();
        assert!(matches!(&error, TaskError::Decode(why) if why.contains("not known here")), "{error}");
    });
}

#[test]
fn a_pool_that_is_shut_down_stops_who_waits() {
    play("shut down", async {
        let pool = pool(2);
        let (lock, asked) = (pool.context().lock(), pool.context().simple_queue());
        let _held = lock.lock().await;
        let work = |(lock, asked): (Lock, polypool::sync::SimpleQueue<u32>)| {
            asked.blocking_put(0).unwrap();
            drop(lock.blocking_lock());
        };
        let tasks = [(); 2].map(|()| pool.submit(work, (lock.clone(), asked.clone())));
        asked.get().await.unwrap();
        asked.get().await.unwrap();
        pool.shutdown(CancellationPolicy::ALL).await;
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn a_pool_whose_tasks_wait_for_each_other_needs_their_places() {
    play("leave", async {
        let pool = pool(1);
        let signal = pool.context().semaphore(0);
        let wait = |signal: Semaphore| {
            let _elsewhere = worker::leave_pool();
            drop(signal.blocking_acquire());
        };
        let waits = pool.submit(wait, signal.clone());
        let signals = pool.submit(|signal: Semaphore| signal.blocking_release().unwrap(), signal.clone());
        waits.await.unwrap();
        signals.await.unwrap();
    });
}

#[test]
#[should_panic(expected = "a barrier for nobody")]
fn a_barrier_for_nobody_is_refused() {
    let _ = Executor::serial().context().barrier(0);
}

#[test]
#[should_panic(expected = "not one of this condition's lock")]
fn a_condition_waits_with_its_own_lock_only() {
    let context = Executor::serial().context();
    let (one, other) = (context.condition(), context.condition());
    let _ = one.blocking_wait(other.blocking_lock());
}
