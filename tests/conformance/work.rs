//! The functions that the tests ship. They capture nothing and take all they need, gates included, as their argument.

use polypool::worker;

use crate::gate::Gate;

/// A gate, and the number by which the test knows the task.
pub type Call = (Gate, u64);

pub fn double(value: u64) -> u64 {
    value * 2
}

pub async fn double_async(value: u64) -> u64 {
    value * 2
}

/// Notes that it ran.
pub fn mark((gate, value): Call) -> u64 {
    gate.note(value);
    value
}

pub async fn mark_async(call: Call) -> u64 {
    mark(call)
}

/// Runs until the gate lets it by, then notes that it came to its end.
pub fn hold((gate, value): Call) -> u64 {
    gate.pass_blocking();
    mark((gate, value))
}

pub async fn hold_async((gate, value): Call) -> u64 {
    gate.pass().await;
    mark((gate, value))
}

/// Steps inside the gate for a few turns, so that too many at once are seen there.
pub fn dwell(gate: Gate) {
    let _inside = gate.enter();
    (0..20).for_each(|_| std::thread::yield_now());
}

pub async fn dwell_async(gate: Gate) {
    let _inside = gate.enter();
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Runs until it is asked to stop, then notes that it heard.
pub fn run_until_asked_to_stop((gate, value): Call) -> u64 {
    let _arrival = futures::FutureExt::now_or_never(gate.pass());
    while !worker::is_cancelled() {
        std::thread::yield_now();
    }
    mark((gate, value))
}

/// Panics with the message.
pub fn fail(message: String) -> u64 {
    panic!("{message}")
}

/// Panics where the value is odd.
pub fn refuse_odd(value: u64) -> u64 {
    assert!(value.is_multiple_of(2), "{value} is odd");
    value
}

/// Lets every other future of the same runtime have a turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
