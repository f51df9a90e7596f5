//! The bar of a stream in a build without bars.

#[derive(Debug, Default)]
pub(super) struct Progress {}

impl Progress {
    pub(super) fn expected(&self) {}

    pub(super) fn taken(&self) {}

    pub(super) fn ended(&self) {}

    pub(super) fn abandoned(&self) {}
}
