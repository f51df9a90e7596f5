//! The bound of `max_pending`: places that are given from one to the next.

use std::{future::Future, pin::pin, sync::Arc, task::Context};

use super::{block_on, explore, thread};
use crate::backend::room::{Entering, Room};

/// *A place is somebody's.* One who waits for the only place gets it, or gave up: then it is free again. It is never lost, and
/// there are never two.
#[cfg_attr(test, test)]
pub fn a_place_is_given_or_free() {
    explore(3, || {
        let room = Arc::new(Room::new(Some(1)));
        assert!(room.try_take());
        let waiter = thread::spawn({
            let room = Arc::clone(&room);
            move || block_on(Entering::new(room, None))
        });
        let quitter = thread::spawn({
            let room = Arc::clone(&room);
            move || {
                let mut entering = pin!(Entering::new(Arc::clone(&room), None));
                let mut cx = Context::from_waker(std::task::Waker::noop());
                if entering.as_mut().poll(&mut cx).is_ready() {
                    room.leave();
                }
            }
        });
        room.leave();
        waiter.join().expect("it has its turn");
        quitter.join().expect("a quitter");
        assert!(!room.try_take(), "two have the one place");
        room.leave();
        assert!(room.try_take(), "the place is lost");
    });
}
