//! What the backends that have an engine share: how their workers are set up, and the door by which agents come in over a network. Knows no
//! engine. How a worker elsewhere is made to look like one here is `processes`'; its other half is `inside::agent`.

use std::sync::Arc;

mod agents;
#[cfg(any(feature = "dask", feature = "ray"))]
pub(crate) mod bridge;
pub(crate) mod doorway;
#[cfg(any(feature = "dask", feature = "ray"))]
mod mode;

#[allow(unused_imports, reason = "for those backends that this build has")]
pub(crate) use super::processes::site::{Site, Told};
pub use agents::Agents;
#[cfg(any(feature = "dask", feature = "ray"))]
pub use mode::Mode;

use super::{Capabilities, PoolContext, Settings, Workers, processes::Processes};
use crate::error::{BuildError, TaskError};

/// What can be set of the workers, wherever they are: as for [`Processes`], which has the meaning of each.
pub(crate) type WorkerOptions = Processes;

/// What a backend with an engine can do.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    in_process: false,
    futures: true,
    stops_running: true,
    shared_memory: false,
    survives_worker_loss: true,
    distributed: true,
    nests: true,
};

/// Looks at what was set of the workers.
pub(crate) fn check(options: &WorkerOptions, settings: &Settings) -> Result<(), BuildError> {
    super::Backend::check(&options.clone().anywhere(), settings)
}

/// Makes the workers of a pool, which are where `site` brings them.
pub(crate) fn start(
    context: PoolContext,
    options: WorkerOptions,
    site: Arc<dyn Site>,
) -> Result<Box<dyn Workers>, TaskError> {
    options.anywhere().at(context, site)
}

/// An error of an engine's.
pub(crate) fn failed(backend: &str, text: impl Into<String>) -> TaskError {
    TaskError::Backend { backend: backend.to_owned(), source: Arc::from(Box::from(text.into())) }
}

/// The methods by which a backend with a field `workers` of [`WorkerOptions`] lets its user set them.
#[allow(unused_macros, reason = "for those backends that this build has")]
macro_rules! worker_options {
    ($backend:ident) => {
        /// What may be set of the worker processes; see [`Processes`](crate::Processes) for the meaning of each.
        impl $backend {
            /// Ends workers that had nothing to do for this long, as [`Processes::idle_timeout`](crate::Processes::idle_timeout).
            pub fn idle_timeout(mut self, after: std::time::Duration) -> Self {
                self.workers = self.workers.idle_timeout(after);
                self
            }

            /// Replaces a worker after so many tasks, as [`Processes::max_tasks_per_worker`](crate::Processes::max_tasks_per_worker).
            pub fn max_tasks_per_worker(mut self, n: usize) -> Self {
                self.workers = self.workers.max_tasks_per_worker(n);
                self
            }

            /// Replaces a worker whose memory has grown by so many bytes, as
            /// [`Processes::max_memory_growth`](crate::Processes::max_memory_growth).
            pub fn max_memory_growth(mut self, bytes: u64) -> Self {
                self.workers = self.workers.max_memory_growth(bytes);
                self
            }

            /// Limits the memory of a worker, in bytes, as [`Processes::memory_limit`](crate::Processes::memory_limit).
            pub fn memory_limit(mut self, bytes: u64) -> Self {
                self.workers = self.workers.memory_limit(bytes);
                self
            }

            /// Refuses larger arguments and results, in bytes, as [`Processes::max_payload`](crate::Processes::max_payload).
            pub fn max_payload(mut self, bytes: u64) -> Self {
                self.workers = self.workers.max_payload(bytes);
                self
            }

            /// Sets an environment variable of the workers, as [`Processes::env`](crate::Processes::env).
            pub fn env(
                mut self,
                key: impl Into<std::ffi::OsString>,
                value: impl Into<std::ffi::OsString>,
            ) -> Self {
                self.workers = self.workers.env(key, value);
                self
            }

            /// Sets the folder in which workers start, where they are, as [`Processes::current_dir`](crate::Processes::current_dir).
            pub fn current_dir(mut self, path: impl Into<std::path::PathBuf>) -> Self {
                self.workers = self.workers.current_dir(path);
                self
            }

            /// Sets how long a task that is asked to stop may go on, as [`Processes::grace_period`](crate::Processes::grace_period).
            pub fn grace_period(mut self, period: std::time::Duration) -> Self {
                self.workers = self.workers.grace_period(period);
                self
            }

            /// Tells the libraries in a worker how many threads they may use, as
            /// [`Processes::inner_threads`](crate::Processes::inner_threads).
            pub fn inner_threads(mut self, n: usize) -> Self {
                self.workers = self.workers.inner_threads(n);
                self
            }
        }
    };
}
#[allow(unused_imports, reason = "for those backends that this build has")]
pub(crate) use worker_options;
