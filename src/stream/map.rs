//! `map`: results in the order of the inputs.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;

use super::{
    chunk,
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
    /// Applies `f` to every input and gives the results as a stream, in the order of the inputs.
    ///
    /// Nothing happens before the first poll. Then inputs are pulled lazily, in the poll of the stream, never further than the
    /// window ahead of the results that were taken; the tasks run in the pool, whether or not the stream is polled meanwhile. So
    /// an endless iterator is fine. An error is that of one input alone, and the stream goes on.
    ///
    /// When the iterator panics, the results of the inputs before come first, then [`TaskError::Panicked`] as the last item.
    ///
    /// # Examples
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(4)?;
    /// let squares: Vec<u64> = pool.map(|n: u64| n * n, 0..5).try_collect().await?;
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn map<F, I, R>(&self, f: F, inputs: I) -> Map<R>
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
        Map::new(self, Inputs::of_iterator(inputs.into_iter(), send))
    }

    /// The same for an `async fn`.
    ///
    /// # Examples
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::tasks(4)?;
    /// let lengths: Vec<usize> = pool.map_async(async |s: String| s.len(), ["a".to_owned(), "bc".to_owned()]).try_collect().await?;
    /// assert_eq!(lengths, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn map_async<F, I, Fut>(&self, f: F, inputs: I) -> Map<Fut::Output>
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
        Map::new(self, Inputs::of_iterator(inputs.into_iter(), send))
    }

    /// The same over inputs that are a stream themselves.
    ///
    /// # Examples
    /// ```
    /// use futures::{TryStreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(4)?;
    /// let doubled: Vec<i32> = pool.map_stream(|n: i32| n * 2, stream::iter([1, 2, 3])).try_collect().await?;
    /// assert_eq!(doubled, [2, 4, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn map_stream<F, S, R>(&self, f: F, inputs: S) -> Map<R>
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
        Map::new(self, Inputs::of_stream(inputs, send))
    }
}

/// Results in the order of their inputs; from [`Executor::map`]. Holds its pool until it ends.
///
/// Dropping it cancels what it has not started, lets what it started end (see [`cancel_on_drop`](Self::cancel_on_drop)), and
/// does not block.
///
/// # Cancel safety
/// Dropping the future of `next()` loses nothing.
///
/// # Examples
/// See [`Executor::map`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Map<R> {
    feed: Feed<R>,
    chunks: VecDeque<Chunk<R>>,
    /// The results of the chunk before those.
    current: Back<R>,
    ended: bool,
}

stream_options!(Map, "map");

/// Nothing is pinned in it.
impl<R> Unpin for Map<R> {}

impl<R> Map<R> {
    fn new(pool: &Executor, source: impl Source<R> + 'static) -> Self {
        Self {
            feed: Feed::new(pool.clone(), source),
            chunks: VecDeque::new(),
            current: Back { first: 0, results: Vec::new().into_iter() },
            ended: false,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.feed.stop();
        for mut chunk in self.chunks.drain(..).rev() {
            chunk.way.abort();
        }
        self.current.results = Vec::new().into_iter();
    }
}

impl<R> Drop for Map<R> {
    fn drop(&mut self) {
        // From the back: a worker that is stopped takes the next task, and that is not to be taken for one that ran before.
        while self.chunks.pop_back().is_some() {}
    }
}

impl<R> Stream for Map<R> {
    type Item = Result<R, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            while let Some(chunk) = this.feed.next_chunk(cx) {
                this.chunks.push_back(chunk);
            }
            if let Some(result) = this.current.results.next() {
                let (result, last) = this.feed.give(result);
                if last {
                    this.end();
                }
                return Poll::Ready(Some(result));
            }
            if this.feed.poll_timeout(cx) {
                this.chunks.iter_mut().rev().for_each(|chunk| chunk.way.abort());
            }
            let Some(front) = this.chunks.front_mut() else {
                if this.feed.has_input() {
                    return Poll::Pending;
                }
                this.ended = true;
                return Poll::Ready(this.feed.finish().map(|(_, error)| Err(error)));
            };
            match front.way.poll(cx) {
                Poll::Ready(done) => {
                    let Some(chunk) = this.chunks.pop_front() else { continue };
                    let (back, rest) = this.feed.open(chunk, done);
                    this.current = back;
                    for chunk in rest.into_iter().rev() {
                        this.chunks.push_front(chunk);
                    }
                }
                Poll::Pending => {
                    let Some(error) = this.feed.overdue() else {
                        return Poll::Pending;
                    };
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
