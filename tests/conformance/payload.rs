//! Arguments and results: of every size, of many shapes, and those that cannot be encoded or decoded.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::future::join_all;
use polypool::{Executor, TaskError, TaskOptions};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rig::Rig;
use crate::work::double;

topic! { payload:
    Every [
        bytes_of_every_size,
        text_of_every_size,
        shapes_within_shapes,
        several_large_ones_at_once,
        large_ones_on_more_workers_than_cores,
        large_ones_and_small_ones_by_turns,
        large_items_of_a_stream,
        numbers_at_their_ends,
    ]
    Unattended [
        large_results_that_nobody_takes,
        large_arguments_of_tasks_that_are_aborted,
    ]
    Away [
        argument_that_cannot_be_encoded,
        result_that_cannot_be_encoded,
        argument_that_cannot_be_decoded,
        result_that_cannot_be_decoded,
        error_that_cannot_be_decoded,
        what_cannot_be_decoded_is_not_tried_again,
        item_that_cannot_be_encoded,
        item_that_cannot_be_decoded,
        types_that_do_not_describe_themselves,
        encoder_that_panics,
        decoder_that_panics,
    ]
}

/// Where encodings change their way: nothing, little, a page and a frame more or less, and much.
const SIZES: [usize; 9] = [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 1 << 20, 3_000_001];

fn echo<T>(value: T) -> T {
    value
}

/// Bytes that differ from their neighbours, so that a shift shows.
fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

async fn goes_on(pool: &Executor) {
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

pub async fn bytes_of_every_size(rig: Rig) {
    let pool = rig.pool(1);
    for size in SIZES {
        let result = pool.submit(echo::<Vec<u8>>, bytes(size)).await.unwrap();
        assert!(result == bytes(size), "{size} bytes came back as {}", result.len());
        assert!(pool.submit(bytes, size).await.unwrap() == bytes(size), "{size} bytes back alone");
        let length = |bytes: Vec<u8>| bytes.len();
        assert_eq!(pool.submit(length, bytes(size)).await.unwrap(), size);
    }
}

pub async fn text_of_every_size(rig: Rig) {
    let pool = rig.pool(1);
    for size in SIZES {
        let text: String = "aé✓😀".chars().cycle().take(size).collect();
        assert!(pool.submit(echo::<String>, text.clone()).await.unwrap() == text, "{size} characters");
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Data(Vec<u8>),
    Node { name: String, children: Vec<Tree>, weight: Option<f64> },
}

fn tree(depth: u32) -> Tree {
    match depth {
        0 => Tree::Leaf,
        1 => Tree::Data(bytes(70_000)),
        _ => Tree::Node {
            name: format!("at {depth}"),
            children: vec![tree(depth - 1), Tree::Leaf, tree(depth - 2)],
            weight: depth.is_multiple_of(2).then_some(f64::from(depth)),
        },
    }
}

pub async fn shapes_within_shapes(rig: Rig) {
    let pool = rig.pool(1);
    assert!(pool.submit(echo::<Tree>, tree(5)).await.unwrap() == tree(5));
    let map: BTreeMap<String, (Option<Vec<u16>>, char, Tree)> = (0..50)
        .map(|n| (n.to_string(), ((n % 3 > 0).then(|| vec![n; n.into()]), '✓', tree(u32::from(n % 3)))))
        .collect();
    assert!(pool.submit(echo::<BTreeMap<_, _>>, map.clone()).await.unwrap() == map);
}

pub async fn several_large_ones_at_once(rig: Rig) {
    let pool = rig.pool(2);
    let tasks: Vec<_> = (0..8).map(|n| pool.submit(echo::<Vec<u8>>, bytes(1_000_000 + n))).collect();
    for (n, result) in join_all(tasks).await.into_iter().enumerate() {
        assert!(result.unwrap() == bytes(1_000_000 + n));
    }
}

pub async fn large_ones_on_more_workers_than_cores(rig: Rig) {
    let pool = rig.pool(8);
    let tasks: Vec<_> = (0..40).map(|n| pool.submit(echo::<Vec<u8>>, bytes(100_000 + n))).collect();
    for (n, result) in join_all(tasks).await.into_iter().enumerate() {
        assert!(result.unwrap() == bytes(100_000 + n));
    }
}

pub async fn large_ones_and_small_ones_by_turns(rig: Rig) {
    let pool = rig.pool(2);
    let size = |n: usize| if n.is_multiple_of(3) { 200_000 } else { n };
    let tasks: Vec<_> = (0..90).map(|n| pool.submit(echo::<Vec<u8>>, bytes(size(n)))).collect();
    for (n, result) in join_all(tasks).await.into_iter().enumerate() {
        assert!(result.unwrap() == bytes(size(n)), "{n}");
    }
}

pub async fn large_items_of_a_stream(rig: Rig) {
    let pool = rig.pool(2);
    let mut results = pool.map(echo::<Vec<u8>>, (0..40).map(|n| bytes(65_520 + n))).chunk_size(7);
    for n in 0..40 {
        assert!(results.next().await.unwrap().unwrap() == bytes(65_520 + n));
    }
    assert!(results.next().await.is_none());
}

pub async fn numbers_at_their_ends(rig: Rig) {
    let pool = rig.pool(1);
    let numbers = (u64::MAX, i64::MIN, u128::MAX, f64::MIN_POSITIVE, (f32::NEG_INFINITY, 0_u8, -1_i8));
    assert_eq!(pool.submit(echo, numbers).await.unwrap(), numbers);
    assert!(pool.submit(echo::<f64>, f64::NAN).await.unwrap().is_nan());
}

pub async fn large_results_that_nobody_takes(rig: Rig) {
    let pool = rig.pool(2);
    for _ in 0..20 {
        drop(pool.submit(bytes, 500_000));
    }
    goes_on(&pool).await;
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (21, 0, 0));
}

pub async fn large_arguments_of_tasks_that_are_aborted(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    for _ in 0..50 {
        pool.submit(echo::<Vec<u8>>, bytes(500_000)).abort();
    }
    busy.release().await;
    assert!(pool.submit(echo::<Vec<u8>>, bytes(500_000)).await.unwrap() == bytes(500_000));
}

/// Says in its own words why it cannot be written.
#[derive(Debug, Clone, Deserialize)]
struct Unwritable(bool);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            Err(S::Error::custom("a mule is not for sale"))
        } else {
            serializer.serialize_bool(false)
        }
    }
}

/// Says in its own words why it cannot be read.
#[derive(Debug, Clone)]
struct Unreadable(bool);

impl Serialize for Unreadable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Err(D::Error::custom("the ink has faded")),
            false => Ok(Unreadable(false)),
        }
    }
}

pub async fn argument_that_cannot_be_encoded(rig: Rig) {
    let pool = rig.pool(1);
    for _ in 0..3 {
        let error = pool.submit(|_: Unwritable| 1, Unwritable(true)).await.unwrap_err();
        assert_is!(error, TaskError::Encode(text) if text.contains("a mule is not for sale"));
    }
    assert_eq!(pool.submit(|_: Unwritable| 1, Unwritable(false)).await.unwrap(), 1);
    goes_on(&pool).await;
}

pub async fn result_that_cannot_be_encoded(rig: Rig) {
    let pool = rig.pool(1);
    let error = pool.submit(Unwritable, true).await.unwrap_err();
    assert_is!(error, TaskError::Encode(text) if text.contains("a mule is not for sale"));
    assert!(pool.submit(Unwritable, false).await.is_ok());
    goes_on(&pool).await;
}

pub async fn argument_that_cannot_be_decoded(rig: Rig) {
    let pool = rig.pool(1);
    let pid = pool.submit(|()| std::process::id(), ()).await.unwrap();
    let error = pool.submit(|_: Unreadable| 1, Unreadable(true)).await.unwrap_err();
    assert_is!(error, TaskError::Decode(text) if text.contains("the ink has faded"));
    assert_eq!(pool.submit(|_: Unreadable| 1, Unreadable(false)).await.unwrap(), 1);
    assert_eq!(pool.submit(|()| std::process::id(), ()).await.unwrap(), pid, "no worker dies of that");
}

pub async fn result_that_cannot_be_decoded(rig: Rig) {
    let pool = rig.pool(1);
    let pid = pool.submit(|()| std::process::id(), ()).await.unwrap();
    let error = pool.submit(Unreadable, true).await.unwrap_err();
    assert_is!(error, TaskError::Decode(text) if text.contains("the ink has faded"));
    assert!(pool.submit(Unreadable, false).await.is_ok());
    assert_eq!(pool.submit(|()| std::process::id(), ()).await.unwrap(), pid, "no worker dies of that");
}

pub async fn error_that_cannot_be_decoded(rig: Rig) {
    let pool = rig.pool(1);
    let failing = |unreadable: bool| Err::<u64, _>(Unreadable(unreadable));
    let error = pool.submit(failing, true).await.unwrap_err();
    assert_is!(error, TaskError::Decode(text) if text.contains("the ink has faded"));
    assert_is!(pool.submit(failing, false).await, Ok(Err(Unreadable(false))));
}

pub async fn what_cannot_be_decoded_is_not_tried_again(rig: Rig) {
    let (pool, journal) = (rig.builder().max_workers(1).retries(3).build().unwrap(), rig.gate());
    let unreadable = |journal: crate::gate::Gate| {
        journal.note(1);
        Unreadable(true)
    };
    let options = TaskOptions::new().retries(3);
    assert_is!(pool.submit_with(options, unreadable, journal).await, Err(TaskError::Decode(_)));
    assert_eq!(journal.notes(), [1]);
    assert_is!(pool.submit(|_: Unreadable| 1, Unreadable(true)).await, Err(TaskError::Decode(_)));
    goes_on(&pool).await;
}

pub async fn item_that_cannot_be_encoded(rig: Rig) {
    let pool = rig.pool(2);
    for chunk in [1, 4, 100] {
        let inputs = (0..12).map(|n| Unwritable(n == 5));
        let results: Vec<_> = pool.map(|_: Unwritable| 1, inputs).chunk_size(chunk).collect().await;
        assert_eq!(results.len(), 12);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(1) => assert_ne!(n, 5, "chunks of {chunk}"),
                Err(TaskError::Encode(text)) => {
                    assert!(
                        n == 5 && text.contains("a mule is not for sale"),
                        "chunks of {chunk}, {n}: {text}"
                    );
                }
                other => panic!("chunks of {chunk}, {n}: {other:?}"),
            }
        }
        let results: Vec<_> = pool.map(|n: u64| Unwritable(n == 5), 0..12).chunk_size(chunk).collect().await;
        assert!((0..).zip(&results).all(|(n, result)| result.is_ok() == (n != 5)), "{results:?}");
    }
}

pub async fn item_that_cannot_be_decoded(rig: Rig) {
    let pool = rig.pool(2);
    for chunk in [1, 4, 100] {
        let inputs = (0..12).map(|n| Unreadable(n == 5));
        let arguments: Vec<_> = pool
            .map(|_: Unreadable| 1_u64, inputs)
            .chunk_size(chunk)
            .map(|result| result.map(drop))
            .collect()
            .await;
        let results: Vec<_> = pool
            .map(|n: u64| Unreadable(n == 5), 0..12)
            .chunk_size(chunk)
            .map(|result| result.map(drop))
            .collect()
            .await;
        for results in [arguments, results] {
            assert_eq!(results.len(), 12);
            for (n, result) in results.into_iter().enumerate() {
                match result {
                    Ok(()) => assert_ne!(n, 5, "chunks of {chunk}"),
                    Err(TaskError::Decode(text)) => {
                        assert!(
                            n == 5 && text.contains("the ink has faded"),
                            "chunks of {chunk}, {n}: {text}"
                        );
                    }
                    other => panic!("chunks of {chunk}, {n}: {other:?}"),
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u64),
    Text(String),
}

/// They arrive whole, or with an error that names the type.
pub async fn types_that_do_not_describe_themselves(rig: Rig) {
    let pool = rig.pool(1);
    match pool.submit(echo::<Either>, Either::Text("words".to_owned())).await {
        Ok(value) => assert_eq!(value, Either::Text("words".to_owned())),
        Err(TaskError::Encode(text) | TaskError::Decode(text)) => assert!(text.contains("Either"), "{text}"),
        other => panic!("{other:?}"),
    }
    goes_on(&pool).await;
}

/// Panics whenever it is written, or read, as it says.
#[derive(Debug, Clone, Copy)]
struct Bomb {
    reading: bool,
}

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.reading, "a bomb goes off while it is written");
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer)?;
        panic!("a bomb goes off while it is read")
    }
}

/// Checks that it is told as what it is, a panic in user code, or as a failure of the encoding with that text.
fn check_bomb<R: std::fmt::Debug>(result: Result<R, TaskError>, when: &str) {
    let text = match result {
        Err(TaskError::Panicked(info)) => info.message,
        Err(TaskError::Encode(text) | TaskError::Decode(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("a bomb goes off") && text.contains(when), "{text}");
}

pub async fn encoder_that_panics(rig: Rig) {
    let pool = rig.pool(1);
    check_bomb(pool.submit(|_: Bomb| 1, Bomb { reading: false }).await, "written");
    check_bomb(pool.submit(|()| Bomb { reading: false }, ()).await, "written");
    goes_on(&pool).await;
}

pub async fn decoder_that_panics(rig: Rig) {
    let pool = rig.pool(1);
    check_bomb(pool.submit(|_: Bomb| 1, Bomb { reading: true }).await, "read");
    check_bomb(pool.submit(|()| Bomb { reading: true }, ()).await, "read");
    goes_on(&pool).await;
}
