//! A rank that holds workers for the first one: its life from MPI's beginning to its end. Owns the agents that it starts.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    process::Command,
    time::{Duration, Instant},
};

use super::{
    complain,
    launch::Launch,
    message::{Head, Kind, VERSION},
    pump::{Pump, Side},
};
use crate::sys::{
    mpi::{Library, Session, Wanted},
    process::{Child, pair},
};

/// How long an agent whose stream has ended may take to end.
const CONDOLENCES: Duration = Duration::from_secs(3);

/// How long the first rank may take to part.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often those are looked at that are about to end.
const LOOK: Duration = Duration::from_millis(20);

/// Serves until the first rank is done. Gives what this process is to exit with.
pub(super) fn serve(launch: &Launch, agent: fn(OwnedFd) -> Command) -> i32 {
    let rank = (!launch.is_spawned).then_some(launch.rank);
    let session = match begin(launch) {
        Ok(session) => session,
        Err(error) => {
            complain(rank, &error);
            return 1;
        }
    };
    let mut pump = Pump::new(session);
    let mut post = Post { agent, agents: BTreeMap::new(), leaving: Vec::new(), looked: Instant::now() };
    let served = begin_peers(&mut pump, launch).and_then(|()| pump.run(&mut post));
    pump.drop_channels(None);
    post.part();
    if let Err(error) = served.and_then(|()| pump.part(FAREWELL)) {
        complain(rank, &error);
        // The others would wait for this one in vain.
        pump.into_session().abort(1);
    }
    match pump.finish() {
        Ok(()) => 0,
        Err(error) => {
            complain(rank, &error);
            1
        }
    }
}

fn begin(launch: &Launch) -> io::Result<Session> {
    Library::find(&Wanted { family: launch.family })?.begin()
}

fn begin_peers(pump: &mut Pump, launch: &Launch) -> io::Result<()> {
    let first = if launch.is_spawned {
        let parent = pump.session().parent()?;
        parent.ok_or_else(|| io::Error::other("it was started by hand as what only MPI starts"))?
    } else {
        check_size(pump.session(), launch)?;
        pump.session().world()
    };
    pump.add_peers(first, 0..1);
    Ok(())
}

/// Is this library that of the launcher? Else each process is alone, and takes itself for the first.
pub(super) fn check_size(session: &Session, launch: &Launch) -> io::Result<()> {
    let size = session.size(session.world())?;
    match launch.size {
        Some(said) if said != size => Err(io::Error::other(format!(
            "the launcher says that there are {said} ranks, and the library ({}) sees {size}: they are of different MPIs; set \
             `{}` to the libmpi.so that belongs to the mpiexec in use",
            session.version(),
            crate::sys::mpi::LIBRARY,
        ))),
        _ => Ok(()),
    }
}

/// What a rank knows beside its channels.
struct Post {
    agent: fn(OwnedFd) -> Command,
    agents: BTreeMap<u32, Child>,
    /// Those that were told to end, and when they are made to.
    leaving: Vec<(Child, Instant)>,
    looked: Instant,
}

impl Post {
    fn open(&mut self, pump: &mut Pump, peer: usize, head: Head) -> io::Result<()> {
        let begun = if head.amount == VERSION {
            pair().and_then(|(near, far)| Ok((near, Child::spawn((self.agent)(far))?)))
        } else {
            Err(io::Error::other("the ranks are different versions of this program"))
        };
        match begun {
            Ok((near, agent)) => {
                self.agents.insert(head.channel, agent);
                pump.begin_channel(head.channel, peer, near);
                pump.send(peer, Head::new(Kind::Opened, head.channel).with(&[]))
            }
            Err(error) => {
                let why = error.to_string();
                pump.send(peer, Head::new(Kind::Refused, head.channel).with(why.as_bytes()))
            }
        }
    }

    /// Takes note of those that have ended, and ends those that do not.
    fn look(&mut self) {
        self.leaving.retain(|(child, until)| {
            let has_ended = child.try_wait().is_ok_and(|ended| ended.is_some());
            // To drop it is to kill it.
            !has_ended && Instant::now() < *until
        });
        self.looked = Instant::now();
    }

    /// Waits until all agents have ended.
    fn part(&mut self) {
        let until = Instant::now() + CONDOLENCES;
        self.leaving.extend(std::mem::take(&mut self.agents).into_values().map(|child| (child, until)));
        while !self.leaving.is_empty() {
            self.look();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Side for Post {
    fn bell(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn turn(&mut self, _: &mut Pump) -> io::Result<bool> {
        if !self.leaving.is_empty() && self.looked.elapsed() > LOOK {
            self.look();
        }
        Ok(true)
    }

    fn hear(&mut self, pump: &mut Pump, peer: usize, head: Head, _: &[u8]) -> io::Result<bool> {
        match head.kind {
            Kind::Open => self.open(pump, peer, head)?,
            Kind::Drop => {
                if pump.drop_channel(head.channel) {
                    self.done(pump, head.channel);
                }
            }
            Kind::Bye => {
                pump.has_parted(peer, head);
                return Ok(false);
            }
            _ => return Err(io::Error::other("the first rank says what is not its to say")),
        }
        Ok(true)
    }

    fn done(&mut self, _: &mut Pump, id: u32) {
        if let Some(agent) = self.agents.remove(&id) {
            self.leaving.push((agent, Instant::now() + CONDOLENCES));
        }
    }

    fn lost(&mut self, _: &mut Pump, _: usize) -> io::Result<()> {
        Err(io::Error::other("the first rank is gone"))
    }

    fn is_expecting(&self) -> bool {
        true
    }

    fn is_deserted(&self) -> bool {
        // What an agent said before it ended may be read as slowly as its pool likes.
        false
    }
}
