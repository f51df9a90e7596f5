//! The way of calls over a socket: the worker reads one, performs it, replies, and reads the next. Owns the loop.
//!
//! Beside the socket there is the diary, a pipe that nobody reads while all is well: the worker notes in it which call it has begun
//! and, of a chunk, what is done. What the worker was doing when it died is read there.

use std::{cell::Cell, io, os::fd::OwnedFd};

use rustix::io::retry_on_intr;

use super::{
    perform::{Bench, Keeper, Work, origin},
    start::{CONFUSED, depart},
    stream::{Frames, is_trimmed, send},
};
use crate::{
    error::TaskError,
    function::Counted,
    sys::{process::exit_now, roomy::roomy},
    wire::{
        layout::{DONE_SIZE, LARGE, SAID, tasks_word},
        stream::{Head, kind},
    },
};

pub(super) struct SocketServe {
    pub(super) bench: Bench,
    pub(super) frames: Frames,
    pub(super) diary: OwnedFd,
    /// The place for a large argument, and how many calls there were since the last.
    pub(super) large: Vec<u8>,
    pub(super) since_large: u32,
}

/// After so many, that is given back.
const FORGET_AFTER: u32 = 16;

impl SocketServe {
    pub(super) fn run(mut self) -> ! {
        loop {
            let served = match self.frames.next() {
                Ok(Some(head)) => self.serve(&head),
                Ok(None) => await_end(),
                Err(error) => Err(error),
            };
            match served.map_err(|error| error.kind()) {
                Ok(()) => {}
                // The pool is gone in the middle of it.
                Err(
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe,
                ) => await_end(),
                // A task closed what is not its own.
                Err(_) => exit_now(CONFUSED),
            }
        }
    }

    fn serve(&mut self, head: &Head) -> io::Result<()> {
        let [entry, tasks, size] = head.words;
        let (tasks, is_captured, origin_len) = tasks_word(tasks);
        let work = |origin| Work { ticket: head.ticket, entry, tasks, is_captured, origin };
        let Self { bench, frames, diary, large, since_large } = self;
        let socket = frames.shared_fd();
        let diary = Diary { pipe: diary, socket: &socket, ticket: head.ticket, is_trimmed: Cell::new(false) };
        let (tally, has_failed) = match head.kind {
            kind::CALL => {
                let payload = frames.lend(head)?;
                let arg_len = payload.len().checked_sub(origin_len).ok_or(io::ErrorKind::InvalidData)?;
                let (arg, behind) = payload.split_at(arg_len);
                bench.here.words.heard_size(size);
                diary.begin()?;
                bench.perform(work(origin(behind)), Ok(arg), &diary)
            }
            kind::WAITING => {
                *since_large = 0;
                let origin = origin(frames.lend(head)?);
                // The pool means what it says, so all of the room is made at once.
                let arg = match make_room(large, head.len) {
                    Ok(()) => {
                        send(frames.fd(), &Head::bare(kind::PULL, head.ticket), &[])?;
                        frames.take_bare(large, head.len)?;
                        Ok(large.as_slice())
                    }
                    Err(error) => {
                        Err(TaskError::Decode(format!("an argument of {} bytes: {error}", head.len)))
                    }
                };
                bench.here.words.heard_size(size);
                diary.begin()?;
                bench.perform(work(origin), arg, &diary)
            }
            kind::LEAVE => depart(),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        *since_large = since_large.saturating_add(1);
        if *since_large == FORGET_AFTER {
            *large = Vec::new();
        }
        self.reply(head.ticket, tally, has_failed)
    }

    fn reply(&mut self, ticket: u64, tally: Counted, has_failed: bool) -> io::Result<()> {
        let counts = u64::from(tally.completed) | u64::from(tally.failed) << 32;
        // What the task has said is read before its reply.
        let said = if self.bench.here.upstream.flush() { SAID } else { 0 };
        let head = Head {
            kind: if has_failed { kind::FAILED } else { kind::DONE },
            ticket,
            words: [counts, u64::from(tally.cancelled) | said, 0],
            len: self.bench.out.len() as u64,
        };
        send(self.frames.fd(), &head, &self.bench.out)?;
        if self.bench.out.len() >= LARGE {
            self.bench.recycle();
        }
        self.bench.tidy();
        Ok(())
    }
}

/// Has room for so many bytes, in place of what was there.
fn make_room(bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    if bytes.capacity() < len || bytes.capacity() / 2 > len {
        *bytes = Vec::new();
        *bytes = roomy(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    }
    bytes.clear();
    Ok(())
}

/// The pool is gone. The thread that listens sees that, too, and ends this process with all that it has started.
fn await_end() -> ! {
    loop {
        std::thread::park();
    }
}

struct Diary<'a> {
    pipe: &'a OwnedFd,
    socket: &'a OwnedFd,
    ticket: u64,
    is_trimmed: Cell<bool>,
}

impl Diary<'_> {
    fn begin(&self) -> io::Result<()> {
        self.note(&self.ticket.to_le_bytes())
    }

    /// Notes something, if there is room.
    fn note(&self, bytes: &[u8]) -> io::Result<()> {
        match retry_on_intr(|| rustix::io::write(self.pipe, bytes))? {
            n if n == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl Keeper for Diary<'_> {
    fn is_trimmed(&self) -> bool {
        if !self.is_trimmed.get() {
            self.is_trimmed.set(is_trimmed(self.socket, self.ticket));
        }
        self.is_trimmed.get()
    }

    fn keep(&self, from: usize, reply: &[u8]) -> bool {
        // What is in the pipe in part is good for nothing, but then the chunk ends here and is replied to in a moment.
        reply.len() <= DONE_SIZE && reply.get(from..).is_some_and(|new| self.note(new).is_ok())
    }
}
