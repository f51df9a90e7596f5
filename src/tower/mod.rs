//! A pool and a function as a [`tower_service::Service`]. Owns the place in the queue that a service has between `poll_ready` and
//! `call`; what becomes of the task is the pool's.
//!
//! [`TaskService`] takes arguments as requests and gives results as responses, so that the layers of `tower` go around it:
//!
//! ```
//! use std::time::Duration;
//! use polypool::{Executor, tower::TaskService};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! fn digits(n: u32) -> usize {
//!     (1..=n).map(|n| n.to_string().len()).sum()
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let pool = Executor::builder().backend("threads").max_pending(100).build()?;
//! let mut service = ServiceBuilder::new()
//!     .load_shed() // refuses at once when 100 wait
//!     .timeout(Duration::from_secs(10)) // cancels the task, wherever it is by then
//!     .service(TaskService::new(pool, digits));
//! assert_eq!(service.ready().await?.call(100).await?, 192);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # What the layers do
//!
//! | layer | with a pool behind it |
//! |---|---|
//! | `Timeout` | drops the response that is late, which cancels the task; counts from the call, so waiting in the queue, too |
//! | `LoadShed` | refuses while [`max_pending`](crate::ExecutorBuilder::max_pending) tasks wait; keep that small |
//! | `ConcurrencyLimit` | bounds how many tasks of this service wait and run; the pool may have other users |
//! | `Buffer` | takes requests from many without clones, and waits for room on their behalf |
//! | `Retry` | calls again; a worker that was lost is what [`retries`](crate::TaskOptions::retries) is for, without a new place in the queue |

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tower_service::Service;

use crate::{
    backend::room::Entering,
    error::TaskError,
    executor::Executor,
    function::{Portable, TaskFn, assert_captures_nothing},
    policy::CancellationPolicy,
    task::{TaskHandle, TaskOptions},
};

/// A pool and a function as a `tower::Service`: the request is the argument, the response the result.
///
/// `poll_ready` waits until fewer than [`max_pending`](crate::ExecutorBuilder::max_pending) tasks wait, in turn with everybody else
/// who waits for that, and then has a place in the queue; without a bound it is always ready. `call` submits. Dropping the
/// [`Response`] cancels the task, wherever that is by then (see [`cancel_on_drop`](Self::cancel_on_drop)).
///
/// A clone shares the pool and the options and has no place of its own. A service that is ready, or waits to be, has its turn: call
/// it or drop it, which gives the place back, or others wait for one that nobody uses. It keeps its pool as any clone of an
/// [`Executor`] does, and so does a response until it is there; dropping either never blocks.
///
/// # Errors
/// `poll_ready` gives why the pool takes no tasks, for good: [`TaskError::Shutdown`], [`TaskError::Broken`],
/// [`TaskError::InitializerFailed`]. A call is as [`Executor::submit`]; one that was not ready before may end with
/// [`TaskError::QueueFull`].
///
/// # Examples
/// ```
/// use polypool::{Executor, tower::TaskService};
/// use tower::ServiceExt;
///
/// # futures::executor::block_on(async {
/// let service = TaskService::new(Executor::threads(2)?, |text: String| text.to_uppercase());
/// assert_eq!(service.oneshot("quiet".to_owned()).await?, "QUIET");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct TaskService<F, K = Function> {
    pool: Executor,
    f: F,
    options: Option<TaskOptions>,
    on_drop: CancellationPolicy,
    turn: Turn,
    kind: PhantomData<K>,
}

/// The [`TaskService`] has a function.
#[derive(Debug, Clone, Copy)]
pub enum Function {}

/// The [`TaskService`] has an `async fn`.
#[derive(Debug, Clone, Copy)]
pub enum AsyncFunction {}

impl<F: TaskFn> TaskService<F> {
    /// Makes the service of a function, which is a `fn` item or a closure that captures nothing; see [`TaskFn`].
    ///
    /// # Examples
    /// See [`TaskService`]. A closure that captures does not compile:
    /// ```compile_fail
    /// let factor = 3;
    /// let service = polypool::tower::TaskService::new(polypool::Executor::serial(), move |n: i32| n * factor);
    /// ```
    pub fn new<A, R>(pool: Executor, f: F) -> Self
    where
        F: Fn(A) -> R,
    {
        const { assert_captures_nothing::<F>() };
        Self::of(pool, f)
    }
}

impl<F: TaskFn> TaskService<F, AsyncFunction> {
    /// Makes the service of an `async fn`, as [`Executor::submit_async`] takes it.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, tower::TaskService};
    /// use tower::ServiceExt;
    ///
    /// # futures::executor::block_on(async {
    /// let service = TaskService::new_async(Executor::tasks(2)?, async |n: u32| n + 1);
    /// assert_eq!(service.oneshot(41).await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn new_async<A, Fut>(pool: Executor, f: F) -> Self
    where
        F: Fn(A) -> Fut,
        Fut: Future,
    {
        const { assert_captures_nothing::<F>() };
        Self::of(pool, f)
    }
}

impl<F, K> TaskService<F, K> {
    fn of(pool: Executor, f: F) -> Self {
        let (options, on_drop) = (None, CancellationPolicy::ALL);
        Self { pool, f, options, on_drop, turn: Turn::default(), kind: PhantomData }
    }

    /// Sets the options of each task: a time limit from its start, retries, a priority, a name.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use polypool::{Executor, TaskOptions, tower::TaskService};
    ///
    /// let options = TaskOptions::new().name("double").timeout(Duration::from_secs(1));
    /// let service = TaskService::new(Executor::serial(), |n: u32| 2 * n).options(options);
    /// ```
    #[must_use]
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Says what dropping a response does to its task. The default is [`CancellationPolicy::ALL`]: one that has not started never
    /// will, and one that runs is stopped as the backend can.
    ///
    /// # Examples
    /// ```
    /// use polypool::{CancellationPolicy, Executor, tower::TaskService};
    ///
    /// let service = TaskService::new(Executor::serial(), |n: u32| 2 * n);
    /// let service = service.cancel_on_drop(CancellationPolicy::NONE); // tasks outlive their clients
    /// ```
    #[must_use]
    pub fn cancel_on_drop(mut self, policy: impl Into<CancellationPolicy>) -> Self {
        self.on_drop = policy.into();
        self
    }

    /// Gives the pool, for its counts for instance.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, tower::TaskService};
    ///
    /// let service = TaskService::new(Executor::serial(), |n: u32| 2 * n);
    /// assert_eq!(service.executor().stats().queued, 0);
    /// ```
    pub fn executor(&self) -> &Executor {
        &self.pool
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskError>> {
        if let Turn::None = self.turn {
            self.turn = Turn::Waits(self.pool.room());
        }
        if let Turn::Waits(entering) = &mut self.turn {
            ready!(Pin::new(entering).poll(cx));
            self.turn = Turn::Has(Place(Some(self.pool.clone())));
        }
        // Only now: a pool that ends lets everybody in who waits.
        let taken = self.pool.pool().check_takes_tasks();
        if taken.is_err() {
            self.turn = Turn::None;
        }
        Poll::Ready(taken)
    }

    /// Makes the response of a task. It keeps the pool: who calls only once drops the service before the response is there.
    fn response<R>(&self, task: TaskHandle<R>) -> Response<R> {
        Response { task: task.cancel_on_drop(self.on_drop), pool: Some(self.pool.clone()) }
    }

    /// Takes the place for a task, which gives it back when it starts.
    fn take_place(&mut self) -> bool {
        match std::mem::take(&mut self.turn) {
            Turn::Has(mut place) => place.0.take().is_some(),
            _ => false,
        }
    }
}

impl<F, A, R> Service<A> for TaskService<F>
where
    F: Fn(A) -> R + TaskFn,
    A: Portable,
    R: Portable,
{
    type Response = R;
    type Error = TaskError;
    type Future = Response<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskError>> {
        self.poll_turn(cx)
    }

    fn call(&mut self, arg: A) -> Response<R> {
        let has_place = self.take_place();
        let (pool, f) = (&self.pool, self.f);
        let task = match self.options.clone() {
            options if has_place => pool.submit_admitted(options, f, arg),
            Some(options) => pool.submit_with(options, f, arg),
            None => pool.submit(f, arg),
        };
        self.response(task)
    }
}

impl<F, A, Fut> Service<A> for TaskService<F, AsyncFunction>
where
    F: Fn(A) -> Fut + TaskFn,
    A: Portable,
    Fut: Future + Send + 'static,
    Fut::Output: Portable,
{
    type Response = Fut::Output;
    type Error = TaskError;
    type Future = Response<Fut::Output>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskError>> {
        self.poll_turn(cx)
    }

    fn call(&mut self, arg: A) -> Response<Fut::Output> {
        let has_place = self.take_place();
        let (pool, f) = (&self.pool, self.f);
        let task = match self.options.clone() {
            options if has_place => pool.submit_async_admitted(options, f, arg),
            Some(options) => pool.submit_async_with(options, f, arg),
            None => pool.submit_async(f, arg),
        };
        self.response(task)
    }
}

impl<F: Clone, K> Clone for TaskService<F, K> {
    fn clone(&self) -> Self {
        let (pool, f, options) = (self.pool.clone(), self.f.clone(), self.options.clone());
        Self { pool, f, options, on_drop: self.on_drop, turn: Turn::default(), kind: PhantomData }
    }
}

impl<F, K> fmt::Debug for TaskService<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskService")
            .field("pool", &self.pool)
            .field("options", &self.options)
            .field("on_drop", &self.on_drop)
            .field("is_ready", &matches!(self.turn, Turn::Has(_)))
            .finish_non_exhaustive()
    }
}

/// A result on its way; from a [`TaskService`]. Keeps its pool until it is there.
///
/// Dropping it cancels the task, unless the service was [told otherwise](TaskService::cancel_on_drop), and never blocks.
///
/// # Cancel safety
/// Awaiting `&mut response` in a `select!` loses nothing.
///
/// # Panics
/// Polling it again after it returned its result panics, as with any future.
///
/// # Examples
/// ```
/// use polypool::{Executor, tower::TaskService};
/// use tower::Service;
///
/// # futures::executor::block_on(async {
/// let response = TaskService::new(Executor::threads(1)?, |n: u32| 2 * n).call(21);
/// println!("task {}", response.task().id());
/// assert_eq!(response.await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "dropping a response cancels its task: await it"]
pub struct Response<R> {
    // Before the pool, so that what is cancelled is this task, and not what the pool's end leaves of it.
    task: TaskHandle<R>,
    pool: Option<Executor>,
}

impl<R> Response<R> {
    /// Gives the task: its number, its state, and the permission to abort it.
    ///
    /// # Examples
    /// See [`Response`].
    pub fn task(&self) -> &TaskHandle<R> {
        &self.task
    }
}

impl<R> Future for Response<R> {
    type Output = Result<R, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.task).poll(cx));
        self.pool = None;
        Poll::Ready(result)
    }
}

impl<R> fmt::Debug for Response<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("task", &self.task).finish_non_exhaustive()
    }
}

/// Where a service stands on its way to the next task.
#[derive(Default)]
enum Turn {
    #[default]
    None,
    Waits(Entering),
    Has(Place),
}

/// A place in the pool's queue, which is given back unless a task takes it.
struct Place(Option<Executor>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.pool().room().leave();
        }
    }
}
