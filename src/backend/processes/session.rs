//! What one worker process does with primitives of this one: what it asks of them, and which of them it keeps. Owns that all of it
//! ends with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use super::worker::Worker;
use crate::{
    function::{
        named::{Id, Names},
        placed::travel::found,
    },
    primitives::{self, Answer, Fault, Item, Key, Kind, Local, Object, Outcome, find, travelling},
    sys::lock::lock,
    wire::control::{Blob, Load, Name, ToWorker},
};

pub(super) struct Session {
    client: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Kept for the process, so many times.
    kept: HashMap<Id, (Arc<dyn Object>, u64)>,
    /// Where it may hold something, or wait.
    asked: HashMap<Id, Weak<dyn Object>>,
    /// Above this number those are looked through that are no more.
    enough: usize,
    has_ended: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self { client: primitives::new_client(), known: Mutex::default() }
    }
}

/// What there is here of these names, primitives and other.
pub(super) fn find_all(names: &[Name]) -> Names {
    let mut all = found(names);
    all.extend(names.iter().filter_map(|name| Some(find((*name).into())?.named())));
    all
}

impl Session {
    /// The process asks.
    pub(super) fn ask(
        &self,
        worker: &Arc<Worker>,
        request: u64,
        object: Name,
        operation: &[u8],
        item: Option<Load>,
    ) {
        let reply = || Arc::new(Reply { worker: Arc::downgrade(worker), request });
        let item = item.map(|load| Item { bytes: load.bytes.0, names: Arc::new(find_all(&load.names)) });
        let key = Key { client: self.client, request };
        let outcome = match (find(object.into()), travelling::arrive(operation, item)) {
            (Some(object), Some(operation)) if self.meet(&object) => {
                if request == 0 {
                    return object.tell(key, operation);
                }
                object.ask(key, operation, &mut || reply())
            }
            _ => Some(Outcome::Fault(Fault::Gone)),
        };
        if let Some(outcome) = outcome.filter(|_| request != 0) {
            reply().answer(outcome);
        }
    }

    /// False when it is over.
    fn meet(&self, object: &Arc<dyn Object>) -> bool {
        let mut known = lock(&self.known);
        if known.has_ended {
            return false;
        }
        let known = &mut *known;
        known.asked.entry(object.id()).or_insert_with(|| Arc::downgrade(object));
        if known.asked.len() > known.enough {
            known.asked.retain(|_, object| object.strong_count() > 0);
            known.enough = 2 * known.asked.len() + 64;
        }
        true
    }

    /// The process makes one.
    pub(super) fn make(&self, object: Name, kind: &[u8]) {
        if let Ok(kind) = postcard::from_bytes::<Kind>(kind) {
            self.keep_object(Local::with_id(object.into(), kind));
        }
    }

    /// The process has these, also when its calls are over.
    pub(super) fn keep(&self, objects: &[Name]) {
        for object in objects.iter().filter_map(|object| find((*object).into())) {
            self.keep_object(object);
        }
    }

    fn keep_object(&self, object: Arc<dyn Object>) {
        let mut known = lock(&self.known);
        if !known.has_ended {
            known.kept.entry(object.id()).or_insert_with(|| (object, 0)).1 += 1;
        }
    }

    /// The process is sent data that names these, and gives each of them up when it has decoded it.
    pub(super) fn lend(&self, names: &Names) {
        names.iter().filter_map(|named| find(named.id())).for_each(|object| self.keep_object(object));
    }

    pub(super) fn unkeep(&self, object: Name) {
        let id = Id::from(object);
        let gone = {
            let mut known = lock(&self.known);
            match known.kept.get_mut(&id) {
                Some((_, 2..)) => {
                    known.kept.entry(id).and_modify(|(_, count)| *count -= 1);
                    None
                }
                _ => known.kept.remove(&id),
            }
        };
        drop(gone);
    }

    /// The process has ended, and all was heard that it had said.
    pub(super) fn end(&self) {
        let (kept, asked) = {
            let mut known = lock(&self.known);
            known.has_ended = true;
            (std::mem::take(&mut known.kept), std::mem::take(&mut known.asked))
        };
        for object in asked.values().filter_map(Weak::upgrade) {
            object.lost(self.client);
        }
        drop(kept);
    }
}

/// The answer goes to the process.
struct Reply {
    worker: Weak<Worker>,
    request: u64,
}

impl Answer for Reply {
    fn answer(self: Arc<Self>, outcome: Outcome<Item>) {
        let Some(worker) = self.worker.upgrade() else { return };
        let (outcome, item) = travelling::reply(outcome);
        if let Some(item) = &item {
            worker.place(&item.names);
        }
        let item = item.map(|item| Load {
            names: item.names.iter().map(|named| named.id().into()).collect(),
            bytes: Blob(item.bytes),
        });
        worker.say_apart(ToWorker::Synced { request: self.request, outcome, item });
    }
}
