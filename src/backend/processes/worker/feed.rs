//! What a worker is given to do: the front, what is sent ahead of its time, and nothing at all. Owns how much that is and when it is
//! taken back.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use super::{OnItsWay, Phase, State, Worker};
use crate::{
    backend::{
        lane::Lane,
        processes::{
            captured::Capture,
            link::{Extra, Link, Sent},
        },
        queue::Entry,
    },
    error::TaskError,
    function::{Counted, Names, Reply},
    task::TaskState,
    wire::layout,
};

/// While a call takes less than this, others are sent ahead, for so long in all.
const AHEAD: Duration = Duration::from_millis(1);

/// The same for a worker that is elsewhere: what counts is that it has something to do while a call and a reply are on their way.
const FAR_AHEAD: Duration = Duration::from_millis(100);

/// How long a worker that was told to go may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long buffers for large data are kept for a worker that has nothing to do.
const COOLING: Duration = Duration::from_secs(1);

/// How often the memory of a worker is looked at, at most.
const MEMORY_LOOKS: Duration = Duration::from_millis(1);

impl Worker {
    pub(super) fn feed(self: &Arc<Self>, state: &mut State) {
        let is_worn = self.is_worn_out(state);
        if is_worn {
            Self::recall_behind(state, 1);
            if state.sent.is_empty() {
                if let Some(lane) = &state.lane {
                    lane.tell_recycled();
                }
                self.let_go(state);
            }
            return;
        }
        let me = Waker::from(Arc::clone(self));
        while state.sent.is_empty() {
            let Some(lane) = &mut state.lane else { return };
            match lane.poll_next(&me) {
                Poll::Ready(Some(task)) => {
                    state.idle_since = None;
                    if !self.send_front(state, task) {
                        return;
                    }
                }
                Poll::Ready(None) => {
                    self.let_go(state);
                    return;
                }
                Poll::Pending => {
                    self.idle(state);
                    return;
                }
            }
        }
        self.send_ahead(state);
    }

    /// Begins a call. False when the worker cannot take one now.
    pub(super) fn send_front(self: &Arc<Self>, state: &mut State, task: Entry) -> bool {
        let State { lane: Some(lane), link, .. } = state else { return false };
        let Some(call) = task.call() else {
            lane.found_withdrawn();
            return true;
        };
        if !lane.begin_call(&task) {
            return true;
        }
        let is_captured =
            task.has_options() && task.options().and_then(|options| options.capture_output) == Some(true);
        let span = || lane.pool().span_of(task.id());
        state.capture = is_captured.then(|| Capture::begin(state.next_ticket, &self.control, span()));
        let is_captured = state.capture.as_ref().is_some_and(Capture::is_sent);
        let extra = Extra::new(is_captured, lane.origin_of(&task, false));
        self.place(&call.names);
        let limit = self.crew().and_then(|crew| crew.max_payload());
        let len = call.arg.len() as u64;
        let refused = match limit {
            Some(limit) if len > limit => Some(TaskError::TooLarge { size: len, limit }),
            _ => match link.offer_and_send(state.next_ticket, &call, &extra) {
                Ok(Sent::Yes) => None,
                Ok(Sent::Impossible(why)) => Some(TaskError::Encode(why)),
                // Full of what was withdrawn, which the worker has yet to pass by.
                Ok(Sent::Full) => {
                    lane.lost_call(task, None);
                    lane.call_others();
                    self.set_alarm(state, Instant::now() + Duration::from_millis(1));
                    return false;
                }
                // Somebody wrote into the ring who should not.
                Err(_) => {
                    lane.lost_call(task, None);
                    self.doom(state);
                    return false;
                }
            },
        };
        if let Some(error) = refused {
            let tally =
                Counted { failed: u32::try_from(call.tasks).unwrap_or(u32::MAX), ..Counted::default() };
            let (waker, _) = lane.end_call(
                &task,
                Reply { result: Err(Box::new(error)), tally, names: Names::new() },
                None,
            );
            state.wakers.extend(waker);
            return true;
        }
        task.held(link.claims(), state.next_ticket);
        state.sent.push_back(OnItsWay { ticket: state.next_ticket, task });
        state.next_ticket += 1;
        state.front_since = Instant::now();
        true
    }

    /// Sends calls behind the front, as many as will be done in a moment.
    pub(super) fn send_ahead(self: &Arc<Self>, state: &mut State) {
        self.fill_up(state);
        // Who lay down meanwhile has looked here before he did, and found nothing, or us.
        if state.sent.len() > 1
            && state.lane.as_ref().is_some_and(Lane::is_not_alone)
            && Self::recall_behind(state, 1) > 0
            && let Some(lane) = &state.lane
        {
            lane.call_others();
        }
    }

    pub(super) fn fill_up(self: &Arc<Self>, state: &mut State) {
        let ahead = if state.link.ahead().is_some() { FAR_AHEAD } else { AHEAD };
        let Some(pace) = state.pace.filter(|pace| *pace < ahead) else { return };
        if state.sent.front().is_some_and(|front| self.ending.load(Ordering::SeqCst) == front.ticket) {
            // It waits for the end of the pool, which does not wait for it, and would not for those.
            return;
        }
        if !state.link.prefetches() || !self.crew().is_some_and(|crew| crew.prefetches()) {
            return;
        }
        let depth = (ahead.as_nanos() / pace.as_nanos().max(1)) as usize;
        let depth = depth.clamp(1, Link::most_sent() - 1);
        // Not one by one, which would be a wake-up each.
        if state.sent.len() > depth / 2 {
            return;
        }
        let most =
            self.crew().and_then(|crew| crew.max_tasks()).map(|most| most.saturating_sub(state.tasks_done));
        let mut on_their_way: u64 =
            if most.is_some() { state.sent.iter().map(|call| call.task.tasks()).sum() } else { 0 };
        while state.sent.len() <= depth && most.is_none_or(|most| on_their_way < most) {
            // A claim's word is used again after so many tickets.
            let oldest = state.sent.front().map_or(state.next_ticket, |front| front.ticket);
            if state.next_ticket - oldest >= Link::most_sent() as u64 {
                return;
            }
            let State { lane: Some(lane), link, .. } = state else { return };
            let Some(task) = lane.take_ahead() else { return };
            if task.has_options() {
                lane.put_back(task);
                return;
            }
            // Before the task is said to be there: who cancels it then looks at this.
            link.offer(state.next_ticket);
            let Some(call) = task.send(link.claims(), state.next_ticket, lane.index() as u32) else {
                lane.found_withdrawn();
                continue;
            };
            self.place(&call.names);
            let extra = Extra::new(false, lane.origin_of(&task, true));
            let is_small = call.arg.len() + extra.origin.len() < layout::LARGE;
            let sent = is_small && link.send(state.next_ticket, &call, &extra) == Ok(Sent::Yes);
            match sent {
                true => {
                    on_their_way += task.tasks();
                    state.sent.push_back(OnItsWay { ticket: state.next_ticket, task });
                    state.next_ticket += 1;
                }
                false => {
                    // It has not left, so this is decided at once.
                    let is_back = task.recall();
                    link.withdrawn(state.next_ticket);
                    if is_back {
                        lane.put_back(task);
                    } else {
                        lane.found_withdrawn();
                    }
                    return;
                }
            }
        }
    }

    /// Withdraws what is behind the first `keep` calls and puts it back into the queue.
    pub(super) fn recall_behind(state: &mut State, keep: usize) -> usize {
        if state.link.ahead().is_some() {
            // Each is asked for; those that have not left are back now, the others when the worker's agent has answered.
            return Self::ask_back(state, keep);
        }
        let mut count = 0;
        while state.sent.len() > keep {
            let Some(last) = state.sent.back() else { break };
            if last.task.recall() {
                let Some(call) = state.sent.pop_back() else { break };
                state.link.withdrawn(call.ticket);
                if let Some(lane) = &state.lane {
                    lane.put_back(call.task);
                }
                count += 1;
            } else if last.task.state() == TaskState::Finished {
                let Some(call) = state.sent.pop_back() else { break };
                Self::drop_withdrawn(state, call);
            } else {
                // The worker is that far already.
                break;
            }
        }
        count
    }

    fn ask_back(state: &mut State, keep: usize) -> usize {
        let before = state.sent.len();
        let mut n = before;
        while n > keep.max(usize::from(state.is_begun)) {
            n -= 1;
            let Some(call) = state.sent.get(n) else { break };
            if call.task.state() == TaskState::Finished {
                let Some(call) = state.sent.remove(n) else { break };
                Self::drop_withdrawn(state, call);
            } else if call.task.recall() {
                let Some(call) = state.sent.remove(n) else { break };
                state.link.withdrawn(call.ticket);
                if let Some(lane) = &state.lane {
                    lane.put_back(call.task);
                }
            }
        }
        before - state.sent.len()
    }

    /// Gives half of what waits here to a worker that has nothing to do.
    pub(in crate::backend::processes) fn share(self: &Arc<Self>) -> bool {
        let share = |state: &mut State| {
            let is_at_work = state.phase == Phase::Working && state.sent.len() > 1;
            let keep = (state.sent.len() / 2).max(1);
            is_at_work && Self::recall_behind(state, keep) > 0
        };
        self.in_passing(share).unwrap_or(false)
    }

    // ---- idle, worn out, on the way out

    pub(super) fn idle(self: &Arc<Self>, state: &mut State) {
        if let Some(crew) = self.crew() {
            crew.share_with(self);
        }
        let now = Instant::now();
        let since = *state.idle_since.get_or_insert(now);
        if state.link.is_warm() {
            if now - since < COOLING {
                self.set_alarm(state, since + COOLING);
            } else {
                state.link.cool_down();
            }
        }
        let Some(after) = self.crew().and_then(|crew| crew.idle_timeout()) else { return };
        match since.checked_add(after) {
            Some(until) if until <= now => self.let_go(state),
            Some(until) => self.set_alarm(state, until),
            None => {}
        }
    }

    pub(super) fn is_worn_out(&self, state: &mut State) -> bool {
        let Some(crew) = self.crew() else { return true };
        if crew.max_tasks().is_some_and(|most| state.tasks_done >= most) {
            return true;
        }
        let Some(most) = crew.max_growth().filter(|_| state.tasks_done > 0) else { return false };
        let now = Instant::now();
        if state.memory.looked.is_some_and(|looked| now - looked < MEMORY_LOOKS) {
            return false;
        }
        state.memory.looked = Some(now);
        let Ok(used) = self.child.memory() else { return false };
        let first = *state.memory.first.get_or_insert(used);
        used.saturating_sub(first) > most
    }

    /// The worker has nothing to do and is not wanted any more.
    pub(super) fn let_go(self: &Arc<Self>, state: &mut State) {
        state.link.ask_to_leave();
        let until = Instant::now() + FAREWELL;
        state.phase = Phase::Leaving { until };
        self.set_alarm(state, until);
        // Another may take its place; the pool waits for the process where it waits for anything.
        drop(state.lane.take());
    }
}
