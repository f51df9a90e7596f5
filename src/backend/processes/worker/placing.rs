//! The data that a worker process has beside its calls: what was sent there because a call names it, and is kept there until nobody
//! names it any more. Owns the list of that, and the order of what is said about it.
//!
//! 1. What is to be said waits in one queue, and is said by one at a time: at once if the socket takes it, else by a thread that
//!    may wait. So nothing overtakes: what is named has been said before it is taken back, and before a result that names it.
//! 2. That something is in the list, and that it is in the queue, changes under one lock. So what is in the list has come to the
//!    worker, or will, unless a message says that it does not.
//! 3. Nobody waits for any of this. A call may come to the worker before what it names; there, whoever decodes it waits.

use std::{
    collections::{BTreeMap, VecDeque},
    io, mem,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Worker;
use crate::{
    backend::processes::session::find_all,
    error::TaskError,
    function::{
        Named, Names,
        named::{Id, IdMap},
        placed::{Holder, Parcel, as_parcel, registry},
    },
    sys::lock::lock,
    wire::control::{Name, Thing, ToWorker},
};

#[derive(Default)]
pub(super) struct Placing {
    /// Where a parcel is that the worker has, the last that was looked for; 0 for none. Whoever asks holds his parcel, so what is at
    /// that place is the same, as long as [`forget`](Holder::forget) has not been told otherwise, which it is before the place can
    /// be another's; nor has another come by its number.
    last: AtomicUsize,
    out: Mutex<Out>,
    back: Mutex<Back>,
}

/// What goes to the worker.
#[derive(Default)]
struct Out {
    /// What it has, each as the very parcel that was sent: another may come by the same number.
    has: IdMap<Weak<Parcel>>,
    letters: VecDeque<Letter>,
    is_saying: bool,
    /// The worker is gone.
    is_over: bool,
}

enum Letter {
    Place(Arc<Parcel>),
    Forget(Id),
    Missing(Id, Option<String>),
    /// A result, and what it names until it is said.
    Ended {
        id: u64,
        result: Result<Vec<u8>, TaskError>,
        names: Names,
    },
}

/// What comes from the worker.
#[derive(Default)]
struct Back {
    /// What each call has sent; kept until it is over.
    sent: BTreeMap<u64, Names>,
    /// What the result of each names.
    named: BTreeMap<u64, Names>,
}

impl Worker {
    /// Sees to it that the worker gets what is named, if it has not got it.
    pub(in crate::backend::processes) fn place(self: &Arc<Self>, names: &Names) {
        if !names.is_empty() {
            self.enqueue(names);
            self.say_letters();
        }
    }

    fn enqueue(self: &Arc<Self>, names: &Names) {
        for named in names {
            // It is there already, most times.
            if self.placing.last.load(Ordering::Acquire) == addr(named) {
                continue;
            }
            let has =
                |out: &Out| out.has.get(&named.id()).is_some_and(|has| has.as_ptr().addr() == addr(named));
            {
                let out = lock(&self.placing.out);
                if has(&out) {
                    self.placing.last.store(addr(named), Ordering::Release);
                    continue;
                }
            }
            let Some(parcel) = as_parcel(named) else { continue };
            self.enqueue(parcel.names());
            parcel.given_to(Arc::downgrade(self) as Weak<dyn Holder>);
            let mut out = lock(&self.placing.out);
            if !out.is_over && !has(&out) {
                out.has.insert(parcel.id(), Arc::downgrade(&parcel));
                self.placing.last.store(0, Ordering::Release);
                out.letters.push_back(Letter::Place(Arc::clone(&parcel)));
            }
        }
    }

    /// Says what became of a task's task, and what its result names before.
    pub(in crate::backend::processes) fn say_ended(
        self: &Arc<Self>,
        id: u64,
        result: Result<Vec<u8>, TaskError>,
        names: Names,
    ) {
        if names.is_empty() {
            // It may be large, and the process in no hurry to read it.
            return self.say_apart(ToWorker::Ended { id, result, names: Vec::new() });
        }
        self.enqueue(&names);
        self.session.lend(&names);
        self.push(Letter::Ended { id, result, names });
    }

    fn push(self: &Arc<Self>, letter: Letter) {
        let refused = {
            let mut out = lock(&self.placing.out);
            if out.is_over {
                Some(letter)
            } else {
                out.letters.push_back(letter);
                None
            }
        };
        drop(refused);
        self.say_letters();
    }

    /// Says what waits to be said, unless somebody is at it, who says that, too.
    fn say_letters(self: &Arc<Self>) {
        {
            let mut out = lock(&self.placing.out);
            if out.is_saying || out.letters.is_empty() {
                return;
            }
            out.is_saying = true;
        }
        let now = |message: &ToWorker, file: Option<&Parcel>| match file {
            Some(parcel) => self.control.nudge_with(message, &[parcel.sealed().as_fd()]),
            None => self.control.nudge_with(message, &[]),
        };
        if self.say_all(now) {
            return;
        }
        let me = Arc::clone(self);
        self.apart(move || {
            me.say_all(|message, file| match file {
                Some(parcel) => me.control.say_with(message, &[parcel.sealed().as_fd()]),
                None => me.control.say_with(message, &[]),
            });
        });
    }

    /// False when there is something left for which one would have to wait.
    fn say_all(&self, say: impl Fn(&ToWorker, Option<&Parcel>) -> io::Result<()>) -> bool {
        loop {
            let letter = {
                let mut out = lock(&self.placing.out);
                match out.letters.pop_front() {
                    Some(letter) => letter,
                    None => {
                        out.is_saying = false;
                        return true;
                    }
                }
            };
            let message = letter.message();
            let file = if let Letter::Place(parcel) = &letter { Some(&**parcel) } else { None };
            match (say(&message, file), file) {
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
                    lock(&self.placing.out).letters.push_front(letter);
                    return false;
                }
                // There are too many descriptors on their way, or the worker is dying.
                (Err(error), Some(parcel)) => {
                    let why = Letter::Missing(
                        parcel.id(),
                        Some(format!("what it names could not be sent to the worker: {error}")),
                    );
                    lock(&self.placing.out).letters.push_front(why);
                }
                _ => {}
            }
        }
    }

    // ---- what the worker says

    /// Data has come, for as long as the call is not over.
    pub(super) fn was_sent(&self, ticket: u64, thing: Thing, file: Option<OwnedFd>) {
        match Parcel::come(thing, file) {
            Ok(parcel) => {
                let parcel: Arc<dyn Named> = registry::adopt(parcel);
                lock(&self.placing.back).sent.entry(ticket).or_default().push(parcel);
            }
            // Who needs it is told so.
            Err(why) => tracing::warn!(pid = self.pid(), "a worker sent data in vain: {why}"),
        }
    }

    /// What was sent for that outside of any call is named now.
    pub(super) fn has_submitted(&self) {
        let unowned = lock(&self.placing.back).sent.remove(&0);
        drop(unowned);
    }

    pub(super) fn has_named(&self, ticket: u64, names: &[Name]) {
        let names = find_all(names);
        lock(&self.placing.back).named.entry(ticket).or_default().extend(names);
    }

    /// What the result of a call names, which is over.
    pub(super) fn take_named(&self, ticket: u64) -> Names {
        let (past, mut named) = {
            let mut back = lock(&self.placing.back);
            if back.sent.is_empty() && back.named.is_empty() {
                return Names::new();
            }
            let next = ticket.saturating_add(1);
            let Back { sent, named } = &mut *back;
            let (later_sent, later_named) = (sent.split_off(&next), named.split_off(&next));
            (mem::replace(sent, later_sent), mem::replace(named, later_named))
        };
        let mine = named.remove(&ticket).unwrap_or_default();
        drop((past, named));
        mine
    }

    /// The same of a call that was performed inside of another.
    pub(super) fn take_named_within(&self, ticket: u64) -> Names {
        let mut back = lock(&self.placing.back);
        let (sent, named) = (back.sent.remove(&ticket), back.named.remove(&ticket));
        drop(back);
        drop(sent);
        named.unwrap_or_default()
    }

    /// It wants something that it has not got, and may not be about to get.
    pub(super) fn was_asked(self: &Arc<Self>, id: Id) {
        let is_coming = lock(&self.placing.out).has.get(&id).is_some_and(|has| has.strong_count() > 0);
        if is_coming {
            return;
        }
        match registry::find(id) {
            Some(parcel) => self.place(&vec![parcel as Arc<dyn Named>]),
            None => self.push(Letter::Missing(id, None)),
        }
    }

    /// The worker is gone, and what it had with it.
    pub(super) fn lose_all(&self) {
        let out = {
            let mut out = lock(&self.placing.out);
            let over = Out { is_over: true, is_saying: out.is_saying, ..Out::default() };
            mem::replace(&mut *out, over)
        };
        let back = mem::take(&mut *lock(&self.placing.back));
        drop((out.has, out.letters, back));
    }
}

/// Where it is, by which it is told from another of its number.
fn addr(named: &Arc<dyn Named>) -> usize {
    Arc::as_ptr(named).cast::<()>().addr()
}

impl Letter {
    fn message(&self) -> ToWorker {
        match self {
            Self::Place(parcel) => ToWorker::Place(Box::new(parcel.thing())),
            Self::Forget(id) => ToWorker::Forget { id: (*id).into() },
            Self::Missing(id, why) => ToWorker::Missing { id: (*id).into(), why: why.clone() },
            Self::Ended { id, result, names } => ToWorker::Ended {
                id: *id,
                result: result.clone(),
                names: names.iter().map(|named| named.id().into()).collect(),
            },
        }
    }
}

/// A weak share suffices for that: who is gone has forgotten all.
impl Holder for Worker {
    fn forget(self: Arc<Self>, parcel: &Parcel) {
        {
            let mut out = lock(&self.placing.out);
            if !out.has.get(&parcel.id()).is_some_and(|has| std::ptr::eq(has.as_ptr(), parcel)) {
                return;
            }
            out.has.remove(&parcel.id());
            self.placing.last.store(0, Ordering::Release);
            out.letters.push_back(Letter::Forget(parcel.id()));
        }
        self.say_letters();
    }
}
