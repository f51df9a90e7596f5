//! What a worker has put in place for its tasks: one value of each type. Owns them, and that they are dropped where no lock is held.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    mem,
    sync::{Arc, Mutex},
};

use crate::{sys::lock::lock, task::catch::discard};

#[derive(Default)]
pub(crate) struct States(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl States {
    /// Puts a value in the place of the last of its type.
    pub(crate) fn set<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        let old = lock(&self.0).insert(TypeId::of::<T>(), value);
        discard(old);
    }

    pub(crate) fn of<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = lock(&self.0).get(&TypeId::of::<T>()).cloned();
        found?.downcast().ok()
    }

    /// The worker is gone.
    pub(crate) fn clear(&self) {
        let old = mem::take(&mut *lock(&self.0));
        old.into_values().for_each(discard);
    }
}

impl Drop for States {
    fn drop(&mut self) {
        self.clear();
    }
}
