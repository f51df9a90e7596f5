//! What waits to be written to a socket, in order, for both ends of a relay. Owns that nobody waits for room, that what is small goes
//! together, and that files go in pieces, so that what is urgent is not behind all of one.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    time::{Duration, Instant},
};

use crate::{
    sys::process::send_now,
    wire::relay::{PIECE, frame},
};

/// Nobody reads on where so much waits to be written: a writer is to wait for its reader, be it on another machine.
pub(crate) const ENOUGH: usize = 4 << 20;

/// What is small is put together up to this length, and written at once.
const TOGETHER: usize = 64 << 10;

/// How long that waits for more which need not be written at once.
const LINGER: Duration = Duration::from_micros(100);

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What is being written, and how much of it is.
    now: Vec<u8>,
    written: usize,
    /// Descriptors that go with its first byte.
    files: Vec<OwnedFd>,
    urgent: VecDeque<Vec<u8>>,
    queue: VecDeque<Item>,
    /// How much waits, but for files.
    len: usize,
    /// All of that may wait for more, since then.
    lingers_since: Option<Instant>,
}

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>, Vec<OwnedFd>),
    /// The content of a file, in frames of one kind.
    Content {
        kind: u8,
        file: File,
        at: u64,
        is_begun: bool,
    },
}

impl Outbox {
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        self.push_with(bytes, Vec::new());
    }

    /// The same with descriptors, which travel beside the first byte.
    pub(crate) fn push_with(&mut self, bytes: Vec<u8>, files: Vec<OwnedFd>) {
        if !bytes.is_empty() {
            self.lingers_since = None;
            self.len += bytes.len();
            self.queue.push_back(Item::Bytes(bytes, files));
        }
    }

    /// The same for what may wait a moment, because more of the kind is to come: see [`lingers`](Self::lingers).
    pub(crate) fn push_lingering(&mut self, bytes: Vec<u8>) {
        let since = if self.is_empty() { Some(Instant::now()) } else { self.lingers_since };
        self.push(bytes);
        self.lingers_since = since;
    }

    /// For how long this need not be written.
    pub(crate) fn lingers(&self) -> Option<Duration> {
        let since = self.lingers_since.filter(|_| self.len < TOGETHER)?;
        LINGER.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Goes before all that has not begun.
    pub(crate) fn push_urgent(&mut self, bytes: Vec<u8>) {
        self.lingers_since = None;
        self.len += bytes.len();
        self.urgent.push_back(bytes);
    }

    /// What is in a file, in frames of this kind, at least one.
    pub(crate) fn push_file(&mut self, kind: u8, file: OwnedFd) {
        self.lingers_since = None;
        self.queue.push_back(Item::Content { kind, file: File::from(file), at: 0, is_begun: false });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.now.len() && self.urgent.is_empty() && self.queue.is_empty()
    }

    /// Is there so much that no more should be read for it?
    pub(crate) fn is_full(&self) -> bool {
        self.len >= ENOUGH
            || self.queue.iter().filter(|item| matches!(item, Item::Content { .. })).count() > 8
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    ///
    /// When the other end is gone, or a file cannot be read.
    pub(crate) fn write(&mut self, to: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            if self.written == self.now.len() && !self.advance()? {
                self.lingers_since = None;
                return Ok(());
            }
            let files: Vec<_> = self.files.iter().map(AsFd::as_fd).collect();
            match send_now(to, &self.now[self.written..], &files) {
                Ok(n) => {
                    self.written += n;
                    self.len = self.len.saturating_sub(n);
                    self.files.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what comes next. False when there is nothing.
    fn advance(&mut self) -> io::Result<bool> {
        self.written = 0;
        self.now.clear();
        if let Some(bytes) = self.urgent.pop_front() {
            self.now = bytes;
            return Ok(true);
        }
        while let Some(item) = self.queue.front_mut() {
            if let Item::Content { kind, file, at, is_begun } = item {
                let mut piece = vec![0; PIECE];
                let n = read_at(file, &mut piece, *at)?;
                if n > 0 || !*is_begun {
                    *at += n as u64;
                    *is_begun = true;
                    self.now = frame(*kind, &[piece.get(..n).unwrap_or_default()]);
                    self.len += self.now.len();
                    return Ok(true);
                }
            }
            match self.queue.pop_front() {
                Some(Item::Bytes(bytes, files)) => {
                    (self.now, self.files) = (bytes, files);
                    self.add_what_follows();
                    return Ok(true);
                }
                _ => continue,
            }
        }
        Ok(false)
    }

    fn add_what_follows(&mut self) {
        while let Some(Item::Bytes(bytes, files)) = self.queue.front()
            && files.is_empty()
            && self.now.len() + bytes.len() <= TOGETHER
        {
            self.now.extend_from_slice(bytes);
            self.queue.pop_front();
        }
    }
}

fn read_at(file: &File, piece: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(piece, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::{
        sys::{
            appended::appended,
            process::{pair, recv_some},
        },
        wire::relay::{Incoming, to_agent},
    };

    #[test]
    fn what_lingers_keeps_nothing_else_waiting() {
        let (ours, theirs) = pair().expect("a pair");
        let mut outbox = Outbox::default();
        outbox.push_lingering(vec![1]);
        outbox.push(vec![2]);
        assert_eq!(outbox.lingers(), None);
        outbox.push_lingering(vec![3]);
        assert_eq!(outbox.lingers(), None);
        outbox.write(ours.as_fd()).expect("all of it");
        assert!(outbox.is_empty());
        outbox.push_lingering(vec![4; TOGETHER]);
        assert_eq!(outbox.lingers(), None);
        let mut came = [0; 4];
        assert_eq!(recv_some(&theirs, &mut came, false).expect("bytes").bytes, 3);
        assert_eq!(came, [1, 2, 3, 0]);
    }

    #[test]
    fn what_is_urgent_goes_between_the_pieces_of_a_file() {
        let (ours, theirs) = pair().expect("a pair");
        let file = appended("test").expect("a file");
        file.set_len(4 * PIECE as u64).expect("grown");
        let mut outbox = Outbox::default();
        outbox.push_file(to_agent::FILE, file.into());
        outbox.push(frame(to_agent::CONTROL, &[b"after"]));
        outbox.write(ours.as_fd()).expect("some of it");
        assert!(!outbox.is_empty());
        outbox.push_urgent(frame(to_agent::SIGNAL, &[b"now"]));
        let (mut incoming, mut kinds, mut buffer) = (Incoming::default(), Vec::new(), vec![0; 64 << 10]);
        while kinds.last() != Some(&to_agent::CONTROL) {
            let came = recv_some(&theirs, &mut buffer, false).expect("bytes");
            incoming.add(&buffer[..came.bytes]);
            while let Some((kind, _)) = incoming.next().expect("frames") {
                kinds.push(kind);
            }
            outbox.write(ours.as_fd()).expect("more of it");
        }
        assert_eq!(kinds.iter().filter(|kind| **kind == to_agent::FILE).count(), 4);
        let at = kinds.iter().position(|kind| *kind == to_agent::SIGNAL).expect("it came");
        assert!(at < 4, "{kinds:?}");
        assert!(outbox.is_empty());
    }
}
