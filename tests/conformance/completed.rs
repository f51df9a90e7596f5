//! Results as they come: `as_completed` over inputs, over streams of inputs, and over handles.

use std::collections::BTreeSet;

use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _, poll, stream};
use polypool::{MapCompleted, TaskError, as_completed};

use crate::rig::{AGES, Rig, SHORT};
use crate::work::{double, double_async, mark, refuse_odd};

topic! { completed:
    Every [
        each_index_once,
        chunks_and_windows,
        no_inputs,
        endless_inputs,
        async_functions,
        stream_of_inputs,
        stream_of_inputs_that_waits,
        panic_is_that_of_its_item_alone,
        input_that_panics,
        fail_fast_ends_with_the_first_error,
        limit_over_endless_inputs,
        handles_each_once,
        no_handles,
        handle_pushed_while_consuming,
        handle_pushed_into_nothing,
        handles_of_several_pools,
        handles_that_fail,
    ]
    Unattended [
        fast_ones_first,
        fast_handles_first,
        out_of_time_names_the_lowest_unfinished,
        limit_cancels_what_has_not_started,
        pushed_handle_may_overtake,
        dropping_detaches_the_handles,
        many_handles,
    ]
}

/// Checks that each index comes once, with the result of its input.
async fn is_complete(results: MapCompleted<u64>, inputs: usize) {
    let results: Vec<_> = results.collect().await;
    assert_eq!(results.len(), inputs);
    let indices: BTreeSet<usize> = results.iter().map(|&(index, _)| index).collect();
    assert!(indices.into_iter().eq(0..inputs));
    for (index, result) in results {
        assert_eq!(result.unwrap(), 2 * index as u64);
    }
}

pub async fn each_index_once(rig: Rig) {
    is_complete(rig.pool(3).as_completed(double, 0..1000), 1000).await;
}

pub async fn chunks_and_windows(rig: Rig) {
    let pool = rig.pool(3);
    for (chunk, window) in [(1, 1), (1, 7), (3, 3), (3, 7), (7, 3), (100, 10), (1000, 1000)] {
        is_complete(pool.as_completed(double, 0..50).chunk_size(chunk).buffer(window), 50).await;
    }
}

pub async fn no_inputs(rig: Rig) {
    is_complete(rig.pool(2).as_completed(double, []), 0).await;
    is_complete(rig.pool(2).as_completed_stream(double, stream::empty()), 0).await;
}

pub async fn endless_inputs(rig: Rig) {
    let results = rig.pool(2).as_completed(double, 0..).buffer(16);
    let indices: BTreeSet<usize> = results.take(100).map(|(index, _)| index).collect().await;
    assert_eq!(indices.len(), 100);
    assert!(indices.into_iter().all(|index| index < 116));
}

pub async fn async_functions(rig: Rig) {
    is_complete(rig.pool(3).as_completed_async(double_async, 0..200), 200).await;
}

pub async fn stream_of_inputs(rig: Rig) {
    is_complete(rig.pool(3).as_completed_stream(double, stream::iter(0..500)), 500).await;
}

pub async fn stream_of_inputs_that_waits(rig: Rig) {
    let (send, inputs) = mpsc::unbounded();
    let mut results = rig.pool(2).as_completed_stream(double, inputs).chunk_size(1);
    for n in 0..20 {
        assert!(results.next().now_or_never().is_none(), "there is no input yet");
        send.unbounded_send(n).unwrap();
        assert_is!(results.next().await, Some((index, Ok(value))) if index as u64 == n && value == 2 * n);
    }
    drop(send);
    assert!(results.next().await.is_none());
}

pub async fn panic_is_that_of_its_item_alone(rig: Rig) {
    let results: Vec<_> = rig.pool(2).as_completed(refuse_odd, 0..20).chunk_size(5).collect().await;
    assert_eq!(results.len(), 20);
    for (index, result) in results {
        assert_eq!(result.is_ok(), index % 2 == 0);
    }
}

pub async fn input_that_panics(rig: Rig) {
    let inputs = (0..).inspect(|&n| assert!(n != 7, "no input {n}"));
    let mut results: Vec<_> = rig.pool(2).as_completed(double, inputs).chunk_size(3).collect().await;
    let (index, last) = results.pop().unwrap();
    assert_is!((index, last), (7, Err(TaskError::Panicked(info))) if info.message == "no input 7");
    assert!(results.len() == 7 && results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
}

pub async fn fail_fast_ends_with_the_first_error(rig: Rig) {
    let inputs = (0..).map(|n| if n == 20 { 21 } else { 2 * n });
    let results: Vec<_> = rig.pool(2).as_completed(refuse_odd, inputs).fail_fast().collect().await;
    let (last, values) = results.split_last().unwrap();
    assert!(last.0 == 20 && last.1.is_err());
    assert!(values.iter().all(|(_, result)| result.is_ok()));
}

/// Checks that values come, then that the stream ran out of time at the lowest unfinished input, then nothing.
async fn ends_out_of_time(results: MapCompleted<u64>) -> usize {
    let mut results: Vec<_> = results.collect().await;
    let (index, last) = results.pop().unwrap();
    assert_is!(last, Err(TaskError::TimedOut { after: SHORT }));
    let finished: BTreeSet<usize> = results.iter().map(|&(index, _)| index).collect();
    assert!(results.iter().all(|(_, result)| result.is_ok()) && finished.len() == results.len());
    assert_eq!(index, (0..).find(|index| !finished.contains(index)).unwrap());
    index
}

pub async fn limit_over_endless_inputs(rig: Rig) {
    ends_out_of_time(rig.pool(2).as_completed(double, 0..).timeout(SHORT)).await;
    is_complete(rig.pool(2).as_completed(double, 0..20).timeout(AGES), 20).await;
}

pub async fn out_of_time_names_the_lowest_unfinished(rig: Rig) {
    let (pool, open, closed) = (rig.pool(2), rig.gate(), rig.gate());
    open.open();
    let inputs = [(open, 0), (closed, 1), (open, 2), (open, 3)];
    assert!(ends_out_of_time(rig.gated_completed(&pool, inputs).chunk_size(1).timeout(SHORT)).await <= 1);
    closed.open();
}

pub async fn limit_cancels_what_has_not_started(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let results = rig.gated_completed(&pool, (0..4).map(move |n| (gate, n))).chunk_size(1).timeout(SHORT);
    assert_eq!(ends_out_of_time(results).await, 0);
    gate.open();
    pool.shutdown(false).await;
    assert!(gate.arrived() <= 1);
}

pub async fn fast_ones_first(rig: Rig) {
    let (pool, open, closed) = (rig.pool(2), rig.gate(), rig.gate());
    open.open();
    let inputs = [(closed, 0)].into_iter().chain((1..6).map(move |n| (open, n)));
    let mut results = rig.gated_completed(&pool, inputs).chunk_size(1).buffer(6);
    for n in 1..6 {
        assert_is!(results.next().await, Some((index, Ok(value))) if index == n && value == n as u64);
    }
    assert!(poll!(results.next()).is_pending());
    closed.open();
    assert_is!(results.next().await, Some((0, Ok(0))));
    assert!(results.next().await.is_none());
}

pub async fn handles_each_once(rig: Rig) {
    let pool = rig.pool(2);
    let results: Vec<_> =
        as_completed((0..100).map(|n| pool.submit(double, n)).collect::<Vec<_>>()).collect().await;
    let indices: BTreeSet<usize> = results.iter().map(|&(index, _)| index).collect();
    assert!(results.len() == 100 && indices.into_iter().eq(0..100));
    assert!(results.into_iter().all(|(index, result)| result.unwrap() == 2 * index as u64));
}

pub async fn no_handles(_rig: Rig) {
    assert!(as_completed::<u64>([]).next().await.is_none());
}

pub async fn handle_pushed_while_consuming(rig: Rig) {
    let pool = rig.pool(2);
    let mut results = as_completed([pool.submit(double, 0)]);
    let mut seen = BTreeSet::new();
    while let Some((index, result)) = results.next().await {
        assert_eq!(result.unwrap(), 2 * index as u64);
        assert!(seen.insert(index));
        if index < 50 {
            assert_eq!(results.push(pool.submit(double, index as u64 + 1)), index + 1);
        }
    }
    assert!(seen.into_iter().eq(0..=50));
}

pub async fn handle_pushed_into_nothing(rig: Rig) {
    let pool = rig.pool(1);
    let mut results = as_completed([]);
    for n in 0..3_u64 {
        assert!(results.next().await.is_none());
        assert_eq!(results.push(pool.submit(double, n)) as u64, n);
        assert_is!(results.next().await, Some((index, Ok(value))) if index as u64 == n && value == 2 * n);
    }
}

pub async fn handles_of_several_pools(rig: Rig) {
    let pools = [rig.pool(1), rig.pool(2)];
    let tasks: Vec<_> = (0..40).map(|n| pools[n as usize % 2].submit(double, n)).collect();
    let results: Vec<_> = as_completed(tasks).collect().await;
    assert!(
        results.len() == 40 && results.into_iter().all(|(index, result)| result.unwrap() == 2 * index as u64)
    );
}

pub async fn handles_that_fail(rig: Rig) {
    let pool = rig.pool(2);
    let busy = rig.occupy(&pool).await;
    let tasks = [0, 1, 2].map(|n| pool.submit(refuse_odd, n));
    tasks[2].abort();
    busy.release().await;
    let mut results: Vec<_> = as_completed(tasks).collect().await;
    results.sort_by_key(|&(index, _)| index);
    assert_is!(&results[..], [(0, Ok(0)), (1, Err(TaskError::Panicked(_))), (2, Err(TaskError::Cancelled))]);
}

pub async fn fast_handles_first(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let slow = rig.gated(&pool, gate, 0);
    gate.wait_arrivals(1).await;
    let mut results = as_completed([slow, pool.submit(double, 1), pool.submit(double, 2)]);
    assert_is!(results.next().await, Some((1, Ok(2))));
    assert_is!(results.next().await, Some((2, Ok(4))));
    assert!(poll!(results.next()).is_pending());
    gate.open();
    assert_is!(results.next().await, Some((0, Ok(0))));
    assert!(results.next().await.is_none());
}

pub async fn pushed_handle_may_overtake(rig: Rig) {
    let (pool, gate) = (rig.pool(2), rig.gate());
    let mut results = as_completed([rig.gated(&pool, gate, 0)]);
    assert!(poll!(results.next()).is_pending());
    assert_eq!(results.push(pool.submit(double, 21)), 1);
    assert_is!(results.next().await, Some((1, Ok(42))));
    gate.open();
    assert_is!(results.next().await, Some((0, Ok(0))));
}

pub async fn dropping_detaches_the_handles(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    let busy = rig.occupy(&pool).await;
    let mut results = as_completed((0..5).map(|n| pool.submit(mark, (journal, n))).collect::<Vec<_>>());
    assert!(poll!(results.next()).is_pending());
    drop(results);
    busy.release().await;
    journal.wait_notes(5).await;
}

pub async fn many_handles(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..20_000).map(|n| pool.submit(double, n)).collect();
    assert_eq!(as_completed(tasks).count().await, 20_000);
}
