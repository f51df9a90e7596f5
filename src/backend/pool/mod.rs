//! The pool behind an executor: its queue, its workers and its counts. `call` has when a worker is asked for, `back` what becomes of tasks
//! that come back, `end` what ends tasks and the pool. What a worker is, is the backend's.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::Waker,
    time::Instant,
};

use super::{
    Backend, Capabilities, PoolContext, Settings, Stats, WorkerInfo, Workers,
    deadline::Watch,
    events::{EventKind, Events, Speaker},
    lane::{Lane, Single},
    lanes::{Lanes, Released, Wait},
    queue::{Entry, Queue},
    room::{Entering, Room},
    seat::{self, Counts, Seat},
    sizes::Sizes,
    spans::caller,
    waiters::Waiters,
};
use crate::{
    error::TaskError,
    function,
    runtime::Port,
    sys::{
        copy::copy,
        sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock},
    },
    task::{AnyTask, Kind, TaskId, TaskOptions, TaskState},
};

mod back;
mod call;
mod end;
pub(super) mod help;
mod spans;

/// What every worker does first, with the reason when it fails: here, and in another process.
#[derive(Clone)]
pub(crate) struct Initializer {
    pub(crate) run: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    pub(crate) call: Result<Arc<function::Call>, TaskError>,
}

pub(crate) struct Pool {
    backend: Arc<dyn Backend>,
    in_process: bool,
    takes_futures: bool,
    settings: Settings,
    initializer: Option<Initializer>,
    port: Port,
    /// How deep this pool is nested in others; 1 for one that no task built.
    depth: usize,
    /// The process that it is of. In a copy that a fork made, its workers are not there, and its locks may be held for ever.
    copy: u32,

    workers: OnceLock<Result<Box<dyn Workers>, TaskError>>,
    queue: Queue,
    room: Arc<Room>,
    lanes: Lanes,
    waiters: Waiters,
    sizes: Sizes,
    watch: Watch,
    speaker: Arc<Speaker>,

    withdrawn: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    next_worker: AtomicU64,

    /// Nobody outside holds the pool, or it was shut down: workers go when there is nothing left to do.
    closing: AtomicBool,
    cancels_pending: AtomicBool,
    /// Some task had a priority of its own.
    is_ranked: AtomicBool,
    waiting_for_end: Mutex<Vec<Waker>>,
    /// The front that the executor's clones share, for tasks that ask for it.
    home: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
}

impl Pool {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        settings: Settings,
        initializer: Option<Initializer>,
        port: Port,
        depth: usize,
    ) -> Arc<Self> {
        let in_poll = backend.runs_in_polls();
        let Capabilities { in_process, futures: takes_futures, .. } = backend.capabilities();
        Arc::new_cyclic(|pool| Self {
            workers: OnceLock::new(),
            queue: Queue::default(),
            room: Arc::new(Room::new(settings.max_pending)),
            lanes: Lanes::new(if in_poll { 0 } else { settings.max_workers }),
            waiters: Waiters::default(),
            sizes: Sizes::default(),
            watch: Watch::new(Weak::clone(pool)),
            speaker: Arc::new(Speaker::new(&settings.name, backend.name())),
            withdrawn: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            next_worker: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            cancels_pending: AtomicBool::new(false),
            is_ranked: AtomicBool::new(false),
            waiting_for_end: Mutex::default(),
            home: Mutex::default(),
            backend,
            in_process,
            takes_futures,
            settings,
            initializer,
            port,
            depth,
            copy: copy(),
        })
    }

    /// The call by which a worker in another process initialises itself.
    pub(in crate::backend) fn initializer_call(&self) -> Option<&Result<Arc<function::Call>, TaskError>> {
        self.initializer.as_ref().map(|initializer| &initializer.call)
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(crate) fn is_in_process(&self) -> bool {
        self.in_process
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    #[cfg(feature = "graph")]
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(in crate::backend) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(in crate::backend) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(in crate::backend) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(in crate::backend) fn spins(&self) -> bool {
        self.settings.spin
    }

    pub(crate) fn events(&self) -> Events {
        self.speaker.listen()
    }

    pub(crate) fn set_home(&self, home: Weak<dyn Any + Send + Sync>) {
        *lock(&self.home) = Some(home);
    }

    pub(crate) fn home(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        lock(&self.home).as_ref()?.upgrade()
    }

    // ---- tasks come in

    /// Reserves a place in the queue, or says why there is none.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<(), TaskError> {
        self.start()?;
        self.queue.check_open()?;
        if self.room.try_take() { Ok(()) } else { Err(TaskError::QueueFull) }
    }

    /// Says why it takes no tasks, if it does not.
    pub(crate) fn check_takes_tasks(self: &Arc<Self>) -> Result<(), TaskError> {
        self.check_here()?;
        self.queue.check_open()?;
        match self.workers.get() {
            Some(Err(reason)) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// Is it neither shut down nor broken?
    pub(crate) fn takes_tasks(&self) -> bool {
        self.queue.check_open().is_ok() && !matches!(self.workers.get(), Some(Err(_)))
    }

    /// Takes a task that has a place in the queue.
    pub(crate) fn push(self: &Arc<Self>, task: Entry, priority: i32) -> Result<(), TaskError> {
        self.check_here()?;
        if let Err(reason) = self.check_kind(&task) {
            self.room.leave();
            return Err(reason);
        }
        if priority != 0 && !self.is_ranked.swap(true, Ordering::SeqCst) {
            // What was sent ahead of its time may not have the first turn any more.
            if let Some(workers) = self.started() {
                workers.recall();
            }
        }
        let caller = if task.is_counted() { caller() } else { None };
        if self.speaker.is_heard() && task.is_counted() || caller.is_some() {
            self.queue.number(&task);
        }
        if let Some(caller) = caller {
            self.speaker.spans().note(task.id(), caller);
        }
        if self.speaker.is_heard() && task.is_counted() {
            let name = task.options().and_then(|options| options.name.clone());
            let (task, tasks) = (task.id(), task.tasks());
            self.speaker.tell(|| EventKind::TaskQueued { task, name, priority, tasks });
        }
        let (id, is_counted) = (task.id(), task.is_counted());
        // Before, as it may be begun at once.
        self.speaker.meter().queued(is_counted);
        if let Err(reason) = self.start().and_then(|_| self.queue.push(task, priority)) {
            self.speaker.meter().refused(is_counted);
            self.speaker.forget(id);
            self.room.leave();
            return Err(reason);
        }
        self.speaker.meter().submitted(is_counted);
        self.call();
        Ok(())
    }

    fn check_kind(&self, task: &Entry) -> Result<(), TaskError> {
        if task.kind() != Kind::Future || self.takes_futures {
            return Ok(());
        }
        Err(TaskError::Unsupported {
            backend: self.backend.name().to_owned(),
            operation: "tasks that are futures".to_owned(),
            remedy: "use `submit` or `map`, or the backend `tasks`".to_owned(),
        })
    }

    /// Gives each of the pool's workers one task of its own. What cannot be given ends with the reason.
    pub(crate) fn push_to_all(self: &Arc<Self>, tasks: Vec<Entry>) {
        let refuse = |task: &Entry, reason| task.resolve(reason, false, &());
        if let Err(reason) = self.start() {
            for task in &tasks {
                refuse(task, reason.clone());
            }
            return;
        }
        let seats = self.lanes.first(tasks.len(), |index| self.make_seat(index));
        for (seat, task) in seats.iter().zip(tasks) {
            if let Err(reason) = self.queue.count(&task) {
                refuse(&task, reason);
                continue;
            }
            let is_counted = task.is_counted();
            self.speaker.meter().queued(is_counted);
            self.speaker.meter().submitted(is_counted);
            if let Some(caller) = caller().filter(|_| is_counted) {
                self.speaker.spans().note(task.id(), caller);
            }
            if is_counted {
                let (task, tasks) = (task.id(), task.tasks());
                self.speaker.tell(|| EventKind::TaskQueued { task, name: None, priority: 0, tasks });
            }
            self.lanes.own_work_came();
            seat.push_own(task);
        }
        for sleeper in self.lanes.all_sleepers() {
            sleeper.wake();
        }
        self.call_for_own_work();
    }

    /// How many workers `push_to_all` means.
    pub(crate) fn max_workers(&self) -> usize {
        self.lanes.max().max(1)
    }

    pub(crate) fn runs_in_polls(&self) -> bool {
        self.lanes.max() == 0
    }

    /// Whether this is a copy of the process that the pool is of.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.copy != copy()
    }

    /// Refuses what is asked in a copy of the pool's process. Before anything is locked.
    fn check_here(&self) -> Result<(), TaskError> {
        if self.is_elsewhere() {
            let name = &self.settings.name;
            return Err(TaskError::Broken(format!(
                "the pool `{name}` came into this process by a fork, and its workers did not; build one here"
            )));
        }
        Ok(())
    }

    /// Starts the backend before there is a task. A failure shows with the first task.
    pub(crate) fn begin(self: &Arc<Self>) {
        let _ = self.start();
    }

    fn start(self: &Arc<Self>) -> Result<&dyn Workers, TaskError> {
        self.check_here()?;
        let started = self.workers.get_or_init(|| {
            self.port.settle();
            self.backend.start(PoolContext::new(self))
        });
        match started {
            Ok(workers) => Ok(&**workers),
            Err(error) => Err(error.clone()),
        }
    }

    pub(in crate::backend) fn started(&self) -> Option<&dyn Workers> {
        self.workers.get()?.as_deref().ok()
    }

    pub(crate) fn resize(self: &Arc<Self>, n: usize) {
        if self.runs_in_polls() || self.is_elsewhere() {
            return;
        }
        self.lanes.set_max(n);
        if let Some(workers) = self.started() {
            workers.resized(n);
        }
        // Those that are too many look up and go.
        for sleeper in self.lanes.all_sleepers() {
            sleeper.wake();
        }
        self.call_if_work();
        self.check_stuck();
        self.sizes.changed();
    }

    /// Has the worker at this seat run the initializer, if it has not. False when that fails; the pool is closed then.
    pub(in crate::backend) fn initialise(self: &Arc<Self>, seat: &Arc<Seat>) -> bool {
        let Some(initializer) = self.initializer.as_ref().filter(|_| self.in_process) else {
            return true;
        };
        if !seat.initialise() {
            return true;
        }
        let _sitting = seat::sit(Arc::clone(seat));
        let outcome = crate::task::catch::catch(|| (initializer.run)())
            .unwrap_or_else(|panic| Err(format!("it panicked: {panic}")));
        if let Err(reason) = outcome {
            self.fail(TaskError::InitializerFailed(reason));
            return false;
        }
        true
    }

    // ---- what lanes ask

    pub(in crate::backend) fn pop(&self) -> Option<Entry> {
        self.queue.pop()
    }

    pub(in crate::backend) fn has_tasks(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(in crate::backend) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// A policy was applied that lets nothing begin any more.
    pub(in crate::backend) fn cancels_pending(&self) -> bool {
        self.cancels_pending.load(Ordering::SeqCst)
    }

    pub(in crate::backend) fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        self.port.block_on(future);
    }

    /// A task began, and its room, its time or a listener is concerned.
    pub(in crate::backend) fn begun(
        self: &Arc<Self>,
        seat: &Seat,
        task: &dyn AnyTask,
        options: Option<&TaskOptions>,
    ) {
        if task.takes_room() {
            self.room.leave();
        }
        if !task.is_counted() {
            return;
        }
        self.speaker.tell(|| EventKind::TaskStarted { task: task.id(), worker: seat.index() });
        let timeout = options.and_then(|options| options.timeout).or(self.settings.task_timeout);
        if let Some((at, after)) = timeout.and_then(|after| Some((Instant::now().checked_add(after)?, after)))
        {
            seat.set_deadline(at, after);
            self.watch.set(at);
        }
    }

    pub(in crate::backend) fn found_withdrawn(&self) {
        self.queue.left_over_taken();
    }

    /// A task says how far it is.
    pub(crate) fn progressed(&self, task: TaskId, done: u64, total: u64) {
        self.speaker.tell(|| EventKind::TaskProgress { task, done, total });
    }

    // ---- what can be asked

    fn counts(&self) -> Counts {
        self.lanes.all_seats().iter().map(|seat| seat.counts()).fold(Counts::default(), |sum, counts| {
            Counts {
                begun: sum.begun + counts.begun,
                completed: sum.completed + counts.completed,
                failed: sum.failed + counts.failed,
                cancelled: sum.cancelled + counts.cancelled,
                ended: sum.ended + counts.ended,
            }
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        let withdrawn = self.withdrawn.load(Ordering::SeqCst);
        let counts = self.counts();
        Stats {
            queued: usize::try_from(self.queue.pushed().saturating_sub(counts.begun + withdrawn))
                .unwrap_or(0),
            running: usize::try_from(counts.begun.saturating_sub(counts.ended)).unwrap_or(0),
            completed: counts.completed,
            failed: counts.failed + self.failed.load(Ordering::SeqCst),
            cancelled: counts.cancelled + self.cancelled.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerInfo> {
        let seats = self.lanes.seats();
        let taken = seats.iter().filter(|seat| seat.is_taken());
        taken
            .map(|seat| WorkerInfo {
                id: seat.worker(),
                index: seat.index(),
                pid: seat.pid(),
                task: seat.current_id(),
            })
            .collect()
    }

    /// Takes a task that waits for the worker at `seat`.
    pub(in crate::backend) fn pop_own(&self, seat: &Seat) -> Option<Entry> {
        let task = seat.pop_own()?;
        self.lanes.own_work_went();
        Some(task)
    }

    /// Whoever is here waits for tasks of the pool, until what comes back is dropped. A task gives its place as a worker away.
    pub(crate) fn wait(self: &Arc<Self>) -> Option<Box<dyn Send + Sync>> {
        match seat::current() {
            // What goes on meanwhile is not one task, but whatever the pool has.
            Some(seat) if seat.is_of(self) => Some(Box::new(Released::new(self, seat, Wait::Freely, None))),
            _ => self.started().and_then(Workers::awaited),
        }
    }

    /// Waits for a place in the queue. A task that waits for one in its own pool gives its place as a worker away meanwhile.
    pub(crate) fn enter(self: &Arc<Self>) -> Entering {
        let at = seat::current().filter(|seat| seat.is_of(self));
        let on_wait = at.map(|seat| {
            let pool = Arc::clone(self);
            Box::new(move || Box::new(Released::new(&pool, seat, Wait::Freely, None)) as Box<dyn Send + Sync>)
                as _
        });
        Entering::new(Arc::clone(&self.room), on_wait)
    }

    /// Gives the place of the worker at `seat` to another for as long as the result lives.
    pub(crate) fn release_seat(seat: Arc<Seat>, how: Wait) -> Option<Released> {
        Some(Released::new(&seat.pool()?, seat, how, None))
    }

    /// Gives a task whose handle is being polled a worker of its own.
    pub(in crate::backend) fn single(self: &Arc<Self>, task: &Entry) -> Option<Single> {
        if task.state() != TaskState::Queued {
            return None;
        }
        self.queue.left_over();
        let seat = self.lanes.claim_extra(|index| self.make_seat(index));
        Some(Single::new(Lane::new(Arc::clone(self), seat, true), Arc::clone(task)))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.settings.name)
            .field("backend", &self.backend.name())
            .field("max_workers", &self.max_workers())
            .finish_non_exhaustive()
    }
}
