//! Tasks as futures on the runtime, so many at a time. Owns where a lane is spawned.

use std::time::Duration;

use async_trait::async_trait;

use super::{Arrival, Backend, Capabilities, PoolContext, Workers};
use crate::error::TaskError;

/// Runs tasks as futures on the runtime, at most `max_workers` at a time.
///
/// For tasks that wait more than they compute. A function that blocks, blocks a thread of the runtime: give those to
/// [`Threads`](crate::Threads). A running future is stopped by dropping it at its next await.
///
/// When the runtime ends, what runs ends with [`TaskError::Shutdown`], and so does what waits; a later submit finds the runtime
/// that is current then.
///
/// # Examples
/// ```
/// use polypool::{Executor, Tasks};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::builder().backend(Tasks::new()).max_workers(100).build()?;
/// assert_eq!(pool.submit_async(async |n: u32| n * 2, 21).await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Tasks {}

impl Tasks {
    /// Makes the backend.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Tasks::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Tasks {
    fn name(&self) -> &str {
        "tasks"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_process: true,
            futures: true,
            stops_running: true,
            shared_memory: true,
            nests: true,
            ..Capabilities::default()
        }
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Lanes { context }))
    }
}

struct Lanes {
    context: PoolContext,
}

#[async_trait]
impl Workers for Lanes {
    fn wanted(&self, arrival: Arrival) {
        // A future that is spawned from a thread which blocks may be stuck behind it.
        if arrival.is_for_blocked() {
            self.context.spawn_thread(move || {
                if let Some(lane) = arrival.claim() {
                    lane.drain(Duration::ZERO);
                }
            });
            return;
        }
        self.context.spawn(async move {
            if let Some(lane) = arrival.claim() {
                lane.serve().await;
            }
        });
    }
}
