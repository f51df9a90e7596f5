//! Values that have no bytes. Owns the step from a type to its value; does not know how the type was named.

use std::ptr::NonNull;

/// The value of a type whose values carry nothing: the name of a function item, a closure that captures nothing.
///
/// Only for a type of which this program made a value somewhere: what leads here is reached through a record that was made for a
/// value at hand, by this program or by another process of the same image. That a value has a size is refused when the program
/// is built (`cargo check` does not get that far).
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn conjure<F: Copy + 'static>() -> F {
    const { assert!(size_of::<F>() == 0, "only what captures nothing can be made from its type") };
    // SAFETY:
    // 1. A read of no bytes is valid from any pointer that is aligned and not null, which `dangling` is.
    // 2. No bytes are the representation of every value of `F`, so that if there is one, this is it. There is one: a record that
    //    names `F` exists only for code that was given an `F`, which an uninhabited type would not allow.
    // 3. To have one more of them breaks nothing: `F` is `Copy`, so anyone with one could have made it. Nor can it hold a borrow
    //    that has ended: it is `'static`.
    unsafe { NonNull::<F>::dangling().read() }
}

#[cfg(test)]
mod tests {
    use super::conjure;

    fn call<F: Fn(u32) -> u32 + Copy + 'static>(_: F) -> u32 {
        conjure::<F>()(20)
    }

    #[test]
    fn a_function_is_made_of_its_type() {
        fn double(n: u32) -> u32 {
            2 * n
        }
        assert_eq!(call(double), 40);
        assert_eq!(call(|n| n + 1), 21);
        assert_eq!(call(u32::wrapping_neg), 20_u32.wrapping_neg());
    }
}
