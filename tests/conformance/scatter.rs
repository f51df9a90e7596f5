//! Data that is placed once and named by many tasks, and what a worker keeps for its tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use polypool::{Executor, Scattered, SharedSlice, TaskError, worker};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::gate::{Gate, NoteOnDrop};
use crate::rig::Rig;
use crate::work::double;

topic! { scatter:
    Every [
        value_in_an_argument,
        value_of_every_kind,
        value_at_any_depth,
        value_in_every_input_of_a_stream,
        value_in_a_result,
        value_within_a_value,
        value_in_an_argument_for_all_workers,
        value_in_the_argument_of_an_initializer,
        value_of_another_pool,
        value_in_tasks_of_tasks,
        value_that_a_task_scatters,
        value_whose_owner_drops_it_while_tasks_wait,
        slice_in_an_argument,
        slice_in_a_result,
        slice_that_a_task_makes,
        slices_of_nothing,
        handles_are_for_tasks_only,
        after_shutdown,
        state_of_an_initializer,
        state_of_a_task,
        state_outside_a_task,
    ]
    Local [
        nothing_is_encoded_and_nothing_copied,
        state_goes_with_the_pool,
    ]
    Away [
        value_that_cannot_be_encoded,
        value_that_cannot_be_decoded,
    ]
}

type Words = BTreeMap<String, u64>;

fn words() -> Words {
    ["one", "two", "three"].into_iter().zip(1..).map(|(word, n)| (word.to_owned(), n)).collect()
}

fn own_pool() -> Executor {
    worker::executor().expect("inside a task")
}

fn look_up((words, word): (Scattered<Words>, String)) -> Option<u64> {
    words.get(&word).copied()
}

pub async fn value_in_an_argument(rig: Rig) {
    let pool = rig.pool(2);
    let words = pool.scatter(words()).await.unwrap();
    assert_eq!(words.len(), 3);
    let ask = |word: &str| pool.submit(look_up, (words.clone(), word.to_owned()));
    assert_eq!(ask("two").await.unwrap(), Some(2));
    let tasks: Vec<_> = (0..100).map(|n| ask(["one", "two", "three", "four"][n % 4])).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), [Some(1), Some(2), Some(3), None][n % 4]);
    }
    let looking = async |(words, word)| look_up((words, word));
    assert_eq!(pool.submit_async(looking, (words, "three".to_owned())).await.unwrap(), Some(3));
}

pub async fn value_of_every_kind(rig: Rig) {
    let pool = rig.pool(2);
    let bytes = pool.scatter(vec![7_u8; 300_000]).await.unwrap();
    assert_eq!(pool.submit(|bytes: Scattered<Vec<u8>>| bytes.len(), bytes).await.unwrap(), 300_000);
    let text = pool.scatter("text".repeat(1_000)).await.unwrap();
    assert_eq!(pool.submit(|text: Scattered<String>| text.len(), text).await.unwrap(), 4_000);
    let nothing = pool.scatter(()).await.unwrap();
    pool.submit(|nothing: Scattered<()>| *nothing, nothing).await.unwrap();
    let empty = pool.scatter(Vec::<u64>::new()).await.unwrap();
    assert!(pool.submit(|empty: Scattered<Vec<u64>>| empty.is_empty(), empty).await.unwrap());
    let maybe = pool.scatter(Some((1, 'x'))).await.unwrap();
    assert_eq!(
        pool.submit(|maybe: Scattered<Option<(i32, char)>>| *maybe, maybe).await.unwrap(),
        Some((1, 'x'))
    );
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deep {
    names: Vec<Option<Scattered<Words>>>,
    slices: BTreeMap<String, (u8, SharedSlice<u32>)>,
}

fn sum_of(deep: Deep) -> u64 {
    let words = deep.names.iter().flatten().flat_map(|words| words.values()).sum::<u64>();
    words + deep.slices.values().flat_map(|(_, slice)| slice).map(|n| u64::from(*n)).sum::<u64>()
}

pub async fn value_at_any_depth(rig: Rig) {
    let pool = rig.pool(2);
    let (words, slice) =
        (pool.scatter(words()).await.unwrap(), pool.scatter_slice(vec![10_u32, 20]).await.unwrap());
    let deep = Deep {
        names: vec![Some(words.clone()), None, Some(words)],
        slices: [("a".to_owned(), (1, slice.clone())), ("b".to_owned(), (2, slice))].into(),
    };
    assert_eq!(pool.submit(sum_of, deep.clone()).await.unwrap(), 72);
    let sum_of_all = |deep: Option<Vec<Deep>>| deep.unwrap().into_iter().map(sum_of).sum::<u64>();
    assert_eq!(pool.submit(sum_of_all, Some(vec![deep.clone(), deep])).await.unwrap(), 144);
}

pub async fn value_in_every_input_of_a_stream(rig: Rig) {
    let pool = rig.pool(3);
    let slice = pool.scatter_slice((0..1_000_u64).collect()).await.unwrap();
    let at = |(slice, n): (SharedSlice<u64>, usize)| slice[n] * 2;
    let inputs = (0..1_000).map({
        let slice = slice.clone();
        move |n| (slice.clone(), n)
    });
    let results: Vec<u64> = pool.map(at, inputs).try_collect().await.unwrap();
    assert_eq!(results, (0..1_000).map(|n| n * 2).collect::<Vec<_>>());
    let inputs: Vec<_> = (0..100).map(|n| (slice.clone(), n)).collect();
    drop(slice);
    let mut results: Vec<_> =
        pool.as_completed(at, inputs).map(|(n, result)| (n, result.unwrap())).collect().await;
    results.sort_unstable();
    assert_eq!(results, (0..100).map(|n| (n, 2 * n as u64)).collect::<Vec<_>>());
}

pub async fn value_in_a_result(rig: Rig) {
    let pool = rig.pool(2);
    let given = pool.scatter(words()).await.unwrap();
    let address = std::ptr::from_ref(&*given);
    let back = pool.submit(|words: Scattered<Words>| (1, Some(words)), given.clone()).await.unwrap();
    // It is the same one, and not another of the same value.
    assert!(std::ptr::eq(&*back.1.unwrap(), address));
    let several =
        pool.map(|words: Scattered<Words>| vec![words.clone(), words], (0..50).map(move |_| given.clone()));
    for result in several.collect::<Vec<_>>().await {
        assert!(result.unwrap().iter().all(|words| std::ptr::eq(&**words, address)));
    }
}

pub async fn value_within_a_value(rig: Rig) {
    let pool = rig.pool(2);
    let inner = pool.scatter(words()).await.unwrap();
    let slice = pool.scatter_slice(vec![1_u32, 2, 3]).await.unwrap();
    let outer = pool.scatter((inner, vec![slice])).await.unwrap();
    let sum = |outer: Scattered<(Scattered<Words>, Vec<SharedSlice<u32>>)>| {
        outer.0.values().sum::<u64>() + u64::from(outer.1[0].iter().sum::<u32>())
    };
    for task in (0..10).map(|_| pool.submit(sum, outer.clone())).collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 12);
    }
    let out = |outer: Scattered<(Scattered<Words>, Vec<SharedSlice<u32>>)>| outer.1[0].clone();
    assert_eq!(pool.submit(out, outer).await.unwrap()[..], [1, 2, 3]);
}

pub async fn value_in_an_argument_for_all_workers(rig: Rig) {
    let pool = rig.pool(3);
    let words = pool.scatter(words()).await.unwrap();
    let all = pool.run_on_all(look_up, (words, "two".to_owned()));
    for result in all.await {
        assert_eq!(result.unwrap(), Some(2));
    }
}

pub async fn value_in_the_argument_of_an_initializer(rig: Rig) {
    let words = rig.pool(1).scatter(words()).await.unwrap();
    let keep = |words: Scattered<Words>| drop(worker::set_state(words));
    let pool = rig.builder().max_workers(2).initializer(keep, words).build().unwrap();
    let ask = |word: String| worker::state::<Scattered<Words>>().unwrap().get(&word).copied();
    for task in (0..10).map(|_| pool.submit(ask, "three".to_owned())).collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), Some(3));
    }
}

pub async fn value_of_another_pool(rig: Rig) {
    let serial = Executor::serial();
    let words = serial.scatter(words()).await.unwrap();
    let slice = serial.scatter_slice(vec![5_u16; 9]).await.unwrap();
    for pool in [rig.pool(1), rig.pool(2)] {
        assert_eq!(pool.submit(look_up, (words.clone(), "two".to_owned())).await.unwrap(), Some(2));
        assert_eq!(pool.submit(|slice: SharedSlice<u16>| slice.len(), slice.clone()).await.unwrap(), 9);
    }
    // And the other way.
    let words = rig.pool(1).scatter((*words).clone()).await.unwrap();
    assert_eq!(serial.submit(look_up, (words, "one".to_owned())).await.unwrap(), Some(1));
}

/// Passes it on, so often, and looks at it at the end.
async fn pass_on(
    (words, slice, times): (Scattered<Words>, SharedSlice<u64>, u32),
) -> (u64, SharedSlice<u64>) {
    if times == 0 {
        return (words["two"] + slice[1], slice);
    }
    let task = own_pool().submit_async(pass_on_boxed, (words, slice, times - 1));
    task.await.unwrap()
}

fn pass_on_boxed(
    arg: (Scattered<Words>, SharedSlice<u64>, u32),
) -> std::pin::Pin<Box<dyn Future<Output = (u64, SharedSlice<u64>)> + Send>> {
    Box::pin(pass_on(arg))
}

pub async fn value_in_tasks_of_tasks(rig: Rig) {
    let pool = rig.pool(2);
    let words = pool.scatter(words()).await.unwrap();
    let slice = pool.scatter_slice(vec![100, 200]).await.unwrap();
    for times in [1, 2, 5] {
        let task = pool.submit_async(pass_on, (words.clone(), slice.clone(), times));
        let (sum, back) = task.await.unwrap();
        assert_eq!((sum, &back[..]), (202, &[100, 200][..]));
    }
}

async fn scatter_inside(n: u64) -> (u64, Scattered<Vec<u64>>) {
    let pool = own_pool();
    let values = pool.scatter((0..n).collect::<Vec<_>>()).await.unwrap();
    let slice = pool.scatter_slice((0..n).collect::<Vec<_>>()).await.unwrap();
    let sum = |(values, slice, from): (Scattered<Vec<u64>>, SharedSlice<u64>, usize)| {
        values[from..].iter().sum::<u64>() + slice[from..].iter().sum::<u64>()
    };
    let mut all = 0;
    for from in 0..3 {
        all += pool.submit(sum, (values.clone(), slice.clone(), from)).await.unwrap();
    }
    (all, values)
}

pub async fn value_that_a_task_scatters(rig: Rig) {
    let pool = rig.pool(2);
    let (sum, values) = pool.submit_async(scatter_inside, 5).await.unwrap();
    assert_eq!((sum, &values[..]), (2 * (10 + 10 + 9), &[0, 1, 2, 3, 4][..]));
    // What a task has scattered is for other tasks, too.
    assert_eq!(pool.submit(|values: Scattered<Vec<u64>>| values.len(), values).await.unwrap(), 5);
}

pub async fn value_whose_owner_drops_it_while_tasks_wait(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let words = pool.scatter(words()).await.unwrap();
    let slice = pool.scatter_slice(vec![3_i64]).await.unwrap();
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            pool.submit(
                |(words, slice): (Scattered<Words>, SharedSlice<i64>)| words.len() as i64 + slice[0],
                (words.clone(), slice.clone()),
            )
        })
        .collect();
    drop((words, slice));
    busy.release().await;
    for task in tasks {
        assert_eq!(task.await.unwrap(), 6);
    }
}

pub async fn slice_in_an_argument(rig: Rig) {
    let pool = rig.pool(2);
    let floats = pool.scatter_slice(vec![0.5_f64; 200_000]).await.unwrap();
    assert_eq!(floats.len(), 200_000);
    let sum = |(floats, from): (SharedSlice<f64>, usize)| floats[from..].iter().sum::<f64>();
    assert_eq!(pool.submit(sum, (floats.clone(), 0)).await.unwrap(), 100_000.0);
    assert_eq!(pool.submit(sum, (floats, 199_998)).await.unwrap(), 1.0);
    let arrays = pool.scatter_slice(vec![[1_u8, 2, 3]; 7]).await.unwrap();
    assert_eq!(pool.submit(|arrays: SharedSlice<[u8; 3]>| arrays[6], arrays).await.unwrap(), [1, 2, 3]);
    let wide = pool.scatter_slice(vec![u128::MAX, 1]).await.unwrap();
    assert_eq!(pool.submit(|wide: SharedSlice<u128>| wide.to_vec(), wide).await.unwrap(), [u128::MAX, 1]);
}

pub async fn slice_in_a_result(rig: Rig) {
    let pool = rig.pool(2);
    let slice = pool.scatter_slice((0..10_000_u32).collect()).await.unwrap();
    let back = pool.submit(|slice: SharedSlice<u32>| vec![slice; 2], slice.clone()).await.unwrap();
    // The same memory.
    assert!(back.iter().all(|back| back.as_ptr() == slice.as_ptr() && back.len() == 10_000));
}

pub async fn slice_that_a_task_makes(rig: Rig) {
    let pool = rig.pool(2);
    let made = |n: u32| (SharedSlice::from((0..n).collect::<Vec<_>>()), n);
    let (slice, n) = pool.submit(made, 100_000).await.unwrap();
    assert!(n == 100_000 && slice.iter().copied().eq(0..n));
    let filled = |n: usize| {
        SharedSlice::filled(n, |slots| slots.iter_mut().zip(1_u64..).for_each(|(slot, n)| *slot = n))
    };
    let slice = pool.submit(filled, 1_000).await.unwrap().unwrap();
    assert_eq!(slice.iter().sum::<u64>(), 500_500);
    // Each item of a chunk has its own.
    let slices: Vec<_> = pool.map(filled, 0..50).map(|slice| slice.unwrap().unwrap()).collect().await;
    for (n, slice) in slices.iter().enumerate() {
        assert_eq!((slice.len(), slice.last()), (n, (n > 0).then_some(&(n as u64))));
    }
    let bytes =
        pool.submit(|text: String| SharedSlice::from(text.into_bytes()), "bytes".to_owned()).await.unwrap();
    assert_eq!(&bytes[..], b"bytes");
    // What a task has made is for others.
    assert_eq!(pool.submit(|bytes: SharedSlice<u8>| bytes.to_vec(), bytes).await.unwrap(), b"bytes");
}

pub async fn slices_of_nothing(rig: Rig) {
    let pool = rig.pool(1);
    let empty = pool.scatter_slice(Vec::<f32>::new()).await.unwrap();
    assert!(pool.submit(|empty: SharedSlice<f32>| empty.is_empty(), empty).await.unwrap());
    let units = pool.scatter_slice(vec![(); 1_000]).await.unwrap();
    assert_eq!(
        pool.submit(|units: SharedSlice<()>| (units.len(), units), units).await.unwrap().1.len(),
        1_000
    );
    let filled = |n: usize| SharedSlice::filled(n, |slots: &mut [u8]| assert!(slots.is_empty())).unwrap();
    assert!(pool.submit(filled, 0).await.unwrap().is_empty());
}

pub async fn handles_are_for_tasks_only(rig: Rig) {
    let pool = rig.pool(1);
    let words = pool.scatter(words()).await.unwrap();
    let slice = pool.scatter_slice(vec![1_u8]).await.unwrap();
    assert!(postcard::to_stdvec(&words).is_err() && postcard::to_stdvec(&slice).is_err());
    assert!(postcard::to_stdvec(&*words).is_ok());
    let inside = |words: Scattered<Words>| postcard::to_stdvec(&words).is_err();
    assert!(pool.submit(inside, words).await.unwrap());
}

pub async fn after_shutdown(rig: Rig) {
    let pool = rig.pool(1);
    pool.shutdown(true).await;
    assert!(matches!(pool.scatter(1).await, Err(TaskError::Shutdown)));
    assert!(matches!(pool.scatter_slice(vec![1]).await, Err(TaskError::Shutdown)));
}

struct Silent(#[allow(dead_code, reason = "it is to be dropped")] NoteOnDrop);

impl Serialize for Silent {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("nobody encodes this"))
    }
}

impl<'de> Deserialize<'de> for Silent {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody decodes this"))
    }
}

pub async fn nothing_is_encoded_and_nothing_copied(rig: Rig) {
    let (pool, journal) = (rig.pool(2), rig.gate());
    let silent = pool.scatter(Silent(NoteOnDrop(journal, 1))).await.unwrap();
    let address = std::ptr::from_ref(&*silent) as usize;
    let at = |silent: Scattered<Silent>| std::ptr::from_ref(&*silent) as usize;
    let tasks: Vec<_> = (0..10).map(|_| pool.submit(at, silent.clone())).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), address);
    }
    for result in pool.run_on_all(at, silent.clone()).await {
        assert_eq!(result.unwrap(), address);
    }
    let values = vec![1_u64, 2, 3];
    let address = values.as_ptr() as usize;
    let slice = pool.scatter_slice(values).await.unwrap();
    let at = |slice: SharedSlice<u64>| slice.as_ptr() as usize;
    assert_eq!(pool.submit(at, slice.clone()).await.unwrap(), address);
    for result in pool.run_on_all(at, slice).await {
        assert_eq!(result.unwrap(), address);
    }
    assert_eq!(journal.notes(), []);
    drop(silent);
    // A worker may be just about to let go of it.
    journal.wait_notes(1).await;
}

pub async fn value_that_cannot_be_encoded(rig: Rig) {
    let (pool, journal) = (rig.pool(1), rig.gate());
    match pool.scatter(Silent(NoteOnDrop(journal, 1))).await {
        Err(TaskError::Encode(why)) => assert!(why.contains("nobody encodes this"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(journal.notes(), [1]);
    assert_eq!(pool.submit(double, 4).await.unwrap(), 8);
}

#[derive(Serialize)]
struct OneWay(u32);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody decodes this"))
    }
}

pub async fn value_that_cannot_be_decoded(rig: Rig) {
    let pool = rig.pool(2);
    let one_way = pool.scatter(OneWay(1)).await.unwrap();
    let inputs: Vec<_> = (0..20).map(|n| (n % 2 == 1).then(|| one_way.clone())).collect();
    let results: Vec<_> =
        pool.map(|one_way: Option<Scattered<OneWay>>| one_way.is_some(), inputs).collect().await;
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(is_some) => assert!(n % 2 == 0 && !is_some),
            Err(TaskError::Decode(why)) => {
                assert!(n % 2 == 1 && why.contains("nobody decodes this"), "{why}")
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(one_way.0, 1);
}

struct Model(u64);

pub async fn state_of_an_initializer(rig: Rig) {
    let journal = rig.gate();
    let load = |(journal, n): (Gate, u64)| {
        journal.note(1);
        assert_eq!(worker::set_state(Model(n)).map(|model| model.0), Some(n));
    };
    let pool = rig.builder().max_workers(2).initializer(load, (journal, 40)).build().unwrap();
    let add = |n: u64| worker::state::<Model>().map(|model| model.0 + n);
    let results = join_all((0..50).map(|n| pool.submit(add, n))).await;
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.unwrap(), Some(40 + n));
    }
    assert!(journal.notes().len() <= pool.max_workers());
    let adding = async |n: u64| worker::state::<Model>().map(|model| model.0 + n);
    assert_eq!(pool.submit_async(adding, 2).await.unwrap(), Some(42));
    assert!(pool.submit(|()| worker::state::<u8>().is_none(), ()).await.unwrap());
}

pub async fn state_of_a_task(rig: Rig) {
    let pool = rig.pool(1);
    let count = |by: u64| {
        let before = worker::state::<Model>().map_or(0, |model| model.0);
        worker::set_state(Model(before + by));
        before
    };
    for n in 0..5 {
        assert_eq!(pool.submit(count, 1).await.unwrap(), n);
    }
    // Another pool's workers have their own.
    assert_eq!(rig.pool(1).submit(count, 1).await.unwrap(), 0);
}

pub async fn state_outside_a_task(_rig: Rig) {
    assert!(worker::set_state(Model(1)).is_none());
    assert!(worker::state::<Model>().is_none());
}

pub async fn state_goes_with_the_pool(rig: Rig) {
    let journal = rig.gate();
    let keep = |journal: Gate| drop(worker::set_state(NoteOnDrop(journal, 5)));
    let pool = rig.builder().max_workers(2).initializer(keep, journal).build().unwrap();
    let kept = pool.run_on_all(|()| Arc::strong_count(&worker::state::<NoteOnDrop>().unwrap()), ()).await;
    assert!(kept.iter().all(Result::is_ok));
    assert_eq!(journal.notes(), []);
    pool.shutdown(true).await;
    drop(pool);
    journal.wait_notes(kept.len()).await;
}
