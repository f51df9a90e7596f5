//! What a worker keeps for its tasks, as they see it.

use std::sync::Arc;

use super::here;
use crate::backend::seat;

/// Keeps a value in this worker, for its tasks to find by [`state`], in the place of the last of its type. Gives it back as `state`
/// does; `None` outside a task and an initializer, where there is no worker, and the value is dropped.
///
/// An [`initializer`](crate::ExecutorBuilder::initializer) does it for every worker there is and will be. Where a task does it, the
/// other workers have nothing, nor has one that comes in the place of this one.
///
/// The value is dropped with its worker: a process, a thread of the pool's own, on a runtime's threads and elsewhere the place of
/// the worker in its pool, which ends with the pool. A worker that is killed drops nothing.
///
/// # Examples
/// See [`state`].
pub fn set_state<T: Send + Sync + 'static>(value: T) -> Option<Arc<T>> {
    let value = Arc::new(value);
    match seat::current() {
        Some(seat) => seat.states().set(Arc::clone(&value)),
        None => here()?.states().set(Arc::clone(&value)),
    }
    Some(value)
}

/// Gives the value of this type that this worker keeps: what its [`initializer`](crate::ExecutorBuilder::initializer), or a task
/// before, gave to [`set_state`]. `None` where there is no such value, and outside a task.
///
/// # Examples
/// A model that is loaded once in every worker, and used by every task:
/// ```
/// use polypool::{Executor, worker};
///
/// struct Model {
///     weights: Vec<f64>,
/// }
///
/// fn load(path: String) -> Result<(), std::io::Error> {
///     // It would be read from the file; each worker has its own, also one that comes in the place of another.
///     let weights = path.bytes().map(f64::from).collect();
///     worker::set_state(Model { weights });
///     Ok(())
/// }
///
/// fn predict(x: f64) -> Option<f64> {
///     let model = worker::state::<Model>()?;
///     Some(model.weights.iter().map(|weight| weight * x).sum())
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::builder().backend("threads").max_workers(4).initializer(load, "a".to_owned()).build()?;
/// assert_eq!(pool.submit(predict, 2.0).await?, Some(194.0));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn state<T: Send + Sync + 'static>() -> Option<Arc<T>> {
    match seat::current() {
        Some(seat) => seat.states().of(),
        None => here()?.states().of(),
    }
}
