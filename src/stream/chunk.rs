//! Several inputs as one task. Owns that each has a result of its own, that one long input does not hold up the rest, and that
//! a stream which is gone has no more of them started.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use super::{away, source::Sent, way::Way};

use crate::{
    backend::seat,
    error::TaskError,
    executor::{Executor, inside},
    function::{LONG, PER_LOOK, Portable, TaskFn},
    policy::CancellationPolicy,
    task::{
        Blocking, Kind, Started, Suspended, Tally, TaskHandle, Work,
        catch::{Caught, catch},
    },
};

/// What becomes of a chunk.
pub(super) struct Done<R> {
    /// One for each input that was worked on, in order. The errors are boxed: they are rare, and large.
    pub(super) results: Vec<Result<R, Box<TaskError>>>,
    /// None when a worker was lost at the first input without a result, which may be tried again.
    pub(super) took: Option<Duration>,
    /// The inputs after those, as chunks of so many.
    pub(super) rest: Vec<(usize, TaskHandle<Done<R>>)>,
}

/// Work that stands for so many of the user's tasks.
struct Chunk<W> {
    len: u64,
    work: W,
}

impl<R: Send + 'static, W: Work<Output = Done<R>>> Work for Chunk<W> {
    type Output = Done<R>;
    type Future = W::Future;
    type Tag = u64;
    const KIND: Kind = W::KIND;

    fn tag(&self) -> u64 {
        self.len
    }

    fn tasks(len: u64) -> u64 {
        len
    }

    fn tally(done: &Done<R>) -> Tally {
        let mut tally = Tally::default();
        for result in &done.results {
            match result {
                Ok(_) => tally.completed += 1,
                Err(error) if error.is_cancelled() => tally.cancelled += 1,
                Err(_) => tally.failed += 1,
            }
        }
        tally
    }

    fn start(self) -> Started<Done<R>, W::Future> {
        self.work.start()
    }
}

/// What a stream and its chunks share.
#[derive(Debug, Clone)]
pub(super) struct Control {
    gone: Arc<AtomicBool>,
    /// What dropping a chunk's handle does.
    pub(super) on_drop: CancellationPolicy,
    /// Long chunks may be cut.
    pub(super) may_cut: bool,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { gone: Arc::default(), on_drop: CancellationPolicy::PENDING, may_cut: true }
    }

    /// Has no more inputs started.
    pub(super) fn stop(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// Submits the inputs as a chunk, or as many of them as fit into one; there must be a place for it in the queue.
pub(super) fn submit<F, A, R>(pool: &Executor, f: F, inputs: &mut Vec<A>, control: &Control) -> Sent<R>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    if !pool.pool().is_in_process() {
        return away::submit(pool, f, inputs, control);
    }
    let inputs = mem::take(inputs);
    Sent { len: inputs.len(), way: Way::sent(submit_here(pool, f, inputs, control), None) }
}

fn submit_here<F, A, R>(pool: &Executor, f: F, inputs: Vec<A>, control: &Control) -> TaskHandle<Done<R>>
where
    F: Fn(A) -> R + Copy + Send + 'static,
    A: Send + 'static,
    R: Send + 'static,
{
    let on_drop = control.on_drop;
    let (len, control) = (inputs.len() as u64, control.clone());
    pool.launch_admitted(Chunk { len, work: Blocking(move || run(f, inputs, &control)) }, 0)
        .cancel_on_drop(on_drop)
}

fn run<F, A, R>(f: F, inputs: Vec<A>, control: &Control) -> Done<R>
where
    F: Fn(A) -> R + Copy + Send + 'static,
    A: Send + 'static,
    R: Send + 'static,
{
    let start = Instant::now();
    let seat = seat::current();
    let is_stopped = || control.is_gone() || seat.as_ref().is_some_and(|seat| seat.is_stop_asked());
    let mut results = Vec::with_capacity(inputs.len());
    let mut inputs = inputs.into_iter();
    let mut rest = Vec::new();
    while inputs.len() > 0 {
        // One guard around many inputs: a panic costs the one that it came from.
        let caught = catch(|| {
            while let Some(input) = inputs.next() {
                results.push(if is_stopped() { Err(Box::new(TaskError::Cancelled)) } else { Ok(f(input)) });
                let look = inputs.len() < PER_LOOK || results.len().is_multiple_of(PER_LOOK);
                if look && control.may_cut && inputs.len() > 0 && start.elapsed() > LONG && !is_stopped() {
                    rest.extend(pool_for_rest(control, 1).map(|pool| {
                        let inputs: Vec<A> = inputs.by_ref().collect();
                        (inputs.len(), pool.pool().submit_rest(|| submit_here(&pool, f, inputs, control)))
                    }));
                }
            }
        });
        if let Err(panic) = caught {
            results.push(Err(Box::new(TaskError::Panicked(panic))));
        }
    }
    Done { results, took: Some(start.elapsed()), rest }
}

/// The same for a function that makes futures, which are awaited one after the other.
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
    if !pool.pool().is_in_process() {
        return away::submit_async(pool, f, inputs, control);
    }
    let inputs = mem::take(inputs);
    Sent { len: inputs.len(), way: Way::sent(submit_rest(pool, f, None, inputs.into_iter(), control), None) }
}

/// One input's future.
type Begun<R> = Pin<Box<dyn Future<Output = Result<R, Box<TaskError>>> + Send>>;

fn submit_rest<F, A, Fut>(
    pool: &Executor,
    f: F,
    begun: Option<Begun<Fut::Output>>,
    inputs: std::vec::IntoIter<A>,
    control: &Control,
) -> TaskHandle<Done<Fut::Output>>
where
    F: Fn(A) -> Fut + Copy + Send + Sync + 'static,
    A: Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    let on_drop = control.on_drop;
    let (len, control) = ((inputs.len() + usize::from(begun.is_some())) as u64, control.clone());
    let work = Suspended(move || run_async(f, begun, inputs, control));
    pool.launch_admitted(Chunk { len, work }, 0).cancel_on_drop(on_drop)
}

/// An input that waits does not hold up others: those before it come back, and it goes on as a task of its own, with those after
/// it in another.
async fn run_async<F, A, Fut>(
    f: F,
    mut begun: Option<Begun<Fut::Output>>,
    mut inputs: std::vec::IntoIter<A>,
    control: Control,
) -> Done<Fut::Output>
where
    F: Fn(A) -> Fut + Copy + Send + Sync + 'static,
    A: Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    let start = Instant::now();
    let mut results = Vec::with_capacity(inputs.len());
    let mut rest = Vec::new();
    loop {
        let next = || inputs.next().map(|input| Box::pin(catch_async(f, input)) as Begun<Fut::Output>);
        let Some(mut future) = begun.take().or_else(next) else { break };
        if control.is_gone() {
            results.push(Err(Box::new(TaskError::Cancelled)));
            continue;
        }
        if let Poll::Ready(result) = futures::poll!(&mut future) {
            results.push(result);
            continue;
        }
        let others = mem::take(&mut inputs);
        let is_alone = results.is_empty() && others.len() == 0;
        let places = if is_alone { None } else { pool_for_rest(&control, 1 + usize::from(others.len() > 0)) };
        let Some(pool) = places else {
            inputs = others;
            results.push(future.await);
            continue;
        };
        let begun = Some(future);
        let first = || submit_rest(&pool, f, begun, Vec::new().into_iter(), &control);
        rest.push((1, pool.pool().submit_rest(first)));
        if others.len() > 0 {
            let len = others.len();
            let second = || submit_rest(&pool, f, None, others, &control);
            rest.push((len, pool.pool().submit_rest(second)));
        }
        break;
    }
    Done { results, took: Some(start.elapsed()), rest }
}

/// The pool to give the rest of a chunk to, with so many places for it in the queue.
fn pool_for_rest(control: &Control, places: usize) -> Option<Executor> {
    let executor = inside::executor().filter(|_| control.may_cut)?;
    let pool = executor.pool();
    let admitted = (0..places).take_while(|_| pool.admit().is_ok()).count();
    if admitted < places {
        (0..admitted).for_each(|_| pool.room().leave());
        return None;
    }
    Some(executor)
}

async fn catch_async<F, A, Fut>(f: F, input: A) -> Result<Fut::Output, Box<TaskError>>
where
    F: Fn(A) -> Fut,
    Fut: Future,
{
    let result = match catch(|| f(input)) {
        Ok(future) => Caught::new(future).await,
        Err(panic) => Err(panic),
    };
    result.map_err(|panic| Box::new(TaskError::Panicked(panic)))
}
