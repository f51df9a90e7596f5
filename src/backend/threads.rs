//! Tasks on blocking threads. Owns where a lane gets its thread.

use std::time::Duration;

use async_trait::async_trait;

use super::{Arrival, Backend, Capabilities, PoolContext, Workers};
use crate::error::TaskError;

/// How long a thread that has nothing to do stays with the pool. A loop that stayed for good would keep a runtime from shutting
/// down.
const LINGER: Duration = Duration::from_millis(10);

/// Runs tasks on blocking threads, borrowed from the runtime while there is work.
///
/// A running function cannot be stopped by force; see [`CancellationPolicy`](crate::CancellationPolicy). A task that is a
/// future is waited for on its thread, and can be stopped at its next await.
///
/// A pool with an initializer has threads of its own instead, which stay until it is gone, so that what the initializer does to
/// its thread lasts. They are in the context of the runtime, too.
///
/// # Examples
/// ```
/// use polypool::{Executor, Threads};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::builder().backend(Threads::new()).max_workers(2).build()?;
/// assert_eq!(pool.submit(|s: String| s.len(), "four".to_owned()).await?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Threads {}

impl Threads {
    /// Makes the backend.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Threads::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Threads {
    fn name(&self) -> &str {
        "threads"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_process: true,
            futures: true,
            shared_memory: true,
            nests: true,
            ..Capabilities::default()
        }
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Loops { context }))
    }
}

struct Loops {
    context: PoolContext,
}

#[async_trait]
impl Workers for Loops {
    fn wanted(&self, arrival: Arrival) {
        if self.context.settings().has_initializer {
            self.context.spawn_thread(move || {
                if let Some(lane) = arrival.claim() {
                    lane.serve_on_thread();
                }
            });
            return;
        }
        let drain = |arrival: Arrival| {
            if let Some(lane) = arrival.claim() {
                lane.drain(LINGER);
            }
        };
        // The runtime's threads may all be taken by those that wait for this one.
        if arrival.is_stand_in() {
            self.context.spawn_thread(move || drain(arrival));
        } else {
            self.context.spawn_blocking(move || drain(arrival));
        }
    }
}
