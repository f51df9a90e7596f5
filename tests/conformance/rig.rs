//! What a case stands on: a backend, a host runtime, and a watchdog. Owns the macros that instantiate the cases and the table of
//! what each backend is excused from; knows no case.

use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use polypool::{
    BackendSpec, Capabilities, Executor, ExecutorBuilder, Map, MapCompleted, Runtime, TaskHandle, TaskOptions,
};

use crate::gate::Gate;
use crate::work::{self, Call};

/// How long a case may take before it counts as hanging. Generous: it decides nothing but that. `TEST_PATIENCE` says how many
/// seconds, where everything takes longer.
fn patience() -> Duration {
    let seconds = std::env::var("TEST_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(180))
}

/// A time limit that tests let run out. It is waited for, never measured.
pub const SHORT: Duration = Duration::from_millis(20);

/// A time limit that never runs out.
pub const AGES: Duration = Duration::from_secs(100_000);

/// What a backend must be able to do for a case to apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing: the case holds everywhere.
    Every,
    /// Its workers run tasks while nobody polls.
    Unattended,
    /// It stops running work by force.
    Forceful,
    /// It stops running work by asking only, so the code lives to see that it was asked.
    ByAsking,
    /// Code that blocks its thread blocks nobody else.
    Blocking,
    /// Code that blocks runs on threads of the host runtime.
    #[cfg(feature = "tokio")]
    Borrowing,
    /// Tasks stay in this process: values move to them and back, whatever they are, and each is dropped once.
    Local,
    /// Tasks leave this process: values are copied through their encoding.
    Away,
    /// A worker may die, and its pool goes on.
    Mortal,
}

/// The backend and the runtime under test, and the gates of one case.
#[derive(Clone)]
pub struct Rig {
    backend: fn() -> BackendSpec,
    host: Host,
    name: String,
    capabilities: Capabilities,
    gates: Arc<Mutex<Vec<Gate>>>,
}

impl Rig {
    pub fn new(backend: fn() -> BackendSpec, host: Host) -> Rig {
        let probe = Executor::builder()
            .backend(backend())
            .build()
            .expect("a pool is built without starting anything");
        let name = probe.backend_name().to_owned();
        Rig { backend, host, name, capabilities: probe.capabilities(), gates: Arc::default() }
    }

    /// Why a case of this class does not apply to this backend, if so. The only place where a backend is excused from anything.
    pub fn excuse(&self, class: Class) -> Option<&'static str> {
        let excused = |when: bool, why| when.then_some(why);
        match class {
            Class::Every => None,
            Class::Unattended => {
                excused(self.runs_alone(), "a task runs only while its own handle or stream is polled")
            }
            Class::Forceful => excused(!self.forceful(), "running work is asked to stop, never forced"),
            Class::ByAsking => excused(
                self.runs_alone() || self.forceful(),
                "running work is stopped before it could see the token",
            ),
            Class::Blocking => excused(
                !self.blocks_freely(),
                "code that blocks keeps the runtime, or the caller, from going on",
            ),
            #[cfg(feature = "tokio")]
            Class::Borrowing => {
                excused(!self.borrows_threads(), "it brings threads, or processes, of its own")
            }
            Class::Local => excused(!self.is_local(), "what cannot be encoded does not reach its workers"),
            Class::Away => excused(self.is_local(), "its tasks stay in this process"),
            Class::Mortal => excused(
                self.is_local() || !self.capabilities.survives_worker_loss,
                "the death of a worker is that of the program, or of the pool",
            ),
        }
    }

    /// Workers may be on other machines.
    pub fn is_far(&self) -> bool {
        self.capabilities.distributed
    }

    /// Tasks stay in this process.
    pub fn is_local(&self) -> bool {
        self.capabilities.in_process
    }

    /// A task runs only within the poll of its own handle or stream, in the caller.
    pub fn runs_alone(&self) -> bool {
        self.name == "serial"
    }

    /// Running work is stopped, not only asked to stop.
    pub fn forceful(&self) -> bool {
        self.capabilities.stops_running && !self.runs_alone()
    }

    /// A task may block its thread without keeping anyone else from running.
    pub fn blocks_freely(&self) -> bool {
        !matches!(self.name.as_str(), "serial" | "tasks")
    }

    /// Code runs on threads of the host runtime, not on those of a backend that brings its own.
    #[cfg(feature = "tokio")]
    fn borrows_threads(&self) -> bool {
        self.is_local() && self.name != "rayon"
    }

    /// The backend under test, for a builder that the case makes itself.
    pub fn backend(&self) -> BackendSpec {
        (self.backend)()
    }

    /// A builder with the backend and the runtime under test.
    pub fn builder(&self) -> ExecutorBuilder {
        Executor::builder().backend(self.backend()).runtime(self.host.runtime())
    }

    /// A pool of `n` workers; of the one that there is where a backend has no more.
    pub fn pool(&self, n: usize) -> Executor {
        self.builder().max_workers(n).build().expect("a pool")
    }

    /// The size of a pool for which nobody named one.
    pub fn default_workers(&self) -> usize {
        match self.name.as_str() {
            #[cfg(all(feature = "mpi", target_os = "linux"))]
            "mpi" => crate::engines::default_of_mpi(),
            _ => polypool::cpu_count(),
        }
    }

    /// A closed gate, opened at the latest when the case ends or fails.
    pub fn gate(&self) -> Gate {
        let gate = Gate::new();
        self.gates.lock().expect("the list of gates").push(gate);
        gate
    }

    /// Submits a task that runs until the gate lets it by: blocking code where that is harmless, a future elsewhere.
    pub fn gated(&self, pool: &Executor, gate: Gate, value: u64) -> TaskHandle<u64> {
        self.gated_with(TaskOptions::new(), pool, gate, value)
    }

    /// As [`Rig::gated`], with options.
    pub fn gated_with(
        &self,
        options: TaskOptions,
        pool: &Executor,
        gate: Gate,
        value: u64,
    ) -> TaskHandle<u64> {
        if self.blocks_freely() {
            pool.submit_with(options, work::hold, (gate, value))
        } else {
            pool.submit_async_with(options, work::hold_async, (gate, value))
        }
    }

    /// Maps tasks that run until their gates let them by.
    pub fn gated_map<I>(&self, pool: &Executor, calls: I) -> Map<u64>
    where
        I: IntoIterator<Item = Call, IntoIter: Send + 'static>,
    {
        if self.blocks_freely() {
            pool.map(work::hold, calls)
        } else {
            pool.map_async(work::hold_async, calls)
        }
    }

    /// As [`Rig::gated_map`], in the order of completion.
    pub fn gated_completed<I>(&self, pool: &Executor, calls: I) -> MapCompleted<u64>
    where
        I: IntoIterator<Item = Call, IntoIter: Send + 'static>,
    {
        if self.blocks_freely() {
            pool.as_completed(work::hold, calls)
        } else {
            pool.as_completed_async(work::hold_async, calls)
        }
    }

    /// Gives every worker something to do, so that whatever comes next is pending until [`Busy::release`]. Where tasks run alone,
    /// whatever is not polled is pending, so there is nothing to do.
    pub async fn occupy(&self, pool: &Executor) -> Busy {
        let gate = self.gate();
        let workers = if self.runs_alone() { 0 } else { pool.max_workers() };
        let mut tasks = Vec::new();
        for arrivals in 1..=workers {
            tasks.push(self.gated(pool, gate, 0));
            gate.wait_arrivals(arrivals).await;
        }
        Busy { gate, tasks }
    }

    /// Waits until at least `limit` has passed, as told by a pool of its own: so a time limit on what is under test, had it begun,
    /// would have run out.
    pub async fn outlast(&self, limit: Duration) {
        let clock = Executor::builder()
            .backend("tasks")
            .runtime(self.host.runtime())
            .max_workers(1)
            .build()
            .expect("a pool");
        let handle = clock.submit_async_with(
            TaskOptions::new().timeout(limit * 2),
            work::hold_async,
            (self.gate(), 0),
        );
        assert!(handle.await.expect_err("the gate is closed").is_timed_out());
    }

    /// Runs a future to its end on a thread of its own, under a fresh runtime of the same kind that is gone when this returns.
    pub async fn elsewhere<T, F>(&self, future: impl FnOnce(Rig) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let rig = self.clone();
        on_thread(move || rig.host.block_on(future(rig.clone()))).await
    }

    fn open_gates(&self) {
        self.gates.lock().expect("the list of gates").drain(..).for_each(Gate::remove);
    }
}

/// Workers that have something to do, made by [`Rig::occupy`]. Dropping it leaves them at it until the case ends.
#[must_use]
pub struct Busy {
    gate: Gate,
    tasks: Vec<TaskHandle<u64>>,
}

impl Busy {
    /// Lets the workers go.
    pub fn open(&self) {
        self.gate.open();
    }

    /// Lets the workers go and waits until they are done.
    pub async fn release(self) {
        self.open();
        for task in self.tasks {
            task.await.expect("a task that was let by");
        }
    }
}

/// A runtime that a case runs under.
#[derive(Debug, Clone, Copy)]
pub enum Host {
    #[cfg(feature = "tokio")]
    TokioMulti,
    #[cfg(feature = "tokio")]
    TokioCurrent,
    #[cfg(feature = "async-std")]
    AsyncStd,
    #[cfg(feature = "smol")]
    Smol,
    Standalone,
}

impl Host {
    /// What a user of this runtime would tell the builder.
    pub fn runtime(self) -> Runtime {
        match self {
            #[cfg(feature = "tokio")]
            Host::TokioMulti | Host::TokioCurrent => Runtime::detect(),
            #[cfg(feature = "async-std")]
            Host::AsyncStd => Runtime::async_std(),
            #[cfg(feature = "smol")]
            Host::Smol => Runtime::smol(),
            Host::Standalone => Runtime::standalone(),
        }
    }

    /// Runs `future` under a runtime of this kind, which is gone when this returns.
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        match self {
            #[cfg(feature = "tokio")]
            Host::TokioMulti => {
                tokio_runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(2)).block_on(future)
            }
            #[cfg(feature = "tokio")]
            Host::TokioCurrent => {
                tokio_runtime(&mut tokio::runtime::Builder::new_current_thread()).block_on(future)
            }
            #[cfg(feature = "async-std")]
            Host::AsyncStd => async_std::task::block_on(future),
            #[cfg(feature = "smol")]
            Host::Smol => smol::block_on(future),
            Host::Standalone => futures::executor::block_on(future),
        }
    }
}

#[cfg(feature = "tokio")]
fn tokio_runtime(builder: &mut tokio::runtime::Builder) -> tokio::runtime::Runtime {
    builder.enable_all().build().expect("a tokio runtime")
}

/// Runs a closure on a plain thread, with no runtime in context, and waits for it without blocking.
pub async fn on_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = send.send(run());
    });
    receive.await.expect("the thread did not panic")
}

/// Runs one case, which is how every `#[test]` of the suite begins and ends.
pub fn run<F: Future<Output = ()>>(
    name: &'static str,
    rig: Rig,
    classes: &[Class],
    case: impl FnOnce(Rig) -> F,
) {
    if let Some(why) = classes.iter().find_map(|&class| rig.excuse(class)) {
        println!("{name} does not apply: {why}");
        return;
    }
    // Where a worker is the process of an engine, a case that wants many takes its time.
    let _watchdog = Watchdog::with(name, if rig.is_far() { 4 * patience() } else { patience() });
    let outcome = rig.host.block_on(async {
        let outcome = AssertUnwindSafe(case(rig.clone())).catch_unwind().await;
        // Before the runtime goes: it waits for code that blocks, and a case that failed half-way left its gates closed.
        rig.open_gates();
        outcome
    });
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Ends the whole test program, by name, when it is not dropped in time.
pub struct Watchdog(#[expect(dead_code, reason = "dropping it is the signal")] mpsc::Sender<()>);

impl Watchdog {
    pub fn start(name: &'static str) -> Watchdog {
        Self::with(name, patience())
    }

    fn with(name: &'static str, patience: Duration) -> Watchdog {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            if receive.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // Not `eprintln!`: the test harness would capture it and die with it.
                let _ = writeln!(std::io::stderr(), "\n{name} hangs");
                std::process::abort();
            }
        });
        Watchdog(send)
    }
}

/// Lists the cases of a topic, by what they ask of a backend: `topic! { submit: Every [a, b] Local Unattended [c] }`.
macro_rules! topic {
    ($topic:ident: $($($class:ident)+ [$($case:ident),* $(,)?])*) => {
        macro_rules! cases {
            () => { instantiate! { $topic $(($($class)+) [$($case)*])* } };
        }
        pub(crate) use cases;
    };
}

/// Makes a `#[test]` of every case of a topic, for the backend and the host of the modules around it.
macro_rules! instantiate {
    ($topic:ident $($classes:tt [$($case:ident)*])*) => {
        mod $topic {
            $($(
                #[test]
                fn $case() {
                    let rig = $crate::rig::Rig::new(super::super::backend, super::HOST);
                    let name = concat!(module_path!(), "::", stringify!($case));
                    $crate::rig::run(name, rig, classes!($classes), $crate::$topic::$case);
                }
            )*)*
        }
    };
}

/// The classes of a case, from their names.
macro_rules! classes {
    (($($class:ident)+)) => { &[$($crate::rig::Class::$class),+] };
}

/// Makes the whole suite for a backend, `backend::host::topic::case`, under every host or under those that are named.
macro_rules! conformance {
    ($backend:ident, $spec:expr) => {
        conformance!($backend, $spec, [tokio_multi, tokio_current, async_std, smol, standalone]);
    };
    ($backend:ident, $spec:expr, [$($host:ident),* $(,)?]) => {
        mod $backend {
            #[allow(unused_imports, reason = "a backend may be named by its full path")]
            use super::*;

            fn backend() -> polypool::BackendSpec {
                ($spec).into()
            }

            $(host! { $host })*
        }
    };
}

/// The hosts by name, each where its feature is on.
macro_rules! host {
    (tokio_multi) => {
        #[cfg(feature = "tokio")]
        mod tokio_multi {
            suite! { TokioMulti }
            crate::on_tokio::cases!();
        }
    };
    (tokio_current) => {
        #[cfg(feature = "tokio")]
        mod tokio_current {
            suite! { TokioCurrent }
            crate::on_tokio::cases!();
        }
    };
    (async_std) => {
        #[cfg(feature = "async-std")]
        mod async_std {
            suite! { AsyncStd }
        }
    };
    (smol) => {
        #[cfg(feature = "smol")]
        mod smol {
            suite! { Smol }
        }
    };
    (standalone) => {
        mod standalone {
            suite! { Standalone }
        }
    };
}

/// Asserts that a value has a shape, and shows it where it has not.
macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?} is not {}", stringify!($pattern $(if $guard)?)),
        }
    };
}
