//! The pool's end of the socket for what is no call. Owns the reading and writing of messages; what they mean is the worker's.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    sys::{
        lock::lock,
        process::{recv_some, send_now, send_with},
    },
    wire::control::{Inbox, ToPool, ToWorker, encode},
};

/// Many may read; messages are heard in their order, by one at a time.
pub(super) struct Control {
    fd: Arc<OwnedFd>,
    inbox: Mutex<Unheard>,
    is_hearing: AtomicBool,
    outbox: Mutex<()>,
}

/// As much as is read at once.
const PIECE: usize = 16 << 10;

#[derive(Default)]
struct Unheard {
    bytes: Inbox,
    /// The descriptors of messages that are not all there yet; of one, that is, if all is well.
    files: VecDeque<Vec<OwnedFd>>,
    messages: VecDeque<Heard>,
}

/// A message, and the file that travelled beside it.
pub(super) type Heard = (ToPool, Option<OwnedFd>);

impl Control {
    pub(super) fn new(fd: Arc<OwnedFd>) -> Self {
        Self { fd, inbox: Mutex::default(), is_hearing: AtomicBool::new(false), outbox: Mutex::default() }
    }

    pub(super) fn fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// Sends a message. One that cannot be sent is dropped: its receiver is dying.
    pub(super) fn say(&self, message: &ToWorker) {
        let _ = self.say_with(message, &[]);
    }

    /// The same with descriptors.
    pub(super) fn say_with(&self, message: &ToWorker, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = encode(message).map_err(io::Error::other)?;
        let _turn = lock(&self.outbox);
        send_all(self.fd.as_fd(), &bytes, fds)
    }

    /// Sends a short message if that can be done at once.
    pub(super) fn nudge(&self, message: &ToWorker) -> bool {
        self.nudge_with(message, &[]).is_ok()
    }

    /// The same with descriptors.
    pub(super) fn nudge_with(&self, message: &ToWorker, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = encode(message).map_err(io::Error::other)?;
        if bytes.len() > SHORT {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Ok(_turn) = self.outbox.try_lock() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        match send_now(self.fd.as_fd(), &bytes, fds)? {
            sent if sent == bytes.len() => Ok(()),
            // It fits into any buffer, or nothing of it does.
            sent => send_all(self.fd.as_fd(), &bytes[sent..], &[]),
        }
    }

    /// Reads what is there, to be heard. False when the other end is closed.
    pub(super) fn read(&self) -> bool {
        self.read_until(|_| false)
    }

    /// The same for who is told again as long as there is more: does not ask whether what came was all.
    pub(super) fn read_some(&self) -> bool {
        self.read_until(|bytes| bytes < PIECE)
    }

    fn read_until(&self, is_enough: impl Fn(usize) -> bool) -> bool {
        let mut buffer = [0; PIECE];
        loop {
            // Also while it is read, so that two who read do not mix up what they got.
            let mut inbox = lock(&self.inbox);
            let bytes = match recv_some(&*self.fd, &mut buffer, true) {
                Ok(came) if came.bytes == 0 => return false,
                Ok(came) => {
                    inbox.bytes.add(&buffer[..came.bytes]);
                    if came.has_fds() {
                        inbox.files.push_back(came.fds);
                    }
                    came.bytes
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            let inbox = &mut *inbox;
            loop {
                match inbox.bytes.next::<ToPool>() {
                    Ok(Some(message)) => {
                        let files = if message.brings_file() { inbox.files.pop_front() } else { None };
                        inbox.messages.push_back((message, files.and_then(|files| files.into_iter().next())));
                    }
                    Ok(None) => break,
                    Err(_) => return false,
                }
            }
            if inbox.files.len() > 1 {
                // Nobody has asked for them.
                return false;
            }
            if is_enough(bytes) {
                return true;
            }
        }
    }

    /// Hears what was read. False when somebody else is at it, maybe further up on this thread, who will hear it.
    pub(super) fn hear(&self, mut hear: impl FnMut(Heard)) -> bool {
        loop {
            if self.is_hearing.swap(true, Ordering::SeqCst) {
                return false;
            }
            let turn = Turn(&self.is_hearing);
            while let Some(message) = self.next() {
                hear(message);
            }
            drop(turn);
            // Who read more meanwhile found us at it.
            if lock(&self.inbox).messages.is_empty() {
                return true;
            }
        }
    }

    fn next(&self) -> Option<Heard> {
        lock(&self.inbox).messages.pop_front()
    }
}

struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// What is not longer is sent at once, or not at all.
const SHORT: usize = 4096;

/// Sends all of it, the descriptors with the first byte.
pub(super) fn send_all(to: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        let fds = if sent == 0 { fds } else { &[] };
        sent += send_with(to, &bytes[sent..], fds)?;
    }
    Ok(())
}
