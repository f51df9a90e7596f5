//! Workers on the ranks of the job that this process is the first of, or on those that MPI spawned for it.

use std::os::fd::OwnedFd;

use super::{NAME, Site, failed};
use crate::{
    error::TaskError,
    inside::mpi::{connect, gone, open},
};

#[derive(Debug)]
pub(super) struct Ranks {
    /// So many are needed.
    wanted: usize,
    per_rank: usize,
}

impl Ranks {
    pub(super) fn new(wanted: usize, per_rank: usize) -> Self {
        Self { wanted, per_rank }
    }
}

impl Site for Ranks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn connect(&self) -> Result<Option<usize>, TaskError> {
        let ranks = connect(self.wanted).map_err(failed)?;
        Ok(Some(ranks.saturating_mul(self.per_rank)))
    }

    fn bring(&self, index: usize, wanted: &dyn Fn() -> bool) -> Result<OwnedFd, TaskError> {
        open(index, wanted).map_err(failed)
    }

    fn gone(&self) -> Option<TaskError> {
        gone().map(failed)
    }

    fn close(&self) {
        // The ranks are there for all pools, and end with the program.
    }
}
