//! The verb `run_on_all`: one task for each worker.

use std::{future::Future, sync::Arc};

use futures::future::join_all;

use super::Executor;
use crate::{
    error::TaskError,
    function::{
        Call, Names, Packed, Portable, TaskFn, assert_captures_nothing, open, pack_here, ship, unpack,
    },
    task::{AnyTask, Blocking, Hello, Own, RemoteCell, TaskCell, TaskHandle, Work},
};

impl Executor {
    /// Runs `f(arg)` once in each of the pool's `max_workers` workers, starting those that are not there, and gives their
    /// results in the order of [`worker::index`](crate::worker::index). The argument is encoded once and decoded in each
    /// worker. Busy workers come to it when they have finished what they do; for a worker that waits for tasks of this pool,
    /// another does it.
    ///
    /// # Cancel safety
    /// The tasks are submitted by the call itself and go on when the future is dropped. Where the size of the pool is that of a cluster,
    /// which has to be asked first, the future does that, and submits them then.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(3)?;
    /// let indices = pool.run_on_all(|()| polypool::worker::index(), ()).await;
    /// let indices: Vec<_> = indices.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(indices, [Some(0), Some(1), Some(2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn run_on_all<F, A, R>(
        &self,
        f: F,
        arg: A,
    ) -> impl Future<Output = Vec<Result<R, TaskError>>> + Send + use<F, A, R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        let send =
            |this: &Self, call| this.send_to_all(call, |bytes, names| open(bytes, names).map(Ok), true);
        let begun = if self.pool().is_in_process() {
            Ok(self.launch_to_all(f, pack_here(arg)))
        } else if self.pool().settings().is_sized || !self.capabilities().distributed {
            Ok(send(self, ship(f, arg)))
        } else {
            Err((self.clone(), ship(f, arg)))
        };
        async move {
            let handles = match begun {
                Ok(handles) => handles,
                Err((this, call)) => match this.pool().warm_up_backend().await {
                    Ok(()) => send(&this, call),
                    Err(error) => send(&this, Err(error)),
                },
            };
            join_all(handles).await.into_iter().map(|result| result.and_then(|result| result)).collect()
        }
    }

    fn launch_to_all<F, A, R>(
        &self,
        f: F,
        arg: Result<Packed, TaskError>,
    ) -> Vec<TaskHandle<Result<R, TaskError>>>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        let arg = arg.map(Arc::new);
        let work = || {
            let arg = arg.clone();
            Blocking(move || Ok(f(unpack(&arg?.bytes)?)))
        };
        if self.pool().runs_in_polls() {
            return vec![self.launch(work(), 0)];
        }
        self.launch_everywhere(work)
    }

    /// Sees whether every worker is there and has run its initializer.
    pub(super) fn greet_all(&self) -> Vec<TaskHandle<()>> {
        if !self.pool().is_in_process() {
            return self.send_to_all(ship(hello, ()), open, false);
        }
        if self.pool().runs_in_polls() {
            return vec![self.launch(Hello, 0)];
        }
        self.launch_everywhere(|| Hello)
    }

    fn launch_everywhere<W: Work>(&self, work: impl Fn() -> W) -> Vec<TaskHandle<W::Output>> {
        let tasks: Vec<_> = (0..self.max_workers()).map(|_| Arc::new(TaskCell::new(Own(work())))).collect();
        self.pool().push_to_all(tasks.iter().map(|task| Arc::clone(task) as Arc<dyn AnyTask>).collect());
        tasks.into_iter().map(|task| self.handle(task)).collect()
    }

    /// Encoded once, for all.
    fn send_to_all<R: Send + 'static>(
        &self,
        call: Result<Call, TaskError>,
        open: fn(Vec<u8>, Names) -> Result<R, TaskError>,
        is_counted: bool,
    ) -> Vec<TaskHandle<R>> {
        let n = self.max_workers();
        let call = match call {
            Ok(call) => Call { arg: call.arg.into_shared(), ..call },
            Err(error) => return (0..n).map(|_| self.send_nothing(error.clone(), open)).collect(),
        };
        let tasks: Vec<_> = (0..n)
            .map(|_| Arc::new(RemoteCell::<R>::new(call.again(), open, None, false, is_counted)))
            .collect();
        self.pool().push_to_all(tasks.iter().map(|task| Arc::clone(task) as Arc<dyn AnyTask>).collect());
        tasks.into_iter().map(|task| self.handle_of_remote(task)).collect()
    }
}

/// What a worker that is elsewhere does when it is greeted.
fn hello((): ()) {}
