//! How much of its stack a thread has left. Owns the question; what is done about it is `runtime`'s.

use std::cell::Cell;

thread_local! {
    /// The lowest address of this thread's stack; 0 until somebody asks.
    static END: Cell<usize> = const { Cell::new(0) };
}

/// What a thread is taken to have left where it is first asked on a system that does not say.
#[cfg(not(target_os = "linux"))]
const USUAL: usize = 3 << 19;

/// Gives the number of bytes between here and the end of this thread's stack.
pub(crate) fn left() -> usize {
    let here = here();
    // A thread that is being torn down nests nothing any more.
    END.try_with(|end| {
        if end.get() == 0 {
            end.set(end_of_stack(here));
        }
        here.saturating_sub(end.get())
    })
    .unwrap_or(0)
}

/// An address in the frame of the caller.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&local)).addr()
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the thread's attributes")]
fn end_of_stack(here: usize) -> usize {
    use std::mem::MaybeUninit;

    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the thread is this one, and the place for the attributes is ours; they are written when it gives 0.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        // Then there is nothing to nest in.
        return here;
    }
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were initialised above, and both places are ours.
    let got = unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size) };
    // SAFETY: they were initialised, and are not used any more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    // Its end, where no guard is in the way: that of a main thread is not there yet, and does no harm if it is left out twice.
    if got == 0 { start.addr() + GUARD } else { here }
}

/// What the lowest part of a stack may be taken up by.
#[cfg(target_os = "linux")]
const GUARD: usize = 1 << 16;

#[cfg(not(target_os = "linux"))]
fn end_of_stack(here: usize) -> usize {
    here.saturating_sub(USUAL)
}

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn a_thread_has_about_what_it_was_given_and_less_below() {
        fn deeper() -> usize {
            let room = std::hint::black_box([0_u8; 100_000]);
            left() + usize::from(room[7])
        }

        let measured = std::thread::Builder::new().stack_size(4 << 20).spawn(|| (left(), deeper()));
        let (above, below) = measured.expect("a thread").join().expect("no panic");
        if cfg!(target_os = "linux") {
            assert!((3 << 20..=5 << 20).contains(&above), "{above}");
        }
        assert!(below + 100_000 <= above, "{below} and {above}");
    }
}
