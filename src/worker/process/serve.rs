//! What a worker process does all day: it takes a call out of a ring, has it performed, and replies. Owns the loop and its sleep.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    perform::{Bench, Keeper, Work, origin},
    start::{CONFUSED, depart},
};
use crate::{
    error::TaskError,
    function::Counted,
    sys::{
        process::{exit_now, ring},
        shm::{self, Mapping},
    },
    wire::{
        arena::Arena,
        layout::{self, CALLS, Claim, LARGE, REPLIES, kind, tasks_word},
        ring::{Frame, Reader, Writer},
    },
};

/// How long a large buffer is kept without work.
const COOLING: Duration = Duration::from_secs(1);

/// How long a worker looks for the next call before it sleeps, where that is asked for.
const SPIN: Duration = Duration::from_micros(20);

pub(super) struct Serve {
    bench: Bench,
    memory: Arc<Mapping>,
    /// The same, for reading: arguments are read where they are.
    arguments_inline: Mapping,
    calls: Reader,
    replies: Writer,
    arguments: Arena,
    results: Arena,
    bell: OwnedFd,
    spins: bool,
}

impl Serve {
    pub(super) fn new(
        bench: Bench,
        memory: Arc<Mapping>,
        arguments_inline: Mapping,
        arguments: Arena,
        results: Arena,
        bell: OwnedFd,
        spins: bool,
    ) -> Self {
        Self {
            bench,
            calls: Reader::new(Arc::clone(&memory), CALLS),
            replies: Writer::new(Arc::clone(&memory), REPLIES),
            memory,
            arguments_inline,
            arguments,
            results,
            bell,
            spins,
        }
    }

    pub(super) fn run(mut self) -> ! {
        loop {
            match self.calls.peek() {
                Ok(Some((frame, at, len))) => {
                    if Claim::of(frame.ticket).take(&self.memory) {
                        self.perform(frame, at, len);
                    }
                    self.calls.consume(len);
                }
                Ok(None) if layout::leave(&self.memory).load(Ordering::SeqCst) == 1 => depart(),
                Ok(None) => self.sleep(),
                Err(_) => exit_now(CONFUSED),
            }
        }
    }

    fn perform(&mut self, frame: Frame, at: usize, len: usize) {
        let [entry, size, tasks] = frame.words;
        let (tasks, is_captured, origin_len) = tasks_word(tasks);
        // The rest is the argument, if it is not elsewhere.
        let Some(arg_len) = len.checked_sub(origin_len) else { exit_now(CONFUSED) };
        let Self { bench, memory, arguments_inline, arguments, .. } = self;
        if tasks > 1 {
            layout::done_len(memory).store(0, Ordering::Release);
            layout::done_ticket(memory).store(frame.ticket, Ordering::Release);
        }
        let arg = match frame.kind {
            kind::CALL => Ok(arguments_inline.lent(at, arg_len)),
            kind::LARGE_CALL => arguments
                .lend(size)
                .map_err(|error| TaskError::Decode(format!("an argument of {size} bytes: {error}"))),
            _ => exit_now(CONFUSED),
        };
        let origin = origin(arguments_inline.lent(at + arg_len, origin_len));
        let work = Work { ticket: frame.ticket, entry, tasks, is_captured, origin };
        let (tally, has_failed) = bench.perform(work, arg, &Done { memory, ticket: frame.ticket });
        self.reply(frame.ticket, tally, has_failed);
        self.bench.tidy();
    }

    fn reply(&mut self, ticket: u64, tally: Counted, has_failed: bool) {
        let len = self.bench.out.len();
        let mut is_large = len >= LARGE;
        let mut has_failed = has_failed;
        if is_large {
            let held = layout::reply_held(&self.memory);
            while held.load(Ordering::SeqCst) == 1 {
                shm::wait(held, 1, None);
            }
            match self.results.put(&self.bench.out) {
                Ok(()) => {
                    held.store(1, Ordering::SeqCst);
                    self.bench.recycle();
                }
                Err(error) => {
                    let error =
                        TaskError::Encode(format!("no shared memory for a result of {len} bytes: {error}"));
                    self.bench.out = postcard::to_stdvec(&error).unwrap_or_default();
                    is_large = false;
                    has_failed = true;
                }
            }
        }
        let kind = match (has_failed, is_large) {
            (false, false) => kind::DONE,
            (false, true) => kind::LARGE_DONE,
            (true, false) => kind::FAILED,
            (true, true) => kind::LARGE_FAILED,
        };
        // What the task has said is read before its reply.
        let said = if self.bench.here.upstream.flush() { layout::SAID } else { 0 };
        let counts = u64::from(tally.completed) | u64::from(tally.failed) << 32;
        let frame = Frame { kind, ticket, words: [counts, u64::from(tally.cancelled) | said, len as u64] };
        loop {
            let payload: &[u8] = if is_large { &[] } else { &self.bench.out };
            match self.replies.push(frame, payload) {
                Ok(true) => break,
                Ok(false) => self.wait_for_room(),
                Err(_) => exit_now(CONFUSED),
            }
        }
        self.ring();
    }

    /// Rings the pool's bell if it wants that.
    fn ring(&self) {
        if layout::wants_bell(&self.memory) && ring(&self.bell).is_err() {
            // A task closed it.
            exit_now(CONFUSED);
        }
    }

    /// The ring of replies is full, and the pool takes them out.
    fn wait_for_room(&self) {
        self.ring();
        let asleep = layout::asleep(&self.memory);
        asleep.store(1, Ordering::SeqCst);
        // It is woken for new calls as well, and the pool may have made room before: so it looks again soon in any case.
        shm::wait(asleep, 1, Some(Duration::from_millis(1)));
        asleep.store(0, Ordering::SeqCst);
    }

    fn sleep(&mut self) {
        if self.spins {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                if !self.calls.is_empty() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let is_idle = || layout::leave(&self.memory).load(Ordering::SeqCst) == 0 && self.calls.is_empty();
        if layout::lie_down(&self.memory, is_idle) {
            let patience = self.bench.is_warm().then_some(COOLING);
            let was_woken = shm::wait(layout::asleep(&self.memory), 1, patience);
            layout::get_up(&self.memory);
            if !was_woken {
                self.bench.cool_down();
            }
        }
    }
}

/// The place for what is done of a chunk.
struct Done<'a> {
    memory: &'a Mapping,
    ticket: u64,
}

impl Keeper for Done<'_> {
    fn is_trimmed(&self) -> bool {
        layout::trim(self.memory).load(Ordering::Relaxed) == self.ticket
    }

    fn keep(&self, from: usize, reply: &[u8]) -> bool {
        if reply.len() > layout::DONE_SIZE {
            return false;
        }
        self.memory.write(layout::DONE + from, &reply[from..]);
        layout::done_len(self.memory).store(reply.len() as u64, Ordering::Release);
        true
    }
}
