//! `wait`: until the first, the first error, or all of some tasks are over; their results stay where they are.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};

use crate::{runtime::Sleep, task::TaskHandle};

/// What [`wait`] waits for.
///
/// # Examples
/// See [`wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until one task is over.
    First,
    /// Until one task ended with an error of the pool's (a task's own `Result::Err` is a value), or all are over.
    FirstError,
    /// Until all tasks are over.
    All,
}

/// Waits for some of the tasks and sorts the handles by whether they are finished. Results stay in the handles.
///
/// # Examples
/// ```
/// use polypool::{Wait, wait};
///
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(2)?;
/// let tasks = (0..4).map(|n| pool.submit(|n: u32| n, n));
/// let waited = wait(tasks, Wait::All).await;
/// assert_eq!((waited.done.len(), waited.pending.len()), (4, 0));
/// for task in waited.done {
///     task.await?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn wait<R>(handles: impl IntoIterator<Item = TaskHandle<R>>, until: Wait) -> Waiting<R> {
    let waiting: FuturesUnordered<_> = handles
        .into_iter()
        .enumerate()
        .map(|(number, handle)| Finish { number, handle: Some(handle) })
        .collect();
    Waiting { waiting, done: Vec::new(), until, timeout: None, sleep: None }
}

/// The future of [`wait`]. Dropping it drops the handles, which detaches their tasks.
///
/// # Examples
/// See [`wait`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Waiting<R> {
    waiting: FuturesUnordered<Finish<R>>,
    done: Vec<(usize, TaskHandle<R>)>,
    until: Wait,
    timeout: Option<Duration>,
    sleep: Option<Sleep>,
}

impl<R> Waiting<R> {
    /// Waits no longer than this, from the first poll. Running out of time is no error: it leaves more handles in `pending`.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use polypool::{Wait, wait};
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::tasks(1)?;
    /// let never = pool.spawn(std::future::pending::<()>());
    /// let waited = wait([never], Wait::All).timeout(Duration::from_millis(1)).await;
    /// assert_eq!(waited.pending.len(), 1);
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    fn is_enough(&self) -> bool {
        match self.until {
            Wait::All => false,
            Wait::First => !self.done.is_empty(),
            Wait::FirstError => self.done.last().is_some_and(|(_, handle)| handle.has_failed()),
        }
    }

    fn sort(&mut self) -> Waited<R> {
        let mut done = std::mem::take(&mut self.done);
        let mut pending = Vec::new();
        for finish in std::mem::take(&mut self.waiting) {
            if let Some(mut handle) = finish.handle {
                handle.stop_waiting();
                let side = if handle.is_finished() { &mut done } else { &mut pending };
                side.push((finish.number, handle));
            }
        }
        let in_order = |mut handles: Vec<(usize, TaskHandle<R>)>| {
            handles.sort_by_key(|(number, _)| *number);
            handles.into_iter().map(|(_, handle)| handle).collect()
        };
        Waited { done: in_order(done), pending: in_order(pending) }
    }
}

impl<R> Future for Waiting<R> {
    type Output = Waited<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<R>> {
        let this = &mut *self;
        if let Some(after) = this.timeout.take() {
            this.sleep = Sleep::new(after);
        }
        loop {
            match this.waiting.poll_next_unpin(cx) {
                Poll::Ready(Some(finished)) => {
                    this.done.push(finished);
                    if this.is_enough() {
                        return Poll::Ready(this.sort());
                    }
                }
                Poll::Ready(None) => return Poll::Ready(this.sort()),
                Poll::Pending => break,
            }
        }
        let overdue = this.sleep.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(cx).is_ready());
        if overdue { Poll::Ready(this.sort()) } else { Poll::Pending }
    }
}

impl<R> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("until", &self.until)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// The handles given to [`wait`], sorted, each part in the order in which they were given. Every handle can be awaited.
///
/// # Examples
/// See [`wait`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Waited<R> {
    /// The tasks that are over: awaiting them returns at once.
    pub done: Vec<TaskHandle<R>>,
    /// The others.
    pub pending: Vec<TaskHandle<R>>,
}

/// Ready with a handle when its task is over.
struct Finish<R> {
    number: usize,
    handle: Option<TaskHandle<R>>,
}

impl<R> Future for Finish<R> {
    type Output = (usize, TaskHandle<R>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        let Some(handle) = &mut self.handle else {
            return Poll::Pending;
        };
        ready!(handle.poll_finished(cx));
        match self.handle.take() {
            Some(handle) => Poll::Ready((number, handle)),
            None => Poll::Pending,
        }
    }
}
