//! An event: set or not, and who waits until it is.

use super::{Answers, Done, Key, Operation, Outcome};

#[derive(Debug, Default)]
pub(super) struct Event {
    is_set: bool,
    waiting: Vec<Key>,
}

impl Event {
    pub(super) fn apply<I>(
        &mut self,
        key: Key,
        operation: Operation<I>,
        answers: &mut Answers<I>,
    ) -> Done<I> {
        match operation {
            Operation::Set => {
                self.is_set = true;
                answers.extend(self.waiting.drain(..).map(|key| (key, Outcome::Done)));
            }
            Operation::Clear => self.is_set = false,
            Operation::IsSet => return Outcome::Is(self.is_set).into(),
            Operation::WaitUntilSet if self.is_set => {}
            Operation::WaitUntilSet => {
                self.waiting.push(key);
                return Done::Later;
            }
            Operation::TimeIsUp { request } => {
                let key = key.of_same(request);
                if let Some(at) = self.waiting.iter().position(|waiting| *waiting == key) {
                    answers.push((self.waiting.remove(at), Outcome::Busy));
                }
            }
            Operation::Cancel { request } => {
                let key = key.of_same(request);
                self.waiting.retain(|waiting| *waiting != key);
            }
            other => return Done::Unknown(other),
        }
        Outcome::Done.into()
    }

    pub(super) fn lost(&mut self, is_gone: impl Fn(Key) -> bool) {
        self.waiting.retain(|key| !is_gone(*key));
    }
}
