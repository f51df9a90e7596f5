//! The way to a worker through memory that is shared with it: a ring for calls, one for replies, an arena each for large ones.
//! Owns what is on its way there; which task it is, and what becomes of it, is the worker's.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

use super::link::{Extra, Received, Sent};
use crate::{
    error::TaskError,
    function::{Call, Counted, Names, Reply},
    sys::{
        crash::report_in,
        shm::{self, Mapping, SharedFile},
    },
    task::Claim,
    wire::{
        arena::Arena,
        layout::{self, CALLS, LARGE, REPLIES, kind},
        ring::{Frame, Nonsense, Reader, Writer},
    },
};

pub(super) struct RingLink {
    memory: Arc<Mapping>,
    calls: Writer,
    replies: Reader,
    arguments: Arena,
    results: Arena,
    claims: Arc<dyn Claim>,
    /// The call whose argument is in the arena, and its length.
    large: Option<(u64, u64)>,
    unnoticed: bool,
    /// Replies since a large argument was sent.
    since_large: u32,
}

/// After so many, the buffer for large results is given back.
const FORGET_AFTER: u32 = 16;

impl RingLink {
    /// Makes the shared memory, and the descriptors that the worker needs of it.
    pub(super) fn new(bell: &OwnedFd) -> io::Result<(Self, Vec<OwnedFd>)> {
        let rings = SharedFile::create("polypool-rings", layout::SIZE as u64)?;
        let arguments = SharedFile::create("polypool-arguments", 0)?;
        let results = SharedFile::create("polypool-results", 0)?;
        let memory = Arc::new(Mapping::new(&rings.as_fd(), layout::SIZE, true)?);
        let theirs = vec![
            rings.into_fd(),
            arguments.read_only()?,
            results.as_fd().try_clone_to_owned()?,
            bell.try_clone()?,
        ];
        let link = Self {
            calls: Writer::new(Arc::clone(&memory), CALLS),
            replies: Reader::new(Arc::clone(&memory), REPLIES),
            arguments: Arena::new(arguments, true),
            results: Arena::new(results, false),
            claims: Arc::new(Claims(Arc::clone(&memory))),
            large: None,
            unnoticed: false,
            since_large: 0,
            memory,
        };
        Ok((link, theirs))
    }

    pub(super) fn claims(&self) -> &Arc<dyn Claim> {
        &self.claims
    }

    /// Announces a call by this ticket. Comes before `send`, and before anybody can try to take it back.
    pub(super) fn offer(&self, ticket: u64) {
        layout::Claim::of(ticket).send(&self.memory);
    }

    /// Sends a call that was offered; the worker looks at it when it is notified, or before.
    pub(super) fn send(&mut self, ticket: u64, call: &Call, extra: &Extra) -> Result<Sent, Nonsense> {
        let len = call.arg.len();
        let is_large = len + extra.origin.len() >= LARGE;
        if is_large {
            if self.large.is_some() {
                return Ok(Sent::Full);
            }
            if let Err(error) = self.arguments.put(&call.arg) {
                return Ok(Sent::Impossible(format!(
                    "no shared memory for an argument of {len} bytes: {error}"
                )));
            }
        }
        let kind = if is_large { kind::LARGE_CALL } else { kind::CALL };
        let frame = Frame { kind, ticket, words: [call.entry, len as u64, extra.word(call.tasks)] };
        if !self.calls.push(frame, &extra.behind(if is_large { &[] } else { &call.arg }))? {
            return Ok(Sent::Full);
        }
        if is_large {
            self.large = Some((ticket, len as u64));
        }
        self.unnoticed = true;
        Ok(Sent::Yes)
    }

    /// Wakes the worker if it sleeps and there is something new.
    pub(super) fn notify(&mut self) {
        if std::mem::take(&mut self.unnoticed) {
            self.wake();
        }
    }

    fn wake(&self) {
        if layout::rouse(&self.memory) {
            shm::wake(layout::asleep(&self.memory));
        }
    }

    /// Takes the next reply.
    pub(super) fn receive(&mut self) -> Result<Option<Received>, Nonsense> {
        let Some((frame, at, len)) = self.replies.peek()? else {
            return Ok(None);
        };
        let is_large = matches!(frame.kind, kind::LARGE_DONE | kind::LARGE_FAILED);
        let bytes = if is_large {
            let bytes = match self.results.take(frame.words[2]) {
                Ok(bytes) => Ok(bytes),
                // It cannot have written that much.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Nonsense),
                Err(error) => {
                    Err(TaskError::Decode(format!("a result of {} bytes: {error}", frame.words[2])))
                }
            };
            self.results.free(frame.words[2]);
            bytes
        } else {
            let mut bytes = Vec::new();
            self.memory.read_into(at, len, &mut bytes);
            Ok(bytes)
        };
        self.replies.consume(len);
        self.since_large = self.since_large.saturating_add(1);
        if self.since_large == FORGET_AFTER {
            self.results.forget();
        }
        if is_large {
            let held = layout::reply_held(&self.memory);
            held.store(0, Ordering::SeqCst);
            shm::wake(held);
        }
        if self.large.is_some_and(|(ticket, _)| ticket <= frame.ticket)
            && let Some((_, len)) = self.large.take()
        {
            self.arguments.free(len);
        }
        let result = match (frame.kind, bytes) {
            (_, Err(error)) => Err(Box::new(error)),
            (kind::DONE | kind::LARGE_DONE, Ok(bytes)) => Ok(bytes),
            (kind::FAILED | kind::LARGE_FAILED, Ok(bytes)) => Err(Box::new(
                postcard::from_bytes(&bytes).unwrap_or_else(|error| TaskError::Decode(error.to_string())),
            )),
            _ => return Err(Nonsense),
        };
        let words = frame.words;
        let tally = Counted {
            completed: words[0] as u32,
            failed: (words[0] >> 32) as u32,
            cancelled: words[1] as u32,
        };
        Ok(Some(Received {
            ticket: frame.ticket,
            reply: Reply { result, tally, names: Names::new() },
            said: words[1] & layout::SAID != 0,
        }))
    }

    pub(super) fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// What the worker said when a fault ended it.
    pub(super) fn last_words(&self) -> Option<String> {
        report_in(&self.memory, layout::REPORT)
    }

    /// Will look for new records now.
    pub(super) fn look_for_records(&self) {
        layout::logged(&self.memory).store(0, Ordering::SeqCst);
    }

    /// Asks for the bell at the next reply. False when there is one already.
    pub(super) fn arm(&mut self) -> bool {
        layout::arm(&self.memory, || self.replies.is_empty())
    }

    /// A buffer for the next large result.
    pub(super) fn reuse(&mut self, buffer: Vec<u8>) {
        self.since_large = 0;
        self.results.reuse(buffer);
    }

    pub(super) fn is_armed(&self) -> bool {
        layout::armed(&self.memory).load(Ordering::SeqCst) == 1
    }

    pub(super) fn is_warm(&self) -> bool {
        self.results.is_warm() || self.arguments.is_warm()
    }

    pub(super) fn cool_down(&mut self) {
        self.results.cool_down();
        self.arguments.cool_down();
    }

    pub(super) fn disarm(&self) {
        layout::disarm(&self.memory);
    }

    /// A worker that waits for room in the ring of replies looks again.
    pub(super) fn made_room(&self) {
        self.wake();
    }

    /// The call was withdrawn, and its argument with it.
    pub(super) fn withdrawn(&mut self, ticket: u64) {
        if self.large.is_some_and(|(large, _)| large == ticket) {
            self.large = None;
        }
    }

    /// Had the worker not come to it?
    pub(super) fn is_sent(&self, ticket: u64) -> bool {
        layout::Claim::of(ticket).is_sent(&self.memory)
    }

    /// What the worker had done of a chunk.
    pub(super) fn done_so_far(&self, ticket: u64) -> Option<Vec<u8>> {
        let len = usize::try_from(layout::done_len(&self.memory).load(Ordering::Acquire)).ok()?;
        if layout::done_ticket(&self.memory).load(Ordering::Acquire) != ticket || len > layout::DONE_SIZE {
            return None;
        }
        let mut bytes = Vec::new();
        self.memory.read_into(layout::DONE, len, &mut bytes);
        Some(bytes)
    }

    pub(super) fn memory(&self) -> &Arc<Mapping> {
        &self.memory
    }

    pub(super) fn ask_to_stop(&self, ticket: u64) {
        layout::stop(&self.memory).store(ticket, Ordering::SeqCst);
    }

    pub(super) fn trim(&self, ticket: u64) {
        layout::trim(&self.memory).store(ticket, Ordering::SeqCst);
    }

    /// The worker is to end when it has nothing to do.
    pub(super) fn ask_to_leave(&self) {
        layout::leave(&self.memory).store(1, Ordering::SeqCst);
        self.wake();
    }
}

/// The words by which calls are withdrawn.
struct Claims(Arc<Mapping>);

impl Claim for Claims {
    fn withdraw(&self, ticket: u64) -> bool {
        layout::Claim::of(ticket).withdraw(&self.0)
    }

    fn is_taken(&self, ticket: u64) -> bool {
        layout::Claim::of(ticket).is_taken(&self.0)
    }

    fn trim(&self, ticket: u64) {
        layout::trim(&self.0).store(ticket, Ordering::SeqCst);
    }
}
