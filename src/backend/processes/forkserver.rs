//! The pool's end of the way to a fork server. Owns when there is one, what it is asked, and its end.
//!
//! The server is started with the first worker, and again when one is needed and it has died; a server that cannot be started
//! counts as a worker that cannot. It is asked by one thread at a time, which waits for the answer: that takes as long as a fork,
//! or, the first time, as the preload. Nobody else waits for it: whoever has no use for the answer any more hangs up.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use rustix::net::Shutdown;

use super::{
    control::send_all,
    crew::Crew,
    ends,
    launch::{command, explain, owner},
};
use crate::{
    backend::lane::Lane,
    error::TaskError,
    function::placed::travel::in_order,
    inside::process::first,
    runtime::{
        Alarm,
        reactor::{Trigger, Watch, Watcher, watch},
    },
    sys::{
        copy::copy,
        image::identity,
        lock::lock,
        process::{Child, Signal, pair},
    },
    task::catch::wake,
    wire::{
        control::{Inbox, ToWorker, VERSION, encode},
        server::{FromServer, Orders, ToServer},
    },
};

/// Where a pool, or several, have their server. Dropped, it hangs up, and the server ends when its last worker has.
#[derive(Default)]
pub(crate) struct Depot {
    /// Held by the one who asks.
    server: Mutex<Option<Server>>,
    /// Those that have not ended.
    lines: Mutex<Vec<Arc<Line>>>,
    waiting: Mutex<Vec<Waker>>,
}

/// A server that may be asked.
struct Server {
    line: Arc<Line>,
    inbox: Inbox,
}

/// A server's process, until it has ended. Then it is reaped.
struct Line {
    depot: Weak<Depot>,
    socket: Arc<OwnedFd>,
    child: Child,
    watch: Mutex<Option<Watch>>,
    /// Until it has ended, it keeps itself; then it is reaped.
    keep: Mutex<Option<Arc<Line>>>,
    is_up: AtomicBool,
    /// When it is killed, if it has not ended.
    alarm: Mutex<Option<Alarm>>,
    copy: u32,
}

/// How long a server may take to end when the last who could ask it is gone, and with him its workers but for those that were told to
/// go.
const PATIENCE: Duration = Duration::from_secs(10);

impl Depot {
    /// Has a worker forked, which gets this end of a socket. `make` makes that when there is a server: it is not to lie about while
    /// one is waited for.
    pub(super) fn fork<T, U>(
        self: &Arc<Self>,
        crew: &Crew,
        lane: &Lane,
        make: impl FnOnce() -> io::Result<(OwnedFd, T)>,
        keep: impl FnOnce(T) -> U,
    ) -> io::Result<(Child, U)> {
        let mut server = lock(&self.server);
        if lane.is_useless() {
            return Err(nobody_needs_it());
        }
        // One that has died meanwhile, or was sent away, is none.
        let usable = server.take().filter(|server| server.line.is_usable());
        let mut asked = match usable {
            Some(usable) => usable,
            None => Server::start(self, crew, lane)?,
        };
        let forked = make().and_then(|(its, more)| {
            asked.ask(its)?;
            Ok(more)
        });
        // Without what `make` holds while a descriptor is handed over: a server may be slow, and others wait for that.
        let forked = forked.map(keep).and_then(|kept| Ok((asked.answer()?, kept)));
        *server = Some(asked);
        forked
    }

    /// There will be nothing to ask any more; who waits for an answer need not.
    pub(super) fn hang_up(&self) {
        let lines = lock(&self.lines).clone();
        lines.iter().for_each(|line| line.hang_up());
    }

    /// Ends servers that did not end when they were told.
    pub(super) fn kill(&self) {
        let lines = lock(&self.lines).clone();
        lines.iter().for_each(|line| line.kill());
    }

    /// Waits until no server is left.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        lock(&self.waiting).push(waker);
        if lock(&self.lines).is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.hang_up();
        let lines = std::mem::take(&mut *lock(&self.lines));
        lines.iter().for_each(Line::kill_in_time);
    }
}

impl std::fmt::Debug for Depot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depot").finish_non_exhaustive()
    }
}

impl Server {
    fn start(depot: &Arc<Depot>, crew: &Crew, lane: &Lane) -> io::Result<Self> {
        let preload = match &crew.options().preload {
            None => None,
            Some(Ok(call)) => Some((call.entry, call.arg.to_vec())),
            Some(Err(error)) => return Err(io::Error::other(error.clone())),
        };
        let depth = crew.pool().map_or(1, |pool| pool.depth()) as u64;
        let named = match &crew.options().preload {
            Some(Ok(call)) => in_order(&call.names),
            _ => Vec::new(),
        };
        let things = named.len() as u64;
        let orders = Orders { version: VERSION, program: identity()?, depth, preload, things };
        let orders = encode(&ToWorker::BeServer(Box::new(orders))).map_err(io::Error::other)?;
        let line = {
            let _no_fork = ends::no_fork();
            let (ours, its) = pair()?;
            let child =
                Child::spawn(command(crew.options(), its)).map_err(|error| explain(crew.options(), error))?;
            Line::new(depot, ends::ours(ours), child)?
        };
        let mut server = Self { line, inbox: Inbox::default() };
        // Who closes the pool does so first and hangs up then, on those that are in the list: so one of the two sees the other.
        if lane.is_useless() {
            return Err(nobody_needs_it());
        }
        // A server that is gone already says so by not answering.
        let _ = send_all(server.line.socket.as_fd(), &orders, &[owner()?.as_fd()]);
        for parcel in named {
            let message = encode(&ToServer::Place(parcel.thing())).map_err(io::Error::other)?;
            let _ = send_all(server.line.socket.as_fd(), &message, &[parcel.sealed().as_fd()]);
        }
        match server.hear(&mut Vec::new())? {
            FromServer::Ready => Ok(server),
            FromServer::Refused(reason) => {
                crew.give_up(TaskError::Broken(reason.clone()));
                Err(io::Error::other(reason))
            }
            FromServer::PreloadFailed(reason) => {
                crew.give_up(TaskError::InitializerFailed(reason.clone()));
                Err(io::Error::other(reason))
            }
            FromServer::Forked { .. } | FromServer::Failed(_) => Err(nonsense()),
        }
    }

    fn ask(&mut self, its: OwnedFd) -> io::Result<()> {
        let bytes = encode(&ToServer::Fork).map_err(io::Error::other)?;
        if let Err(error) = send_all(self.line.socket.as_fd(), &bytes, &[its.as_fd()]) {
            self.line.hang_up();
            return Err(error);
        }
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Child> {
        let mut fds = Vec::new();
        match self.hear(&mut fds)? {
            FromServer::Forked { pid } => {
                let [pidfd, obituary] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| nonsense())?;
                Child::entrusted(pid, pidfd, obituary)
            }
            FromServer::Failed(reason) => Err(io::Error::other(reason)),
            _ => Err(nonsense()),
        }
    }

    fn hear(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<FromServer> {
        first(&self.line.socket, &mut self.inbox, fds).map_err(|error| {
            self.line.hang_up();
            match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    io::Error::new(error.kind(), "the fork server has ended")
                }
                _ => error,
            }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody can ask it any more.
        self.line.hang_up();
    }
}

fn nobody_needs_it() -> io::Error {
    io::Error::other("nobody needs it any more")
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the fork server answers nonsense")
}

impl Line {
    fn new(depot: &Arc<Depot>, socket: Arc<OwnedFd>, child: Child) -> io::Result<Arc<Self>> {
        let line = Arc::new(Self {
            depot: Arc::downgrade(depot),
            socket,
            child,
            watch: Mutex::default(),
            keep: Mutex::default(),
            is_up: AtomicBool::new(true),
            alarm: Mutex::default(),
            copy: copy(),
        });
        let me: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(&line) as Arc<dyn Watcher>));
        let death = Arc::new(line.child.pidfd().try_clone_to_owned()?);
        // Held until the watch is in its place: a death that is seen before waits here.
        let mut watched = lock(&line.watch);
        *watched = Some(watch(death, Trigger::Level, me, 0)?);
        *lock(&line.keep) = Some(Arc::clone(&line));
        lock(&depot.lines).push(Arc::clone(&line));
        drop(watched);
        Ok(line)
    }

    fn is_usable(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    fn hang_up(&self) {
        // In a copy of this process, the socket is still that of the original.
        if self.is_up.swap(false, Ordering::SeqCst) && self.copy == copy() {
            // Reading ends with it, for whoever waits for an answer.
            let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
        }
    }

    fn kill(&self) {
        // Held meanwhile: what was reaped has given its number, and its group's, to others.
        let keep = lock(&self.keep);
        if keep.is_some() {
            let _ = self.child.signal_group(Signal::KILL);
            let _ = self.child.signal(Signal::KILL);
        }
    }

    fn kill_in_time(self: &Arc<Self>) {
        if self.copy == copy() {
            let alarm = Alarm::set(Instant::now() + PATIENCE, Waker::from(Arc::clone(self)));
            *lock(&self.alarm) = Some(alarm);
            // It may have ended before.
            if lock(&self.keep).is_none() {
                lock(&self.alarm).take();
            }
        }
    }
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.kill();
    }
}

impl Watcher for Line {
    fn readable(self: Arc<Self>, _: u32) {
        let Some(watch) = lock(&self.watch).take() else { return };
        drop(watch);
        self.is_up.store(false, Ordering::SeqCst);
        let keep = lock(&self.keep).take();
        // What a preload has started goes with it. Its workers are no part of its group, and end when they are told.
        let _ = self.child.signal_group(Signal::KILL);
        let _ = self.child.wait();
        if let Some(depot) = self.depot.upgrade() {
            lock(&depot.lines).retain(|other| !Arc::ptr_eq(other, &self));
            std::mem::take(&mut *lock(&depot.waiting)).into_iter().for_each(wake);
        }
        let alarm = lock(&self.alarm).take();
        drop((alarm, keep));
    }
}
