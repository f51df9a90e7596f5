//! Room for what is nested deeply: on this thread's stack while there is enough of it, on that of another then. Owns how much is
//! enough; knows nothing of what runs there.

use std::{panic::resume_unwind, sync::Mutex, thread};

use crate::sys::{lock::lock, stack};

/// What has less left of its stack runs on a new one.
const RESERVE: usize = 1 << 20;

/// How large a new stack is, where the system has so much. It takes addresses, and memory only as far as it is used.
const SIZES: [usize; 3] = [64 << 20, 16 << 20, 4 << 20];

/// Runs `f` with a megabyte of stack or more. Where this thread has not so much left, another thread runs it while this one waits,
/// which `f` is told. If there is none to be had, it makes do with what is left here.
pub(crate) fn with_room<T: Send>(f: impl FnOnce(bool) -> T + Send) -> T {
    if stack::left() >= RESERVE {
        return f(false);
    }
    // A thread that cannot be started drops what it was to run, so that has to be fetched from there.
    let work = Mutex::new(Some(f));
    let take = || lock(&work).take();
    let listens = tracing::dispatcher::get_default(Clone::clone);
    let elsewhere = thread::scope(|scope| {
        let thread = SIZES.into_iter().find_map(|size| {
            let run = || tracing::dispatcher::with_default(&listens, || take().map(|f| f(true)));
            thread::Builder::new()
                .name("polypool-deep".to_owned())
                .stack_size(size)
                .spawn_scoped(scope, run)
                .ok()
        });
        thread.and_then(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    match elsewhere {
        Some(result) => result,
        None => take().expect("nobody has run it")(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dig(depth: u32) -> u32 {
        let room = std::hint::black_box([0_u8; 10_000]);
        if depth == 0 { u32::from(room[3]) } else { with_room(|_| dig(depth - 1)) + 1 }
    }

    #[test]
    fn goes_deeper_than_any_stack() {
        // A hundred megabytes.
        assert_eq!(dig(10_000), 10_000);
    }

    /// Calls `f` where there is not enough room: what stack a thread has is not what was asked for, but at least that.
    fn far_down<T>(f: impl FnOnce() -> T) -> T {
        let room = std::hint::black_box([0_u8; 10_000]);
        if stack::left() < RESERVE {
            return f();
        }
        let result = far_down(f);
        std::hint::black_box(room);
        result
    }

    #[test]
    fn a_panic_comes_back_from_another_thread() {
        let panicking =
            || std::panic::catch_unwind(|| with_room(|is_elsewhere| assert!(!is_elsewhere, "there")));
        assert!(far_down(panicking).is_err());
    }
}
