//! Times as one word each, so that a waiting task carries few bytes and a running one spends little on them.

use std::time::Duration;

use crate::sys::ticks;

/// A moment, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) fn now() -> Self {
        Self(ticks::now())
    }

    /// This long from now, roughly.
    pub(crate) fn after(duration: Duration) -> Self {
        let ticks = duration.as_nanos() as f64 / ticks::nanos_per_tick();
        Self(ticks::now().saturating_add(ticks as u64))
    }

    /// As a word that is never 0.
    pub(crate) fn to_word(self) -> u64 {
        self.0 | 1
    }

    pub(crate) fn of_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0) as f32)
    }
}

/// A duration in four bytes, exact to one part in ten million.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Span(f32);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        let nanos = f64::from(span.0) * ticks::nanos_per_tick();
        Duration::try_from_secs_f64(nanos / 1e9).unwrap_or(Duration::MAX)
    }
}
