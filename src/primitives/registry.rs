//! All objects that this process knows, by their ids: its own, and its stand-ins for those of others. Owns the list; does not keep
//! what is in it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, Weak},
};

use super::Object;
use crate::{
    function::named::Id,
    sys::{copy::PerCopy, lock::lock},
};

type List = LazyLock<Mutex<HashMap<Id, Weak<dyn Object>>>>;

static LIST: PerCopy<List> = PerCopy::new(LazyLock::new(Mutex::default), || LazyLock::new(Mutex::default));

/// Puts an object into the list, where there is none of its id; gives the one that is there.
pub(crate) fn enter(object: Arc<dyn Object>) -> Arc<dyn Object> {
    let mut list = lock(LIST.get());
    let place = list.entry(object.id());
    let place = place.or_insert_with(|| Arc::downgrade(&object));
    if let Some(there) = place.upgrade() {
        return there;
    }
    *place = Arc::downgrade(&object);
    object
}

pub(crate) fn find(id: Id) -> Option<Arc<dyn Object>> {
    lock(LIST.get()).get(&id)?.upgrade()
}

/// An object is dropped.
pub(crate) fn leave(id: Id) {
    let mut list = lock(LIST.get());
    // Another stand-in may have come in its place.
    if list.get(&id).is_some_and(|there| there.strong_count() == 0) {
        list.remove(&id);
    }
}
