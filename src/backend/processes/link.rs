//! The pool's end of the way to one worker. Owns that all ways are one to who uses them; each is in a file of its own.

use std::{
    borrow::Cow,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{ahead::Ahead, method::Transport, rings::RingLink, socket::SocketLink, worker::Worker};
use crate::{
    function::{Call, Origin, Reply},
    sys::shm::Mapping,
    task::Claim,
    wire::{
        layout::{self, MOST_SENT},
        ring::Nonsense,
        stream::UNKNOWN,
    },
};

pub(super) enum Link {
    Rings(RingLink),
    Socket(SocketLink),
}

/// What came back.
pub(super) struct Received {
    pub(super) ticket: u64,
    pub(super) reply: Reply,
    /// There are messages that come before it.
    pub(super) said: bool,
}

/// What goes with a call.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// What it writes is captured. What that needs was sent.
    pub(super) is_captured: bool,
    /// Where it comes from, encoded, for a worker that wants to know.
    pub(super) origin: Vec<u8>,
}

impl Extra {
    pub(super) fn new(is_captured: bool, origin: Option<Origin>) -> Self {
        // Names are cut, so that it is never too long.
        let origin = origin.and_then(|origin| postcard::to_stdvec(&origin).ok());
        let origin = origin.filter(|bytes| bytes.len() <= layout::MOST_ORIGIN).unwrap_or_default();
        Self { is_captured, origin }
    }

    /// The word that says it, with the number of the call's tasks.
    pub(super) fn word(&self, tasks: u64) -> u64 {
        let captured = if self.is_captured { layout::CAPTURED } else { 0 };
        tasks | captured | (self.origin.len() as u64) << layout::ORIGIN
    }

    /// An argument and what is behind it, in one piece.
    pub(super) fn behind<'a>(&'a self, arg: &'a [u8]) -> Cow<'a, [u8]> {
        match (arg, &*self.origin) {
            (arg, []) => Cow::Borrowed(arg),
            ([], origin) => Cow::Borrowed(origin),
            (arg, origin) => Cow::Owned([arg, origin].concat()),
        }
    }
}

/// What became of a call that was to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// There is no room for it now.
    Full,
    /// It never will be.
    Impossible(String),
}

impl Link {
    /// Makes the way, and the descriptors that the worker needs of it.
    pub(super) fn new(transport: Transport, bell: &OwnedFd) -> io::Result<(Self, Vec<OwnedFd>)> {
        match transport {
            Transport::SharedMemory => RingLink::new(bell).map(|(link, theirs)| (Self::Rings(link), theirs)),
            Transport::Socket => SocketLink::new(false).map(|(link, theirs)| (Self::Socket(link), theirs)),
        }
    }

    /// Makes the way to a worker that is elsewhere, and the other ends of it.
    #[cfg(feature = "engine")]
    pub(super) fn far() -> io::Result<(Self, Vec<OwnedFd>)> {
        SocketLink::new(true).map(|(link, theirs)| (Self::Socket(link), theirs))
    }

    /// Has the worker looked after whenever there is something here that no bell is rung for.
    pub(super) fn attend(&mut self, worker: Weak<Worker>) -> io::Result<()> {
        match self {
            Self::Rings(_) => Ok(()),
            Self::Socket(link) => link.attend(worker),
        }
    }

    /// Can calls be sent behind one that is not done?
    pub(super) fn prefetches(&self) -> bool {
        match self {
            Self::Rings(_) => true,
            Self::Socket(link) => link.ahead().is_some(),
        }
    }

    /// Who has the calls that were sent ahead, where that is not decided at once.
    pub(super) fn ahead(&self) -> Option<&Arc<Ahead>> {
        match self {
            Self::Rings(_) => None,
            Self::Socket(link) => link.ahead(),
        }
    }

    /// The worker has come to this call, which was sent ahead. False as long as nobody knows whether it will.
    pub(super) fn begin(&self, ticket: u64) -> bool {
        self.ahead().is_none_or(|ahead| ahead.begin(ticket))
    }

    pub(super) fn claims(&self) -> &Arc<dyn Claim> {
        match self {
            Self::Rings(link) => link.claims(),
            Self::Socket(link) => link.claims(),
        }
    }

    /// Announces a call that is to go ahead of its time by this ticket. Comes before `send`, and before anybody can try to take it
    /// back.
    pub(super) fn offer(&self, ticket: u64) {
        match self {
            Self::Rings(link) => link.offer(ticket),
            Self::Socket(link) => link.ahead().into_iter().for_each(|ahead| ahead.offer(ticket)),
        }
    }

    pub(super) fn offer_and_send(
        &mut self,
        ticket: u64,
        call: &Arc<Call>,
        extra: &Extra,
    ) -> Result<Sent, Nonsense> {
        if let Self::Rings(link) = self {
            link.offer(ticket);
        }
        self.send(ticket, call, extra)
    }

    /// Sends a call that was offered; the worker looks at it when it is notified, or before. What a call that `is_captured`
    /// needs was sent.
    pub(super) fn send(&mut self, ticket: u64, call: &Arc<Call>, extra: &Extra) -> Result<Sent, Nonsense> {
        match self {
            Self::Rings(link) => link.send(ticket, call, extra),
            Self::Socket(link) => link.send(ticket, call, extra),
        }
    }

    /// Wakes the worker if it sleeps and there is something new.
    pub(super) fn notify(&mut self) {
        match self {
            Self::Rings(link) => link.notify(),
            Self::Socket(link) => link.notify(),
        }
    }

    /// Takes the next reply.
    pub(super) fn receive(&mut self) -> Result<Option<Received>, Nonsense> {
        match self {
            Self::Rings(link) => link.receive(),
            Self::Socket(link) => link.receive(),
        }
    }

    pub(super) fn has_replies(&self) -> bool {
        match self {
            Self::Rings(link) => link.has_replies(),
            Self::Socket(link) => link.has_replies(),
        }
    }

    /// The process has ended. False when some of what it wrote is on its way still; then the worker is looked after again.
    pub(super) fn close(&mut self) -> bool {
        match self {
            Self::Rings(_) => true,
            Self::Socket(link) => link.close(),
        }
    }

    /// What the worker said when a fault ended it. Asked when all is [closed](Self::close), as are those below that say so.
    pub(super) fn last_words(&self) -> Option<String> {
        match self {
            Self::Rings(link) => link.last_words(),
            Self::Socket(link) => link.last_words(),
        }
    }

    /// Had the worker not come to it? Of a call by socket that is known when it is closed.
    pub(super) fn is_sent(&self, ticket: u64) -> bool {
        match self {
            Self::Rings(link) => link.is_sent(ticket),
            Self::Socket(link) => link.is_sent(ticket),
        }
    }

    /// What the worker had done of a chunk. When it is closed.
    pub(super) fn done_so_far(&self, ticket: u64) -> Option<Vec<u8>> {
        match self {
            Self::Rings(link) => link.done_so_far(ticket),
            Self::Socket(link) => link.done_so_far(ticket),
        }
    }

    /// Is it unknown how far the worker was with a call, because the way to it broke first?
    pub(super) fn is_progress_unknown(&self, ticket: u64) -> bool {
        self.done_so_far(ticket).is_some_and(|done| done.starts_with(&UNKNOWN))
    }

    /// Will look for new records now.
    pub(super) fn look_for_records(&self) {
        if let Self::Rings(link) = self {
            link.look_for_records();
        }
    }

    /// Asks for the worker to be looked after at the next reply. False when there is one already.
    pub(super) fn arm(&mut self) -> bool {
        match self {
            Self::Rings(link) => link.arm(),
            Self::Socket(link) => !link.has_replies(),
        }
    }

    /// Will the worker be looked after at the next reply?
    pub(super) fn is_armed(&self) -> bool {
        match self {
            Self::Rings(link) => link.is_armed(),
            Self::Socket(_) => true,
        }
    }

    /// A buffer for the next large result.
    pub(super) fn reuse(&mut self, buffer: Vec<u8>) {
        match self {
            Self::Rings(link) => link.reuse(buffer),
            Self::Socket(link) => link.reuse(buffer),
        }
    }

    /// Are there large buffers that nobody uses?
    pub(super) fn is_warm(&self) -> bool {
        matches!(self, Self::Rings(link) if link.is_warm())
    }

    pub(super) fn cool_down(&mut self) {
        if let Self::Rings(link) = self {
            link.cool_down();
        }
    }

    pub(super) fn disarm(&self) {
        if let Self::Rings(link) = self {
            link.disarm();
        }
    }

    /// A worker that waits for room for its replies looks again.
    pub(super) fn made_room(&self) {
        if let Self::Rings(link) = self {
            link.made_room();
        }
    }

    /// The call was withdrawn, and its argument with it.
    pub(super) fn withdrawn(&mut self, ticket: u64) {
        match self {
            Self::Rings(link) => link.withdrawn(ticket),
            Self::Socket(link) => link.withdrawn(ticket),
        }
    }

    /// The worker is dead: nobody is asked for a call of its any more.
    pub(super) fn forget(&self, ticket: u64) {
        self.ahead().into_iter().for_each(|ahead| ahead.over(ticket));
    }

    /// Where it stands how large the pool may be.
    pub(super) fn size(&self) -> Size {
        match self {
            Self::Rings(link) => Size::Shared(Arc::clone(link.memory())),
            Self::Socket(link) => Size::Sent(Arc::clone(link.size())),
        }
    }

    pub(super) fn ask_to_stop(&self, ticket: u64) {
        if let Self::Rings(link) = self {
            link.ask_to_stop(ticket);
        }
    }

    /// Nobody wants the waiting inputs of a chunk.
    pub(super) fn trim(&mut self, ticket: u64) {
        match self {
            Self::Rings(link) => link.trim(ticket),
            Self::Socket(link) => link.trim(ticket),
        }
    }

    /// The worker is to end when it has nothing to do.
    pub(super) fn ask_to_leave(&self) {
        match self {
            Self::Rings(link) => link.ask_to_leave(),
            Self::Socket(link) => link.ask_to_leave(),
        }
    }

    pub(super) const fn most_sent() -> usize {
        MOST_SENT
    }
}

/// How many workers the pool may have: in the memory that is shared with the worker, or for the link to send with each call.
pub(super) enum Size {
    Shared(Arc<Mapping>),
    Sent(Arc<AtomicU64>),
}

impl Size {
    pub(super) fn set(&self, max_workers: u64) {
        match self {
            Self::Shared(memory) => layout::size(memory).store(max_workers, Ordering::Relaxed),
            Self::Sent(size) => size.store(max_workers, Ordering::SeqCst),
        }
    }

    /// What a call that is performed is to know takes a message.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self, Self::Sent(_))
    }
}

/// The descriptors of a list, to be sent.
pub(super) fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
