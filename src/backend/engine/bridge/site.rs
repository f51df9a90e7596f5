//! The slots of an engine behind a bridge, as a site of a pool's workers. Owns when the bridge is there, and the door of the pilot
//! mode; knows no engine.

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Bridge, Fault, Side, Terms};
use crate::{
    backend::engine::{
        Mode, Site, Told,
        doorway::{Doorway, address_towards},
    },
    error::TaskError,
    inside::agent::{CONNECT, KEY},
    sys::lock::lock,
};

/// How long an agent that was started may take to come to the door.
const ARRIVING: Duration = Duration::from_secs(30);

/// A bridge that pools share stays for a while when the last of them is gone: often another comes.
const LINGERING: Duration = Duration::from_secs(1);

/// What a backend says of its engine.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) side: Side,
    pub(crate) python: Option<PathBuf>,
    /// For the engine's half.
    pub(crate) terms: Terms,
    pub(crate) mode: Mode,
    /// Where agents of the pilot mode come in, if the user says so: `host:port`.
    pub(crate) door: Option<String>,
    /// Pools of the same engine may have one bridge: it starts nothing, and looks up nothing.
    pub(crate) is_shared: bool,
}

/// The bridges that are shared, by what they are connected to.
static SHARED: Mutex<Vec<Known>> = Mutex::new(Vec::new());

type Known = (Side, Option<PathBuf>, Terms, Weak<Bridge>);

impl Plan {
    fn bridge(&self, wanted: &dyn Fn() -> bool) -> Result<Arc<Bridge>, Fault> {
        let Self { side, python, terms, is_shared, .. } = self;
        let start = || Bridge::start(*side, python.as_deref(), terms, wanted).map(Arc::new);
        if !is_shared {
            return start();
        }
        let known = || {
            let mut shared = lock(&SHARED);
            shared.retain(|(.., bridge)| bridge.strong_count() > 0);
            let ours = shared.iter().filter(|(its, on, to, _)| its == side && on == python && to == terms);
            ours.filter_map(|(.., bridge)| bridge.upgrade()).find(|bridge| bridge.gone().is_none())
        };
        if let Some(bridge) = known() {
            return Ok(bridge);
        }
        // Without the lock, so that one that hangs keeps nobody else. Two that start at once have one each.
        let bridge = start()?;
        lock(&SHARED).push((*side, python.clone(), terms.clone(), Arc::downgrade(&bridge)));
        Ok(bridge)
    }
}

/// The slots of one engine, for one pool.
#[derive(Debug)]
pub(crate) struct BridgeSite {
    plan: Plan,
    told: Mutex<Option<Ear>>,
    /// Held while it connects, so that whoever comes meanwhile waits for the same.
    state: Mutex<State>,
    is_closed: Arc<AtomicBool>,
}

#[derive(Debug)]
enum State {
    Unasked,
    Connected(Arc<Bridge>, Option<Arc<Doorway>>),
    /// Not reached, or closed.
    Refused(TaskError),
}

/// Who is told, without a word to say for itself.
struct Ear(Arc<dyn Told>);

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl BridgeSite {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, told: Mutex::default(), state: Mutex::new(State::Unasked), is_closed: Arc::default() }
    }

    fn error(&self, fault: Fault) -> TaskError {
        fault.of(self.plan.side.engine)
    }

    fn bridge(&self) -> Result<(Arc<Bridge>, Option<Arc<Doorway>>), TaskError> {
        let mut state = lock(&self.state);
        match &*state {
            State::Connected(bridge, door) => return Ok((Arc::clone(bridge), door.clone())),
            State::Refused(error) => return Err(error.clone()),
            State::Unasked => {}
        }
        let opened = self.open().map_err(|fault| self.error(fault));
        *state = match &opened {
            Ok((bridge, door)) => State::Connected(Arc::clone(bridge), door.clone()),
            Err(error) => State::Refused(error.clone()),
        };
        opened
    }

    fn open(&self) -> Result<(Arc<Bridge>, Option<Arc<Doorway>>), Fault> {
        let closed = Arc::clone(&self.is_closed);
        let wanted = move || !closed.load(Ordering::SeqCst);
        let bridge = self.plan.bridge(&wanted)?;
        let told = lock(&self.told).as_ref().map(|told| Arc::clone(&told.0));
        if let Some(told) = told {
            bridge.listen(&told);
        }
        let door = if self.plan.mode == Mode::Pilot { Some(self.open_door(&bridge)?) } else { None };
        Ok((bridge, door.map(Arc::new)))
    }

    /// The door is where the engine sees this machine, unless the user knows better.
    fn open_door(&self, bridge: &Bridge) -> Result<Doorway, Fault> {
        let address = match &self.plan.door {
            Some(address) => address.clone(),
            None => {
                let engine = bridge.connected().address.as_str();
                let peer = engine.rsplit_once("://").map_or(engine, |(_, peer)| peer);
                let here = address_towards(peer).map_err(|error| no_door(engine, &error))?;
                std::net::SocketAddr::new(here, 0).to_string()
            }
        };
        Doorway::open(&address).map_err(|error| no_door(&address, &error))
    }

    fn terms(&self) -> Terms {
        let mut terms = Terms::default();
        terms.set("mode", self.plan.mode.word());
        terms
    }
}

fn no_door(address: &str, error: &std::io::Error) -> Fault {
    Fault::new(
        "door",
        format!("workers cannot connect here by way of {address}: {error}; name an address with `listen`"),
    )
}

impl Site for BridgeSite {
    fn name(&self) -> &'static str {
        self.plan.side.engine
    }

    fn listen(&self, told: Arc<dyn Told>) {
        *lock(&self.told) = Some(Ear(told));
    }

    fn connect(&self) -> Result<Option<usize>, TaskError> {
        Ok(self.bridge()?.0.slots())
    }

    fn bring(&self, index: usize, wanted: &dyn Fn() -> bool) -> Result<OwnedFd, TaskError> {
        let (bridge, door) = self.bridge()?;
        let closed = Arc::clone(&self.is_closed);
        let wanted = || wanted() && !closed.load(Ordering::SeqCst);
        let mut terms = self.terms();
        let Some(door) = door else {
            return bridge.hire(index, &terms, &wanted).map_err(|fault| self.error(fault));
        };
        let broken = |error: std::io::Error| self.error(no_door(&door.address().to_string(), &error));
        let expected = door.expect(1).map_err(broken)?;
        for (name, value) in expected.variables() {
            debug_assert!([CONNECT, KEY].contains(&name));
            terms.set("env", format!("{name}={value}"));
        }
        let slot = bridge.place(index, &terms, &wanted).map_err(|fault| self.error(fault))?;
        let is_there = || wanted() && slot.ended().is_none();
        expected.wait(ARRIVING, &is_there).map_err(|error| {
            let why = slot.ended();
            slot.release();
            why.map_or_else(|| broken(error), |why| self.error(Fault::new("agent", why)))
        })
    }

    fn gone(&self) -> Option<TaskError> {
        // Whoever connects now will tell.
        let state = self.state.try_lock().ok()?;
        match &*state {
            State::Unasked => None,
            State::Connected(bridge, _) => bridge.gone().map(|fault| self.error(fault)),
            State::Refused(error) => Some(error.clone()),
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let state = std::mem::replace(&mut *lock(&self.state), State::Refused(TaskError::Shutdown));
        if let State::Connected(bridge, door) = state {
            drop(door);
            if !self.plan.is_shared {
                return bridge.close();
            }
            // What this pool had of it ends with the pool's streams.
            let linger = move || {
                std::thread::sleep(LINGERING);
                drop(bridge);
            };
            let _ = std::thread::Builder::new()
                .name("polypool-linger".to_owned())
                .stack_size(64 << 10)
                .spawn(linger);
        }
    }
}
