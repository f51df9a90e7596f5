//! Workers by way of agents of this machine, without an engine: what the backends with one have in common, to be tested by itself.

use std::{
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{CAPABILITIES, Site, WorkerOptions, check, doorway::Doorway, failed, start};
use crate::{
    backend::{Backend, Capabilities, PoolContext, Settings, Workers},
    error::{BuildError, TaskError},
    inside::agent::AGENT,
    sys::{
        image::executable,
        lock::lock,
        process::{Child, pair},
    },
    wire::control::MARK,
};

/// Runs tasks in worker processes of this machine that are reached as those of an engine are.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct Agents {
    workers: WorkerOptions,
    connects: bool,
}

impl Agents {
    /// With agents that are handed their socket.
    pub fn new() -> Self {
        Self::default()
    }

    /// With agents that connect over the network, and prove who they are.
    pub fn connecting() -> Self {
        Self { connects: true, ..Self::default() }
    }
}

super::worker_options!(Agents);

impl Backend for Agents {
    fn name(&self) -> &str {
        "agents"
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        check(&self.workers, settings)
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        let doorway = if self.connects {
            Some(Doorway::open("127.0.0.1:0").map_err(|error| failed("agents", error.to_string()))?)
        } else {
            None
        };
        let site = Here { agents: Mutex::default(), doorway, is_closed: AtomicBool::new(false) };
        start(context, self.workers.clone(), Arc::new(site))
    }
}

#[derive(Debug)]
struct Here {
    agents: Mutex<Vec<Child>>,
    doorway: Option<Doorway>,
    is_closed: AtomicBool,
}

impl Here {
    fn start_agent(&self, stdin: Stdio, env: &[(&'static str, String)]) -> Result<(), TaskError> {
        let mut command = Command::new(executable());
        command.env(MARK, AGENT).envs(env.iter().map(|(key, value)| (key, value)));
        command.stdin(stdin).process_group(0);
        let child = Child::spawn(command).map_err(|error| failed(self.name(), error.to_string()))?;
        let mut agents = lock(&self.agents);
        agents.retain(|agent| !matches!(agent.try_wait(), Ok(Some(_))));
        agents.push(child);
        Ok(())
    }
}

impl Site for Here {
    fn name(&self) -> &'static str {
        "agents"
    }

    fn connect(&self) -> Result<Option<usize>, TaskError> {
        Ok(None)
    }

    fn bring(&self, _: usize, wanted: &dyn Fn() -> bool) -> Result<OwnedFd, TaskError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(TaskError::Shutdown);
        }
        let as_error = |error: std::io::Error| failed(self.name(), error.to_string());
        if let Some(doorway) = &self.doorway {
            let expected = doorway.expect(1).map_err(as_error)?;
            self.start_agent(Stdio::null(), &expected.variables())?;
            return expected.wait(Duration::from_secs(30), wanted).map_err(as_error);
        }
        let (ours, theirs) = pair().map_err(as_error)?;
        self.start_agent(Stdio::from(theirs), &[])?;
        Ok(ours)
    }

    fn gone(&self) -> Option<TaskError> {
        None
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let agents = std::mem::take(&mut *lock(&self.agents));
        // Their sockets are closed by now, so they end.
        for agent in agents {
            let _ = agent.wait();
        }
    }
}
