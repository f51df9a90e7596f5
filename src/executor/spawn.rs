//! The verb `spawn`: futures and closures that stay in this process.

use std::{future::Future, sync::Arc};

use super::Executor;
use crate::{
    error::TaskError,
    task::{Blocking, Suspended, TaskCell, TaskHandle, Work},
};

impl Executor {
    /// Runs a future in the pool, whatever it captures. Only where tasks stay in this process: elsewhere the handle resolves to
    /// [`TaskError::Unsupported`].
    ///
    /// # Backends
    /// `tasks` puts it on the runtime; `threads` waits for it on one of its threads; `serial` polls it when its handle is
    /// polled.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::tasks(10)?;
    /// let words = vec!["a", "b"];
    /// assert_eq!(pool.spawn(async move { words.join("-") }).await?, "a-b");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn spawn<T>(&self, future: impl Future<Output = T> + Send + 'static) -> TaskHandle<T>
    where
        T: Send + 'static,
    {
        self.launch_here(Suspended(move || future), "spawn")
    }

    /// Runs a closure in the pool, whatever it captures. Only where tasks stay in this process: elsewhere the handle resolves
    /// to [`TaskError::Unsupported`].
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let pool = polypool::Executor::threads(2)?;
    /// let numbers = vec![1, 2, 3];
    /// assert_eq!(pool.spawn_blocking(move || numbers.iter().sum::<i32>()).await?, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn spawn_blocking<T>(&self, f: impl FnOnce() -> T + Send + 'static) -> TaskHandle<T>
    where
        T: Send + 'static,
    {
        self.launch_here(Blocking(f), "spawn_blocking")
    }

    fn launch_here<W: Work>(&self, work: W, operation: &str) -> TaskHandle<W::Output> {
        if self.pool().is_in_process() {
            return self.launch(work, 0);
        }
        let task = Arc::new(TaskCell::new(work));
        self.refuse(
            &task,
            TaskError::Unsupported {
                backend: self.backend_name().to_owned(),
                operation: format!("`{operation}`"),
                remedy: "use `submit` with a function that captures nothing, or the backend `threads`"
                    .to_owned(),
            },
        );
        self.handle(task)
    }
}
