//! Calls that are made and performed in one process.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{catch::install_hook, *};
use crate::{error::TaskError, runtime::block_on};

/// A worker around a call that is asked to stop, or not.
#[derive(Default)]
struct Here {
    stopped: AtomicBool,
    trimmed: AtomicBool,
    /// Says so when it was asked this many times.
    stops_at: Option<usize>,
    asked: AtomicUsize,
}

impl Around for Here {
    fn is_stopped(&self) -> bool {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.stopped.load(Ordering::Relaxed) || self.stops_at.is_some_and(|at| asked >= at)
    }

    fn is_trimmed(&self) -> bool {
        self.trimmed.load(Ordering::Relaxed)
    }

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return false;
        }
        block_on(future);
        true
    }
}

fn performed(call: &Call, around: &Here) -> Result<(Vec<u8>, Counted), TaskError> {
    let mut out = Vec::new();
    let counted = perform(call.entry, &call.arg, &mut out, around)?;
    Ok((out, counted))
}

fn call<F, A, R>(f: F, arg: A) -> Result<R, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let (out, counted) = performed(&ship(f, arg)?, &Here::default())?;
    assert_eq!(counted, Counted { completed: 1, failed: 0, cancelled: 0 });
    open(out, Names::new())
}

fn call_async<F, A, Fut>(f: F, arg: A) -> Result<Fut::Output, TaskError>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let (out, _) = performed(&ship_async(f, arg)?, &Here::default())?;
    open(out, Names::new())
}

fn double(n: u32) -> u32 {
    2 * n
}

fn text_of<T: ToString>(value: T) -> String {
    value.to_string()
}

async fn half(n: u32) -> u32 {
    futures::future::ready(n / 2).await
}

#[test]
fn functions_of_every_kind() {
    assert_eq!(call(double, 21).expect("performed"), 42);
    assert_eq!(call(text_of::<u64>, 1).expect("performed"), "1");
    assert_eq!(call(text_of::<String>, "1".to_owned()).expect("performed"), "1");
    assert_eq!(
        call(|(a, b): (u8, String)| b.repeat(a.into()), (2, "x".to_owned())).expect("performed"),
        "xx"
    );
    assert_eq!(call(u32::count_ones, 7).expect("performed"), 3);
    assert_eq!(call_async(half, 84).expect("performed"), 42);
    assert_eq!(call_async(async |s: String| s.len(), "abc".to_owned()).expect("performed"), 3);
    call(|()| (), ()).expect("performed");
}

#[test]
fn functions_of_one_signature_are_told_apart() {
    let calls = [ship(|n: u8| n + 1, 1), ship(|n: u8| n + 2, 1)];
    let results =
        calls.map(|call| performed(&call.expect("shipped"), &Here::default()).expect("performed").0);
    assert_eq!(results, [[2], [3]]);
}

#[test]
fn large_bytes_go_there_and_back_without_a_walk() {
    let bytes = vec![3_u8; 32 << 20];
    let place = bytes.as_ptr();
    let call = ship(|bytes: Vec<u8>| bytes, bytes).expect("shipped");
    assert_eq!(call.arg.as_ptr(), place);
    let (out, _) = performed(&call, &Here::default()).expect("performed");
    let place = out.as_ptr();
    let bytes: Vec<u8> = open(out, Names::new()).expect("opened");
    assert_eq!((bytes.len(), bytes.as_ptr()), (32 << 20, place));
}

#[test]
fn a_panic_is_described() {
    install_hook();
    let Err(TaskError::Panicked(panic)) = call(|n: u32| assert_eq!(n, 0, "so wrong"), 1) else {
        panic!("no panic");
    };
    assert!(panic.message.contains("so wrong"));
    assert!(panic.location.expect("known").contains("tests.rs"));
    assert!(
        call_async(async |n: u8| assert!(n > 0, "later"), 0)
            .expect_err("panics")
            .to_string()
            .contains("later")
    );
    let make = |(): ()| -> futures::future::Ready<u8> { panic!("before") };
    assert!(call_async(make, ()).expect_err("panics").to_string().contains("before"));
}

#[test]
fn a_future_that_panics_when_it_is_dropped_is_one_that_panicked() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let make = |(): ()| {
        let grenade = Grenade;
        std::future::poll_fn(move |_| {
            let _ = &grenade;
            std::task::Poll::Ready(1_u8)
        })
    };
    assert!(call_async(make, ()).expect_err("panics").is_panicked());
}

/// Fails or panics where it is told to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Touchy(u8);

const ENCODE_FAILS: Touchy = Touchy(1);
const ENCODE_PANICS: Touchy = Touchy(2);
const DECODE_FAILS: Touchy = Touchy(3);
const DECODE_PANICS: Touchy = Touchy(4);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            ENCODE_FAILS => Err(serde::ser::Error::custom("will not go")),
            ENCODE_PANICS => panic!("cannot go"),
            Touchy(n) => serializer.serialize_u8(n),
        }
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Touchy(u8::deserialize(deserializer)?) {
            DECODE_FAILS => Err(serde::de::Error::custom("will not come")),
            DECODE_PANICS => panic!("cannot come"),
            touchy => Ok(touchy),
        }
    }
}

#[test]
fn arguments_and_results_that_fail() {
    let kinds = |touchy| {
        let there = call(|touchy: Touchy| touchy.0, touchy).expect_err("fails");
        let back = call(|n: u8| Touchy(n), touchy.0).expect_err("fails");
        assert_eq!(there.to_string(), back.to_string());
        there
    };
    assert!(matches!(kinds(ENCODE_FAILS), TaskError::Encode(why) if why.contains("Touchy`: will not go")));
    assert!(matches!(kinds(ENCODE_PANICS), TaskError::Encode(why) if why.contains("cannot go")));
    assert!(matches!(kinds(DECODE_FAILS), TaskError::Decode(why) if why.contains("Touchy`: will not come")));
    assert!(matches!(kinds(DECODE_PANICS), TaskError::Decode(why) if why.contains("cannot come")));
}

#[test]
fn an_unknown_entry_is_refused() {
    let Call { entry, arg, tasks, .. } = ship(double, 1).expect("shipped");
    for entry in [entry + 8, entry + 1, 0, u64::MAX] {
        let error =
            performed(&Call::new(entry, arg.behind(0), tasks), &Here::default()).expect_err("refused");
        assert!(matches!(&error, TaskError::Decode(why) if why.contains("not the same program")), "{error}");
    }
}

#[test]
fn a_future_that_is_stopped_is_dropped() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Drops;
    impl Drop for Drops {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    async fn wait_for_ever((): ()) {
        let _drops = Drops;
        std::future::pending().await
    }
    struct Once;
    impl Around for Once {
        fn is_stopped(&self) -> bool {
            true
        }
        fn is_trimmed(&self) -> bool {
            false
        }
        fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
            futures::executor::block_on(async { assert!(futures::poll!(future).is_pending()) });
            false
        }
    }
    let call = ship_async(wait_for_ever, ()).expect("shipped");
    assert!(perform(call.entry, &call.arg, &mut Vec::new(), &Once).expect_err("stopped").is_cancelled());
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}

fn shown<R: Portable + std::fmt::Debug>(reply: Vec<u8>) -> Vec<String> {
    let Results { results, .. } = open_chunk::<R>(&reply).expect("opened");
    let shown = results.into_iter().map(|result| match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => match *error {
            TaskError::Panicked(panic) => panic.message,
            TaskError::Cancelled => "cancelled".to_owned(),
            error => error.to_string(),
        },
    });
    shown.collect()
}

#[test]
fn each_input_of_a_chunk_fails_alone() {
    let f = |touchy: Touchy| {
        assert!(touchy.0 != 9, "nine");
        if touchy.0 > 10 { Touchy(touchy.0 - 10) } else { touchy }
    };
    let mut inputs: Vec<_> = [0, 1, 2, 3, 4, 5, 9, 11, 12, 13, 14, 10].map(Touchy).into();
    let call = ship_chunk(f, &mut inputs, false).expect("shipped");
    assert_eq!((inputs.len(), call.tasks), (0, 12));
    let (out, counted) = performed(&call, &Here::default()).expect("performed");
    // Two of the results fail only where they are decoded.
    assert_eq!(counted, Counted { completed: 5, failed: 7, cancelled: 0 });
    let shown = shown::<Touchy>(out);
    let parts = [
        "Touchy(0)",
        "will not go",
        "cannot go",
        "will not come",
        "cannot come",
        "Touchy(5)",
        "nine",
        "will not go",
        "cannot go",
        "will not come",
        "cannot come",
        "Touchy(10)",
    ];
    assert_eq!(shown.len(), parts.len());
    for (shown, part) in shown.iter().zip(parts) {
        assert!(shown.contains(part), "{shown}: {part}");
    }
}

#[test]
fn chunks_of_futures_bytes_and_text() {
    let call = ship_chunk_async(half, &mut vec![2, 4, 6], true).expect("shipped");
    let (out, counted) = performed(&call, &Here::default()).expect("performed");
    assert_eq!(counted.completed, 3);
    assert_eq!(shown::<u32>(out), ["1", "2", "3"]);

    let call =
        ship_chunk(|b: Vec<u8>| b, &mut vec![vec![], vec![1; 3], vec![2; 300]], true).expect("shipped");
    let (out, _) = performed(&call, &Here::default()).expect("performed");
    assert_eq!(shown::<Vec<u8>>(out), [vec![], vec![1; 3], vec![2; 300]].map(|b: Vec<u8>| format!("{b:?}")));

    let call = ship_chunk(|s: String| s + "!", &mut vec!["a".to_owned()], true).expect("shipped");
    assert_eq!(shown::<String>(performed(&call, &Here::default()).expect("performed").0), ["\"a!\""]);
}

fn dawdle(n: u32) -> u32 {
    std::thread::sleep(LONG + Duration::from_micros(100));
    n
}

#[test]
fn a_long_chunk_is_cut_and_its_rest_is_a_call() {
    let mut call = ship_chunk(dawdle, &mut vec![1, 2, 3], true).expect("shipped");
    let Bytes::Shared { all, .. } = &call.arg else { panic!("a chunk's inputs are shared") };
    let place = all.as_ptr();
    for n in 1..=3 {
        let (out, counted) = performed(&call, &Here::default()).expect("performed");
        assert_eq!(counted, Counted { completed: 1, failed: 0, cancelled: 0 });
        assert!(open_chunk::<u32>(&out).expect("opened").took > Some(LONG));
        assert_eq!(shown::<u32>(out), [n.to_string()]);
        let rest = rest_of(call.entry, &call.arg, &call.names, 1, 0);
        assert_eq!(rest.as_ref().map(|call| call.tasks), [None, Some(1), Some(2)][3 - n]);
        let Some(rest) = rest else { break };
        assert!(matches!(&rest.arg, Bytes::Shared { all, .. } if all.as_ptr() == place), "nothing is copied");
        call = rest;
    }
    assert!(rest_of(call.entry, &call.arg, &call.names, 2, 0).is_none());
}

#[test]
fn a_chunk_that_may_not_be_cut_is_not() {
    let call = ship_chunk(dawdle, &mut vec![1, 2, 3], false).expect("shipped");
    let (out, _) = performed(&call, &Here::default()).expect("performed");
    assert_eq!(shown::<u32>(out), ["1", "2", "3"]);
}

#[test]
fn large_inputs_go_in_parts_and_so_do_large_results() {
    let mut inputs = vec![vec![0_u8; 400 << 10]; 7];
    let call = ship_chunk(|b: Vec<u8>| b.len(), &mut inputs, true).expect("shipped");
    assert_eq!((call.tasks, inputs.len()), (3, 4));
    let call = ship_chunk(|b: Vec<u8>| b.len(), &mut inputs, false).expect("shipped");
    assert_eq!((call.tasks, inputs.len()), (4, 0));

    let call =
        ship_chunk(|n: usize| vec![0_u8; n], &mut vec![40 << 20, 40 << 20, 1], false).expect("shipped");
    let (out, counted) = performed(&call, &Here::default()).expect("performed");
    assert_eq!(counted.completed, 2);
    assert_eq!(open_chunk::<Vec<u8>>(&out).expect("opened").results.len(), 2);
}

#[test]
fn what_nobody_wants_is_not_begun() {
    for stopped in [true, false] {
        let call = ship_chunk(double, &mut vec![1, 2, 3], true).expect("shipped");
        let here = Here { stopped: stopped.into(), trimmed: (!stopped).into(), ..Here::default() };
        let (out, counted) = performed(&call, &here).expect("performed");
        assert_eq!(counted, Counted { completed: 0, failed: 0, cancelled: 3 });
        assert_eq!(shown::<u32>(out), ["cancelled"; 3]);
    }
    let call = ship_chunk(double, &mut vec![1, 2, 3], false).expect("shipped");
    let here = Here { stops_at: Some(2), ..Here::default() };
    let (out, counted) = performed(&call, &here).expect("performed");
    assert_eq!(counted, Counted { completed: 2, failed: 0, cancelled: 1 });
    assert_eq!(shown::<u32>(out), ["2", "4", "cancelled"]);
}

#[test]
fn a_stopped_chunk_of_futures() {
    let call = ship_chunk_async(half, &mut vec![2, 4], true).expect("shipped");
    let here = Here { stopped: true.into(), ..Here::default() };
    assert_eq!(shown::<u32>(performed(&call, &here).expect("performed").0), ["cancelled"; 2]);
}

#[test]
fn replies_and_inputs_from_someone_out_of_their_mind() {
    let call = ship_chunk(double, &mut vec![1, 2, 3], true).expect("shipped");
    let (reply, _) = performed(&call, &Here::default()).expect("performed");
    for cut in 0..reply.len() {
        if let Ok(Results { results, .. }) = open_chunk::<u32>(&reply[..cut]) {
            assert!(results.len() < 3);
        }
    }
    for byte in 0..=255 {
        for at in 0..reply.len() {
            let mut reply = reply.clone();
            reply[at] = byte;
            let _ = open_chunk::<u32>(&reply);
        }
        for at in 0..call.arg.len() {
            let mut arg = call.arg.to_vec();
            arg[at] = byte;
            let _ = perform(call.entry, &arg, &mut Vec::new(), &Here::default());
            let _ = rest_of(call.entry, &arg.into(), &Names::new(), 2, 0);
        }
    }
    assert!(perform(call.entry, &[], &mut Vec::new(), &Here::default()).is_err());
}

/// Keeps what a worker leaves that dies with its third input.
struct Doomed(std::cell::RefCell<Vec<u8>>);

impl Around for Doomed {
    fn is_stopped(&self) -> bool {
        false
    }

    fn is_trimmed(&self) -> bool {
        false
    }

    fn keep(&self, reply: &[u8]) -> bool {
        *self.0.borrow_mut() = reply.to_vec();
        open_chunk::<u32>(reply).expect("a reply at any time").results.len() < 2
    }

    fn block_on(&self, _: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        false
    }
}

#[test]
fn a_worker_lost_amid_a_chunk_leaves_what_it_did() {
    let call = ship_chunk(double, &mut vec![1, 2, 3, 4], false).expect("shipped");
    let doomed = Doomed(Vec::new().into());
    let mut out = Vec::new();
    perform(call.entry, &call.arg, &mut out, &doomed).expect("performed");
    assert_eq!(shown::<u32>(out), ["2", "4"], "no place for more");
    let kept = doomed.0.into_inner();
    let (reply, counted) =
        lost_in_chunk(&kept, |_| Some(TaskError::Broken("lost".to_owned()))).expect("a reply");
    assert_eq!(counted, Counted { completed: 2, failed: 1, cancelled: 0 });
    assert_eq!(shown::<u32>(reply), ["2", "4", "the pool is broken: lost"]);
    assert_eq!(rest_of(call.entry, &call.arg, &call.names, 3, 0).map(|call| call.tasks), Some(1));
    assert_eq!(lost_in_chunk(&kept, |_| None).expect("a reply").1.completed, 2);
    assert!(lost_in_chunk(&kept[..kept.len() - 1], |_| None).is_none());
    assert!(lost_in_chunk(&[0; 8], |_| None).is_none());
}
