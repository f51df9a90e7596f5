//! The way to a worker through a socket, where no memory is shared: one call, its reply, the next call. Owns what is on its way
//! there, and the thread that reads.
//!
//! 1. A call is written by who sends it, and never waits for room: the socket is empty, as all that went before was replied to,
//!    and a call that would not fit goes without its argument, for which the worker asks. The thread sends that.
//! 2. The thread does nothing but read, and look after the worker when there is a reply. It ends with the socket: when the worker
//!    is gone, or says what makes no sense.
//! 3. What a worker has begun and how far it is with a chunk stands in its diary: a pipe, so that it outlives the worker, and read
//!    only when there is a reply or there will be none. Its last words are in another.
//! 4. The end of the process is known to others before its socket is read to the end. So the link is closed first: from then on
//!    the thread takes what is there and nothing more, ends, and has the worker looked after again.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use rustix::{
    buffer::spare_capacity,
    io::retry_on_intr,
    net::{Shutdown, shutdown, sockopt::socket_send_buffer_size},
    pipe::{PipeFlags, pipe_with},
};

use super::{
    ahead::Ahead,
    ends,
    link::{Extra, Received, Sent},
    worker::Worker,
};
use crate::{
    error::TaskError,
    function::{Call, Counted, Names, Reply},
    inside::process::stream::{Frames, send_bare, send_now},
    sys::{
        crash::{LONGEST, report_of},
        lock::lock,
        process::pair,
    },
    task::Claim,
    wire::{
        layout::{DONE_SIZE, LARGE, SAID},
        ring::Nonsense,
        stream::{HEAD, Head, UNKNOWN, kind},
    },
};

/// What the kernel takes for itself of the room for a message, and more.
const OVERHEAD: usize = 1 << 10;

/// As much as a worker's diary is, and no more is read of it.
const DIARY: usize = 2 * DONE_SIZE;

/// A spare buffer is so large, at least and at most, and is given back after so many replies.
const SPARE: std::ops::RangeInclusive<usize> = 1 << 20..=256 << 20;
const FORGET_AFTER: u32 = 16;

pub(super) struct SocketLink {
    data: Arc<OwnedFd>,
    diary: Arc<OwnedFd>,
    last_words: Arc<OwnedFd>,
    reading: Arc<Reading>,
    claims: Arc<dyn Claim>,
    /// To a worker elsewhere, calls go ahead of their time.
    ahead: Option<Arc<Ahead>>,
    /// A longer argument is asked for.
    most: usize,
    on_its_way: VecDeque<u64>,
    trimmed: u64,
    /// How many workers the pool may have.
    size: Arc<AtomicU64>,
    /// Replies since a large argument was sent.
    since_large: u32,
    /// What the diary and the last words were, when it is closed.
    left: Option<(Vec<u8>, Vec<u8>)>,
}

/// What the thread that reads has, and who sends.
#[derive(Default)]
struct Reading {
    is_running: AtomicBool,
    is_nonsense: AtomicBool,
    has_reply: AtomicBool,
    replies: Mutex<VecDeque<Received>>,
    /// The call whose argument is sent apart from it.
    waiting: Mutex<Option<Waiting>>,
    /// A buffer for the next large result: the pages of a fresh one cost more than what is written to them.
    spare: Mutex<Option<Vec<u8>>>,
}

/// A call whose argument the worker asks for.
struct Waiting {
    ticket: u64,
    /// None when it is being sent.
    call: Option<Arc<Call>>,
    /// Its waiting inputs are not wanted. That is said behind the argument, and not in the midst of it.
    is_trimmed: bool,
}

impl SocketLink {
    /// Makes the socket and the pipes, and gives the worker's ends of them.
    pub(super) fn new(is_far: bool) -> io::Result<(Self, Vec<OwnedFd>)> {
        let _no_fork = ends::no_fork();
        let (data, theirs) = pair()?;
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (diary, their_diary) = pipe_with(flags)?;
        let (last_words, their_last_words) = pipe_with(flags)?;
        // The kernel puts half of it into one piece, for which there is always room where nothing is.
        let room = socket_send_buffer_size(&data)? / 2;
        let data = ends::ours(data);
        let ahead = is_far.then(|| Arc::new(Ahead::new(Arc::clone(&data))));
        let link = Self {
            data,
            diary: ends::ours(diary),
            last_words: ends::ours(last_words),
            reading: Arc::default(),
            claims: match &ahead {
                Some(ahead) => Arc::<Ahead>::clone(ahead),
                None => Arc::new(Taken),
            },
            ahead,
            most: room.saturating_sub(HEAD + OVERHEAD).min(LARGE),
            on_its_way: VecDeque::new(),
            trimmed: 0,
            size: Arc::default(),
            since_large: 0,
            left: None,
        };
        Ok((link, vec![theirs, their_diary, their_last_words]))
    }

    /// Begins to read, for this worker.
    pub(super) fn attend(&mut self, worker: Weak<Worker>) -> io::Result<()> {
        let reader = Reader {
            frames: match self.ahead {
                Some(_) => Frames::pipelined(Arc::clone(&self.data)),
                None => Frames::new(Arc::clone(&self.data)),
            },
            ahead: self.ahead.clone(),
            diary: Arc::clone(&self.diary),
            reading: Arc::clone(&self.reading),
            worker,
        };
        self.reading.is_running.store(true, Ordering::SeqCst);
        let thread = thread::Builder::new().name("polypool-link".to_owned());
        let started = thread.spawn(move || reader.run());
        if started.is_err() {
            self.reading.is_running.store(false, Ordering::SeqCst);
        }
        started.map(drop)
    }

    pub(super) fn claims(&self) -> &Arc<dyn Claim> {
        &self.claims
    }

    pub(super) fn send(&mut self, ticket: u64, call: &Arc<Call>, extra: &Extra) -> Result<Sent, Nonsense> {
        if !self.on_its_way.is_empty() && self.ahead.as_ref().is_none_or(|ahead| !ahead.offers(ticket)) {
            return Ok(Sent::Full);
        }
        if !self.reading.is_running.load(Ordering::SeqCst) {
            return Err(Nonsense);
        }
        let is_waiting = call.arg.len() + extra.origin.len() > self.most;
        let payload = extra.behind(if is_waiting { &[] } else { &call.arg });
        let head = Head {
            kind: if is_waiting { kind::WAITING } else { kind::CALL },
            ticket,
            words: [call.entry, extra.word(call.tasks), self.size.load(Ordering::SeqCst)],
            len: if is_waiting { call.arg.len() } else { payload.len() } as u64,
        };
        if let Some(ahead) = &self.ahead {
            // Nothing may come between a call and the argument that it asks for; and there is always room for what is on its way.
            let is_behind = !self.on_its_way.is_empty();
            let has_room = !is_waiting && lock(&self.reading.waiting).is_none();
            if is_behind && !(has_room && ahead.has_room(HEAD + payload.len(), self.most)) {
                return Ok(Sent::Full);
            }
            ahead.put(ticket, &head, &payload);
        }
        // Before the worker can ask for it.
        if is_waiting || self.ahead.is_none() {
            *lock(&self.reading.waiting) =
                is_waiting.then(|| Waiting { ticket, call: Some(Arc::clone(call)), is_trimmed: false });
        }
        if self.ahead.is_none() && !send_now(&self.data, &head, &payload) {
            // It is dying, or what was read of it is not all that it wrote.
            return Err(Nonsense);
        }
        self.on_its_way.push_back(ticket);
        Ok(Sent::Yes)
    }

    pub(super) fn receive(&mut self) -> Result<Option<Received>, Nonsense> {
        if !self.has_replies() {
            return if self.reading.is_nonsense.load(Ordering::SeqCst) { Err(Nonsense) } else { Ok(None) };
        }
        let received = {
            let mut replies = lock(&self.reading.replies);
            let received = replies.pop_front();
            self.reading.has_reply.store(!replies.is_empty(), Ordering::SeqCst);
            received
        };
        let Some(ticket) = received.as_ref().map(|received| received.ticket) else { return Ok(None) };
        // Those before it were given back, and who asks for that has yet to see it.
        let Some(place) = self.on_its_way.iter().position(|its| *its == ticket) else { return Err(Nonsense) };
        self.on_its_way.remove(place);
        if let Some(ahead) = &self.ahead {
            ahead.over(ticket);
        }
        lock(&self.reading.waiting).take_if(|waiting| waiting.ticket == ticket);
        self.since_large = self.since_large.saturating_add(1);
        if self.since_large == FORGET_AFTER {
            *lock(&self.reading.spare) = None;
        }
        Ok(received)
    }

    pub(super) fn reuse(&mut self, buffer: Vec<u8>) {
        if SPARE.contains(&buffer.capacity()) {
            self.since_large = 0;
            *lock(&self.reading.spare) = Some(buffer);
        }
    }

    pub(super) fn ahead(&self) -> Option<&Arc<Ahead>> {
        self.ahead.as_ref()
    }

    /// The call is not on its way any more, without a reply.
    pub(super) fn withdrawn(&mut self, ticket: u64) {
        self.on_its_way.retain(|its| *its != ticket);
        if let Some(ahead) = &self.ahead {
            ahead.over(ticket);
        }
    }

    /// Sends what was put together to be sent.
    pub(super) fn notify(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.send();
        }
    }

    pub(super) fn has_replies(&self) -> bool {
        self.reading.has_reply.load(Ordering::SeqCst)
    }

    /// Nothing more will come than is there. True when all of that was read.
    pub(super) fn close(&mut self) -> bool {
        if self.left.is_some() {
            return true;
        }
        // What is in the socket stays there to be read. Again is no harm.
        let _ = shutdown(&self.data, Shutdown::Both);
        if self.reading.is_running.load(Ordering::SeqCst) {
            return false;
        }
        self.left = Some((read_all(&self.diary, DIARY), read_all(&self.last_words, LONGEST)));
        true
    }

    pub(super) fn last_words(&self) -> Option<String> {
        self.left.as_ref().and_then(|(_, last_words)| report_of(last_words))
    }

    pub(super) fn is_sent(&self, ticket: u64) -> bool {
        self.left.is_some() && self.in_diary(ticket).is_none()
    }

    pub(super) fn done_so_far(&self, ticket: u64) -> Option<Vec<u8>> {
        self.in_diary(ticket).map(<[u8]>::to_vec)
    }

    /// What is written of this call, which has begun.
    fn in_diary(&self, ticket: u64) -> Option<&[u8]> {
        let (begun, done) = self.left.as_ref()?.0.split_first_chunk()?;
        (u64::from_le_bytes(*begun) == ticket || *begun == UNKNOWN).then_some(done)
    }

    /// Comes before the chunk looks the next time, if it does at all.
    pub(super) fn trim(&mut self, ticket: u64) {
        if std::mem::replace(&mut self.trimmed, ticket) == ticket {
            return;
        }
        match &mut *lock(&self.reading.waiting) {
            Some(waiting) if waiting.ticket == ticket => waiting.is_trimmed = true,
            _ => drop(send_now(&self.data, &Head::bare(kind::TRIM, ticket), &[])),
        }
    }

    pub(super) fn size(&self) -> &Arc<AtomicU64> {
        &self.size
    }

    /// Nothing is on its way. A worker that does not hear it is ended soon.
    pub(super) fn ask_to_leave(&self) {
        let _ = send_now(&self.data, &Head::bare(kind::LEAVE, 0), &[]);
    }
}

impl Drop for SocketLink {
    fn drop(&mut self) {
        // Ends the thread, also where something that a task started has the socket still.
        let _ = shutdown(&self.data, Shutdown::Both);
    }
}

/// What was sent is with the worker.
struct Taken;

impl Claim for Taken {
    fn withdraw(&self, _: u64) -> bool {
        false
    }

    fn is_taken(&self, _: u64) -> bool {
        true
    }
}

struct Reader {
    frames: Frames,
    ahead: Option<Arc<Ahead>>,
    diary: Arc<OwnedFd>,
    reading: Arc<Reading>,
    worker: Weak<Worker>,
}

impl Reader {
    fn run(mut self) {
        loop {
            match self.step() {
                // What is here already is looked at together.
                Ok(true) if self.frames.has_more() => {}
                Ok(true) => self.look(),
                Ok(false) => break,
                Err(error) => {
                    let is_nonsense = error.kind() == io::ErrorKind::InvalidData;
                    self.reading.is_nonsense.store(is_nonsense, Ordering::SeqCst);
                    break;
                }
            }
        }
        self.reading.is_running.store(false, Ordering::SeqCst);
        self.look();
    }

    fn look(&self) {
        if let Some(worker) = self.worker.upgrade() {
            worker.look_after();
        }
    }

    /// Reads until there is something to look at. False when there will be nothing.
    fn step(&mut self) -> io::Result<bool> {
        let head = loop {
            let Some(head) = self.frames.next()? else { return Ok(false) };
            match (head.kind, &self.ahead) {
                (kind::PULL, _) => self.send_argument(head.ticket)?,
                (kind::DONE | kind::FAILED, _) => break head,
                (kind::BACK | kind::BEGUN, Some(ahead)) => {
                    ahead.told(head.ticket, head.kind == kind::BACK);
                    return Ok(true);
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        };
        let mut is_last = false;
        let spare = if head.len >= LARGE as u64 { lock(&self.reading.spare).take() } else { None };
        let result = match self.frames.take(&head, spare) {
            // Its bytes are not read, so what is behind them will not be found: it is the last that this worker has done.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                is_last = true;
                Err(Box::new(TaskError::Decode(format!("a result of {} bytes: {error}", head.len))))
            }
            Err(error) => return Err(error),
            Ok(bytes) if head.kind == kind::DONE => Ok(bytes),
            Ok(bytes) => Err(Box::new(
                postcard::from_bytes(&bytes).unwrap_or_else(|error| TaskError::Decode(error.to_string())),
            )),
        };
        // What it says of this call is over with. Of one that is elsewhere, it says something only in the end.
        if self.ahead.is_none() {
            read_all(&self.diary, DIARY);
        }
        let tally = Counted {
            completed: head.words[0] as u32,
            failed: (head.words[0] >> 32) as u32,
            cancelled: head.words[1] as u32,
        };
        let said = head.words[1] & SAID != 0;
        let received =
            Received { ticket: head.ticket, reply: Reply { result, tally, names: Names::new() }, said };
        {
            let mut replies = lock(&self.reading.replies);
            if !replies.is_empty() && self.ahead.is_none() {
                // Nobody has asked for a second.
                return Err(io::ErrorKind::InvalidData.into());
            }
            replies.push_back(received);
            self.reading.has_reply.store(true, Ordering::SeqCst);
        }
        if is_last { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(true) }
    }

    fn send_argument(&self, ticket: u64) -> io::Result<()> {
        let call = match &mut *lock(&self.reading.waiting) {
            Some(waiting) if waiting.ticket == ticket => waiting.call.take(),
            _ => None,
        };
        send_bare(self.frames.fd(), &call.ok_or(io::ErrorKind::InvalidData)?.arg)?;
        // Under the lock, so that who trims meanwhile is heard here, or sends it himself.
        let mut waiting = lock(&self.reading.waiting);
        if waiting.take_if(|waiting| waiting.ticket == ticket).is_some_and(|waiting| waiting.is_trimmed) {
            // Full, if at all, of what the worker is about to read; then the chunk is done to its end.
            let _ = send_now(self.frames.fd(), &Head::bare(kind::TRIM, ticket), &[]);
        }
        Ok(())
    }
}

/// Reads what is in a pipe, at most so much.
fn read_all(pipe: &OwnedFd, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    while bytes.len() < most {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len());
        }
        match retry_on_intr(|| rustix::io::read(pipe, spare_capacity(&mut bytes))) {
            // Nothing more is there if not all of the room was needed.
            Ok(1..) if bytes.len() == bytes.capacity() => {}
            _ => break,
        }
    }
    bytes
}
