//! The fork server: a process that is started as a worker is, and makes workers by forking itself. Owns its children until it has
//! told how they ended; what they do is what every worker does.
//!
//! It has one thread, because a fork takes no other along. So it waits for all things at once: what the pool asks, the pool's
//! end, and the ends of its children. Only while a preload runs, which may take its time, another thread looks after the pool.
//!
//! 1. A child is not reaped before the pool has a descriptor of it: it is opened between the fork and the answer.
//! 2. When a child has ended, its group is killed first, then it is reaped, then its end is told. So its number is nobody else's
//!    as long as anyone here uses it.
//! 3. When the pool hangs up, the server stays until its children have ended, which they do as all workers do. When the pool's
//!    process is gone, it kills them, and itself.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread::{self, JoinHandle},
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{
    here,
    outlet::first,
    start::{REFUSED, check, initialise},
};
use crate::{
    function::placed::{Parcel, registry},
    sys::{
        copy::became_copy,
        process::{
            Child, Forked, Signal, adopt_forked, bell, exit_now, flush_c_stdio, forget_fork, fork,
            lead_group, move_high, obituary, own_group_kill, recv_with, ring, send_with, tell_end,
        },
    },
    task::catch::install_hook,
    wire::{
        control::{Inbox, encode},
        server::{FromServer, Orders, ToServer},
    },
};

/// Serves until it is not needed any more. Returns in the children: with the socket of a worker.
pub(super) fn serve(
    socket: Arc<OwnedFd>,
    mut inbox: Inbox,
    fds: Vec<OwnedFd>,
    orders: Orders,
) -> io::Result<OwnedFd> {
    let mut fds: VecDeque<OwnedFd> = fds.into();
    let Some(owner) = fds.pop_front() else {
        return Err(io::Error::other("the orders lack a descriptor"));
    };
    let owner = move_high(owner)?;
    let owner = Arc::new(owner);
    if let Err(reason) = check(orders.version, &orders.program, false) {
        say(&socket, &FromServer::Refused(reason), &[])?;
        hear_the_end(&socket, &mut inbox);
    }
    install_hook();
    here::serve(orders.depth);
    // They stay for as long as this process does: what a preload made of them, its forks have.
    for _ in 0..orders.things {
        let mut come = Vec::new();
        match first(&socket, &mut inbox, &mut come)? {
            ToServer::Place(thing) => {
                fds.extend(come);
                let id = thing.id;
                match Parcel::come(thing, fds.pop_front()) {
                    Ok(parcel) => registry::keep(parcel),
                    Err(why) => registry::refuse(id.into(), why),
                }
            }
            ToServer::Fork => return Err(io::Error::other("the pool asks before all has come")),
        }
    }
    if let Some((entry, arg)) = orders.preload {
        let guard = Guard::new(&socket, &owner)?;
        let outcome = initialise(entry, &arg);
        guard.relieve();
        if let Err(reason) = outcome {
            say(&socket, &FromServer::PreloadFailed(reason), &[])?;
            hear_the_end(&socket, &mut inbox);
        }
    }
    say(&socket, &FromServer::Ready, &[])?;
    Server { socket: Some(socket), inbox, fds: Vec::new(), owner, children: Vec::new() }.run()
}

/// Until the pool has read what was said, and hung up.
fn hear_the_end(socket: &OwnedFd, inbox: &mut Inbox) -> ! {
    let _ = first::<ToServer>(socket, inbox, &mut Vec::new());
    exit_now(REFUSED)
}

fn say(socket: &OwnedFd, message: &FromServer, fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = encode(message).map_err(io::Error::other)?;
    let mut sent = 0;
    while sent < bytes.len() {
        sent += send_with(socket, &bytes[sent..], if sent == 0 { fds } else { &[] })?;
    }
    Ok(())
}

struct Server {
    /// Until the pool hangs up.
    socket: Option<Arc<OwnedFd>>,
    inbox: Inbox,
    fds: Vec<OwnedFd>,
    owner: Arc<OwnedFd>,
    /// Each with the pipe by which its end is told.
    children: Vec<(Child, OwnedFd)>,
}

/// What there is to do.
struct News {
    owner_is_gone: bool,
    is_asked: bool,
}

impl Server {
    fn run(mut self) -> io::Result<OwnedFd> {
        loop {
            let news = self.wait()?;
            if news.owner_is_gone {
                self.kill_all();
            }
            self.bury()?;
            if news.is_asked
                && let Some(socket) = self.listen()?
            {
                // In the child. What it drops are copies of descriptors; the children stay the server's.
                drop(self);
                return Ok(socket);
            }
            if self.socket.is_none() && self.children.is_empty() {
                std::process::exit(0);
            }
        }
    }

    fn wait(&self) -> io::Result<News> {
        let mut ends = vec![PollFd::new(&*self.owner, PollFlags::IN)];
        ends.extend(self.socket.iter().map(|socket| PollFd::new(&**socket, PollFlags::IN)));
        ends.extend(
            self.children.iter().map(|(child, _)| PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)),
        );
        rustix::io::retry_on_intr(|| poll(&mut ends, None))?;
        let has_news = |n: usize| ends.get(n).is_some_and(|end| !end.revents().is_empty());
        Ok(News { owner_is_gone: has_news(0), is_asked: self.socket.is_some() && has_news(1) })
    }

    /// Takes note of those who have ended.
    fn bury(&mut self) -> io::Result<()> {
        let mut n = 0;
        while let Some((child, _)) = self.children.get(n) {
            if !child.has_ended()? {
                n += 1;
                continue;
            }
            let _ = child.signal_group(Signal::KILL);
            let how = child.wait()?;
            let (_, obituary) = self.children.swap_remove(n);
            tell_end(obituary, how);
        }
        Ok(())
    }

    /// Hears what the pool asks, and does it. In a child that was forked, this gives its socket.
    fn listen(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(socket) = self.socket.clone() else { return Ok(None) };
        let mut buffer = [0; 4 << 10];
        match recv_with(&*socket, &mut buffer, &mut self.fds) {
            Ok(n) if n > 0 => self.inbox.add(&buffer[..n]),
            _ => {
                self.socket = None;
                return Ok(None);
            }
        }
        while let Some(asked) = self.inbox.next().map_err(io::Error::other)? {
            if self.fds.is_empty() || !matches!(asked, ToServer::Fork) {
                return Err(io::Error::other("the pool's request lacks a descriptor"));
            }
            let its = self.fds.remove(0);
            // Neither is to be written twice.
            let _ = io::stdout().flush();
            flush_c_stdio();
            match self.fork() {
                Ok(None) => return become_worker(its).map(Some),
                Ok(Some(child)) => self.adopt(&socket, child)?,
                Err(error) => say(&socket, &FromServer::Failed(error.to_string()), &[])?,
            }
        }
        Ok(None)
    }

    /// None in the child.
    fn fork(&self) -> io::Result<Option<(Child, OwnedFd, OwnedFd)>> {
        // First, because afterwards nothing should fail.
        let (read, write) = obituary()?;
        match fork()? {
            Forked::Child => Ok(None),
            Forked::Parent(pid) => Ok(Some((adopt_forked(pid)?, read, write))),
        }
    }

    fn adopt(&mut self, socket: &OwnedFd, (child, read, write): (Child, OwnedFd, OwnedFd)) -> io::Result<()> {
        let pid = child.pid();
        let told = say(socket, &FromServer::Forked { pid }, &[child.pidfd(), read.as_fd()]);
        self.children.push((child, write));
        told
    }

    fn kill_all(&self) -> ! {
        for (child, _) in &self.children {
            let _ = child.signal_group(Signal::KILL);
            let _ = child.signal(Signal::KILL);
        }
        own_group_kill()
    }
}

/// What is done first in a child. Its signals are as the server's: as they are in any fresh worker, but for what the preload
/// made of them.
fn become_worker(socket: OwnedFd) -> io::Result<OwnedFd> {
    became_copy();
    forget_fork();
    lead_group()?;
    move_high(socket)
}

/// Ends this process when the pool or its process is gone, on a thread of its own, while the only one is busy with a preload.
struct Guard {
    relief: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Guard {
    fn new(socket: &Arc<OwnedFd>, owner: &Arc<OwnedFd>) -> io::Result<Self> {
        let (socket, owner, relief) = (Arc::clone(socket), Arc::clone(owner), Arc::new(bell()?));
        let relieved = Arc::clone(&relief);
        let guard = move || {
            let mut ends = [
                PollFd::new(&*relieved, PollFlags::IN),
                PollFd::new(&*owner, PollFlags::IN),
                // Nothing is read: the pool may have asked already.
                PollFd::new(&*socket, PollFlags::RDHUP),
            ];
            let _ = rustix::io::retry_on_intr(|| poll(&mut ends, None));
            if ends[0].revents().is_empty() {
                own_group_kill();
            }
        };
        let thread = thread::Builder::new().name("polypool-watch".to_owned()).spawn(guard)?;
        Ok(Self { relief, thread })
    }

    fn relieve(self) {
        // It cannot fail on a bell of our own; and if it did, the thread would only stay.
        if ring(&*self.relief).is_ok() {
            let _ = self.thread.join();
        }
    }
}
