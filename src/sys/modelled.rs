//! Memory that is shared between processes, for models: every word of it is one of loom's, so that what may be seen of it in which
//! order is explored. Owns the same face as `shm` has, and a futex; exists in builds with `cfg(polypool_loom)` only.

use std::{io, os::fd::AsFd, time::Duration};

use loom::sync::{Condvar, Mutex};

pub(crate) use real::{SharedFile, page_size};

use super::sync::{AtomicU32, AtomicU64, Ordering};

#[allow(dead_code, reason = "the rest is what this stands in for")]
#[path = "shm.rs"]
mod real;

const WORD: usize = size_of::<u64>();

/// A piece of memory in which words of 64 and of 32 bits and bytes have places of their own: a place is used as one of them only,
/// but for bytes, which are in words of 64 bits.
#[derive(Debug)]
pub(crate) struct Mapping {
    words: Box<[AtomicU64]>,
    halves: Box<[AtomicU32]>,
}

impl Mapping {
    /// So many bytes, all zero. The fewer, the faster the model.
    pub(crate) fn plain(len: usize) -> Self {
        Self {
            words: (0..len / WORD).map(|_| AtomicU64::new(0)).collect(),
            halves: (0..len / size_of::<u32>()).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    pub(crate) fn new(_: &impl AsFd, _: usize, _: bool) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len() * WORD
    }

    #[allow(dead_code, reason = "the fuzzers ask")]
    pub(crate) fn covers(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len())
    }

    pub(crate) fn word32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(size_of::<u32>()), "a word of 4 bytes cannot be at {at}");
        &self.halves[at / size_of::<u32>()]
    }

    pub(crate) fn word64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(WORD), "a word of 8 bytes cannot be at {at}");
        &self.words[at / WORD]
    }

    /// The rest of the last word is zero then, which is its writer's as well.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        for (n, piece) in bytes.chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            word[..piece.len()].copy_from_slice(piece);
            self.word64(at + n * WORD).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    pub(crate) fn read_into(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let end = out.len() + len;
        for n in 0..len.div_ceil(WORD) {
            out.extend_from_slice(&self.word64(at + n * WORD).load(Ordering::Relaxed).to_le_bytes());
        }
        out.truncate(end);
    }

    pub(crate) fn lent(&self, _: usize, _: usize) -> &[u8] {
        unreachable!("the words of a model cannot be lent as bytes")
    }
}

loom::lazy_static! {
    /// Those who wait for any word: to be woken for another's is allowed.
    static ref FUTEX: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Looks at the word and falls asleep in one step, as the system's does. A model has no clock: who waits in vain waits for ever,
/// which loom reports.
pub(crate) fn wait(word: &AtomicU32, expected: u32, _: Option<Duration>) -> bool {
    let (mutex, condition) = &*FUTEX;
    let guard = super::sync::lock(mutex);
    if word.load(Ordering::SeqCst) == expected {
        drop(condition.wait(guard));
    }
    true
}

pub(crate) fn wake(_: &AtomicU32) {
    let (mutex, condition) = &*FUTEX;
    let _guard = super::sync::lock(mutex);
    condition.notify_all();
}
