//! The one room where `unsafe` may be, block by block, each with its SAFETY paragraph: what the operating
//! system offers beyond the standard library. It returns [`std::io::Error`] and knows nothing of the rest of
//! the crate: no pool, no task, no policy.

#[cfg(target_os = "linux")]
pub(crate) mod affinity;
pub(crate) mod lock;
pub(crate) mod ticks;
