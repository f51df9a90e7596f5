//! The agent at work: what comes from the pool goes to the worker, and back. Owns the loop, which waits for all of it at once.
//!
//! 1. What the worker wrote before it sent a message or a reply, into the files that it shares with the agent, is sent before that. So it
//!    is with the pool when the message is heard there.
//! 2. A worker has one call at a time, and begins it with an empty diary. What is in that when the worker has ended is of the last call.
//!    Those behind it are here, and are given back when they are asked for.
//! 3. When the worker has ended, all that it had written is sent, and then how it ended. Nothing follows that.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{Shutdown, shutdown},
};

use super::{Outbox, Staff, hear_the_end, read_now};
use crate::{
    sys::{
        appended::appended,
        process::{Ended, Signal, recv_some, resident_private},
        sealed::Unsealed,
    },
    wire::{
        control::{Inbox, ToPool},
        relay::{Follow, Incoming, PIECE, frame, frames, to_agent, to_pool},
        stream::{self, Head},
    },
};

/// How often the worker's memory is looked at, at most.
const MEMORY_LOOKS: Duration = Duration::from_millis(1);

/// As much of the diary, and of last words, is wanted.
const LONGEST: usize = 64 << 10;

pub(super) struct Relay {
    stream: OwnedFd,
    slot: Option<OwnedFd>,
    staff: Staff,
    incoming: Incoming,
    to_pool: Outbox,
    to_control: Outbox,
    to_data: Outbox,
    /// What goes with the next message to the worker: descriptors, and a file that is not all there.
    files: Vec<OwnedFd>,
    file: Option<Unsealed>,
    inbox: Inbox,
    came: VecDeque<Vec<OwnedFd>>,
    calls: Calls,
    replies: Replies,
    /// Of the call that is performed, and of those inside of it.
    captures: Vec<Capture>,
    looked: Option<Instant>,
    watches_memory: bool,
    buffer: Vec<u8>,
    /// The worker still has its end.
    control_is_open: bool,
    data_is_open: bool,
    printed_is_open: [bool; 2],
}

/// The calls that have come. The worker has one at a time; the others can be given back.
#[derive(Default)]
struct Calls {
    come: VecDeque<Call>,
    /// So much of the last is not there yet.
    lacks: u64,
    is_performed: bool,
}

struct Call {
    ticket: u64,
    bytes: Vec<u8>,
}

/// Where the socket for calls is, on the way to the pool.
#[derive(Default)]
struct Replies {
    follow: Follow,
    head: Vec<u8>,
}

/// What a call writes, and how far it was sent.
struct Capture {
    ticket: u64,
    files: Vec<File>,
    sent: [u64; 3],
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stream,
    Worker,
    Control,
    Data,
    Printed(usize),
    Slot,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The pool is gone, or the slot is closed, or somebody writes nonsense.
    Leave,
}

impl Relay {
    pub(super) fn new(
        stream: OwnedFd,
        slot: Option<OwnedFd>,
        mut staff: Staff,
        incoming: Incoming,
        watches_memory: bool,
    ) -> Self {
        let mut to_pool = Outbox::default();
        to_pool.push(frame(to_pool::STARTED, &[&staff.child.pid().to_le_bytes()]));
        Self {
            stream,
            slot,
            files: std::mem::take(&mut staff.theirs),
            staff,
            incoming,
            to_pool,
            to_control: Outbox::default(),
            to_data: Outbox::default(),
            file: None,
            inbox: Inbox::default(),
            came: VecDeque::new(),
            calls: Calls::default(),
            replies: Replies::default(),
            captures: Vec::new(),
            looked: None,
            watches_memory,
            buffer: vec![0; PIECE],
            control_is_open: true,
            data_is_open: true,
            printed_is_open: [true; 2],
        }
    }

    pub(super) fn run(mut self) {
        let mut next = self.take_frames();
        while next == Next::GoOn {
            if self.to_pool.lingers().is_none() && self.to_pool.write(self.stream.as_fd()).is_err() {
                break;
            }
            self.write_to_worker();
            let Ok(ready) = self.wait() else { break };
            if ready.contains(&End::Worker) {
                self.farewell();
                return;
            }
            next =
                ready.into_iter().map(|end| self.look(end)).find(|next| *next == Next::Leave).unwrap_or(next);
        }
        self.kill();
    }

    fn kill(&self) {
        let _ = self.staff.child.signal_group(Signal::KILL);
        let _ = self.staff.child.signal(Signal::KILL);
        let _ = self.staff.child.wait();
    }

    /// A worker that cannot be written to is dying.
    fn write_to_worker(&mut self) {
        if self.control_is_open && self.to_control.write(self.staff.control.as_fd()).is_err() {
            self.control_is_open = false;
        }
        if self.data_is_open && self.to_data.write(self.staff.data.as_fd()).is_err() {
            self.data_is_open = false;
        }
    }

    /// Waits until something can be done, and says what can be read.
    fn wait(&self) -> io::Result<Vec<End>> {
        let lingers = self.to_pool.lingers();
        let writes = |outbox: &Outbox| if outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let writes_to_pool = if lingers.is_some() { PollFlags::empty() } else { writes(&self.to_pool) };
        let reads = |yes: bool| if yes { PollFlags::IN } else { PollFlags::empty() };
        let has_room = !self.to_pool.is_full();
        let takes_frames = !self.to_control.is_full() && !self.to_data.is_full();
        let Staff { child, control, data, printed: [out, err], .. } = &self.staff;
        let mut ends = vec![
            (End::Stream, self.stream.as_fd(), reads(takes_frames) | writes_to_pool),
            (End::Worker, child.pidfd(), PollFlags::IN),
        ];
        // One that is closed is always ready, and so is not asked.
        let mut ask = |is_open: bool, end, fd, flags| {
            if is_open {
                ends.push((end, fd, flags));
            }
        };
        ask(self.control_is_open, End::Control, control.as_fd(), reads(has_room) | writes(&self.to_control));
        ask(self.data_is_open, End::Data, data.as_fd(), reads(has_room) | writes(&self.to_data));
        ask(self.printed_is_open[0] && has_room, End::Printed(0), out.as_fd(), PollFlags::IN);
        ask(self.printed_is_open[1] && has_room, End::Printed(1), err.as_fd(), PollFlags::IN);
        if let Some(slot) = &self.slot {
            ask(true, End::Slot, slot.as_fd(), PollFlags::IN);
        }
        let mut fds: Vec<_> =
            ends.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let until = lingers.and_then(|left| Timespec::try_from(left).ok());
        rustix::io::retry_on_intr(|| poll(&mut fds, until.as_ref()))?;
        let is_ready =
            |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok(ends.iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|((end, ..), _)| *end).collect())
    }

    fn look(&mut self, end: End) -> Next {
        match end {
            End::Stream => self.read_stream(),
            End::Control => self.hear(),
            End::Data => self.read_replies(),
            End::Printed(which) => self.read_printed(which),
            End::Slot => match recv_or_read(self.slot.as_ref(), &mut self.buffer) {
                // Nobody has anything to say there.
                Ok(1..) => Next::GoOn,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::GoOn,
                _ => Next::Leave,
            },
            End::Worker => Next::GoOn,
        }
    }

    // ---- from the pool

    fn read_stream(&mut self) -> Next {
        match recv_some(&self.stream, &mut self.buffer, true) {
            Ok(came) if came.bytes > 0 => {
                self.incoming.add(&self.buffer[..came.bytes]);
                self.take_frames()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::GoOn,
            _ => Next::Leave,
        }
    }

    fn take_frames(&mut self) -> Next {
        loop {
            let (kind, payload) = match self.incoming.next() {
                Ok(Some((kind, payload))) => (kind, payload.to_vec()),
                Ok(None) => return Next::GoOn,
                Err(_) => return Next::Leave,
            };
            if self.take_frame(kind, payload).is_none() {
                return Next::Leave;
            }
        }
    }

    /// None when it makes no sense.
    fn take_frame(&mut self, kind: u8, payload: Vec<u8>) -> Option<()> {
        match kind {
            to_agent::CONTROL => {
                let mut files = std::mem::take(&mut self.files);
                // Without its file the message is heard all the same, and the worker says what it lacks.
                files.extend(self.file.take().and_then(|file| file.seal().ok()));
                self.to_control.push_with(payload, files);
            }
            to_agent::CALL => {
                let head = Head::decode(payload.first_chunk()?)?;
                let lacks =
                    (stream::HEAD as u64).checked_add(head.follow())?.checked_sub(payload.len() as u64)?;
                self.calls.come.push_back(Call { ticket: head.ticket, bytes: payload });
                self.calls.lacks = lacks;
                self.next_call();
            }
            to_agent::DATA if self.calls.lacks > 0 => {
                self.calls.lacks = self.calls.lacks.checked_sub(payload.len() as u64)?;
                self.calls.come.back_mut()?.bytes.extend_from_slice(&payload);
                self.next_call();
            }
            to_agent::DATA => self.to_data.push(payload),
            to_agent::ASK => {
                let ticket = u64::from_le_bytes(payload.try_into().ok()?);
                let place = self.calls.come.iter().position(|call| call.ticket == ticket);
                let kind = if place.is_some() { to_pool::BACK } else { to_pool::BEGUN };
                place.and_then(|place| self.calls.come.remove(place));
                self.to_pool.push(frame(kind, &[&ticket.to_le_bytes()]));
            }
            to_agent::FILE => {
                if self.file.is_none() {
                    self.file = Unsealed::new("polypool-placed").ok();
                }
                if self.file.as_ref().is_some_and(|file| file.append(&payload).is_err()) {
                    self.file = None;
                }
            }
            to_agent::SIGNAL => {
                let (group, number) = payload.split_first()?;
                let signal = match i32::from_le_bytes(number.try_into().ok()?) {
                    9 => Signal::KILL,
                    15 => Signal::TERM,
                    _ => return None,
                };
                // It may be gone already.
                let _ = match group {
                    0 => self.staff.child.signal(signal),
                    _ => self.staff.child.signal_group(signal),
                };
            }
            to_agent::CAPTURE => {
                let ticket = u64::from_le_bytes(payload.try_into().ok()?);
                self.begin_capture(ticket);
            }
            _ => return None,
        }
        Some(())
    }

    /// Gives the worker the next call, if it has none.
    fn next_call(&mut self) {
        let is_whole = self.calls.lacks == 0 || self.calls.come.len() > 1;
        if self.calls.is_performed || !is_whole {
            return;
        }
        if let Some(call) = self.calls.come.pop_front() {
            self.calls.is_performed = true;
            // What was done before is over with.
            read_now(&self.staff.diary);
            self.to_data.push(call.bytes);
        }
    }

    fn begin_capture(&mut self, ticket: u64) {
        let names = ["polypool-stdout", "polypool-stderr", "polypool-records"];
        let made: io::Result<(Vec<File>, Vec<OwnedFd>)> = names
            .into_iter()
            .map(|name| {
                let file = appended(name)?;
                let its = file.try_clone()?.into();
                Ok((file, its))
            })
            .collect();
        // Without them the worker says that it cannot capture.
        if let Ok((files, theirs)) = made {
            self.files = theirs;
            self.captures.push(Capture { ticket, files, sent: [0; 3] });
        }
    }

    // ---- from the worker

    /// Reads messages.
    fn hear(&mut self) -> Next {
        loop {
            match recv_some(&self.staff.control, &mut self.buffer, true) {
                Ok(came) if came.bytes > 0 => {
                    self.inbox.add(&self.buffer[..came.bytes]);
                    if came.has_fds() {
                        self.came.push_back(came.fds);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::GoOn,
                _ => {
                    self.control_is_open = false;
                    return Next::GoOn;
                }
            }
            // A call inside of another says by a message that it is over.
            self.send_captured(self.captures.len() > 1);
            loop {
                let next = self.inbox.next_as(|raw, message: ToPool| (raw.to_vec(), message.brings_file()));
                match next {
                    Ok(Some((raw, brings_file))) => {
                        if brings_file
                            && let Some(file) = self.came.pop_front().and_then(|mut files| files.pop())
                        {
                            self.to_pool.push_file(to_pool::FILE, file);
                        }
                        frames(to_pool::CONTROL, &raw).for_each(|frame| self.to_pool.push(frame));
                    }
                    Ok(None) => break,
                    Err(_) => return Next::Leave,
                }
            }
            if self.to_pool.is_full() {
                return Next::GoOn;
            }
        }
    }

    /// Reads what comes by the socket for calls: replies, and questions for arguments.
    fn read_replies(&mut self) -> Next {
        loop {
            let came = match recv_some(&self.staff.data, &mut self.buffer, true) {
                Ok(came) if came.bytes > 0 => came.bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::GoOn,
                _ => {
                    self.data_is_open = false;
                    return Next::GoOn;
                }
            };
            let buffer = std::mem::take(&mut self.buffer);
            let sent = self.send_replies(buffer.get(..came).unwrap_or_default());
            self.buffer = buffer;
            if sent.is_none() {
                return Next::Leave;
            }
            if self.to_pool.is_full() {
                return Next::GoOn;
            }
        }
    }

    /// None when it makes no sense.
    fn send_replies(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let (more, rest) = bytes.split_at_checked(self.replies.follow.belong(bytes.len()))?;
            if !more.is_empty() {
                self.to_pool.push(frame(to_pool::DATA, &[more]));
                bytes = rest;
                self.end_call();
                continue;
            }
            let lacks = stream::HEAD - self.replies.head.len();
            let (head, rest) = bytes.split_at(lacks.min(bytes.len()));
            self.replies.head.extend_from_slice(head);
            bytes = rest;
            let Some(whole) = self.replies.head.first_chunk() else { break };
            let head = Head::decode(whole)?;
            match head.kind {
                stream::kind::PULL => self.to_pool.push(frame(to_pool::PULL, &[&self.replies.head])),
                stream::kind::DONE | stream::kind::FAILED => {
                    self.replies.follow.expect(head.len);
                    let (more, rest) = bytes.split_at_checked(self.replies.follow.belong(bytes.len()))?;
                    self.send_captured(true);
                    self.captures.clear();
                    self.send_memory();
                    let reply = frame(to_pool::REPLY, &[&self.replies.head, more]);
                    if self.calls.come.is_empty() {
                        self.to_pool.push(reply);
                    } else {
                        // The worker goes on at once, and perhaps is done with the next as soon.
                        self.to_pool.push_lingering(reply);
                    }
                    bytes = rest;
                    self.end_call();
                }
                _ => return None,
            }
            self.replies.head.clear();
        }
        Some(())
    }

    /// When all of a reply has come, the worker waits for the next call.
    fn end_call(&mut self) {
        if self.replies.follow.is_done() {
            self.calls.is_performed = false;
            self.next_call();
        }
    }

    fn read_printed(&mut self, which: usize) -> Next {
        let Some(pipe) = self.staff.printed.get(which) else { return Next::GoOn };
        match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut self.buffer)) {
            Ok(n @ 1..) => {
                let number = [which as u8 + 1];
                self.to_pool.push(frame(to_pool::PRINT, &[&number, &self.buffer[..n]]));
            }
            Err(rustix::io::Errno::AGAIN) => {}
            _ => self.printed_is_open[which] = false,
        }
        Next::GoOn
    }

    /// Sends what is new in the files of calls that are captured: their records, and the others, if `all`.
    fn send_captured(&mut self, all: bool) {
        if self.captures.is_empty() {
            return;
        }
        let mut piece = vec![0; PIECE];
        for Capture { ticket, files, sent } in &mut self.captures {
            let wanted = files.iter().zip(sent).enumerate().filter(|(which, _)| all || *which == 2);
            for (which, (file, sent)) in wanted {
                while let Ok(n @ 1..) = file.read_at(&mut piece, *sent) {
                    *sent += n as u64;
                    let parts: [&[u8]; 3] = [&ticket.to_le_bytes(), &[which as u8], &piece[..n]];
                    self.to_pool.push(frame(to_pool::OUTPUT, &parts));
                }
            }
        }
    }

    fn send_memory(&mut self) {
        let now = Instant::now();
        if self.watches_memory
            && self.looked.is_none_or(|looked| now - looked >= MEMORY_LOOKS)
            && let Ok(bytes) = resident_private(self.staff.child.pid())
        {
            self.looked = Some(now);
            self.to_pool.push(frame(to_pool::MEMORY, &[&bytes.to_le_bytes()]));
        }
    }

    // ---- the end

    /// The worker has ended. Sends what it has left.
    fn farewell(mut self) {
        let _ = self.staff.child.signal_group(Signal::KILL);
        for which in [0, 1] {
            let text = read_now(&self.staff.printed[which]);
            let number = [which as u8 + 1];
            text.chunks(PIECE).for_each(|text| self.to_pool.push(frame(to_pool::PRINT, &[&number, text])));
        }
        // What makes no sense in there is nothing that anybody waits for.
        while self.control_is_open && self.hear() == Next::GoOn && self.to_pool.is_full() {
            self.write_out();
        }
        while self.data_is_open && self.read_replies() == Next::GoOn && self.to_pool.is_full() {
            self.write_out();
        }
        self.send_captured(true);
        let diary = read_now(&self.staff.diary);
        self.to_pool.push(frame(to_pool::DIARY, &[&diary[..diary.len().min(LONGEST)]]));
        let words = read_now(&self.staff.last_words);
        self.to_pool.push(frame(to_pool::LAST_WORDS, &[&words[..words.len().min(LONGEST)]]));
        let (how, number) = match self.staff.child.wait() {
            Ok(Ended::Code(code)) => (0, code),
            Ok(Ended::Signal(signal)) => (1, signal),
            Ok(Ended::Unknown) | Err(_) => (2, 0),
        };
        self.to_pool.push(frame(to_pool::EXIT, &[&[how], &number.to_le_bytes()]));
        self.write_out();
        let _ = shutdown(&self.stream, Shutdown::Write);
        hear_the_end(&self.stream);
    }

    /// Writes all that there is, as long as the pool is there.
    fn write_out(&mut self) {
        while !self.to_pool.is_empty() && self.to_pool.write(self.stream.as_fd()).is_ok() {
            let mut ends = [PollFd::new(&self.stream, PollFlags::OUT)];
            if rustix::io::retry_on_intr(|| poll(&mut ends, None)).is_err() {
                return;
            }
            // It says more, which is in vain; but what fills the socket the other way must not keep it from reading.
            let _ = recv_some(&self.stream, &mut self.buffer, true);
        }
    }
}

fn recv_or_read(fd: Option<&OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(fd) = fd else { return Ok(1) };
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *buffer))?)
}
