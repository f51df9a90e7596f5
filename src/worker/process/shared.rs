//! Primitives that are in the pool's process, as this one sees them. Owns the stand-ins, who waits for an answer to what they asked,
//! and that the pool knows which of them outlive the call that brought them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    here::{Here, here},
    placing::ids,
};
use crate::{
    function::{
        named::{Id, Named, Names},
        placed::travel::found,
    },
    primitives::{
        Answer, Fault, HERE, Item, Key, Kind, Object, Operation, Outcome, enter, find, leave, travelling,
    },
    sys::{lock::lock, process::was_forked},
    wire::control::{Blob, Load, Name, ToPool},
};

/// What this process asks of its pool's.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Mutex<HashMap<u64, Arc<dyn Answer>>>,
    /// What workers of this process ask for by numbers of their own.
    passed_on: Mutex<HashMap<Id, HashMap<Key, u64>>>,
    /// Stand-ins that the pool was not told of.
    fresh: Mutex<Vec<Weak<StandIn>>>,
    has_fresh: AtomicBool,
}

impl Questions {
    /// Tells the pool which stand-ins are here to stay. Said before whatever ends the pool's own hold on them.
    pub(super) fn keep(&self, here: &'static Here) {
        if !self.has_fresh.load(Ordering::Acquire) || !self.has_fresh.swap(false, Ordering::AcqRel) {
            return;
        }
        let fresh = std::mem::take(&mut *lock(&self.fresh));
        let kept: Vec<Arc<StandIn>> = fresh.iter().filter_map(Weak::upgrade).collect();
        if kept.is_empty() {
            return;
        }
        for stand_in in &kept {
            stand_in.is_kept.store(true, Ordering::SeqCst);
        }
        here.outlet.say(&ToPool::Keep { objects: kept.iter().map(|kept| kept.id.into()).collect() });
        here.upstream.said();
    }

    /// There is an answer.
    pub(super) fn answered(&self, request: u64, outcome: &[u8], item: Option<Load>) {
        let waiting = lock(&self.waiting).remove(&request);
        let Some(waiting) = waiting else { return };
        let outcome = travelling::hear(outcome, item.map(arrived));
        waiting.answer(outcome);
    }
}

/// What data names that the pool sends, until the data is decoded.
pub(super) fn all_of(here: &'static Here, names: &[Name]) -> Names {
    let mut all = found(names);
    let is_other = |id: &Id| !all.iter().any(|named| named.id() == *id);
    let others: Vec<Id> = names.iter().map(|name| Id::from(*name)).filter(is_other).collect();
    all.extend(others.into_iter().map(|id| Arc::new(Lent { here, id }) as Arc<dyn Named>));
    all
}

/// A primitive that the pool keeps until it hears of this one's end.
struct Lent {
    here: &'static Here,
    id: Id,
}

impl Named for Lent {
    fn id(&self) -> Id {
        self.id
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Who decoded it has a stand-in now.
        self.here.questions.keep(self.here);
        self.here.outlet.say(&ToPool::Unkeep { object: self.id.into() });
        self.here.upstream.said();
    }
}

fn arrived(load: Load) -> Item {
    Item { bytes: load.bytes.0, names: Arc::new(Names::new()) }
}

/// A primitive in the pool's process.
struct StandIn {
    here: &'static Here,
    id: Id,
    kind: Kind,
    /// The pool was told that it is here.
    is_kept: AtomicBool,
}

/// Makes a stand-in for what an argument names. None where this process works for no pool.
pub(crate) fn stand_in(id: Id, kind: Kind) -> Option<Arc<dyn Object>> {
    let here = here()?;
    let stand_in = Arc::new(StandIn { here, id, kind, is_kept: AtomicBool::new(false) });
    lock(&here.questions.fresh).push(Arc::downgrade(&stand_in));
    here.questions.has_fresh.store(true, Ordering::Release);
    Some(enter(stand_in))
}

/// Makes a primitive in the pool's process.
pub(crate) fn make_upstream(kind: Kind) -> Option<Arc<dyn Object>> {
    let here = here()?;
    let id = Id::fresh();
    let encoded = postcard::to_stdvec(&kind).ok()?;
    here.outlet.say(&ToPool::Make { object: id.into(), kind: encoded });
    here.upstream.said();
    Some(enter(Arc::new(StandIn { here, id, kind, is_kept: AtomicBool::new(true) })))
}

impl StandIn {
    /// The number by which the pool knows a request.
    fn number(&self, key: Key) -> u64 {
        if key.client == HERE {
            return key.request;
        }
        let mut passed_on = lock(&self.here.questions.passed_on);
        *passed_on.entry(self.id).or_default().entry(key).or_insert_with(|| Key::next().request)
    }

    /// The number of an earlier request, which is over now.
    fn end(&self, key: Key, request: u64) -> u64 {
        let key = Key { request, ..key };
        if key.client == HERE {
            return request;
        }
        let mut passed_on = lock(&self.here.questions.passed_on);
        passed_on.get_mut(&self.id).and_then(|numbers| numbers.remove(&key)).unwrap_or_default()
    }

    fn translate(&self, key: Key, operation: Operation<Item>) -> Operation<Item> {
        match operation {
            Operation::Release { hold } => Operation::Release { hold: self.end(key, hold) },
            Operation::Forget { hold } => Operation::Forget { hold: self.end(key, hold) },
            Operation::Sleep { hold, who } => Operation::Sleep { hold: self.end(key, hold), who },
            Operation::Receipt { request } => Operation::Receipt { request: self.end(key, request) },
            Operation::Cancel { request } => Operation::Cancel { request: self.end(key, request) },
            Operation::Lost { request } => Operation::Lost { request: self.end(key, request) },
            Operation::TimeIsUp { request } => {
                Operation::TimeIsUp { request: self.number(Key { request, ..key }) }
            }
            other => other,
        }
    }

    fn say(&self, request: u64, operation: Operation<Item>) {
        let (operation, item) = travelling::depart(operation);
        let load =
            item.as_ref().map(|item| Load { names: ids(&item.names), bytes: Blob(Arc::clone(&item.bytes)) });
        if let Some(item) = item.as_ref().filter(|item| !item.names.is_empty()) {
            self.here.questions.keep(self.here);
            self.here.given.parcels(self.here.ticket(), &item.names).send(&self.here.outlet);
        }
        self.here.outlet.say(&ToPool::Sync { request, object: self.id.into(), operation, item: load });
        // The end of what it names is said after it.
        drop(item);
    }
}

impl Named for StandIn {
    fn id(&self) -> Id {
        self.id
    }
}

impl Object for StandIn {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn ask(
        &self,
        key: Key,
        operation: Operation<Item>,
        answer: &mut dyn FnMut() -> Arc<dyn Answer>,
    ) -> Option<Outcome<Item>> {
        if was_forked() {
            return Some(Outcome::Fault(Fault::Gone));
        }
        let operation = self.translate(key, operation);
        let number = self.number(key);
        let mut answer = answer();
        if key.client != HERE {
            answer = Arc::new(PassedOn { here: self.here, id: self.id, key, answer });
        }
        lock(&self.here.questions.waiting).insert(number, answer);
        self.say(number, operation);
        None
    }

    fn tell(&self, key: Key, operation: Operation<Item>) {
        if was_forked() {
            return;
        }
        if let Operation::Receipt { .. } = operation {
            // What came with it, and stays.
            self.here.questions.keep(self.here);
        }
        let operation = self.translate(key, operation);
        if let Operation::Cancel { request } | Operation::Lost { request } = operation {
            let waiting = lock(&self.here.questions.waiting).remove(&request);
            drop(waiting);
        }
        self.say(0, operation);
        self.here.upstream.said();
    }

    fn lost(&self, client: u64) {
        let mut lost = Vec::new();
        if let Some(numbers) = lock(&self.here.questions.passed_on).get_mut(&self.id) {
            numbers.retain(|key, number| {
                let stays = key.client != client;
                if !stays {
                    lost.push(*number);
                }
                stays
            });
        }
        for request in lost {
            self.tell(Key { client: HERE, request: 0 }, Operation::Lost { request });
        }
    }

    fn named(self: Arc<Self>) -> Arc<dyn Named> {
        self
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        leave(self.id);
        if was_forked() {
            return;
        }
        if find(self.id).is_none() {
            lock(&self.here.questions.passed_on).remove(&self.id);
        }
        if *self.is_kept.get_mut() {
            self.here.outlet.say(&ToPool::Unkeep { object: self.id.into() });
            self.here.upstream.said();
        }
    }
}

/// The answer for a worker of this process.
struct PassedOn {
    here: &'static Here,
    id: Id,
    key: Key,
    answer: Arc<dyn Answer>,
}

impl Answer for PassedOn {
    fn answer(self: Arc<Self>, outcome: Outcome<Item>) {
        if !matches!(outcome, Outcome::Granted { .. } | Outcome::Item(_)) {
            let mut passed_on = lock(&self.here.questions.passed_on);
            if let Some(numbers) = passed_on.get_mut(&self.id) {
                numbers.remove(&self.key);
            }
        }
        Arc::clone(&self.answer).answer(outcome);
    }
}
