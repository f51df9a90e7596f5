//! What one submits and gets back: functions, closures, arguments, results.

use std::collections::BTreeMap;

use futures::future::join_all;
use polypool::TaskOptions;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::rig::Rig;
use crate::work::{double, double_async, mark, mark_async};

topic! { submit:
    Every [
        function,
        generic_function,
        closure_that_captures_nothing,
        async_function,
        async_closure_that_captures_nothing,
        nothing_for_an_argument_and_nothing_for_a_result,
        own_types_as_argument_and_result,
        large_argument_and_result,
        own_error_is_a_value,
        options_do_not_change_the_result,
        many_tasks_run_once_each,
        many_async_tasks_run_once_each,
        clones_share_one_pool,
        tasks_of_many_threads,
        debug_of_a_pool_and_its_handles_while_it_works,
    ]
    Unattended [
        tasks_run_without_being_awaited,
        as_many_at_once_as_there_are_workers,
        never_more_at_once_than_there_are_workers,
    ]
}

pub async fn function(rig: Rig) {
    assert_eq!(rig.pool(2).submit(double, 21).await.unwrap(), 42);
}

fn last<T: Serialize + DeserializeOwned + Send + 'static>(mut items: Vec<T>) -> Option<T> {
    items.pop()
}

pub async fn generic_function(rig: Rig) {
    let pool = rig.pool(2);
    assert_eq!(pool.submit(last::<u8>, vec![1, 2]).await.unwrap(), Some(2));
    assert_eq!(pool.submit(last::<String>, vec!["a".to_owned()]).await.unwrap().as_deref(), Some("a"));
    assert_eq!(pool.submit(last::<()>, vec![]).await.unwrap(), None);
}

pub async fn closure_that_captures_nothing(rig: Rig) {
    let pool = rig.pool(2);
    let sum = pool.submit(|(a, b): (u32, u32)| a + b, (2, 3));
    let product = pool.submit(|(a, b): (u32, u32)| a * b, (2, 3));
    assert_eq!((sum.await.unwrap(), product.await.unwrap()), (5, 6));
}

pub async fn async_function(rig: Rig) {
    assert_eq!(rig.pool(2).submit_async(double_async, 21).await.unwrap(), 42);
}

pub async fn async_closure_that_captures_nothing(rig: Rig) {
    let pool = rig.pool(2);
    assert_eq!(
        pool.submit_async(|text: String| async move { text.len() }, "four".to_owned()).await.unwrap(),
        4
    );
}

pub async fn nothing_for_an_argument_and_nothing_for_a_result(rig: Rig) {
    rig.pool(1).submit(|()| (), ()).await.unwrap();
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Circle { radius: f64 },
    Named(String, Vec<Shape>),
    Empty,
}

pub async fn own_types_as_argument_and_result(rig: Rig) {
    let shapes = Shape::Named("two".to_owned(), vec![Shape::Circle { radius: 0.5 }, Shape::Empty]);
    let argument = BTreeMap::from([(Some(1_u8), shapes)]);
    let result = rig.pool(1).submit(|map: BTreeMap<Option<u8>, Shape>| map, argument.clone()).await.unwrap();
    assert_eq!(result, argument);
}

pub async fn large_argument_and_result(rig: Rig) {
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let pool = rig.pool(1);
    let result = pool
        .submit(|bytes: Vec<u8>| bytes.into_iter().rev().collect::<Vec<_>>(), bytes.clone())
        .await
        .unwrap();
    assert!(result.iter().eq(bytes.iter().rev()));
}

pub async fn own_error_is_a_value(rig: Rig) {
    let pool = rig.pool(1);
    let parse = |text: String| text.parse::<i32>().map_err(|error| error.to_string());
    assert_eq!(pool.submit(parse, "7".to_owned()).await.unwrap(), Ok(7));
    assert_eq!(
        pool.submit(parse, "seven".to_owned()).await.unwrap(),
        Err("invalid digit found in string".to_owned())
    );
}

pub async fn options_do_not_change_the_result(rig: Rig) {
    let pool = rig.pool(1);
    let options = TaskOptions::new()
        .name("doubling")
        .priority(3)
        .retries(2)
        .timeout(crate::rig::AGES)
        .capture_output(true);
    assert_eq!(pool.submit_with(options.clone(), double, 21).await.unwrap(), 42);
    assert_eq!(pool.submit_async_with(options, double_async, 21).await.unwrap(), 42);
}

const MANY: u64 = 2_000;

pub async fn many_tasks_run_once_each(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let results = join_all((0..MANY).map(|n| pool.submit(mark, (journal, n)))).await;
    assert!(results.into_iter().map(Result::unwrap).eq(0..MANY));
    assert!(journal.sorted_notes().into_iter().eq(0..MANY));
}

pub async fn many_async_tasks_run_once_each(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let results = join_all((0..MANY).map(|n| pool.submit_async(mark_async, (journal, n)))).await;
    assert!(results.into_iter().map(Result::unwrap).eq(0..MANY));
    assert!(journal.sorted_notes().into_iter().eq(0..MANY));
}

pub async fn clones_share_one_pool(rig: Rig) {
    let pool = rig.pool(2);
    let clone = pool.clone();
    let task = clone.submit(double, 1);
    let stats = pool.stats();
    assert!(stats.queued + stats.running <= 1);
    assert_eq!(task.await.unwrap(), 2);
    assert_eq!(clone.shutdown(false).await.completed, 1);
    assert!(pool.submit(double, 1).await.is_err());
}

pub async fn tasks_of_many_threads(rig: Rig) {
    let pool = rig.pool(2);
    let submitters = (0..8).map(|thread: u64| {
        let pool = pool.clone();
        crate::rig::on_thread(move || {
            (0..100).map(|n| pool.submit(double, 100 * thread + n)).collect::<Vec<_>>()
        })
    });
    let tasks = join_all(submitters).await.into_iter().flatten();
    let results = join_all(tasks).await;
    assert!(results.into_iter().map(Result::unwrap).eq((0..800).map(|n| 2 * n)));
}

pub async fn debug_of_a_pool_and_its_handles_while_it_works(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let task = pool.submit(|()| format!("{:?}", polypool::worker::executor()), ());
    assert!(format!("{pool:?}").contains("Executor"));
    assert!(format!("{task:?}").contains("TaskHandle"));
    busy.release().await;
    assert!(task.await.unwrap().contains("Executor"));
}

pub async fn tasks_run_without_being_awaited(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let tasks: Vec<_> = (0..10).map(|n| pool.submit(mark, (journal, n))).collect();
    journal.wait_notes(10).await;
    join_all(tasks).await;
}

pub async fn as_many_at_once_as_there_are_workers(rig: Rig) {
    let (pool, gate) = (rig.pool(4), rig.gate());
    let tasks: Vec<_> = (0..4).map(|n| rig.gated(&pool, gate, n)).collect();
    gate.wait_arrivals(4).await;
    gate.open();
    assert!(join_all(tasks).await.into_iter().all(|result| result.is_ok()));
}

pub async fn never_more_at_once_than_there_are_workers(rig: Rig) {
    let (pool, room) = (rig.pool(2), rig.gate());
    let blocking = (0..100).map(|_| pool.submit(crate::work::dwell, room));
    let suspended = (0..100).map(|_| pool.submit_async(crate::work::dwell_async, room));
    let results = join_all(blocking.chain(suspended)).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    assert!(room.most_inside() <= 2, "{} at once", room.most_inside());
}
