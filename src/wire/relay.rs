//! Frames between a pool and the agent of a worker that is elsewhere. Owns their format and its checks; reading and writing is the
//! caller's.
//!
//! A frame is the length of its payload (four bytes, little endian), its kind (one byte), and the payload. What the frames carry is
//! what passes between a pool and a worker on this machine that it reaches by sockets:
//!
//! - the bytes of the socket for messages ([`to_agent::CONTROL`], [`to_pool::CONTROL`]). Where a file travels beside a message, its
//!   content goes before, in pieces, and the message begins a frame;
//! - the bytes of the socket for calls, of which the first of a call and the first of a reply are told from the others;
//! - of the pipes and files only what the pool has to know in the end.

use serde::{Deserialize, Serialize};

/// The size of a frame's head.
pub(crate) const HEAD: usize = 5;

/// No payload is longer.
pub(crate) const MOST: usize = 1 << 20;

/// What is longer travels in pieces of this size.
pub(crate) const PIECE: usize = 256 << 10;

/// From the pool to the agent.
pub(crate) mod to_agent {
    /// The first frame: a [`Begin`](super::Begin).
    pub(crate) const BEGIN: u8 = 1;
    pub(crate) const CONTROL: u8 = 2;
    /// The first bytes of a call.
    pub(crate) const CALL: u8 = 3;
    /// More of it, or what is no call.
    pub(crate) const DATA: u8 = 4;
    /// A piece of the file for the next message.
    pub(crate) const FILE: u8 = 5;
    /// For the worker, or its whole group: whether that, and the number.
    pub(crate) const SIGNAL: u8 = 6;
    /// The files for the next message are those into which a call writes: its ticket.
    pub(crate) const CAPTURE: u8 = 7;
    /// A call that was sent ahead is wanted back: its ticket.
    pub(crate) const ASK: u8 = 8;
}

/// From the agent to the pool.
pub(crate) mod to_pool {
    /// The worker's process is there: its number.
    pub(crate) const STARTED: u8 = 16;
    pub(crate) const CONTROL: u8 = 17;
    /// The first bytes of a reply.
    pub(crate) const REPLY: u8 = 18;
    /// More of it.
    pub(crate) const DATA: u8 = 19;
    pub(crate) const FILE: u8 = 20;
    /// What a call has written: its ticket, which of its files, and the bytes.
    pub(crate) const OUTPUT: u8 = 21;
    /// What a worker has written to its standard output (1) or error (2) while nothing is captured.
    pub(crate) const PRINT: u8 = 22;
    /// What is in the worker's diary when it has ended.
    pub(crate) const DIARY: u8 = 23;
    pub(crate) const LAST_WORDS: u8 = 24;
    /// How much memory the worker has to itself.
    pub(crate) const MEMORY: u8 = 25;
    /// The last frame: how the worker ended.
    pub(crate) const EXIT: u8 = 26;
    /// The last frame, in place of all others: why there is no worker.
    pub(crate) const FAILED: u8 = 27;
    /// The worker asks for the argument of a call.
    pub(crate) const PULL: u8 = 28;
    /// The answers to [`ASK`](super::to_agent::ASK): the call was not begun and is gone; or it was.
    pub(crate) const BACK: u8 = 29;
    pub(crate) const BEGUN: u8 = 30;
}

/// What an agent is to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) version: u32,
    /// The program's name for itself, its first argument.
    pub(crate) name: Option<Vec<u8>>,
    /// Variables of its environment.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) current_dir: Option<Vec<u8>>,
    /// The pool wants to know how much memory it has.
    pub(crate) watches_memory: bool,
}

/// A frame in one piece.
pub(crate) fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(len <= MOST, "a frame of {len} bytes");
    let mut bytes = Vec::with_capacity(HEAD + len);
    bytes.extend_from_slice(&(len as u32).to_le_bytes());
    bytes.push(kind);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// Bytes that may be many, in frames of one kind. At least one frame.
pub(crate) fn frames(kind: u8, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let pieces = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(PIECE).collect() };
    pieces.into_iter().map(move |piece| frame(kind, &[piece]))
}

/// What is longer than any frame is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Puts frames together out of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    read: usize,
}

impl Incoming {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
        } else if self.read > MOST {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next frame if all of it is there: its kind and its payload.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, &[u8])>, TooLong> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let Some(([a, b, c, d, kind], rest)) = rest.split_first_chunk::<HEAD>() else { return Ok(None) };
        let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if len > MOST {
            return Err(TooLong);
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        self.read += HEAD + len;
        Ok(Some((*kind, payload)))
    }
}

/// Follows the bytes of a socket for calls, in one direction, and tells where something begins.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// So many bytes belong to what has begun.
    left: u64,
}

impl Follow {
    /// How many of the bytes that are there belong to what has begun. 0 when something begins here.
    pub(crate) fn belong(&mut self, there: usize) -> usize {
        let belong = self.left.min(there as u64);
        self.left -= belong;
        belong as usize
    }

    pub(crate) fn expect(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(bytes);
    }

    /// Has all come of what has begun?
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_from_any_pieces() {
        let mut sent = frame(to_agent::BEGIN, &[b"a", b"bc"]);
        sent.extend(frames(to_agent::DATA, &vec![7; PIECE + 1]).flatten());
        sent.extend(frame(to_agent::SIGNAL, &[]));
        for size in [1, 3, 4096, sent.len()] {
            let (mut incoming, mut came) = (Incoming::default(), Vec::new());
            for piece in sent.chunks(size) {
                incoming.add(piece);
                while let Some((kind, payload)) = incoming.next().expect("frames") {
                    came.push((kind, payload.len()));
                }
            }
            let data = to_agent::DATA;
            assert_eq!(came, [(to_agent::BEGIN, 3), (data, PIECE), (data, 1), (to_agent::SIGNAL, 0)]);
        }
    }

    #[test]
    fn a_length_that_nobody_sends_is_refused() {
        let mut incoming = Incoming::default();
        incoming.add(&[0xff; 16]);
        assert_eq!(incoming.next().map(|_| ()), Err(TooLong));
    }

    #[test]
    fn what_has_begun_is_told_from_what_begins() {
        let mut follow = Follow::default();
        assert_eq!(follow.belong(5), 0);
        follow.expect(7);
        assert_eq!((follow.belong(5), follow.belong(5), follow.belong(5)), (5, 2, 0));
    }
}
