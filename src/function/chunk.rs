//! Several inputs as one call. Owns that each has an encoding and a result of its own, so that one that fails is one that
//! fails; and that a chunk which turns out long or large ends early, so that others do the rest.
//!
//! The argument is the inputs, then one byte: may the chunk be cut when it takes long? The byte is at the end so that what is
//! behind any input is the argument of a chunk again, without a copy. The reply is how long it took, in nanoseconds, and the
//! results. Inputs and results begin with a byte that says what they are: [`VALUE`], with its length before it, [`ERROR`] the
//! same, or [`CANCELLED`], with nothing.

use std::time::{Duration, Instant};

use super::{
    Around, Call, Counted, Portable, TaskFn,
    call::Bytes,
    catch::catch,
    codec,
    named::{self, Names},
    ship::{self, Perform},
};
use crate::{
    error::TaskError,
    sys::{image::Record, zst},
};

const VALUE: u8 = 0;
const ERROR: u8 = 1;
const CANCELLED: u8 = 2;

/// In place of how long it took: the worker was lost at the first input without a result, which may be tried again.
const LOST: u64 = u64::MAX;

/// After this long a chunk that was too large by far gives the rest of its inputs to other workers.
pub(crate) const LONG: Duration = Duration::from_millis(2);

/// Of so many inputs, the clock is read for one.
pub(crate) const PER_LOOK: usize = 16;

/// A chunk of more bytes than this, on either way, goes in parts, whether or not it may be cut for taking long.
const LARGE: usize = 64 << 20;

/// The same for a chunk whose size was not asked for.
const LARGE_ENOUGH: usize = 1 << 20;

/// Makes a call of inputs from the front: all, or as many as are enough for one, if they are large. An input that cannot be
/// encoded travels as its error.
pub(crate) fn ship_chunk<F, A, R>(_: F, inputs: &mut Vec<A>, may_cut: bool) -> Result<Call, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let record = const { &Record::new(perform_blocking::<F, A, R> as Perform) };
    Ok(pack_inputs(ship::entry(record)?, inputs, may_cut))
}

/// The same for an `async fn`, whose futures are awaited one after the other.
pub(crate) fn ship_chunk_async<F, A, Fut>(_: F, inputs: &mut Vec<A>, may_cut: bool) -> Result<Call, TaskError>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let record = const { &Record::new(perform_async::<F, A, Fut> as Perform) };
    Ok(pack_inputs(ship::entry(record)?, inputs, may_cut))
}

fn pack_inputs<A: Portable>(entry: u64, inputs: &mut Vec<A>, may_cut: bool) -> Call {
    let enough = if may_cut { LARGE_ENOUGH } else { LARGE };
    let (mut arg, mut tasks) = (Vec::new(), 0);
    let mut left = std::mem::take(inputs).into_iter();
    let ((), names) = named::collect_of::<A, _>(|| {
        while arg.len() < enough
            && let Some(input) = left.next()
        {
            put(Ok(input), &mut arg);
            tasks += 1;
        }
    });
    *inputs = left.collect();
    arg.push(may_cut.into());
    Call::new(entry, Bytes::shared(arg), tasks).naming(names)
}

/// The call for the inputs of a chunk behind the first `n`; none if there are none. Workers were `lost` at the first of them. What
/// the chunk named, the rest may name.
pub(crate) fn rest_of(entry: u64, arg: &Bytes, names: &Names, n: usize, lost: u32) -> Option<Call> {
    let (_, inputs) = arg.split_last()?;
    let mut rest = inputs;
    for _ in 0..n {
        next(&mut rest)?;
    }
    let tasks = count(rest)?;
    let arg = arg.behind(inputs.len() - rest.len());
    (tasks > 0).then(|| Call { lost, ..Call::new(entry, arg, tasks as u64).naming(names.clone()) })
}

/// What came back of a chunk: the results of those of its inputs that were worked on, in order.
pub(crate) struct Results<R> {
    /// The errors are boxed: they are rare, and large.
    pub(crate) results: Vec<Result<R, Box<TaskError>>>,
    /// None when a worker was lost.
    pub(crate) took: Option<Duration>,
}

/// Takes the reply to a chunk apart. A result that cannot be decoded is its own error only.
pub(crate) fn open_chunk<R: Portable>(reply: &[u8]) -> Result<Results<R>, TaskError> {
    let malformed = || TaskError::Decode("the worker's reply to a chunk is not one".to_owned());
    let (took, mut items) = reply.split_first_chunk().ok_or_else(malformed)?;
    let len = count(items).ok_or_else(malformed)?;
    let mut results = Vec::with_capacity(len);
    while let Some(item) = next(&mut items) {
        results.push(get(item).map_err(Box::new));
    }
    let took = u64::from_le_bytes(*took);
    Ok(Results { results, took: (took != LOST).then(|| Duration::from_nanos(took)) })
}

/// Makes the reply of a worker that was lost amid a chunk, of what it [kept](Around::keep): the results so far, then the error for
/// the input that it was at, if there is one; `error` is told whether that was the first. What was behind is sent again as the rest
/// of any chunk is. None if what was kept is no such thing, or the reply would say nothing.
pub(crate) fn lost_in_chunk(
    kept: &[u8],
    error: impl FnOnce(bool) -> Option<TaskError>,
) -> Option<(Vec<u8>, Counted)> {
    let (_, results) = kept.split_first_chunk::<8>()?;
    let (mut items, mut counted) = (results, Counted::default());
    while !items.is_empty() {
        counted.count(next(&mut items)?.0);
    }
    let error = error(results.is_empty());
    let was_lost = if error.is_none() { LOST } else { 0 };
    let mut reply = [&was_lost.to_le_bytes(), results].concat();
    if let Some(error) = error {
        counted.count(put::<()>(Err(error), &mut reply));
    }
    (counted != Counted::default()).then_some((reply, counted))
}

impl Counted {
    fn count(&mut self, tag: u8) {
        let count = match tag {
            VALUE => &mut self.completed,
            CANCELLED => &mut self.cancelled,
            _ => &mut self.failed,
        };
        *count = count.saturating_add(1);
    }
}

fn perform_blocking<F, A, R>(arg: &[u8], out: &mut Vec<u8>, around: &dyn Around) -> Result<Counted, TaskError>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let f = zst::conjure::<F>();
    each(arg, out, around, |input| catch(|| f(input)).map_err(TaskError::Panicked))
}

fn perform_async<F, A, Fut>(arg: &[u8], out: &mut Vec<u8>, around: &dyn Around) -> Result<Counted, TaskError>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let f = zst::conjure::<F>();
    each(arg, out, around, |input| ship::wait(|| f(input), around))
}

fn each<A: Portable, R: Portable>(
    arg: &[u8],
    out: &mut Vec<u8>,
    around: &dyn Around,
    mut f: impl FnMut(A) -> Result<R, TaskError>,
) -> Result<Counted, TaskError> {
    let start = Instant::now();
    let (may_cut, mut inputs, mut left) = match arg {
        [inputs @ .., may_cut] => count(inputs).map(|len| (*may_cut != 0, inputs, len)),
        [] => None,
    }
    .ok_or_else(|| TaskError::Decode("the inputs of a chunk are not what they should be".to_owned()))?;
    let mut counted = Counted::default();
    let mut done = 0_usize;
    out.extend_from_slice(&[0; 8]);
    while let Some(input) = next(&mut inputs) {
        let is_over = || around.is_stopped() || around.is_trimmed();
        let result = if is_over() { Err(TaskError::Cancelled) } else { get(input).and_then(&mut f) };
        let (tag, names) = named::collect_of::<R, _>(|| put(result, out));
        counted.count(tag);
        if !names.is_empty() {
            // Before it is kept: what outlives the worker names them.
            around.named(names);
        }
        done += 1;
        left -= 1;
        let look = may_cut && (left < PER_LOOK || done.is_multiple_of(PER_LOOK));
        let is_enough = !around.keep(out) || out.len() > LARGE || (look && start.elapsed() > LONG);
        // What nobody wants is not for others to do.
        if left > 0 && is_enough && !is_over() {
            break;
        }
    }
    let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    if let Some(place) = out.first_chunk_mut() {
        *place = took.to_le_bytes();
    }
    Ok(counted)
}

/// One input or result, encoded.
type Item<'a> = (u8, &'a [u8]);

/// Takes the next from the front.
fn next<'a>(items: &mut &'a [u8]) -> Option<Item<'a>> {
    let (&tag, mut rest) = items.split_first()?;
    let part = match tag {
        VALUE | ERROR => codec::take_part(&mut rest)?,
        CANCELLED => &[],
        _ => return None,
    };
    *items = rest;
    Some((tag, part))
}

/// How many there are. None when they are malformed.
fn count(mut items: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !items.is_empty() {
        next(&mut items)?;
        count += 1;
    }
    Some(count)
}

fn get<T: Portable>((tag, part): Item<'_>) -> Result<T, TaskError> {
    match tag {
        VALUE => codec::unpack_from(part),
        ERROR => Err(codec::decode(part)?),
        _ => Err(TaskError::Cancelled),
    }
}

/// Says as what it is there now: a value that cannot be encoded is an error.
fn put<T: Portable>(item: Result<T, TaskError>, out: &mut Vec<u8>) -> u8 {
    let at = out.len();
    let error = match item {
        Ok(value) => {
            out.push(VALUE);
            match codec::pack_part(value, out) {
                Ok(()) => return VALUE,
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    out.truncate(at);
    if !error.is_cancelled() {
        out.push(ERROR);
        if codec::pack_part(error, out).is_ok() {
            return ERROR;
        }
        out.truncate(at);
    }
    out.push(CANCELLED);
    CANCELLED
}
