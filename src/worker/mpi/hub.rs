//! The first rank: which other ranks there are, and who of them has how many workers. Owns the thread that has MPI here, and what
//! the pools of the program ask of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Condvar, Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

use super::{
    launch::Launch,
    message::{Head, Kind, VERSION},
    program,
    pump::{Pump, Side},
    rank::check_size,
    spawn_args,
};
use crate::sys::{
    lock::lock,
    mpi::{Library, Wanted, at_exit},
    process::{bell, pair, ring},
};

/// How long the end of the program waits for that of MPI.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often those who wait for a worker look whether anybody still wants it.
const STILL: Duration = Duration::from_millis(50);

static HUB: OnceLock<Hub> = OnceLock::new();

/// There is one for the program, from when it is first needed.
struct Hub {
    bell: OwnedFd,
    shared: Mutex<Shared>,
    changed: Condvar,
    owner: u32,
}

struct Shared {
    stage: Stage,
    /// Ranks for workers; the first was there from the beginning or is the first that was spawned.
    ranks: Vec<Rank>,
    wishes: Vec<Wish>,
    next: u32,
    /// It is over too early, and the job is ended by force when the program ends.
    is_failing: bool,
}

#[derive(Debug, Clone)]
enum Stage {
    Beginning,
    Running,
    /// For this reason, or because the program ends.
    Over(String),
}

#[derive(Debug, Default)]
struct Rank {
    agents: usize,
    is_lost: bool,
}

enum Wish {
    /// A worker on this rank, whose stream ends at this socket.
    Open {
        rank: usize,
        channel: u32,
        socket: OwnedFd,
        answer: mpsc::Sender<Result<(), String>>,
    },
    /// So many more ranks.
    Spawn(usize, mpsc::Sender<Result<(), String>>),
    End,
}

/// Begins MPI as the first rank of a job. Returns when that is done, well or not: [`connect`] tells.
pub(super) fn begin(launch: &Launch) {
    let launch = *launch;
    if let Ok(hub) = start(move || Some(launch)) {
        let mut shared = lock(&hub.shared);
        while matches!(shared.stage, Stage::Beginning) {
            shared = hub.changed.wait(shared).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

/// The ranks that are there for workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranks {
    /// Those that are not lost.
    pub(crate) n: usize,
    /// They were started with this process, so that there will not be more. Others were started by it.
    pub(crate) is_job: bool,
}

/// How many ranks there are for workers, if MPI has begun.
pub(crate) fn ranks() -> Option<Ranks> {
    let shared = lock(&HUB.get()?.shared);
    let n = shared.ranks.iter().filter(|rank| !rank.is_lost).count();
    Some(Ranks { n, is_job: IS_JOB.get() == Some(&true) })
}

/// Sees to it that there are ranks for workers. Where this process was started alone, MPI starts as many as are wanted; in a job
/// there are as many as there are.
///
/// # Errors
/// What is wrong with MPI.
pub(crate) fn connect(wanted: usize) -> io::Result<usize> {
    let hub = start(|| super::launch::launch().filter(|launch| !launch.is_worker()))?;
    let (is_spawning, there) = {
        let mut shared = lock(&hub.shared);
        while matches!(shared.stage, Stage::Beginning) {
            shared = hub.changed.wait(shared).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        shared.check()?;
        (IS_JOB.get() != Some(&true), shared.ranks.iter().filter(|rank| !rank.is_lost).count())
    };
    if is_spawning && there < wanted {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = lock(&ONE);
        // Another pool may have been faster.
        let there = lock(&hub.shared).ranks.len();
        if there < wanted {
            let (answer, heard) = mpsc::channel();
            hub.wish(Wish::Spawn(wanted - there, answer))?;
            hub.wait(&heard, &|| true)?.map_err(io::Error::other)?;
        }
    }
    Ok(lock(&hub.shared).ranks.len())
}

/// Whether the ranks were started with this one, and not by it.
static IS_JOB: OnceLock<bool> = OnceLock::new();

/// Begins an agent for the worker of this index, and gives the end of its stream. The rank is the one with the fewest agents, of
/// these the one that has the index's number, or the next.
///
/// # Errors
/// What keeps it from being begun; `Interrupted` when it is not wanted any more.
pub(crate) fn open(index: usize, wanted: &dyn Fn() -> bool) -> io::Result<OwnedFd> {
    let hub = HUB.get().ok_or_else(|| io::Error::other("MPI has not begun"))?;
    let (near, far) = pair()?;
    let (answer, heard) = mpsc::channel();
    let (rank, channel) = {
        let mut shared = lock(&hub.shared);
        shared.check()?;
        let n = shared.ranks.len();
        let around = (0..n).map(|step| (index + step) % n).filter(|at| !shared.ranks[*at].is_lost);
        let rank = around.min_by_key(|at| shared.ranks[*at].agents);
        let rank = rank.ok_or_else(|| io::Error::other("every other rank of the job is lost"))?;
        shared.ranks[rank].agents += 1;
        shared.next += 1;
        (rank, shared.next)
    };
    hub.wish(Wish::Open { rank, channel, socket: far, answer })?;
    match hub.wait(&heard, wanted) {
        Ok(Ok(())) => Ok(near),
        Ok(Err(why)) => Err(io::Error::other(format!("rank {} starts no worker: {why}", rank + 1))),
        Err(error) => Err(error),
    }
}

/// Why there is no MPI any more, if so.
pub(crate) fn gone() -> Option<io::Error> {
    let shared = lock(&HUB.get()?.shared);
    let all_lost = || !shared.ranks.is_empty() && shared.ranks.iter().all(|rank| rank.is_lost);
    match &shared.stage {
        Stage::Over(why) => Some(io::Error::other(why.clone())),
        Stage::Running if all_lost() => Some(io::Error::other("every other rank of the job is lost")),
        Stage::Running | Stage::Beginning => None,
    }
}

/// The hub; if there is none, it begins, in the job that is found then.
fn start(find: impl FnOnce() -> Option<Launch>) -> io::Result<&'static Hub> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE);
    if let Some(hub) = HUB.get() {
        return hub.check_owner();
    }
    let launch = find();
    let shared =
        Shared { stage: Stage::Beginning, ranks: Vec::new(), wishes: Vec::new(), next: 0, is_failing: false };
    let (shared, changed) = (Mutex::new(shared), Condvar::new());
    let hub = HUB.get_or_init({
        let bell = bell()?;
        move || Hub { bell, shared, changed, owner: std::process::id() }
    });
    let thread = std::thread::Builder::new().name("polypool-mpi".to_owned());
    if let Err(error) = thread.spawn(move || hub.live(launch)) {
        hub.over(format!("no thread for MPI: {error}"));
    }
    Ok(hub)
}

/// Lets the other ranks go, at the end of the program. Else they would wait, and the launcher for them.
fn end() {
    let Some(hub) = HUB.get() else { return };
    let until = Instant::now() + FAREWELL;
    let mut shared = lock(&hub.shared);
    shared.wishes.push(Wish::End);
    let _ = ring(&hub.bell);
    hub.changed.notify_all();
    while shared.is_failing || !matches!(shared.stage, Stage::Over(_)) {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return;
        }
        shared = match hub.changed.wait_timeout(shared, rest) {
            Ok((shared, _)) => shared,
            Err(poison) => poison.into_inner().0,
        };
    }
}

impl Shared {
    fn check(&self) -> io::Result<()> {
        match &self.stage {
            Stage::Over(why) => Err(io::Error::other(why.clone())),
            Stage::Beginning | Stage::Running => Ok(()),
        }
    }
}

impl Hub {
    fn check_owner(&self) -> io::Result<&Self> {
        if self.owner == std::process::id() {
            return Ok(self);
        }
        Err(io::Error::other(
            "this process is a copy that `fork` made of one that uses MPI, and cannot use it",
        ))
    }

    fn wish(&self, wish: Wish) -> io::Result<()> {
        self.check_owner()?;
        let mut shared = lock(&self.shared);
        shared.check()?;
        shared.wishes.push(wish);
        ring(&self.bell)
    }

    /// Waits for the answer to a wish.
    fn wait<T>(&self, heard: &mpsc::Receiver<T>, wanted: &dyn Fn() -> bool) -> io::Result<T> {
        loop {
            match heard.recv_timeout(STILL) {
                Ok(answer) => return Ok(answer),
                Err(mpsc::RecvTimeoutError::Timeout) if wanted() => {}
                Err(mpsc::RecvTimeoutError::Timeout) => return Err(io::ErrorKind::Interrupted.into()),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    lock(&self.shared).check()?;
                    return Err(io::Error::other("the rank is lost"));
                }
            }
        }
    }

    fn over(&self, why: String) {
        let mut shared = lock(&self.shared);
        shared.stage = Stage::Over(why);
        // Whoever waits for an answer sees that none will come.
        let wishes = std::mem::take(&mut shared.wishes);
        drop(shared);
        drop(wishes);
        self.changed.notify_all();
    }

    /// The life of the thread that has MPI.
    fn live(&'static self, launch: Option<Launch>) {
        let why = match self.carry(launch) {
            Ok(()) => "the program ends".to_owned(),
            Err(error) => error.to_string(),
        };
        self.over(why);
    }

    fn carry(&'static self, launch: Option<Launch>) -> io::Result<()> {
        let family = launch.and_then(|launch| launch.family);
        let library = Library::find(&Wanted { family })?;
        if library.is_begun() {
            return Err(io::Error::other(
                "the program uses MPI itself, which can be had but once; polypool's part of it must begin first",
            ));
        }
        let mut pump = Pump::new(library.begin()?);
        let begun = self.greet(&mut pump, launch);
        let carried = begun.and_then(|()| {
            // From now on there is something to be ended.
            at_exit(end)?;
            lock(&self.shared).stage = Stage::Running;
            self.changed.notify_all();
            pump.run(&mut Chair { hub: self, answers: Vec::new() })
        });
        pump.drop_channels(None);
        let ended = carried.and_then(|()| pump.part(FAREWELL));
        match ended {
            Ok(()) => pump.finish(),
            Err(error) => {
                self.fail(&error);
                // The others do not know, and would wait, and the launcher for them.
                pump.into_session().abort(1);
            }
        }
    }

    /// MPI does not work any more. The program may go on without it, but not end as if all were well.
    fn fail(&self, error: &io::Error) {
        lock(&self.shared).is_failing = true;
        self.over(error.to_string());
        let mut shared = lock(&self.shared);
        while !shared.wishes.iter().any(|wish| matches!(wish, Wish::End)) {
            shared = self.changed.wait(shared).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Sees who is there.
    fn greet(&self, pump: &mut Pump, launch: Option<Launch>) -> io::Result<()> {
        let world = pump.session().world();
        if let Some(launch) = launch {
            check_size(pump.session(), &launch)?;
        }
        let size = pump.session().size(world)?;
        let _ = IS_JOB.set(size > 1);
        if size > 1 {
            pump.add_peers(world, 1..size);
            lock(&self.shared).ranks.extend((1..size).map(|_| Rank::default()));
        }
        Ok(())
    }
}

/// An agent that was asked for: where, and who waits to hear that it is there.
struct Asked {
    channel: u32,
    rank: usize,
    answer: Option<mpsc::Sender<Result<(), String>>>,
}

/// What the pump does for the pools.
struct Chair {
    hub: &'static Hub,
    answers: Vec<Asked>,
}

impl Chair {
    fn answer(&mut self, channel: u32, answer: Result<(), String>) {
        let asked = self.answers.iter_mut().find(|asked| asked.channel == channel);
        if let Some(sender) = asked.and_then(|asked| asked.answer.take()) {
            // Who asked may not want it any more. Then its socket is closed, and the channel with it.
            let _ = sender.send(answer);
        }
    }

    fn spawn(&self, pump: &mut Pump, n: usize) -> io::Result<()> {
        let comm = pump.session().spawn(&program()?, &spawn_args(), n)?;
        pump.add_peers(comm, 0..n);
        lock(&self.hub.shared).ranks.extend((0..n).map(|_| Rank::default()));
        Ok(())
    }
}

impl Side for Chair {
    fn bell(&self) -> Option<BorrowedFd<'_>> {
        Some(self.hub.bell.as_fd())
    }

    fn turn(&mut self, pump: &mut Pump) -> io::Result<bool> {
        let wishes = {
            let mut shared = lock(&self.hub.shared);
            if !shared.wishes.is_empty() {
                // It rings for these, and whoever comes next rings it again.
                let _ = rustix::io::retry_on_intr(|| rustix::io::read(&self.hub.bell, &mut [0; 8]));
            }
            std::mem::take(&mut shared.wishes)
        };
        for wish in wishes {
            match wish {
                Wish::Open { rank, channel, socket, answer } => {
                    self.answers.push(Asked { channel, rank, answer: Some(answer) });
                    if pump.peers()[rank].is_lost {
                        self.done(pump, channel);
                        continue;
                    }
                    // What is written meanwhile waits in the socket or over there.
                    pump.begin_channel(channel, rank, socket);
                    let head = Head { amount: VERSION, ..Head::new(Kind::Open, channel) };
                    pump.send(rank, head.with(&[]))?;
                }
                Wish::Spawn(n, answer) => {
                    let spawned = self.spawn(pump, n).map_err(|error| error.to_string());
                    let _ = answer.send(spawned);
                }
                Wish::End => return Ok(false),
            }
        }
        Ok(true)
    }

    fn hear(&mut self, pump: &mut Pump, _: usize, head: Head, payload: &[u8]) -> io::Result<bool> {
        match head.kind {
            Kind::Opened => self.answer(head.channel, Ok(())),
            Kind::Refused => {
                self.answer(head.channel, Err(String::from_utf8_lossy(payload).into_owned()));
                pump.drop_channel(head.channel);
                self.done(pump, head.channel);
            }
            _ => return Err(io::Error::other("a rank says what is not its to say")),
        }
        Ok(true)
    }

    fn done(&mut self, _: &mut Pump, id: u32) {
        if let Some(at) = self.answers.iter().position(|asked| asked.channel == id) {
            let asked = self.answers.swap_remove(at);
            let agents = &mut lock(&self.hub.shared).ranks[asked.rank].agents;
            *agents = agents.saturating_sub(1);
        }
    }

    fn lost(&mut self, _: &mut Pump, peer: usize) -> io::Result<()> {
        lock(&self.hub.shared).ranks[peer].is_lost = true;
        Ok(())
    }

    fn is_expecting(&self) -> bool {
        false
    }

    fn is_deserted(&self) -> bool {
        true
    }
}
