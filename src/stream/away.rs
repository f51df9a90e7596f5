//! Chunks for workers that are elsewhere: encoded, and opened when they come back. Owns what is kept of a chunk to send its rest
//! again; what happens in the worker is `function::chunk`'s.

use super::{
    chunk::{Control, Done},
    source::Sent,
    way::Way,
};
use crate::{
    error::TaskError,
    executor::Executor,
    function::{
        Bytes, Call, Names, Portable, Results, TaskFn, open_chunk, rest_of, ship_chunk, ship_chunk_async,
    },
    policy::CancellationPolicy,
    task::TaskHandle,
};

/// Submits inputs from the front as a chunk; there must be a place for it in the queue.
pub(super) fn submit<F, A, R>(pool: &Executor, f: F, inputs: &mut Vec<A>, control: &Control) -> Sent<R>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    let all = inputs.len();
    let call = ship_chunk(f, inputs, control.may_cut);
    send(pool, call, all - inputs.len(), control)
}

/// The same for a function that makes futures.
pub(super) fn submit_async<F, A, Fut>(
    pool: &Executor,
    f: F,
    inputs: &mut Vec<A>,
    control: &Control,
) -> Sent<Fut::Output>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    let all = inputs.len();
    let call = ship_chunk_async(f, inputs, control.may_cut);
    send(pool, call, all - inputs.len(), control)
}

fn send<R: Portable>(
    pool: &Executor,
    call: Result<Call, TaskError>,
    len: usize,
    control: &Control,
) -> Sent<R> {
    let kept = call.as_ref().ok().filter(|_| len > 1).map(|call| Kept {
        entry: call.entry,
        inputs: call.arg.behind(0),
        names: call.names.clone(),
        lost: 0,
        on_drop: control.on_drop,
        send: send_call,
    });
    Sent { len, way: Way::sent(send_call(pool, call, control.on_drop), kept) }
}

fn send_call<R: Portable>(
    pool: &Executor,
    call: Result<Call, TaskError>,
    on_drop: CancellationPolicy,
) -> TaskHandle<Done<R>> {
    pool.send_admitted(None, || call, open).cancel_on_drop(on_drop)
}

fn open<R: Portable>(reply: Vec<u8>, _: Names) -> Result<Done<R>, TaskError> {
    let Results { results, took } = open_chunk(&reply)?;
    Ok(Done { results, took, rest: Vec::new() })
}

type SendCall<R> = fn(&Executor, Result<Call, TaskError>, CancellationPolicy) -> TaskHandle<Done<R>>;

/// A chunk's inputs, to send those again that its worker left to others.
pub(super) struct Kept<R> {
    entry: u64,
    inputs: Bytes,
    names: Names,
    /// How often a worker was lost already at the first of them.
    lost: u32,
    on_drop: CancellationPolicy,
    /// Knows what `R` can do, so that the stream need not.
    send: SendCall<R>,
}

impl<R> Kept<R> {
    /// What is left behind the first `n` inputs, at whose next a worker `was_lost`.
    pub(super) fn behind(&self, n: usize, was_lost: bool) -> Option<Self> {
        let call = rest_of(self.entry, &self.inputs, &self.names, n, was_lost.into())?;
        Some(Self { inputs: call.arg, names: call.names, lost: call.lost, ..*self })
    }

    /// Submits them; there must be a place in the queue.
    pub(super) fn send(&self, pool: &Executor) -> TaskHandle<Done<R>> {
        let call = rest_of(self.entry, &self.inputs, &self.names, 0, self.lost);
        let call = call.ok_or_else(|| TaskError::Decode("a chunk without inputs was cut".to_owned()));
        (self.send)(pool, call, self.on_drop)
    }
}
