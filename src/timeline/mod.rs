//! What happened in a pool, as a picture and as a trace. Owns the reading of events; they are made elsewhere.
//!
//! A [`Recorder`] listens to a pool; the [`Timeline`] that it gives is drawn as an SVG that stands for itself, or written as a
//! trace for [Perfetto](https://ui.perfetto.dev) and `chrome://tracing`.
//!
//! ```
//! use futures::StreamExt;
//! use polypool::{Executor, timeline::Recorder};
//!
//! # futures::executor::block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("squares.svg");
//! let pool = Executor::threads(4)?;
//! let recorder = Recorder::start(&pool);
//! pool.map(|n: u64| n * n, 0..1000).count().await;
//! recorder.finish().write(path)?; // or squares.json
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # How to read the picture
//!
//! Time goes to the right. On top is how many tasks wait; a tick there is a task that ended before it started. Below, each worker
//! has a lane, tinted while there is a worker, with a bar for each attempt at a task: hatched ones were lost with their worker, and
//! open ones still run. A cross is where a worker died and was replaced, a ring where it was replaced on purpose. The pointer over a
//! bar shows the task's name, its times and its error. Bars that are too thin to be told apart are drawn as one, the paler
//! the less was done; whatever did not end well has a mark of its own there. Where events were missed, the whole height is hatched.

use std::{fs, io, path::Path};

use crate::backend::Event;

mod picture;
mod record;
mod scale;
mod story;
#[cfg(test)]
mod tests;
mod trace;

pub use record::Recorder;

use story::Story;

/// What happened in a pool, in order; from a [`Recorder`], or from events that were collected otherwise. The events are those of
/// one pool, as task numbers are.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use polypool::{Executor, timeline::Timeline};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(1)?;
/// let events = pool.events();
/// pool.submit(|n: u32| n + 1, 1).await?;
/// pool.shutdown(true).await;
/// let timeline: Timeline = events.collect::<Vec<_>>().await.into_iter().collect();
/// assert!(timeline.svg().contains("1 finished"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    pool: Option<Pool>,
    story: Story,
}

/// Whose timeline it is.
#[derive(Debug, Clone)]
struct Pool {
    name: String,
    backend: String,
}

impl Timeline {
    /// Draws the timeline as an SVG document that needs nothing beside itself, on a light or a dark ground as the reader prefers.
    /// Its size is bounded, however many tasks there were.
    ///
    /// # Examples
    /// See [`Recorder`].
    #[must_use]
    pub fn svg(&self) -> String {
        picture::draw(self)
    }

    /// Gives the timeline as JSON in the trace event format, with every single task, for [Perfetto](https://ui.perfetto.dev) and
    /// `chrome://tracing`.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, timeline::Recorder};
    ///
    /// let pool = Executor::serial();
    /// let recorder = Recorder::start(&pool);
    /// let trace = recorder.finish().chrome_trace();
    /// assert!(trace.starts_with('{'));
    /// ```
    #[must_use]
    pub fn chrome_trace(&self) -> String {
        trace::write(self)
    }

    /// Writes the timeline to a file, as its name says: `.svg` for the picture, `.json` for the trace.
    ///
    /// # Errors
    /// `InvalidInput` for any other name, before anything is written; and what the file system says.
    ///
    /// # Examples
    /// ```
    /// use polypool::timeline::Timeline;
    ///
    /// let error = Timeline::default().write("timeline.png").unwrap_err();
    /// assert_eq!(error.to_string(), "timeline.png: a timeline is a picture, .svg, or a trace, .json; end the name with one of them");
    /// ```
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let text = match path.extension() {
            Some(svg) if svg.eq_ignore_ascii_case("svg") => self.svg(),
            Some(json) if json.eq_ignore_ascii_case("json") => self.chrome_trace(),
            _ => {
                let path = path.display();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "{path}: a timeline is a picture, .svg, or a trace, .json; end the name with one of them"
                    ),
                ));
            }
        };
        fs::write(path, text)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl Extend<Event> for Timeline {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        events.into_iter().for_each(|event| self.story.add(event));
    }
}

impl FromIterator<Event> for Timeline {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut timeline = Self::default();
        timeline.extend(events);
        timeline
    }
}
