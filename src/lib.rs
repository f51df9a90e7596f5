//! polypool
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
pub mod cpu;
mod error;
mod executor;
mod function;
#[path = "worker/mod.rs"]
mod inside;
mod policy;
mod runtime;
mod stream;
mod sys;
mod task;

pub use backend::{
    BackendSpec, Capabilities, Event, EventKind, Events, Stats, WorkerInfo, serial::Serial, tasks::Tasks,
    threads::Threads,
};
pub use cpu::{cpu_count, physical_cpu_count};
pub use error::{BuildError, Exit, Failure, PanicInfo, TaskError, WorkerLost};
pub use executor::{
    Executor, ExecutorBuilder, InitOutcome, OnSerial, Shutdown, ShutdownReport, Spin, TrySubmitError,
};
pub use function::{Portable, TaskFn};
pub use policy::CancellationPolicy;
pub use runtime::Runtime;
pub use stream::{
    AsCompleted, Map, MapCompleted, Wait, Waited, Waiting, as_completed, default_chunk_size, wait,
};
pub use task::{AbortHandle, TaskHandle, TaskId, TaskOptions, TaskReport, TaskState};

/// What a task can ask about where it runs.
pub mod worker {
    pub use crate::{
        executor::inside::executor,
        inside::{
            LeaveGuard, cancelled, depth, id, index, is_cancelled, is_master, is_worker, leave_pool, rank,
            report_progress, size,
        },
    };
}
