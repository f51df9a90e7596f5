//! Who wants to know when there may be more workers, or fewer. Owns the list; what a size means is the lanes'.

use std::sync::{Arc, Mutex, Weak};

use crate::sys::lock::lock;

/// Hears of a pool's new size; see [`Pool::resize`](super::pool::Pool::resize).
pub(crate) trait OnResize: Send + Sync {
    fn resized(self: Arc<Self>);
}

#[derive(Default)]
pub(crate) struct Sizes {
    watchers: Mutex<Vec<Weak<dyn OnResize>>>,
}

impl Sizes {
    /// Until it is dropped.
    #[cfg(feature = "graph")]
    pub(crate) fn watch(&self, watcher: Weak<dyn OnResize>) {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(watcher);
    }

    pub(super) fn changed(&self) {
        let watchers: Vec<_> = lock(&self.watchers).iter().filter_map(Weak::upgrade).collect();
        watchers.into_iter().for_each(OnResize::resized);
    }
}
