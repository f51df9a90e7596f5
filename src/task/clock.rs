//! Times as one word each, so that a waiting task carries few bytes.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Nanoseconds since the first use of this clock in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) fn now() -> Self {
        Self::of(Instant::now())
    }

    pub(crate) fn of(instant: Instant) -> Self {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        let epoch = *EPOCH.get_or_init(Instant::now);
        Self(u64::try_from(instant.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX))
    }

    /// As a word that is never 0.
    pub(crate) fn to_word(self) -> u64 {
        self.0 | 1
    }

    pub(crate) fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// Tells whether so many nanoseconds have passed since `earlier`.
    pub(crate) fn is_past(self, earlier: Self, nanos: u64) -> bool {
        self.0.saturating_sub(earlier.0) > nanos
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
        Duration::from_secs_f64(f64::from(span.0) / 1e9)
    }
}
