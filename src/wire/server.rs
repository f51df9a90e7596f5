//! What a pool and its fork server say to each other. Owns the messages; their frame is that of the others.
//!
//! The first message is one of those to a worker ([`ToWorker::BeServer`](super::control::ToWorker)), for until then nobody knows
//! what the fresh process is to be. From there on the pool asks and the server answers, one after the other.

use serde::{Deserialize, Serialize};

use super::control::Thing;
use crate::sys::image::Identity;

/// What a process is told that is to fork workers. Beside it travels a descriptor of the pool's process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) version: u32,
    /// Which program the pool is.
    pub(crate) program: Identity,
    /// How deep the pool is nested in others.
    pub(crate) depth: u64,
    /// The function that runs before the first fork, and its argument.
    pub(crate) preload: Option<(u64, Vec<u8>)>,
    /// So much data follows that its argument names.
    pub(crate) things: u64,
}

/// What a pool asks of its server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToServer {
    /// A worker. Beside it travels its end of the socket to the pool.
    Fork,
    /// Before the preload: data that its argument names. Beside it travels its file.
    Place(Thing),
}

/// What a server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromServer {
    /// It may be asked.
    Ready,
    /// It cannot serve, for this reason.
    Refused(String),
    PreloadFailed(String),
    /// Here it is. Beside this travel a descriptor of the process, and the pipe by which its end will be told.
    Forked {
        pid: u32,
    },
    /// The system has no process for us.
    Failed(String),
}
