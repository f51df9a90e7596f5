//! Between a handle and its pool: what a handle that waits or cancels sets in motion.

use std::{
    fmt,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use super::{
    lane::Single,
    lanes::{Released, Wait},
    pool::Pool,
    queue::Entry,
    seat,
};
use crate::{
    policy::CancellationPolicy,
    runtime::blocking,
    task::{AnyTask, Owner, TaskId, TaskState},
};

/// A handle's share in its pool. Each clone of an executor has one of its own, so that several submitters do not count their
/// handles on one cache line.
pub(crate) struct Anchor {
    pub(crate) pool: Arc<Pool>,
}

impl Owner for Anchor {
    fn awaited(
        &self,
        task: &Arc<dyn AnyTask>,
        cx: &mut Context<'_>,
        waiting: &mut Option<Box<dyn Send + Sync>>,
    ) -> bool {
        if self.pool.runs_in_polls() {
            if let Some(workers) = self.pool.started() {
                workers.polled(Polled { task, pool: &self.pool, waiting }, cx);
            }
            return true;
        }
        match seat::current() {
            Some(seat) if seat.is_of(&self.pool) => {
                let how = seat.way_to_wait();
                if how == Wait::Held && self.pool.lanes().is_at_bound() && self.pool.help(&seat, task) {
                    return true;
                }
                if waiting.is_none() {
                    *waiting = Some(Box::new(Released::new(&self.pool, seat, how, Some(task))));
                }
            }
            _ => {
                let Some(workers) = self.pool.started() else { return false };
                if waiting.is_none() {
                    *waiting = workers.awaited_one().map(|left| {
                        self.pool.lanes().awaits(task);
                        Box::new(Left { pool: Arc::clone(&self.pool), task: Arc::clone(task), _left: left })
                            as _
                    });
                }
                if waiting.is_some() && workers.help(Awaited { task }) {
                    return true;
                }
            }
        }
        self.pool.spins() && self.spin_for(task)
    }

    fn joined(&self, task: &Arc<dyn AnyTask>) {
        if self.pool.runs_in_polls() {
            return;
        }
        if let Some(seat) = seat::current().filter(|seat| seat.is_of(&self.pool))
            // As from within the wait that comes next.
            && blocking(|| seat.way_to_wait()) == Wait::Held
        {
            self.pool.help(&seat, task);
        }
    }

    fn cancel(&self, task: &Arc<dyn AnyTask>, policy: CancellationPolicy) {
        self.pool.cancel(task, policy);
        if policy.contains(CancellationPolicy::PENDING) {
            self.pool.trim(task);
        }
    }
}

impl Anchor {
    /// See [`Pool::wait`].
    #[cfg(feature = "graph")]
    pub(crate) fn wait(&self) -> Option<Box<dyn Send + Sync>> {
        self.pool.wait()
    }

    /// Does a worker of the pool work on this thread?
    #[cfg(feature = "graph")]
    pub(crate) fn is_at_work_here(&self) -> bool {
        seat::with_current(|seat| seat.is_some_and(|seat| seat.is_of(&self.pool)))
    }

    /// Waits for a moment without sleeping; true when the task has ended in it.
    fn spin_for(&self, task: &Arc<dyn AnyTask>) -> bool {
        const SPIN: Duration = Duration::from_micros(20);
        let start = Instant::now();
        let is_finished = || task.state() == TaskState::Finished;
        if let Some(workers) = self.pool.started() {
            workers.spin(&mut || is_finished() || start.elapsed() >= SPIN);
        }
        is_finished()
    }
}

/// A task is waited for by a worker of its pool that is not a lane of this process.
struct Left {
    pool: Arc<Pool>,
    task: Entry,
    _left: Box<dyn Send + Sync>,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.pool.lanes().awaits_no_more(&self.task);
    }
}

/// A task that is not finished and whose handle is being polled by a worker of its pool; for backends whose workers can run what
/// they wait for.
///
/// # Examples
/// ```
/// fn is_urgent(task: &polypool::backend::Awaited<'_>) -> bool {
///     task.id().to_string().ends_with('0')
/// }
/// ```
pub struct Awaited<'a> {
    task: &'a Entry,
}

impl Awaited<'_> {
    /// Gives the task's number.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    #[cfg(all(feature = "processes", target_os = "linux"))]
    pub(crate) fn task(&self) -> &Entry {
        self.task
    }
}

impl fmt::Debug for Awaited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A task that is not finished and whose handle is being polled; for backends that have no workers.
///
/// # Examples
/// See the source of [`Serial`](crate::Serial).
pub struct Polled<'a> {
    task: &'a Entry,
    pool: &'a Arc<Pool>,
    waiting: &'a mut Option<Box<dyn Send + Sync>>,
}

impl Polled<'_> {
    /// Gives the task's number.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Takes the task, to be run where the result is polled. `None` when it was taken before.
    pub fn start(&self) -> Option<Single> {
        self.pool.single(self.task)
    }

    /// Leaves something with the handle that is dropped when it waits no more.
    pub fn keep(&mut self, guard: Box<dyn Send + Sync>) {
        *self.waiting = Some(guard);
    }
}

impl fmt::Debug for Polled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").field("id", &self.id()).finish_non_exhaustive()
    }
}
