//! The end of a worker by force, and of what it was doing. Owns the steps from a polite word to SIGKILL, and the burial.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{OnItsWay, Phase, State, Step, Worker};
use crate::{
    backend::{
        lane::Lane,
        processes::{captured::Capture, link::Link},
    },
    error::{Exit, TaskError, WorkerLost},
    function::{Counted, Reply, lost_in_chunk},
    sys::{
        lock::lock,
        process::{Ended, Signal},
    },
    wire::control::ToWorker,
};

impl Worker {
    /// Sees whether the front is to be stopped, and how far that is.
    pub(super) fn stop_front(self: &Arc<Self>, state: &mut State) {
        if !matches!(state.phase, Phase::Working | Phase::Stopping { .. }) {
            return;
        }
        let Some(front) = state.sent.front() else { return };
        let ticket = front.ticket;
        if front.task.tasks() > 1 && front.task.is_trimmed() {
            state.link.trim(ticket);
        }
        if front.task.stop_asked().is_none() {
            return;
        }
        let now = Instant::now();
        if state.link.has_replies() {
            // It may have ended by itself.
            self.again.store(true, Ordering::SeqCst);
            return;
        }
        let grace = self.crew().map_or(Duration::ZERO, |crew| crew.grace());
        let after = now.checked_add(grace).unwrap_or_else(|| now + Duration::from_secs(1 << 30));
        let (next, step) = match state.phase {
            Phase::Stopping { next, step: Step::Asked } if next <= now => {
                if !self.is_front_alone(state) {
                    return;
                }
                self.child.signal_group(Signal::TERM);
                (after, Step::Terminated)
            }
            Phase::Stopping { next, step: Step::Terminated } if next <= now => {
                self.doom(state);
                return;
            }
            Phase::Stopping { next, step } => (next, step),
            _ => {
                if !self.is_front_alone(state) {
                    return;
                }
                state.link.ask_to_stop(ticket);
                if !grace.is_zero() {
                    // Shared memory says it all. This is for who sleeps, and must not wait for a process that does not listen.
                    self.nudge(ToWorker::Stop { ticket });
                    (after, Step::Asked)
                } else {
                    self.child.signal_group(Signal::TERM);
                    (now + Duration::from_millis(10), Step::Terminated)
                }
            }
        };
        state.phase = Phase::Stopping { next, step };
        self.set_alarm(state, next);
    }

    /// Takes back what is behind the front. If some of that has begun, the front is over, and its reply is there: a signal would hit
    /// another. Where that is not known at once, the worker is looked after again when it is.
    fn is_front_alone(self: &Arc<Self>, state: &mut State) -> bool {
        Self::recall_behind(state, 1);
        let is_alone = state.sent.len() < 2;
        if !is_alone && state.link.ahead().is_none() {
            self.again.store(true, Ordering::SeqCst);
        }
        is_alone
    }

    /// Kills the process. What it has not begun goes elsewhere; the rest follows when it is dead.
    pub(super) fn doom(self: &Arc<Self>, state: &mut State) {
        Self::recall_behind(state, 1);
        self.kill();
        state.phase = Phase::Doomed;
    }

    pub(super) fn bury(self: &Arc<Self>, state: &mut State) {
        // Before it is reaped: then its number, and its group's, is nobody else's.
        self.child.signal_group(Signal::KILL);
        let exit = match self.child.wait() {
            Ok(Ended::Code(code)) => Exit::Code(code),
            Ok(Ended::Signal(signal)) => Exit::Signal(signal),
            Ok(Ended::Unknown) | Err(_) => Exit::Unknown,
        };
        if let Some(crew) = self.crew() {
            crew.ended(exit);
        }
        let phase = mem::replace(&mut state.phase, Phase::Gone);
        state.alarm = None;
        Self::recall_behind(state, 1);
        // Before anybody hears that it is lost.
        self.session.end();
        let lane = state.lane.take();
        // One that is ready and dies each time before its first call would be replaced for ever, as fast as that goes.
        let mut stillborn = (phase == Phase::Starting).then_some("it was ready");
        if let Some(lane) = &lane {
            let how = WorkerLost::new(lane.worker(), Some(self.pid()), exit)
                .with_report(state.link.last_words())
                .at(lane.index());
            // One that never worked is no loss to anybody.
            if state.has_worked {
                lane.tell_lost(&how);
            }
            self.lose_nested(&how);
            let state_link = &state.link;
            let is_begun = usize::from(mem::replace(&mut state.is_begun, true));
            for (n, call) in state.sent.drain(..).enumerate().rev() {
                state_link.forget(call.ticket);
                if n >= is_begun && !lane.begin_call(&call.task) {
                    continue;
                }
                if state_link.is_sent(call.ticket) {
                    if phase == Phase::Working && state.tasks_done == 0 {
                        stillborn = Some("its first task");
                    }
                    lane.lost_call(call.task, None);
                } else if let Some((reply, tally)) = Self::saved(state_link, lane, &call, &how) {
                    let names = self.take_named(call.ticket);
                    let (waker, _) =
                        lane.end_call(&call.task, Reply { result: Ok(reply), tally, names }, None);
                    state.wakers.extend(waker);
                } else {
                    let captured = Capture::take(&mut state.capture, call.ticket, self.seat.index());
                    captured.into_iter().for_each(|captured| call.task.keep_captured(captured));
                    lane.lost_call(call.task, Some(how.clone()));
                }
            }
        }
        self.nested.end();
        self.lose_all();
        lock(&self.watches).clear();
        self.inner.rejoin();
        let keep = lock(&self.keep).take();
        if let Some(crew) = self.crew() {
            crew.buried(self);
            match (lane, stillborn) {
                (Some(lane), Some(before)) => crew.stillborn(lane, before, exit),
                (lane, _) => drop(lane),
            }
        }
        drop(keep);
    }

    /// What there is of a chunk whose worker died. Its sender sends the inputs again to which there is no answer; the one that the
    /// worker died at is among them only if it may be tried again.
    pub(super) fn saved(
        link: &Link,
        lane: &Lane,
        call: &OnItsWay,
        how: &WorkerLost,
    ) -> Option<(Vec<u8>, Counted)> {
        let is_unknown = link.is_progress_unknown(call.ticket);
        if call.task.tasks() < 2 || call.task.stop_asked().is_some() || is_unknown {
            return None;
        }
        // Nothing yet, if it died at the first.
        let done =
            link.done_so_far(call.ticket).filter(|done| !done.is_empty()).unwrap_or_else(|| vec![0; 8]);
        lost_in_chunk(&done, |is_first| {
            // What was tried before begins with the first input.
            let attempts = if is_first { call.task.attempts() } else { 1 };
            (!lane.may_retry(&call.task, attempts)).then(|| TaskError::WorkerLost(how.clone()))
        })
    }
}
