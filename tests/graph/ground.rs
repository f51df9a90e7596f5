//! What a case stands on: pools, a host, a watchdog, and the functions that the graphs ship.

use std::future::Future;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use futures::StreamExt;
use polypool::graph::{GraphRun, NodeReport, Outcome};
use polypool::{Executor, ExecutorBuilder};

use crate::gate::Gate;

/// How long a case may take before it counts as hanging. Generous: it decides nothing but that.
const PATIENCE: Duration = Duration::from_secs(90);

/// A gate, and the number by which the test knows the task.
pub type Call = (Gate, u64);

#[derive(Clone, Copy)]
pub enum Host {
    Bare,
    #[cfg(feature = "tokio")]
    Tokio,
}

/// The backend under test.
#[derive(Clone, Copy)]
pub struct Rig(pub &'static str);

impl Rig {
    pub fn builder(self, workers: usize) -> ExecutorBuilder {
        Executor::builder().backend(self.0).max_workers(workers)
    }

    pub fn pool(self, workers: usize) -> Executor {
        self.builder(workers).build().expect("a pool")
    }

    pub fn is_away(self) -> bool {
        self.0 == "processes"
    }
}

/// Runs a case to its end, and ends the whole program when that does not come.
pub fn run(host: Host, case: impl Future<Output = ()>) {
    let name = std::thread::current().name().unwrap_or("a case").to_owned();
    let (_alive, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: the test harness would capture it and die with it.
            let _ = writeln!(std::io::stderr(), "\n{name} hangs");
            std::process::abort();
        }
    });
    match host {
        Host::Bare => futures::executor::block_on(case),
        #[cfg(feature = "tokio")]
        Host::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a tokio runtime").block_on(case);
        }
    }
}

/// Makes a test of each case.
macro_rules! case_list {
    ($topic:ident: $($case:ident),+ $(,)?) => {
        macro_rules! cases {
            () => {
                mod $topic {
                    $(
                        #[test]
                        fn $case() {
                            crate::ground::run(
                                super::HOST,
                                crate::$topic::$case(crate::ground::Rig(super::super::BACKEND)),
                            );
                        }
                    )+
                }
            };
        }
        pub(crate) use cases;
    };
}

pub fn nothing((): ()) {}

/// Notes that it ran.
pub fn mark((gate, value): Call) -> u64 {
    gate.note(value);
    value
}

/// Notes that it runs, and waits until the gate lets it by.
pub async fn hold((gate, value): Call) -> u64 {
    gate.note(value);
    gate.pass().await;
    value
}

pub fn refuse(reason: String) -> Result<u64, String> {
    Err(reason)
}

pub fn burst((): ()) {
    panic!("no luck");
}

/// What became of each task, in the order in which they ended.
pub async fn outcomes(run: &mut GraphRun) -> Vec<(String, Outcome)> {
    run.map(|(name, report)| (name, report.outcome)).collect().await
}

pub async fn reports(run: &mut GraphRun) -> Vec<(String, NodeReport)> {
    run.collect().await
}

pub fn skipped(because: &str) -> Outcome {
    Outcome::Skipped { because: because.to_owned() }
}

/// The names with their outcomes, in the order of the names.
pub fn sorted(mut outcomes: Vec<(String, Outcome)>) -> Vec<(String, Outcome)> {
    outcomes.sort_by(|a, b| a.0.cmp(&b.0));
    outcomes
}

pub fn named<const N: usize>(outcomes: [(&str, Outcome); N]) -> Vec<(String, Outcome)> {
    outcomes.into_iter().map(|(name, outcome)| (name.to_owned(), outcome)).collect()
}
