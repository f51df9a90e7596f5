//! Workers on ranks that the pool itself has started, which come to its door. Owns the launchers that run.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{MpiLauncher, NAME, Site, failed};
use crate::{
    backend::engine::doorway::{Doorway, Expected},
    error::TaskError,
    inside::mpi::program,
    sys::{
        lock::lock,
        process::{Child, Ended, Signal, pair},
    },
};

/// How long a launcher may take to start its ranks.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long launchers may take to end when their ranks have, and how long after they were told to.
const FAREWELL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Launched {
    launcher: MpiLauncher,
    size: usize,
    state: Mutex<State>,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    doorway: Option<Arc<Doorway>>,
    runs: Vec<Arc<Run>>,
}

/// One launcher, and the ranks that it starts.
struct Run {
    child: Child,
    expected: Expected,
    /// Its standard input, whose end some launchers hand on to their ranks, who take it for theirs.
    _input: OwnedFd,
    /// So many of its ranks nobody has asked for.
    left: Mutex<usize>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("pid", &self.child.pid()).finish_non_exhaustive()
    }
}

impl Launched {
    pub(super) fn new(launcher: MpiLauncher, size: usize) -> Self {
        Self { launcher, size, state: Mutex::default(), is_closed: AtomicBool::new(false) }
    }

    /// Starts a launcher for `n` ranks.
    fn run(&self, n: usize) -> io::Result<Arc<Run>> {
        let doorway = {
            let mut state = lock(&self.state);
            match &state.doorway {
                Some(doorway) => Arc::clone(doorway),
                None => {
                    let doorway = Arc::new(Doorway::open(&self.launcher.address().to_string())?);
                    Arc::clone(state.doorway.insert(doorway))
                }
            }
        };
        let expected = doorway.expect(n)?;
        let mut command = self.launcher.command(n, &program()?, &expected.variables());
        let (input, its) = pair()?;
        command.stdin(Stdio::from(its)).process_group(0);
        let child = Child::spawn(command).map_err(|error| {
            io::Error::new(error.kind(), format!("`{}` cannot be started: {error}", self.launcher.name()))
        })?;
        let run = Arc::new(Run { child, expected, _input: input, left: Mutex::new(n) });
        let mut state = lock(&self.state);
        // Those that have ended, and whom nobody waits for.
        state
            .runs
            .retain(|run| *lock(&run.left) > 0 || run.child.try_wait().is_ok_and(|ended| ended.is_none()));
        state.runs.push(Arc::clone(&run));
        if self.is_closed.load(Ordering::SeqCst) {
            // It is dropped, and ended, with the others that are there.
            state.runs.clear();
            return Err(io::Error::other("the pool is over"));
        }
        Ok(run)
    }

    /// A run with a rank that nobody has asked for.
    fn free(&self) -> Option<Arc<Run>> {
        let state = lock(&self.state);
        let mut runs = state.runs.iter();
        runs.find(|run| {
            let mut left = lock(&run.left);
            let is_free = *left > 0;
            *left -= usize::from(is_free);
            is_free
        })
        .cloned()
    }

    fn wait(&self, run: &Run, wanted: &dyn Fn() -> bool) -> io::Result<OwnedFd> {
        let is_running = || run.child.has_ended().is_ok_and(|ended| !ended);
        let closed = || self.is_closed.load(Ordering::SeqCst);
        let came = run.expected.wait(PATIENCE, &|| wanted() && is_running() && !closed());
        // One may have come, and another ended, at the same time.
        let came = came.or_else(|error| run.expected.wait(Duration::ZERO, &|| true).map_err(|_| error));
        came.map_err(|error| match run.child.try_wait() {
            Ok(Some(Ended::Code(0))) | Ok(None) | Err(_) => error,
            Ok(Some(ended)) => io::Error::other(format!(
                "`{}` ended ({}) before its ranks had come; what is wrong it says in the standard error",
                self.launcher.name(),
                match ended {
                    Ended::Code(code) => format!("exit code {code}"),
                    Ended::Signal(signal) => format!("signal {signal}"),
                    Ended::Unknown => "nobody knows how".to_owned(),
                }
            )),
        })
    }
}

impl Site for Launched {
    fn name(&self) -> &'static str {
        NAME
    }

    fn connect(&self) -> Result<Option<usize>, TaskError> {
        if lock(&self.state).doorway.is_none() {
            self.run(self.size).map_err(failed)?;
        }
        Ok(None)
    }

    fn bring(&self, _: usize, wanted: &dyn Fn() -> bool) -> Result<OwnedFd, TaskError> {
        let run = match self.free() {
            Some(run) => run,
            None => {
                let run = self.run(1).map_err(failed)?;
                *lock(&run.left) = 0;
                run
            }
        };
        self.wait(&run, wanted).map_err(failed)
    }

    fn gone(&self) -> Option<TaskError> {
        None
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let (runs, doorway) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.runs), state.doorway.take())
        };
        drop(doorway);
        let all_ended = |limit: Duration| {
            let until = Instant::now() + limit;
            loop {
                if runs.iter().all(|run| run.child.try_wait().is_ok_and(|ended| ended.is_some())) {
                    return true;
                }
                if Instant::now() >= until {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        // Their agents end with their sockets; those that came to nobody's door end, too, but later.
        if !all_ended(FAREWELL) {
            for run in &runs {
                let _ = run.child.signal(Signal::TERM);
            }
            all_ended(FAREWELL);
        }
        // What is left is killed when it is dropped.
    }
}
