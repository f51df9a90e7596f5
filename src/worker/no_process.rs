//! Stands in for `process` where there are no worker processes.

use std::sync::Arc;

use crate::{
    function::named::Id,
    primitives::{Kind, Object},
};

pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) worker: u64,
    pub(crate) depth: u64,
}

/// There is none.
pub(crate) struct Here {
    pub(crate) place: Place,
}

impl Here {
    pub(crate) fn is_stopped(&self) -> bool {
        false
    }

    pub(crate) fn max_workers(&self) -> usize {
        1
    }

    pub(crate) fn states(&self) -> &crate::backend::state::States {
        unreachable!("there is no worker process")
    }

    pub(crate) fn progressed(&self, _: u64, _: u64) {}

    pub(crate) fn poll_stopped(
        &self,
        _: &mut Option<u64>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        std::task::Poll::Pending
    }
}

pub(crate) fn here() -> Option<&'static Here> {
    None
}

pub(crate) fn leave(_: &'static Here) -> Box<dyn Send + Sync> {
    Box::new(())
}

pub(crate) fn depth() -> usize {
    0
}

/// The call that this thread performs.
pub(crate) fn performed() -> Option<u64> {
    None
}

/// Where a primitive of the pool's process is asked.
pub(crate) fn stand_in(_: Id, _: Kind) -> Option<Arc<dyn Object>> {
    None
}

pub(crate) fn make_upstream(_: Kind) -> Option<Arc<dyn Object>> {
    None
}
