//! Where threads go that submit or that run tasks, when these are to be apart.

use std::{cell::Cell, sync::OnceLock};

use crate::machine::{Place, pin};

/// Unset when they stay where they are.
static APART: OnceLock<Apart> = OnceLock::new();

struct Apart {
    caller: usize,
    worker: usize,
}

thread_local!(static IN_PLACE: Cell<bool> = const { Cell::new(false) });

/// Keeps this process in a place; call it before threads are started. False when that is not possible.
pub(crate) fn take(place: Place) -> bool {
    let taken = place.take();
    if let Some((worker, caller)) = place.apart() {
        APART.get_or_init(|| Apart { caller, worker });
    }
    taken
}

/// Has this thread go where the caller is. To be called when the peer is there: what it makes of the CPUs is its own affair.
pub(crate) fn go_to_submit() {
    if let Some(apart) = APART.get() {
        pin(&[apart.caller]);
    }
}

/// Has this thread, which runs a task, go where the workers are.
pub(crate) fn go_to_work() {
    if !IN_PLACE.replace(true)
        && let Some(apart) = APART.get()
    {
        pin(&[apart.worker]);
    }
}
