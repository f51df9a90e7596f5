//! How far a stream is, on a bar. Owns what the bar shows at which moment; a bar that its user has finished is left alone.

use indicatif::ProgressBar;

/// The bar of a stream, if it has one. Abandons it when it is dropped before `ended`.
#[derive(Debug, Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn on(bar: ProgressBar, len: Option<usize>) -> Self {
        if let Some(len) = len {
            bar.set_length(len as u64);
        }
        Self(Some(bar))
    }

    /// One more is to come.
    pub(super) fn expected(&self) {
        if let Some(bar) = self.running() {
            bar.inc_length(1);
        }
    }

    /// A result was taken.
    pub(super) fn taken(&self) {
        if let Some(bar) = self.running() {
            bar.inc(1);
        }
    }

    /// There are no more.
    pub(super) fn ended(&self) {
        if let Some(bar) = self.running() {
            bar.finish_using_style();
        }
    }

    /// There will be no more, though there should be.
    pub(super) fn abandoned(&self) {
        if let Some(bar) = self.running() {
            bar.abandon();
        }
    }

    fn running(&self) -> Option<&ProgressBar> {
        self.0.as_ref().filter(|bar| !bar.is_finished())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Whoever knew how many there are need not ask for one more.
        match self.running() {
            Some(bar) if bar.length() == Some(bar.position()) => self.ended(),
            _ => self.abandoned(),
        }
    }
}
