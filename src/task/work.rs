//! What a task does when it starts: a blocking function or a future, with or without options.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project::pin_project;

use super::options::TaskOptions;

/// How a started task can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By nobody: it is told, and ends by itself.
    Blocking,
    /// By dropping it at its next await.
    Future,
    /// By its worker, which is told, and ended if it does not listen.
    Remote,
}

/// The user's code of one task, typed.
pub(crate) trait Work: Send + 'static {
    type Output: Send + 'static;
    type Future: Future<Output = Self::Output> + Send + 'static;
    const KIND: Kind;
    const IS_COUNTED: bool = true;
    const TAKES_ROOM: bool = true;

    /// What is known of the work after it has started; nothing, for most.
    type Tag: Copy + Send + Sync + 'static;

    fn tag(&self) -> Self::Tag;

    /// For how many of the user's tasks the work stands.
    fn tasks(_: Self::Tag) -> u64 {
        1
    }

    /// What became of them, when the work gave this.
    fn tally(_: &Self::Output) -> Tally {
        Tally { completed: 1, ..Tally::default() }
    }

    fn options(&self) -> Option<&Arc<TaskOptions>> {
        None
    }

    /// Runs blocking work to its end; makes the future of other work.
    fn start(self) -> Started<Self::Output, Self::Future>;
}

/// How many of the user's tasks ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

pub(crate) enum Started<O, F> {
    Ended(O),
    Future(F),
}

/// The future of work that has none.
pub(crate) type Never<O> = futures::future::Pending<O>;

/// A function that blocks its thread until it is done.
pub(crate) struct Blocking<F>(pub(crate) F);

impl<F, O> Work for Blocking<F>
where
    F: FnOnce() -> O + Send + 'static,
    O: Send + 'static,
{
    type Output = O;
    type Future = Never<O>;
    type Tag = ();
    const KIND: Kind = Kind::Blocking;

    fn tag(&self) {}

    fn start(self) -> Started<O, Never<O>> {
        Started::Ended((self.0)())
    }
}

/// Nothing: what a pool sends to its workers to see whether they are there.
pub(crate) struct Hello;

impl Work for Hello {
    type Output = ();
    type Future = Never<()>;
    type Tag = ();
    const KIND: Kind = Kind::Blocking;
    const IS_COUNTED: bool = false;

    fn tag(&self) {}

    fn start(self) -> Started<(), Never<()>> {
        Started::Ended(())
    }
}

/// Work for one worker alone, which goes past the queue and its bound.
pub(crate) struct Own<W>(pub(crate) W);

impl<W: Work> Work for Own<W> {
    type Output = W::Output;
    type Future = W::Future;
    type Tag = ();
    const KIND: Kind = W::KIND;
    const IS_COUNTED: bool = W::IS_COUNTED;
    const TAKES_ROOM: bool = false;

    fn tag(&self) {}

    fn start(self) -> Started<W::Output, W::Future> {
        self.0.start()
    }
}

/// A function that makes a future; the function, too, runs in the worker.
pub(crate) struct Suspended<F>(pub(crate) F);

impl<F, Fut> Work for Suspended<F>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    type Output = Fut::Output;
    type Future = Deferred<F, Fut>;
    type Tag = ();
    const KIND: Kind = Kind::Future;

    fn tag(&self) {}

    fn start(self) -> Started<Fut::Output, Deferred<F, Fut>> {
        Started::Future(Deferred::Unmade(Some(self.0)))
    }
}

/// A future that is made in its first poll: where the runtime's own functions find the runtime.
#[pin_project(project = DeferredProjection)]
pub(crate) enum Deferred<F, Fut> {
    Unmade(Option<F>),
    Made(#[pin] Fut),
}

impl<F: FnOnce() -> Fut, Fut: Future> Future for Deferred<F, Fut> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        if let DeferredProjection::Unmade(make) = self.as_mut().project()
            && let Some(make) = make.take()
        {
            let made = make();
            self.set(Self::Made(made));
        }
        match self.project() {
            DeferredProjection::Made(future) => future.poll(cx),
            // Making it has panicked, and who polls again after that waits for ever.
            DeferredProjection::Unmade(_) => Poll::Pending,
        }
    }
}

/// Work with options of its own. A type of its own, so that tasks without options carry none.
pub(crate) struct Optioned<W> {
    pub(crate) work: W,
    pub(crate) options: Arc<TaskOptions>,
}

impl<W: Work> Work for Optioned<W> {
    type Output = W::Output;
    type Future = W::Future;
    type Tag = ();
    const KIND: Kind = W::KIND;

    fn tag(&self) {}

    fn options(&self) -> Option<&Arc<TaskOptions>> {
        Some(&self.options)
    }

    fn start(self) -> Started<W::Output, W::Future> {
        self.work.start()
    }
}
