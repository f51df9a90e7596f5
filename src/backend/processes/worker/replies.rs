//! What comes back from a worker: replies, and calls that it has not begun. Owns how a call that is over is told from those behind it, and
//! which of those is the next.

use std::{mem, sync::Arc, time::Instant};

use super::{OnItsWay, Phase, State, Step, Worker};
use crate::{
    backend::{
        processes::{captured::Capture, link::Received},
        queue::Entry,
    },
    task::TaskState,
    wire::{layout, ring::Nonsense},
};

impl Worker {
    pub(super) fn collect_replies(self: &Arc<Self>, state: &mut State) -> Result<(), Nonsense> {
        let mut count = 0;
        state.was_unheard = false;
        while let Some(received) = Self::next_reply(state)? {
            if received.said && !self.has_heard_all() {
                state.put_off = Some(received);
                break;
            }
            count += 1;
            if !self.finish(state, received) {
                return Err(Nonsense);
            }
        }
        if count > 0 {
            state.link.made_room();
            let now = Instant::now();
            let each = (now - state.front_since) / count;
            state.pace = Some(state.pace.map_or(each, |pace| (pace * 3 + each) / 4));
            state.front_since = now;
        }
        Ok(())
    }

    fn next_reply(state: &mut State) -> Result<Option<Received>, Nonsense> {
        match state.put_off.take() {
            None => state.link.receive(),
            received => Ok(received),
        }
    }

    /// One call is over. False when it is none that we know.
    fn finish(self: &Arc<Self>, state: &mut State, mut received: Received) -> bool {
        if received.said {
            received.reply.names = self.take_named(received.ticket);
        }
        let Some(front) = Self::take_front(state, received.ticket) else {
            return false;
        };
        let Some(lane) = &state.lane else { return false };
        if !mem::replace(&mut state.is_begun, true) && !lane.begin_call(&front) {
            // It was asked for too late, and nobody wants what came of it.
            Self::promote(state);
            return true;
        }
        if state.tasks_done == 0
            && let Some(crew) = self.crew()
        {
            crew.works();
        }
        state.tasks_done += front.tasks();
        let captured = Capture::take(&mut state.capture, received.ticket, self.seat.index());
        match front.stop_asked() {
            Some(reason) => {
                captured.into_iter().for_each(|captured| front.keep_captured(captured));
                lane.stopped_call(&front, reason);
            }
            None => {
                let (waker, call) = lane.end_call(&front, received.reply, captured);
                state.wakers.extend(waker);
                if let Some(call) = call.filter(|call| call.arg.len() >= layout::LARGE)
                    && let Some(buffer) = Arc::into_inner(call).and_then(|call| call.arg.into_buffer())
                {
                    state.link.reuse(buffer);
                }
            }
        }
        if let Phase::Stopping { step, .. } = state.phase {
            state.phase = Phase::Working;
            if step != Step::Asked {
                // It was signalled, and ends sooner or later, with whatever it does then. Better now.
                Self::recall_behind(state, 0);
                Self::promote(state);
                self.doom(state);
                return true;
            }
        }
        Self::promote(state);
        true
    }

    /// Takes the call that came back out of those on their way. Those before it were withdrawn.
    fn take_front(state: &mut State, ticket: u64) -> Option<Entry> {
        loop {
            let front = state.sent.pop_front()?;
            if front.ticket == ticket {
                return Some(front.task);
            }
            if front.ticket < ticket && state.link.ahead().is_some_and(|ahead| ahead.is_back(front.ticket)) {
                Self::give_back(state, front);
                continue;
            }
            // One that was withdrawn is over.
            if front.ticket > ticket || front.task.state() != TaskState::Finished {
                state.sent.push_front(front);
                return None;
            }
            Self::drop_withdrawn(state, front);
        }
    }

    /// A call was withdrawn, by who cancelled it.
    pub(super) fn drop_withdrawn(state: &mut State, call: OnItsWay) {
        state.link.withdrawn(call.ticket);
        if let Some(lane) = &state.lane {
            lane.found_withdrawn();
        }
    }

    /// The front is gone, and the worker goes on with the next.
    pub(super) fn promote(state: &mut State) {
        while let Some(front) = state.sent.front() {
            let Some(lane) = &state.lane else { return };
            let is_withdrawn = front.task.state() == TaskState::Finished;
            if !is_withdrawn && !state.link.begin(front.ticket) {
                // The worker's agent says soon whether it will.
                state.is_begun = false;
                return;
            }
            if lane.begin_call(&front.task) {
                state.is_begun = true;
                return;
            }
            // It was withdrawn, and the pool was told.
            let Some(front) = state.sent.pop_front() else { return };
            state.link.withdrawn(front.ticket);
        }
        state.is_begun = true;
    }

    /// Puts a call back into the queue that its worker's agent has given back.
    fn give_back(state: &mut State, call: OnItsWay) {
        if call.task.recall() {
            state.link.withdrawn(call.ticket);
            if let Some(lane) = &state.lane {
                lane.put_back(call.task);
            }
        } else {
            // Who cancelled it meanwhile found that it was back.
            Self::drop_withdrawn(state, call);
        }
    }

    /// Hears what became of calls that were asked for.
    pub(super) fn take_back(self: &Arc<Self>, state: &mut State) {
        let Some(ahead) = state.link.ahead().filter(|ahead| ahead.take_news()).cloned() else { return };
        let mut n = usize::from(state.is_begun);
        let before = state.sent.len();
        while let Some(call) = state.sent.get(n) {
            if !ahead.is_back(call.ticket) {
                n += 1;
            } else if let Some(call) = state.sent.remove(n) {
                Self::give_back(state, call);
            }
        }
        if !state.is_begun {
            Self::promote(state);
        }
        if state.sent.len() < before
            && let Some(lane) = &state.lane
        {
            lane.call_others();
        }
    }
}
