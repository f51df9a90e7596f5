//! The half that `Map` and `MapCompleted` have in common: from inputs to chunks on their way, and when to stop.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    chunk::{Control, Done},
    pace::{ChunkSize, Pace},
    progress::Progress,
    source::{Next, Sent, Source},
    way::Way,
};
use crate::{error::TaskError, executor::Executor, policy::CancellationPolicy, runtime::Sleep};

pub(super) struct Feed<R> {
    /// None when there is nothing more to submit. The executor goes with it, when what was submitted is over, too.
    source: Option<Box<dyn Source<R>>>,
    pool: Option<Executor>,
    pace: Pace,
    control: Control,
    timeout: Timeout,
    fail_fast: bool,
    /// With more than so many results outstanding, the window has no place for another chunk.
    full_above: Option<usize>,
    next_index: usize,
    /// What is to come after the last result.
    last_words: Option<TaskError>,
    progress: Progress,
}

enum Timeout {
    Never,
    /// The stream was not polled yet.
    Set(Duration),
    Running(Sleep, Duration),
    Over(Duration),
}

/// A chunk on its way: the results for the inputs from `first` on.
pub(super) struct Chunk<R> {
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) way: Way<R>,
}

/// A chunk that came back.
pub(super) struct Back<R> {
    pub(super) first: usize,
    pub(super) results: std::vec::IntoIter<Result<R, Box<TaskError>>>,
}

impl<R> Feed<R> {
    pub(super) fn new(pool: Executor, source: impl Source<R> + 'static) -> Self {
        let pace = Pace::new(pool.max_workers());
        let mut feed = Self {
            source: Some(Box::new(source)),
            pool: Some(pool),
            pace,
            control: Control::new(),
            timeout: Timeout::Never,
            fail_fast: false,
            full_above: None,
            next_index: 0,
            last_words: None,
            progress: Progress::default(),
        };
        feed.set_chunk_size(ChunkSize::Auto);
        feed
    }

    pub(super) fn set_chunk_size(&mut self, size: ChunkSize) {
        let pool = self.pool.as_ref().map(Executor::pool);
        // Each item has a time limit of its own.
        let alone = pool.is_some_and(|pool| pool.settings().task_timeout.is_some());
        // There is no way to spare.
        let here = pool.is_some_and(|pool| pool.runs_in_polls());
        let size = match size {
            _ if alone => ChunkSize::Fixed(1),
            ChunkSize::Auto if here => ChunkSize::Fixed(1),
            size => size,
        };
        self.pace.set_chunk(size);
        self.control.may_cut = size == ChunkSize::Auto;
    }

    pub(super) fn set_window(&mut self, n: usize) {
        self.pace.fix_window(n);
    }

    pub(super) fn set_timeout(&mut self, after: Duration) {
        self.timeout = Timeout::Set(after);
    }

    pub(super) fn set_fail_fast(&mut self) {
        self.fail_fast = true;
    }

    #[cfg(feature = "progress")]
    pub(super) fn set_progress(&mut self, bar: indicatif::ProgressBar) {
        let len = self.source.as_ref().and_then(|source| source.len());
        self.progress = Progress::on(bar, len);
    }

    pub(super) fn set_on_drop(&mut self, policy: CancellationPolicy) {
        self.control.on_drop = policy;
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pace.outstanding()
    }

    /// Submits the next chunk, if the window allows one and there is input. False in the second place: there will never be more.
    pub(super) fn next_chunk(&mut self, cx: &mut Context<'_>) -> Option<Chunk<R>> {
        if self.full_above.is_some_and(|level| self.pace.outstanding() > level) {
            return None;
        }
        let (source, pool) = (self.source.as_mut()?, self.pool.as_ref()?);
        self.pace.count(|| source.len());
        let n = match self.pace.next(source.upper_bound()) {
            Ok(n) => n,
            Err(level) => {
                self.full_above = Some(level);
                // It may be what the rest of one of our own chunks waits for.
                source.give_way();
                return None;
            }
        };
        match source.poll_send(n, pool, &self.control, cx) {
            Poll::Pending => None,
            Poll::Ready(Next::Sent(Sent { way, len })) => {
                let first = self.next_index;
                self.next_index += len;
                self.pace.pulled(len);
                Some(Chunk { first, len, way })
            }
            Poll::Ready(Next::End) => {
                self.source = None;
                None
            }
            Poll::Ready(Next::Panicked(error)) => {
                self.source = None;
                self.last_words = Some(error);
                None
            }
        }
    }

    /// Takes a chunk that came back apart: its results, and what it left for others.
    pub(super) fn open(
        &mut self,
        chunk: Chunk<R>,
        done: Result<Done<R>, TaskError>,
    ) -> (Back<R>, Vec<Chunk<R>>) {
        self.full_above = None;
        let Chunk { first, len, way } = chunk;
        match done {
            // A worker that is out of its mind answers what it was not asked.
            Ok(done) if done.results.len() > len => {
                let error = TaskError::Decode(format!("{} results for {len} inputs", done.results.len()));
                let results: Vec<_> = (0..len).map(|_| Err(Box::new(error.clone()))).collect();
                (Back { first, results: results.into_iter() }, Vec::new())
            }
            Ok(Done { mut results, took, rest }) => {
                // The worker that was lost amid a chunk did not say.
                if let Some(took) = took.filter(|took| !took.is_zero()) {
                    self.pace.measured(results.len(), took);
                }
                let mut next = first + results.len();
                let sent = |(len, handle)| {
                    let first = next;
                    next += len;
                    Chunk { first, len, way: Way::sent(handle, None) }
                };
                let mut rest: Vec<_> = rest.into_iter().map(sent).collect();
                let left = (first + len).saturating_sub(next);
                if left > 0 {
                    match self.send_rest(way, results.len(), took.is_none()) {
                        Ok(way) => rest.push(Chunk { first: next, len: left, way }),
                        Err(error) => results.extend((0..left).map(|_| Err(Box::new(error.clone())))),
                    }
                }
                (Back { first, results: results.into_iter() }, rest)
            }
            Err(error) => {
                // A pool that takes no more will not take the next chunk either.
                if error.is_refused() && !matches!(error, TaskError::QueueFull) {
                    self.source = None;
                }
                let results: Vec<_> = (0..len).map(|_| Err(Box::new(error.clone()))).collect();
                (Back { first, results: results.into_iter() }, Vec::new())
            }
        }
    }

    /// Sends what a worker that is elsewhere left of a chunk.
    fn send_rest(&self, way: Way<R>, done: usize, was_lost: bool) -> Result<Way<R>, TaskError> {
        let Some(pool) = self.pool.as_ref().filter(|_| !self.control.is_gone()) else {
            return Err(TaskError::Cancelled);
        };
        // One that did nothing would be sent for ever.
        let rest = way.into_kept().filter(|_| done > 0).and_then(|kept| kept.behind(done, was_lost));
        let rest = rest.ok_or_else(|| {
            TaskError::Decode(
                "the worker's reply to a chunk has results for too few of its inputs".to_owned(),
            )
        })?;
        Ok(Way::again(pool, rest))
    }

    /// Gives a result to the consumer. True in the second place when it is the last.
    pub(super) fn give(&mut self, result: Result<R, Box<TaskError>>) -> (Result<R, TaskError>, bool) {
        self.pace.taken();
        self.progress.taken();
        if let Timeout::Over(after) = self.timeout
            && matches!(&result, Err(error) if error.is_cancelled())
        {
            self.progress.abandoned();
            return (Err(TaskError::TimedOut { after }), true);
        }
        let ends = self.fail_fast && result.is_err();
        if ends {
            self.progress.abandoned();
        }
        (result.map_err(|error| *error), ends)
    }

    /// True when the stream's time is up, for the first time: what is left is to be cancelled.
    pub(super) fn poll_timeout(&mut self, cx: &mut Context<'_>) -> bool {
        if let Timeout::Set(after) = self.timeout {
            self.timeout = Sleep::new(after).map_or(Timeout::Never, |sleep| Timeout::Running(sleep, after));
        }
        if let Timeout::Running(sleep, after) = &mut self.timeout
            && Pin::new(sleep).poll(cx).is_ready()
        {
            let after = *after;
            self.timeout = Timeout::Over(after);
            // Without input left, what is on its way may still make it.
            if self.source.take().is_some() {
                self.last_words = Some(TaskError::TimedOut { after });
            }
            self.control.stop();
            return true;
        }
        false
    }

    /// The error to give in place of a result that is not there, when the time is up.
    pub(super) fn overdue(&self) -> Option<TaskError> {
        match self.timeout {
            Timeout::Over(after) => Some(TaskError::TimedOut { after }),
            _ => None,
        }
    }

    /// Everything submitted has been taken: is there something left to say, and with which index?
    pub(super) fn finish(&mut self) -> Option<(usize, TaskError)> {
        let last = self.last_words.take().map(|error| (self.next_index, error));
        if last.is_some() {
            self.progress.abandoned();
        } else {
            self.progress.ended();
        }
        self.stop();
        last
    }

    /// Tells whether inputs may still come.
    pub(super) fn has_input(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn next_index(&self) -> usize {
        self.next_index
    }

    /// Submits no more, lets go of the pool, and has nothing more to say.
    pub(super) fn stop(&mut self) {
        self.control.stop();
        self.source = None;
        self.pool = None;
        self.last_words = None;
        // Whoever ends well has said so before.
        self.progress.abandoned();
    }
}

impl<R> Drop for Feed<R> {
    fn drop(&mut self) {
        if self.control.on_drop.contains(CancellationPolicy::PENDING) {
            self.control.stop();
        }
    }
}
