//! A ring of frames in shared memory, with one writer and one reader. Owns the index arithmetic and the checks; who sleeps and
//! who is woken is the link's.
//!
//! `tail` counts the bytes ever written and `head` those ever read; each is stored by one side alone, after the bytes that it
//! speaks of (release) and read before them (acquire). A side keeps its own count to itself and never reads it back from the
//! shared memory. What it reads of the other side's is checked: more than a ring's worth between the two is no count.
//!
//! A frame is [`WORDS`] words and a payload, padded to whole words, in one piece: one that does not fit before the end of the
//! ring begins at its start, behind a frame of kind [`PAD`].

use std::sync::Arc;

use crate::sys::{
    shm::Mapping,
    sync::{AtomicU64, Ordering},
};

/// Where a ring is in its memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) tail: usize,
    pub(crate) head: usize,
    pub(crate) data: usize,
    /// A multiple of 8.
    pub(crate) size: usize,
}

const WORDS: usize = 5;
const HEAD: usize = WORDS * 8;

/// The kind of a frame that is skipped.
const PAD: u8 = 0;

/// The head of a frame. What the words mean depends on the kind, which is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) ticket: u64,
    pub(crate) words: [u64; 3],
}

/// What was read makes no sense: the other side is out of its mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonsense;

fn padded(len: usize) -> usize {
    HEAD + len.next_multiple_of(8)
}

pub(crate) struct Writer {
    memory: Arc<Mapping>,
    place: Place,
    tail: u64,
    /// The head as it was last seen.
    head: u64,
}

impl Writer {
    pub(crate) fn new(memory: Arc<Mapping>, place: Place) -> Self {
        Self { memory, place, tail: 0, head: 0 }
    }

    fn free(&mut self) -> Result<usize, Nonsense> {
        let head = self.memory.word64(self.place.head).load(Ordering::Acquire);
        let used =
            self.tail.checked_sub(head).filter(|used| *used <= self.place.size as u64).ok_or(Nonsense)?;
        // Not before it was checked: `push` reckons with it.
        self.head = head;
        Ok(self.place.size - used as usize)
    }

    /// Appends a frame; false when there is no room for it now.
    pub(crate) fn push(&mut self, frame: Frame, payload: &[u8]) -> Result<bool, Nonsense> {
        let len = padded(payload.len());
        let at = (self.tail % self.place.size as u64) as usize;
        let to_end = self.place.size - at;
        let skip = if len <= to_end { 0 } else { to_end };
        let known = self.place.size - (self.tail - self.head) as usize;
        if skip + len > known && skip + len > self.free()? {
            return Ok(false);
        }
        if skip > 0 {
            // The rest of the ring is a whole number of words, and the first says that it is padding.
            self.word(at).store(u64::from(PAD), Ordering::Relaxed);
        }
        let at = if skip > 0 { 0 } else { at };
        self.word(at).store((payload.len() as u64) << 8 | u64::from(frame.kind), Ordering::Relaxed);
        self.word(at + 8).store(frame.ticket, Ordering::Relaxed);
        for (n, word) in frame.words.into_iter().enumerate() {
            self.word(at + 16 + 8 * n).store(word, Ordering::Relaxed);
        }
        self.memory.write(self.place.data + at + HEAD, payload);
        self.tail += (skip + len) as u64;
        self.memory.word64(self.place.tail).store(self.tail, Ordering::Release);
        Ok(true)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        self.memory.word64(self.place.data + at)
    }
}

pub(crate) struct Reader {
    memory: Arc<Mapping>,
    place: Place,
    head: u64,
    /// The tail as it was last seen.
    tail: u64,
}

impl Reader {
    pub(crate) fn new(memory: Arc<Mapping>, place: Place) -> Self {
        Self { memory, place, head: 0, tail: 0 }
    }

    /// Is there nothing to read?
    pub(crate) fn is_empty(&self) -> bool {
        self.tail == self.head && self.memory.word64(self.place.tail).load(Ordering::Acquire) == self.head
    }

    /// Looks at the next frame, if there is one, and where its payload is in the memory.
    pub(crate) fn peek(&mut self) -> Result<Option<(Frame, usize, usize)>, Nonsense> {
        loop {
            if self.tail == self.head {
                self.tail = self.memory.word64(self.place.tail).load(Ordering::Acquire);
                if self.tail == self.head {
                    return Ok(None);
                }
            }
            let ready = self.tail.checked_sub(self.head).ok_or(Nonsense)?;
            if ready > self.place.size as u64 || ready % 8 != 0 {
                return Err(Nonsense);
            }
            let at = (self.head % self.place.size as u64) as usize;
            let to_end = self.place.size - at;
            let first = self.word(at);
            let kind = first as u8;
            if kind == PAD {
                // Nobody skips a whole ring; and who did so again and again would keep us here.
                if to_end as u64 > ready || at == 0 {
                    return Err(Nonsense);
                }
                self.advance(to_end);
                continue;
            }
            let len = usize::try_from(first >> 8).map_err(|_| Nonsense)?;
            if len > self.place.size || padded(len) > to_end || padded(len) as u64 > ready {
                return Err(Nonsense);
            }
            let words = [self.word(at + 16), self.word(at + 24), self.word(at + 32)];
            let frame = Frame { kind, ticket: self.word(at + 8), words };
            return Ok(Some((frame, self.place.data + at + HEAD, len)));
        }
    }

    /// Done with the frame that `peek` gave, whose payload was so long.
    pub(crate) fn consume(&mut self, len: usize) {
        self.advance(padded(len));
    }

    fn advance(&mut self, by: usize) {
        self.head += by as u64;
        self.memory.word64(self.place.head).store(self.head, Ordering::Release);
    }

    fn word(&self, at: usize) -> u64 {
        self.memory.word64(self.place.data + at).load(Ordering::Relaxed)
    }
}
