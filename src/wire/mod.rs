//! What passes between a pool and a worker process, and how it is laid out in memory and on a socket. Owns formats and their
//! checks; does no I/O and knows no task.
//!
//! Whatever a worker wrote is checked before it is used: a worker may be killed half-way through a word, or be out of its mind.

pub(crate) mod arena;
pub(crate) mod control;
#[cfg(feature = "engine")]
pub(crate) mod handshake;
pub(crate) mod layout;
#[cfg(feature = "engine")]
pub(crate) mod relay;
pub(crate) mod ring;
pub(crate) mod server;
pub(crate) mod stream;
