//! The ways to run a closure on another thread and await its result, each as thin as it can be.

use std::{future::Future, sync::Arc};

use clap::ValueEnum;
use futures::{
    channel::oneshot,
    executor::{self, ThreadPool},
    future::RemoteHandle,
    task::SpawnExt,
};
use polypool::{Executor, Spin, TaskError, TaskHandle};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, JoinHandle},
};

/// Somewhere to run closures. Clones share it; each submitting thread has one of its own.
pub(crate) trait Peer: Clone + Send + 'static {
    type Task: Future + Unpin + Send + 'static;

    /// Has `f` run elsewhere.
    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> Self::Task;

    /// What came out; none when it was cancelled.
    fn value(ended: <Self::Task as Future>::Output) -> Option<u64>;

    /// Waits as a user of this peer would.
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        executor::block_on(future)
    }
}

/// One whose tasks can be cancelled one by one.
pub(crate) trait Aborts: Peer {
    fn abort(task: &Self::Task);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum PeerId {
    PolypoolTokio,
    PolypoolStandalone,
    PolypoolSpin,
    TokioDefault,
    TokioLimited,
    Blocking,
    Rayon,
    Futures,
    Loop,
}

impl PeerId {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PolypoolTokio => "polypool-tokio",
            Self::PolypoolStandalone => "polypool-standalone",
            Self::PolypoolSpin => "polypool-spin",
            Self::TokioDefault => "tokio-default",
            Self::TokioLimited => "tokio-limited",
            Self::Blocking => "blocking",
            Self::Rayon => "rayon",
            Self::Futures => "futures",
            Self::Loop => "loop",
        }
    }

    /// As in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::PolypoolTokio => "polypool on tokio",
            Self::PolypoolStandalone => "polypool standalone",
            Self::PolypoolSpin => "polypool on tokio, `Spin::Adaptive`",
            Self::TokioDefault => "tokio `spawn_blocking`, default (up to 512 threads)",
            Self::TokioLimited => "tokio `spawn_blocking`, same number of threads",
            Self::Blocking => "`blocking::unblock`",
            Self::Rayon => "rayon, `spawn` and a oneshot (`map`: `par_iter`)",
            Self::Futures => "futures `ThreadPool`",
            Self::Loop => "a loop on this thread",
        }
    }
}

// ---- polypool

#[derive(Clone)]
pub(crate) struct Polypool {
    pub(crate) executor: Executor,
    pub(crate) runtime: Option<Arc<Runtime>>,
}

impl Polypool {
    pub(crate) fn on_tokio(threads: usize, spin: Spin) -> Self {
        let runtime = tokio_runtime(None);
        let there = polypool::Runtime::tokio(runtime.handle().clone());
        Self { executor: Self::build(threads, there, spin), runtime: Some(runtime) }
    }

    pub(crate) fn standalone(threads: usize) -> Self {
        Self { executor: Self::build(threads, polypool::Runtime::standalone(), Spin::Off), runtime: None }
    }

    fn build(threads: usize, runtime: polypool::Runtime, spin: Spin) -> Executor {
        let builder = Executor::builder().backend("threads").max_workers(threads).runtime(runtime).spin(spin);
        builder.build().expect("a pool of threads can be built anywhere")
    }
}

impl Peer for Polypool {
    type Task = TaskHandle<u64>;

    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> TaskHandle<u64> {
        self.executor.spawn_blocking(f)
    }

    fn value(ended: Result<u64, TaskError>) -> Option<u64> {
        ended.ok()
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => executor::block_on(future),
        }
    }
}

impl Aborts for Polypool {
    fn abort(task: &TaskHandle<u64>) {
        task.abort();
    }
}

// ---- tokio

#[derive(Clone)]
pub(crate) struct Tokio {
    handle: Handle,
    runtime: Arc<Runtime>,
}

impl Tokio {
    /// With tokio's own limit of blocking threads, or another.
    pub(crate) fn new(threads: Option<usize>) -> Self {
        let runtime = tokio_runtime(threads);
        Self { handle: runtime.handle().clone(), runtime }
    }
}

/// The runtime that programs have: a worker for each CPU.
fn tokio_runtime(blocking_threads: Option<usize>) -> Arc<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(n) = blocking_threads {
        builder.max_blocking_threads(n);
    }
    Arc::new(builder.enable_all().build().expect("threads can be started"))
}

impl Peer for Tokio {
    type Task = JoinHandle<u64>;

    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> JoinHandle<u64> {
        self.handle.spawn_blocking(f)
    }

    fn value(ended: Result<u64, JoinError>) -> Option<u64> {
        ended.ok()
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Aborts for Tokio {
    fn abort(task: &JoinHandle<u64>) {
        task.abort();
    }
}

// ---- blocking

/// Its one pool is global; `BLOCKING_MAX_THREADS` bounds it.
#[derive(Clone)]
pub(crate) struct Unblock;

impl Peer for Unblock {
    type Task = blocking::Task<u64>;

    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> blocking::Task<u64> {
        blocking::unblock(f)
    }

    fn value(ended: u64) -> Option<u64> {
        Some(ended)
    }
}

// ---- rayon

#[derive(Clone)]
pub(crate) struct Rayon {
    pub(crate) pool: Arc<rayon::ThreadPool>,
}

impl Rayon {
    pub(crate) fn new(threads: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Self { pool: Arc::new(pool.expect("threads can be started")) }
    }
}

impl Peer for Rayon {
    type Task = oneshot::Receiver<u64>;

    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> oneshot::Receiver<u64> {
        let (send, receive) = oneshot::channel();
        self.pool.spawn(move || {
            // Whoever dropped the receiver does not want it.
            let _ = send.send(f());
        });
        receive
    }

    fn value(ended: Result<u64, oneshot::Canceled>) -> Option<u64> {
        ended.ok()
    }
}

// ---- futures

#[derive(Clone)]
pub(crate) struct Futures {
    pool: ThreadPool,
}

impl Futures {
    pub(crate) fn new(threads: usize) -> Self {
        Self { pool: ThreadPool::builder().pool_size(threads).create().expect("threads can be started") }
    }
}

impl Peer for Futures {
    type Task = RemoteHandle<u64>;

    fn submit(&self, f: impl FnOnce() -> u64 + Send + 'static) -> RemoteHandle<u64> {
        self.pool.spawn_with_handle(async move { f() }).expect("the pool takes tasks as long as it is there")
    }

    fn value(ended: u64) -> Option<u64> {
        Some(ended)
    }
}
