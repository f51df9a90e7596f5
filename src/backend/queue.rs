//! The queue that all backends share: priority first, then order of submission. Owns nothing but the order; who is woken, what
//! is counted and when a task may be refused for want of room is the pool's.
//!
//! Two locks, so that submitters and workers seldom meet: submitters append to the *inbox*; a worker that finds nothing *ready*
//! takes the whole inbox at once.
//!
//! 1. Order: entries of one priority pass from inbox to ready in the order in which they came, and the inbox is moved before any
//!    entry is taken that something in it might precede (`ranked` says that there is such a thing).
//! 2. Seen or seeing: `push` holds the inbox lock, `is_empty` holds it too. So of a worker that goes to sleep and a submitter one
//!    is later: either the worker sees the task, or the submitter sees the sleeper. See `lanes`.
//! 3. A withdrawn task stays where it is and is skipped by who takes it. When such leftovers are the greater part, they are
//!    swept out, so that cancelling for ever costs no memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use crate::{
    error::TaskError,
    sys::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock},
    task::{AnyTask, TaskId, TaskState},
};

pub(crate) type Entry = Arc<dyn AnyTask>;

/// Below this many leftovers a sweep is not worth its while.
const SWEEP_FROM: usize = if cfg!(miri) { 16 } else { 1024 };

/// A queue that was this long gives its memory back when it is empty.
const KEEP_CAPACITY: usize = 4096;

#[derive(Default)]
pub(crate) struct Queue {
    inbox: Mutex<Inbox>,
    ready: Mutex<Ready>,
    /// The inbox holds something whose priority is not 0.
    ranked: AtomicBool,
    leftovers: AtomicUsize,
}

#[derive(Default)]
struct Inbox {
    plain: VecDeque<Entry>,
    ranked: Vec<(i32, Entry)>,
    numbered: u64,
    pushed: u64,
    closed: Option<TaskError>,
}

#[derive(Default)]
struct Ready {
    plain: VecDeque<Entry>,
    ranked: BTreeMap<Reverse<i32>, VecDeque<Entry>>,
}

impl Queue {
    /// Appends a task and numbers it, unless the queue is closed.
    pub(crate) fn push(&self, task: Entry, priority: i32) -> Result<(), TaskError> {
        let mut inbox = lock(&self.inbox);
        if task.id() == TaskId(0) {
            inbox.number(&task);
        }
        if let Some(reason) = &inbox.closed {
            return Err(reason.clone());
        }
        inbox.pushed += u64::from(task.is_counted());
        if priority == 0 {
            inbox.plain.push_back(task);
        } else {
            inbox.ranked.push((priority, task));
            self.ranked.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Numbers a task before it is pushed, so that it can be spoken of.
    pub(crate) fn number(&self, task: &Entry) {
        lock(&self.inbox).number(task);
    }

    /// Numbers and counts a task that goes another way.
    pub(crate) fn count(&self, task: &Entry) -> Result<(), TaskError> {
        let mut inbox = lock(&self.inbox);
        inbox.number(task);
        inbox.pushed += u64::from(inbox.closed.is_none() && task.is_counted());
        inbox.closed.clone().map_or(Ok(()), Err)
    }

    /// Puts a task back to the front of its priority; also into a closed queue, for it was let in before.
    pub(crate) fn put_back(&self, task: Entry, priority: i32) {
        let mut ready = lock(&self.ready);
        if priority == 0 {
            ready.plain.push_front(task);
        } else {
            ready.ranked.entry(Reverse(priority)).or_default().push_front(task);
        }
    }

    /// A task that had begun waits once more.
    pub(crate) fn count_again(&self, task: &Entry) {
        lock(&self.inbox).pushed += u64::from(task.is_counted());
    }

    /// Takes the next task, withdrawn ones included.
    pub(crate) fn pop(&self) -> Option<Entry> {
        let mut ready = lock(&self.ready);
        if self.ranked.load(Ordering::Acquire) {
            self.fetch(&mut ready);
        }
        ready.take().or_else(|| {
            self.fetch(&mut ready);
            ready.take()
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        let ready = lock(&self.ready);
        ready.is_empty() && lock(&self.inbox).is_empty()
    }

    /// Is there nothing to be done? What was withdrawn, or is run by who waits for it, is not.
    pub(crate) fn is_done(&self) -> bool {
        let ready = lock(&self.ready);
        let inbox = lock(&self.inbox);
        let waits = |task: &Entry| task.state() == TaskState::Queued;
        !ready.ranked.values().flatten().chain(&ready.plain).any(waits)
            && !inbox.plain.iter().chain(inbox.ranked.iter().map(|(_, task)| task)).any(waits)
    }

    /// How many tasks were ever let in.
    pub(crate) fn pushed(&self) -> u64 {
        lock(&self.inbox).pushed
    }

    /// Lets nothing more in, for this reason. The first reason stays.
    pub(crate) fn close(&self, reason: TaskError) {
        lock(&self.inbox).closed.get_or_insert(reason);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.check_open().is_err()
    }

    pub(crate) fn check_open(&self) -> Result<(), TaskError> {
        lock(&self.inbox).closed.clone().map_or(Ok(()), Err)
    }

    /// Takes everything.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let mut ready = lock(&self.ready);
        self.fetch(&mut ready);
        let Ready { plain, ranked } = mem::take(&mut *ready);
        drop(ready);
        ranked.into_values().flatten().chain(plain).collect()
    }

    /// A task in the queue was withdrawn, and its entry is of no use any more.
    pub(crate) fn left_over(&self) {
        let leftovers = self.leftovers.fetch_add(1, Ordering::Relaxed) + 1;
        if leftovers >= SWEEP_FROM && leftovers.is_multiple_of(SWEEP_FROM) {
            self.sweep();
        }
    }

    /// Sweeps for the one leftover of a model.
    #[cfg(all(any(polypool_loom, test), feature = "processes", target_os = "linux"))]
    pub(crate) fn sweep_now(&self) {
        self.leftovers.fetch_add(1, Ordering::Relaxed);
        self.sweep();
    }

    /// Such an entry was taken.
    pub(crate) fn left_over_taken(&self) {
        // A task may be withdrawn after it was taken and before it began; then the two calls come in the other order.
        let _ =
            self.leftovers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(1)));
    }

    fn sweep(&self) {
        let mut swept = Vec::new();
        let mut ready = lock(&self.ready);
        self.fetch(&mut ready);
        if self.leftovers.load(Ordering::Relaxed) * 2 > ready.len() {
            let Ready { plain, ranked } = &mut *ready;
            for queue in ranked.values_mut().chain([plain]) {
                let (dead, live) = mem::take(queue)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|task| task.state() != TaskState::Queued);
                *queue = live;
                swept.push(dead);
            }
            ready.ranked.retain(|_, queue| !queue.is_empty());
            self.leftovers.store(0, Ordering::Relaxed);
        }
        drop(ready);
    }

    /// Moves the inbox to what is ready.
    fn fetch(&self, ready: &mut Ready) {
        let mut inbox = lock(&self.inbox);
        if ready.plain.is_empty() {
            mem::swap(&mut ready.plain, &mut inbox.plain);
            if inbox.plain.capacity() > KEEP_CAPACITY {
                inbox.plain = VecDeque::new();
            }
        } else {
            ready.plain.append(&mut inbox.plain);
        }
        for (priority, task) in inbox.ranked.drain(..) {
            ready.ranked.entry(Reverse(priority)).or_default().push_back(task);
        }
        self.ranked.store(false, Ordering::Release);
    }
}

impl Inbox {
    fn number(&mut self, task: &Entry) {
        self.numbered += 1;
        task.set_id(TaskId(self.numbered));
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.ranked.is_empty()
    }
}

impl Ready {
    fn take(&mut self) -> Option<Entry> {
        if self.ranked.is_empty() {
            return self.plain.pop_front();
        }
        let first = *self.ranked.first_key_value()?.0;
        if first > Reverse(0) && !self.plain.is_empty() {
            return self.plain.pop_front();
        }
        let queue = self.ranked.get_mut(&first)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            self.ranked.remove(&first);
        }
        task
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.ranked.is_empty()
    }

    fn len(&self) -> usize {
        self.plain.len() + self.ranked.values().map(VecDeque::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Blocking, TaskCell};

    fn task() -> Entry {
        Arc::new(TaskCell::new(Blocking(|| ())))
    }

    fn ids(queue: &Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|task| task.id().0).collect()
    }

    #[test]
    fn priority_goes_before_order_also_across_the_two_halves() {
        let queue = Queue::default();
        for priority in [0, -1, 5, 0] {
            queue.push(task(), priority).expect("open");
        }
        assert_eq!(queue.pop().map(|task| task.id().0), Some(3));
        for priority in [5, 0, -1, 9] {
            queue.push(task(), priority).expect("open");
        }
        assert_eq!(ids(&queue), [8, 5, 1, 4, 6, 2, 7]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_put_back_is_next_of_its_priority() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.push(task(), 0).expect("open");
        }
        let first = queue.pop().expect("there");
        queue.put_back(first, 0);
        assert_eq!(ids(&queue), [1, 2, 3]);
    }

    #[test]
    fn leftovers_are_swept_out() {
        let queue = Queue::default();
        queue.push(task(), 0).expect("open");
        for _ in 0..10 * SWEEP_FROM {
            let withdrawn = task();
            queue.push(Arc::clone(&withdrawn), 0).expect("open");
            withdrawn.resolve(TaskError::Cancelled, false, &());
            queue.left_over();
        }
        assert!(lock(&queue.ready).len() + lock(&queue.inbox).plain.len() <= 3 * SWEEP_FROM);
        assert_eq!(queue.pop().map(|task| task.id().0), Some(1));
    }

    #[test]
    fn a_closed_queue_keeps_what_it_has_and_says_why_it_takes_no_more() {
        let queue = Queue::default();
        queue.push(task(), 0).expect("open");
        queue.close(TaskError::Shutdown);
        queue.close(TaskError::Cancelled);
        assert!(matches!(queue.push(task(), 0), Err(TaskError::Shutdown)));
        assert_eq!(queue.drain().len(), 1);
        assert!(queue.is_empty());
    }
}
