//! Panics of user code: caught, with message, place and stack. Owns the process's panic hook, which it extends and never
//! silences.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Once,
    task::{Context, Poll, Waker},
};

use pin_project::pin_project;

use crate::{error::PanicInfo, sys::quiet::is_quiet};

thread_local! {
    /// How many tasks deep this thread is: only their panics are recorded.
    static WATCHED: Cell<u32> = const { Cell::new(0) };
    /// What the hook saw of the panic that is under way.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

struct Seen {
    location: Option<String>,
    backtrace: Option<String>,
}

/// Puts our hook before the one that is there, once per process. A hook that is set later replaces ours; then panics are
/// still caught, without place and stack.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    // The hook cannot be changed by a thread that panics. The next pool sees to it.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if is_quiet() {
                return;
            }
            if WATCHED.try_with(Cell::get).unwrap_or(0) > 0 {
                let seen = Seen {
                    location: info.location().map(ToString::to_string),
                    backtrace: wants_backtrace().then(backtrace),
                };
                // Without a place to put it, on a thread that is being torn down, the panic is without them.
                let _ = SEEN.try_with(|slot| *slot.borrow_mut() = Some(seen));
            }
            previous(info);
        }));
    });
}

/// The stack of a thread that is deeper in tasks is not recorded: finding the names of its thousands of frames takes minutes.
const DEEPEST: u32 = 50;

fn backtrace() -> String {
    if WATCHED.try_with(Cell::get).unwrap_or(0) > DEEPEST {
        return "left out, since too many tasks are nested on this stack".to_owned();
    }
    Backtrace::force_capture().to_string()
}

/// A panic in a task is rare and far from its caller, so the stack is recorded unless the user says no.
fn wants_backtrace() -> bool {
    ["RUST_LIB_BACKTRACE", "RUST_BACKTRACE"]
        .iter()
        .find_map(std::env::var_os)
        .is_none_or(|value| value != "0")
}

/// Runs user code and turns its panic into a value.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, PanicInfo> {
    WATCHED.with(|depth| depth.set(depth.get() + 1));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    WATCHED.with(|depth| depth.set(depth.get() - 1));
    result.map_err(describe)
}

/// A future whose panic is a value.
#[pin_project]
pub(crate) struct Caught<F> {
    #[pin]
    inner: F,
}

impl<F: Future> Caught<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, PanicInfo>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner;
        match catch(|| inner.poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cold]
fn describe(payload: Box<dyn Any + Send>) -> PanicInfo {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a string".to_owned());
    discard(payload);
    let seen = SEEN.try_with(|slot| slot.borrow_mut().take()).ok().flatten();
    let (location, backtrace) = seen.map_or((None, None), |seen| (seen.location, seen.backtrace));
    PanicInfo::new(message, location, backtrace)
}

/// Drops a value of the user's whose `Drop` may panic, in a place where that must not spread.
pub(crate) fn discard<T>(value: T) {
    calmly(move || drop(value));
}

/// Wakes somebody. A waker is foreign code, and its panic is its owner's affair.
pub(crate) fn wake(waker: Waker) {
    calmly(move || waker.wake());
}

fn calmly(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
        // A payload that panics when it is dropped as well is given up.
        if let Err(again) = panic::catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_place_and_stack_are_kept() {
        install_hook();
        let info = catch(|| panic!("{} no", 1)).expect_err("panics");
        assert_eq!(info.message, "1 no");
        assert!(info.location.is_some_and(|place| place.contains("catch.rs")));
        assert!(info.backtrace.is_some() || !wants_backtrace());
    }

    #[test]
    fn any_payload_is_described() {
        install_hook();
        let info = catch(|| panic::panic_any(7_u8)).expect_err("panics");
        assert_eq!(info.message, "a value that is not a string");
    }

    #[test]
    fn a_drop_that_panics_does_not_spread() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        discard(Grenade);
        let info = catch(|| panic::panic_any(Grenade)).expect_err("panics");
        assert_eq!(info.message, "a value that is not a string");
    }
}
