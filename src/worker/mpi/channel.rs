//! One stream between a socket here and one in another process of the job. Owns what is under way in it and how much that may be;
//! does not know how it is carried.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown},
};

/// How much may be under way in each direction: sent, and not yet taken by whoever reads the socket over there.
pub(super) const WINDOW: u64 = 2 << 20;

/// Credit is given in parts of this size, so that it costs little.
const PART: u64 = WINDOW / 8;

/// The end of a stream that is here.
///
/// Each direction ends by itself. From here to there: the socket has no more to read, which is told once. From there to here: that
/// was told by the other side, and when all that came before is written, the socket hears it, too. With both done the channel is.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    /// What came, and could not be written yet; the first part from where it was left.
    waiting: VecDeque<Vec<u8>>,
    written: usize,
    /// Bytes that were taken from the window and are not given back yet.
    owed: u64,
    credit: u64,
    /// There is more to read, for all we know.
    is_reading: bool,
    incoming: Incoming,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    /// It comes, and is written.
    Open,
    /// All has come; some waits to be written.
    Ending,
    /// Nobody reads the socket any more, so what comes is nobody's.
    Unread,
    Ended,
}

/// What reading a socket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    NothingNow,
    End,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            written: 0,
            owed: 0,
            credit: WINDOW,
            is_reading: true,
            incoming: Incoming::Open,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// May be read now: there is more, and it may be sent.
    pub(super) fn is_readable(&self) -> bool {
        self.is_reading && self.credit > 0
    }

    /// Something waits to be written.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        !self.is_reading && self.incoming == Incoming::Ended
    }

    /// Reads what may be sent, without waiting. After an end it is not to be asked again.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let room = usize::try_from(self.credit).unwrap_or(usize::MAX).min(buffer.len());
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut buffer[..room], RecvFlags::DONTWAIT)
        });
        match received {
            // It fits: no more than the room was received.
            Ok((n, _)) if n > 0 => {
                self.credit -= n as u64;
                Read::Bytes(n)
            }
            Err(Errno::AGAIN) => Read::NothingNow,
            // An error of a stream is its end: who was there is gone.
            Ok(_) | Err(_) => {
                self.is_reading = false;
                Read::End
            }
        }
    }

    /// The other side has taken so much.
    pub(super) fn credit(&mut self, amount: u64) {
        self.credit = self.credit.saturating_add(amount).min(WINDOW);
    }

    /// Data has come, `bytes` from `start` on.
    ///
    /// # Errors
    /// When it is more than the other side may send.
    pub(super) fn write(&mut self, bytes: Vec<u8>, start: usize) -> io::Result<()> {
        let len = (bytes.len() - start) as u64;
        let waiting: usize = self.waiting.iter().map(Vec::len).sum();
        if waiting as u64 > WINDOW + WINDOW / 2 {
            return Err(io::Error::other("more came than was allowed"));
        }
        match self.incoming {
            Incoming::Open if self.waiting.is_empty() => {
                self.waiting.push_back(bytes);
                self.written = start;
                self.flush();
            }
            // The head of a later part is cut off: parts begin where they begin.
            Incoming::Open => self.waiting.push_back(bytes[start..].to_vec()),
            Incoming::Ending | Incoming::Unread | Incoming::Ended => self.owed += len,
        }
        Ok(())
    }

    /// No more data will come.
    pub(super) fn end(&mut self) {
        self.incoming = match self.incoming {
            Incoming::Open if self.has_waiting() => Incoming::Ending,
            Incoming::Open => {
                let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
                Incoming::Ended
            }
            Incoming::Unread => Incoming::Ended,
            same @ (Incoming::Ending | Incoming::Ended) => same,
        };
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) {
        while let Some(first) = self.waiting.front() {
            let rest = &first[self.written..];
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, rest, flags)) {
                Ok(n) => {
                    self.owed += n as u64;
                    self.written += n;
                    if self.written == first.len() {
                        self.waiting.pop_front();
                        self.written = 0;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    let unread: usize = self.waiting.drain(..).map(|part| part.len()).sum();
                    self.owed += (unread - self.written) as u64;
                    self.written = 0;
                    self.incoming =
                        if self.incoming == Incoming::Ending { Incoming::Ended } else { Incoming::Unread };
                    return;
                }
            }
        }
        if self.incoming == Incoming::Ending {
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
            self.incoming = Incoming::Ended;
        }
    }

    /// How much the other side may send beyond what it was told; 0 until that is worth a message.
    pub(super) fn take_owed(&mut self) -> u64 {
        if self.owed < PART || self.incoming == Incoming::Ended { 0 } else { std::mem::take(&mut self.owed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{pair, recv_with, send_with};

    fn channel() -> (Channel, OwnedFd) {
        let (near, far) = pair().expect("pair");
        (Channel::new(near), far)
    }

    fn read_all(socket: &OwnedFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = vec![0; 1 << 16];
        loop {
            match recv_with(socket, &mut bytes, &mut Vec::new()).expect("receive") {
                0 => return all,
                n => all.extend_from_slice(&bytes[..n]),
            }
        }
    }

    #[test]
    fn no_more_is_read_than_may_be_sent() {
        let (mut channel, far) = channel();
        channel.credit = 5;
        assert_eq!(send_with(&far, b"eight by", &[]).expect("send"), 8);
        let mut buffer = [0; 64];
        assert_eq!(channel.read(&mut buffer), Read::Bytes(5));
        assert!(!channel.is_readable());
        channel.credit(2);
        assert!(channel.is_readable());
        assert_eq!(channel.read(&mut buffer), Read::Bytes(2));
        channel.credit(u64::MAX);
        assert_eq!(channel.credit, WINDOW);
        assert_eq!(channel.read(&mut buffer), Read::Bytes(1));
        assert_eq!(channel.read(&mut buffer), Read::NothingNow);
        drop(far);
        assert_eq!(channel.read(&mut buffer), Read::End);
        assert!(!channel.is_reading && !channel.is_done());
        channel.end();
        assert!(channel.is_done());
    }

    #[test]
    fn what_the_socket_does_not_take_waits_in_order_and_the_end_comes_last() {
        let (mut channel, far) = channel();
        let part = |n: u8| [&[0xee; 16][..], &vec![n; 200_000]].concat();
        for n in 0..5 {
            channel.write(part(n), 16).expect("allowed");
        }
        assert!(channel.has_waiting());
        channel.end();
        assert_eq!(channel.incoming, Incoming::Ending);
        let reader = std::thread::spawn(move || read_all(&far));
        while channel.has_waiting() {
            channel.flush();
            std::thread::yield_now();
        }
        assert_eq!(channel.incoming, Incoming::Ended);
        let all = reader.join().expect("reader");
        assert_eq!(all, (0..5).flat_map(|n| vec![n; 200_000]).collect::<Vec<u8>>());
    }

    #[test]
    fn what_was_taken_is_given_back_in_large_parts() {
        let (mut channel, far) = channel();
        channel.write(vec![1; 100], 0).expect("allowed");
        assert_eq!(channel.take_owed(), 0);
        let reader = std::thread::spawn(move || read_all(&far));
        channel.write(vec![2; PART as usize], 0).expect("allowed");
        while channel.has_waiting() {
            channel.flush();
            std::thread::yield_now();
        }
        assert_eq!(channel.take_owed(), PART + 100);
        channel.end();
        assert_eq!(reader.join().expect("reader").len() as u64, PART + 100);
    }

    #[test]
    fn data_for_nobody_is_taken_all_the_same() {
        let (mut channel, far) = channel();
        drop(far);
        channel.write(vec![1; 2 * PART as usize], 16).expect("allowed");
        assert_eq!(channel.incoming, Incoming::Unread);
        channel.write(vec![1; 26], 16).expect("allowed");
        assert_eq!(channel.take_owed(), 2 * PART - 16 + 10);
        channel.end();
        assert_eq!(channel.incoming, Incoming::Ended);
    }

    #[test]
    fn more_than_was_allowed_is_an_error() {
        let (mut channel, _far) = channel();
        let mut parts = 0..100;
        assert!(parts.any(|_| channel.write(vec![0; 1 << 20], 0).is_err()));
    }
}
