//! How many inputs travel together, and how many are on the way. Owns the arithmetic; knows no task.

use std::time::Duration;

/// A chunk that takes this long is worth its way several hundred times over, and short enough to spread work evenly.
const TARGET: Duration = Duration::from_micros(500);

/// How much larger than the last a chunk may be, while little is known of the tasks.
const GROWTH: usize = 8;

/// The largest chunk that is chosen without being asked for.
const MOST: usize = 1 << 13;

/// How many chunks each worker may have on the way: one that it runs, one that comes next, and two that wait to be taken.
const CHUNKS_PER_WORKER: usize = 4;

/// Gives the chunk size for `len` inputs on so many workers: `ceil(len / (4 * workers))`, at least 1. The rule is scinexus's;
/// it makes four chunks for each worker, so that uneven ones even out.
///
/// # Examples
/// ```
/// use polypool::default_chunk_size;
///
/// assert_eq!(default_chunk_size(1_000, 4), 63);
/// assert_eq!(default_chunk_size(3, 8), 1);
/// ```
#[must_use]
pub fn default_chunk_size(len: usize, workers: usize) -> usize {
    len.div_ceil(workers.max(1).saturating_mul(4)).max(1)
}

/// How many inputs of a stream travel together; what [`Map::chunk_size`](crate::Map::chunk_size) takes.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::{ChunkSize, Executor};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(2)?;
/// for size in [ChunkSize::from(10), ChunkSize::PerWorker, ChunkSize::Auto] {
///     assert_eq!(pool.map(|n: u32| n + 1, 0..100).chunk_size(size).count().await, 100);
/// }
/// # Ok::<(), polypool::BuildError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkSize {
    /// So many, 1 or more.
    Fixed(usize),
    /// [`default_chunk_size`] of the number of inputs, as their `size_hint` has it, which makes four chunks for each worker; 1 where
    /// the hint does not tell the number.
    PerWorker,
    /// More or fewer with the measured duration of the tasks.
    #[default]
    Auto,
}

impl From<usize> for ChunkSize {
    fn from(n: usize) -> Self {
        Self::Fixed(n)
    }
}

/// Chooses the next chunk.
#[derive(Debug)]
pub(super) struct Pace {
    workers: usize,
    chunk: Chunk,
    window: Option<usize>,
    outstanding: usize,
}

#[derive(Debug)]
enum Chunk {
    Fixed(usize),
    /// Fixed by how many inputs there are.
    PerWorker,
    Adaptive(usize),
}

impl Pace {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, chunk: Chunk::Adaptive(1), window: None, outstanding: 0 }
    }

    pub(super) fn set_chunk(&mut self, size: ChunkSize) {
        self.chunk = match size {
            ChunkSize::Fixed(n) => Chunk::Fixed(n),
            ChunkSize::PerWorker => Chunk::PerWorker,
            ChunkSize::Auto => Chunk::Adaptive(1),
        };
    }

    /// Before the first chunk: how many inputs there are, where that matters.
    pub(super) fn count(&mut self, inputs: impl FnOnce() -> Option<usize>) {
        if let Chunk::PerWorker = self.chunk {
            self.chunk = Chunk::Fixed(inputs().map_or(1, |len| default_chunk_size(len, self.workers)));
        }
    }

    pub(super) fn fix_window(&mut self, n: usize) {
        self.window = Some(n);
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many inputs to pull now, when as many as `left` may come. If the window is full, how few must be outstanding before
    /// it is worth asking again.
    pub(super) fn next(&self, left: Option<usize>) -> Result<usize, usize> {
        let window =
            |chunk: usize| self.window.unwrap_or(chunk.saturating_mul(CHUNKS_PER_WORKER * self.workers));
        let chunk = match self.chunk {
            Chunk::Fixed(n) => n.min(window(n)),
            Chunk::PerWorker => 1,
            Chunk::Adaptive(n) => {
                // Every worker should have something to do, and the last chunks should end together.
                let fair = self.window.map_or(usize::MAX, |window| window / (2 * self.workers));
                let last = left.map_or(usize::MAX, |left| default_chunk_size(left, self.workers));
                n.min(fair).min(last).max(1)
            }
        };
        let full_above = window(chunk).saturating_sub(chunk);
        if self.outstanding <= full_above { Ok(chunk) } else { Err(full_above) }
    }

    pub(super) fn pulled(&mut self, n: usize) {
        self.outstanding += n;
    }

    pub(super) fn taken(&mut self) {
        self.outstanding -= 1;
    }

    /// A chunk of `n` took so long.
    pub(super) fn measured(&mut self, n: usize, took: Duration) {
        if let Chunk::Adaptive(chunk) = &mut self.chunk
            && n > 0
        {
            let each = (took.as_nanos() / n as u128).max(1);
            let fits = usize::try_from(TARGET.as_nanos() / each).unwrap_or(MOST);
            *chunk = fits.clamp(1, MOST.min(n.saturating_mul(GROWTH)).max(*chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_short_tasks_and_shrink_at_once_with_long_ones() {
        let mut pace = Pace::new(2);
        let mut sizes = Vec::new();
        for _ in 0..5 {
            let n = pace.next(None).expect("room");
            sizes.push(n);
            pace.measured(n, Duration::from_nanos(100) * u32::try_from(n).expect("small"));
        }
        assert_eq!(sizes, [1, 8, 64, 512, 4096]);
        pace.measured(4096, Duration::from_secs(4096));
        assert_eq!(pace.next(None), Ok(1));
    }

    #[test]
    fn the_window_is_never_exceeded() {
        for buffer in 1..20 {
            let mut pace = Pace::new(2);
            pace.fix_window(buffer);
            pace.measured(1, Duration::ZERO);
            while let Ok(n) = pace.next(None) {
                pace.pulled(n);
            }
            assert!(pace.outstanding() <= buffer, "{buffer}");
        }
    }

    #[test]
    fn a_fixed_chunk_is_cut_to_the_window() {
        let mut pace = Pace::new(2);
        pace.set_chunk(100.into());
        pace.fix_window(10);
        assert_eq!(pace.next(Some(1)), Ok(10));
    }

    #[test]
    fn a_chunk_per_worker_is_fixed_by_the_number_of_inputs() {
        for (inputs, chunk) in [(Some(1_000), 125), (Some(3), 1), (Some(0), 1), (None, 1)] {
            let mut pace = Pace::new(2);
            pace.set_chunk(ChunkSize::PerWorker);
            pace.count(|| inputs);
            pace.count(|| panic!("counted once"));
            pace.measured(1, Duration::ZERO);
            assert_eq!(pace.next(Some(80)), Ok(chunk));
        }
    }

    #[test]
    fn the_last_inputs_are_spread_over_the_workers() {
        let mut pace = Pace::new(2);
        for _ in 0..5 {
            pace.measured(pace.next(None).expect("room"), Duration::ZERO);
        }
        assert_eq!(pace.next(Some(80)), Ok(10));
    }
}
