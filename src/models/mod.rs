//! What threads may do to each other in which order, as models that loom explores: the stages of a task, the queue, the wake-up,
//! the rings. Owns the models and the invariants that each names; exists in builds with `cfg(polypool_loom)`, for `loom/` alone.
//!
//! What is explored is the crate's own code, with loom's locks and words in the place of the standard library's (`sys/sync.rs`).
//! A model has as few threads and steps as show the thing: their orders are many.

pub mod cell;
pub mod pool;
pub mod queue;
pub mod remote;
pub mod rings;
pub mod room;

/// Runs a model in every order in which no more than so many threads are interrupted where they need not be;
/// `LOOM_MAX_PREEMPTIONS` says another number.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}
