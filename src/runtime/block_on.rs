//! Waits for a future on a thread, with no runtime at all.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Wakes one thread out of `thread::park`. The flag tells our wake-up from those that other code sends to the thread.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Tells whether this thread is in `block_on`, so that a wait here is a wait of the whole thread.
pub(crate) fn is_blocking() -> bool {
    blocking_depth() > 0
}

/// How many of `block_on` are on this thread, one in another.
pub(crate) fn blocking_depth() -> u32 {
    DEPTH.try_with(Cell::get).unwrap_or(0)
}

struct Deeper;

impl Deeper {
    fn new() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Calls `f` as from within `block_on`.
pub(crate) fn blocking<T>(f: impl FnOnce() -> T) -> T {
    let _deeper = Deeper::new();
    f()
}

/// Polls `future` on this thread until it is ready. May be nested, unlike most runtimes' own.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let _deeper = Deeper::new();
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_wake_up_from_another_thread_and_nests() {
        let (send, receive) = futures::channel::oneshot::channel();
        let thread = thread::spawn(move || send.send(block_on(async { 7 })));
        assert_eq!(block_on(async { block_on(receive) }), Ok(7));
        assert!(thread.join().expect("no panic").is_ok());
    }
}
