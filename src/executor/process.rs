//! A function in a process of its own. Owns what its caller holds of it; the process is the only worker of a pool that nobody else
//! sees, and all that is true of workers is true of it.

use std::{fmt, sync::Arc};

use super::{Executor, Shutdown};
use crate::{
    backend::processes::{Lone, Processes, StartMethod, forkserver::Depot, start_method},
    error::{BuildError, Exit, TaskError, WorkerLost},
    function::{Portable, TaskFn, assert_captures_nothing},
    policy::CancellationPolicy,
    task::TaskHandle,
};

/// Gives what starts processes by one method; by the [start method of the program](crate::process::start_method) if none is
/// named.
///
/// # Examples
/// See [`ProcessContext::spawn`].
pub fn context(method: Option<StartMethod>) -> ProcessContext {
    ProcessContext { method, depot: Arc::default() }
}

/// Starts processes, each for one function; from [`context`]. Dropping it does nothing to them. Its clones share one fork server,
/// if that is the method; it is started with the first process and ends with the last one when no clone is left.
///
/// # Examples
/// See [`spawn`](Self::spawn).
#[derive(Clone)]
pub struct ProcessContext {
    method: Option<StartMethod>,
    depot: Arc<Depot>,
}

impl ProcessContext {
    /// Gives the method by which processes are started.
    ///
    /// # Examples
    /// ```
    /// use polypool::{StartMethod, process};
    ///
    /// assert_eq!(process::context(None).start_method(), StartMethod::Loky);
    /// ```
    pub fn start_method(&self) -> StartMethod {
        self.method.unwrap_or_else(start_method)
    }

    /// Starts a process that runs `f` with `arg` and ends. Returns when the process is there, which takes about a millisecond, or
    /// a tenth of that by [`StartMethod::ForkServer`] once the server runs; `f` may not have begun by then.
    ///
    /// # Errors
    /// [`BuildError::WorkerEntryMissing`] where copies of this program cannot become workers, [`BuildError::Unsupported`] when the
    /// function or its argument cannot be sent, [`BuildError::Unreachable`] when the system has no process for us.
    ///
    /// # Examples
    /// ```no_run
    /// use polypool::{Exit, process};
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     polypool::init();
    ///     let mut process = process::context(None).spawn(|n: u64| n * n, 12)?;
    ///     println!("process {} is at it", process.pid());
    ///     assert_eq!(futures::executor::block_on(process.join())?, 144);
    ///     assert_eq!(process.exit(), Some(Exit::Code(0)));
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn<F, A, R>(&self, f: F, arg: A) -> Result<Process<R>, BuildError>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let lone = Arc::<Lone>::default();
        let backend = Processes::lone(Some(self.start_method()), Arc::clone(&self.depot), Arc::clone(&lone));
        let pool = Executor::builder()
            .backend(backend)
            .max_workers(1)
            .on_drop(CancellationPolicy::NONE)
            .name("process")
            .build()?;
        // The process is started in here, on this thread.
        let task = pool.submit(f, arg);
        match lone.pid() {
            Some(pid) => Ok(Process { pid, lone, pool, task: Some(task), result: None, end: None }),
            None if task.is_finished() => Err(match task.blocking_join() {
                Err(TaskError::Broken(reason)) => BuildError::Unreachable(reason),
                Err(error) => BuildError::Unsupported(error.to_string()),
                Ok(_) => nothing_started(),
            }),
            None => Err(nothing_started()),
        }
    }
}

fn nothing_started() -> BuildError {
    BuildError::Unreachable("no process could be started".to_owned())
}

impl fmt::Debug for ProcessContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessContext").field("start_method", &self.start_method()).finish_non_exhaustive()
    }
}

/// A process that runs one function; from [`ProcessContext::spawn`]. Dropping it detaches: the process goes on until its function
/// returns. Like every worker it does not outlive this program, nor, when it ends, what it has started itself.
///
/// # Examples
/// See [`ProcessContext::spawn`].
#[must_use = "dropping it leaves the process to itself, and its result is lost"]
pub struct Process<R> {
    pid: u32,
    lone: Arc<Lone>,
    pool: Executor,
    /// Until it is finished.
    task: Option<TaskHandle<R>>,
    /// From there until it is taken.
    result: Option<Result<R, TaskError>>,
    /// While the process itself is waited for.
    end: Option<Shutdown>,
}

impl<R> Process<R> {
    /// Gives the number that the system has for the process. When it has ended, that may become another's.
    ///
    /// # Examples
    /// See [`ProcessContext::spawn`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the function has returned and the process has ended, and gives the result. Only once.
    ///
    /// # Errors
    /// [`TaskError::WorkerLost`] when the process ended before its function returned, with its exit; [`TaskError::Panicked`] when
    /// the function panicked; [`TaskError::Unsupported`] when the result was given before.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; it may be called again.
    ///
    /// # Examples
    /// See [`ProcessContext::spawn`].
    pub async fn join(&mut self) -> Result<R, TaskError> {
        if let Some(task) = &mut self.task {
            let result = task.await;
            self.task = None;
            self.result = Some(result);
        }
        if self.result.is_some() {
            self.end.get_or_insert_with(|| self.pool.shutdown(CancellationPolicy::NONE)).await;
            self.end = None;
        }
        match (self.result.take(), self.exit()) {
            (Some(Err(TaskError::Shutdown)), Some(exit)) => {
                // It ended before it had begun, and there is no other to begin.
                Err(TaskError::WorkerLost(WorkerLost::new(FIRST, Some(self.pid), exit)))
            }
            (Some(result), _) => result,
            (None, _) => Err(TaskError::Unsupported {
                backend: "processes".to_owned(),
                operation: "a second `join`".to_owned(),
                remedy: "the first one gave the result; keep it".to_owned(),
            }),
        }
    }

    /// Kills the process, and what it has started, with SIGKILL. One that has ended is left alone.
    ///
    /// # Examples
    /// ```no_run
    /// use polypool::{Exit, process};
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     polypool::init();
    ///     let mut process = process::context(None).spawn(|seconds| std::thread::sleep(seconds), std::time::Duration::MAX)?;
    ///     process.kill();
    ///     assert!(futures::executor::block_on(process.join()).is_err_and(|error| error.is_worker_lost()));
    ///     assert_eq!(process.exit(), Some(Exit::Signal(9)));
    ///     Ok(())
    /// }
    /// ```
    pub fn kill(&self) {
        self.lone.kill();
    }

    /// Tells how the process ended. `None` while it runs. After [`join`](Self::join) it has ended.
    ///
    /// # Examples
    /// See [`ProcessContext::spawn`].
    pub fn exit(&self) -> Option<Exit> {
        self.lone.exit()
    }
}

/// The id of the first worker of a pool.
const FIRST: u64 = 1;

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).field("exit", &self.exit()).finish_non_exhaustive()
    }
}
