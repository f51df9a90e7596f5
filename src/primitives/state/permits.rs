//! Locks and semaphores: so many may hold it, the others wait in line. Owns whose turn it is, and that the next holder learns when
//! the one before did not give it back.

use std::collections::VecDeque;

use super::{Answers, Done, Fault, Key, Operation, Outcome};
use crate::primitives::Who;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Lock,
    Reentrant,
    Semaphore,
    Bounded,
}

#[derive(Debug)]
pub(super) struct Permits {
    sort: Sort,
    limit: u64,
    free: u64,
    holds: Vec<Hold>,
    line: VecDeque<Waiter>,
    /// So many permits came back from the dead, and nobody was told of it yet.
    died: u64,
}

#[derive(Debug)]
pub(super) struct Hold {
    key: Key,
    who: Who,
    was_told: bool,
    pub(super) note: Note,
}

#[derive(Debug)]
struct Waiter {
    key: Key,
    who: Who,
    note: Note,
}

/// What brought somebody into the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    Asked,
    /// It slept, and was notified.
    Notified,
    /// It slept until its time was up.
    Late,
}

impl Permits {
    pub(super) fn new(sort: Sort, free: u64) -> Self {
        Self { sort, limit: free, free, holds: Vec::new(), line: VecDeque::new(), died: 0 }
    }

    pub(super) fn apply<I>(
        &mut self,
        key: Key,
        operation: Operation<I>,
        answers: &mut Answers<I>,
    ) -> Done<I> {
        match operation {
            Operation::Acquire { who, wait } => self.acquire(key, who, wait),
            Operation::Release { hold } => match self.release(key.of_same(hold), answers) {
                Some(_) => Outcome::Done.into(),
                None => Outcome::Fault(Fault::NotHeld).into(),
            },
            Operation::ReleaseFor { who } => self.release_for(who, answers).into(),
            Operation::Forget { hold } => match self.take(key.of_same(hold)) {
                Some(_) => Outcome::Done.into(),
                None => Outcome::Fault(Fault::NotHeld).into(),
            },
            Operation::TimeIsUp { request } => {
                self.give_up(key.of_same(request), answers);
                Outcome::Done.into()
            }
            Operation::Cancel { request } => {
                self.cancel(key.of_same(request), answers);
                Outcome::Done.into()
            }
            other => Done::Unknown(other),
        }
    }

    fn acquire<I>(&mut self, key: Key, who: Who, wait: bool) -> Done<I> {
        if let Some(outcome) = self.enter(key, who) {
            return outcome.into();
        }
        if !wait {
            return Outcome::Busy.into();
        }
        self.line.push_back(Waiter { key, who, note: Note::Asked });
        Done::Later
    }

    /// Grants at once what can be granted without passing anybody by.
    fn enter<I>(&mut self, key: Key, who: Who) -> Option<Outcome<I>> {
        let is_again = self.sort == Sort::Reentrant && self.holds.first().is_some_and(|hold| hold.who == who);
        (is_again || (self.line.is_empty() && self.free > 0))
            .then(|| self.grant(key, who, Note::Asked, is_again))
    }

    fn grant<I>(&mut self, key: Key, who: Who, note: Note, is_again: bool) -> Outcome<I> {
        let mut was_told = false;
        if !is_again {
            self.free -= 1;
            was_told = self.died > 0;
            self.died -= u64::from(was_told);
        }
        self.holds.push(Hold { key, who, was_told, note });
        Outcome::Granted { died: was_told, late: note == Note::Late }
    }

    /// Somebody waits, for this reason, behind all others.
    pub(super) fn line_up<I>(&mut self, key: Key, who: Who, note: Note, answers: &mut Answers<I>) {
        self.line.push_back(Waiter { key, who, note });
        self.hand_on(answers);
    }

    /// Takes a hold away, without freeing what it held.
    fn take(&mut self, key: Key) -> Option<Hold> {
        let at = self.holds.iter().rposition(|hold| hold.key == key)?;
        Some(self.holds.remove(at))
    }

    pub(super) fn release<I>(&mut self, key: Key, answers: &mut Answers<I>) -> Option<Hold> {
        let hold = self.take(key)?;
        self.freed(answers);
        Some(hold)
    }

    fn release_for<I>(&mut self, who: Who, answers: &mut Answers<I>) -> Outcome<I> {
        if let Some(at) = self.holds.iter().rposition(|hold| hold.who == who) {
            self.holds.remove(at);
            self.freed(answers);
            return Outcome::Done;
        }
        match self.sort {
            Sort::Lock | Sort::Reentrant => return Outcome::Fault(Fault::NotHeld),
            Sort::Bounded if self.free.saturating_add(self.holds.len() as u64) >= self.limit => {
                return Outcome::Fault(Fault::TooMany { limit: self.limit });
            }
            Sort::Bounded | Sort::Semaphore => {}
        }
        self.freed(answers);
        Outcome::Done
    }

    /// A hold is gone.
    fn freed<I>(&mut self, answers: &mut Answers<I>) {
        if self.sort != Sort::Reentrant || self.holds.is_empty() {
            self.free = self.free.saturating_add(1);
            self.hand_on(answers);
        }
    }

    fn hand_on<I>(&mut self, answers: &mut Answers<I>) {
        while self.free > 0
            && let Some(Waiter { key, who, note }) = self.line.pop_front()
        {
            let outcome = self.grant(key, who, note, false);
            answers.push((key, outcome));
            if self.sort == Sort::Reentrant {
                self.admit_same(who, answers);
            }
        }
    }

    /// Who has it now may have asked for it more than once.
    fn admit_same<I>(&mut self, who: Who, answers: &mut Answers<I>) {
        while let Some(at) = self.line.iter().position(|waiter| waiter.who == who)
            && let Some(Waiter { key, note, .. }) = self.line.remove(at)
        {
            answers.push((key, self.grant(key, who, note, true)));
        }
    }

    /// Who waits for the lock and nothing else waits no more.
    pub(super) fn give_up<I>(&mut self, key: Key, answers: &mut Answers<I>) {
        let is_it = |waiter: &Waiter| waiter.key == key && waiter.note == Note::Asked;
        if let Some(at) = self.line.iter().position(is_it) {
            self.line.remove(at);
            answers.push((key, Outcome::Busy));
        }
    }

    /// Nobody waits, or nobody has seen that it was granted. Gives what brought him there.
    pub(super) fn cancel<I>(&mut self, key: Key, answers: &mut Answers<I>) -> Option<Note> {
        if let Some(at) = self.line.iter().position(|waiter| waiter.key == key) {
            return self.line.remove(at).map(|waiter| waiter.note);
        }
        let hold = self.take(key)?;
        // Nobody was told, after all.
        self.died += u64::from(hold.was_told);
        self.freed(answers);
        Some(hold.note)
    }

    /// Gives what brought those into the line, or to the lock, who are gone.
    pub(super) fn lost<I>(&mut self, is_gone: impl Fn(Key) -> bool, answers: &mut Answers<I>) -> Vec<Note> {
        let mut notes = Vec::new();
        self.line.retain(|waiter| {
            let stays = !is_gone(waiter.key);
            if !stays {
                notes.push(waiter.note);
            }
            stays
        });
        while let Some(at) = self.holds.iter().position(|hold| is_gone(hold.key)) {
            let hold = self.holds.remove(at);
            notes.push(hold.note);
            if self.sort != Sort::Reentrant || self.holds.is_empty() {
                self.died += 1;
            }
            self.freed(answers);
        }
        notes
    }
}
