//! Where things are in the memory that a pool shares with one worker. Both sides are the same program, so both read this.
//!
//! ```text
//! 0        words, each on a cache line of its own, written by one side (but for the claims)
//! 1024     claims: one word per call on its way
//! 4096     calls, a ring
//! 4096+N   replies, a ring
//! 4096+2N  what is done of a chunk
//! ```

use super::ring::Place;
use crate::sys::{
    crash::LONGEST,
    shm::Mapping,
    sync::{AtomicU32, AtomicU64, Ordering, fence},
};

/// Arguments and results of this size and more go through an arena and not through a ring.
pub(crate) const LARGE: usize = 64 << 10;

/// The size of a ring. Two frames of almost `LARGE` bytes fit, so that no frame is too large for an empty ring.
const RING: usize = 256 << 10;

const HEAD: usize = 4096;

/// The size of all of it.
pub(crate) const SIZE: usize = REPORT + LONGEST;

/// Where the reply to a chunk is kept as far as it has come, in case its worker is lost.
pub(crate) const DONE: usize = HEAD + 2 * RING;
pub(crate) const DONE_SIZE: usize = 64 << 10;

/// Where a worker that dies of a fault says so.
pub(crate) const REPORT: usize = DONE + DONE_SIZE;

/// How many calls may be on their way to a worker.
pub(crate) const MOST_SENT: usize = 256;

const CLAIMS: usize = 1024;

pub(crate) const CALLS: Place = Place { tail: 0, head: 128, data: HEAD, size: RING };
pub(crate) const REPLIES: Place = Place { tail: 256, head: 384, data: HEAD + RING, size: RING };

/// 1 while the worker sleeps: a futex.
pub(crate) fn asleep(memory: &Mapping) -> &AtomicU32 {
    memory.word32(512)
}

/// For the worker: announces that it sleeps. False when there is something for it after all, and it is to look again.
///
/// The worker: 1. stores `asleep`; 2. a fence; 3. reads the tail of the calls, in `is_idle`. The pool, in [`rouse`]: 1. the tail is
/// stored; 2. a fence; 3. `asleep` is read. One of the two sees the other. Both sides swap, which costs no more than such a store:
/// models know one order of swaps alone.
pub(crate) fn lie_down(memory: &Mapping, is_idle: impl FnOnce() -> bool) -> bool {
    asleep(memory).swap(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let is_idle = is_idle();
    if !is_idle {
        get_up(memory);
    }
    is_idle
}

/// For the worker: it sleeps no more.
pub(crate) fn get_up(memory: &Mapping) {
    asleep(memory).swap(0, Ordering::SeqCst);
}

/// For the pool, when there is something new: true when the worker sleeps, and is to be woken by who asks.
pub(crate) fn rouse(memory: &Mapping) -> bool {
    take_mark(asleep(memory))
}

/// 1 when the pool wants its bell rung for the next reply.
pub(crate) fn armed(memory: &Mapping) -> &AtomicU32 {
    memory.word32(640)
}

/// For the pool: asks for the bell. False when there is a reply already. The same as [`lie_down`], with the sides changed.
pub(crate) fn arm(memory: &Mapping, is_idle: impl FnOnce() -> bool) -> bool {
    armed(memory).swap(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let is_idle = is_idle();
    if !is_idle {
        disarm(memory);
    }
    is_idle
}

pub(crate) fn disarm(memory: &Mapping) {
    armed(memory).swap(0, Ordering::SeqCst);
}

/// For the worker, when there is a new reply: true when it is to ring the bell.
pub(crate) fn wants_bell(memory: &Mapping) -> bool {
    take_mark(armed(memory))
}

/// Takes a mark that the other side sets before it looks for what was stored here before this.
fn take_mark(mark: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    mark.load(Ordering::Relaxed) == 1 && mark.swap(0, Ordering::SeqCst) == 1
}

/// The ticket of the call that is asked to stop; of the one whose waiting inputs nobody wants.
pub(crate) fn stop(memory: &Mapping) -> &AtomicU64 {
    memory.word64(768)
}

pub(crate) fn trim(memory: &Mapping) -> &AtomicU64 {
    memory.word64(776)
}

/// 1 while the pool has not yet copied the large reply: a futex.
pub(crate) fn reply_held(memory: &Mapping) -> &AtomicU32 {
    memory.word32(896)
}

/// 1 when the worker is to end between two calls.
pub(crate) fn leave(memory: &Mapping) -> &AtomicU32 {
    memory.word32(900)
}

/// How many workers the pool may have now.
pub(crate) fn size(memory: &Mapping) -> &AtomicU64 {
    memory.word64(920)
}

/// How much is kept of the reply to the call with the ticket beside it.
pub(crate) fn done_len(memory: &Mapping) -> &AtomicU64 {
    memory.word64(904)
}

pub(crate) fn done_ticket(memory: &Mapping) -> &AtomicU64 {
    memory.word64(912)
}

/// 1 when the pool knows that there are new records of the task, and has not looked yet.
pub(crate) fn logged(memory: &Mapping) -> &AtomicU32 {
    memory.word32(928)
}

/// Who has a call that is on its way. The word changes from `sent` once: to `taken` by the worker, or to `withdrawn` by the
/// pool. It carries the ticket, so that a word that is used again is not taken for an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim(u64);

impl Claim {
    const SENT: u64 = 1;
    const TAKEN: u64 = 2;
    const WITHDRAWN: u64 = 3;

    pub(crate) fn of(ticket: u64) -> Self {
        Self(ticket)
    }

    fn word(self, memory: &Mapping) -> &AtomicU64 {
        memory.word64(CLAIMS + (self.0 as usize % MOST_SENT) * 8)
    }

    fn with(self, state: u64) -> u64 {
        self.0 << 2 | state
    }

    pub(crate) fn send(self, memory: &Mapping) {
        self.word(memory).store(self.with(Self::SENT), Ordering::Release);
    }

    fn change(self, memory: &Mapping, to: u64) -> bool {
        let word = self.word(memory);
        word.compare_exchange(self.with(Self::SENT), self.with(to), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// For the worker; true when the call is to be performed.
    pub(crate) fn take(self, memory: &Mapping) -> bool {
        self.change(memory, Self::TAKEN)
    }

    /// For the pool; true when the call will never be performed.
    pub(crate) fn withdraw(self, memory: &Mapping) -> bool {
        self.change(memory, Self::WITHDRAWN)
    }

    pub(crate) fn is_taken(self, memory: &Mapping) -> bool {
        self.word(memory).load(Ordering::Acquire) == self.with(Self::TAKEN)
    }

    pub(crate) fn is_sent(self, memory: &Mapping) -> bool {
        self.word(memory).load(Ordering::Acquire) == self.with(Self::SENT)
    }
}

/// In the third word of a call: what it writes is captured, in files that were sent before.
pub(crate) const CAPTURED: u64 = 1 << 63;

/// In the same word, from this bit on: how many bytes follow the argument, or stand in its place where that is elsewhere, that say
/// where the call comes from.
pub(crate) const ORIGIN: u32 = 40;

/// So many at most.
pub(crate) const MOST_ORIGIN: usize = (1 << 12) - 1;

/// The word of a call that says for how many tasks it stands, taken apart: their number, whether it is captured, and the length
/// of its origin.
pub(crate) fn tasks_word(word: u64) -> (u64, bool, usize) {
    let origin = (word >> ORIGIN) as usize & MOST_ORIGIN;
    (word & ((1 << ORIGIN) - 1), word & CAPTURED != 0, origin)
}

/// In the second word of a reply: there are messages on the socket that come before it.
pub(crate) const SAID: u64 = 1 << 63;

/// What a frame is. The words of a call are the function's entry and, for a large one, the length of its argument; those of a
/// reply are the counts of the tasks and, for a large one, the length of the result.
pub(crate) mod kind {
    pub(crate) const CALL: u8 = 1;
    pub(crate) const LARGE_CALL: u8 = 2;
    pub(crate) const DONE: u8 = 3;
    pub(crate) const LARGE_DONE: u8 = 4;
    /// The payload is a [`TaskError`](crate::error::TaskError).
    pub(crate) const FAILED: u8 = 5;
    pub(crate) const LARGE_FAILED: u8 = 6;
}
