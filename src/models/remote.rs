//! A task that travels: sent ahead to a worker process, and taken, withdrawn and called back at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{
    cell::{Counts, result},
    explore, memory, thread,
};
use crate::{
    error::TaskError,
    function::{Call, Counted, Names, Reply, open},
    sys::shm::Mapping,
    task::{AnyTask, Claim, RemoteCell, Resolved, TaskState},
    wire::layout,
};

const TICKET: u64 = 5;

struct Claims(Arc<Mapping>);

impl Claim for Claims {
    fn withdraw(&self, ticket: u64) -> bool {
        layout::Claim::of(ticket).withdraw(&self.0)
    }

    fn is_taken(&self, ticket: u64) -> bool {
        layout::Claim::of(ticket).is_taken(&self.0)
    }
}

/// A task that was sent ahead, and the memory in which its claim is.
fn sent() -> (Arc<RemoteCell<u8>>, Arc<Mapping>) {
    let memory = Arc::new(memory(2048));
    let task = Arc::new(RemoteCell::new(Call::new(1, Vec::new(), 1), open::<u8>, None, false, true));
    let claims: Arc<dyn Claim> = Arc::new(Claims(Arc::clone(&memory)));
    layout::Claim::of(TICKET).send(&memory);
    assert!(task.send(&claims, TICKET, 0).is_some());
    (task, memory)
}

/// The worker process: performs the call if it may.
fn worker(memory: &Mapping, performed: &AtomicU32) -> bool {
    let is_taken = layout::Claim::of(TICKET).take(memory);
    performed.fetch_add(is_taken.into(), Relaxed);
    is_taken
}

/// *Pending is exact across processes.* Of a worker that takes a call which was sent ahead and one who withdraws it, one wins. Of
/// what was taken, the reply is the result.
#[cfg_attr(test, test)]
pub fn a_call_is_taken_or_withdrawn() {
    explore(3, || {
        let (task, memory) = sent();
        let (performed, counts) = (Arc::new(AtomicU32::new(0)), Arc::new(Counts::default()));
        let pool = thread::spawn({
            let (task, performed, counts) = (Arc::clone(&task), Arc::clone(&performed), Arc::clone(&counts));
            move || {
                if worker(&memory, &performed) {
                    assert!(task.begin(&*counts), "taken, and withdrawn");
                    let reply = Reply { result: Ok(vec![7]), tally: Counted::default(), names: Names::new() };
                    if let (Some(waker), _) = task.reply(reply, None, &*counts) {
                        waker.wake();
                    }
                }
            }
        });
        let canceller = thread::spawn({
            let (task, counts) = (Arc::clone(&task), Arc::clone(&counts));
            move || task.resolve(TaskError::Cancelled, false, &*counts)
        });
        let result = result(&*task);
        pool.join().expect("a worker");
        match canceller.join().expect("a canceller") {
            Some(was) => {
                assert_eq!(was, Resolved::Queued);
                assert!(matches!(result, Err(TaskError::Cancelled)));
                assert_eq!(performed.load(Relaxed), 0, "cancelled, and performed");
            }
            None => {
                assert_eq!(result.ok(), Some(7));
                assert_eq!(performed.load(Relaxed), 1);
            }
        }
    });
}

/// *A call is in one place.* Taken by the worker, back in the queue or cancelled: never two of these, and never none.
#[cfg_attr(test, test)]
pub fn a_call_that_is_called_back_is_in_one_place() {
    explore(3, || {
        let (task, memory) = sent();
        let performed = Arc::new(AtomicU32::new(0));
        let worker = thread::spawn({
            let performed = Arc::clone(&performed);
            move || worker(&memory, &performed)
        });
        let canceller = thread::spawn({
            let task = Arc::clone(&task);
            move || task.resolve(TaskError::Cancelled, false, &())
        });
        let is_back = task.recall();
        let is_taken = worker.join().expect("a worker");
        let is_cancelled = canceller.join().expect("a canceller").is_some();
        let state = task.state();
        match (is_taken, is_cancelled) {
            (true, false) => assert!(!is_back && state == TaskState::Running, "{state:?}"),
            // It may have been called back before.
            (false, true) => assert_eq!(state, TaskState::Finished),
            (false, false) => assert!(is_back && state == TaskState::Queued, "{state:?}"),
            (true, true) => panic!("cancelled, and performed"),
        }
    });
}
