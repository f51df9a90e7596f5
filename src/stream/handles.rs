//! `as_completed` over handles.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt, stream::FuturesUnordered};

use super::progress::Progress;
use crate::{error::TaskError, task::TaskHandle};

/// Gives the results of tasks as they come, each with its handle's place in `handles`. The tasks may be of different pools.
///
/// # Examples
/// ```
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(2)?;
/// let mut results = polypool::as_completed((0..3).map(|n| pool.submit(|n: u32| n * n, n)));
/// while let Some((n, result)) = results.next().await {
///     assert_eq!(result?, [0, 1, 4][n]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn as_completed<R>(handles: impl IntoIterator<Item = TaskHandle<R>>) -> AsCompleted<R> {
    let mut results =
        AsCompleted { waiting: FuturesUnordered::new(), next: 0, progress: Progress::default() };
    for handle in handles {
        results.push(handle);
    }
    results
}

/// Results of handles as they come; from [`as_completed`]. Dropping it drops the handles that are left, which detaches their
/// tasks.
///
/// It ends when every handle has given its result, and goes on when another is [pushed](Self::push).
///
/// # Cancel safety
/// Dropping the future of `next()` loses nothing.
///
/// # Examples
/// See [`as_completed`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct AsCompleted<R> {
    waiting: FuturesUnordered<Numbered<R>>,
    next: usize,
    progress: Progress,
}

impl<R> AsCompleted<R> {
    /// Adds a handle and gives its number.
    ///
    /// # Examples
    /// ```
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(2)?;
    /// let mut results = polypool::as_completed([pool.submit(|n: u32| n, 1)]);
    /// assert_eq!(results.push(pool.submit(|n: u32| n, 2)), 1);
    /// assert_eq!(results.count().await, 2);
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn push(&mut self, handle: TaskHandle<R>) -> usize {
        let number = self.next;
        self.next += 1;
        self.waiting.push(Numbered { number, handle });
        self.progress.expected();
        number
    }

    /// Shows on a bar of `indicatif` how many results were taken, of as many as there are handles that have not given theirs.
    /// A handle that is [pushed](Self::push) later makes the bar longer.
    ///
    /// The bar finishes, as its [`with_finish`](indicatif::ProgressBar::with_finish) says, when every handle has given its result.
    /// It is abandoned where it stands when the stream is dropped before that.
    ///
    /// # Examples
    /// ```
    /// use futures::StreamExt;
    /// use indicatif::ProgressBar;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(2)?;
    /// let bar = ProgressBar::hidden();
    /// let handles = (0..3).map(|n| pool.submit(|n: u32| n, n));
    /// polypool::as_completed(handles).progress(bar.clone()).count().await;
    /// assert_eq!(bar.position(), 3);
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    #[cfg(feature = "progress")]
    pub fn progress(mut self, bar: indicatif::ProgressBar) -> Self {
        self.progress = Progress::on(bar, Some(self.waiting.len()));
        self
    }

    /// Tells how many handles have not given their results.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(polypool::as_completed::<()>([]).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells whether every handle has given its result.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::as_completed::<()>([]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<R> Stream for AsCompleted<R> {
    type Item = (usize, Result<R, TaskError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.waiting.poll_next_unpin(cx));
        match &next {
            Some(_) => self.progress.taken(),
            None => self.progress.ended(),
        }
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.waiting.len(), Some(self.waiting.len()))
    }
}

impl<R> fmt::Debug for AsCompleted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

struct Numbered<R> {
    number: usize,
    handle: TaskHandle<R>,
}

impl<R> Future for Numbered<R> {
    type Output = (usize, Result<R, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.handle).poll(cx));
        Poll::Ready((self.number, result))
    }
}
