//! `map` and its relatives: order, window, chunks, errors, limits, and going away half-way.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::join;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, poll, stream};
use polypool::{ChunkSize, Map, TaskError};

use crate::gate::NoteOnDrop;
use crate::rig::{AGES, Rig, SHORT, on_thread};
use crate::work::{double, double_async, fail, hold_async, mark, refuse_odd};

topic! { map:
    Every [
        results_in_order_of_inputs,
        every_size_of_chunk_and_window,
        every_kind_of_chunk,
        chunk_per_worker_goes_by_the_number_of_inputs,
        no_inputs,
        one_input,
        endless_inputs,
        nothing_happens_before_the_first_poll,
        pulls_no_further_than_the_window,
        chunks_do_not_widen_the_window,
        ended_stream_stays_ended,
        input_that_goes_on_after_its_end,
        input_that_lies_about_its_size,
        input_is_dropped_with_the_stream,
        input_that_panics,
        input_that_panics_at_once,
        own_errors_are_values,
        panic_is_that_of_its_item_alone,
        fail_fast_ends_with_the_first_error,
        fail_fast_over_endless_inputs,
        fail_fast_without_an_error,
        stream_limit_that_does_not_run_out,
        stream_limit_over_endless_inputs,
        chunk_of_zero,
        window_of_zero,
        async_functions,
        stream_of_inputs,
        stream_of_inputs_that_waits,
        stream_of_inputs_that_never_comes,
        stream_of_inputs_that_panics,
        pulls_no_further_than_the_window_from_a_stream,
        results_that_are_large,
        many_inputs,
        two_streams_at_once,
        dropped_half_way,
        dropped_before_the_first_poll,
        consumer_on_another_thread,
    ]
    Unattended [
        works_ahead_while_nobody_polls,
        works_at_once_on_all_workers,
        fail_fast_cancels_what_has_not_started,
        stream_limit_cancels_what_has_not_started,
        stream_limit_keeps_what_was_done_before,
        drop_cancels_what_has_not_started,
        drop_cancels_what_has_not_started_of_a_started_chunk,
        drop_leaves_the_other_stream_alone,
        drop_leaves_the_tasks_of_the_pool_alone,
        task_limit_is_that_of_the_item,
        chunk_does_not_wait_for_inputs_that_may_never_come,
        moved_while_it_waits,
    ]
}

async fn collect<R: Send + 'static>(results: Map<R>) -> Vec<R> {
    results.try_collect().await.expect("no item fails")
}

/// An input that counts how far it was pulled.
fn counted<I>(inputs: I) -> (Arc<AtomicUsize>, impl Iterator<Item = I::Item> + Send + use<I>)
where
    I: Iterator + Send,
{
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let inputs = inputs.inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (pulled, inputs)
}

pub async fn results_in_order_of_inputs(rig: Rig) {
    let results = collect(rig.pool(3).map(double, 0..1000)).await;
    assert!(results.into_iter().eq((0..1000).map(|n| 2 * n)));
}

pub async fn every_size_of_chunk_and_window(rig: Rig) {
    let pool = rig.pool(2);
    for (chunk, window) in
        [(1, 1), (1, 7), (3, 3), (3, 7), (7, 3), (10, 100), (100, 10), (1000, 1000), (usize::MAX, 8)]
    {
        let results = collect(pool.map(double, 0..50).chunk_size(chunk).buffer(window)).await;
        assert!(results.into_iter().eq((0..50).map(|n| 2 * n)), "chunk {chunk}, window {window}");
    }
}

pub async fn every_kind_of_chunk(rig: Rig) {
    let pool = rig.pool(3);
    let doubled: Vec<u64> = (0..50).map(|n| 2 * n).collect();
    for size in [ChunkSize::Fixed(7), ChunkSize::PerWorker, ChunkSize::Auto] {
        assert_eq!(collect(pool.map(double, 0..50).chunk_size(size)).await, doubled);
        assert_eq!(collect(pool.map(double, (0..50).filter(|_| true)).chunk_size(size)).await, doubled);
        assert_eq!(collect(pool.map_stream(double, stream::iter(0..50)).chunk_size(size)).await, doubled);
        assert_eq!(collect(pool.map(double, 0..50).chunk_size(3).chunk_size(size).buffer(5)).await, doubled);
        assert_eq!(collect(pool.map_async(double_async, 0..50).chunk_size(size)).await, doubled);
    }
}

pub async fn chunk_per_worker_goes_by_the_number_of_inputs(rig: Rig) {
    let pool = rig.pool(2);
    let pulled_at_first = async |is_known: bool| {
        let pulled = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pulled);
        let inputs = (0..1000).inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let inputs: Box<dyn Iterator<Item = u64> + Send> =
            if is_known { Box::new(inputs) } else { Box::new(inputs.filter(|_| true)) };
        let mut results = pool.map(double, inputs).chunk_size(ChunkSize::PerWorker);
        let _ = poll!(results.next());
        pulled.load(Ordering::Relaxed)
    };
    assert_eq!(pulled_at_first(true).await, 1000, "four chunks for each worker are all that there is");
    let window = 4 * pool.max_workers();
    let pulled = pulled_at_first(false).await;
    assert!((window..=window + 2).contains(&pulled), "chunks of one: {pulled}");
}

pub async fn no_inputs(rig: Rig) {
    let pool = rig.pool(2);
    assert!(pool.map(double, []).next().await.is_none());
    assert!(pool.map(double, []).chunk_size(3).buffer(3).timeout(AGES).fail_fast().next().await.is_none());
    assert!(pool.map_stream(double, stream::empty()).next().await.is_none());
}

pub async fn one_input(rig: Rig) {
    assert_eq!(collect(rig.pool(2).map(double, Some(21))).await, [42]);
}

pub async fn endless_inputs(rig: Rig) {
    let pool = rig.pool(2);
    let (pulled, inputs) = counted(0..);
    let results: Vec<u64> = pool.map(double, inputs).buffer(16).take(100).try_collect().await.unwrap();
    assert!(results.into_iter().eq((0..100).map(|n| 2 * n)));
    assert!(pulled.load(Ordering::SeqCst) <= 116);
}

pub async fn nothing_happens_before_the_first_poll(rig: Rig) {
    let pool = rig.pool(1);
    let (pulled, inputs) = counted(0..3);
    let results = pool.map(double, inputs);
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
    assert_eq!(pulled.load(Ordering::SeqCst), 0);
    assert_eq!(collect(results).await, [0, 2, 4]);
}

const WINDOW: usize = 5;

/// Checks that what was pulled is at no time more than the window ahead of what was consumed.
async fn stays_within_the_window<R: Send + 'static>(results: Map<R>, pulled: Arc<AtomicUsize>) {
    let mut results = results;
    for consumed in 1..=200 {
        assert!(results.next().await.unwrap().is_ok());
        let pulled = pulled.load(Ordering::SeqCst);
        assert!(pulled <= consumed + WINDOW, "{pulled} pulled, {consumed} consumed");
    }
}

pub async fn pulls_no_further_than_the_window(rig: Rig) {
    let pool = rig.pool(2);
    let (pulled, inputs) = counted(0..);
    stays_within_the_window(pool.map(double, inputs).buffer(WINDOW), pulled).await;
    let (pulled, inputs) = counted(0..);
    stays_within_the_window(pool.map_async(double_async, inputs).chunk_size(1).buffer(WINDOW), pulled).await;
}

pub async fn chunks_do_not_widen_the_window(rig: Rig) {
    let pool = rig.pool(2);
    let (pulled, inputs) = counted(0..);
    stays_within_the_window(pool.map(double, inputs).chunk_size(100).buffer(WINDOW), pulled).await;
    let (pulled, inputs) = counted(0..);
    stays_within_the_window(pool.map(double, inputs).chunk_size(3).buffer(WINDOW), pulled).await;
}

pub async fn pulls_no_further_than_the_window_from_a_stream(rig: Rig) {
    let pool = rig.pool(2);
    let (pulled, inputs) = counted(0..);
    stays_within_the_window(pool.map_stream(double, stream::iter(inputs)).buffer(WINDOW), pulled).await;
}

pub async fn ended_stream_stays_ended(rig: Rig) {
    let mut results = rig.pool(1).map(double, 0..2);
    assert_eq!((results.next().await.unwrap().unwrap(), results.next().await.unwrap().unwrap()), (0, 2));
    for _ in 0..3 {
        assert!(results.next().await.is_none());
    }
}

pub async fn input_that_goes_on_after_its_end(rig: Rig) {
    let mut count = 0;
    let inputs = iter::from_fn(move || {
        count += 1;
        (count != 3).then_some(count)
    });
    assert_eq!(collect(rig.pool(2).map(double, inputs)).await, [2, 4]);
}

pub async fn input_that_lies_about_its_size(rig: Rig) {
    struct Liar(std::ops::Range<u64>, (usize, Option<usize>));
    impl Iterator for Liar {
        type Item = u64;
        fn next(&mut self) -> Option<u64> {
            self.0.next()
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            self.1
        }
    }
    for hint in [(usize::MAX, None), (0, Some(0)), (7, Some(3)), (usize::MAX, Some(usize::MAX))] {
        let results = collect(rig.pool(2).map(double, Liar(0..20, hint))).await;
        assert!(results.into_iter().eq((0..20).map(|n| 2 * n)), "{hint:?}");
    }
}

pub async fn input_is_dropped_with_the_stream(rig: Rig) {
    let (pool, drops) = (rig.pool(1), rig.gate());
    let guarded = |number| {
        let guard = NoteOnDrop(drops, number);
        (0..10).inspect(move |_| assert_eq!(guard.1, number))
    };
    let ended = collect(pool.map(double, guarded(1)));
    assert_eq!(ended.await.len(), 10);
    let mut half_way = pool.map(double, guarded(2)).buffer(2);
    assert!(half_way.next().await.is_some());
    drop(half_way);
    drop(pool.map(double, guarded(3)));
    pool.shutdown(false).await;
    assert_eq!(drops.sorted_notes(), [1, 2, 3]);
}

fn panics_at(n: u64) -> impl Iterator<Item = u64> + Send {
    (0..).inspect(move |&at| assert!(at != n, "no input {at}"))
}

/// What comes before the panic is delivered, then the panic as the last item.
async fn ends_in_a_panic(mut results: Map<u64>, before: u64) {
    for n in 0..before {
        assert_eq!(results.next().await.unwrap().unwrap(), 2 * n);
    }
    match results.next().await {
        Some(Err(TaskError::Panicked(info))) => assert_eq!(info.message, format!("no input {before}")),
        other => panic!("{other:?}"),
    }
    assert!(results.next().await.is_none());
}

pub async fn input_that_panics(rig: Rig) {
    let pool = rig.pool(2);
    ends_in_a_panic(pool.map(double, panics_at(7)), 7).await;
    ends_in_a_panic(pool.map(double, panics_at(7)).chunk_size(3).buffer(4), 7).await;
    ends_in_a_panic(pool.map(double, panics_at(7)).chunk_size(100), 7).await;
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn input_that_panics_at_once(rig: Rig) {
    ends_in_a_panic(rig.pool(2).map(double, panics_at(0)), 0).await;
}

pub async fn own_errors_are_values(rig: Rig) {
    let even = |n: u64| {
        if n.is_multiple_of(2) { Ok(n) } else { Err(format!("{n} is odd")) }
    };
    let results = collect(rig.pool(2).map(even, 0..4).fail_fast()).await;
    assert_eq!(results, [Ok(0), Err("1 is odd".to_owned()), Ok(2), Err("3 is odd".to_owned())]);
}

pub async fn panic_is_that_of_its_item_alone(rig: Rig) {
    let pool = rig.pool(2);
    for chunk in [1, 5, 100] {
        let results: Vec<_> = pool.map(refuse_odd, 0..20).chunk_size(chunk).collect().await;
        assert_eq!(results.len(), 20);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert!(value == n && n % 2 == 0),
                Err(TaskError::Panicked(info)) => assert_eq!(info.message, format!("{n} is odd")),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Checks that the stream gives `before` values, one error, and nothing more.
async fn ends_in_an_error(results: Map<u64>, before: usize) {
    let results: Vec<_> = results.collect().await;
    let (last, values) = results.split_last().unwrap();
    assert!(last.as_ref().unwrap_err().is_panicked());
    assert!(values.len() == before && values.iter().all(Result::is_ok), "{results:?}");
}

pub async fn fail_fast_ends_with_the_first_error(rig: Rig) {
    let pool = rig.pool(1);
    let inputs = || [0, 2, 4, 5, 6, 7, 8];
    ends_in_an_error(pool.map(refuse_odd, inputs()).chunk_size(1).fail_fast(), 3).await;
    ends_in_an_error(pool.map(refuse_odd, inputs()).chunk_size(3).fail_fast(), 3).await;
    ends_in_an_error(pool.map(refuse_odd, inputs()).fail_fast(), 3).await;
}

pub async fn fail_fast_over_endless_inputs(rig: Rig) {
    let pool = rig.pool(2);
    let inputs = (0..).map(|n| if n == 50 { 51 } else { 2 * n });
    let results: Vec<_> = pool.map(refuse_odd, inputs).fail_fast().collect().await;
    assert!(results.last().unwrap().is_err() && results.len() <= 51);
    assert!(results.iter().rev().skip(1).all(Result::is_ok));
}

pub async fn fail_fast_without_an_error(rig: Rig) {
    assert_eq!(collect(rig.pool(2).map(double, 0..100).fail_fast()).await.len(), 100);
}

pub async fn stream_limit_that_does_not_run_out(rig: Rig) {
    let pool = rig.pool(2);
    assert_eq!(collect(pool.map(double, 0..100).timeout(AGES)).await.len(), 100);
    assert_eq!(collect(pool.map(double, 0..100).timeout(Duration::MAX)).await.len(), 100);
}

/// Checks that the stream gives values, then that it ran out of time, and nothing more; gives the number of values.
async fn ends_out_of_time(results: Map<u64>) -> usize {
    let results: Vec<_> = results.collect().await;
    let (last, values) = results.split_last().unwrap();
    assert_is!(last, Err(TaskError::TimedOut { after: SHORT }));
    assert!(values.iter().all(Result::is_ok), "{values:?}");
    values.len()
}

pub async fn stream_limit_over_endless_inputs(rig: Rig) {
    let pool = rig.pool(2);
    ends_out_of_time(pool.map(double, 0..).timeout(SHORT)).await;
    ends_out_of_time(pool.map_stream(double, stream::iter(0..)).timeout(SHORT)).await;
    ends_out_of_time(pool.map_stream(double, stream::pending()).timeout(SHORT)).await;
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

fn panics(f: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

pub async fn chunk_of_zero(rig: Rig) {
    let pool = rig.pool(1);
    assert!(panics(|| drop(pool.map(double, 0..3).chunk_size(0))));
    assert!(panics(|| drop(pool.as_completed(double, 0..3).chunk_size(0))));
    assert!(panics(|| drop(pool.map(double, 0..3).chunk_size(ChunkSize::Fixed(0)))));
}

pub async fn window_of_zero(rig: Rig) {
    let pool = rig.pool(1);
    assert!(panics(|| drop(pool.map(double, 0..3).buffer(0))));
    assert!(panics(|| drop(pool.as_completed(double, 0..3).buffer(0))));
}

pub async fn async_functions(rig: Rig) {
    let pool = rig.pool(2);
    for chunk in [1, 4, 100] {
        let results = collect(pool.map_async(double_async, 0..50).chunk_size(chunk)).await;
        assert!(results.into_iter().eq((0..50).map(|n| 2 * n)));
    }
}

pub async fn stream_of_inputs(rig: Rig) {
    let results = collect(rig.pool(2).map_stream(double, stream::iter(0..500))).await;
    assert!(results.into_iter().eq((0..500).map(|n| 2 * n)));
}

pub async fn stream_of_inputs_that_waits(rig: Rig) {
    let (send, inputs) = mpsc::unbounded();
    let mut results = rig.pool(2).map_stream(double, inputs).chunk_size(1);
    for n in 0..20 {
        assert!(results.next().now_or_never().is_none(), "there is no input yet");
        send.unbounded_send(n).unwrap();
        assert_eq!(results.next().await.unwrap().unwrap(), 2 * n);
    }
    drop(send);
    assert!(results.next().await.is_none());
}

pub async fn stream_of_inputs_that_never_comes(rig: Rig) {
    let drops = rig.gate();
    let guard = NoteOnDrop(drops, 1);
    let inputs = stream::poll_fn(move |_| {
        let _ = &guard;
        std::task::Poll::<Option<u64>>::Pending
    });
    let pool = rig.pool(2);
    let mut results = pool.map_stream(double, inputs);
    assert!(results.next().now_or_never().is_none());
    drop(results);
    pool.shutdown(false).await;
    assert_eq!(drops.notes(), [1]);
}

pub async fn stream_of_inputs_that_panics(rig: Rig) {
    ends_in_a_panic(rig.pool(2).map_stream(double, stream::iter(panics_at(3))), 3).await;
}

pub async fn results_that_are_large(rig: Rig) {
    let lines = collect(rig.pool(2).map(|n: u64| vec![n; 10_000], 0..50).buffer(4)).await;
    assert!((0..).zip(lines).all(|(n, line)| line.len() == 10_000 && line[9_999] == n));
}

pub async fn many_inputs(rig: Rig) {
    let mut expected = 0..100_000_u64;
    let mut results = rig.pool(2).map(double, 0..100_000);
    while let Some(result) = results.next().await {
        assert_eq!(Some(result.unwrap() / 2), expected.next());
    }
    assert!(expected.is_empty());
}

pub async fn two_streams_at_once(rig: Rig) {
    let pool = rig.pool(2);
    let zipped = pool.map(double, 0..300).zip(pool.map_async(double_async, 0..300));
    assert_eq!(
        zipped.filter(|(a, b)| std::future::ready(a.as_ref().ok() == b.as_ref().ok())).count().await,
        300
    );
}

pub async fn dropped_half_way(rig: Rig) {
    let pool = rig.pool(2);
    for consumed in 0..20 {
        let results = pool.map(double, 0..).buffer(7);
        assert_eq!(results.take(consumed).count().await, consumed);
    }
    assert_eq!(pool.submit(double, 1).await.unwrap(), 2);
}

pub async fn dropped_before_the_first_poll(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    drop(pool.map(mark, (0..10).map(move |n| (journal, n))));
    pool.shutdown(false).await;
    assert_eq!(journal.notes(), []);
}

pub async fn consumer_on_another_thread(rig: Rig) {
    let mut results = rig.pool(2).map(double, 0..1000);
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    let rest =
        on_thread(move || futures::executor::block_on_stream(results).map(Result::unwrap).sum::<u64>()).await;
    assert_eq!(rest, 999 * 1000);
}

pub async fn works_ahead_while_nobody_polls(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let (pulled, inputs) = counted((0..).map(move |n| (gate, n)));
    let mut results = rig.gated_map(&pool, inputs).buffer(WINDOW);
    assert!(poll!(results.next()).is_pending());
    gate.open();
    gate.wait_notes(WINDOW).await;
    assert_eq!(pulled.load(Ordering::SeqCst), WINDOW);
    // Two polls later there is room for one more at least, and for two at most.
    assert_eq!((results.next().await.unwrap().unwrap(), results.next().await.unwrap().unwrap()), (0, 1));
    gate.wait_notes(WINDOW + 1).await;
    drop(results);
    pool.shutdown(false).await;
    assert!(gate.notes().len() <= WINDOW + 2);
}

pub async fn works_at_once_on_all_workers(rig: Rig) {
    let (pool, gate) = (rig.pool(3), rig.gate());
    let mut results = rig.gated_map(&pool, (0..3).map(move |n| (gate, n)));
    assert!(poll!(results.next()).is_pending());
    gate.wait_arrivals(3).await;
    gate.open();
    assert_eq!(collect(results).await, [0, 1, 2]);
}

/// Items that run, panic or wait at their gate, one at a time on one worker.
fn item((gate, value): (crate::gate::Gate, u64)) -> u64 {
    if value == 0 { fail("zero".to_owned()) } else { mark((gate, value)) }
}

pub async fn fail_fast_cancels_what_has_not_started(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let inputs = [1, 0].into_iter().chain(2..).map(move |n| (journal, n));
    let results: Vec<_> = pool.map(item, inputs).chunk_size(1).buffer(4).fail_fast().collect().await;
    assert_eq!(results.len(), 2);
    pool.shutdown(false).await;
    assert!(
        journal.notes().len() <= 5,
        "nothing beyond the window of the failed item runs: {:?}",
        journal.notes()
    );
}

pub async fn stream_limit_cancels_what_has_not_started(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut results =
        rig.gated_map(&pool, (1..=4).map(move |n| (gate, n))).chunk_size(1).buffer(4).timeout(SHORT);
    assert_is!(results.next().await, Some(Err(TaskError::TimedOut { after: SHORT })));
    assert!(results.next().await.is_none());
    gate.open();
    pool.shutdown(false).await;
    assert!(gate.arrived() <= 1, "one was running, three were waiting");
}

pub async fn stream_limit_keeps_what_was_done_before(rig: Rig) {
    let (pool, open, closed) = (rig.pool(2), rig.gate(), rig.gate());
    open.open();
    let inputs = [(open, 0), (open, 1), (closed, 2), (open, 3)];
    let values = ends_out_of_time(rig.gated_map(&pool, inputs).chunk_size(1).timeout(SHORT)).await;
    assert!(values <= 2, "the third waits at its gate");
    closed.open();
}

pub async fn drop_cancels_what_has_not_started(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let mut results = rig.gated_map(&pool, (0..).map(move |n| (gate, n))).chunk_size(1).buffer(8);
    assert!(poll!(results.next()).is_pending());
    gate.wait_arrivals(2).await;
    drop(results);
    gate.open();
    pool.shutdown(false).await;
    assert_eq!(gate.sorted_notes(), [0, 1]);
}

pub async fn drop_cancels_what_has_not_started_of_a_started_chunk(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut results = rig.gated_map(&pool, (0..8).map(move |n| (gate, n))).chunk_size(4).buffer(8);
    assert!(poll!(results.next()).is_pending());
    gate.wait_arrivals(1).await;
    drop(results);
    gate.open();
    pool.shutdown(false).await;
    // To a worker elsewhere it takes its time to be told, and the gate is open sooner.
    let most = if pool.capabilities().distributed { 4 } else { 1 };
    assert!((1..=most).contains(&gate.notes().len()), "{:?}", gate.notes());
}

pub async fn drop_leaves_the_other_stream_alone(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut dropped = rig.gated_map(&pool, (0..4).map(move |n| (gate, n))).chunk_size(1);
    let mut kept = rig.gated_map(&pool, (10..14).map(move |n| (gate, n))).chunk_size(1);
    assert!(poll!(dropped.next()).is_pending() && poll!(kept.next()).is_pending());
    gate.wait_arrivals(1).await;
    drop(dropped);
    gate.open();
    assert_eq!(collect(kept).await, [10, 11, 12, 13]);
}

pub async fn drop_leaves_the_tasks_of_the_pool_alone(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut results = rig.gated_map(&pool, (0..4).map(move |n| (gate, n)));
    assert!(poll!(results.next()).is_pending());
    gate.wait_arrivals(1).await;
    let task = pool.submit(double, 21);
    drop(results);
    gate.open();
    assert_eq!(task.await.unwrap(), 42);
}

pub async fn task_limit_is_that_of_the_item(rig: Rig) {
    let pool = rig.builder().max_workers(2).task_timeout(SHORT).build().unwrap();
    let (open, closed) = (rig.gate(), rig.gate());
    open.open();
    let inputs = [(closed, 0), (closed, 1)].into_iter().chain((2..10).map(move |n| (open, n)));
    let results = pool.map_async(hold_async, inputs).chunk_size(1).collect::<Vec<_>>().await;
    assert_eq!(results.len(), 10);
    for result in &results[..2] {
        assert_is!(result, Err(TaskError::TimedOut { after: SHORT }));
    }
}

/// Whoever makes the next input of the last result must not wait for ever, whatever the size of the chunks.
pub async fn chunk_does_not_wait_for_inputs_that_may_never_come(rig: Rig) {
    let (send, inputs) = mpsc::unbounded();
    let mut results = rig.pool(2).map_stream(double, inputs).chunk_size(8);
    for n in 0..20 {
        send.unbounded_send(n).unwrap();
        assert_eq!(results.next().await.unwrap().unwrap(), 2 * n);
    }
}

pub async fn moved_while_it_waits(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let mut results = rig.gated_map(&pool, (0..3).map(move |n| (gate, n)));
    assert!(poll!(results.next()).is_pending());
    let moved = on_thread(move || futures::executor::block_on(collect(results)));
    let ((), results) = join(async { gate.open() }, moved).await;
    assert_eq!(results, [0, 1, 2]);
}
