//! The worker processes of one pool: who there is, who comes, and when it is hopeless. Owns the list and the budget for failed
//! starts; what one worker does is its own file's.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    thread,
    time::Duration,
};

mod office;

#[cfg(feature = "engine")]
use self::office::Ear;
pub(super) use self::office::Office;
use super::{
    Processes,
    forkserver::Depot,
    launch::{self, NotStarted},
    worker::Worker,
};
use crate::{
    backend::{Arrival, PoolContext, lane::Lane, pool::Pool},
    error::{Exit, TaskError, WorkerLost},
    runtime::reactor::{Trigger, Watch, Watcher, watch},
    sys::{lock::lock, process::bell},
    task::{TaskId, catch::wake},
};

/// After so many starts in a row that failed, and no worker that works, it is hopeless.
const MOST_FAILURES: u32 = 6;

/// The pause after the first failed start; each one after that is twice as long, up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Crew {
    context: PoolContext,
    options: Processes,
    bell: Arc<OwnedFd>,
    workers: Mutex<List>,
    /// Processes that are being started.
    starting: AtomicUsize,
    /// Those who look for replies all the time.
    watchers: AtomicUsize,
    waiting_for_end: Mutex<Vec<Waker>>,
    /// When somebody looks whether the runtime hears the bell.
    #[cfg(feature = "tokio")]
    round: Mutex<Option<crate::runtime::Alarm>>,
    #[cfg(feature = "tokio")]
    makes_rounds: AtomicBool,
    by_runtime: AtomicBool,
    /// Where the fork server is, if there is one. Others may have it, too.
    depot: Arc<Depot>,
}

#[derive(Default)]
struct List {
    workers: Vec<Arc<Worker>>,
    /// Starts that failed since one did not.
    failures: u32,
    /// While there are workers.
    watch: Option<BellWatch>,
    /// The runtime was too late to hear the bell, and is not asked again.
    runtime_is_late: bool,
    /// Numbers the watches, from 1.
    generation: u32,
}

impl Crew {
    pub(super) fn new(context: PoolContext, options: Processes) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            depot: options.depot.clone().unwrap_or_default(),
            context,
            options,
            bell: Arc::new(bell()?),
            workers: Mutex::default(),
            starting: AtomicUsize::new(0),
            watchers: AtomicUsize::new(0),
            waiting_for_end: Mutex::default(),
            #[cfg(feature = "tokio")]
            round: Mutex::default(),
            #[cfg(feature = "tokio")]
            makes_rounds: AtomicBool::new(false),
            by_runtime: AtomicBool::new(false),
        }))
    }

    pub(super) fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    pub(super) fn options(&self) -> &Processes {
        &self.options
    }

    pub(super) fn depot(&self) -> &Arc<Depot> {
        &self.depot
    }

    /// The fork server has nothing to do any more.
    fn close_depot(&self) {
        let is_needed =
            |pool: Arc<Pool>| !pool.is_closing() || pool.has_tasks() || pool.lanes().has_own_work();
        if self.options.depot.is_none() && !self.pool().is_some_and(is_needed) {
            self.depot.hang_up();
        }
    }

    pub(super) fn context(&self) -> &PoolContext {
        &self.context
    }

    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.context.pool.upgrade()
    }

    /// Are the workers elsewhere, reached by way of an engine?
    pub(super) fn is_elsewhere(&self) -> bool {
        #[cfg(feature = "engine")]
        return self.options.site.is_some();
        #[cfg(not(feature = "engine"))]
        false
    }

    pub(super) fn max_payload(&self) -> Option<u64> {
        self.options.max_payload
    }

    pub(super) fn prefetches(&self) -> bool {
        self.options.prefetch
    }

    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        self.options.idle_timeout
    }

    pub(super) fn max_tasks(&self) -> Option<u64> {
        self.options.max_tasks.map(|most| most as u64)
    }

    pub(super) fn max_growth(&self) -> Option<u64> {
        self.options.max_growth
    }

    pub(super) fn grace(&self) -> Duration {
        self.options.grace
    }

    /// Does somebody look for replies all the time?
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) > 0
    }

    fn all(&self) -> Vec<Arc<Worker>> {
        lock(&self.workers).workers.clone()
    }

    // ---- who comes

    fn hire(self: &Arc<Self>, arrival: Arrival) {
        if let Some(lone) = &self.options.lone {
            // Who asked for the process waits for it. There is no second one: its task is the first one's or nobody's.
            if let Some(lane) = lone.is_first().then(|| arrival.claim()).flatten() {
                self.start(lane, Duration::ZERO);
            }
            return;
        }
        let crew = Arc::clone(self);
        // On a thread of our own: the runtime's may all be waiting for this very worker.
        self.context.spawn_thread(move || {
            if let Some(lane) = arrival.claim() {
                crew.start(lane, Duration::ZERO);
            }
        });
    }

    /// Starts a process for a place in the pool, after a pause.
    fn start(self: &Arc<Self>, lane: Lane, pause: Duration) {
        thread::sleep(pause);
        if lane.is_useless() {
            return;
        }
        let starting = self.starting.fetch_add(1, Ordering::SeqCst) + 1;
        lane.call_next(starting);
        let outcome = match launch::launch(self, &lane) {
            Ok((child, control, link)) => {
                // In the list, with the bell watched, before anything can happen to it.
                let mut list = lock(&self.workers);
                let employed = match self.watch_bell(&mut list) {
                    Ok(()) => Worker::employ(self, child, control, link, lane),
                    Err(error) => Err((error, Some(lane))),
                };
                let employed = employed.map_err(|(error, lane)| (NotStarted::System(error), lane));
                if let Ok(worker) = &employed {
                    list.workers.push(Arc::clone(worker));
                    if let Some(lone) = &self.options.lone {
                        lone.begin(worker);
                    }
                }
                drop(list);
                employed.map(|worker| {
                    if let Some(Some(Ok(call))) = self.pool().map(|pool| pool.initializer_call().cloned()) {
                        worker.place(&call.names);
                    }
                    worker.look_after();
                })
            }
            Err(error) => Err((error, Some(lane))),
        };
        self.starting.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            Err((NotStarted::System(error), Some(lane))) => {
                self.failed(lane, TaskError::Broken(format!("no worker process could be started: {error}")));
            }
            #[cfg(feature = "engine")]
            Err((NotStarted::Engine(error), Some(lane))) => {
                match self.options.site.as_ref().and_then(|site| site.gone()) {
                    Some(why) => self.give_up(why),
                    None => self.failed(lane, error),
                }
            }
            _ => {}
        }
    }

    fn watch_bell(self: &Arc<Self>, list: &mut List) -> io::Result<()> {
        if list.watch.is_none() {
            let me: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Watcher>));
            list.generation += 1;
            list.watch = Some(self.start_watch(list, me)?);
        }
        Ok(())
    }

    /// By the runtime, where that spares a switch between threads; else by a thread of ours.
    #[cfg_attr(not(feature = "tokio"), expect(unused_variables, reason = "there is no runtime to ask"))]
    fn start_watch(self: &Arc<Self>, list: &List, me: Weak<dyn Watcher>) -> io::Result<BellWatch> {
        #[cfg(feature = "tokio")]
        if !list.runtime_is_late
            && let Some(pool) = self.pool()
            && let Some(watch) =
                pool.port().watch(Arc::clone(&self.bell), Weak::clone(&me), RUNG, list.generation)
        {
            self.by_runtime.store(true, Ordering::SeqCst);
            return Ok(BellWatch::ByRuntime { _watch: watch });
        }
        Ok(BellWatch::ByThread { _watch: watch(Arc::clone(&self.bell), Trigger::Edge, me, RUNG)? })
    }

    /// A runtime that nobody drives hears nothing. So now and then somebody looks, as long as it is the one to hear.
    #[cfg(feature = "tokio")]
    fn watch_runtime(self: &Arc<Self>) {
        let at = std::time::Instant::now() + PATIENCE;
        *lock(&self.round) =
            Some(crate::runtime::Alarm::set(at, Waker::from(Arc::new(Round(Arc::downgrade(self))))));
    }

    /// Looks for replies that nobody has taken for so long. If there are, the thread of ours takes over.
    #[cfg(feature = "tokio")]
    fn make_round(self: &Arc<Self>) {
        self.makes_rounds.store(false, Ordering::SeqCst);
        let workers = self.all();
        let is_late = workers.iter().filter(|worker| worker.is_overdue()).count() > 0;
        if is_late && self.by_runtime.load(Ordering::SeqCst) {
            self.take_over();
        } else if workers.iter().any(|worker| worker.is_busy()) {
            self.expects_replies();
        }
    }

    /// A worker has something to do, and will ring the bell when it is done.
    #[cfg(feature = "tokio")]
    pub(super) fn expects_replies(self: &Arc<Self>) {
        if self.by_runtime.load(Ordering::Relaxed)
            && !self.makes_rounds.load(Ordering::SeqCst)
            && !self.makes_rounds.swap(true, Ordering::SeqCst)
        {
            self.watch_runtime();
        }
    }

    #[cfg(not(feature = "tokio"))]
    pub(super) fn expects_replies(&self) {}

    /// The runtime does not hear the bell, or not soon enough.
    fn take_over(self: &Arc<Self>) {
        self.by_runtime.store(false, Ordering::SeqCst);
        let me: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Watcher>));
        let old = {
            let mut list = lock(&self.workers);
            list.runtime_is_late = true;
            if list.workers.is_empty() {
                list.watch.take()
            } else {
                match watch(Arc::clone(&self.bell), Trigger::Edge, me, RUNG) {
                    Ok(watch) => list.watch.replace(BellWatch::ByThread { _watch: watch }),
                    Err(error) => {
                        tracing::error!(%error, "nobody hears the bell of the worker processes");
                        None
                    }
                }
            }
        };
        drop(old);
        self.readable_now();
    }

    fn readable_now(self: &Arc<Self>) {
        for worker in self.all() {
            worker.collect();
        }
    }

    /// A worker says that it works.
    pub(super) fn works(&self) {
        lock(&self.workers).failures = 0;
    }

    /// A process has ended before it did anything.
    pub(super) fn stillborn(self: &Arc<Self>, lane: Lane, before: &str, exit: Exit) {
        if let Some(lone) = &self.options.lone {
            return self.give_up(TaskError::WorkerLost(WorkerLost::new(lane.worker(), lone.pid(), exit)));
        }
        let reason = format!("a worker process ended before {before}, {}", in_words(exit));
        self.failed(lane, TaskError::Broken(reason));
    }

    /// Tries again after a pause, unless it is hopeless.
    fn failed(self: &Arc<Self>, lane: Lane, reason: TaskError) {
        if lane.is_useless() {
            return;
        }
        let (failures, alone) = {
            let mut list = lock(&self.workers);
            list.failures += 1;
            (list.failures, list.workers.iter().all(|worker| !worker.is_ready()))
        };
        if self.options.lone.is_some() {
            // Whoever wanted it is told, and sees to it himself.
            return self.give_up(reason);
        }
        tracing::warn!(pool = self.context.settings().name, failures, "{reason}");
        if failures >= MOST_FAILURES && alone {
            if let Some(pool) = self.pool() {
                pool.fail(match reason {
                    TaskError::Broken(reason) => TaskError::Broken(format!("{reason} ({failures} attempts)")),
                    other => other,
                });
            }
            return;
        }
        let pause = PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        let crew = Arc::clone(self);
        self.context.spawn_thread(move || crew.start(lane, pause));
    }

    /// No worker will ever work.
    pub(super) fn give_up(&self, reason: TaskError) {
        if let Some(pool) = self.pool() {
            pool.fail(reason);
        }
    }

    /// Who hears what becomes of the engine.
    #[cfg(feature = "engine")]
    pub(super) fn ear(self: &Arc<Self>) -> Arc<dyn super::site::Told> {
        Arc::new(Ear(Arc::downgrade(self)))
    }

    /// Connects to where the workers are. Blocks.
    #[cfg(feature = "engine")]
    pub(super) fn connect(&self) -> Result<(), TaskError> {
        let Some(site) = &self.options.site else { return Ok(()) };
        let slots = site.connect()?;
        if let Some(n) = slots {
            self.has_room(n);
        }
        Ok(())
    }

    /// There is room for so many workers where they are. Who has said how many there may be has the last word.
    #[cfg(feature = "engine")]
    fn has_room(&self, n: usize) {
        if !self.context.settings().is_sized
            && let Some(pool) = self.pool()
            && pool.max_workers() != n.max(1)
        {
            pool.resize(n.max(1));
        }
    }

    // ---- who is there

    /// A worker has nothing to do: others may have too much.
    pub(super) fn share_with(&self, idle: &Arc<Worker>) {
        if self.options.prefetch
            && self.all().iter().any(|other| !Arc::ptr_eq(other, idle) && other.share())
            && let Some(pool) = self.pool()
        {
            pool.call_if_tasks();
        }
    }

    pub(super) fn progressed(&self, task: TaskId, done: u64, total: u64) {
        if let Some(pool) = self.pool() {
            pool.progressed(task, done, total);
        }
    }

    // ---- who goes

    /// A process has ended.
    pub(super) fn ended(&self, exit: Exit) {
        if let Some(lone) = &self.options.lone {
            lone.end(exit);
        }
    }

    pub(super) fn buried(&self, worker: &Arc<Worker>) {
        let (watch, gone) = {
            let mut list = lock(&self.workers);
            list.workers.retain(|other| !Arc::ptr_eq(other, worker));
            let gone = list.workers.is_empty();
            (if gone { list.watch.take() } else { None }, gone)
        };
        drop(watch);
        // Who comes in its place may have what waits behind others.
        for other in self.all() {
            other.recall();
        }
        if gone {
            std::mem::take(&mut *lock(&self.waiting_for_end)).into_iter().for_each(wake);
        }
    }
}

fn in_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("with code {code}"),
        Exit::Signal(signal) => format!("by signal {signal}"),
        Exit::Unknown => "nobody knows how".to_owned(),
    }
}

impl Watcher for Crew {
    fn readable(self: Arc<Self>, what: u32) {
        if what == RUNG {
            self.readable_now();
            return;
        }
        // The runtime has ended, unless it was told to stop watching.
        let is_watching = {
            let list = lock(&self.workers);
            list.generation == what && list.watch.as_ref().is_some_and(BellWatch::is_by_runtime)
        };
        if is_watching {
            self.take_over();
        }
    }
}

/// What the one who watches the bell has heard: that it rang. The number of the watch says that it is over.
const RUNG: u32 = 0;

/// How long a reply may lie there before somebody else sees to it.
#[cfg(feature = "tokio")]
const PATIENCE: Duration = Duration::from_millis(20);

/// Who hears the bell, until it is dropped.
enum BellWatch {
    #[cfg(feature = "tokio")]
    ByRuntime {
        _watch: crate::runtime::Readiness,
    },
    ByThread {
        _watch: Watch,
    },
}

impl BellWatch {
    fn is_by_runtime(&self) -> bool {
        match self {
            #[cfg(feature = "tokio")]
            Self::ByRuntime { .. } => true,
            Self::ByThread { .. } => false,
        }
    }
}

/// Wakes the crew for its round.
#[cfg(feature = "tokio")]
struct Round(Weak<Crew>);

#[cfg(feature = "tokio")]
impl std::task::Wake for Round {
    fn wake(self: Arc<Self>) {
        if let Some(crew) = self.0.upgrade() {
            crew.make_round();
        }
    }
}
