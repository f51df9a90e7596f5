//! The functions that the tests ship.

use std::process::{Command, Stdio};

use polypool::worker;

use crate::gate::Gate;

/// A gate, and the number by which the test knows the task.
pub type Call = (Gate, u64);

pub fn double(value: u64) -> u64 {
    value * 2
}

pub fn pid((): ()) -> u32 {
    std::process::id()
}

/// Notes that it ran.
pub fn mark((gate, value): Call) -> u64 {
    gate.note(value);
    value
}

/// Says who it is, and runs until the gate lets it by.
pub fn hold(gate: Gate) -> u32 {
    gate.note(u64::from(std::process::id()));
    gate.pass_blocking();
    std::process::id()
}

/// Says who it is, and waits until the gate lets it by.
pub async fn hold_async(gate: Gate) -> u32 {
    gate.note(u64::from(std::process::id()));
    gate.pass().await;
    std::process::id()
}

/// Says who it is, and runs for ever, deaf to everything.
pub fn spin_for_ever(gate: Gate) {
    gate.note(u64::from(std::process::id()));
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// Starts a program that runs for ever, and says which.
pub fn start_sleeper() -> u32 {
    Command::new("sleep")
        .arg("100000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is `sleep`")
        .id()
}

/// Says who it is and which program it has started, and runs until the gate lets it by.
pub fn hold_with_a_child(gate: Gate) {
    gate.note(u64::from(start_sleeper()));
    hold(gate);
}

/// Runs until it is asked to stop, and notes that it heard.
pub fn listen((gate, value): Call) -> u32 {
    gate.arrive();
    while !worker::is_cancelled() {
        std::thread::yield_now();
    }
    gate.note(value);
    std::process::id()
}

pub fn abort((): ()) -> u64 {
    std::process::abort()
}

/// Ends its process with the code, or goes on where that is negative.
pub fn exit_or_go_on(code: i32) -> i32 {
    if code < 0 { code } else { std::process::exit(code) }
}

pub fn echo<T>(value: T) -> T {
    value
}

/// Bytes that differ from their neighbours, so that a shift shows.
pub fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}
