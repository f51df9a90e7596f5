//! An object whose state is in this process. Owns the lock around it, under which nothing runs but the state's own code, and who is
//! to be answered later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{
    Answer, Fault, Item, Key, Kind, Object, Operation, Outcome, registry,
    state::{Effects, Machine},
};
use crate::{
    function::named::{Id, Named},
    sys::{copy::copy, lock::lock},
};

pub(crate) struct Local {
    id: Id,
    kind: Kind,
    /// The process that it is in. A copy that a fork makes has a copy of the state, which is nobody's.
    copy: u32,
    inner: Mutex<Inner>,
}

struct Inner {
    machine: Machine<Item>,
    waiting: HashMap<Key, Arc<dyn Answer>>,
}

impl Local {
    pub(crate) fn make(kind: Kind) -> Arc<dyn Object> {
        Self::with_id(Id::fresh(), kind)
    }

    /// For another process that has chosen the id.
    pub(crate) fn with_id(id: Id, kind: Kind) -> Arc<dyn Object> {
        let inner = Mutex::new(Inner { machine: Machine::new(kind), waiting: HashMap::new() });
        registry::enter(Arc::new(Self { id, kind, copy: copy(), inner }))
    }

    /// Does something with the state, then what follows of it.
    fn with<T>(&self, f: impl FnOnce(&mut Inner, &mut Effects<Item>) -> T) -> T {
        let mut effects = Effects::default();
        let mut inner = lock(&self.inner);
        let result = f(&mut inner, &mut effects);
        if effects.answers.is_empty() {
            drop(inner);
        } else {
            let answers: Vec<_> = effects
                .answers
                .drain(..)
                .filter_map(|(key, outcome)| Some((inner.waiting.remove(&key)?, outcome)))
                .collect();
            drop(inner);
            for (waiting, outcome) in answers {
                waiting.answer(outcome);
            }
        }
        // What a queue held may have an end of its own, which is the user's code.
        drop(effects);
        result
    }
}

impl Named for Local {
    fn id(&self) -> Id {
        self.id
    }
}

impl Object for Local {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn ask(
        &self,
        key: Key,
        operation: Operation<Item>,
        answer: &mut dyn FnMut() -> Arc<dyn Answer>,
    ) -> Option<Outcome<Item>> {
        if self.copy != copy() {
            return Some(Outcome::Fault(Fault::Gone));
        }
        self.with(|inner, effects| {
            let outcome = inner.machine.apply(key, operation, effects);
            if outcome.is_none() {
                inner.waiting.insert(key, answer());
            }
            outcome
        })
    }

    fn tell(&self, key: Key, operation: Operation<Item>) {
        if self.copy != copy() {
            return;
        }
        let forgotten = self.with(|inner, effects| {
            let forgotten = match operation {
                Operation::Cancel { request } | Operation::Lost { request } => {
                    inner.waiting.remove(&Key { request, ..key })
                }
                _ => None,
            };
            inner.machine.apply(key, operation, effects);
            forgotten
        });
        drop(forgotten);
    }

    fn lost(&self, client: u64) {
        let forgotten = self.with(|inner, effects| {
            let gone: Vec<Key> = inner.waiting.keys().filter(|key| key.client == client).copied().collect();
            let forgotten: Vec<_> = gone.iter().filter_map(|key| inner.waiting.remove(key)).collect();
            inner.machine.lost(|key| key.client == client, effects);
            forgotten
        });
        drop(forgotten);
    }

    fn named(self: Arc<Self>) -> Arc<dyn Named> {
        self
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.copy == copy() {
            registry::leave(self.id);
        }
    }
}
