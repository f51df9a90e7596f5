//! What a caller may ask for one task.

use std::{sync::Arc, time::Duration};

/// Options of one task, for [`Executor::submit_with`](crate::Executor::submit_with). What is not set is the pool's.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use polypool::{Executor, TaskOptions};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(1)?;
/// let options = TaskOptions::new().name("answer").priority(5).timeout(Duration::from_secs(10));
/// assert_eq!(pool.submit_with(options, |n: u32| n + 1, 41).await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct TaskOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) priority: i32,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) capture_output: Option<bool>,
}

impl TaskOptions {
    /// Starts with the pool's settings for everything.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits how long the task may run, from its start; waiting does not count. A task that runs out of time ends as
    /// [`TaskError::TimedOut`](crate::TaskError::TimedOut), and is stopped as the backend can.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new().timeout(std::time::Duration::from_millis(250));
    /// ```
    #[must_use]
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Sets how often the task is tried again after its worker was lost; its own error or panic is never retried.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new().retries(2); // three attempts in all
    /// ```
    #[must_use]
    pub fn retries(mut self, n: u32) -> Self {
        self.retries = Some(n);
        self
    }

    /// Sets the priority: a higher one goes first, equal ones go in order of submission. The default is 0.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new().priority(-1); // when there is nothing better to do
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Names the task in events and logs.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new().name("thumbnail 7");
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Collects what the task prints into its [`TaskReport`](crate::TaskReport), and what it logs. The default is not to: then
    /// it goes where the worker's output goes, which is where this program's goes.
    ///
    /// What it prints is all that comes to the standard output and error while it runs, also from code in C and from programs
    /// that it starts. What it has printed until then is also in the report of a task that is stopped, runs out of time, or is
    /// lost with its worker. Of a task that was tried again, the report has the last attempt. What a thread of an earlier task
    /// prints that goes on after it is taken for the present one's; a program that goes on prints to nobody.
    ///
    /// What it logs are its events of `tracing` and its records of `log`, on all threads and of all levels, as long as nobody in
    /// the worker listens to them: a subscriber or a logger that the [`initializer`](crate::ExecutorBuilder::initializer) sets
    /// keeps them. (One that a captured task sets itself comes too late, and is refused.) Each is a line of
    /// [`logs`](crate::TaskReport::logs), and is told once more in this program, with its level and target, while the task goes
    /// on: to whoever listens to `tracing` or to `log` here.
    ///
    /// # Backends
    /// Where tasks share this process, their output cannot be told apart: it passes through, and the report's fields stay
    /// empty. So a program that captures output can be run serially for debugging, unchanged.
    ///
    /// # Examples
    /// ```
    /// let options = polypool::TaskOptions::new().capture_output(true);
    /// ```
    #[must_use]
    pub fn capture_output(mut self, yes: bool) -> Self {
        self.capture_output = Some(yes);
        self
    }
}
