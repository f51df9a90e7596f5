//! The rings between two processes, and the two marks by which each side lets itself be woken.

use std::sync::Arc;

use super::{Condvar, Mutex, explore, memory, thread};
use crate::{
    sys::shm::{self, Mapping},
    wire::{
        layout,
        ring::{Frame, Place, Reader, Writer},
    },
};

/// Room for two frames of a word, so that the third begins anew behind padding.
const PLACE: Place = Place { tail: 0, head: 128, data: 1024, size: 128 };

fn frame(n: u64) -> Frame {
    Frame { kind: 1, ticket: n, words: [n + 100, n + 200, n + 300] }
}

fn push(writer: &mut Writer, n: u64) {
    let payload = [n as u8 + 1; 8];
    while !writer.push(frame(n), &payload).expect("an honest reader") {
        // A worker sleeps a millisecond here.
        thread::yield_now();
    }
}

fn check(memory: &Mapping, reader: &mut Reader, n: u64) -> bool {
    let Some((got, at, len)) = reader.peek().expect("an honest writer") else { return false };
    let mut payload = Vec::new();
    memory.read_into(at, len, &mut payload);
    assert_eq!((got, payload), (frame(n), vec![n as u8 + 1; 8]), "whole, and in order");
    reader.consume(len);
    true
}

/// *Whole, in order, and not slept through.* A worker reads what the pool writes, sleeps when there is nothing, and is woken when
/// there is, also when the ring has come round.
#[cfg_attr(test, test)]
pub fn calls_arrive_and_wake_a_sleeping_worker() {
    explore(3, || {
        let memory = Arc::new(memory(PLACE.data + PLACE.size));
        let worker = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let mut reader = Reader::new(Arc::clone(&memory), PLACE);
                for n in 0..3 {
                    while !check(&memory, &mut reader, n) {
                        if layout::lie_down(&memory, || reader.is_empty()) {
                            shm::wait(layout::asleep(&memory), 1, None);
                            layout::get_up(&memory);
                        }
                    }
                }
            }
        });
        let mut writer = Writer::new(Arc::clone(&memory), PLACE);
        for n in 0..3 {
            push(&mut writer, n);
            if layout::rouse(&memory) {
                shm::wake(layout::asleep(&memory));
            }
        }
        worker.join().expect("a worker");
    });
}

/// *A bell for the next reply.* A pool that asked for the bell and then saw no reply hears it.
#[cfg_attr(test, test)]
pub fn replies_ring_the_bell_of_a_pool_that_waits() {
    explore(3, || {
        let memory = Arc::new(memory(PLACE.data + PLACE.size));
        // An eventfd.
        let bell = Arc::new((Mutex::new(false), Condvar::new()));
        let worker = thread::spawn({
            let (memory, bell) = (Arc::clone(&memory), Arc::clone(&bell));
            move || {
                let mut writer = Writer::new(Arc::clone(&memory), PLACE);
                for n in 0..2 {
                    push(&mut writer, n);
                    if layout::wants_bell(&memory) {
                        *bell.0.lock().expect("the bell") = true;
                        bell.1.notify_all();
                    }
                }
            }
        });
        let mut reader = Reader::new(Arc::clone(&memory), PLACE);
        for n in 0..2 {
            while !check(&memory, &mut reader, n) {
                if layout::arm(&memory, || reader.is_empty()) {
                    let mut has_rung = bell.0.lock().expect("the bell");
                    while !*has_rung {
                        has_rung = bell.1.wait(has_rung).expect("the bell");
                    }
                    *has_rung = false;
                }
            }
        }
        worker.join().expect("a worker");
    });
}
