//! How a function becomes a call, and a call its function again. Owns the records by which a copy of this program finds a
//! function, and what is called through them; knows no pool and no worker.
//!
//! A function that captures nothing is its type. So all that is needed of it is a trampoline that is made for this type: it
//! decodes the argument, conjures the function, calls it and encodes the result. A record of the trampoline is a constant of
//! the program's image, and its place in there is the same in every copy.

use super::{
    Around, Call, Counted, Portable, TaskFn,
    call::Bytes,
    catch::{Caught, catch, discard},
    codec,
    named::{self, Names},
};
use crate::{
    error::TaskError,
    sys::{image, image::Record, zst},
};

/// Takes an argument from the bytes and leaves the result in the vector, which is empty.
pub(super) type Perform = fn(&[u8], &mut Vec<u8>, &dyn Around) -> Result<Counted, TaskError>;

/// Makes a call of a function and its argument.
pub(crate) fn ship<F, A, R>(f: F, arg: A) -> Result<Call, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    ship_packed(f, pack(arg)?)
}

/// The same for an argument that is encoded already.
pub(crate) fn ship_packed<F, A, R>(_: F, arg: Packed) -> Result<Call, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let record = const { &Record::new(perform_blocking::<F, A, R> as Perform) };
    Ok(Call::new(entry(record)?, arg.bytes, 1).naming(arg.names))
}

/// The same for an `async fn`.
pub(crate) fn ship_async<F, A, Fut>(_: F, arg: A) -> Result<Call, TaskError>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let record = const { &Record::new(perform_async::<F, A, Fut> as Perform) };
    let Packed { bytes, names } = pack(arg)?;
    Ok(Call::new(entry(record)?, bytes, 1).naming(names))
}

/// An argument that is encoded, and what it names.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Bytes,
    pub(crate) names: Names,
}

impl Packed {
    /// The same once more. Its bytes are kept once if they are [shared](Bytes::into_shared).
    pub(crate) fn again(&self) -> Self {
        Self { bytes: self.bytes.behind(0), names: self.names.clone() }
    }

    pub(crate) fn into_shared(self) -> Self {
        Self { bytes: self.bytes.into_shared(), names: self.names }
    }
}

/// Encodes an argument and drops it.
pub(crate) fn pack<T: Portable>(value: T) -> Result<Packed, TaskError> {
    let (bytes, names) = named::collect_of::<T, _>(|| pack_bytes(value));
    Ok(Packed { bytes: bytes?.into(), names })
}

/// The same for data that the caller keeps.
pub(crate) fn pack_ref<T: Portable>(value: &T) -> Result<Packed, TaskError> {
    let (bytes, names) = named::collect(|| codec::encode_whole(value));
    Ok(Packed { bytes: bytes?.into_owned().into(), names })
}

/// The same for an argument that does not leave this process.
pub(crate) fn pack_here<T: Portable>(value: T) -> Result<Packed, TaskError> {
    let (bytes, names) = named::collect_here(|| pack_bytes(value));
    Ok(Packed { bytes: bytes?.into(), names })
}

fn pack_bytes<T: Portable>(value: T) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::new();
    codec::pack_into(value, &mut bytes)?;
    Ok(bytes)
}

/// Encodes the result of a call, and says what it names.
fn pack_result<T: Portable>(value: T, out: &mut Vec<u8>, around: &dyn Around) -> Result<(), TaskError> {
    let (done, names) = named::collect_of::<T, _>(|| codec::pack_into(value, out));
    if !names.is_empty() && done.is_ok() {
        around.named(names);
    }
    done
}

/// Decodes an argument.
pub(crate) fn unpack<T: Portable>(bytes: &[u8]) -> Result<T, TaskError> {
    codec::unpack_from(bytes)
}

/// Decodes the result of a call; what it names is here until then.
pub(crate) fn open<R: Portable>(bytes: Vec<u8>, _: Names) -> Result<R, TaskError> {
    codec::unpack(bytes)
}

/// Where a copy of this program finds the record. The pool knows its backend's name, and puts it into the error.
pub(super) fn entry(record: &'static Record<Perform>) -> Result<u64, TaskError> {
    image::offset_of(record).ok_or_else(|| TaskError::Unsupported {
        backend: String::new(),
        operation: "functions that are not part of the program's own file, but of a library that was loaded"
            .to_owned(),
        remedy: "link the code that submits them into the program, or use the backend `threads`".to_owned(),
    })
}

/// Performs a call in a worker. `out` is to be empty; then the encoded result is in it, or nothing, with an error. A panic of
/// the function is such an error.
pub(crate) fn perform(
    entry: u64,
    arg: &[u8],
    out: &mut Vec<u8>,
    around: &dyn Around,
) -> Result<Counted, TaskError> {
    let record = image::find::<Perform>(entry).ok_or_else(|| {
        TaskError::Decode(format!(
            "there is no task function at {entry:#x}; the worker is not the same program as its pool"
        ))
    })?;
    let done = catch(|| (record.value())(arg, out, around));
    let done = done.unwrap_or_else(|panic| Err(TaskError::Panicked(panic)));
    if done.is_err() {
        out.clear();
    }
    done
}

fn perform_blocking<F, A, R>(arg: &[u8], out: &mut Vec<u8>, around: &dyn Around) -> Result<Counted, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let arg = codec::unpack_from(arg)?;
    let f = zst::conjure::<F>();
    let result = catch(|| f(arg)).map_err(TaskError::Panicked)?;
    pack_result(result, out, around)?;
    Ok(Counted { completed: 1, ..Counted::default() })
}

fn perform_async<F, A, Fut>(arg: &[u8], out: &mut Vec<u8>, around: &dyn Around) -> Result<Counted, TaskError>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let arg = codec::unpack_from(arg)?;
    let f = zst::conjure::<F>();
    let result = wait(|| f(arg), around)?;
    pack_result(result, out, around)?;
    Ok(Counted { completed: 1, ..Counted::default() })
}

/// Makes a future, where it is polled, and waits for it, as long as the worker does.
pub(super) fn wait<Fut>(
    make: impl FnOnce() -> Fut + Send,
    around: &dyn Around,
) -> Result<Fut::Output, TaskError>
where
    Fut: Future + Send,
    Fut::Output: Send,
{
    let mut ended = None;
    let mut waiting = Box::pin(async { ended = Some(Caught::new(async move { make().await }).await) });
    around.block_on(waiting.as_mut());
    discard(waiting);
    match ended {
        Some(result) => result.map_err(TaskError::Panicked),
        None => Err(TaskError::Cancelled),
    }
}
