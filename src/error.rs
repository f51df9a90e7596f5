//! What can go wrong with a task and with building a pool. Owns the two error enums and their wording; knows no task, no
//! backend and no runtime.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a task gave no value.
///
/// A task's own `Result::Err` is a value to the pool and arrives as `Ok(Err(e))`. The error is cheap to clone and can be
/// encoded, so that a task which submits to a pool of its own can hand the inner pool's error on with `?`.
///
/// # Examples
/// ```
/// use polypool::{Executor, TaskError};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(1)?;
/// let error = pool.submit(|n: u32| 10 / n, 0).await.unwrap_err();
/// let TaskError::Panicked(info) = error else { unreachable!() };
/// assert_eq!(info.message, "attempt to divide by zero");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task was cancelled: by its handle, its stream, or its executor's policy.
    #[error("the task was cancelled")]
    Cancelled,
    /// The task, or the stream that it belongs to, ran longer than it was allowed to.
    #[error("timed out after {after:?}; allow more time, or make the task smaller")]
    TimedOut {
        /// The time that was allowed.
        after: Duration,
    },
    /// The task panicked. The pool goes on.
    #[error("the task panicked: {0}")]
    Panicked(PanicInfo),
    /// The worker that ran the task is gone. The pool goes on; `retries` runs such a task again.
    #[error("{0}; the pool replaces the worker, and `retries` would run the task again")]
    WorkerLost(WorkerLost),
    /// The argument could not be encoded for the way to the worker.
    #[error("the argument or result cannot be encoded: {0}")]
    Encode(String),
    /// What arrived could not be decoded as the type that was expected.
    #[error("the argument or result cannot be decoded: {0}")]
    Decode(String),
    /// An argument or result is larger than the limit that the user set.
    #[error("{size} bytes exceed the limit of {limit} bytes; raise the limit, or pass the data by reference")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// `max_pending` tasks were waiting already.
    #[error("the pool's queue is full; `submit_when_ready` waits for room, `max_pending` sets the bound")]
    QueueFull,
    /// The pool takes no more tasks: it was shut down, its executor was dropped, or its runtime has ended.
    #[error(
        "the pool is shut down; build another, or keep a clone of the executor while tasks are submitted"
    )]
    Shutdown,
    /// The pool's initializer failed in a worker, so no task can run.
    #[error("the pool's initializer failed: {0}")]
    InitializerFailed(String),
    /// The pool cannot run anything any more, for the reason given.
    #[error("the pool is broken: {0}")]
    Broken(String),
    /// The backend cannot do this at all.
    #[error("the backend `{backend}` does not support {operation}; {remedy}")]
    Unsupported {
        /// The backend's name.
        backend: String,
        /// What was asked of it.
        operation: String,
        /// What to do instead.
        remedy: String,
    },
    /// The engine behind the backend reported an error of its own.
    #[error("the backend `{backend}` failed: {source}")]
    Backend {
        /// The backend's name.
        backend: String,
        /// The engine's error. After a journey between processes it is its text alone.
        #[serde(with = "source_as_text")]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The task returned an error of its own, where that is no value but a failure: `TaskGraph::try_task` and its kind, of the
    /// feature `graph`.
    #[error("the task failed: {0}")]
    Failed(String),
}

impl TaskError {
    /// Tells whether the task was cancelled.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::TaskError::Cancelled.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Tells whether the task or its stream ran out of time.
    ///
    /// # Examples
    /// ```
    /// let error = polypool::TaskError::TimedOut { after: std::time::Duration::from_secs(1) };
    /// assert!(error.is_timed_out());
    /// ```
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Tells whether the task panicked.
    ///
    /// # Examples
    /// ```
    /// assert!(!polypool::TaskError::Cancelled.is_panicked());
    /// ```
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Tells whether the worker died under the task.
    ///
    /// # Examples
    /// ```
    /// assert!(!polypool::TaskError::Cancelled.is_worker_lost());
    /// ```
    pub fn is_worker_lost(&self) -> bool {
        matches!(self, Self::WorkerLost(_))
    }

    /// Tells whether the pool refused the task because it takes no more: full, shut down or broken.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::TaskError::Shutdown.is_refused());
    /// ```
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::QueueFull | Self::Shutdown | Self::Broken(_) | Self::InitializerFailed(_))
    }
}

/// What is known of a panic inside a task.
///
/// # Examples
/// ```
/// use polypool::{Executor, TaskError};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(1)?;
/// let error = pool.submit(|()| -> () { panic!("no luck") }, ()).await.unwrap_err();
/// let TaskError::Panicked(info) = error else { unreachable!() };
/// assert_eq!(info.message, "no luck");
/// assert!(info.location.unwrap().contains(".rs:"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PanicInfo {
    /// The panic's message; a fixed text when the payload was not a string.
    pub message: String,
    /// `file:line:column` of the panic. `None` when the program replaced the panic hook after the pool was built.
    pub location: Option<String>,
    /// The stack at the panic. `None` with `RUST_BACKTRACE=0` or `RUST_LIB_BACKTRACE=0` in the environment, or when the
    /// location is missing.
    pub backtrace: Option<String>,
}

impl PanicInfo {
    pub(crate) fn new(message: String, location: Option<String>, backtrace: Option<String>) -> Self {
        Self { message, location, backtrace }
    }
}

impl fmt::Display for PanicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.location {
            Some(location) => write!(f, " (at {location})"),
            None => Ok(()),
        }
    }
}

/// Which worker died, and how.
///
/// # Examples
/// ```
/// use polypool::{Exit, WorkerLost};
///
/// let lost = WorkerLost::new(3, Some(4711), Exit::Signal(9));
/// assert_eq!(lost.to_string(), "worker 3 (pid 4711) was ended by signal 9");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerLost {
    /// The worker's id, as in [`WorkerInfo`](crate::WorkerInfo).
    pub worker: u64,
    /// The worker's index, as in [`worker::index`](crate::worker::index), where that is known.
    pub index: Option<usize>,
    /// Its process, where it had one of its own.
    pub pid: Option<u32>,
    /// How it ended.
    pub exit: Exit,
    /// What it said when a fault ended it, as a process does by SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT: the signal, the
    /// thread, and the functions on its stack as far as they can be told. `None` where it could say nothing.
    pub report: Option<String>,
}

impl WorkerLost {
    /// Describes a lost worker; for backends.
    pub fn new(worker: u64, pid: Option<u32>, exit: Exit) -> Self {
        Self { worker, index: None, pid, exit, report: None }
    }

    /// Says at which place in the pool the worker was.
    #[must_use]
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Adds what the worker said of its end.
    #[must_use]
    pub fn with_report(mut self, report: Option<String>) -> Self {
        self.report = report;
        self
    }
}

impl fmt::Display for WorkerLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.worker)?;
        if let Some(pid) = self.pid {
            write!(f, " (pid {pid})")?;
        }
        match self.exit {
            Exit::Code(code) => write!(f, " exited with code {code}"),
            Exit::Signal(signal) => write!(f, " was ended by signal {signal}"),
            Exit::Unknown => f.write_str(" was lost"),
        }
    }
}

/// How a worker ended.
///
/// # Examples
/// ```
/// assert_ne!(polypool::Exit::Code(1), polypool::Exit::Signal(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody could tell.
    Unknown,
}

/// Why a pool was not built, or a setting not taken.
///
/// # Examples
/// ```
/// use polypool::{BuildError, Executor};
///
/// let error = Executor::builder().backend("theads").build().unwrap_err();
/// assert!(matches!(error, BuildError::UnknownBackend { .. }));
/// assert!(error.to_string().contains("threads"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nobody knows a backend of this name.
    #[error("unknown backend `{name}`; known are {}", known.join(", "))]
    UnknownBackend {
        /// The name that was asked for.
        name: String,
        /// The names that would have been understood.
        known: Vec<String>,
    },
    /// The backend or runtime exists, but this build of polypool is without it.
    #[error(
        "`{0}` is not part of this build of polypool; where the version has it, the feature `{0}` turns it on"
    )]
    FeatureDisabled(String),
    /// A number is outside what makes sense.
    #[error("{0}")]
    OutOfRange(String),
    /// The backend does not support an option or a policy.
    #[error("{0}")]
    Unsupported(String),
    /// A backend of this name is registered already.
    #[error("a backend named `{0}` exists already; choose another name")]
    NameTaken(String),
    /// A registered backend's factory failed.
    #[error("the factory of the backend `{name}` failed: {source}")]
    Factory {
        /// The backend's name.
        name: String,
        /// What the factory said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Process workers were asked for in a program that has no entry for them.
    #[error(
        "this program has no entry for worker processes; add `polypool::init();` as the first line of `main`, \
         or `polypool::worker_main!();` at the top level"
    )]
    WorkerEntryMissing,
    /// There would be one worker only, and the caller asked to be refused then.
    #[error(
        "the pool would run its tasks one at a time; ask for two workers or more, or allow it with `on_serial`"
    )]
    Serial,
    /// Pools inside tasks inside pools, too deep.
    #[error("pools are nested {depth} deep, the limit is {limit}; raise POLYPOOL_MAX_DEPTH if that is meant")]
    NestingTooDeep {
        /// How deep the new pool would be.
        depth: usize,
        /// The deepest that is allowed.
        limit: usize,
    },
    /// The engine behind the backend does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The tasks of a graph do not make one: a name is there twice, or not at all.
    #[error("{0}")]
    Graph(String),
    /// Tasks of a graph wait for each other.
    #[error(
        "the tasks wait for each other, each for the one before it: {}; take one of these dependencies away",
        arrows(path)
    )]
    Cycle {
        /// The names of the tasks, each before the one that waits for it. The first was added first, and is the last once more.
        path: Vec<String>,
    },
}

/// A cycle as text, without the middle of a very long one.
fn arrows(path: &[String]) -> String {
    const LONG: usize = 12;
    if path.len() <= LONG {
        return path.join(" -> ");
    }
    let (first, last) = (&path[..LONG / 2], &path[path.len() - LONG / 2..]);
    format!("{} -> … {} more … -> {}", first.join(" -> "), path.len() - LONG / 2 * 2, last.join(" -> "))
}

/// Carries an engine's error between processes as its text: the type stays where it was made.
mod source_as_text {
    use std::{error::Error, sync::Arc};

    use serde::{Deserialize, Deserializer, Serializer};

    type Source = Arc<dyn Error + Send + Sync>;

    pub(super) fn serialize<S: Serializer>(source: &Source, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(source)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Source, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Arc::from(Box::<dyn Error + Send + Sync>::from(text)))
    }
}

/// Any error as text with its chain of causes, for tasks whose own error type cannot be encoded.
///
/// # Examples
/// ```
/// use polypool::{Executor, Failure};
///
/// fn parse(text: String) -> Result<i32, Failure> {
///     Ok(text.parse::<i32>()?)
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(1)?;
/// let failure = pool.submit(parse, "seven".to_owned()).await?.unwrap_err();
/// assert_eq!(failure.to_string(), "invalid digit found in string");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    chain: Vec<String>,
}

impl Failure {
    /// Makes a failure of a message of one's own.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(polypool::Failure::msg("no such planet").to_string(), "no such planet");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Self {
        Self { chain: vec![message.to_string()] }
    }

    /// Gives the error's message and those of its causes, outermost first.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(polypool::Failure::msg("a").chain().collect::<Vec<_>>(), ["a"]);
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(String::as_str)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        Self { chain }
    }
}

impl fmt::Display for Failure {
    /// Writes the chain, without a cause that the message before it has told already, as those of many libraries do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None::<&str>;
        for message in self.chain() {
            match before {
                Some(before) if before.contains(message) => continue,
                Some(_) => f.write_str(": ")?,
                None => {}
            }
            f.write_str(message)?;
            before = Some(message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_error_travels_as_its_text() {
        let source: Arc<dyn Error + Send + Sync> =
            Arc::from(Box::<dyn Error + Send + Sync>::from("no scheduler"));
        let error = TaskError::Backend { backend: "dask".to_owned(), source };
        let bytes = postcard::to_stdvec(&error).expect("plain data");
        let back: TaskError = postcard::from_bytes(&bytes).expect("plain data");
        assert_eq!(back.to_string(), error.to_string());
    }

    #[test]
    fn a_failure_keeps_the_chain_of_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::fmt::Error);
        let failure = Failure::from(Outer(std::fmt::Error));
        assert_eq!(failure.chain().next(), Some("outer"));
        assert_eq!(failure.chain().count(), 2);
        assert_eq!(failure.to_string(), format!("outer: {}", std::fmt::Error));
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("no picture: {0}")]
        struct Telling(#[source] std::fmt::Error);
        let failure = Failure::from(Telling(std::fmt::Error));
        assert_eq!(failure.chain().count(), 2);
        assert_eq!(failure.to_string(), format!("no picture: {}", std::fmt::Error));
    }
}
