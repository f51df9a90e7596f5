//! The verbs `scatter` and `scatter_slice`: data that many tasks name, placed once. Owns who does the encoding, which takes long
//! where there is much of it.

use std::future::Future;

use bytemuck::Pod;
use futures::channel::oneshot;

use super::Executor;
use crate::{
    error::TaskError,
    function::{Portable, Scattered, SharedSlice, catch::catch},
};

/// Less than this is copied in a moment, and not worth another thread.
const LITTLE: usize = 1 << 20;

impl Executor {
    /// Places a value for tasks to name: what they take and give back has a [`Scattered`] in it, at any depth, and not the value.
    ///
    /// Where tasks leave this process, the value is encoded once, on a thread that may block. A worker process gets the encoding
    /// with the first task that names it, as memory that all of them share, and decodes it once, however many tasks there are; so
    /// do workers that come later, also in the place of one that was lost. Elsewhere nothing is encoded or copied. The value may
    /// be named in tasks of other pools, too, and in tasks of tasks. [`max_payload`](crate::Processes::max_payload) is about what
    /// travels with a task, and this does not.
    ///
    /// Each value takes a descriptor, here and in each worker process that has it: `ulimit -n` says how many there may be. Many
    /// small values are better scattered as one.
    ///
    /// # Errors
    /// [`TaskError::Encode`] when the value cannot be encoded, or the system has no memory or no descriptor for it;
    /// [`TaskError::Shutdown`] after [`shutdown`](Self::shutdown), or why the pool is broken.
    ///
    /// # Cancel safety
    /// Dropping the future drops the value, at the latest when it is encoded.
    ///
    /// # Examples
    /// See [`Scattered`].
    pub fn scatter<T: Portable + Sync>(
        &self,
        value: T,
    ) -> impl Future<Output = Result<Scattered<T>, TaskError>> + Send + use<T> {
        let this = self.clone();
        async move {
            this.pool().check_takes_tasks()?;
            let scattered = Scattered::new(value);
            if this.pool().is_in_process() {
                return Ok(scattered);
            }
            this.apart(move || scattered.encode().map(|()| scattered)).await
        }
    }

    /// Places the elements of a vector for tasks to name, as [`scatter`](Self::scatter) does a value; see [`SharedSlice`].
    ///
    /// Where tasks leave this process, they are copied once, into memory that all worker processes share and see as it is; the
    /// vector goes. Elsewhere the vector stays, and nothing is copied.
    ///
    /// # Errors
    /// As of [`scatter`](Self::scatter).
    ///
    /// # Cancel safety
    /// As of [`scatter`](Self::scatter).
    ///
    /// # Examples
    /// See [`SharedSlice`].
    pub fn scatter_slice<T: Pod + Send + Sync>(
        &self,
        values: Vec<T>,
    ) -> impl Future<Output = Result<SharedSlice<T>, TaskError>> + Send + use<T> {
        let this = self.clone();
        async move {
            this.pool().check_takes_tasks()?;
            if this.pool().is_in_process() {
                return Ok(SharedSlice::from(values));
            }
            if size_of_val(values.as_slice()) < LITTLE {
                return SharedSlice::placed(values);
            }
            this.apart(move || SharedSlice::placed(values)).await
        }
    }

    /// Runs something on a thread that may block.
    async fn apart<R: Send + 'static>(
        &self,
        f: impl FnOnce() -> Result<R, TaskError> + Send + 'static,
    ) -> Result<R, TaskError> {
        let (send, receive) = oneshot::channel();
        self.pool().port().spawn_blocking(move || {
            let result = catch(f).unwrap_or_else(|panic| Err(TaskError::Panicked(panic)));
            // Who asked may be gone.
            let _ = catch(|| drop(send.send(result)));
        });
        // The runtime ended before it came to that.
        receive.await.unwrap_or(Err(TaskError::Shutdown))
    }
}
