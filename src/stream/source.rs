//! Where a stream's inputs come from. Owns pulling them, which is foreign code: it runs in the poll of the stream, under no lock,
//! and its panic ends the input and nothing else.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt, stream::BoxStream};

use super::{chunk::Control, way::Way};
use crate::{error::TaskError, executor::Executor, task::catch::catch};

/// Some inputs on their way.
pub(super) struct Sent<R> {
    pub(super) way: Way<R>,
    pub(super) len: usize,
}

pub(super) enum Next<R> {
    Sent(Sent<R>),
    End,
    /// The input panicked where its next item should have come.
    Panicked(TaskError),
}

/// Inputs whose type is forgotten.
pub(super) trait Source<R>: Send {
    /// Submits up to `n` inputs as one chunk.
    fn poll_send(
        &mut self,
        n: usize,
        pool: &Executor,
        control: &Control,
        cx: &mut Context<'_>,
    ) -> Poll<Next<R>>;

    /// Gives back the place in the queue, or in the line for one, for which there is no use at the moment.
    fn give_way(&mut self);

    /// At most so many inputs come.
    fn upper_bound(&self) -> Option<usize>;

    /// Exactly so many inputs come.
    fn len(&self) -> Option<usize>;
}

/// Pulls items of type `A` and submits them by `send`, which takes from the front what goes into one chunk.
pub(super) struct Inputs<A, S> {
    items: Items<A>,
    send: S,
    /// Pulled and not sent: there was no room yet.
    pulled: Vec<A>,
    end: Option<Option<TaskError>>,
    /// The wait for room, and that there is some.
    entering: Option<crate::backend::room::Entering>,
}

enum Items<A> {
    Iterator(Box<dyn Iterator<Item = A> + Send>),
    Stream(BoxStream<'static, A>),
}

impl<A, S> Inputs<A, S> {
    pub(super) fn of_iterator(items: impl Iterator<Item = A> + Send + 'static, send: S) -> Self {
        Self::new(Items::Iterator(Box::new(items)), send)
    }

    pub(super) fn of_stream(items: impl Stream<Item = A> + Send + 'static, send: S) -> Self {
        Self::new(Items::Stream(Box::pin(items)), send)
    }

    fn new(items: Items<A>, send: S) -> Self {
        Self { items, send, pulled: Vec::new(), end: None, entering: None }
    }

    /// How many more may be pulled.
    fn size_hint(&self) -> Option<(usize, Option<usize>)> {
        match (&self.end, &self.items) {
            (Some(_), _) => Some((0, Some(0))),
            (None, Items::Iterator(items)) => catch(|| items.size_hint()).ok(),
            (None, Items::Stream(items)) => catch(|| items.size_hint()).ok(),
        }
    }

    /// Pulls until there are `n` items, or the input ends, or has none at the moment.
    fn pull(&mut self, n: usize, cx: &mut Context<'_>) {
        self.pulled.reserve(n.saturating_sub(self.pulled.len()).min(1 << 16));
        while self.pulled.len() < n && self.end.is_none() {
            let pulled = &mut self.pulled;
            // One guard around many items: a panic leaves those that came before.
            let ended = match &mut self.items {
                Items::Iterator(items) => catch(|| {
                    loop {
                        match items.next() {
                            Some(item) => pulled.push(item),
                            None => return Poll::Ready(()),
                        }
                        if pulled.len() == n {
                            return Poll::Pending;
                        }
                    }
                }),
                Items::Stream(items) => catch(|| {
                    loop {
                        match items.poll_next_unpin(cx) {
                            Poll::Ready(Some(item)) => pulled.push(item),
                            Poll::Ready(None) => return Poll::Ready(()),
                            Poll::Pending => return Poll::Pending,
                        }
                        if pulled.len() == n {
                            return Poll::Pending;
                        }
                    }
                }),
            };
            match ended {
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(())) => self.end = Some(None),
                Err(panic) => self.end = Some(Some(TaskError::Panicked(panic))),
            }
        }
    }
}

impl<A, R, S> Source<R> for Inputs<A, S>
where
    A: Send + 'static,
    S: FnMut(&Executor, &mut Vec<A>, &Control) -> Sent<R> + Send,
{
    fn poll_send(
        &mut self,
        n: usize,
        pool: &Executor,
        control: &Control,
        cx: &mut Context<'_>,
    ) -> Poll<Next<R>> {
        self.pull(n, cx);
        if self.pulled.is_empty() {
            return match &mut self.end {
                None => Poll::Pending,
                Some(panicked) => Poll::Ready(panicked.take().map_or(Next::End, Next::Panicked)),
            };
        }
        ready!(Pin::new(self.entering.get_or_insert_with(|| pool.room())).poll(cx));
        self.entering = None;
        Poll::Ready(Next::Sent((self.send)(pool, &mut self.pulled, control)))
    }

    fn give_way(&mut self) {
        self.entering = None;
    }

    fn upper_bound(&self) -> Option<usize> {
        Some(self.size_hint()?.1?.saturating_add(self.pulled.len()))
    }

    fn len(&self) -> Option<usize> {
        let (least, most) = self.size_hint()?;
        (Some(least) == most).then(|| least.saturating_add(self.pulled.len()))
    }
}
