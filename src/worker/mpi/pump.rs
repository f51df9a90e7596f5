//! The thread that has MPI, and carries bytes between it and sockets. Owns the channels, the messages under way, and when to look
//! again: MPI cannot wake a thread, so it asks, in intervals that grow with the quiet.
//!
//! The pump of the first rank and those of the others are the same but for who begins and ends channels, which is [`Side`]'s.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    num::NonZeroU64,
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{
    channel::{Channel, Read},
    message::{HEAD, Head, Kind, TAG},
};
use crate::sys::mpi::{Comm, Message, Session};

/// As much as is read from a socket at once.
const PIECE: usize = 256 << 10;

/// The shortest and the longest time for which nobody looks whether a message has come. Between them it is an eighth of the time
/// since the last one: what takes long may be noticed a little later. The longest keeps an idle process at one hundredth of a CPU.
const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(2);

/// How long to sleep where no message is expected.
const ASLEEP: Duration = Duration::from_millis(100);

/// Such messages, one after the other, are looked for without a look at the sockets.
const BATCH: usize = 64;

/// Another process of the job.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) at: (Comm, usize),
    pub(super) is_lost: bool,
    has_parted: bool,
    sending: VecDeque<Message>,
    receiving: VecDeque<Message>,
}

/// What is different between the first rank and the others.
pub(super) trait Side {
    /// What wakes the pump beside its sockets.
    fn bell(&self) -> Option<BorrowedFd<'_>>;
    /// Does what others have asked for. False when all is over.
    fn turn(&mut self, pump: &mut Pump) -> io::Result<bool>;
    /// Takes a message that is not about the bytes of a channel. False when all is over.
    fn hear(&mut self, pump: &mut Pump, peer: usize, head: Head, payload: &[u8]) -> io::Result<bool>;
    /// A channel is done, in both directions.
    fn done(&mut self, pump: &mut Pump, id: u32);
    /// A peer is gone, and its channels with it. An error if that is the end.
    fn lost(&mut self, pump: &mut Pump, peer: usize) -> io::Result<()>;
    /// When there is no channel, does a message come all the same?
    fn is_expecting(&self) -> bool;
    /// Nobody has the other end of this channel's socket any more: is that the end of the channel?
    fn is_deserted(&self) -> bool;
}

#[derive(Debug)]
pub(super) struct Pump {
    session: Session,
    peers: Vec<Peer>,
    comms: Vec<Comm>,
    channels: BTreeMap<u32, (usize, Channel)>,
    buffer: Box<[u8]>,
    spare: Vec<Vec<u8>>,
    last: Instant,
    /// Of the whole job, a rank is lost.
    is_short: bool,
}

impl Pump {
    pub(super) fn new(session: Session) -> Self {
        // Else the system rounds a short sleep up, to more than twice as much.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        Self {
            session,
            peers: Vec::new(),
            comms: Vec::new(),
            channels: BTreeMap::new(),
            buffer: vec![0; PIECE].into_boxed_slice(),
            spare: Vec::new(),
            last: Instant::now(),
            is_short: false,
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Gives MPI up without ceremony.
    pub(super) fn into_session(self) -> Session {
        self.session
    }

    /// Ends MPI, together with the peers, who do the same.
    pub(super) fn finish(self) -> io::Result<()> {
        if self.is_short {
            // To end MPI is to wait for everybody, which Open MPI 5 now and then does for a rank that is lost, too, and for ever.
            return Ok(());
        }
        let world = self.session.world();
        for comm in self.comms.iter().filter(|comm| **comm != world) {
            // To end while one is connected takes Open MPI 5 a time without end.
            self.session.disconnect(*comm)?;
        }
        self.session.finish()
    }

    /// Adds those ranks of a communicator. Gives the number of the first.
    pub(super) fn add_peers(&mut self, comm: Comm, ranks: std::ops::Range<usize>) -> usize {
        let first = self.peers.len();
        self.comms.push(comm);
        self.peers.extend(ranks.map(|rank| Peer {
            at: (comm, rank),
            is_lost: false,
            has_parted: false,
            sending: VecDeque::new(),
            receiving: VecDeque::new(),
        }));
        first
    }

    pub(super) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub(super) fn begin_channel(&mut self, id: u32, peer: usize, socket: OwnedFd) {
        self.channels.insert(id, (peer, Channel::new(socket)));
    }

    /// Takes a channel out, whatever is under way. Whoever has the other end of its socket sees the end.
    pub(super) fn drop_channel(&mut self, id: u32) -> bool {
        self.channels.remove(&id).is_some()
    }

    /// Takes all channels of one peer out, or all that there are. Gives them.
    pub(super) fn drop_channels(&mut self, of: Option<usize>) -> Vec<u32> {
        let mut gone = Vec::new();
        self.channels.retain(|id, (peer, _)| {
            let goes = of.is_none_or(|of| of == *peer);
            if goes {
                gone.push(*id);
            }
            !goes
        });
        gone
    }

    pub(super) fn send(&mut self, peer: usize, bytes: Vec<u8>) -> io::Result<()> {
        self.last = Instant::now();
        let Some(to) = self.peers.get_mut(peer).filter(|peer| !peer.is_lost) else { return Ok(()) };
        let mut message = self.session.send(to.at, TAG, bytes)?;
        // Small ones are copied at once.
        if to.sending.is_empty() && message.is_done()? {
            keep(&mut self.spare, message.into_bytes());
        } else {
            to.sending.push_back(message);
        }
        Ok(())
    }

    /// Tells all peers that this was all, and waits, for so long at most, until they have said the same and all that was sent has
    /// arrived. MPI must not end while a message is under way.
    pub(super) fn part(&mut self, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        self.is_short |= self.peers.iter().any(|peer| peer.is_lost);
        for peer in 0..self.peers.len() {
            let head = Head { amount: self.is_short.into(), ..Head::new(Kind::Bye, 0) };
            self.send(peer, head.with(&[]))?;
        }
        while Instant::now() < until {
            match self.is_parted() {
                Ok(true) => return Ok(()),
                Ok(false) => std::thread::sleep(SHORTEST),
                // Who is lost need not part.
                Err(error) => drop(self.examine(error)?),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the ranks do not part"))
    }

    fn is_parted(&mut self) -> io::Result<bool> {
        self.settle()?;
        for at in 0..self.comms.len() {
            while self.take(at)? {}
        }
        let mut is_parted = true;
        for peer in 0..self.peers.len() {
            while let Some(bytes) = self.arrived(peer)? {
                // Whatever else comes is for nobody.
                if let Some(bye) = Head::of(&bytes).filter(|head| head.kind == Kind::Bye) {
                    self.has_parted(peer, bye);
                }
                keep(&mut self.spare, bytes);
            }
            let peer = &self.peers[peer];
            is_parted &= peer.is_lost || (peer.has_parted && peer.sending.is_empty());
        }
        Ok(is_parted)
    }

    /// The peer has said that it says no more.
    pub(super) fn has_parted(&mut self, peer: usize, bye: Head) {
        self.peers[peer].has_parted = true;
        self.is_short |= bye.amount != 0;
    }

    /// Carries bytes until the side says that all is over.
    pub(super) fn run(&mut self, side: &mut impl Side) -> io::Result<()> {
        loop {
            match self.round(side) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    for (peer, channels) in self.examine(error)? {
                        channels.into_iter().for_each(|id| side.done(self, id));
                        side.lost(self, peer)?;
                    }
                }
            }
        }
    }

    fn round(&mut self, side: &mut impl Side) -> io::Result<bool> {
        if !side.turn(self)? {
            return Ok(false);
        }
        self.settle()?;
        let mut is_busy = false;
        for at in 0..self.comms.len() {
            for _ in 0..BATCH {
                if !self.take(at)? {
                    break;
                }
                is_busy = true;
            }
        }
        for peer in 0..self.peers.len() {
            while let Some(bytes) = self.arrived(peer)? {
                is_busy = true;
                if !self.deliver(side, peer, bytes)? {
                    return Ok(false);
                }
            }
        }
        if is_busy {
            self.last = Instant::now();
        }
        self.watch(side, is_busy)?;
        Ok(true)
    }

    /// Something is wrong with a message: perhaps a peer is gone, and the others are not. Gives those that are, and the channels
    /// that each of them had.
    fn examine(&mut self, error: io::Error) -> io::Result<Vec<(usize, Vec<u32>)>> {
        if error.kind() != io::ErrorKind::ConnectionReset {
            return Err(error);
        }
        let (mut any, mut gone) = (false, Vec::new());
        for at in 0..self.comms.len() {
            let comm = self.comms[at];
            let Some(ranks) = self.session.lost(comm)? else { return Err(error) };
            // Perhaps only one who is no peer of ours.
            any |= !ranks.is_empty();
            for peer in 0..self.peers.len() {
                let known = &mut self.peers[peer];
                if known.at.0 != comm || known.is_lost || !ranks.contains(&known.at.1) {
                    continue;
                }
                known.is_lost = true;
                known.sending.clear();
                known.receiving.clear();
                gone.push((peer, self.drop_channels(Some(peer))));
            }
        }
        if any { Ok(gone) } else { Err(error) }
    }

    /// Lets go of what was sent.
    fn settle(&mut self) -> io::Result<()> {
        for peer in &mut self.peers {
            while let Some(first) = peer.sending.front_mut() {
                if !first.is_done()? {
                    break;
                }
                if let Some(message) = peer.sending.pop_front() {
                    keep(&mut self.spare, message.into_bytes());
                }
            }
        }
        Ok(())
    }

    /// Begins to receive one message, if there is one.
    fn take(&mut self, at: usize) -> io::Result<bool> {
        let comm = self.comms[at];
        let Some((rank, len)) = self.session.probe(comm, TAG)? else { return Ok(false) };
        let buffer = self.spare.pop().unwrap_or_default();
        let message = self.session.receive((comm, rank), TAG, len, buffer)?;
        // One that is no peer has nothing to say, but its message is out of the way.
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.at == (comm, rank)) {
            peer.receiving.push_back(message);
        }
        Ok(true)
    }

    /// The next message of a peer, if all of it is there.
    fn arrived(&mut self, peer: usize) -> io::Result<Option<Vec<u8>>> {
        let receiving = &mut self.peers[peer].receiving;
        let Some(first) = receiving.front_mut() else { return Ok(None) };
        if !first.is_done()? {
            return Ok(None);
        }
        Ok(receiving.pop_front().map(Message::into_bytes))
    }

    fn deliver(&mut self, side: &mut impl Side, peer: usize, bytes: Vec<u8>) -> io::Result<bool> {
        let Some(head) = Head::of(&bytes) else {
            return Err(io::Error::other("a message makes no sense: is the other rank another program?"));
        };
        match head.kind {
            Kind::Data | Kind::End | Kind::Credit => {
                // A channel that was given up may still be spoken of.
                let Some((_, channel)) = self.channels.get_mut(&head.channel) else { return Ok(true) };
                match head.kind {
                    Kind::Data => channel.write(bytes, HEAD)?,
                    Kind::End => channel.end(),
                    _ => channel.credit(head.amount),
                }
                self.follow_up(side, head.channel)?;
                Ok(true)
            }
            _ => side.hear(self, peer, head, &bytes[HEAD..]),
        }
    }

    /// After something was written or read.
    fn follow_up(&mut self, side: &mut impl Side, id: u32) -> io::Result<()> {
        let Some((peer, channel)) = self.channels.get_mut(&id) else { return Ok(()) };
        let peer = *peer;
        if channel.is_done() {
            self.channels.remove(&id);
            side.done(self, id);
            return Ok(());
        }
        match channel.take_owed() {
            0 => Ok(()),
            amount => self.send(peer, Head { amount, ..Head::new(Kind::Credit, id) }.with(&[])),
        }
    }

    /// Waits for sockets, but not for long, and serves those that are ready.
    fn watch(&mut self, side: &mut impl Side, is_busy: bool) -> io::Result<()> {
        let pause = if is_busy { Duration::ZERO } else { self.pause(side) };
        let pause = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
        let is_deserted = side.is_deserted();
        let mut ids = Vec::new();
        let mut ready = Vec::new();
        {
            let mut fds = Vec::with_capacity(self.channels.len() + 1);
            for (id, (_, channel)) in &self.channels {
                let mut events = PollFlags::empty();
                events.set(PollFlags::IN, channel.is_readable());
                events.set(PollFlags::OUT, channel.has_waiting());
                // One that asks for nothing is told when the other end is gone, again and again.
                if !events.is_empty() || is_deserted {
                    ids.push(*id);
                    fds.push(PollFd::from_borrowed_fd(channel.socket(), events));
                }
            }
            fds.extend(side.bell().map(|bell| PollFd::from_borrowed_fd(bell, PollFlags::IN)));
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&pause)))?;
            ready.extend(ids.iter().zip(&fds).map(|(id, fd)| (*id, fd.revents())));
        }
        for (id, events) in ready.into_iter().filter(|(_, events)| !events.is_empty()) {
            self.last = Instant::now();
            self.serve(side, id, events)?;
        }
        Ok(())
    }

    fn serve(&mut self, side: &mut impl Side, id: u32, events: PollFlags) -> io::Result<()> {
        let gone = events.intersects(PollFlags::HUP | PollFlags::ERR);
        let Some((peer, channel)) = self.channels.get_mut(&id) else { return Ok(()) };
        let peer = *peer;
        if channel.has_waiting() && (gone || events.contains(PollFlags::OUT)) {
            channel.flush();
        }
        if channel.is_readable() && (gone || events.contains(PollFlags::IN)) {
            match channel.read(&mut self.buffer) {
                Read::Bytes(n) => {
                    let mut bytes = self.spare.pop().unwrap_or_default();
                    Head::new(Kind::Data, id).with_into(&self.buffer[..n], &mut bytes);
                    self.send(peer, bytes)?;
                }
                Read::NothingNow => {}
                Read::End => self.send(peer, Head::new(Kind::End, id).with(&[]))?,
            }
        } else if gone && side.is_deserted() {
            // All was read that may be sent. The rest, in both directions, is for nobody.
            self.channels.remove(&id);
            self.send(peer, Head::new(Kind::Drop, id).with(&[]))?;
            side.done(self, id);
            return Ok(());
        }
        self.follow_up(side, id)
    }

    /// How long nobody need look whether a message has come.
    fn pause(&self, side: &impl Side) -> Duration {
        if self.peers.iter().any(|peer| !peer.sending.is_empty() || !peer.receiving.is_empty()) {
            // MPI moves large messages only while it is asked for something.
            return Duration::ZERO;
        }
        if self.channels.is_empty() && !side.is_expecting() {
            return ASLEEP;
        }
        (self.last.elapsed() / 8).clamp(SHORTEST, LONGEST)
    }
}

/// Keeps a buffer for another message.
fn keep(spare: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    const MOST: usize = 16;
    if spare.len() < MOST && buffer.capacity() > 0 {
        spare.push(buffer);
    }
}
