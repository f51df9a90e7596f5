//! Reading and writing of frames on a socket, for both of its ends. Owns the buffer; what the frames say is others'.
//!
//! The ends go in lock-step: whoever is read from writes no further frame before it is answered. So a buffer holds one frame, and
//! bytes behind it are nonsense. Only a [`TRIM`](kind::TRIM) is no part of that.

use std::{
    io::{self, IoSlice},
    os::fd::OwnedFd,
    sync::Arc,
};

use rustix::{
    buffer::spare_capacity,
    io::retry_on_intr,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg},
};

use crate::wire::{
    layout::LARGE,
    stream::{HEAD, Head, kind},
};

/// Room for a payload is made in steps, as its bytes arrive: the first is so large, and none more than doubles what is there.
/// The length that a frame claims takes no memory.
const STEP: u64 = 1 << 20;

pub(crate) struct Frames {
    fd: Arc<OwnedFd>,
    /// The frame that is read, or its beginning, and what is before it, and behind.
    bytes: Vec<u8>,
    start: usize,
    /// Where it ends, as far as it was asked for.
    end: usize,
    /// The other end does not wait for answers.
    is_pipelined: bool,
}

impl Frames {
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Self {
        Self { fd, bytes: Vec::with_capacity(HEAD + LARGE), start: 0, end: 0, is_pipelined: false }
    }

    /// Of somebody who writes the next frame when he has it.
    pub(crate) fn pipelined(fd: Arc<OwnedFd>) -> Self {
        Self { is_pipelined: true, ..Self::new(fd) }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn shared_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// Waits for the next frame, and reads its head. None when there will be no more.
    ///
    /// # Errors
    ///
    /// `InvalidData` for what is no frame.
    pub(crate) fn next(&mut self) -> io::Result<Option<Head>> {
        self.start = self.end;
        if !self.is_pipelined || self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
        loop {
            self.end = self.start;
            if let Some((head, behind)) = self.bytes.get(self.start..).and_then(<[u8]>::split_first_chunk) {
                let head = Head::decode(head).ok_or_else(nonsense)?;
                if head.kind == kind::TRIM {
                    // Of a chunk that was done before it came.
                    self.start += HEAD;
                    continue;
                }
                if !self.is_pipelined && behind.len() as u64 > head.follow() {
                    return Err(nonsense());
                }
                self.end += HEAD;
                return Ok(Some(head));
            }
            self.make_place();
            match receive(&self.fd, &mut self.bytes)? {
                0 if self.bytes.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
    }

    /// Is the next frame there, or its beginning?
    pub(crate) fn has_more(&self) -> bool {
        self.bytes.len() > self.end
    }

    /// Moves what is read now to the front, where there is room behind it.
    fn make_place(&mut self) {
        self.bytes.drain(..self.start);
        self.end -= self.start;
        self.start = 0;
    }

    /// Reads a small payload of the frame whose head this is, and shows it.
    pub(crate) fn lend(&mut self, head: &Head) -> io::Result<&[u8]> {
        let len = usize::try_from(head.follow()).ok().and_then(|len| len.checked_add(HEAD));
        let len = len.filter(|len| *len <= self.bytes.capacity()).ok_or_else(nonsense)?;
        while self.bytes.len() < self.start + len {
            self.make_place();
            if receive(&self.fd, &mut self.bytes)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.end = self.start + len;
        if !self.is_pipelined && self.bytes.len() > self.end {
            return Err(nonsense());
        }
        self.bytes.get(self.start + HEAD..self.end).ok_or_else(nonsense)
    }

    /// Reads the payload of the frame whose head this is, of any length; into a buffer that nobody needs, if it will do.
    pub(crate) fn take(&mut self, head: &Head, spare: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
        let behind = self.bytes.get(self.start + HEAD..).unwrap_or_default();
        let come = usize::try_from(head.follow()).map_or(behind.len(), |len| len.min(behind.len()));
        let come = behind.get(..come).unwrap_or_default();
        let fits = |spare: &Vec<u8>| {
            spare.capacity() as u64 >= head.follow() && spare.capacity() as u64 / 2 <= head.follow()
        };
        let mut payload = spare.filter(fits).unwrap_or_default();
        payload.clear();
        make_room(&mut payload, head.follow().min(STEP.max(come.len() as u64)))?;
        payload.extend_from_slice(come);
        self.end = self.start + HEAD + come.len();
        fill(&self.fd, &mut payload, head.follow())?;
        Ok(payload)
    }

    /// Reads a payload that comes without a head, into `payload`, which is empty.
    pub(crate) fn take_bare(&mut self, payload: &mut Vec<u8>, len: u64) -> io::Result<()> {
        fill(&self.fd, payload, len)
    }
}

/// Is the chunk of this ticket, which is performed, to do no more? Says so once.
pub(crate) fn is_trimmed(fd: &OwnedFd, ticket: u64) -> bool {
    let mut head = [0; HEAD];
    loop {
        // A head is written at once, and so is there as a whole.
        match retry_on_intr(|| recv(fd, &mut head[..], RecvFlags::DONTWAIT)) {
            Ok((HEAD, _)) if Head::decode(&head) == Some(Head::bare(kind::TRIM, ticket)) => return true,
            Ok((HEAD, _)) => {}
            _ => return false,
        }
    }
}

/// Makes room for so many bytes more.
fn make_room(bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let room = usize::try_from(len).ok().map(|len| bytes.try_reserve_exact(len));
    room.and_then(Result::ok).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn fill(fd: &OwnedFd, payload: &mut Vec<u8>, len: u64) -> io::Result<()> {
    loop {
        let left = match len.checked_sub(payload.len() as u64) {
            Some(0) => return Ok(()),
            Some(left) => left,
            None => return Err(nonsense()),
        };
        if payload.len() == payload.capacity() {
            let step = STEP.max(payload.len() as u64).min(left);
            make_room(payload, step)?;
        }
        if receive(fd, payload)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Waits for bytes, and appends as many as there are and fit.
fn receive(fd: &OwnedFd, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let (_, n) = retry_on_intr(|| recv(fd, spare_capacity(bytes), RecvFlags::empty()))?;
    Ok(n)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other end of a socket writes nonsense")
}

/// Sends a frame, waiting for room as often as it takes.
pub(crate) fn send(fd: &OwnedFd, head: &Head, payload: &[u8]) -> io::Result<()> {
    let head = head.encode();
    let mut sent = 0;
    while sent < HEAD + payload.len() {
        let parts = (head.get(sent..).unwrap_or_default(), payload.get(sent.saturating_sub(HEAD)..));
        sent += send_parts(fd, parts.0, parts.1.unwrap_or_default(), SendFlags::empty())?;
    }
    Ok(())
}

/// Sends a payload without a head.
pub(crate) fn send_bare(fd: &OwnedFd, payload: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while let Some(rest) = payload.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += send_parts(fd, rest, &[], SendFlags::empty())?;
    }
    Ok(())
}

/// Sends a frame for which there is room. False when there was not, and it may have been sent in part.
pub(crate) fn send_now(fd: &OwnedFd, head: &Head, payload: &[u8]) -> bool {
    let sent = send_parts(fd, &head.encode(), payload, SendFlags::DONTWAIT);
    sent.is_ok_and(|sent| sent == HEAD + payload.len())
}

/// The same for frames that are put together.
#[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "only engines have them"))]
pub(crate) fn send_bytes_now(fd: &OwnedFd, bytes: &[u8]) -> bool {
    send_parts(fd, bytes, &[], SendFlags::DONTWAIT).is_ok_and(|sent| sent == bytes.len())
}

fn send_parts(fd: &OwnedFd, first: &[u8], second: &[u8], flags: SendFlags) -> io::Result<usize> {
    let parts = [IoSlice::new(first), IoSlice::new(second)];
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| sendmsg(fd, &parts, &mut SendAncillaryBuffer::default(), flags))?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sys::process::pair;

    fn frames() -> (Frames, OwnedFd) {
        let (ours, theirs) = pair().expect("a pair");
        (Frames::new(Arc::new(ours)), theirs)
    }

    fn head(len: u64) -> Head {
        Head { kind: kind::DONE, ticket: 5, words: [1, 2, 3], len }
    }

    #[test]
    fn frames_of_all_sizes_arrive() {
        for len in [0, 1, LARGE - 1, LARGE, 5 << 20] {
            let (mut frames, theirs) = frames();
            let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let expected = payload.clone();
            let writer = thread::spawn(move || send(&theirs, &head(len as u64), &payload).expect("sent"));
            let came = frames.next().expect("a frame").expect("not the end");
            assert_eq!(came, head(len as u64));
            if len <= LARGE {
                assert!(frames.lend(&came).expect("the payload") == expected);
            } else {
                let spare = Some(Vec::with_capacity(len));
                assert!(frames.take(&came, spare).expect("the payload") == expected);
            }
            writer.join().expect("the writer");
            assert!(frames.next().expect("no frame").is_none());
        }
    }

    #[test]
    fn a_payload_without_a_head_arrives() {
        let (mut frames, theirs) = frames();
        let writer = thread::spawn(move || send_bare(&theirs, &vec![7; 3 << 20]).expect("sent"));
        let mut payload = Vec::new();
        frames.take_bare(&mut payload, 3 << 20).expect("the payload");
        assert!(payload == vec![7; 3 << 20]);
        writer.join().expect("the writer");
    }

    #[test]
    fn a_length_that_is_only_claimed_takes_no_memory() {
        let (mut frames, theirs) = frames();
        assert!(send_now(&theirs, &head(u64::MAX), b"little"));
        drop(theirs);
        let came = frames.next().expect("a frame").expect("not the end");
        assert_eq!(frames.take(&came, None).expect_err("it ends").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn half_a_frame_and_more_than_one_are_errors() {
        let (mut frames, theirs) = frames();
        rustix::io::write(&theirs, &head(3).encode()[..HEAD - 1]).expect("written");
        drop(theirs);
        assert_eq!(frames.next().expect_err("half a head").kind(), io::ErrorKind::UnexpectedEof);

        let (mut frames, theirs) = self::frames();
        assert!(send_now(&theirs, &head(1), b"xy"));
        assert_eq!(frames.next().expect_err("a byte too many").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn frames_that_come_at_once_are_read_one_by_one() {
        let (ours, theirs) = pair().expect("a pair");
        let mut frames = Frames::pipelined(Arc::new(ours));
        let lens = [0, 1, LARGE - 1, 3, LARGE, 2 * LARGE, 5, 0];
        let writer = thread::spawn(move || {
            for len in lens {
                send(&theirs, &head(len as u64), &vec![len as u8; len]).expect("sent");
            }
        });
        for len in lens {
            let came = frames.next().expect("a frame").expect("not the end");
            assert_eq!(came, head(len as u64));
            let payload = if len <= 3 {
                frames.lend(&came).expect("all").to_vec()
            } else {
                frames.take(&came, None).expect("all")
            };
            assert!(payload == vec![len as u8; len], "{len}");
        }
        writer.join().expect("the writer");
        assert!(!frames.has_more());
        assert!(frames.next().expect("no frame").is_none());
    }

    #[test]
    fn a_chunk_is_trimmed_by_its_own_ticket() {
        let (mut frames, theirs) = frames();
        let trim = |ticket| assert!(send_now(&theirs, &Head::bare(kind::TRIM, ticket), &[]));
        assert!(!is_trimmed(frames.fd(), 5));
        trim(4);
        trim(5);
        assert!(is_trimmed(frames.fd(), 5));
        assert!(!is_trimmed(frames.fd(), 5));
        trim(5);
        assert!(send_now(&theirs, &head(2), b"xy"));
        let came = frames.next().expect("a frame").expect("not the end");
        assert_eq!(came, head(2));
        assert_eq!(frames.lend(&came).expect("the payload"), b"xy");
    }

    #[test]
    fn what_does_not_fit_is_not_waited_for() {
        let (frames, _theirs) = frames();
        assert!(!send_now(frames.fd(), &head(64 << 20), &vec![0; 64 << 20]));
    }
}
