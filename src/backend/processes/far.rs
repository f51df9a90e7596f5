//! A worker that is elsewhere, made to look like one here. Owns the thread between the sockets that the pool has for a worker and the stream
//! to the worker's agent (`inside::agent`), which is its other half.
//!
//! 1. What the agent says in an order is done here in that order: what a call has written is in the pool's files before its reply is in the
//!    socket.
//! 2. The end is told last, when all that came before it is where it belongs.
//! 3. When the stream ends without a word of the worker's end, all calls that are on their way count as begun: they may have been. So
//!    nothing is done twice unless retries were asked for.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStringExt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    crew::Crew,
    ends,
    launch::{NotStarted, variables, welcome},
    link::Link,
    site::Site,
};
use crate::{
    backend::lane::Lane,
    error::TaskError,
    inside::agent::Outbox,
    sys::{
        lock::lock,
        process::{Ended, Signal, bell, pair, recv_some, ring, send_with},
        sealed::Unsealed,
    },
    wire::{
        control::{Inbox, ToWorker, VERSION, encode},
        relay::{Begin, Follow, Incoming, PIECE, frame, frames, to_agent, to_pool},
        stream::{self, Head},
    },
};

/// How long an agent that is there may take to start a worker.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often somebody looks whether the worker is still wanted.
const LOOKS: Duration = Duration::from_millis(200);

pub(super) struct Far {
    pid: u32,
    /// What is to be sent before all else.
    urgent: Mutex<Vec<Vec<u8>>>,
    /// Has the thread look at it.
    bell: OwnedFd,
    /// Readable when it has ended.
    over: OwnedFd,
    ended: OnceLock<Ended>,
    memory: AtomicU64,
}

impl Far {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn death(&self) -> io::Result<OwnedFd> {
        self.over.try_clone()
    }

    pub(super) fn signal(&self, signal: Signal, group: bool) {
        let parts: [&[u8]; 2] = [&[u8::from(group)], &signal.as_raw().to_le_bytes()];
        lock(&self.urgent).push(frame(to_agent::SIGNAL, &parts));
        // It cannot fail on a bell of our own.
        let _ = ring(&self.bell);
    }

    pub(super) fn ended(&self) -> Ended {
        self.ended.get().copied().unwrap_or(Ended::Unknown)
    }

    pub(super) fn memory(&self) -> Option<u64> {
        Some(self.memory.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    fn end(&self, how: Ended) {
        let _ = self.ended.set(how);
        let _ = ring(&self.over);
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // Nobody looks after it. The thread then hangs up, which ends the agent and the worker.
        let _ = self.ended.set(Ended::Unknown);
        let _ = ring(&self.bell);
    }
}

/// Has a worker brought for this lane, and what the pool needs to have it work.
pub(super) fn bring(
    crew: &Crew,
    lane: &Lane,
    site: &Arc<dyn Site>,
) -> Result<(Arc<Far>, Arc<OwnedFd>, Link), NotStarted> {
    let wanted = || !lane.is_useless();
    crew.connect().map_err(NotStarted::Engine)?;
    let stream = site.bring(lane.index(), &wanted).map_err(NotStarted::Engine)?;
    let begun = (|| {
        let stream = ends::ours(stream);
        let (link, theirs) = Link::far()?;
        let [data, diary, last_words] = <[OwnedFd; 3]>::try_from(theirs)
            .map_err(|_| io::Error::other("a link by sockets has three descriptors"))?;
        let (ours, control) = {
            let _no_fork = ends::no_fork();
            let (ours, control) = pair()?;
            (ends::ours(ours), ends::ours(control))
        };
        let (data, diary, last_words) = (ends::ours(data), ends::ours(diary), ends::ours(last_words));
        let begin = postcard::to_stdvec(&begin(crew)).map_err(io::Error::other)?;
        send_all(&stream, &frame(to_agent::BEGIN, &[&begin]))?;
        let (pid, incoming) = started(&stream, &wanted)?;
        let far = Arc::new(Far {
            pid,
            urgent: Mutex::default(),
            bell: bell()?,
            over: bell()?,
            ended: OnceLock::new(),
            memory: AtomicU64::new(0),
        });
        let welcome = encode(&ToWorker::Welcome(Box::new(welcome(crew, lane)?))).map_err(io::Error::other)?;
        let mut relay = Relay {
            far: Arc::downgrade(&far),
            bell: far.bell.try_clone()?,
            stream,
            control,
            data,
            diary,
            last_words,
            incoming,
            to_agent: Outbox::default(),
            to_control: Outbox::default(),
            to_data: Outbox::default(),
            file: None,
            inbox: Inbox::default(),
            came: VecDeque::new(),
            captures: Vec::new(),
            calls: Calls::default(),
            control_is_open: true,
            data_is_open: true,
            buffer: vec![0; PIECE],
            ended: None,
        };
        frames(to_agent::CONTROL, &welcome).for_each(|frame| relay.to_agent.push(frame));
        thread::Builder::new().name("polypool-relay".to_owned()).spawn(move || relay.run())?;
        Ok((far, ours, link))
    })();
    begun.map_err(|error: io::Error| match site.gone() {
        Some(why) => NotStarted::Engine(why),
        None => NotStarted::Engine(TaskError::Backend {
            backend: site.name().to_owned(),
            source: Arc::new(error),
        }),
    })
}

fn begin(crew: &Crew) -> Begin {
    let bytes = |text: std::ffi::OsString| text.into_vec();
    Begin {
        version: VERSION,
        name: std::env::args_os().next().map(bytes),
        env: variables(crew.options()).into_iter().map(|(key, value)| (bytes(key), bytes(value))).collect(),
        current_dir: crew.options().current_dir.clone().map(|path| bytes(path.into_os_string())),
        watches_memory: crew.max_growth().is_some(),
    }
}

fn send_all(to: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += send_with(to, &bytes[sent..], &[])?;
    }
    Ok(())
}

/// Waits for the agent to say that it has a worker.
fn started(stream: &OwnedFd, wanted: &dyn Fn() -> bool) -> io::Result<(u32, Incoming)> {
    let (mut incoming, mut buffer, until) = (Incoming::default(), vec![0; 4096], Instant::now() + PATIENCE);
    let looks = rustix::event::Timespec { tv_sec: 0, tv_nsec: LOOKS.as_nanos() as i64 };
    loop {
        if let Some((kind, payload)) = incoming.next().map_err(|_| nonsense())? {
            return match (kind, <[u8; 4]>::try_from(payload)) {
                (to_pool::STARTED, Ok(pid)) => Ok((u32::from_le_bytes(pid), incoming)),
                (to_pool::FAILED, _) => Err(io::Error::other(format!(
                    "no worker could be started there: {}",
                    String::from_utf8_lossy(payload)
                ))),
                _ => Err(nonsense()),
            };
        }
        let mut ends = [PollFd::new(stream, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut ends, Some(&looks)))? == 0 {
            if Instant::now() > until || !wanted() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the agent of a worker says nothing"));
            }
            continue;
        }
        match recv_some(stream, &mut buffer, true)?.bytes {
            0 => return Err(io::Error::other("the agent of a worker ended before it had one")),
            n => incoming.add(&buffer[..n]),
        }
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the agent of a worker writes nonsense")
}

struct Relay {
    far: std::sync::Weak<Far>,
    bell: OwnedFd,
    stream: Arc<OwnedFd>,
    /// What a worker here would have.
    control: Arc<OwnedFd>,
    data: Arc<OwnedFd>,
    diary: Arc<OwnedFd>,
    last_words: Arc<OwnedFd>,
    incoming: Incoming,
    to_agent: Outbox,
    to_control: Outbox,
    to_data: Outbox,
    /// A file that comes, for the next message.
    file: Option<Unsealed>,
    inbox: Inbox,
    /// Descriptors of messages that are not all there yet.
    came: VecDeque<Vec<OwnedFd>>,
    /// The files of the calls that are captured, by their tickets: of one, and of those inside of it.
    captures: Vec<(u64, Vec<File>)>,
    calls: Calls,
    control_is_open: bool,
    data_is_open: bool,
    buffer: Vec<u8>,
    ended: Option<Ended>,
}

/// Where the socket for calls is, on the way to the worker.
#[derive(Default)]
struct Calls {
    follow: Follow,
    head: Vec<u8>,
    /// Calls that are on their way, or performed.
    outstanding: usize,
    /// So many bytes of it are sent when the worker asks for them.
    waiting: Option<u64>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stream,
    Control,
    Data,
    Bell,
}

impl Relay {
    fn run(mut self) {
        // What has come behind the first frame.
        let mut goes_on = self.take_frames().is_some();
        while goes_on && self.ended.is_none() {
            if self.to_agent.write(self.stream.as_fd()).is_err() {
                break;
            }
            self.write_to_pool();
            goes_on = match self.wait() {
                Ok(ready) => ready.into_iter().all(|end| self.look(end)),
                Err(_) => false,
            };
        }
        self.finish();
    }

    /// All that came is put where it belongs, then the end is told.
    fn finish(mut self) {
        if self.ended.is_none() && self.calls.outstanding > 0 {
            // See 3 above.
            let _ = rustix::io::write(&self.diary, &[stream::UNKNOWN; 2].concat());
        }
        while (self.control_is_open && !self.to_control.is_empty())
            || (self.data_is_open && !self.to_data.is_empty())
        {
            if self.far.strong_count() == 0 {
                return;
            }
            self.write_to_pool();
            let writes =
                |outbox: &Outbox| if outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let mut ends = [
                PollFd::new(&*self.control, writes(&self.to_control)),
                PollFd::new(&*self.data, writes(&self.to_data)),
            ];
            let looks = rustix::event::Timespec { tv_sec: 0, tv_nsec: LOOKS.as_nanos() as i64 };
            if rustix::io::retry_on_intr(|| poll(&mut ends, Some(&looks))).is_err() {
                break;
            }
        }
        if let Some(far) = self.far.upgrade() {
            far.end(self.ended.unwrap_or(Ended::Unknown));
        }
    }

    fn write_to_pool(&mut self) {
        if self.control_is_open && self.to_control.write(self.control.as_fd()).is_err() {
            self.control_is_open = false;
        }
        if self.data_is_open && self.to_data.write(self.data.as_fd()).is_err() {
            self.data_is_open = false;
        }
    }

    fn wait(&self) -> io::Result<Vec<End>> {
        let writes = |outbox: &Outbox| if outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let reads = |yes: bool| if yes { PollFlags::IN } else { PollFlags::empty() };
        let has_room = !self.to_agent.is_full();
        let takes_frames = !self.to_control.is_full() && !self.to_data.is_full();
        let mut ends: Vec<(End, BorrowedFd<'_>, PollFlags)> = vec![
            (End::Stream, self.stream.as_fd(), reads(takes_frames) | writes(&self.to_agent)),
            (End::Bell, self.bell.as_fd(), PollFlags::IN),
        ];
        if self.control_is_open {
            ends.push((End::Control, self.control.as_fd(), reads(has_room) | writes(&self.to_control)));
        }
        if self.data_is_open {
            ends.push((End::Data, self.data.as_fd(), reads(has_room) | writes(&self.to_data)));
        }
        let mut fds: Vec<_> =
            ends.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        let is_ready =
            |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok(ends.iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|((end, ..), _)| *end).collect())
    }

    /// False when it is over.
    fn look(&mut self, end: End) -> bool {
        match end {
            End::Stream => self.read_stream(),
            End::Bell => {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                let Some(far) = self.far.upgrade() else { return false };
                std::mem::take(&mut *lock(&far.urgent))
                    .into_iter()
                    .for_each(|bytes| self.to_agent.push_urgent(bytes));
                true
            }
            End::Control => self.hear().is_some(),
            End::Data => self.read_calls().is_some(),
        }
    }

    // ---- to the agent

    /// Reads messages. None when they make no sense.
    fn hear(&mut self) -> Option<()> {
        let came = match recv_some(&*self.control, &mut self.buffer, true) {
            Ok(came) if came.bytes > 0 => came,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(()),
            _ => {
                self.control_is_open = false;
                return Some(());
            }
        };
        self.inbox.add(&self.buffer[..came.bytes]);
        if came.has_fds() {
            self.came.push_back(came.fds);
        }
        loop {
            let next = self.inbox.next_as(|raw, message: ToWorker| {
                let ticket = if let ToWorker::Capture { ticket } = message { Some(ticket) } else { None };
                (raw.to_vec(), message.files(), ticket)
            });
            let Some((raw, files, ticket)) = next.ok()? else { return Some(()) };
            let mut files = if files > 0 { self.came.pop_front().unwrap_or_default() } else { Vec::new() };
            match ticket {
                Some(ticket) => {
                    self.captures.push((ticket, files.into_iter().map(File::from).collect()));
                    self.to_agent.push(frame(to_agent::CAPTURE, &[&ticket.to_le_bytes()]));
                }
                None => {
                    if let Some(file) = files.pop() {
                        self.to_agent.push_file(to_agent::FILE, file);
                    }
                }
            }
            frames(to_agent::CONTROL, &raw).for_each(|frame| self.to_agent.push(frame));
        }
    }

    /// Reads what comes by the socket for calls. None when it makes no sense.
    fn read_calls(&mut self) -> Option<()> {
        let came = match recv_some(&*self.data, &mut self.buffer, true) {
            Ok(came) if came.bytes > 0 => came.bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(()),
            _ => {
                self.data_is_open = false;
                return Some(());
            }
        };
        let Self { calls, to_agent, buffer, .. } = self;
        let mut bytes = buffer.get(..came)?;
        while !bytes.is_empty() {
            let (more, rest) = bytes.split_at_checked(calls.follow.belong(bytes.len()))?;
            if !more.is_empty() {
                to_agent.push(frame(to_agent::DATA, &[more]));
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at((stream::HEAD - calls.head.len()).min(bytes.len()));
            calls.head.extend_from_slice(part);
            bytes = rest;
            let Some(whole) = calls.head.first_chunk() else { break };
            let head = Head::decode(whole)?;
            match head.kind {
                stream::kind::CALL | stream::kind::WAITING => {
                    calls.outstanding += 1;
                    calls.waiting = (head.kind == stream::kind::WAITING).then_some(head.len);
                    calls.follow.expect(head.follow());
                    let (more, rest) = bytes.split_at_checked(calls.follow.belong(bytes.len()))?;
                    to_agent.push(frame(to_agent::CALL, &[&calls.head, more]));
                    bytes = rest;
                }
                stream::kind::TRIM | stream::kind::LEAVE => {
                    to_agent.push(frame(to_agent::DATA, &[&calls.head]))
                }
                stream::kind::ASK => {
                    to_agent.push(frame(to_agent::ASK, &[&head.ticket.to_le_bytes()]));
                }
                _ => return None,
            }
            calls.head.clear();
        }
        Some(())
    }

    // ---- from the agent

    fn read_stream(&mut self) -> bool {
        loop {
            match recv_some(&*self.stream, &mut self.buffer, true) {
                Ok(came) if came.bytes > 0 => {
                    self.incoming.add(&self.buffer[..came.bytes]);
                    if self.take_frames().is_none() {
                        tracing::error!("the agent of a worker writes nonsense, and is left");
                        return false;
                    }
                    if self.ended.is_some() || self.to_control.is_full() || self.to_data.is_full() {
                        return true;
                    }
                    self.write_to_pool();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                _ => return false,
            }
        }
    }

    fn take_frames(&mut self) -> Option<()> {
        while self.ended.is_none() {
            let Some((kind, payload)) = self.incoming.next().ok()? else { break };
            let payload = payload.to_vec();
            self.take_frame(kind, payload)?;
        }
        Some(())
    }

    /// None when it makes no sense.
    fn take_frame(&mut self, kind: u8, payload: Vec<u8>) -> Option<()> {
        match kind {
            to_pool::CONTROL => {
                let file = self.file.take().and_then(|file| file.seal().ok());
                self.to_control.push_with(payload, file.into_iter().collect());
            }
            to_pool::REPLY => {
                self.calls.outstanding = self.calls.outstanding.saturating_sub(1);
                self.captures.clear();
                self.to_data.push(payload);
            }
            to_pool::DATA => self.to_data.push(payload),
            to_pool::PULL => {
                self.calls.follow.expect(self.calls.waiting.take()?);
                self.to_data.push(payload);
            }
            to_pool::BACK | to_pool::BEGUN => {
                let ticket = u64::from_le_bytes(payload.try_into().ok()?);
                let is_back = kind == to_pool::BACK;
                self.calls.outstanding = self.calls.outstanding.saturating_sub(usize::from(is_back));
                let kind = if is_back { stream::kind::BACK } else { stream::kind::BEGUN };
                self.to_data.push(Head::bare(kind, ticket).encode().to_vec());
            }
            to_pool::FILE => {
                if self.file.is_none() {
                    self.file = Unsealed::new("polypool-placed").ok();
                }
                if self.file.as_ref().is_some_and(|file| file.append(&payload).is_err()) {
                    self.file = None;
                }
            }
            to_pool::OUTPUT => {
                let (ticket, rest) = payload.split_first_chunk()?;
                let (which, bytes) = rest.split_first()?;
                let ticket = u64::from_le_bytes(*ticket);
                let captured = self.captures.iter_mut().find(|(its, _)| *its == ticket);
                if let Some(file) = captured.and_then(|(_, files)| files.get_mut(usize::from(*which))) {
                    // Without memory for it, it is not there.
                    let _ = file.write_all(bytes);
                }
            }
            to_pool::PRINT => {
                let (which, bytes) = payload.split_first()?;
                // Where nobody reads any more, nobody misses it.
                let _ = match which {
                    1 => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
                    _ => io::stderr().write_all(bytes),
                };
            }
            to_pool::DIARY => drop(rustix::io::write(&self.diary, &payload)),
            to_pool::LAST_WORDS => drop(rustix::io::write(&self.last_words, &payload)),
            to_pool::MEMORY => {
                let bytes = u64::from_le_bytes(payload.try_into().ok()?);
                if let Some(far) = self.far.upgrade() {
                    far.memory.store(bytes, Ordering::Relaxed);
                }
            }
            to_pool::EXIT => {
                let (how, number) = payload.split_first()?;
                let number = i32::from_le_bytes(number.try_into().ok()?);
                self.ended = Some(match how {
                    0 => Ended::Code(number),
                    1 => Ended::Signal(number),
                    _ => Ended::Unknown,
                });
            }
            _ => return None,
        }
        Some(())
    }
}
