//! A task of a graph on its way into the pool and back, its types forgotten. Owns that what the user wrote for his values (to
//! clone, encode, decode and drop them) can fail its task only.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    inputs::{Inputs, Results},
    report::NodeReport,
};
use crate::{
    error::TaskError,
    executor::Executor,
    function::{Portable, TaskFn, open, ship, ship_async},
    policy::CancellationPolicy,
    task::{
        Blocking, Optioned, Suspended, TaskHandle, TaskOptions,
        catch::{catch, discard},
    },
};

/// Brings a task into the pool; there must be a place for it in the queue. An error says that it is not there, and the place not
/// taken.
pub(super) type Launch = Box<dyn FnOnce(Site<'_>) -> Result<Box<dyn Flight>, TaskError> + Send>;

pub(super) type CopyValue = fn(&(dyn Any + Send)) -> Option<Box<dyn Any + Send>>;

/// What a task finds when it goes into the pool.
pub(super) struct Site<'a> {
    pub(super) pool: &'a Executor,
    pub(super) options: TaskOptions,
    pub(super) results: &'a mut Results,
    /// Does anybody want its result?
    pub(super) is_wanted: bool,
    pub(super) keep: Option<CopyValue>,
}

/// A task in the pool.
pub(super) trait Flight: Send {
    /// With `alone`, the pool is not told that somebody waits.
    fn poll(&mut self, alone: bool, cx: &mut Context<'_>) -> Poll<Landed>;

    fn apply(&self, policy: CancellationPolicy);
}

/// A task that is back, with its result if anybody wants that, and the copy of it that is kept.
pub(super) struct Landed {
    pub(super) report: NodeReport,
    pub(super) value: Option<Box<dyn Any + Send>>,
    pub(super) kept: Option<Box<dyn Any + Send>>,
}

impl From<TaskError> for Landed {
    fn from(error: TaskError) -> Self {
        Self { report: NodeReport::never_started(super::Outcome::Failed, error), value: None, kept: None }
    }
}

/// A function that blocks. `read` makes of what it returns the value that the task gives.
pub(super) fn blocking<F, I, R, T>(f: F, inputs: I, read: fn(R) -> Result<T, TaskError>) -> Launch
where
    F: Fn(I::Value) -> R + TaskFn,
    I: Inputs,
    R: Portable,
    T: Send + 'static,
{
    Box::new(move |site| {
        let arg = calmly(|| inputs.gather(site.results))?;
        let Site { pool, options, is_wanted, keep, .. } = site;
        let priority = options.priority;
        let handle = if pool.pool().is_in_process() {
            let work = Blocking(move || f(arg));
            pool.launch_admitted(Optioned { work, options: Arc::new(options) }, priority)
        } else {
            pool.send_admitted(Some(options), || calmly(|| ship(f, arg)), open)
        };
        Ok(Box::new(Away { handle, read, is_wanted, keep }))
    })
}

/// An `async fn`.
pub(super) fn suspended<F, I, Fut, T>(
    f: F,
    inputs: I,
    read: fn(Fut::Output) -> Result<T, TaskError>,
) -> Launch
where
    F: Fn(I::Value) -> Fut + TaskFn,
    I: Inputs,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
    T: Send + 'static,
{
    Box::new(move |site| {
        let arg = calmly(|| inputs.gather(site.results))?;
        let Site { pool, options, is_wanted, keep, .. } = site;
        let priority = options.priority;
        let handle = if pool.pool().is_in_process() {
            let work = Suspended(move || f(arg));
            pool.launch_admitted(Optioned { work, options: Arc::new(options) }, priority)
        } else {
            pool.send_admitted(Some(options), || calmly(|| ship_async(f, arg)), open)
        };
        Ok(Box::new(Away { handle, read, is_wanted, keep }))
    })
}

fn calmly<T>(f: impl FnOnce() -> Result<T, TaskError>) -> Result<T, TaskError> {
    catch(f).unwrap_or_else(|panic| Err(TaskError::Panicked(panic)))
}

struct Away<R, T> {
    handle: TaskHandle<R>,
    read: fn(R) -> Result<T, TaskError>,
    is_wanted: bool,
    keep: Option<CopyValue>,
}

impl<R: Send + 'static, T: Send + 'static> Flight for Away<R, T> {
    fn poll(&mut self, alone: bool, cx: &mut Context<'_>) -> Poll<Landed> {
        let caught = catch(|| {
            let report = match alone {
                true => self.handle.poll_report_alone(cx),
                false => self.handle.poll_report(cx),
            };
            report.map(|report| {
                let (report, value) = NodeReport::of(report, self.read);
                let value = value.map(|value| Box::new(value) as Box<dyn Any + Send>);
                let kept = self.keep.zip(value.as_deref()).and_then(|(copy, value)| copy(value));
                Landed { report, value, kept }
            })
        });
        match caught {
            Ok(poll) => poll.map(|mut landed| {
                if !self.is_wanted {
                    discard(landed.value.take());
                }
                landed
            }),
            Err(panic) => Poll::Ready(Landed::from(TaskError::Panicked(panic))),
        }
    }

    fn apply(&self, policy: CancellationPolicy) {
        discard(catch(|| self.handle.apply(policy)));
    }
}

/// A task that is under way, by its number.
pub(super) struct UnderWay {
    pub(super) node: usize,
    pub(super) alone: bool,
    /// None when it is back.
    pub(super) flight: Option<Box<dyn Flight>>,
}

impl UnderWay {
    pub(super) fn apply(&self, policy: CancellationPolicy) {
        if let Some(flight) = &self.flight {
            flight.apply(policy);
        }
    }
}

impl Future for UnderWay {
    type Output = (usize, Landed);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (node, alone) = (self.node, self.alone);
        let Some(flight) = &mut self.flight else {
            return Poll::Pending;
        };
        let poll = flight.poll(alone, cx);
        if poll.is_ready() {
            // What it drops must not take its result along.
            discard(self.flight.take());
        }
        poll.map(|landed| (node, landed))
    }
}
