//! Calls that were sent ahead to a worker that is elsewhere. Owns what is known here of who has them: that is decided at the other end, and
//! has to be asked for.
//!
//! 1. A call that has not left this process is taken back at once. From then on its worker's agent is asked ([`kind::ASK`]), and answers
//!    either that it has given the call back, or that it was begun.
//! 2. That a call is sent, and that it is known to be, is one step under the lock: so nobody asks for what has not been sent, and nothing is
//!    sent that was taken back.
//! 3. As long as the answer is not there, the call is neither pending nor running for anybody here: who wants to cancel it leaves word in its
//!    cell, and whoever hears the answer acts on that.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    inside::process::stream::send_bytes_now,
    sys::lock::lock,
    task::Claim,
    wire::stream::{Head, kind},
};

/// So many calls are on their way at the same time, at most.
const MOST: usize = 128;

pub(super) struct Ahead {
    data: Arc<OwnedFd>,
    state: Mutex<State>,
    has_news: AtomicBool,
}

#[derive(Default)]
struct State {
    calls: HashMap<u64, Whose>,
    /// What is to be sent next, in order: calls, each by its ticket, and questions.
    unsent: Vec<(u64, Vec<u8>)>,
    questions: Vec<u64>,
    /// How long those calls are that were put here and are not over.
    lens: HashMap<u64, usize>,
    is_broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// It has not been sent.
    Ours,
    Sent,
    /// It is wanted back.
    Asked,
    /// It is back.
    Back,
    /// The worker has begun it.
    Begun,
}

impl Ahead {
    pub(super) fn new(data: Arc<OwnedFd>) -> Self {
        Self { data, state: Mutex::default(), has_news: AtomicBool::new(false) }
    }

    /// Announces a call that is to be sent behind others.
    pub(super) fn offer(&self, ticket: u64) {
        lock(&self.state).calls.insert(ticket, Whose::Ours);
    }

    pub(super) fn offers(&self, ticket: u64) -> bool {
        lock(&self.state).calls.contains_key(&ticket)
    }

    /// Is there room for so many bytes more, of so many in all?
    pub(super) fn has_room(&self, len: usize, most: usize) -> bool {
        let state = lock(&self.state);
        state.lens.len() < MOST && state.lens.values().sum::<usize>() + len <= most && !state.is_broken
    }

    /// Puts a call behind what is to be sent.
    pub(super) fn put(&self, ticket: u64, head: &Head, payload: &[u8]) {
        let bytes = [&head.encode(), payload].concat();
        let mut state = lock(&self.state);
        state.lens.insert(ticket, bytes.len());
        state.unsent.push((ticket, bytes));
    }

    /// Sends all of that, in one piece.
    pub(super) fn send(&self) {
        let mut state = lock(&self.state);
        if (state.unsent.is_empty() && state.questions.is_empty()) || state.is_broken {
            return;
        }
        let State { calls, unsent, questions, .. } = &mut *state;
        let mut bytes = Vec::new();
        for (ticket, call) in unsent.drain(..) {
            match calls.get_mut(&ticket) {
                Some(whose @ Whose::Ours) => *whose = Whose::Sent,
                // It was taken back.
                Some(_) => continue,
                // The front is nobody's to take back.
                None => {}
            }
            bytes.extend_from_slice(&call);
        }
        for ticket in questions.drain(..) {
            bytes.extend_from_slice(&Head::bare(kind::ASK, ticket).encode());
        }
        // There is room for all that is on its way. Where there is not, the worker is as good as gone, which shows elsewhere.
        state.is_broken = !bytes.is_empty() && !send_bytes_now(&self.data, &bytes);
    }

    /// The worker's agent has answered.
    pub(super) fn told(&self, ticket: u64, is_back: bool) {
        if let Some(whose @ Whose::Asked) = lock(&self.state).calls.get_mut(&ticket) {
            *whose = if is_back { Whose::Back } else { Whose::Begun };
        }
        self.has_news.store(true, Ordering::SeqCst);
    }

    pub(super) fn take_news(&self) -> bool {
        self.has_news.load(Ordering::SeqCst) && self.has_news.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_back(&self, ticket: u64) -> bool {
        lock(&self.state).calls.get(&ticket) == Some(&Whose::Back)
    }

    /// The call is over, one way or another, or it is the front now.
    pub(super) fn over(&self, ticket: u64) {
        let mut state = lock(&self.state);
        state.calls.remove(&ticket);
        state.lens.remove(&ticket);
        // What is over before it has left does not leave any more.
        state.unsent.retain(|(its, _)| *its != ticket);
    }

    /// Its worker has come to this call, unless it was asked for. From then on nobody asks. False while there is no answer.
    pub(super) fn begin(&self, ticket: u64) -> bool {
        let mut state = lock(&self.state);
        if let Some(Whose::Asked | Whose::Back) = state.calls.get(&ticket) {
            return false;
        }
        state.calls.remove(&ticket);
        true
    }
}

impl Claim for Ahead {
    fn withdraw(&self, ticket: u64) -> bool {
        let mut state = lock(&self.state);
        let State { calls, questions, .. } = &mut *state;
        match calls.get_mut(&ticket) {
            Some(Whose::Ours | Whose::Back) => {
                // What is not sent is not sent any more.
                calls.insert(ticket, Whose::Back);
                true
            }
            Some(whose @ Whose::Sent) => {
                *whose = Whose::Asked;
                questions.push(ticket);
                drop(state);
                self.send();
                false
            }
            _ => false,
        }
    }

    fn is_taken(&self, ticket: u64) -> bool {
        matches!(lock(&self.state).calls.get(&ticket), None | Some(Whose::Begun))
    }
}
