//! A condition: a lock, and those who gave it up to sleep until they are notified. Owns that a notification is never lost: one for
//! somebody who is gone wakes the next.

use std::collections::VecDeque;

use super::{
    Answers, Done, Fault, Key, Operation, Outcome,
    permits::{Note, Permits, Sort},
};
use crate::primitives::Who;

#[derive(Debug)]
pub(super) struct Condition {
    lock: Permits,
    asleep: VecDeque<(Key, Who)>,
}

impl Default for Condition {
    fn default() -> Self {
        Self { lock: Permits::new(Sort::Lock, 1), asleep: VecDeque::new() }
    }
}

impl Condition {
    pub(super) fn apply<I>(
        &mut self,
        key: Key,
        operation: Operation<I>,
        answers: &mut Answers<I>,
    ) -> Done<I> {
        match operation {
            Operation::Sleep { hold, who } => {
                if self.lock.release(key.of_same(hold), answers).is_none() {
                    return Outcome::Fault(Fault::NotHeld).into();
                }
                self.asleep.push_back((key, who));
                Done::Later
            }
            Operation::TimeIsUp { request } => {
                let late = key.of_same(request);
                match self.leave(late) {
                    Some(who) => self.lock.line_up(late, who, Note::Late, answers),
                    None => self.lock.give_up(late, answers),
                }
                Outcome::Done.into()
            }
            Operation::Notify { all } => {
                let count = if all { self.asleep.len() } else { 1 };
                self.notify(count, answers);
                Outcome::Done.into()
            }
            Operation::Cancel { request } => {
                let key = key.of_same(request);
                if self.leave(key).is_none() {
                    let note = self.lock.cancel(key, answers);
                    self.pass_on(note.into_iter(), answers);
                }
                Outcome::Done.into()
            }
            other => self.lock.apply(key, other, answers),
        }
    }

    fn leave(&mut self, key: Key) -> Option<Who> {
        let at = self.asleep.iter().position(|(asleep, _)| *asleep == key)?;
        self.asleep.remove(at).map(|(_, who)| who)
    }

    fn notify<I>(&mut self, count: usize, answers: &mut Answers<I>) {
        for _ in 0..count {
            let Some((key, who)) = self.asleep.pop_front() else { return };
            self.lock.line_up(key, who, Note::Notified, answers);
        }
    }

    fn pass_on<I>(&mut self, notes: impl Iterator<Item = Note>, answers: &mut Answers<I>) {
        let count = notes.filter(|note| *note == Note::Notified).count();
        self.notify(count, answers);
    }

    pub(super) fn lost<I>(&mut self, is_gone: impl Fn(Key) -> bool, answers: &mut Answers<I>) {
        self.asleep.retain(|(key, _)| !is_gone(*key));
        let notes = self.lock.lost(is_gone, answers);
        self.pass_on(notes.into_iter(), answers);
    }
}
