//! Streams and the verbs behind them over a backend whose tasks are encoded calls, and which performs them in this process:
//! what is seen of the typed half, without processes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, executor::block_on};

use crate::{
    Capabilities, Executor, ExecutorBuilder, TaskError, TaskOptions,
    backend::{Arrival, Backend, PoolContext, Workers},
};

#[derive(Debug)]
struct Elsewhere;

impl Backend for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { in_process: false, futures: true, ..Capabilities::default() }
    }

    fn start(&self, _: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Performers))
    }
}

struct Performers;

#[async_trait]
impl Workers for Performers {
    fn wanted(&self, arrival: Arrival) {
        std::thread::spawn(move || {
            let Some(mut lane) = arrival.claim() else { return };
            while let Some(job) = lane.next(Duration::from_millis(10)) {
                job.run();
            }
        });
    }
}

fn builder() -> ExecutorBuilder {
    Executor::builder().backend(Elsewhere).max_workers(2)
}

fn pool() -> Executor {
    builder().build().expect("described well")
}

fn square(n: u64) -> u64 {
    assert_ne!(n, 13, "bad luck");
    n * n
}

fn dawdle(n: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(if n < 8 { 0 } else { 3 }));
    n
}

#[test]
fn one_task_of_each_verb() {
    block_on(async {
        let pool = pool();
        assert_eq!(pool.submit(square, 3).await.expect("runs"), 9);
        assert_eq!(pool.submit_async(async |n: u64| n + 1, 3).await.expect("runs"), 4);
        let options = || TaskOptions::new().priority(1);
        assert_eq!(pool.submit_with(options(), square, 4).await.expect("runs"), 16);
        assert_eq!(pool.submit_async_with(options(), async |n: u64| n + 1, 4).await.expect("runs"), 5);
        assert_eq!(pool.try_submit(square, 5).expect("taken").await.expect("runs"), 25);
        assert_eq!(pool.submit_when_ready(square, 6).await.await.expect("runs"), 36);
        assert!(pool.submit(square, 13).await.expect_err("panics").is_panicked());
        let all = pool.run_on_all(|text: String| text.len(), "four".to_owned()).await;
        assert_eq!(all.into_iter().collect::<Result<Vec<_>, _>>().expect("runs"), [4, 4]);
        pool.warm_up().await.expect("greeted");
        let stats = pool.stats();
        assert_eq!((stats.completed, stats.failed), (8, 1));
    });
}

#[derive(Debug)]
struct Stubborn;

impl serde::Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("stays"))
    }
}

impl<'de> serde::Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

#[test]
fn an_argument_that_cannot_be_encoded_takes_no_place() {
    block_on(async {
        let pool = builder().max_pending(1).build().expect("described well");
        for _ in 0..3 {
            let error = pool.submit(|_: Stubborn| (), Stubborn).await.expect_err("cannot be encoded");
            assert!(matches!(&error, TaskError::Encode(why) if why.contains("stays")), "{error}");
            let task = pool.try_submit(|_: Stubborn| (), Stubborn).expect("it is not the pool's fault");
            assert!(matches!(task.await, Err(TaskError::Encode(_))));
        }
        assert_eq!(pool.submit(square, 2).await.expect("there is a place"), 4);
        for result in pool.run_on_all(|_: Stubborn| (), Stubborn).await {
            assert!(matches!(result, Err(TaskError::Encode(_))));
        }
        pool.shutdown(true).await;
        let refused = pool.try_submit(square, 7).expect_err("is shut down");
        assert_eq!(refused.arg, 7);
    });
}

#[test]
fn every_input_has_a_result_of_its_own() {
    block_on(async {
        let results: Vec<_> = pool().map(square, 0..100).collect().await;
        assert_eq!(results.len(), 100);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert_eq!(value, n * n),
                Err(error) => assert!(n == 13 && error.is_panicked(), "{n}: {error}"),
            }
        }
        let doubled: Vec<_> =
            pool().map_async(async |n: u64| 2 * n, 0..100).try_collect().await.expect("runs");
        assert_eq!(doubled, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
        let completed: BTreeMap<_, _> = pool().as_completed(square, 20..40).collect().await;
        assert_eq!(completed.len(), 20);
        assert!(completed.into_iter().all(|(n, result)| result.expect("runs") == (n as u64 + 20).pow(2)));
        let error = pool().map(|_: Stubborn| (), [Stubborn]).next().await.expect("one").expect_err("stays");
        assert!(matches!(error, TaskError::Encode(_)));
    });
}

#[test]
fn the_rest_of_a_long_chunk_is_not_lost() {
    block_on(async {
        for max_pending in [None, Some(1), Some(2)] {
            let build = || max_pending.map_or(builder(), |n| builder().max_pending(n));
            let pool = build().build().expect("described well");
            let all: Vec<_> = pool.map(dawdle, 0..40).try_collect().await.expect("runs");
            assert_eq!(all, (0..40).collect::<Vec<_>>(), "{max_pending:?}");
            let all: BTreeMap<_, _> = pool.as_completed(dawdle, 0..40).collect().await;
            assert_eq!(all.len(), 40);
            for (n, result) in all {
                assert_eq!(result.expect("runs"), n as u64);
            }
            assert_eq!(pool.stats().completed, 80);
            assert_eq!(pool.submit(square, 2).await.expect("all places were given back"), 4);
        }
    });
}

#[test]
fn large_inputs_go_in_several_chunks() {
    block_on(async {
        let inputs = (0..10_u8).map(|n| vec![n; 600 << 10]);
        let sums: Vec<_> = pool()
            .map(|bytes: Vec<u8>| (bytes[0], bytes.len()), inputs)
            .chunk_size(10)
            .try_collect()
            .await
            .expect("runs");
        assert_eq!(sums, (0..10).map(|n| (n, 600 << 10)).collect::<Vec<_>>());
        let inputs = (0..200_u8).map(|n| vec![n; 100 << 10]);
        let firsts: Vec<_> = pool().map(|bytes: Vec<u8>| bytes[0], inputs).try_collect().await.expect("runs");
        assert_eq!(firsts, (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn the_rest_of_a_stream_whose_pool_is_shut_down_has_the_reason() {
    block_on(async {
        let pool = pool();
        let mut results = pool.map(dawdle, 8..);
        results.next().await.expect("one").expect("runs");
        pool.shutdown(true).await;
        let rest: Vec<_> = results.collect().await;
        let refused = rest.iter().filter(|result| result.is_err()).count();
        assert!(refused > 0, "an endless input ended without a word");
    });
}

#[test]
fn a_stream_out_of_time_ends() {
    block_on(async {
        let stream = pool().map(dawdle, 0..).timeout(Duration::from_millis(40));
        let results: Vec<_> = stream.collect().await;
        let (last, others) = results.split_last().expect("an end");
        assert!(matches!(last, Err(TaskError::TimedOut { .. })));
        assert!(others.iter().all(Result::is_ok));
        let results: Vec<_> =
            pool().as_completed(dawdle, 0..).timeout(Duration::from_millis(40)).collect().await;
        assert!(matches!(results.last(), Some((_, Err(TaskError::TimedOut { .. })))));
    });
}

#[test]
fn a_stream_that_is_dropped_leaves_the_pool_in_order() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    block_on(async {
        let pool = builder().max_pending(2).build().expect("described well");
        for _ in 0..20 {
            let mut results = pool.map(
                |n: u64| {
                    RAN.fetch_add(1, Ordering::Relaxed);
                    dawdle(n)
                },
                0..,
            );
            for _ in 0..12 {
                results.next().await.expect("one").expect("runs");
            }
        }
        assert!(RAN.load(Ordering::Relaxed) >= 240);
        assert_eq!(pool.submit_when_ready(square, 2).await.await.expect("runs"), 4);
    });
}
