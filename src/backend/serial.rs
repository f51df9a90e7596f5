//! Tasks in the poll of who waits for them. Owns whose turn it is.

use std::{
    cell::Cell,
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
};

use async_trait::async_trait;

use super::{Arrival, Backend, Capabilities, Polled, PoolContext, Single, Workers};
use crate::{
    error::TaskError,
    sys::lock::lock,
    task::{TaskId, catch::wake},
};

/// Runs each task in the poll of its own handle or stream, one at a time: for debugging.
///
/// A task that is never polled never runs, and one whose handle is dropped half-way ends there. Priorities have no meaning,
/// `max_workers` is 1. A future that waits lets others run. Tasks that wait for tasks that wait for tasks nest on the stack of
/// the thread; thousands of them, for which it has no room, go on in a thread that takes its place meanwhile.
///
/// # Examples
/// ```
/// use polypool::{Executor, Serial};
///
/// # futures::executor::block_on(async {
/// let pool = Executor::builder().backend(Serial::new()).build()?;
/// let here = std::thread::current().id();
/// let there = pool.spawn_blocking(|| std::thread::current().id()).await?;
/// assert_eq!(here, there);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Serial {}

impl Serial {
    /// Makes the backend.
    ///
    /// # Examples
    /// ```
    /// let backend = polypool::Serial::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Serial {
    fn name(&self) -> &str {
        "serial"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_process: true,
            futures: true,
            shared_memory: true,
            nests: true,
            ..Capabilities::default()
        }
    }

    fn runs_in_polls(&self) -> bool {
        true
    }

    fn start(&self, context: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Polls { context, shared: Arc::default() }))
    }
}

struct Polls {
    context: PoolContext,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    turn: Mutex<Turn>,
    /// Futures that have begun and wait.
    begun: Mutex<HashMap<TaskId, Single>>,
}

/// One thread at a time. A task that polls another task of its pool keeps the turn.
#[derive(Default)]
struct Turn {
    holder: Option<ThreadId>,
    waiting: Vec<Waker>,
}

impl Shared {
    /// Takes the turn, or has `cx` woken when it is free. Who has no room left on the stack of `me` keeps the turn on another.
    fn take_turn(&self, cx: &Context<'_>) -> Option<Held<'_>> {
        let me = DRIVER.get().unwrap_or_else(|| thread::current().id());
        let waker = cx.waker().clone();
        let mut turn = lock(&self.turn);
        let nested = match turn.holder {
            Some(holder) if holder == me => true,
            Some(_) => {
                turn.waiting.push(waker);
                return None;
            }
            None => false,
        };
        turn.holder = Some(me);
        Some(Held { shared: self, nested })
    }
}

thread_local! {
    /// The thread in whose place this one runs a task that is nested too deeply for the other's stack.
    static DRIVER: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// Polls where there is room for it.
fn poll_deep(context: &PoolContext, single: &mut Single, cx: &mut Context<'_>) -> Poll<()> {
    let (me, waker) = (DRIVER.get().unwrap_or_else(|| thread::current().id()), cx.waker());
    context.with_room(|| {
        if thread::current().id() != me {
            DRIVER.set(Some(me));
        }
        Pin::new(single).poll(&mut Context::from_waker(waker))
    })
}

struct Held<'a> {
    shared: &'a Shared,
    nested: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.nested {
            let waiting = {
                let mut turn = lock(&self.shared.turn);
                turn.holder = None;
                std::mem::take(&mut turn.waiting)
            };
            waiting.into_iter().for_each(wake);
        }
    }
}

/// Drops a future that waits when its handle is dropped.
struct Forget {
    shared: Arc<Shared>,
    id: TaskId,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let single = lock(&self.shared.begun).remove(&self.id);
        drop(single);
    }
}

#[async_trait]
impl Workers for Polls {
    fn wanted(&self, arrival: Arrival) {
        drop(arrival);
    }

    fn polled(&self, mut task: Polled<'_>, cx: &mut Context<'_>) {
        let Some(_turn) = self.shared.take_turn(cx) else {
            return;
        };
        let begun = lock(&self.shared.begun).remove(&task.id());
        let first = begun.is_none();
        let Some(mut single) = begun.or_else(|| task.start()) else {
            return;
        };
        if poll_deep(&self.context, &mut single, cx).is_pending() {
            lock(&self.shared.begun).insert(task.id(), single);
            if first {
                task.keep(Box::new(Forget { shared: Arc::clone(&self.shared), id: task.id() }));
            }
        }
    }
}
