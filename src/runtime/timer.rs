//! Wakes at given times, under any runtime and under none. One thread for the process, started with the first sleeper and gone
//! soon after the last. (Runtimes have timers of their own, but not every one has them switched on, and a pool's deadlines must
//! hold also when nobody drives its runtime.) Wakers run on that thread and must not block, as with any timer.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use crate::sys::{copy::PerCopy, lock::lock};

/// How long the thread stays without anything to do.
const LINGER: Duration = Duration::from_secs(1);

static TIMER: PerCopy<Timer> = PerCopy::new(Timer::new(), Timer::new);

struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    alarms: BTreeMap<(Instant, u64), Waker>,
    next_key: u64,
    running: bool,
}

impl Timer {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State { alarms: BTreeMap::new(), next_key: 0, running: false }),
            changed: Condvar::new(),
        }
    }

    fn set(&'static self, when: Instant, waker: Waker) -> (Instant, u64) {
        let mut state = lock(&self.state);
        state.next_key += 1;
        let key = (when, state.next_key);
        state.alarms.insert(key, waker);
        let first = state.alarms.first_key_value().is_some_and(|(first, _)| *first == key);
        if !state.running {
            let started = thread::Builder::new().name("polypool-timer".to_owned()).spawn(|| self.run());
            state.running = started.is_ok();
            if let Err(error) = started {
                tracing::error!(%error, "no thread for timeouts; the next timeout tries again");
            }
        } else if first {
            self.changed.notify_one();
        }
        key
    }

    fn unset(&self, key: (Instant, u64)) {
        let waker = lock(&self.state).alarms.remove(&key);
        drop(waker);
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let wait = match state.alarms.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let waker = first.remove();
                    drop(state);
                    // A waker is foreign code; its panic is its own.
                    let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
                    state = lock(&self.state);
                    continue;
                }
                Some(first) => first.key().0 - now,
                None => LINGER,
            };
            let (guard, waited) =
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() && state.alarms.is_empty() {
                state.running = false;
                return;
            }
        }
    }
}

/// One appointment; dropping it cancels it.
#[derive(Debug)]
pub(crate) struct Alarm {
    key: (Instant, u64),
}

impl Alarm {
    /// Wakes `waker` at `when`, on the timer's thread.
    pub(crate) fn set(when: Instant, waker: Waker) -> Self {
        Self { key: TIMER.get().set(when, waker) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        TIMER.get().unset(self.key);
    }
}

/// A future that is ready at a given time. Cancel safe.
#[derive(Debug)]
pub(crate) struct Sleep {
    until: Instant,
    alarm: Option<(Alarm, Waker)>,
}

impl Sleep {
    /// A time too far away to be represented never comes.
    pub(crate) fn new(after: Duration) -> Option<Self> {
        Some(Self { until: Instant::now().checked_add(after)?, alarm: None })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            self.alarm = None;
            return Poll::Ready(());
        }
        if !self.alarm.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            let waker = cx.waker().clone();
            self.alarm = Some((Alarm::set(self.until, waker.clone()), waker));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::block_on;

    #[test]
    fn sleepers_wake_in_the_order_of_their_times() {
        let start = Instant::now();
        let late = Sleep::new(Duration::from_millis(30)).expect("soon");
        let early = Sleep::new(Duration::from_millis(5)).expect("soon");
        block_on(futures::future::join(late, early));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(Sleep::new(Duration::MAX).is_none());
    }
}
