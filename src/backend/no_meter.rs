//! What is counted for `metrics` in a build without: nothing.

use crate::task::{Resolved, Tally, clock::Span};

#[derive(Default)]
pub(crate) struct Meter;

impl Meter {
    pub(super) fn new(_: &str, _: &str) -> Self {
        Self
    }

    pub(super) fn queued(&self, _: bool) {}

    pub(super) fn refused(&self, _: bool) {}

    pub(super) fn submitted(&self, _: bool) {}

    pub(super) fn begun(&self, _: Span) {}

    pub(super) fn ended(&self, _: Tally, _: Span) {}

    pub(super) fn resolved(&self, _: Resolved, _: bool, _: u64, _: Span) {}

    pub(super) fn freed(&self) {}

    pub(super) fn requeued(&self) {}

    pub(super) fn lost(&self) {}

    pub(super) fn worker_started(&self) {}

    pub(super) fn worker_stopped(&self) {}

    pub(super) fn worker_lost(&self) {}

    pub(super) fn worker_recycled(&self) {}
}
