//! The verb `submit` and its variants: a function and its argument become a task; for workers that are elsewhere, an encoded
//! call.

use std::{future::Future, sync::Arc};

use super::Executor;
use crate::{
    backend::{anchor::Anchor, room::Entering},
    error::TaskError,
    function::{Call, Names, Portable, TaskFn, assert_captures_nothing, open, ship, ship_async},
    task::{AnyTask, Blocking, Optioned, RemoteCell, Suspended, TaskCell, TaskHandle, TaskOptions, Work},
};

/// A task that [`Executor::try_submit`] did not take, with its argument.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// let pool = polypool::Executor::threads(1)?;
/// pool.shutdown(true).await;
/// let refused = pool.try_submit(|s: String| s.len(), "kept".to_owned()).unwrap_err();
/// assert_eq!(refused.arg, "kept");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{reason}")]
pub struct TrySubmitError<A> {
    /// The argument, as it was given.
    pub arg: A,
    /// Why the task was not taken: [`TaskError::QueueFull`], [`TaskError::Shutdown`], or why the pool is broken.
    #[source]
    pub reason: TaskError,
}

impl Executor {
    /// Submits `f(arg)` and returns at once. Works on every backend.
    ///
    /// `f` is a `fn` item or a closure that captures nothing; see [`TaskFn`]. A task that cannot be taken resolves with the
    /// reason: [`TaskError::QueueFull`], [`TaskError::Shutdown`].
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(2)?;
    /// let task = pool.submit(|text: String| text.to_uppercase(), "quiet".to_owned());
    /// assert_eq!(task.await?, "QUIET");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn submit<F, A, R>(&self, f: F, arg: A) -> TaskHandle<R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        if self.pool().is_in_process() {
            self.launch(Blocking(move || f(arg)), 0)
        } else {
            self.send(None, || ship(f, arg), open)
        }
    }

    /// Submits an `async fn`. Its future runs in the worker, and can be stopped at its awaits.
    ///
    /// # Examples
    /// ```
    /// async fn greet(name: String) -> String {
    ///     format!("hello, {name}")
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::tasks(2)?;
    /// assert_eq!(pool.submit_async(greet, "you".to_owned()).await?, "hello, you");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn submit_async<F, A, Fut>(&self, f: F, arg: A) -> TaskHandle<Fut::Output>
    where
        F: Fn(A) -> Fut + TaskFn,
        A: Portable,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        const { assert_captures_nothing::<F>() };
        if self.pool().is_in_process() {
            self.launch(Suspended(move || f(arg)), 0)
        } else {
            self.send(None, || ship_async(f, arg), open)
        }
    }

    /// Submits `f(arg)` with options of its own.
    ///
    /// # Examples
    /// See [`TaskOptions`].
    pub fn submit_with<F, A, R>(&self, options: TaskOptions, f: F, arg: A) -> TaskHandle<R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        if self.pool().is_in_process() {
            self.launch_with(options, Blocking(move || f(arg)))
        } else {
            self.send(Some(options), || ship(f, arg), open)
        }
    }

    /// Submits an `async fn` with options of its own.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use polypool::{Executor, TaskOptions};
    ///
    /// # futures::executor::block_on(async {
    /// let pool = Executor::tasks(1)?;
    /// let options = TaskOptions::new().timeout(Duration::from_millis(5));
    /// let late = pool.submit_async_with(options, async |()| std::future::pending::<()>().await, ()).await;
    /// assert!(late.unwrap_err().is_timed_out());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn submit_async_with<F, A, Fut>(&self, options: TaskOptions, f: F, arg: A) -> TaskHandle<Fut::Output>
    where
        F: Fn(A) -> Fut + TaskFn,
        A: Portable,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        const { assert_captures_nothing::<F>() };
        if self.pool().is_in_process() {
            self.launch_with(options, Suspended(move || f(arg)))
        } else {
            self.send(Some(options), || ship_async(f, arg), open)
        }
    }

    /// Submits `f(arg)` if the pool takes it now.
    ///
    /// # Errors
    /// [`TrySubmitError`] gives the argument back when `max_pending` tasks wait or others wait to submit, when the pool is shut
    /// down, and when it is broken.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::builder().backend("threads").max_pending(100).build()?;
    /// match pool.try_submit(|n: u64| n * n, 12) {
    ///     Ok(task) => assert_eq!(task.await?, 144),
    ///     Err(refused) => println!("later: {}, {}", refused.arg, refused.reason),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn try_submit<F, A, R>(&self, f: F, arg: A) -> Result<TaskHandle<R>, TrySubmitError<A>>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        if let Err(reason) = self.pool().admit() {
            return Err(TrySubmitError { arg, reason });
        }
        Ok(self.submit_admitted(None, f, arg))
    }

    /// Waits until fewer than `max_pending` tasks wait, then submits. Those who wait are served in turn.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready submits nothing and takes nobody's turn. The argument is dropped with it.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::builder().backend("threads").max_pending(1).build()?;
    /// for n in 0..100_u32 {
    ///     let task = pool.submit_when_ready(|n: u32| n + 1, n).await;
    ///     drop(task); // it goes on
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn submit_when_ready<F, A, R>(
        &self,
        f: F,
        arg: A,
    ) -> impl Future<Output = TaskHandle<R>> + Send + use<F, A, R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let this = self.clone();
        #[allow(
            clippy::async_yields_async,
            reason = "a handle is what the caller waits for here, not its result"
        )]
        async move {
            this.room().await;
            this.submit_admitted(None, f, arg)
        }
    }

    /// Submits a function for which there is a place in the queue.
    pub(crate) fn submit_admitted<F, A, R>(&self, options: Option<TaskOptions>, f: F, arg: A) -> TaskHandle<R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        if self.pool().is_in_process() {
            self.launch_admitted_with(options, Blocking(move || f(arg)))
        } else {
            self.send_admitted(options, || ship(f, arg), open)
        }
    }

    /// The same for an `async fn`.
    #[cfg(feature = "tower")]
    pub(crate) fn submit_async_admitted<F, A, Fut>(
        &self,
        options: Option<TaskOptions>,
        f: F,
        arg: A,
    ) -> TaskHandle<Fut::Output>
    where
        F: Fn(A) -> Fut + TaskFn,
        A: Portable,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        if self.pool().is_in_process() {
            self.launch_admitted_with(options, Suspended(move || f(arg)))
        } else {
            self.send_admitted(options, || ship_async(f, arg), open)
        }
    }

    /// Waits for a place in the queue. Who does not use it must give it back: `launch_admitted` does either.
    pub(crate) fn room(&self) -> Entering {
        self.pool().enter()
    }

    pub(crate) fn launch_with<W: Work>(&self, options: TaskOptions, work: W) -> TaskHandle<W::Output> {
        let priority = options.priority;
        self.launch(Optioned { work, options: Arc::new(options) }, priority)
    }

    pub(crate) fn launch<W: Work>(&self, work: W, priority: i32) -> TaskHandle<W::Output> {
        if self.pool().room().try_take() {
            self.launch_admitted(work, priority)
        } else {
            let task = Arc::new(TaskCell::new(work));
            self.refuse(&task, TaskError::QueueFull);
            self.handle(task)
        }
    }

    /// Submits a task for which there is a place in the queue.
    pub(crate) fn launch_admitted<W: Work>(&self, work: W, priority: i32) -> TaskHandle<W::Output> {
        let task = Arc::new(TaskCell::new(work));
        if let Err(reason) = self.pool().push(Arc::<TaskCell<W>>::clone(&task), priority) {
            self.refuse(&task, reason);
        }
        self.handle(task)
    }

    fn launch_admitted_with<W: Work>(&self, options: Option<TaskOptions>, work: W) -> TaskHandle<W::Output> {
        match options {
            None => self.launch_admitted(work, 0),
            Some(options) => {
                let priority = options.priority;
                self.launch_admitted(Optioned { work, options: Arc::new(options) }, priority)
            }
        }
    }

    pub(crate) fn handle<W: Work>(&self, task: Arc<TaskCell<W>>) -> TaskHandle<W::Output> {
        TaskHandle::new(task, Arc::<Anchor>::clone(self.anchor()))
    }

    /// Ends a task that never was in the pool.
    pub(crate) fn refuse<W: Work>(&self, task: &Arc<TaskCell<W>>, reason: TaskError) {
        task.resolve(reason, false, &());
    }
    /// Submits what `call` makes, for workers that are elsewhere. It encodes, which is the user's code, and happens only if
    /// there is a place in the queue.
    fn send<R: Send + 'static>(
        &self,
        options: Option<TaskOptions>,
        call: impl FnOnce() -> Result<Call, TaskError>,
        open: Open<R>,
    ) -> TaskHandle<R> {
        if self.pool().room().try_take() {
            self.send_admitted(options, call, open)
        } else {
            self.send_nothing(TaskError::QueueFull, open)
        }
    }

    /// The same when there is a place. It is given back when there is no call after all.
    pub(crate) fn send_admitted<R: Send + 'static>(
        &self,
        options: Option<TaskOptions>,
        call: impl FnOnce() -> Result<Call, TaskError>,
        open: Open<R>,
    ) -> TaskHandle<R> {
        let call = match call() {
            Ok(call) => call,
            Err(error) => {
                self.pool().room().leave();
                return self.send_nothing(error, open);
            }
        };
        let priority = options.as_ref().map_or(0, |options| options.priority);
        let task = Arc::new(RemoteCell::new(call, open, options.map(Arc::new), true, true));
        if let Err(reason) = self.pool().push(Arc::<RemoteCell<R>>::clone(&task), priority) {
            task.resolve(reason, false, &());
        }
        self.handle_of_remote(task)
    }

    /// A task that never was in the pool, with the reason.
    pub(super) fn send_nothing<R: Send + 'static>(&self, reason: TaskError, open: Open<R>) -> TaskHandle<R> {
        let reason = match reason {
            // Whoever refuses a function does not know the pool.
            TaskError::Unsupported { backend, operation, remedy } if backend.is_empty() => {
                TaskError::Unsupported { backend: self.backend_name().to_owned(), operation, remedy }
            }
            reason => reason,
        };
        self.handle_of_remote(Arc::new(RemoteCell::refused(reason, open)))
    }

    pub(super) fn handle_of_remote<R: Send + 'static>(&self, task: Arc<RemoteCell<R>>) -> TaskHandle<R> {
        TaskHandle::new(task, Arc::<Anchor>::clone(self.anchor()))
    }
}

/// How an encoded result becomes a value.
type Open<R> = fn(Vec<u8>, Names) -> Result<R, TaskError>;
