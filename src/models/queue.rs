//! The queue between submitters and workers that come and go in any order.

use std::sync::Arc;

use super::{explore, thread};
use crate::{
    backend::{Entry, Queue},
    error::TaskError,
    task::{Blocking, TaskCell, TaskState},
};

fn task() -> Entry {
    Arc::new(TaskCell::new(Blocking(|| ())))
}

fn number(task: &Entry) -> u64 {
    task.id().0
}

/// *Once each, and in order.* What two submitters push is taken by two workers, each task by one of them, and the tasks of one
/// submitter in his order by whoever takes both.
#[cfg_attr(test, test)]
pub fn what_is_pushed_is_popped_once_and_in_order() {
    explore(2, || {
        let queue = Arc::new(Queue::default());
        let submit = |n: usize| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let tasks: Vec<_> = (0..n).map(|_| task()).collect();
                for task in &tasks {
                    queue.push(Arc::clone(task), 0).expect("open");
                }
                tasks.iter().map(number).collect::<Vec<_>>()
            })
        };
        let (first, second) = (submit(2), submit(1));
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || [queue.pop(), queue.pop()].iter().flatten().map(number).collect::<Vec<_>>()
        });
        let mine: Vec<_> = queue.pop().iter().map(number).collect();
        let (first, second) = (first.join().expect("a submitter"), second.join().expect("a submitter"));
        let theirs = worker.join().expect("a worker");
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|task| number(&task)).collect();

        let mut all = [&*mine, &theirs, &rest].concat();
        for taken in [&mine, &theirs, &rest] {
            assert!(taken.is_sorted(), "{taken:?}");
        }
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "each once");
        assert!(first.is_sorted() && second.len() == 1);
        assert!(queue.is_empty());
    });
}

/// *Priority first.* A worker that comes after two pushes of one submitter takes the more urgent task, whatever another worker did
/// to the inbox meanwhile.
#[cfg_attr(test, test)]
pub fn the_urgent_goes_first() {
    explore(3, || {
        let queue = Arc::new(Queue::default());
        queue.push(task(), 0).expect("open");
        queue.push(task(), 0).expect("open");
        let other = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop().map(|task| number(&task))
        });
        queue.push(task(), 5).expect("open");
        let mine = queue.pop().map(|task| number(&task));
        let theirs = other.join().expect("a worker");
        assert!(mine == Some(3) || theirs == Some(3), "{mine:?} {theirs:?}");
        assert!(mine != theirs);
    });
}

/// *Closed is closed.* What was let in before is there, what comes after is refused, and there is no third way.
#[cfg_attr(test, test)]
pub fn a_task_is_let_in_or_refused() {
    explore(3, || {
        let queue = Arc::new(Queue::default());
        let submitter = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(task(), 0).is_ok()
        });
        queue.close(TaskError::Shutdown);
        let drained = queue.drain().len();
        let is_in = submitter.join().expect("a submitter");
        assert_eq!(drained, usize::from(is_in), "let in behind the last look");
        assert!(queue.is_empty());
    });
}

/// *A sweep takes the dead only.* Withdrawn tasks are swept out while others come and go.
#[cfg_attr(test, test)]
pub fn a_sweep_keeps_what_lives() {
    explore(3, || {
        let queue = Arc::new(Queue::default());
        let dead = task();
        queue.push(Arc::clone(&dead), 0).expect("open");
        dead.resolve(TaskError::Cancelled, false, &());
        let submitter = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(task(), 0).expect("open")
        });
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop().filter(|task| task.state() == TaskState::Queued).is_some()
        });
        queue.sweep_now();
        submitter.join().expect("a submitter");
        let is_taken = worker.join().expect("a worker");
        let rest =
            std::iter::from_fn(|| queue.pop()).filter(|task| task.state() == TaskState::Queued).count();
        assert_eq!(rest + usize::from(is_taken), 1, "the one that lives");
    });
}
