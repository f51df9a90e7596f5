//! Results as streams. Owns windows, chunks and the order of results; the work itself runs in the pool, and a stream only hands
//! inputs in and takes results out.

mod away;
mod chunk;
mod completed;
mod feed;
mod handles;
mod map;
mod pace;
#[cfg(feature = "progress")]
mod progress;
#[cfg(not(feature = "progress"))]
#[path = "no_progress.rs"]
mod progress;
mod source;
#[cfg(test)]
mod tests;
mod wait;
mod way;

pub use completed::MapCompleted;
pub use handles::{AsCompleted, as_completed};
pub use map::Map;
pub use pace::{ChunkSize, default_chunk_size};
pub use wait::{Wait, Waited, Waiting, wait};

/// The options that `Map` and `MapCompleted` share; both keep them in a `feed`.
macro_rules! stream_options {
    ($stream:ident, $verb:literal) => {
        impl<R> $stream<R> {
            /// Sends the inputs in chunks of so many, which spares tiny tasks most of the way: a number, or another
            /// [`ChunkSize`](crate::ChunkSize). By default chunks grow and shrink with the measured duration of the tasks. Every
            /// input keeps a result of its own.
            ///
            /// # Panics
            /// When the number is 0.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// use futures::StreamExt;
            /// let pool = polypool::Executor::threads(2)?;
            #[doc = concat!("let results = pool.", $verb, "(|n: u32| n + 1, 0..100).chunk_size(10).count().await;")]
            /// assert_eq!(results, 100);
            /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
            /// ```
            pub fn chunk_size(mut self, size: impl Into<crate::stream::ChunkSize>) -> Self {
                let size = size.into();
                let sends_something = size != crate::stream::ChunkSize::Fixed(0);
                assert!(sends_something, "a chunk size of 0 would send nothing; it must be 1 or more");
                self.feed.set_chunk_size(size);
                self
            }

            /// Sets the window: how many inputs may have been pulled whose results were not taken yet. By default it is four
            /// chunks for each worker.
            ///
            /// # Panics
            /// When `n` is 0.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// use futures::StreamExt;
            /// let pool = polypool::Executor::threads(2)?;
            #[doc = concat!("let endless = pool.", $verb, "(|n: u64| n * n, 0..).buffer(8);")]
            /// assert_eq!(endless.take(5).count().await, 5);
            /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
            /// ```
            pub fn buffer(mut self, n: usize) -> Self {
                assert!(n > 0, "a window of 0 would let nothing through; it must be 1 or more");
                self.feed.set_window(n);
                self
            }

            /// Limits the time of the whole stream, from its first poll. Then what is left is cancelled, results that are
            /// there already are given, and the last item is [`TaskError::TimedOut`].
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// use futures::StreamExt;
            /// use std::time::Duration;
            /// let pool = polypool::Executor::threads(2)?;
            #[doc = concat!("let endless = pool.", $verb, "(|n: u64| n, 0..).timeout(Duration::from_millis(5));")]
            /// assert!(endless.count().await > 0); // and it ended
            /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
            /// ```
            pub fn timeout(mut self, after: Duration) -> Self {
                self.feed.set_timeout(after);
                self
            }

            /// Ends the stream with the first error: what is left is cancelled, and nothing comes after it.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// use futures::StreamExt;
            /// let pool = polypool::Executor::threads(1)?;
            #[doc = concat!("let stream = pool.", $verb, "(|n: u64| 10 / n, [5, 0, 2]).chunk_size(1).fail_fast();")]
            /// assert_eq!(stream.count().await, 2);
            /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
            /// ```
            pub fn fail_fast(mut self) -> Self {
                self.feed.set_fail_fast();
                self
            }

            /// Says what dropping the stream does to the tasks that it has submitted. The default is
            /// [`CancellationPolicy::PENDING`]: what has not started is cancelled, what has started ends. Inputs that were not
            /// pulled never are.
            ///
            /// # Examples
            /// ```
            /// use polypool::{CancellationPolicy, Executor};
            ///
            /// let pool = Executor::threads(2)?;
            #[doc = concat!("let stream = pool.", $verb, "(|n: u64| n, 0..).cancel_on_drop(CancellationPolicy::ALL);")]
            /// # Ok::<(), polypool::BuildError>(())
            /// ```
            pub fn cancel_on_drop(mut self, policy: impl Into<CancellationPolicy>) -> Self {
                self.feed.set_on_drop(policy.into());
                self
            }
        }

        #[cfg(feature = "progress")]
        impl<R> $stream<R> {
            /// Shows on a bar of `indicatif` how many results were taken. Its length is set to the number of inputs where that
            /// is known; where it is not, the length stays as it is. Errors count like values.
            ///
            /// At the end of the stream the bar finishes as its
            /// [`with_finish`](indicatif::ProgressBar::with_finish) says. When the stream ends with an error, by
            /// [`fail_fast`](Self::fail_fast), [`timeout`](Self::timeout) or an input that panicked, or is dropped before its end, the
            /// bar is abandoned where it stands.
            ///
            /// # Examples
            /// ```
            /// # futures::executor::block_on(async {
            /// use futures::StreamExt;
            /// use indicatif::ProgressBar;
            /// let pool = polypool::Executor::threads(2)?;
            /// let bar = ProgressBar::hidden(); // or `ProgressBar::no_length()`, which shows
            #[doc = concat!("pool.", $verb, "(|n: u64| n * n, 0..100).progress(bar.clone()).count().await;")]
            /// assert_eq!((bar.position(), bar.length()), (100, Some(100)));
            /// assert!(bar.is_finished());
            /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
            /// ```
            pub fn progress(mut self, bar: indicatif::ProgressBar) -> Self {
                self.feed.set_progress(bar);
                self
            }
        }

        impl<R> fmt::Debug for $stream<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($stream)).field("outstanding", &self.feed.outstanding()).finish_non_exhaustive()
            }
        }
    };
}
use stream_options;
