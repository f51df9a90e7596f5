//! Where workers are that this process cannot start itself. Owns what is asked of an engine for that; what an engine is, is in `engine`
//! and in the backends that have one.

use std::{fmt, os::fd::OwnedFd, sync::Arc};

use crate::error::TaskError;

/// A place where workers are that this process cannot start itself: the slots of an engine.
///
/// Each worker is a stream socket, at whose other end an agent of ours (`inside::agent`) owns the worker's process. All that is said
/// over it is the pool's affair and the agent's; a site brings sockets, and knows when there can be none.
pub(crate) trait Site: fmt::Debug + Send + Sync + 'static {
    /// The backend's name.
    fn name(&self) -> &'static str;

    /// Is told, from now on, what becomes of the engine. Called once, before anything else.
    fn listen(&self, told: Arc<dyn Told>) {
        let _ = told;
    }

    /// Connects, if it is not connected; may block. Gives how many workers there is room for now, if anybody knows.
    ///
    /// # Errors
    /// When the engine cannot be had: then no worker will be there, and the pool's tasks fail with this.
    fn connect(&self) -> Result<Option<usize>, TaskError>;

    /// Brings one agent, in a free slot, and gives our end of a stream socket to it. May block, as long as `wanted` says so; several are
    /// asked for at once.
    ///
    /// When the socket ends, the agent, its slot or the engine is gone. When our end is closed, the agent ends.
    ///
    /// # Errors
    /// When there is none, which may be tried again a few times. [`gone`](Self::gone) tells whether that makes sense.
    fn bring(&self, index: usize, wanted: &dyn Fn() -> bool) -> Result<OwnedFd, TaskError>;

    /// Why there will be no workers any more, if that is so.
    fn gone(&self) -> Option<TaskError>;

    /// The pool is over. Stops what was started for it; may block for some seconds. May be called again.
    fn close(&self);
}

/// Who wants to know what becomes of an engine.
#[allow(dead_code, reason = "only some engines say something")]
pub(crate) trait Told: Send + Sync {
    /// So many workers have room now.
    fn slots(&self, n: usize);

    /// There will be none any more: what waits fails with this, now.
    fn gone(&self, why: TaskError);
}
