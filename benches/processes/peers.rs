//! Who is measured, each as thin as it can be.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll},
    thread,
};

use clap::ValueEnum;
use polypool::{CancellationPolicy, Executor, Processes, Spin, TaskHandle};
use tokio::runtime::{Builder, Runtime};

use crate::{
    floor::{Call, IpcWorker, Reply},
    work,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum PeerId {
    Polypool,
    PolypoolSpin,
    PolypoolMulti,
    Socketpair,
    PosixSpawn,
    Memcpy,
    Memcpy4,
    IpcChannel,
    Procspawn,
    Futures,
    Loky,
    MpPool,
    Joblib,
}

impl PeerId {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Polypool => "polypool",
            Self::PolypoolSpin => "polypool-spin",
            Self::PolypoolMulti => "polypool-multi",
            Self::Socketpair => "socketpair",
            Self::PosixSpawn => "posix-spawn",
            Self::Memcpy => "memcpy",
            Self::Memcpy4 => "memcpy4",
            Self::IpcChannel => "ipc-channel",
            Self::Procspawn => "procspawn",
            Self::Futures => "futures",
            Self::Loky => "loky",
            Self::MpPool => "mp-pool",
            Self::Joblib => "joblib",
        }
    }

    /// As in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Polypool => "polypool, tokio `current_thread`",
            Self::PolypoolSpin => "polypool, `current_thread`, `Spin::Adaptive`",
            Self::PolypoolMulti => "polypool, tokio `multi_thread`",
            Self::Socketpair => "raw socketpair, blocking",
            Self::PosixSpawn => "raw `posix_spawn` and a socketpair",
            Self::Memcpy => "1 warm `memcpy`",
            Self::Memcpy4 => "4 warm `memcpy`s (the floor)",
            Self::IpcChannel => "ipc-channel, raw",
            Self::Procspawn => "procspawn `Pool`",
            Self::Futures => "Python `ProcessPoolExecutor`",
            Self::Loky => "Python loky",
            Self::MpPool => "Python `multiprocessing.Pool`",
            Self::Joblib => "Python joblib",
        }
    }

    pub(crate) fn is_python(self) -> bool {
        matches!(self, Self::Futures | Self::Loky | Self::MpPool | Self::Joblib)
    }
}

/// Processes to which numbers can be sent.
pub(crate) trait Peer {
    type Task: Future<Output = u64> + Unpin;

    fn submit(&self, n: u64) -> Self::Task;

    /// Waits as a user of this peer would.
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        futures::executor::block_on(future)
    }
}

// ---- polypool

pub(crate) struct Polypool {
    pub(crate) executor: Executor,
    runtime: Runtime,
}

impl Polypool {
    /// With its workers started.
    pub(crate) fn new(peer: PeerId, workers: usize) -> Self {
        let runtime = Self::runtime(peer);
        let executor = Self::build(peer, workers, &runtime);
        runtime.block_on(executor.warm_up()).expect("workers can be started");
        Self { executor, runtime }
    }

    pub(crate) fn runtime(peer: PeerId) -> Runtime {
        let mut builder = match peer {
            PeerId::PolypoolMulti => Builder::new_multi_thread(),
            _ => Builder::new_current_thread(),
        };
        builder.enable_all().build().expect("threads can be started")
    }

    pub(crate) fn build(peer: PeerId, workers: usize, runtime: &Runtime) -> Executor {
        let spin = if peer == PeerId::PolypoolSpin { Spin::Adaptive } else { Spin::Off };
        let builder = Executor::builder().backend(Processes::new()).max_workers(workers).spin(spin);
        let builder = builder.runtime(polypool::Runtime::tokio(runtime.handle().clone()));
        builder.on_drop(CancellationPolicy::ALL).build().expect("`main` lets workers in")
    }
}

impl Peer for Polypool {
    type Task = Value;

    fn submit(&self, n: u64) -> Value {
        Value(self.executor.submit(work::trifle, n))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// A handle whose task does not fail.
pub(crate) struct Value(TaskHandle<u64>);

impl Future for Value {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a trifle does not fail"))
    }
}

// ---- procspawn

pub(crate) struct Procspawn {
    pub(crate) pool: procspawn::Pool,
}

impl Procspawn {
    /// With its workers started, as far as it can be told.
    pub(crate) fn new(workers: usize) -> Self {
        let pool = procspawn::Pool::new(workers).expect("processes can be started");
        let first: Vec<_> = (0..workers).map(|_| pool.spawn(20, work::sleep)).collect();
        for task in first {
            task.join().expect("sleeping does not fail");
        }
        Self { pool }
    }
}

impl Peer for Procspawn {
    type Task = Joined;

    fn submit(&self, n: u64) -> Joined {
        Joined(Some(self.pool.spawn(n, work::trifle)))
    }
}

/// It has nothing to await: the poll blocks.
pub(crate) struct Joined(Option<procspawn::JoinHandle<u64>>);

impl Future for Joined {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        let handle = self.0.take().expect("what is ready is not polled again");
        Poll::Ready(handle.join().expect("a trifle does not fail"))
    }
}

// ---- ipc-channel

/// As little of a pool as can be: calls go to the workers in turn, replies are taken in that order.
pub(crate) struct Ipc {
    senders: Vec<ipc_channel::ipc::IpcSender<Call>>,
    replies: Vec<Rc<Replies>>,
    next: RefCell<usize>,
}

pub(crate) enum Replies {
    Direct(ipc_channel::ipc::IpcReceiver<Reply>),
    /// Through a thread: who sends without end must not wait for who waits to be read.
    Queued(mpsc::Receiver<Reply>),
}

impl Ipc {
    pub(crate) fn new(workers: usize, queued: bool) -> Self {
        let ends = IpcWorker::start(workers).into_iter().map(IpcWorker::into_ends);
        let (senders, receivers): (Vec<_>, Vec<_>) = ends.unzip();
        let take = |receiver: ipc_channel::ipc::IpcReceiver<Reply>| {
            Rc::new(if queued {
                let (sender, queue) = mpsc::channel();
                thread::spawn(move || while receiver.recv().is_ok_and(|reply| sender.send(reply).is_ok()) {});
                Replies::Queued(queue)
            } else {
                Replies::Direct(receiver)
            })
        };
        Self { senders, replies: receivers.into_iter().map(take).collect(), next: RefCell::new(0) }
    }

    pub(crate) fn call(&self, call: Call) -> Rc<Replies> {
        let mut next = self.next.borrow_mut();
        let worker = *next;
        *next = (worker + 1) % self.senders.len();
        self.senders[worker].send(call).expect("the process listens");
        Rc::clone(&self.replies[worker])
    }
}

impl Replies {
    pub(crate) fn take(&self) -> Reply {
        match self {
            Self::Direct(receiver) => receiver.recv().expect("the process answers"),
            Self::Queued(queue) => queue.recv().expect("the process answers"),
        }
    }
}

impl Peer for Ipc {
    type Task = IpcTask;

    fn submit(&self, n: u64) -> IpcTask {
        IpcTask(self.call(Call::One(n)))
    }
}

/// The poll blocks.
pub(crate) struct IpcTask(Rc<Replies>);

impl Future for IpcTask {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        let Reply::One(n) = self.0.take() else { panic!("another reply than was asked for") };
        Poll::Ready(n)
    }
}
