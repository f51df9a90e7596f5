//! `as_completed` over inputs: results as they come.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, StreamExt, stream::FuturesUnordered};

use super::{
    chunk::{self, Done},
    feed::{Back, Chunk, Feed},
    source::{Inputs, Source},
    stream_options,
};
use crate::{
    error::TaskError,
    executor::Executor,
    function::{Portable, TaskFn, assert_captures_nothing},
    policy::CancellationPolicy,
};

impl Executor {
    /// Applies `f` to every input and gives the results as a stream, as they come, each with the index of its input.
    ///
    /// Like [`map`](Self::map) in every other way.
    ///
    /// # Examples
    /// ```
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(4)?;
    /// let mut results = pool.as_completed(|n: u64| n * n, [3, 4]);
    /// while let Some((index, result)) = results.next().await {
    ///     assert_eq!(result?, [9, 16][index]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn as_completed<F, I, R>(&self, f: F, inputs: I) -> MapCompleted<R>
    where
        F: Fn(I::Item) -> R + TaskFn,
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let send = move |pool: &Executor, inputs: &mut Vec<_>, control: &chunk::Control| {
            chunk::submit(pool, f, inputs, control)
        };
        MapCompleted::new(self, Inputs::of_iterator(inputs.into_iter(), send))
    }

    /// The same for an `async fn`.
    ///
    /// # Examples
    /// ```
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::tasks(4)?;
    /// assert_eq!(pool.as_completed_async(async |n: u64| n + 1, 0..10).count().await, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn as_completed_async<F, I, Fut>(&self, f: F, inputs: I) -> MapCompleted<Fut::Output>
    where
        F: Fn(I::Item) -> Fut + TaskFn,
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Portable,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let send = move |pool: &Executor, inputs: &mut Vec<_>, control: &chunk::Control| {
            chunk::submit_async(pool, f, inputs, control)
        };
        MapCompleted::new(self, Inputs::of_iterator(inputs.into_iter(), send))
    }

    /// The same over inputs that are a stream themselves.
    ///
    /// # Examples
    /// ```
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(4)?;
    /// assert_eq!(pool.as_completed_stream(|n: i32| n * 2, stream::iter([1, 2, 3])).count().await, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn as_completed_stream<F, S, R>(&self, f: F, inputs: S) -> MapCompleted<R>
    where
        F: Fn(S::Item) -> R + TaskFn,
        S: Stream + Send + 'static,
        S::Item: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let send = move |pool: &Executor, inputs: &mut Vec<_>, control: &chunk::Control| {
            chunk::submit(pool, f, inputs, control)
        };
        MapCompleted::new(self, Inputs::of_stream(inputs, send))
    }
}

/// Results as they come, each with its input's index; from [`Executor::as_completed`]. Holds its pool until it ends.
///
/// Dropping it cancels what it has not started, lets what it started end (see [`cancel_on_drop`](Self::cancel_on_drop)), and
/// does not block. After a [`timeout`](Self::timeout) the last item's index is the lowest whose result was not given.
///
/// # Cancel safety
/// Dropping the future of `next()` loses nothing.
///
/// # Examples
/// See [`Executor::as_completed`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct MapCompleted<R> {
    feed: Feed<R>,
    chunks: FuturesUnordered<OnItsWay<R>>,
    current: Back<R>,
    ended: bool,
}

stream_options!(MapCompleted, "as_completed");

struct OnItsWay<R>(Option<Chunk<R>>);

impl<R> Future for OnItsWay<R> {
    type Output = (Chunk<R>, Result<Done<R>, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(chunk) = &mut self.0 else {
            return Poll::Pending;
        };
        let done = ready!(chunk.way.poll(cx));
        match self.0.take() {
            Some(chunk) => Poll::Ready((chunk, done)),
            None => Poll::Pending,
        }
    }
}

/// Nothing is pinned in it.
impl<R> Unpin for MapCompleted<R> {}

impl<R> MapCompleted<R> {
    fn new(pool: &Executor, source: impl Source<R> + 'static) -> Self {
        Self {
            feed: Feed::new(pool.clone(), source),
            chunks: FuturesUnordered::new(),
            current: Back { first: 0, results: Vec::new().into_iter() },
            ended: false,
        }
    }

    fn abort_all(&mut self) {
        for chunk in self.chunks.iter_mut().filter_map(|chunk| chunk.0.as_mut()) {
            chunk.way.abort();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.feed.stop();
        self.abort_all();
        self.chunks.clear();
        self.current.results = Vec::new().into_iter();
    }

    /// The lowest index whose result was not given.
    fn lowest(&self) -> usize {
        let on_their_way = self.chunks.iter().filter_map(|chunk| chunk.0.as_ref()).map(|chunk| chunk.first);
        let current = (self.current.results.len() > 0).then_some(self.current.first);
        on_their_way.chain(current).min().unwrap_or(self.feed.next_index())
    }
}

impl<R> Stream for MapCompleted<R> {
    type Item = (usize, Result<R, TaskError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            while let Some(chunk) = this.feed.next_chunk(cx) {
                this.chunks.push(OnItsWay(Some(chunk)));
            }
            if let Some(result) = this.current.results.next() {
                let index = this.current.first;
                this.current.first += 1;
                let (result, last) = this.feed.give(result);
                if !last {
                    return Poll::Ready(Some((index, result)));
                }
                let lowest = this.lowest().min(index);
                this.end();
                let index = if this.feed.overdue().is_some() { lowest } else { index };
                return Poll::Ready(Some((index, result)));
            }
            if this.feed.poll_timeout(cx) {
                this.abort_all();
            }
            match this.chunks.poll_next_unpin(cx) {
                Poll::Ready(Some((chunk, done))) => {
                    let (back, rest) = this.feed.open(chunk, done);
                    this.current = back;
                    this.chunks.extend(rest.into_iter().map(|chunk| OnItsWay(Some(chunk))));
                }
                Poll::Ready(None) => {
                    if this.feed.has_input() {
                        return Poll::Pending;
                    }
                    this.ended = true;
                    return Poll::Ready(this.feed.finish().map(|(index, error)| (index, Err(error))));
                }
                Poll::Pending => {
                    let Some(error) = this.feed.overdue() else {
                        return Poll::Pending;
                    };
                    let index = this.lowest();
                    this.end();
                    return Poll::Ready(Some((index, Err(error))));
                }
            }
        }
    }
}
