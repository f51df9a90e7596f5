//! What happens in a pool, told to those who listen. Owns the events and their delivery; costs one load when nobody listens.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use futures::Stream;

use super::{meter::Meter, spans::Spans};
use crate::{
    error::WorkerLost,
    sys::lock::lock,
    task::{TaskId, catch::wake},
};

/// How many events wait for a listener that does not keep up. The oldest give way, and are counted.
const BACKLOG: usize = if cfg!(miri) { 1 << 6 } else { 1 << 16 };

/// Something that happened in a pool, and when.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::EventKind;
///
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1).unwrap();
/// let mut events = pool.events();
/// let task = pool.submit(|()| (), ());
/// let first = events.next().await.unwrap();
/// assert!(matches!(first.kind, EventKind::TaskQueued { task: id, .. } if id == task.id()));
/// # let _ = task.await; });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a pool. `worker` is the worker's index, as in [`worker::index`](crate::worker::index).
///
/// # Examples
/// ```
/// fn is_over(kind: &polypool::EventKind) -> bool {
///     use polypool::EventKind::*;
///     matches!(kind, TaskFinished { .. } | TaskFailed { .. } | TaskCancelled { .. })
/// }
/// assert!(!is_over(&polypool::EventKind::Missed { events: 3 }));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A task was submitted, or a chunk of a stream's inputs, which is one task to the pool.
    #[non_exhaustive]
    TaskQueued {
        /// Its number.
        task: TaskId,
        /// Its name, if it has one.
        name: Option<Arc<str>>,
        /// Its priority.
        priority: i32,
        /// For how many inputs it stands: 1, or more for a chunk.
        tasks: u64,
    },
    /// A worker began a task.
    TaskStarted {
        /// The task.
        task: TaskId,
        /// The worker's index.
        worker: usize,
    },
    /// A task said how far it is; see [`worker::report_progress`](crate::worker::report_progress).
    TaskProgress {
        /// The task.
        task: TaskId,
        /// How much is done, in the task's own unit.
        done: u64,
        /// How much there is to do, in the same unit; 0 when nobody knows.
        total: u64,
    },
    /// A task gave its value.
    TaskFinished {
        /// The task.
        task: TaskId,
        /// The worker's index.
        worker: usize,
    },
    /// A task ended with an error other than `Cancelled`.
    TaskFailed {
        /// The task.
        task: TaskId,
        /// The error's text, where it is known.
        error: String,
    },
    /// The worker died that ran a task. The task is tried again, or [fails](Self::TaskFailed) next.
    TaskLost {
        /// The task.
        task: TaskId,
        /// The worker's index.
        worker: usize,
        /// It has attempts left, and waits once more.
        retried: bool,
    },
    /// A task was cancelled, before it started or while it ran.
    TaskCancelled {
        /// The task.
        task: TaskId,
    },
    /// A worker began to work.
    WorkerStarted {
        /// The worker's index.
        worker: usize,
    },
    /// A worker had nothing to do and went, or the pool shrank or closed.
    WorkerStopped {
        /// The worker's index.
        worker: usize,
    },
    /// A worker died.
    WorkerLost(WorkerLost),
    /// A worker was replaced on purpose, between two tasks.
    WorkerRecycled {
        /// The worker's index.
        worker: usize,
    },
    /// The listener was too slow, and this many older events are missing here.
    Missed {
        /// How many.
        events: u64,
    },
}

/// The events of a pool from now on; from [`Executor::events`](crate::Executor::events). Ends when the pool is gone.
///
/// Dropping it ends the listening. It does not keep its pool alive.
///
/// # Examples
/// ```
/// let pool = polypool::Executor::serial();
/// let events = pool.events();
/// drop(events); // nobody listens any more
/// ```
pub struct Events {
    line: Arc<Line>,
}

/// Where one listener's events wait.
#[derive(Default)]
struct Line {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The listener is not woken for fewer.
    batch: usize,
    missed: u64,
    waker: Option<Waker>,
    closed: bool,
}

/// Who tells the events; with whatever else wants to know of them.
#[derive(Default)]
pub(crate) struct Speaker {
    listeners: Mutex<Listeners>,
    listening: AtomicUsize,
    meter: Meter,
    spans: Spans,
}

#[derive(Default)]
struct Listeners {
    lines: Vec<Weak<Line>>,
    /// Nothing will happen any more.
    closed: bool,
}

impl Speaker {
    pub(crate) fn new(pool: &str, backend: &str) -> Self {
        let mut speaker = Self::default();
        speaker.meter = Meter::new(pool, backend);
        speaker
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// A task is over, and its spans are closed.
    pub(crate) fn forget(&self, task: TaskId) {
        self.spans.forget(task);
    }

    /// A task that is elsewhere is over there, and will begin once more.
    pub(crate) fn close_span(&self, task: TaskId) {
        self.spans.open(task, tracing::Span::none());
    }

    pub(crate) fn listen(&self) -> Events {
        let line = Arc::new(Line::default());
        let mut listeners = lock(&self.listeners);
        if listeners.closed {
            lock(&line.state).closed = true;
            return Events { line };
        }
        listeners.lines.retain(|line| line.strong_count() > 0);
        listeners.lines.push(Arc::downgrade(&line));
        self.listening.store(listeners.lines.len(), Ordering::Relaxed);
        Events { line }
    }

    /// Tells whether anybody listens, so that nothing need be put together for nobody.
    pub(crate) fn is_heard(&self) -> bool {
        self.listening.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn tell(&self, kind: impl FnOnce() -> EventKind) {
        if !self.is_heard() {
            return;
        }
        let event = Event { at: Instant::now(), kind: kind() };
        let mut gone = false;
        let lines: Vec<_> = lock(&self.listeners).lines.iter().map(Weak::upgrade).collect();
        for line in lines {
            match line {
                Some(line) => line.push(event.clone()),
                None => gone = true,
            }
        }
        if gone {
            let mut listeners = lock(&self.listeners);
            listeners.lines.retain(|line| line.strong_count() > 0);
            self.listening.store(listeners.lines.len(), Ordering::Relaxed);
        }
    }

    /// Ends every listener's stream.
    pub(crate) fn close(&self) {
        let lines = {
            let mut listeners = lock(&self.listeners);
            listeners.closed = true;
            std::mem::take(&mut listeners.lines)
        };
        self.listening.store(0, Ordering::Relaxed);
        for line in lines.iter().filter_map(Weak::upgrade) {
            let waker = {
                let mut state = lock(&line.state);
                state.closed = true;
                state.waker.take()
            };
            if let Some(waker) = waker {
                wake(waker);
            }
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.close();
    }
}

impl Line {
    fn push(&self, event: Event) {
        let waker = {
            let mut state = lock(&self.state);
            if state.events.len() == BACKLOG {
                state.events.pop_front();
                state.missed += 1;
            }
            state.events.push_back(event);
            if state.events.len() >= state.batch { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl Events {
    /// Is not woken for each event, but for many at once: for who is in no hurry, and is not to cost the pool anything.
    #[cfg(feature = "timeline")]
    pub(crate) fn in_batches(self) -> Self {
        lock(&self.line.state).batch = BACKLOG / 16;
        self
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let waker = cx.waker().clone();
        let mut state = lock(&self.line.state);
        if state.missed > 0 {
            let events = std::mem::take(&mut state.missed);
            return Poll::Ready(Some(Event { at: Instant::now(), kind: EventKind::Missed { events } }));
        }
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    #[test]
    fn a_slow_listener_misses_the_oldest_and_is_told() {
        let speaker = Speaker::default();
        let mut events = speaker.listen();
        for n in 0..BACKLOG + 3 {
            speaker.tell(|| EventKind::TaskCancelled { task: TaskId(n as u64) });
        }
        let mut next = || events.next().now_or_never().flatten().map(|event| event.kind);
        assert!(matches!(next(), Some(EventKind::Missed { events: 3 })));
        assert!(matches!(next(), Some(EventKind::TaskCancelled { task: TaskId(3) })));
        drop(speaker);
        assert_eq!(std::iter::from_fn(next).count(), BACKLOG - 1);
    }

    #[test]
    fn nothing_is_put_together_for_nobody() {
        let speaker = Speaker::default();
        drop(speaker.listen());
        speaker.tell(|| EventKind::Missed { events: 0 });
        speaker.tell(|| unreachable!());
    }
}
