//! The one room where `unsafe` may be, block by block, each with its SAFETY paragraph: what the operating
//! system offers beyond the standard library. It returns [`std::io::Error`] and knows nothing of the rest of
//! the crate: no pool, no task, no policy.

#[cfg(target_os = "linux")]
pub(crate) mod affinity;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod appended;
#[cfg(target_os = "linux")]
mod child;
pub(crate) mod copy;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod crash;
mod entry;
#[cfg(target_os = "linux")]
pub(crate) mod image;
pub(crate) mod lock;
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub(crate) mod mpi;
#[cfg(target_os = "linux")]
pub(crate) mod process;
pub(crate) mod quiet;
#[cfg(all(feature = "processes", feature = "tokio", target_os = "linux"))]
pub(crate) mod ready;
#[cfg(target_os = "linux")]
pub(crate) mod roomy;
pub(crate) mod sealed;
#[cfg(all(target_os = "linux", not(polypool_loom)))]
pub(crate) mod shm;
#[cfg(all(target_os = "linux", polypool_loom))]
#[path = "modelled.rs"]
pub(crate) mod shm;
pub(crate) mod stack;
pub(crate) mod sync;
pub(crate) mod ticks;
#[cfg(target_os = "linux")]
pub(crate) mod zst;
