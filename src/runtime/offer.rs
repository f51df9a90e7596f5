//! Something that is handed to a runtime which may drop it instead of running it. Owns that it is not lost.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex},
};

use crate::sys::lock::lock;

/// The runtime's side. Who drops it without having taken what is offered, refuses: while it is handed over, the giver gets it
/// back; afterwards it is left to `late`.
pub(super) struct Offer<T> {
    slot: Arc<Mutex<Slot<T>>>,
    late: fn(T),
}

struct Slot<T> {
    inner: Option<T>,
    handing_over: bool,
    refused: bool,
}

impl<T> Offer<T> {
    /// Hands `inner` over by `give` and takes it back if it was dropped meanwhile, or if `give` panicked.
    pub(super) fn make(inner: T, late: fn(T), give: impl FnOnce(Self)) -> Result<(), T> {
        let slot = Arc::new(Mutex::new(Slot { inner: Some(inner), handing_over: true, refused: false }));
        let offer = Self { slot: Arc::clone(&slot), late };
        let gave = panic::catch_unwind(AssertUnwindSafe(|| give(offer)));
        let mut slot = lock(&slot);
        slot.handing_over = false;
        let back = (gave.is_err() || slot.refused).then(|| slot.inner.take()).flatten();
        back.map_or(Ok(()), Err)
    }

    /// Takes what is offered, once.
    pub(super) fn take(&self) -> Option<T> {
        lock(&self.slot).inner.take()
    }
}

impl<T> Drop for Offer<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if slot.handing_over {
            slot.refused = true;
        } else if let Some(inner) = slot.inner.take() {
            drop(slot);
            (self.late)(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreached(_: u8) {
        panic!("not late");
    }

    #[test]
    fn what_is_refused_on_the_spot_comes_back() {
        assert_eq!(Offer::make(1, unreached, drop), Err(1));
        assert_eq!(Offer::make(1, unreached, |_| panic!("no thread")), Err(1));
    }

    #[test]
    fn what_is_taken_stays_taken() {
        let taken = Offer::make(1, unreached, |offer| assert_eq!(offer.take(), Some(1)));
        assert_eq!(taken, Ok(()));
    }

    #[test]
    fn what_is_dropped_later_goes_to_late() {
        static LATE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let mut kept = None;
        let given = Offer::make(1, |n| LATE.lock().expect("no panic").push(n), |offer| kept = Some(offer));
        assert_eq!(given, Ok(()));
        drop(kept);
        assert_eq!(*LATE.lock().expect("no panic"), [1]);
    }
}
