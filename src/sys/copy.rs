//! Which copy of the program this process is: `fork` makes copies, and the threads and locks of the original are not theirs. Owns
//! the count, and values that every copy has afresh; does not know who forks, nor why.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

static COPY: AtomicU32 = AtomicU32::new(0);

/// The number of this copy: 0 for a process that a fresh start of the program made, more for each `fork` since. Two
/// processes that are not each other's descendants may have the same.
pub(crate) fn copy() -> u32 {
    COPY.load(Ordering::Relaxed)
}

/// Said first thing in a copy, by its only thread: by who made it on purpose, and by what [`notice_forks`] has installed. So a fork
/// may count as two.
#[cfg(target_os = "linux")]
pub(crate) fn became_copy() {
    COPY.fetch_add(1, Ordering::SeqCst);
}

/// From now on, copies count that were made by whomever. Those of programs that have never asked cannot have anything of ours.
pub(crate) fn notice_forks() {
    // Without it, a copy that should not be there is not known for one.
    #[cfg(target_os = "linux")]
    let _ = super::process::at_fork_in_child();
}

/// Whether this process is a copy that somebody else made, after [`notice_forks`].
pub(crate) fn was_forked() -> bool {
    #[cfg(target_os = "linux")]
    return super::process::was_forked();
    #[cfg(not(target_os = "linux"))]
    return false;
}

/// A value that a copy of this process does not take over: it may be about threads that the copy has not, or be locked by one of
/// them for ever. The copy begins with a fresh one.
pub(crate) struct PerCopy<T: 'static> {
    first: T,
    make: fn() -> T,
    /// What the latest copy that used it has made. Null, or a box that was leaked.
    later: AtomicPtr<Later<T>>,
}

struct Later<T> {
    copy: u32,
    value: T,
}

impl<T: Send + Sync + 'static> PerCopy<T> {
    pub(crate) const fn new(first: T, make: fn() -> T) -> Self {
        Self { first, make, later: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The value of this process. What the original had is left where it is: nobody drops it.
    #[allow(unsafe_code, reason = "the room for it")]
    pub(crate) fn get(&'static self) -> &'static T {
        let copy = copy();
        if copy == 0 {
            return &self.first;
        }
        let mut fresh: Option<Box<Later<T>>> = None;
        loop {
            let found = self.later.load(Ordering::Acquire);
            // SAFETY: it is null, or was made of a box by the exchange below and never given back, which released the writes
            // that the load has acquired. It is only ever lent as shared, and `T` may be shared and sent.
            if let Some(later) = unsafe { found.as_ref() }
                && later.copy == copy
            {
                return &later.value;
            }
            let made = fresh.take().unwrap_or_else(|| Box::new(Later { copy, value: (self.make)() }));
            let raw = Box::into_raw(made);
            if self.later.compare_exchange(found, raw, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `raw` was made of a box a moment ago, and nobody else has seen it.
                fresh = Some(unsafe { Box::from_raw(raw) });
            }
        }
    }
}
