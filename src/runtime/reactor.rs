//! Watches descriptors, under any runtime and under none. One thread for the process, started with the first watch and gone soon
//! after the last. Who watches is called on that thread and must not block, as with the timer.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, Weak},
    thread,
    time::Duration,
};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::sys::{
    copy::{PerCopy, copy},
    lock::lock,
};

/// How long the thread stays without anything to watch.
const LINGER: Duration = Duration::from_millis(500);

/// How many descriptors are looked at in one go.
const BATCH: usize = 64;

/// Who is called when a descriptor can be read, or its other end is gone.
pub(crate) trait Watcher: Send + Sync {
    fn readable(self: Arc<Self>, what: u32);
}

/// How often a watcher is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// As long as there is something to read.
    Level,
    /// Once for each time that something came; nobody need read it.
    Edge,
}

static REACTOR: PerCopy<Mutex<State>> = PerCopy::new(State::new(), State::new);

struct State {
    /// While the thread runs.
    poll: Option<Arc<Poll>>,
    watched: Option<HashMap<u64, Who>>,
    next: u64,
}

impl State {
    const fn new() -> Mutex<Self> {
        Mutex::new(Self { poll: None, watched: None, next: 1 })
    }
}

/// Who is called, and with what.
type Who = (Weak<dyn Watcher>, u32);

struct Poll {
    epoll: OwnedFd,
    /// Gets the thread to look at what there is to watch.
    nudge: OwnedFd,
}

/// A descriptor that is watched until this is dropped. A call that is under way then may still come.
pub(crate) struct Watch {
    key: u64,
    fd: Arc<OwnedFd>,
    poll: Arc<Poll>,
    /// The copy of the program that watches.
    copy: u32,
}

pub(crate) fn watch(
    fd: Arc<OwnedFd>,
    trigger: Trigger,
    watcher: Weak<dyn Watcher>,
    what: u32,
) -> io::Result<Watch> {
    let mut state = lock(REACTOR.get());
    let poll = match &state.poll {
        Some(poll) => Arc::clone(poll),
        None => {
            let poll = Arc::new(Poll::new()?);
            let of_thread = Arc::clone(&poll);
            thread::Builder::new().name("polypool-io".to_owned()).spawn(move || run(&of_thread))?;
            state.poll = Some(Arc::clone(&poll));
            poll
        }
    };
    let key = state.next;
    state.next += 1;
    state.watched.get_or_insert_default().insert(key, (watcher, what));
    let flags = match trigger {
        Trigger::Level => epoll::EventFlags::IN,
        Trigger::Edge => epoll::EventFlags::IN | epoll::EventFlags::ET,
    };
    let watch = Watch { key, fd, poll, copy: copy() };
    // On failure the watch is dropped, which needs the lock.
    drop(state);
    epoll::add(&watch.poll.epoll, watch.fd.as_fd(), epoll::EventData::new_u64(key), flags)?;
    Ok(watch)
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.copy != copy() {
            // The original still watches, by the same epoll.
            return;
        }
        // Its other holders, in other processes, would keep it in there.
        let _ = epoll::delete(&self.poll.epoll, self.fd.as_fd());
        let (was, empty) = {
            let mut state = lock(REACTOR.get());
            let watched = state.watched.get_or_insert_default();
            (watched.remove(&self.key), watched.is_empty())
        };
        drop(was);
        if empty {
            self.poll.nudge();
        }
    }
}

impl Poll {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &nudge, epoll::EventData::new_u64(0), flags)?;
        Ok(Self { epoll, nudge })
    }

    fn nudge(&self) {
        let _ = rustix::io::write(&self.nudge, &1_u64.to_ne_bytes());
    }
}

fn run(poll: &Arc<Poll>) {
    let mut events = Vec::with_capacity(BATCH);
    loop {
        let idle = lock(REACTOR.get()).watched.as_ref().is_none_or(HashMap::is_empty);
        let linger = Timespec::try_from(LINGER).ok().filter(|_| idle);
        events.clear();
        match epoll::wait(&poll.epoll, rustix::buffer::spare_capacity(&mut events), linger.as_ref()) {
            Ok(0) if idle => {
                let mut state = lock(REACTOR.get());
                if state.watched.as_ref().is_none_or(HashMap::is_empty) {
                    state.poll = None;
                    return;
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "descriptors cannot be watched");
                thread::sleep(Duration::from_millis(10));
            }
        }
        for event in &events {
            let key = event.data.u64();
            let watcher = lock(REACTOR.get()).watched.as_ref().and_then(|watched| watched.get(&key)).cloned();
            if let Some((watcher, what)) = watcher
                && let Some(watcher) = watcher.upgrade()
            {
                // A bug in one is not to end the others.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| watcher.readable(what)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Tell(Mutex<mpsc::Sender<u32>>);

    impl Watcher for Tell {
        fn readable(self: Arc<Self>, what: u32) {
            let _ = lock(&self.0).send(what);
        }
    }

    #[test]
    fn each_ring_of_a_bell_that_nobody_reads_is_heard() {
        let (send, receive) = mpsc::channel();
        let tell = Arc::new(Tell(Mutex::new(send)));
        let weak: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(&tell) as Arc<dyn Watcher>));
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).expect("a bell"));
        let watch = watch(Arc::clone(&bell), Trigger::Edge, weak, 7).expect("watched");
        for _ in 0..3 {
            rustix::io::write(&*bell, &1_u64.to_ne_bytes()).expect("rung");
            assert_eq!(receive.recv_timeout(Duration::from_secs(10)), Ok(7));
        }
        drop(watch);
        rustix::io::write(&*bell, &1_u64.to_ne_bytes()).expect("rung");
        drop(tell);
        assert!(receive.recv_timeout(Duration::from_secs(10)).is_err());
    }
}
