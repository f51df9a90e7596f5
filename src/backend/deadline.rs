//! Time limits of running tasks. Owns one alarm per pool, set for the earliest deadline of all its workers: a task that starts
//! and ends in time costs no timer of its own.

use std::{
    sync::{Arc, Mutex, Weak},
    task::{Wake, Waker},
    time::Instant,
};

use super::pool::Pool;
use crate::{runtime::Alarm, sys::lock::lock};

pub(super) struct Watch {
    bell: Arc<Bell>,
    next: Mutex<Option<(Instant, Alarm)>>,
}

/// What the timer's thread rings.
struct Bell(Weak<Pool>);

impl Watch {
    pub(super) fn new(pool: Weak<Pool>) -> Self {
        Self { bell: Arc::new(Bell(pool)), next: Mutex::new(None) }
    }

    /// Sees to it that the pool looks at its deadlines at `at`, or before.
    pub(super) fn set(&self, at: Instant) {
        let mut next = lock(&self.next);
        if next.as_ref().is_none_or(|(earlier, _)| at < *earlier) {
            *next = Some((at, Alarm::set(at, Waker::from(Arc::clone(&self.bell)))));
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let Some(pool) = self.0.upgrade() else { return };
        // From here on a new deadline sets an alarm of its own.
        drop(lock(&pool.watch().next).take());
        if let Some(next) = pool.expire(Instant::now()) {
            pool.watch().set(next);
        }
    }
}
