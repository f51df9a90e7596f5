//! The pool of the task that runs in this process, as that task sees it: a backend whose workers pass each call on to the pool
//! itself, by way of the socket, and bring back what became of it. Owns the calls that are on their way.
//!
//! A *forwarder* is such a worker: it holds a lane and passes on one call at a time. As everywhere in a worker process, nobody
//! waits: who has a reason looks after it, one at a time; who comes meanwhile leaves word.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::{Poll, Wake, Waker},
    thread,
    time::Duration,
};

use async_trait::async_trait;

use super::{
    help::help,
    here::{Here, here},
    placing::{Parcels, ids},
};
use crate::{
    backend::{
        Arrival, Awaited, Backend, Capabilities, Entry, Lane, PoolContext, Stats, Workers, seat::Seat,
    },
    error::TaskError,
    function::{Counted, Names, Reply, named::Id},
    policy::CancellationPolicy,
    sys::lock::lock,
    task::catch::wake,
    wire::control::{Submission, ToPool},
};

/// The pool from which this process has its tasks.
#[derive(Debug)]
pub(crate) struct Upstream;

/// The backend whose workers are on the pool's own machine.
const HERE: &str = "processes";

impl Backend for Upstream {
    fn name(&self) -> &str {
        here().map_or(HERE, |here| &here.place.backend)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_process: false,
            futures: true,
            stops_running: true,
            shared_memory: here().is_some_and(|here| here.words.are_shared()),
            survives_worker_loss: true,
            distributed: here().is_some_and(|here| here.place.backend != HERE),
            nests: true,
        }
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        let here = here().ok_or_else(|| TaskError::Broken("this process is no worker".to_owned()))?;
        here.helping.is_ready(context);
        Ok(Box::new(Forwarders { here, wanted: Mutex::default() }))
    }
}

struct Forwarders {
    here: &'static Here,
    /// Those who are wanted while another comes, who wants them; on his own thread, they would nest. None while nobody comes.
    wanted: Mutex<Option<Vec<Arrival>>>,
}

#[async_trait]
impl Workers for Forwarders {
    fn wanted(&self, arrival: Arrival) {
        {
            let mut wanted = lock(&self.wanted);
            if let Some(wanted) = &mut *wanted {
                wanted.push(arrival);
                return;
            }
            *wanted = Some(Vec::new());
        }
        let mut next = Some(arrival);
        while let Some(arrival) = next {
            if let Some(lane) = arrival.claim() {
                Forwarder::start(self.here, lane);
            }
            let mut wanted = lock(&self.wanted);
            next = wanted.as_mut().and_then(Vec::pop);
            if next.is_none() {
                *wanted = None;
            }
        }
    }

    fn resized(&self, max_workers: usize) {
        self.here.upstream.post(self.here, ToPool::Resize { max_workers: max_workers as u64 });
    }

    fn closing(&self, policy: CancellationPolicy) {
        *lock(&self.here.upstream.end) = End::Awaited(Vec::new());
        let passed_on: Vec<_> = lock(&self.here.upstream.forwarders).values().cloned().collect();
        passed_on.iter().for_each(|forwarder| forwarder.await_end());
        self.here
            .upstream
            .post(self.here, ToPool::ShutDown { ticket: self.here.ticket(), policy: policy.bits() });
    }

    async fn gone(&self) -> Option<Stats> {
        let counts = std::future::poll_fn(|cx| match &mut *lock(&self.here.upstream.end) {
            End::Came(stats) => Poll::Ready(Some(stats.clone())),
            End::Awaited(wakers) => {
                wakers.push(cx.waker().clone());
                Poll::Pending
            }
            End::Nobody => Poll::Ready(None),
        });
        counts.await
    }

    fn awaited(&self) -> Option<Box<dyn Send + Sync>> {
        Some(leave(self.here))
    }

    fn awaited_one(&self) -> Option<Box<dyn Send + Sync>> {
        Some(Box::new(Left::new(self.here, true)))
    }

    fn help(&self, task: Awaited<'_>) -> bool {
        help(self.here, task.task())
    }
}

/// The task here waits for others of its pool, and another worker has its place, until this is dropped.
struct Left {
    here: &'static Here,
    ticket: u64,
}

/// Gives the place of this worker away until the guard is dropped.
pub(crate) fn leave(here: &'static Here) -> Box<dyn Send + Sync> {
    Box::new(Left::new(here, false))
}

impl Left {
    fn new(here: &'static Here, held: bool) -> Self {
        let ticket = here.ticket();
        let mut waits = lock(&here.upstream.waits);
        let waits = waits.entry(ticket).or_default();
        *waits += 1;
        if *waits == 1 && ticket != 0 {
            here.upstream.post(here, ToPool::Leave { ticket, held });
        }
        Self { here, ticket }
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let Self { here, ticket } = *self;
        let mut waits = lock(&here.upstream.waits);
        // What outlives its call finds nothing here.
        if let Some(n) = waits.get_mut(&ticket) {
            *n -= 1;
            if *n == 0 {
                waits.remove(&ticket);
                if ticket != 0 {
                    here.upstream.post(here, ToPool::Rejoin { ticket });
                }
            }
        }
    }
}

/// How long a worker that is to go may take to send what its tasks have submitted.
const LAST_MOMENT: Duration = Duration::from_secs(1);

enum Letter {
    Message(ToPool),
    /// A message, and what is to be there before it.
    Naming(Parcels, ToPool),
    /// Everything before it was sent.
    Receipt(mpsc::Sender<()>),
}

/// What is on its way from this process to its pool.
#[derive(Default)]
pub(crate) struct Sendings {
    next: AtomicU64,
    /// How many things each call that is under way waits for.
    waits: Mutex<HashMap<u64, usize>>,
    /// The numbers of tasks that were passed on, by their address.
    numbers: Mutex<HashMap<usize, u64>>,
    forwarders: Mutex<HashMap<u64, Arc<Forwarder>>>,
    end: Mutex<End>,
    /// Something was posted since it was last flushed.
    has_posted: AtomicBool,
    /// Messages go through a thread of their own: the one that listens must never wait for the pool, which may wait for it.
    post: Mutex<Option<mpsc::Sender<Letter>>>,
}

/// The end of the pool, if a task here asked for it.
#[derive(Default)]
enum End {
    #[default]
    Nobody,
    Awaited(Vec<Waker>),
    Came(Stats),
}

impl Sendings {
    fn is_ending(&self) -> bool {
        !matches!(&*lock(&self.end), End::Nobody)
    }

    /// The pool has ended.
    pub(super) fn gone(&self, stats: Stats) {
        if let End::Awaited(wakers) = std::mem::replace(&mut *lock(&self.end), End::Came(stats)) {
            wakers.into_iter().for_each(wake);
        }
    }

    /// A call is over, and what it waited for.
    pub(super) fn over(&self, ticket: u64) {
        lock(&self.waits).remove(&ticket);
    }

    /// By which number the pool knows a task, if it was passed on and is not over.
    pub(super) fn number_of(&self, task: &Entry) -> Option<u64> {
        lock(&self.numbers).get(&address(task)).copied()
    }

    /// It is performed here, and its result on the way.
    pub(super) fn number_is_over(&self, task: &Entry) {
        lock(&self.numbers).remove(&address(task));
    }

    pub(super) fn post(&self, here: &'static Here, message: ToPool) {
        self.post_letter(here, Letter::Message(message));
    }

    /// Posts what names these. What the pool has not got from this call goes before it.
    pub(super) fn post_naming(&self, here: &'static Here, names: &Names, message: ToPool) {
        if names.is_empty() {
            return self.post(here, message);
        }
        // One letter, so that nothing comes between that needs what is said to be sent.
        let parcels = here.given.parcels(here.ticket(), names);
        self.post_letter(here, Letter::Naming(parcels, message));
    }

    /// The result of the call names these, or what there is of it so far. Returns when the pool can know that.
    pub(super) fn name(&self, here: &'static Here, names: Names) {
        let message = ToPool::Named { ticket: here.ticket(), names: ids(&names) };
        self.post_naming(here, &names, message);
        let (send, receive) = mpsc::channel();
        self.post_letter(here, Letter::Receipt(send));
        // There is none if there is no writer. Then the pool learns that from the result.
        let _ = receive.recv();
    }

    /// Asks the pool for something that is named here.
    pub(super) fn ask(&self, here: &'static Here, id: Id) {
        self.post(here, ToPool::Ask { id: id.into() });
    }

    fn post_letter(&self, here: &'static Here, letter: Letter) {
        self.has_posted.store(true, Ordering::SeqCst);
        let mut post = lock(&self.post);
        let post = post.get_or_insert_with(|| {
            let (send, receive) = mpsc::channel();
            let writer = move || {
                for letter in receive {
                    match letter {
                        Letter::Message(message) => here.outlet.say(&message),
                        Letter::Naming(parcels, message) => {
                            parcels.send(&here.outlet);
                            here.outlet.say(&message);
                        }
                        // Who asked is gone if he did not wait.
                        Letter::Receipt(to) => drop(to.send(())),
                    }
                }
            };
            if let Err(error) = thread::Builder::new().name("polypool-post".to_owned()).spawn(writer) {
                tracing::error!(%error, "no thread for the messages of a worker process");
            }
            send
        });
        // Without a writer nothing can be done, and the pool sees the worker wait.
        let _ = post.send(letter);
    }

    /// Something was said without being posted, and is to be read before the reply.
    pub(super) fn said(&self) {
        self.has_posted.store(true, Ordering::SeqCst);
    }

    /// Waits until what was posted is sent, but not for long. False when there was nothing.
    pub(super) fn flush(&self) -> bool {
        if !self.has_posted.swap(false, Ordering::SeqCst) {
            return false;
        }
        let (send, receive) = mpsc::channel();
        if let Some(post) = &*lock(&self.post)
            && post.send(Letter::Receipt(send)).is_ok()
        {
            let _ = receive.recv_timeout(LAST_MOMENT);
        }
        true
    }

    /// A call that was passed on is over.
    pub(super) fn ended(&self, id: u64, result: Result<Vec<u8>, TaskError>, names: Names) {
        let forwarder = lock(&self.forwarders).remove(&id);
        if let Some(forwarder) = forwarder {
            *lock(&forwarder.reply) = Some(Ended { id, result, names });
            forwarder.look_after();
        }
    }
}

fn address(task: &Entry) -> usize {
    Arc::as_ptr(task).cast::<()>().addr()
}

/// What became of a call.
struct Ended {
    id: u64,
    result: Result<Vec<u8>, TaskError>,
    names: Names,
}

struct Forwarder {
    here: &'static Here,
    seat: Arc<Seat>,
    state: Mutex<State>,
    again: AtomicBool,
    reply: Mutex<Option<Ended>>,
}

struct State {
    /// None when it is over.
    lane: Option<Lane>,
    sent: Option<(u64, Entry)>,
    was_stopped: bool,
}

impl Forwarder {
    fn start(here: &'static Here, lane: Lane) {
        let seat = Arc::clone(lane.seat());
        let state = State { lane: Some(lane), sent: None, was_stopped: false };
        let forwarder = Arc::new(Self {
            here,
            seat: Arc::clone(&seat),
            state: Mutex::new(state),
            again: AtomicBool::new(false),
            reply: Mutex::default(),
        });
        seat.set_keeper(Waker::from(Arc::clone(&forwarder)));
        forwarder.look_after();
    }

    /// The end of the pool does not wait here for what was passed on: it is the pool itself that waits for it, or not.
    fn await_end(&self) {
        self.seat.await_end();
        if let Some(pool) = self.seat.pool() {
            pool.check_gone();
        }
    }

    fn look_after(self: &Arc<Self>) {
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            let mut state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while self.again.swap(false, Ordering::SeqCst) {
                self.step(&mut state);
            }
        }
    }

    fn step(self: &Arc<Self>, state: &mut State) {
        let reply = lock(&self.reply).take();
        if let Some(Ended { id, result, names }) = reply
            && let Some((_, task)) = state.sent.take_if(|(sent, _)| *sent == id)
            && let Some(lane) = &state.lane
        {
            lock(&self.here.upstream.numbers).remove(&address(&task));
            match task.stop_asked() {
                Some(reason) => lane.stopped_call(&task, reason),
                None => {
                    let tasks = u32::try_from(task.tasks()).unwrap_or(u32::MAX);
                    let tally = match &result {
                        Ok(_) => Counted { completed: tasks, ..Counted::default() },
                        Err(_) => Counted { failed: tasks, ..Counted::default() },
                    };
                    let reply = Reply { result: result.map_err(Box::new), tally, names };
                    if let (Some(waker), _) = lane.end_call(&task, reply, None) {
                        wake(waker);
                    }
                }
            }
        }
        if let Some((id, task)) = &state.sent {
            if !state.was_stopped && task.stop_asked().is_some() {
                state.was_stopped = true;
                self.here.upstream.post(self.here, ToPool::Cancel { id: *id });
            }
            return;
        }
        let me = Waker::from(Arc::clone(self));
        while let Some(lane) = &mut state.lane {
            match lane.poll_next(&me) {
                Poll::Pending => return,
                Poll::Ready(None) => state.lane = None,
                Poll::Ready(Some(task)) => {
                    let Some((submission, names)) = self.submission(&task) else {
                        lane.found_withdrawn();
                        continue;
                    };
                    if lane.begin_call(&task) {
                        state.was_stopped = false;
                        lock(&self.here.upstream.numbers).insert(address(&task), submission.id);
                        state.sent = Some((submission.id, task));
                        lock(&self.here.upstream.forwarders).insert(submission.id, Arc::clone(self));
                        let message = ToPool::Submit(Box::new(submission));
                        self.here.upstream.post_naming(self.here, &names, message);
                        if self.here.upstream.is_ending() {
                            self.await_end();
                        }
                        return;
                    }
                }
            }
        }
    }

    /// What is said of it, and what it names.
    fn submission(&self, task: &Entry) -> Option<(Submission, Names)> {
        let call = task.call()?;
        let options = task.options();
        let options = options.as_deref();
        let submission = Submission {
            id: self.here.upstream.next.fetch_add(1, Ordering::Relaxed) + 1,
            entry: call.entry,
            arg: call.arg.to_vec(),
            tasks: call.tasks,
            priority: options.map_or(0, |options| options.priority),
            name: options.and_then(|options| options.name.as_deref().map(str::to_owned)),
            timeout: options.and_then(|options| options.timeout),
            retries: options.and_then(|options| options.retries),
            is_counted: task.is_counted(),
            names: ids(&call.names),
        };
        Some((submission, call.names.clone()))
    }
}

impl Wake for Forwarder {
    fn wake(self: Arc<Self>) {
        self.look_after();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.look_after();
    }
}
