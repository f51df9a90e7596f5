//! How many tasks may wait. Owns the bound of `max_pending` and those who wait for it to allow one more, first come first
//! served; knows no task.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    sys::{
        copy::copy,
        sync::{Mutex, lock},
    },
    task::catch::wake,
};

/// The places in a bounded queue. Without a bound there is always room.
pub(crate) struct Room {
    limit: Option<usize>,
    /// The process that counts.
    copy: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    waiting: VecDeque<Arc<Waiter>>,
    /// There is no bound any more.
    open: bool,
}

/// One who waits. A place that becomes free is given, not announced: nobody can slip in between.
struct Waiter {
    turn: Mutex<Turn>,
}

enum Turn {
    Waits(Waker),
    Given,
    Gone,
}

impl Room {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, copy: copy(), state: Mutex::default() }
    }

    /// Takes a place if there is one and nobody was here first.
    pub(crate) fn try_take(&self) -> bool {
        self.bound().is_none_or(|limit| lock(&self.state).try_take(limit))
    }

    /// In a copy of the process there is none: the pool refuses everything there, and its locks may be held for ever.
    fn bound(&self) -> Option<usize> {
        self.limit.filter(|_| self.copy == copy())
    }

    /// Gives a place back: to who has waited longest.
    pub(crate) fn leave(&self) {
        if self.bound().is_none() {
            return;
        }
        let mut state = lock(&self.state);
        while let Some(waiter) = state.waiting.pop_front() {
            if let Some(waker) = waiter.give() {
                drop(state);
                wake(waker);
                return;
            }
        }
        state.taken = state.taken.saturating_sub(1);
    }

    /// Lets everybody in, because the pool will refuse them with a better reason.
    pub(crate) fn open(&self) {
        let waiting = {
            let mut state = lock(&self.state);
            state.open = true;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.iter().filter_map(|waiter| waiter.give()) {
            wake(waker);
        }
    }
}

impl State {
    fn try_take(&mut self, limit: usize) -> bool {
        let free = self.open || (self.taken < limit && self.waiting.is_empty());
        self.taken += usize::from(free);
        free
    }
}

impl Waiter {
    /// Gives the place to this waiter, unless it is gone, and says whom to wake.
    fn give(&self) -> Option<Waker> {
        let mut turn = lock(&self.turn);
        match std::mem::replace(&mut *turn, Turn::Given) {
            Turn::Waits(waker) => Some(waker),
            was => {
                *turn = was;
                None
            }
        }
    }
}

/// Waits for a place. Ready once; the place is then the caller's to `leave`. Dropping it gives a place back that was given and
/// not taken.
pub(crate) struct Entering {
    room: Arc<Room>,
    waiter: Option<Arc<Waiter>>,
    /// Called when it comes to waiting; what it gives is kept until that is over.
    on_wait: Option<OnWait>,
    waiting: Option<Box<dyn Send + Sync>>,
}

type OnWait = Box<dyn FnOnce() -> Box<dyn Send + Sync> + Send + Sync>;

impl Entering {
    pub(crate) fn new(room: Arc<Room>, on_wait: Option<OnWait>) -> Self {
        Self { room, waiter: None, on_wait, waiting: None }
    }
}

impl Future for Entering {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.room.bound() else {
            return Poll::Ready(());
        };
        let waker = cx.waker().clone();
        let Some(waiter) = &self.waiter else {
            let waiter = Arc::new(Waiter { turn: Mutex::new(Turn::Waits(waker)) });
            let mut state = lock(&self.room.state);
            if state.try_take(limit) {
                return Poll::Ready(());
            }
            state.waiting.push_back(Arc::clone(&waiter));
            drop(state);
            self.waiter = Some(waiter);
            self.waiting = self.on_wait.take().map(|on_wait| on_wait());
            return Poll::Pending;
        };
        let mut turn = lock(&waiter.turn);
        if let Turn::Given = *turn {
            *turn = Turn::Gone;
            drop(turn);
            self.waiter = None;
            self.waiting = None;
            return Poll::Ready(());
        }
        let old = std::mem::replace(&mut *turn, Turn::Waits(waker));
        drop(turn);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let was = std::mem::replace(&mut *lock(&waiter.turn), Turn::Gone);
        match was {
            Turn::Given => self.room.leave(),
            _ => lock(&self.room.state).waiting.retain(|other| !Arc::ptr_eq(other, &waiter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn places_are_given_in_the_order_of_asking_and_come_back() {
        let room = Arc::new(Room::new(Some(1)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(room.try_take());
        let mut first = pin!(Entering::new(Arc::clone(&room), None));
        let mut second = pin!(Some(Entering::new(Arc::clone(&room), None)));
        let mut third = pin!(Entering::new(Arc::clone(&room), None));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().as_pin_mut().expect("there").poll(&mut cx).is_pending());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        room.leave();
        assert!(!room.try_take(), "nobody slips in");
        assert!(third.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_ready());
        room.leave();
        second.set(None);
        assert!(third.as_mut().poll(&mut cx).is_ready(), "what the second did not take is the third's");
        room.leave();
        assert!(room.try_take());
    }
}
