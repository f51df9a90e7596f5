//! A worker that sits at its seat and takes tasks, and the way there. Owns how a lane runs, sleeps and leaves; what it runs comes
//! from the pool.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread, ThreadId},
    time::{Duration, Instant},
};

mod travel;

use super::{
    job::Job,
    lanes::Linger,
    pool::Pool,
    queue::Entry,
    seat::{Seat, sit},
};
use crate::{
    error::TaskError,
    policy::CancellationPolicy,
    task::{
        Host, Resolved,
        catch::{catch, discard},
        clock::Stamp,
    },
};

/// How long a spinning lane looks for work before it sleeps: less than the wake-up that it saves.
const SPIN: Duration = Duration::from_micros(20);

/// How long a lane keeps a thread that is not the pool's own.
const SHIFT: Duration = Duration::from_millis(100);

/// A pool asks its backend for a worker. Take it to wherever workers run, and [`claim`](Self::claim) a lane there.
///
/// Dropping it instead refuses: then the pool makes do with the workers that it has, and when it has none, its waiting tasks
/// fail with [`TaskError::Shutdown`]. Nothing is stranded.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use polypool::backend::Arrival;
///
/// // The simplest backend there can be: a thread for each call.
/// fn on_a_thread(arrival: Arrival) {
///     std::thread::spawn(move || {
///         let Some(mut lane) = arrival.claim() else { return };
///         while let Some(job) = lane.next(Duration::from_millis(10)) {
///             job.run();
///         }
///     });
/// }
/// ```
#[must_use = "dropping an arrival refuses to bring a worker"]
pub struct Arrival {
    /// None when it was claimed.
    pool: Option<Arc<Pool>>,
    summons: Summons,
}

/// Why a worker is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Summons {
    /// There is work. The mark that someone is on the way is to be cleared.
    Announced,
    /// There is work for this one worker.
    Own,
    /// Another worker waits for tasks of the pool: its thread is blocked, or its future is suspended.
    StandIn { blocked: bool },
}

impl Arrival {
    pub(super) fn new(pool: Arc<Pool>, summons: Summons) -> Self {
        Self { pool: Some(pool), summons }
    }

    /// Takes a place in the pool. `None` when there is none any more, for the pool shrank or closed meanwhile; then there is
    /// nothing to do.
    pub fn claim(mut self) -> Option<Lane> {
        let pool = self.pool.take()?;
        let seat = pool.claim();
        pool.came(self.summons);
        match seat {
            Some(seat) => Some(Lane::new(pool, seat, false)),
            None => {
                // Others may have relied on the mark.
                pool.call_if_tasks();
                pool.check_gone();
                None
            }
        }
    }

    /// Tells whether this worker stands in for one that waits for other tasks of the pool. A backend whose threads are few had
    /// better find another one for it: they may all be waiting for it.
    pub fn is_stand_in(&self) -> bool {
        matches!(self.summons, Summons::StandIn { .. })
            || self.pool.as_ref().is_some_and(|pool| pool.lanes().has_released())
    }

    /// Tells whether the worker that this one stands in for blocks its thread. What that thread would have to do, as it would
    /// poll a future that it spawned, is not done before this worker has worked.
    pub fn is_for_blocked(&self) -> bool {
        self.summons == Summons::StandIn { blocked: true }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.refused(self.summons);
        }
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").finish_non_exhaustive()
    }
}

/// One worker at work: it takes one task after the other, each when it is ready to run it.
///
/// Dropping it gives the place up. A task that it runs just then ends with an error; waiting ones go to others.
///
/// # Examples
/// See [`Arrival`].
pub struct Lane {
    pool: Arc<Pool>,
    seat: Arc<Seat>,
    host: Arc<dyn Host + Send + Sync>,
    /// Not counted among the pool's workers.
    extra: bool,
    /// It was woken, and has not looked yet whether there is more than one task.
    fresh: bool,
    /// What this worker's initializer did is gone with its thread.
    mortal: bool,
    /// Wakes the thread that sleeps in `linger`.
    unpark: Option<(ThreadId, Waker)>,
    /// It sleeps without a thread or a future: `poll_next` has left a waker.
    down: bool,
}

impl Lane {
    pub(super) fn new(pool: Arc<Pool>, seat: Arc<Seat>, extra: bool) -> Self {
        pool.seated(&seat, extra);
        let host = Arc::<Seat>::clone(&seat);
        Self { pool, seat, host, extra, fresh: true, mortal: false, unpark: None, down: false }
    }

    /// Gives the worker's index: from 0 up, lower than `max_workers` unless other workers wait for tasks of the pool.
    pub fn index(&self) -> usize {
        self.seat.index()
    }

    /// Says which process this worker is, for [`Executor::workers`](crate::Executor::workers).
    pub fn set_pid(&self, pid: Option<u32>) {
        self.seat.set_pid(pid);
    }

    /// Takes the next task, waiting up to `linger` for one. `None` when there was none, or when this worker is not wanted any
    /// more: then drop the lane, and the pool asks for another when it needs one.
    pub fn next(&mut self, linger: Duration) -> Option<Job<'_>> {
        let task = self.next_task(Linger::For(linger))?;
        Some(Job::new(task, self))
    }

    /// Takes the next task, however long that takes. `None` when this worker is not wanted any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_async(&mut self) -> Option<Job<'_>> {
        loop {
            if let Some(task) = self.take() {
                return Some(Job::new(task, self));
            }
            if !self.sleep().await {
                return None;
            }
        }
    }

    /// Runs whatever comes, one after the other, until there has been nothing for `linger`. Also with more to do it gives its
    /// thread back now and then, and another one goes on: a runtime that ends waits for its threads.
    pub(crate) fn drain(mut self, linger: Duration) {
        let _sitting = sit(Arc::clone(&self.seat));
        self.seat.set_polled(false);
        let end = Stamp::after(SHIFT);
        while let Some(task) = self.next_task(Linger::For(linger)) {
            self.run(task);
            if self.host.now() > end {
                break;
            }
        }
    }

    /// The same, for a thread of the pool's own: until the pool has no more need of it.
    pub(crate) fn serve_on_thread(mut self) {
        let _sitting = sit(Arc::clone(&self.seat));
        self.seat.set_polled(false);
        self.mortal = true;
        while let Some(task) = self.next_task(Linger::Forever) {
            self.run(task);
        }
    }

    /// The same, as a future.
    pub(crate) async fn serve(mut self) {
        while let Some(job) = self.next_async().await {
            job.run_async().await;
        }
    }

    fn next_task(&mut self, linger: Linger) -> Option<Entry> {
        loop {
            if let Some(task) = self.take() {
                return Some(task);
            }
            self.seat.clear_current();
            if !self.linger(linger) {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Entry> {
        if !self.pool.initialise(&self.seat) {
            return None;
        }
        let task = self.pool.pop_own(&self.seat).or_else(|| {
            let wanted = self.extra || !self.pool.lanes().is_one_too_many(&self.seat);
            wanted.then(|| self.pool.pop()).flatten()
        })?;
        if std::mem::take(&mut self.fresh) {
            self.pool.call_if_work();
        }
        Some(task)
    }

    // ---- sleep

    fn may_sleep(&self) -> bool {
        let lanes = self.pool.lanes();
        !self.pool.is_closing() && self.seat.index() < lanes.max() && !lanes.is_one_too_many(&self.seat)
    }

    /// Announces that this worker sleeps; true when it had better look for work first.
    fn lie_down(&mut self, waker: Waker) -> bool {
        self.seat.prepare_sleep(waker);
        self.pool.lanes().lie_down(&self.seat);
        self.seat.has_own_work() || self.pool.has_tasks() || !self.may_sleep()
    }

    /// Ends the sleep; true when someone woke this worker.
    fn get_up(&mut self) -> bool {
        let by_itself = self.pool.lanes().get_up(&self.seat);
        if by_itself {
            return false;
        }
        // Someone took it out to wake it, and said so.
        self.seat.take_woken();
        self.woken();
        true
    }

    fn woken(&mut self) {
        self.pool.lanes().arrived();
        self.fresh = true;
    }

    /// Waits on this thread; true when there may be work.
    fn linger(&mut self, linger: Linger) -> bool {
        if !self.may_sleep() {
            return false;
        }
        if self.pool.spins() {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                if self.pool.has_tasks() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        let waker = self.unpark();
        if self.lie_down(waker) {
            return self.get_up() || self.may_sleep() || self.pool.has_tasks();
        }
        let until = match linger {
            Linger::For(linger) => Instant::now().checked_add(linger),
            Linger::Forever => None,
        };
        while !self.seat.is_woken() {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => break,
                Some(left) => thread::park_timeout(left),
            }
        }
        self.get_up()
    }

    fn unpark(&mut self) -> Waker {
        let here = thread::current().id();
        match &self.unpark {
            Some((thread, waker)) if *thread == here => waker.clone(),
            _ => {
                let waker = Waker::from(Arc::new(Unpark(thread::current())));
                self.unpark = Some((here, waker.clone()));
                waker
            }
        }
    }

    /// Waits as a future; false when this worker is not wanted any more.
    async fn sleep(&mut self) -> bool {
        if !self.may_sleep() {
            return false;
        }
        let mut asleep = Asleep { lane: self, down: false };
        std::future::poll_fn(|cx| {
            if asleep.down {
                if asleep.lane.seat.take_woken() {
                    asleep.down = false;
                    asleep.lane.woken();
                    return Poll::Ready(());
                }
                asleep.lane.seat.prepare_sleep(cx.waker().clone());
                if !asleep.lane.seat.is_woken() {
                    return Poll::Pending;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            asleep.down = true;
            if asleep.lane.lie_down(cx.waker().clone()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        drop(asleep);
        true
    }

    // ---- run

    /// Runs a task to its end on this thread, at which the lane must sit. The task stays in its place until the next comes,
    /// or the lane sleeps.
    pub(super) fn run(&self, task: Entry) {
        self.begin(&task);
        if let Some(rest) = Arc::clone(&task).run(&self.host) {
            let mut rest = pin!(self.until_stopped(task, rest));
            self.pool.block_on(rest.as_mut());
        }
    }

    /// Runs a task to its end inside of another, which waits for it on this thread.
    pub(super) fn run_nested(&self, task: Entry) {
        let _sitting = sit(Arc::clone(&self.seat));
        self.run(task);
        self.seat.clear_current();
    }

    /// Runs a task to its end as a future. Dropped half-way, it leaves the task to the job.
    pub(super) async fn run_async(&self, task: Entry) {
        self.seat.set_polled(true);
        self.begin(&task);
        let rest = {
            let _sitting = sit(Arc::clone(&self.seat));
            Arc::clone(&task).run(&self.host)
        };
        if let Some(rest) = rest {
            self.until_stopped(task, rest).await;
        }
        self.seat.clear_current();
    }

    /// Makes the task that of this seat, where policies find it. One that came too late for a policy by a hair is withdrawn.
    fn begin(&self, task: &Entry) {
        self.seat.set_current(Arc::clone(task));
        if self.pool.cancels_pending() {
            self.pool.cancel(task, CancellationPolicy::PENDING);
        }
    }

    /// Polls the rest of a task until it ends or is asked to stop.
    async fn until_stopped(&self, task: Entry, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut rest = Some(rest);
        let stopped = std::future::poll_fn(|cx| {
            let _sitting = sit(Arc::clone(&self.seat));
            if let Poll::Ready(reason) = self.seat.poll_stop(cx) {
                discard(rest.take());
                return Poll::Ready(Some(reason));
            }
            match catch(|| rest.as_mut().map(|rest| rest.as_mut().poll(cx))) {
                Ok(Some(Poll::Pending)) => Poll::Pending,
                Ok(_) => Poll::Ready(None),
                Err(panic) => Poll::Ready(Some(TaskError::Panicked(panic))),
            }
        })
        .await;
        if let Some(reason) = stopped {
            self.seat.quit(&*task);
            self.pool.resolve(&task, reason, true);
        }
    }

    /// A job was dropped with its task unfinished.
    pub(super) fn abandon(&self, task: &Entry, reason: TaskError) {
        let reason = self.seat.take_stop().unwrap_or(reason);
        if self.pool.resolve(task, reason, true) == Some(Resolved::Running) {
            self.seat.quit(&**task);
        }
        self.seat.clear_current();
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.seat.clear_current();
        if self.down && self.get_up() {
            self.pool.call_if_work();
        }
        self.seat.forget_wakers();
        if self.mortal {
            self.seat.forget_initialiser();
        }
        self.pool.left(&self.seat, self.extra);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("index", &self.index()).finish_non_exhaustive()
    }
}

/// A lane that sleeps as a future. Dropped, it passes a wake-up on that it cannot follow any more.
struct Asleep<'a> {
    lane: &'a mut Lane,
    down: bool,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        if self.down && self.lane.get_up() {
            self.lane.pool.call_if_work();
        }
    }
}

/// Wakes a thread that is parked in `linger`, which tells by its seat whether it was meant.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// One task with a worker of its own, which works when it is polled; for backends without workers.
///
/// Dropping it half-way drops the task's future, and the task ends with [`TaskError::Shutdown`].
///
/// # Examples
/// See the source of [`Serial`](crate::Serial).
pub struct Single {
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Single {
    pub(super) fn new(lane: Lane, task: Entry) -> Self {
        let work = async move {
            let mut lane = lane;
            if lane.pool.initialise(&lane.seat) {
                Job::new(task, &mut lane).run_async().await;
            }
        };
        Self { work: Box::pin(work) }
    }
}

impl Future for Single {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(cx)
    }
}

impl fmt::Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Single").finish_non_exhaustive()
    }
}
