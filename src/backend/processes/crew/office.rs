//! What a pool holds of its worker processes, and who hears what becomes of their engine, where they have one. Owns what each of the
//! pool's wishes means to the crew.

#[cfg(feature = "engine")]
use std::{sync::Weak, thread};
use std::{
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use futures::future::{Either, select};

use super::Crew;
#[cfg(feature = "engine")]
use crate::{backend::processes::site::Told, error::TaskError};
use crate::{
    backend::{Arrival, Stats, Workers, processes::worker::Worker},
    policy::CancellationPolicy,
    runtime::Sleep,
    sys::lock::lock,
};

/// How long a fork server may take to end.
const SERVERS_FAREWELL: Duration = Duration::from_secs(2);

/// Hears what becomes of an engine.
#[cfg(feature = "engine")]
#[allow(dead_code, reason = "only some engines say something")]
pub(super) struct Ear(pub(super) Weak<Crew>);

#[cfg(feature = "engine")]
impl Told for Ear {
    fn slots(&self, n: usize) {
        if let Some(crew) = self.0.upgrade() {
            crew.has_room(n);
        }
    }

    fn gone(&self, why: TaskError) {
        if let Some(crew) = self.0.upgrade() {
            crew.give_up(why);
        }
    }
}

/// What the pool holds of its crew.
pub(in crate::backend::processes) struct Office(pub(in crate::backend::processes) Arc<Crew>);

#[async_trait]
impl Workers for Office {
    fn wanted(&self, arrival: Arrival) {
        self.0.hire(arrival);
    }

    fn resized(&self, max_workers: usize) {
        for worker in self.0.all() {
            worker.resized(max_workers);
            // There may be places for what waits behind others.
            worker.recall();
        }
    }

    fn recall(&self) {
        for worker in self.0.all() {
            worker.recall();
        }
    }

    fn spin(&self, done: &mut dyn FnMut() -> bool) {
        let workers = self.0.all();
        self.0.watchers.fetch_add(1, Ordering::SeqCst);
        workers.iter().for_each(|worker| worker.disarm());
        while !done() {
            workers.iter().for_each(Worker::collect);
            std::hint::spin_loop();
        }
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
        // From here on the bell is needed again.
        workers.iter().for_each(Worker::look_after);
    }

    fn stuck(&self) {
        for worker in self.0.all() {
            worker.is_stuck();
        }
    }

    fn closing(&self, _: CancellationPolicy) {
        // What was sent ahead is judged by the policy, and who is not wanted goes.
        self.recall();
        self.0.close_depot();
    }

    #[cfg(feature = "engine")]
    async fn warm_up(&self) -> Result<(), TaskError> {
        if !self.0.is_elsewhere() {
            return Ok(());
        }
        let (told, connected) = futures::channel::oneshot::channel();
        let crew = Arc::clone(&self.0);
        self.0.context.spawn_thread(move || drop(told.send(crew.connect())));
        connected.await.unwrap_or(Err(TaskError::Shutdown))
    }

    async fn gone(&self) -> Option<Stats> {
        std::future::poll_fn(|cx| {
            lock(&self.0.waiting_for_end).push(cx.waker().clone());
            if lock(&self.0.workers).workers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if self.0.options.depot.is_none() {
            self.0.depot.hang_up();
            let gone = std::future::poll_fn(|cx| self.0.depot.poll_gone(cx));
            if let Some(patience) = Sleep::new(SERVERS_FAREWELL)
                && let Either::Right((_, gone)) = select(gone, patience).await
            {
                self.0.depot.kill();
                gone.await;
            }
        }
        #[cfg(feature = "engine")]
        if let Some(site) = self.0.options.site.clone() {
            let (told, closed) = futures::channel::oneshot::channel();
            self.0.context.spawn_thread(move || {
                site.close();
                let _ = told.send(());
            });
            let _ = closed.await;
        }
        None
    }
}

#[cfg(feature = "engine")]
impl Drop for Office {
    fn drop(&mut self) {
        if let Some(site) = self.0.options.site.clone() {
            // Whoever drops a pool does not wait. Without a thread, the end of this process closes it.
            let close = move || site.close();
            drop(thread::Builder::new().name("polypool-close".to_owned()).spawn(close));
        }
    }
}
