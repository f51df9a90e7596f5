//! What can be sent to a worker: data that can be encoded, functions that are their type. Owns the two traits, the encoding,
//! and how a function and its argument become a call and are called in a copy of this program; knows no task and no pool.

use serde::{Serialize, de::DeserializeOwned};

mod call;
pub(crate) mod catch;
mod chunk;
mod codec;
pub(crate) mod named;
mod outcome;
pub(crate) mod placed;
mod ship;
pub(crate) mod spare;
#[cfg(test)]
mod tests;

pub(crate) use call::{Around, Bytes, Call, Counted, Origin, Reply};
pub(crate) use chunk::{
    LONG, PER_LOOK, Results, lost_in_chunk, open_chunk, rest_of, ship_chunk, ship_chunk_async,
};
pub(crate) use named::{Named, Names};
pub use outcome::InitOutcome;
pub use placed::{Scattered, SharedSlice};
pub(crate) use ship::{
    Packed, open, pack, pack_here, pack_ref, perform, ship, ship_async, ship_packed, unpack,
};

/// Data that can travel to a worker and back: anything that serde can encode and decode, owns what it holds and may change
/// threads. Implemented for all such types.
///
/// The encoding has no names and no types in it. So what must look at the data to know what it is cannot be decoded: untagged,
/// internally tagged and flattened types, `serde_json::Value`; nor can fields be left out (`skip_serializing_if`). Where tasks
/// leave the process, each is an error that says so ([`TaskError::Encode`](crate::TaskError::Encode),
/// [`TaskError::Decode`](crate::TaskError::Decode)); send such a value as text. Bytes (`Vec<u8>`) and text (`String`) that are the
/// whole argument or result are not walked through, and not copied more than the way demands.
///
/// # Examples
/// ```
/// fn travels<T: polypool::Portable>() {}
/// travels::<(u64, String, Vec<Option<f32>>)>();
/// ```
pub trait Portable: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Portable for T {}

/// A function that *is* its type: a `fn` item or a closure that captures nothing. Implemented for all that may be one; that it
/// captures nothing is checked where it is used, when the program is built (`cargo check` does not get that far).
///
/// What a closure would capture is passed as the argument instead. A pointer to a function captures where it points, and is
/// refused; a captured value that is `Copy` and has no size, like `()`, slips through, harmlessly.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// let factor = 3;
/// let tripled = pool.submit(|(n, factor): (i32, i32)| n * factor, (14, factor)).await?;
/// assert_eq!(tripled, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
/// A closure that captures does not compile:
/// ```compile_fail
/// let pool = polypool::Executor::serial();
/// let factor = 3;
/// let _ = pool.submit(move |n: i32| n * factor, 14);
/// ```
/// Nor does a pointer to a function:
/// ```compile_fail
/// let pool = polypool::Executor::serial();
/// let f: fn(i32) -> i32 = |n| n + 1;
/// let _ = pool.submit(f, 14);
/// ```
pub trait TaskFn: Copy + Send + Sync + 'static {}

impl<F: Copy + Send + Sync + 'static> TaskFn for F {}

/// Refuses, when the program is built, a function that carries data.
pub(crate) const fn assert_captures_nothing<F>() {
    assert!(
        size_of::<F>() == 0,
        "a task function must capture nothing: pass what the closure captures as its argument (a tuple will do), or use \
         `spawn_blocking` or `spawn` if the task may stay in this process"
    );
}
