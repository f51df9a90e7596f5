//! The way by which calls come to this worker: what came with the welcome for it, and what is made of that.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use super::{perform::Bench, serve::Serve, socket::SocketServe, stream::Frames, words::Words};
use crate::{
    sys::{
        crash::{report_faults, report_faults_into},
        shm::{Mapping, SharedFile},
    },
    wire::{
        arena::Arena,
        control::{Place, Welcome},
        layout,
    },
};

pub(super) enum Way {
    Rings { memory: Arc<Mapping>, inline: Mapping, arguments: Arena, results: Arena, bell: OwnedFd },
    Socket { data: OwnedFd, diary: OwnedFd, last_words: Option<OwnedFd> },
}

impl Way {
    /// Takes the descriptors that came with a welcome. The last one is for others.
    pub(super) fn new(welcome: &Welcome, fds: Vec<OwnedFd>) -> io::Result<(Self, OwnedFd)> {
        let lacking = |_| io::Error::other("the welcome lacks descriptors");
        if welcome.by_socket {
            let [data, diary, last_words, owner] = <[OwnedFd; 4]>::try_from(fds).map_err(lacking)?;
            return Ok((Self::Socket { data, diary, last_words: Some(last_words) }, owner));
        }
        let [rings, arguments, results, bell, owner] = <[OwnedFd; 5]>::try_from(fds).map_err(lacking)?;
        let way = Self::Rings {
            memory: Arc::new(Mapping::new(&rings.as_fd(), layout::SIZE, true)?),
            inline: Mapping::new(&rings.as_fd(), layout::SIZE, false)?,
            arguments: Arena::new(SharedFile::from_fd(arguments)?, false),
            results: Arena::new(SharedFile::from_fd(results)?, true),
            bell,
        };
        Ok((way, owner))
    }

    pub(super) fn words(&self, place: &Place) -> Words {
        match self {
            Self::Rings { memory, .. } => Words::Shared(Arc::clone(memory)),
            Self::Socket { .. } => Words::own(place.max_workers),
        }
    }

    /// From now on the pool will know by which fault this process ended.
    pub(super) fn report_faults(&mut self) -> io::Result<()> {
        match self {
            Self::Rings { memory, .. } => report_faults(Arc::clone(memory), layout::REPORT),
            Self::Socket { last_words, .. } => last_words.take().map_or(Ok(()), report_faults_into),
        }
    }

    pub(super) fn serve(self, bench: Bench, spins: bool) -> Server {
        match self {
            Self::Rings { memory, inline, arguments, results, bell } => {
                let serve = Serve::new(bench, memory, inline, arguments, results, bell, spins);
                Server::Rings(Box::new(serve))
            }
            Self::Socket { data, diary, .. } => Server::Socket(Box::new(SocketServe {
                bench,
                frames: Frames::new(Arc::new(data)),
                diary,
                large: Vec::new(),
                since_large: 0,
            })),
        }
    }
}

/// A worker that is ready.
pub(super) enum Server {
    Rings(Box<Serve>),
    Socket(Box<SocketServe>),
}

impl Server {
    pub(super) fn run(self) -> ! {
        match self {
            Self::Rings(serve) => serve.run(),
            Self::Socket(serve) => serve.run(),
        }
    }
}
