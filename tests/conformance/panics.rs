//! Panics in tasks: what is told of them, and that nothing else suffers.

use std::panic::panic_any;

use futures::StreamExt as _;
use futures::future::join_all;
use polypool::{Executor, PanicInfo, TaskError};
use serde::{Deserialize, Serialize};

use crate::rig::Rig;
use crate::work::{double, fail, refuse_odd, yield_now};

topic! { panics:
    Every [
        message_that_is_a_literal,
        message_that_is_formatted,
        payload_that_is_no_text,
        payload_that_panics_when_dropped,
        location_is_that_of_the_panic,
        backtrace_is_there,
        in_an_async_function_before_its_first_await,
        in_an_async_function_after_an_await,
        display_names_message_and_place,
        pool_goes_on,
        many_keep_their_own_messages,
        one_worker_survives_a_hundred,
        inside_a_caught_panic_is_nobodys,
        cause_of_an_earlier_one_is_not_mixed_up,
    ]
    Unattended [
        in_the_drop_of_a_result_that_nobody_takes,
        in_the_drop_of_a_stream_result_that_nobody_takes,
    ]
    Local [
        in_a_spawned_future,
        in_a_closure,
    ]
    Local Unattended [
        in_the_drop_of_a_future_that_is_aborted,
    ]
}

async fn panic_of<R: std::fmt::Debug>(task: polypool::TaskHandle<R>) -> PanicInfo {
    match task.await {
        Err(TaskError::Panicked(info)) => info,
        other => panic!("{other:?} is no panic"),
    }
}

async fn goes_on(pool: &Executor) {
    assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
}

fn literal((): ()) {
    panic!("literal")
}

pub async fn message_that_is_a_literal(rig: Rig) {
    assert_eq!(panic_of(rig.pool(1).submit(literal, ())).await.message, "literal");
}

pub async fn message_that_is_formatted(rig: Rig) {
    assert_eq!(panic_of(rig.pool(1).submit(fail, "formatted".to_owned())).await.message, "formatted");
}

fn number((): ()) {
    panic_any(42_u32)
}

pub async fn payload_that_is_no_text(rig: Rig) {
    let pool = rig.pool(1);
    let info = panic_of(pool.submit(number, ())).await;
    assert!(!info.message.is_empty());
    assert!(info.location.is_some());
    goes_on(&pool).await;
}

/// A value whose drop panics.
#[derive(Debug, Serialize, Deserialize)]
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn grenade((): ()) {
    panic_any(Grenade)
}

pub async fn payload_that_panics_when_dropped(rig: Rig) {
    let pool = rig.pool(1);
    let info = panic_of(pool.submit(grenade, ())).await;
    assert!(!info.message.is_empty());
    goes_on(&pool).await;
}

pub async fn location_is_that_of_the_panic(rig: Rig) {
    const LINE: u32 = line!() + 1;
    let info = panic_of(rig.pool(1).submit(|()| -> () { panic!("here") }, ())).await;
    let location = info.location.unwrap();
    assert!(location.starts_with(&format!("{}:{LINE}:", file!())), "{location}");
}

pub async fn backtrace_is_there(rig: Rig) {
    let info = panic_of(rig.pool(1).submit(fail, "no".to_owned())).await;
    let backtrace = info.backtrace.unwrap();
    assert!(backtrace.contains("conformance::work::fail"), "{backtrace}");
}

pub async fn in_an_async_function_before_its_first_await(rig: Rig) {
    let pool = rig.pool(1);
    let info = panic_of(pool.submit_async(async |message: String| fail(message), "at once".to_owned())).await;
    assert_eq!(info.message, "at once");
    goes_on(&pool).await;
}

pub async fn in_an_async_function_after_an_await(rig: Rig) {
    let pool = rig.pool(1);
    let later = async |message: String| {
        yield_now().await;
        fail(message)
    };
    let info = panic_of(pool.submit_async(later, "later".to_owned())).await;
    assert_eq!(info.message, "later");
    assert!(info.location.unwrap().contains("work.rs:") && info.backtrace.is_some());
    goes_on(&pool).await;
}

pub async fn in_a_spawned_future(rig: Rig) {
    let pool = rig.pool(1);
    let message = "spawned".to_owned();
    assert_eq!(panic_of(pool.spawn(async move { fail(message) })).await.message, "spawned");
    goes_on(&pool).await;
}

pub async fn in_a_closure(rig: Rig) {
    let pool = rig.pool(1);
    let message = "closure".to_owned();
    assert_eq!(panic_of(pool.spawn_blocking(move || fail(message))).await.message, "closure");
    goes_on(&pool).await;
}

pub async fn display_names_message_and_place(rig: Rig) {
    let error = rig.pool(1).submit(fail, "shown".to_owned()).await.unwrap_err();
    assert!(error.is_panicked());
    let text = error.to_string();
    assert!(text.contains("shown") && text.contains("work.rs:"), "{text}");
}

pub async fn pool_goes_on(rig: Rig) {
    let pool = rig.pool(2);
    let results = join_all((0..100).map(|n| pool.submit(refuse_odd, n))).await;
    assert!((0..).zip(results).all(|(n, result)| result.is_ok() == (n % 2 == 0)));
    goes_on(&pool).await;
    let report = pool.shutdown(false).await;
    assert_eq!((report.completed, report.failed, report.cancelled), (51, 50, 0));
}

pub async fn many_keep_their_own_messages(rig: Rig) {
    let pool = rig.pool(4);
    for (n, task) in (0..200).map(|n| (n, pool.submit(fail, n.to_string()))).collect::<Vec<_>>() {
        assert_eq!(panic_of(task).await.message, n.to_string());
    }
}

pub async fn one_worker_survives_a_hundred(rig: Rig) {
    let pool = rig.pool(1);
    for _ in 0..100 {
        assert!(pool.submit_async(async |message: String| fail(message), String::new()).await.is_err());
        assert!(pool.submit(fail, String::new()).await.is_err());
    }
    goes_on(&pool).await;
}

pub async fn inside_a_caught_panic_is_nobodys(rig: Rig) {
    let caught = |message: String| std::panic::catch_unwind(|| fail(message)).is_err();
    assert!(rig.pool(1).submit(caught, "caught".to_owned()).await.unwrap());
}

pub async fn cause_of_an_earlier_one_is_not_mixed_up(rig: Rig) {
    let task = |message: String| -> u64 {
        assert!(std::panic::catch_unwind(|| fail("caught".to_owned())).is_err());
        panic!("{message}, in panics.rs")
    };
    let info = panic_of(rig.pool(1).submit(task, "not caught".to_owned())).await;
    assert_eq!(info.message, "not caught, in panics.rs");
    assert!(info.location.unwrap().contains("panics.rs:"));
}

pub async fn in_the_drop_of_a_result_that_nobody_takes(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    drop(pool.submit(|()| Grenade, ()));
    drop(pool.spawn(async { Grenade }));
    busy.release().await;
    goes_on(&pool).await;
}

pub async fn in_the_drop_of_a_future_that_is_aborted(rig: Rig) {
    let (pool, gate) = (rig.pool(1), rig.gate());
    let task = pool.spawn(async move {
        let _grenade = Grenade;
        gate.pass().await;
    });
    gate.wait_arrivals(1).await;
    task.abort();
    assert_is!(task.await, Err(TaskError::Cancelled));
    goes_on(&pool).await;
}

pub async fn in_the_drop_of_a_stream_result_that_nobody_takes(rig: Rig) {
    let pool = rig.pool(1);
    let busy = rig.occupy(&pool).await;
    let mut results = pool.map(|()| Grenade, [()]).cancel_on_drop(false);
    assert!(futures::poll!(results.next()).is_pending());
    drop(results);
    busy.release().await;
    goes_on(&pool).await;
}
