//! A barrier: who arrives waits until all have. Owns that whoever leaves before has not arrived.

use super::{Answers, Done, Key, Operation, Outcome};

#[derive(Debug)]
pub(super) struct Barrier {
    parties: u64,
    waiting: Vec<Key>,
}

impl Barrier {
    pub(super) fn new(parties: u64) -> Self {
        Self { parties, waiting: Vec::new() }
    }

    pub(super) fn apply<I>(
        &mut self,
        key: Key,
        operation: Operation<I>,
        answers: &mut Answers<I>,
    ) -> Done<I> {
        match operation {
            Operation::Arrive if self.waiting.len() as u64 + 1 >= self.parties => {
                answers.extend(self.waiting.drain(..).map(|key| (key, Outcome::Passed { last: false })));
                Outcome::Passed { last: true }.into()
            }
            Operation::Arrive => {
                self.waiting.push(key);
                Done::Later
            }
            Operation::TimeIsUp { request } => {
                let key = key.of_same(request);
                if let Some(at) = self.waiting.iter().position(|waiting| *waiting == key) {
                    answers.push((self.waiting.remove(at), Outcome::Busy));
                }
                Outcome::Done.into()
            }
            Operation::Cancel { request } => {
                let key = key.of_same(request);
                self.waiting.retain(|waiting| *waiting != key);
                Outcome::Done.into()
            }
            other => Done::Unknown(other),
        }
    }

    pub(super) fn lost(&mut self, is_gone: impl Fn(Key) -> bool) {
        self.waiting.retain(|key| !is_gone(*key));
    }
}
