//! A worker process, from its first instruction to its last. Owns the way in; what it does then is in the files beside this one.

use std::sync::atomic::{AtomicBool, Ordering};

mod capture;
mod help;
mod here;
mod outlet;
mod perform;
mod placing;
mod records;
mod serve;
mod server;
mod shared;
mod socket;
mod start;
pub(crate) mod stream;
mod upstream;
mod way;
mod words;

pub(crate) use here::{depth, here, performed};
pub(crate) use outlet::first;
pub(crate) use shared::{make_upstream, stand_in};
pub(crate) use start::go_on;
pub(crate) use upstream::{Upstream, leave};

use crate::{sys::process::take_env, wire::control::MARK};

/// `worker_main!` is linked in.
static HAS_EARLY: AtomicBool = AtomicBool::new(false);
/// `init` was called.
static HAS_INIT: AtomicBool = AtomicBool::new(false);

/// Lets copies of this program work for its pools: the first line of `main`.
///
/// In a copy of the program that was started as a worker it never returns; in any other process it returns at once. What stands
/// before it is done in every worker, too. Where `main` is not ours, as in tests and benches, or where workers are to start
/// before `main`, there is [`worker_main!`](crate::worker_main).
///
/// # Examples
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     let pool = polypool::Executor::processes(2)?;
///     assert_eq!(pool.submit(|n: u32| n + 1, 1).blocking_join()?, 2);
///     Ok(())
/// }
/// ```
pub fn init() {
    HAS_INIT.store(true, Ordering::SeqCst);
    match take_env(MARK) {
        #[cfg(feature = "engine")]
        Some(mark) if mark == super::agent::AGENT => super::agent::start(),
        Some(_) => start::start(),
        None => {}
    }
    super::mpi::enter();
}

/// What the system calls before `main` where `worker_main!` is linked in.
pub extern "C" fn before_main() {
    HAS_EARLY.store(true, Ordering::SeqCst);
    match std::env::var_os(MARK) {
        Some(mark) if mark == EARLY => {
            take_env(MARK);
            start::start()
        }
        #[cfg(feature = "engine")]
        Some(mark) if mark == super::agent::AGENT => {
            take_env(MARK);
            super::agent::start()
        }
        _ => {}
    }
    super::mpi::enter();
}

/// The mark of a worker that starts as early as it can, and of one that starts in `init`.
pub(crate) const EARLY: &str = "early";
pub(crate) const IN_MAIN: &str = "main";

/// Can copies of this program become workers? One that was to be a worker and got here by way of `main` cannot: it would start
/// others of its kind without end.
pub(crate) fn has_entry(in_main: bool) -> bool {
    let has = HAS_INIT.load(Ordering::SeqCst) || (!in_main && HAS_EARLY.load(Ordering::SeqCst));
    has && std::env::var_os(MARK).is_none()
}
