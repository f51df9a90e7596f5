//! What a worker process does all day: it takes a call, performs it, and replies. Owns the loop and its sleep.

use std::{
    cell::Cell,
    future::Future,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    task::Poll,
    time::{Duration, Instant},
};

use super::{capture::Capture, here::Here, start::depart};
use crate::{
    error::TaskError,
    function::{Around, Counted, perform, spare},
    runtime::Home,
    sys::{
        process::{exit_now, ring, was_forked},
        shm::{self, Mapping},
    },
    wire::{
        arena::Arena,
        layout::{self, CALLS, CAPTURED, Claim, LARGE, REPLIES, kind},
        ring::{Frame, Reader, Writer},
    },
};

/// How long a worker looks for the next call before it sleeps, where that is asked for.
const SPIN: Duration = Duration::from_micros(20);

/// After so many calls without a large result, the buffer for it is given back.
const FORGET_AFTER: u32 = 16;

/// A buffer that was larger is given back.
const KEEP: usize = 1 << 20;

/// What was read makes no sense, or nobody can be told of the result. The pool counts the worker as lost.
const CONFUSED: i32 = 122;

pub(super) struct Serve {
    here: &'static Here,
    memory: Arc<Mapping>,
    /// The same, for reading: arguments are read where they are.
    arguments_inline: Mapping,
    calls: Reader,
    replies: Writer,
    arguments: Arena,
    results: Arena,
    bell: OwnedFd,
    home: Home,
    max_payload: Option<u64>,
    spins: bool,
    out: Vec<u8>,
    /// Calls since one had a large result.
    since_large: u32,
}

impl Serve {
    #[allow(clippy::too_many_arguments, reason = "called once, where all of it is put together")]
    pub(super) fn new(
        here: &'static Here,
        memory: Arc<Mapping>,
        arguments_inline: Mapping,
        arguments: Arena,
        results: Arena,
        bell: OwnedFd,
        home: Home,
        max_payload: Option<u64>,
        spins: bool,
    ) -> Self {
        Self {
            here,
            calls: Reader::new(Arc::clone(&memory), CALLS),
            replies: Writer::new(Arc::clone(&memory), REPLIES),
            memory,
            arguments_inline,
            arguments,
            results,
            bell,
            home,
            max_payload,
            spins,
            out: Vec::new(),
            since_large: 0,
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
        let (tasks, is_captured) = (tasks & !CAPTURED, tasks & CAPTURED != 0);
        self.out.clear();
        let Self { here, memory, arguments_inline, arguments, home, out, .. } = self;
        let capture = is_captured.then(|| Capture::begin(here, frame.ticket)).flatten();
        here.begin(frame.ticket);
        let is_chunk = tasks > 1;
        if is_chunk {
            layout::done_len(memory).store(0, Ordering::Release);
            layout::done_ticket(memory).store(frame.ticket, Ordering::Release);
        }
        let around = Surroundings { here, home, memory, kept: Cell::new(0), is_chunk };
        let done = match frame.kind {
            kind::CALL => perform(entry, arguments_inline.lent(at, len), out, &around),
            kind::LARGE_CALL => match arguments.lend(size) {
                Ok(arg) => perform(entry, arg, out, &around),
                Err(error) => Err(TaskError::Decode(format!("an argument of {size} bytes: {error}"))),
            },
            _ => exit_now(CONFUSED),
        };
        if was_forked() {
            // This is a child of the worker that came back from the task. The task's worker replies.
            exit_now(0);
        }
        here.end();
        if let Some(capture) = capture {
            capture.end();
        }
        let done = match (done, self.max_payload) {
            (Ok(_), Some(limit)) if self.out.len() as u64 > limit => {
                Err(TaskError::TooLarge { size: self.out.len() as u64, limit })
            }
            (done, _) => done,
        };
        let (tally, has_failed) = match done {
            Ok(tally) => (tally, false),
            Err(error) => {
                self.out = postcard::to_stdvec(&error).unwrap_or_default();
                (Counted { failed: u32::try_from(tasks).unwrap_or(u32::MAX), ..Counted::default() }, true)
            }
        };
        self.reply(frame.ticket, tally, has_failed);
        self.since_large = self.since_large.saturating_add(1);
        if self.since_large == FORGET_AFTER {
            spare::forget();
        }
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
    }

    fn reply(&mut self, ticket: u64, tally: Counted, has_failed: bool) {
        let len = self.out.len();
        let mut is_large = len >= LARGE;
        let mut has_failed = has_failed;
        if is_large {
            let held = layout::reply_held(&self.memory);
            while held.load(Ordering::SeqCst) == 1 {
                shm::wait(held, 1, None);
            }
            match self.results.put(&self.out) {
                Ok(()) => {
                    held.store(1, Ordering::SeqCst);
                    // The next large argument goes there.
                    spare::keep(std::mem::take(&mut self.out));
                    self.since_large = 0;
                }
                Err(error) => {
                    let error =
                        TaskError::Encode(format!("no shared memory for a result of {len} bytes: {error}"));
                    self.out = postcard::to_stdvec(&error).unwrap_or_default();
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
        let said = if self.here.upstream.flush() { layout::SAID } else { 0 };
        let counts = u64::from(tally.completed) | u64::from(tally.failed) << 32;
        let frame = Frame { kind, ticket, words: [counts, u64::from(tally.cancelled) | said, len as u64] };
        loop {
            let payload: &[u8] = if is_large { &[] } else { &self.out };
            match self.replies.push(frame, payload) {
                Ok(true) => break,
                Ok(false) => self.wait_for_room(),
                Err(_) => exit_now(CONFUSED),
            }
        }
        self.ring();
    }

    /// Rings the pool's bell if it wants that. See [`layout::armed`].
    fn ring(&self) {
        fence(Ordering::SeqCst);
        let armed = layout::armed(&self.memory);
        if armed.load(Ordering::Relaxed) == 1
            && armed.swap(0, Ordering::SeqCst) == 1
            && ring(&self.bell).is_err()
        {
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

    fn sleep(&self) {
        if self.spins {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                if !self.calls.is_empty() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let asleep = layout::asleep(&self.memory);
        asleep.store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let is_awaited = layout::leave(&self.memory).load(Ordering::SeqCst) == 0 && self.calls.is_empty();
        if is_awaited {
            shm::wait(asleep, 1, None);
        }
        asleep.store(0, Ordering::SeqCst);
    }
}

/// What a function may ask while it is performed.
struct Surroundings<'a> {
    here: &'a Here,
    home: &'a Home,
    memory: &'a Mapping,
    /// How much of the reply to a chunk is kept already.
    kept: Cell<usize>,
    is_chunk: bool,
}

impl Around for Surroundings<'_> {
    fn is_stopped(&self) -> bool {
        self.here.is_stopped()
    }

    fn is_trimmed(&self) -> bool {
        self.here.is_trimmed()
    }

    fn keep(&self, reply: &[u8]) -> bool {
        let kept = self.kept.get();
        if !self.is_chunk {
            return true;
        }
        if reply.len() > layout::DONE_SIZE || kept > reply.len() {
            return false;
        }
        self.memory.write(layout::DONE + kept, &reply[kept..]);
        layout::done_len(self.memory).store(reply.len() as u64, Ordering::Release);
        self.kept.set(reply.len());
        true
    }

    fn block_on(&self, mut future: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        let mut mine = None;
        let mut stopped = false;
        let until_stopped = std::future::poll_fn(|cx| {
            if self.here.poll_stopped(&mut mine, cx).is_ready() {
                stopped = true;
                return Poll::Ready(());
            }
            future.as_mut().poll(cx)
        });
        self.home.block_on(std::pin::pin!(until_stopped));
        !stopped
    }
}
