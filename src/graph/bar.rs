//! A bar that shows how far a run is. Owns that a build without bars need not know.

#[cfg(feature = "progress")]
use indicatif::ProgressBar;

use super::report::Progress;

#[derive(Clone, Default)]
pub(super) struct Bar {
    #[cfg(feature = "progress")]
    bar: Option<ProgressBar>,
}

#[cfg(feature = "progress")]
impl Bar {
    pub(super) fn of(bar: ProgressBar) -> Self {
        Self { bar: Some(bar) }
    }

    pub(super) fn show(&self, progress: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.ended() as u64);
        }
    }
}

#[cfg(not(feature = "progress"))]
impl Bar {
    #[allow(clippy::unused_self, reason = "there is something in it where there are bars")]
    pub(super) fn show(&self, _: Progress) {}
}
