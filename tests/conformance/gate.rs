//! The one thing that tests and the tasks they ship share: a door that tasks wait at and a journal that they write. Owns all
//! process-wide state of the suite. Knows no backend and no runtime. How a gate is used from another process than its own is
//! in `gate_keeper.rs`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use serde::{Deserialize, Serialize};

#[path = "gate_keeper.rs"]
mod keeper;

use keeper::{Connection, Request, Verb};

/// A closed door that the test opens, beside a journal of numbers. A handle is two numbers, so it travels in a task's argument,
/// and it is good in every process of this machine as long as the process that made it lives.
///
/// Dropping a handle does nothing. A gate that was [removed](Gate::remove), or whose process is gone, stands open and remembers
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gate {
    owner: u32,
    id: u64,
}

impl Gate {
    /// Makes a closed gate.
    pub fn new() -> Gate {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        keeper::receive_visitors();
        let gate = Gate { owner: std::process::id(), id: NEXT.fetch_add(1, Ordering::Relaxed) };
        doors().insert(gate.id, Arc::default());
        gate
    }

    /// Lets everyone by, now and later.
    pub fn open(self) {
        match self.afar(Verb::Open, 0) {
            Some(request) => drop(request.send()),
            None => self.change(|state| state.open = true),
        }
    }

    /// Lets `n` more by, in no particular order.
    pub fn admit(self, n: usize) {
        match self.afar(Verb::Admit, n as u64) {
            Some(request) => drop(request.send()),
            None => self.change(|state| state.permits += n),
        }
    }

    /// Opens the gate for good and forgets it.
    pub fn remove(self) {
        self.open();
        doors().remove(&self.id);
    }

    /// Arrives and waits to be let by, blocking the thread.
    pub fn pass_blocking(self) {
        match self.afar(Verb::Pass, 0) {
            Some(request) => drop(request.send()),
            None => {
                self.change(|state| state.arrived += 1);
                self.wait_blocking(State::let_by);
            }
        }
    }

    /// Arrives and waits to be let by.
    pub async fn pass(self) {
        match self.afar(Verb::Pass, 0) {
            Some(request) => drop(request.send_async().await),
            None => {
                self.change(|state| state.arrived += 1);
                self.wait(State::let_by).await;
            }
        }
    }

    /// Arrives and waits, blocking the thread, until `n` have arrived: so `n` tasks are seen to run at once.
    pub fn meet_blocking(self, n: usize) {
        match self.afar(Verb::Meet, n as u64) {
            Some(request) => drop(request.send()),
            None => {
                self.change(|state| state.arrived += 1);
                self.wait_blocking(|state| state.arrived >= n);
            }
        }
    }

    /// Arrives and waits until `n` have arrived.
    pub async fn meet(self, n: usize) {
        match self.afar(Verb::Meet, n as u64) {
            Some(request) => drop(request.send_async().await),
            None => {
                self.change(|state| state.arrived += 1);
                self.wait(|state| state.arrived >= n).await;
            }
        }
    }

    /// Arrives, waits for nothing, and tells how many had arrived before.
    pub fn arrive(self) -> usize {
        match self.afar(Verb::Arrive, 0) {
            Some(request) => request.send().first().map_or(0, |&n| n as usize),
            None => {
                let mut before = 0;
                self.change(|state| {
                    before = state.arrived;
                    state.arrived += 1;
                });
                before
            }
        }
    }

    /// How many have arrived so far.
    pub fn arrived(self) -> usize {
        match self.afar(Verb::Arrived, 0) {
            Some(request) => request.send().first().map_or(0, |&n| n as usize),
            None => self.look(|state| state.arrived),
        }
    }

    /// Waits until `n` have arrived.
    pub async fn wait_arrivals(self, n: usize) {
        match self.afar(Verb::WaitArrivals, n as u64) {
            Some(request) => drop(request.send_async().await),
            None => self.wait(|state| state.arrived >= n).await,
        }
    }

    /// Writes `value` into the journal.
    pub fn note(self, value: u64) {
        match self.afar(Verb::Note, value) {
            Some(request) => drop(request.send()),
            None => self.change(|state| state.notes.push(value)),
        }
    }

    /// The journal, in the order of writing.
    pub fn notes(self) -> Vec<u64> {
        match self.afar(Verb::Notes, 0) {
            Some(request) => request.send(),
            None => self.look(|state| state.notes.clone()),
        }
    }

    /// The journal, in the order of the values.
    pub fn sorted_notes(self) -> Vec<u64> {
        let mut notes = self.notes();
        notes.sort_unstable();
        notes
    }

    /// Waits until the journal has `n` entries.
    pub async fn wait_notes(self, n: usize) {
        match self.afar(Verb::WaitNotes, n as u64) {
            Some(request) => drop(request.send_async().await),
            None => self.wait(|state| state.notes.len() >= n).await,
        }
    }

    /// Steps inside until the guard is dropped, or its process is gone.
    pub fn enter(self) -> Inside {
        if let Some(request) = self.afar(Verb::Enter, 0) {
            return Inside { gate: self, from_afar: Some(request.send_and_stay()) };
        }
        self.change(|state| {
            state.inside += 1;
            state.most_inside = state.most_inside.max(state.inside);
        });
        Inside { gate: self, from_afar: None }
    }

    /// How many were inside at once, at most.
    pub fn most_inside(self) -> usize {
        match self.afar(Verb::MostInside, 0) {
            Some(request) => request.send().first().map_or(0, |&n| n as usize),
            None => self.look(|state| state.most_inside),
        }
    }

    /// What to ask of the gate's own process, where this is another.
    fn afar(self, verb: Verb, number: u64) -> Option<Request> {
        (self.owner != std::process::id()).then_some(Request {
            owner: self.owner,
            verb,
            gate: self.id,
            number,
        })
    }

    fn look<T: Default>(self, read: impl FnOnce(&State) -> T) -> T {
        self.door().map(|door| read(&door.lock())).unwrap_or_default()
    }

    fn change(self, write: impl FnOnce(&mut State)) {
        let Some(door) = self.door() else { return };
        let wakers = {
            let mut state = door.lock();
            write(&mut state);
            std::mem::take(&mut state.wakers)
        };
        door.moved.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wait_blocking(self, mut done: impl FnMut(&mut State) -> bool) {
        let Some(door) = self.door() else { return };
        let mut state = door.lock();
        while !done(&mut state) {
            state = door.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    async fn wait(self, mut done: impl FnMut(&mut State) -> bool) {
        let Some(door) = self.door() else { return };
        poll_fn(|context| {
            let mut state = door.lock();
            if done(&mut state) {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn door(self) -> Option<Arc<Door>> {
        doors().get(&self.id).cloned()
    }
}

/// A step inside a gate, made by [`Gate::enter`]; dropping it steps out.
#[must_use]
pub struct Inside {
    gate: Gate,
    from_afar: Option<Connection>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        match self.from_afar.take() {
            Some(connection) => connection.leave(),
            None => self.gate.change(|state| state.inside -= 1),
        }
    }
}

/// Writes its value into the journal when it is dropped.
#[derive(Debug, Serialize, Deserialize)]
pub struct NoteOnDrop(pub Gate, pub u64);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

#[derive(Default)]
struct Door {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    permits: usize,
    arrived: usize,
    inside: usize,
    most_inside: usize,
    notes: Vec<u64>,
    wakers: Vec<Waker>,
}

impl State {
    fn let_by(&mut self) -> bool {
        if self.open {
            return true;
        }
        let admitted = self.permits > 0;
        self.permits -= usize::from(admitted);
        admitted
    }
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Doors = HashMap<u64, Arc<Door>>;

fn doors() -> MutexGuard<'static, Doors> {
    static DOORS: LazyLock<Mutex<Doors>> = LazyLock::new(Mutex::default);
    DOORS.lock().unwrap_or_else(PoisonError::into_inner)
}
