//! The worker's end of the socket for what is no call, for all its threads. Owns the writing, and the thread that listens and sees
//! to it that this process does not outlive its pool.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex},
    thread,
};

use rustix::event::{PollFd, PollFlags, poll};
use serde::de::DeserializeOwned;

use super::{here::here, placing, shared::all_of};
use crate::{
    backend::Stats,
    sys::{
        lock::lock,
        process::{own_group_kill, recv_some, recv_with, send_with},
    },
    wire::control::{Inbox, ToPool, ToWorker, encode},
};

pub(crate) struct Outlet {
    fd: Arc<OwnedFd>,
    turn: Mutex<()>,
}

impl Outlet {
    pub(super) fn new(fd: Arc<OwnedFd>) -> Self {
        Self { fd, turn: Mutex::default() }
    }

    /// Sends a message. One that cannot be sent is dropped: this process is about to end.
    pub(crate) fn say(&self, message: &ToPool) {
        self.say_with(message, &[]);
    }

    /// The same with descriptors.
    pub(super) fn say_with(&self, message: &ToPool, fds: &[BorrowedFd<'_>]) {
        let Ok(bytes) = encode(message) else { return };
        let _turn = lock(&self.turn);
        let mut sent = 0;
        while sent < bytes.len() {
            match send_with(&*self.fd, &bytes[sent..], if sent == 0 { fds } else { &[] }) {
                Ok(n) => sent += n,
                Err(_) => return,
            }
        }
    }
}

/// Reads messages until there is one.
pub(crate) fn first<T: DeserializeOwned>(
    socket: &OwnedFd,
    inbox: &mut Inbox,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<T> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(message) = inbox.next().map_err(io::Error::other)? {
            return Ok(message);
        }
        match recv_with(socket, &mut buffer, fds)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => inbox.add(&buffer[..n]),
        }
    }
}

/// Listens, on a thread of its own, until the pool or its process is gone. Then so is this one, whatever it does, and what it
/// has started.
pub(super) fn listen(socket: Arc<OwnedFd>, owner: OwnedFd, mut inbox: Inbox) -> io::Result<()> {
    let listen = move || {
        let mut buffer = [0; 16 << 10];
        // Those of a message that is not all there yet.
        let mut files = VecDeque::new();
        loop {
            match inbox.next() {
                Ok(Some(message)) => {
                    hear(message, &mut files);
                    continue;
                }
                Ok(None) => {}
                Err(_) => own_group_kill(),
            }
            let mut ends = [
                PollFd::new(&*socket, PollFlags::IN),
                PollFd::from_borrowed_fd(owner.as_fd(), PollFlags::IN),
            ];
            match poll(&mut ends, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => own_group_kill(),
            }
            let owner_is_gone = !ends[1].revents().is_empty();
            if ends[0].revents().is_empty() && !owner_is_gone {
                continue;
            }
            match recv_some(&*socket, &mut buffer, false) {
                Ok(came) if came.bytes > 0 && !owner_is_gone => {
                    inbox.add(&buffer[..came.bytes]);
                    if came.has_fds() {
                        files.push_back(came.fds);
                    }
                }
                _ => own_group_kill(),
            }
        }
    };
    thread::Builder::new().name("polypool-watch".to_owned()).spawn(listen).map(drop)
}

fn hear(message: ToWorker, files: &mut VecDeque<Vec<OwnedFd>>) {
    let Some(here) = here() else { return };
    match message {
        ToWorker::Stop { ticket } => {
            here.words.heard_stop(ticket);
            here.helping.heard_stop(ticket);
            here.look_up();
        }
        ToWorker::Stuck => here.helping.is_stuck(),
        ToWorker::Claimed { id, ticket } => here.helping.answered(id, ticket),
        ToWorker::Size { max_workers } => here.words.heard_size(max_workers),
        ToWorker::Capture { ticket } => here.delivery.put(ticket, files.pop_front().unwrap_or_default()),
        ToWorker::Place(thing) => {
            let file = files.pop_front().and_then(|files| files.into_iter().next());
            placing::come(*thing, file);
        }
        ToWorker::Forget { id } => placing::forget(id.into()),
        ToWorker::Missing { id, why } => placing::is_missing(id.into(), why),
        ToWorker::Ended { id, result, names } => {
            let names = all_of(here, &names);
            here.upstream.ended(id, result, names);
        }
        ToWorker::Synced { request, outcome, item } => here.questions.answered(request, &outcome, item),
        ToWorker::Gone { completed, failed, cancelled } => {
            here.upstream.gone(Stats { queued: 0, running: 0, completed, failed, cancelled });
        }
        _ => {}
    }
}
