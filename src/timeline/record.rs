//! Listening to a pool for a timeline. Owns the thread that does.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::Poll,
    thread::{self, JoinHandle},
    time::Instant,
};

use futures::{StreamExt, channel::oneshot};

use super::{Pool, Timeline, story::Story};
use crate::{backend::Events, executor::Executor, runtime::block_on};

/// Records what happens in a pool, from [`start`](Self::start) to [`finish`](Self::finish).
///
/// A thread of its own listens, and is woken for many events at once; the pool never waits for it, and is not kept alive by it.
/// Each task takes some hundred bytes until the end. Dropping the recorder ends the recording and forgets it.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::{Executor, timeline::Recorder};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(2)?;
/// let recorder = Recorder::start(&pool);
/// pool.map(|n: u64| n * n, 0..100).count().await;
/// let timeline = recorder.finish();
/// assert!(timeline.svg().starts_with("<svg"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "dropping a recorder forgets what it has recorded"]
pub struct Recorder {
    listening: Listening,
}

enum Listening {
    /// Dropping the sender ends it.
    Thread(oneshot::Sender<()>, JoinHandle<Timeline>),
    /// There was no thread to be had. What is too much for the listener's line is missing, and the timeline says so.
    Here(Box<(Timeline, Events)>),
}

impl Recorder {
    /// Listens from now on.
    ///
    /// # Examples
    /// See [`Recorder`].
    pub fn start(pool: &Executor) -> Self {
        let story = Story::since(Instant::now());
        let (name, backend) = (pool.name().to_owned(), pool.backend_name().to_owned());
        let timeline = Timeline { pool: Some(Pool { name, backend }), story };
        let (stop, stopped) = oneshot::channel();
        let (nothing_yet, events) = (timeline.clone(), pool.events());
        let listen = move || block_on(listen(timeline, events, stopped));
        let listening = match thread::Builder::new().name("polypool-timeline".to_owned()).spawn(listen) {
            Ok(thread) => Listening::Thread(stop, thread),
            Err(_) => Listening::Here(Box::new((nothing_yet, pool.events()))),
        };
        Self { listening }
    }

    /// Ends the recording and gives what there is. Waits for the recorder's own thread to read what is left, and for nothing
    /// else.
    ///
    /// # Examples
    /// See [`Recorder`].
    pub fn finish(self) -> Timeline {
        let mut timeline = match self.listening {
            Listening::Thread(stop, thread) => {
                drop(stop);
                thread.join().unwrap_or_default()
            }
            Listening::Here(here) => {
                let (timeline, events) = *here;
                let (_, stopped) = oneshot::channel();
                block_on(listen(timeline, events, stopped))
            }
        };
        timeline.story.close(Instant::now());
        timeline
    }
}

/// Reads events until there will be no more, or until there are no more when it is told to stop.
async fn listen(mut timeline: Timeline, mut events: Events, mut stopped: oneshot::Receiver<()>) -> Timeline {
    events = events.in_batches();
    std::future::poll_fn(|cx| {
        // Asked first: what was told before the word to stop is there then.
        let is_stopped = Pin::new(&mut stopped).poll(cx).is_ready();
        while let Poll::Ready(event) = events.poll_next_unpin(cx) {
            match event {
                Some(event) => timeline.story.add(event),
                None => return Poll::Ready(()),
            }
        }
        if is_stopped { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    timeline
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
