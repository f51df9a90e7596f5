//! The spans of `tracing` that tasks run in, and those that they were submitted in. Owns both, for as long as a task waits or is
//! elsewhere; costs one load where nobody listens.
//!
//! A task's own span is of level DEBUG. Whoever does not want that many gets the caller's span instead, so that what a task says is
//! always within the span in which it was submitted. The spans are kept beside the tasks and not in them, as most programs have
//! none. They are the subscriber's code to clone and to drop, which therefore does not happen under the lock here.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::{Span, level_filters::LevelFilter};

use crate::{
    function::Origin,
    sys::lock::lock,
    task::{
        AnyTask, TaskId,
        catch::{catch, discard},
    },
};

/// A longer name is cut where it goes to another process.
const LONGEST: usize = 512;

/// Does anybody listen to `tracing`?
pub(crate) fn is_on() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

thread_local! {
    /// Who submits what is submitted on this thread now, if that is not to be seen from its current span.
    static ON_BEHALF_OF: RefCell<Option<Span>> = const { RefCell::new(None) };
}

/// Does something for another: what is submitted meanwhile has this caller.
pub(crate) fn on_behalf_of<T>(caller: Span, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Span>);

    impl Drop for Restore {
        fn drop(&mut self) {
            let mine = ON_BEHALF_OF.try_with(|caller| caller.replace(self.0.take()));
            drop(mine);
        }
    }

    let _restore = Restore(ON_BEHALF_OF.try_with(|now| now.replace(Some(caller))).ok().flatten());
    f()
}

/// The span in which a task is submitted here and now, if there is one.
pub(super) fn caller() -> Option<Span> {
    if !is_on() {
        return None;
    }
    let given = ON_BEHALF_OF.try_with(|caller| caller.borrow().clone()).ok().flatten();
    let caller = given.or_else(|| catch(Span::current).ok())?;
    (!caller.is_disabled()).then_some(caller)
}

/// What is known of a pool's tasks.
#[derive(Default)]
pub(crate) struct Spans {
    /// How many tasks there are here. A task goes from thread to thread under locks, and this with it.
    count: AtomicUsize,
    tasks: Mutex<HashMap<TaskId, Known>>,
}

#[derive(Default)]
struct Known {
    caller: Option<Arc<Span>>,
    /// The task's own, while it is elsewhere.
    own: Option<Arc<Span>>,
}

impl Spans {
    /// A task is submitted by this caller.
    pub(super) fn note(&self, task: TaskId, caller: Span) {
        self.change(task, |known| known.caller.replace(Arc::new(caller)));
    }

    /// A task that is elsewhere has begun there.
    pub(super) fn open(&self, task: TaskId, span: Span) {
        if !span.is_disabled() {
            self.change(task, |known| known.own.replace(Arc::new(span)));
        } else if self.count.load(Ordering::Relaxed) > 0 {
            let old = lock(&self.tasks).get_mut(&task).and_then(|known| known.own.take());
            discard(old);
        }
    }

    fn change(&self, task: TaskId, change: impl FnOnce(&mut Known) -> Option<Arc<Span>>) {
        let old = {
            let mut tasks = lock(&self.tasks);
            let old = change(tasks.entry(task).or_default());
            self.count.store(tasks.len(), Ordering::Relaxed);
            old
        };
        discard(old);
    }

    pub(super) fn forget(&self, task: TaskId) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let known = {
            let mut tasks = lock(&self.tasks);
            let known = tasks.remove(&task);
            self.count.store(tasks.len(), Ordering::Relaxed);
            known
        };
        discard(known);
    }

    /// A copy, which is the subscriber's code to make, and not made under the lock.
    fn copy(&self, task: TaskId, of: impl FnOnce(&Known) -> &Option<Arc<Span>>) -> Span {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Span::none();
        }
        let span = lock(&self.tasks).get(&task).and_then(|known| of(known).clone());
        span.and_then(|span| catch(|| Span::clone(&span)).ok()).unwrap_or_else(Span::none)
    }

    pub(super) fn caller_of(&self, task: TaskId) -> Span {
        self.copy(task, |known| &known.caller)
    }

    /// Where a task that is elsewhere speaks here.
    pub(super) fn span_of(&self, task: TaskId) -> Span {
        let own = self.copy(task, |known| &known.own);
        if own.is_disabled() { self.caller_of(task) } else { own }
    }

    pub(super) fn origin_of(&self, task: TaskId, attempt: u32, name: Option<&str>) -> Origin {
        let caller = self.caller_of(task);
        let name_of = caller.metadata().map(|metadata| cut(metadata.name()));
        Origin {
            task: task.0,
            attempt,
            name: name.map(cut),
            caller: name_of.zip(caller.id().map(|id| id.into_u64())),
        }
    }
}

fn cut(name: &str) -> String {
    let end = (0..=name.len().min(LONGEST)).rev().find(|&end| name.is_char_boundary(end));
    name[..end.unwrap_or(0)].to_owned()
}

/// What a task's span says beside the task.
pub(super) struct About<'a> {
    pub(super) pool: &'a str,
    pub(super) backend: &'a str,
    pub(super) worker: usize,
    pub(super) name: Option<&'a str>,
}

impl About<'_> {
    /// The span of a task, within that of its caller; that itself where the task's own is not wanted.
    pub(super) fn span(self, task: &dyn AnyTask, caller: Span) -> Span {
        let Self { pool, backend, worker, name } = self;
        let inputs = Some(task.tasks()).filter(|inputs| *inputs > 1);
        let make = || {
            tracing::debug_span!(
                target: "polypool",
                parent: caller.id(),
                "task",
                task = task.id().0,
                name,
                pool,
                backend,
                worker,
                attempt = task.attempts(),
                inputs,
            )
        };
        match catch(make) {
            Ok(span) if !span.is_disabled() => span,
            _ => caller,
        }
    }
}
