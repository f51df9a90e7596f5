//! A queue: items in order, who waits for one, who waits for room. Owns that an item is given to one who says that it arrived, and
//! goes back to where it was when he never does.

use std::collections::VecDeque;

use super::{Done, Effects, Key, Operation, Outcome};

#[derive(Debug)]
pub(super) struct Queue<I> {
    /// 0 is none.
    capacity: u64,
    items: VecDeque<(u64, I)>,
    /// What was given, and did not arrive yet, as far as is known here.
    given: Vec<(Key, u64, I)>,
    takers: VecDeque<Key>,
    /// Who waits for room. Nobody, when there are takers.
    putters: VecDeque<(Key, I)>,
    next: u64,
}

impl<I: Clone> Queue<I> {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            items: VecDeque::new(),
            given: Vec::new(),
            takers: VecDeque::new(),
            putters: VecDeque::new(),
            next: 0,
        }
    }

    pub(super) fn apply(&mut self, key: Key, operation: Operation<I>, effects: &mut Effects<I>) -> Done<I> {
        match operation {
            Operation::Put { item, wait } => self.put(key, item, wait, effects),
            Operation::Get { wait } => self.get(key, wait, effects),
            Operation::Len => Outcome::Count(self.items.len() as u64).into(),
            Operation::Receipt { request } => {
                let key = key.of_same(request);
                if let Some(at) = self.given.iter().position(|(to, ..)| *to == key) {
                    effects.spent.push(self.given.swap_remove(at).2);
                }
                Outcome::Done.into()
            }
            Operation::TimeIsUp { request } => {
                self.give_up(key.of_same(request), effects);
                Outcome::Done.into()
            }
            Operation::Cancel { request } => {
                let key = key.of_same(request);
                self.take_back(|other| other == key, effects);
                Outcome::Done.into()
            }
            other => Done::Unknown(other),
        }
    }

    fn has_room(&self) -> bool {
        self.capacity == 0 || (self.items.len() as u64) < self.capacity
    }

    fn put(&mut self, key: Key, item: I, wait: bool, effects: &mut Effects<I>) -> Done<I> {
        if self.has_room() && self.putters.is_empty() {
            self.append(item);
            self.serve(effects);
            return Outcome::Done.into();
        }
        if !wait {
            effects.spent.push(item);
            return Outcome::Busy.into();
        }
        self.putters.push_back((key, item));
        Done::Later
    }

    fn append(&mut self, item: I) {
        self.items.push_back((self.next, item));
        self.next += 1;
    }

    fn get(&mut self, key: Key, wait: bool, effects: &mut Effects<I>) -> Done<I> {
        // Whoever waits found nothing, so nobody is passed by.
        if let Some(outcome) = self.give(key) {
            self.admit(effects);
            return outcome.into();
        }
        if !wait {
            return Outcome::Busy.into();
        }
        self.takers.push_back(key);
        Done::Later
    }

    fn give(&mut self, key: Key) -> Option<Outcome<I>> {
        let (number, item) = self.items.pop_front()?;
        self.given.push((key, number, item.clone()));
        Some(Outcome::Item(item))
    }

    /// Gives what there is to those who wait for it, and lets in what there is room for then.
    fn serve(&mut self, effects: &mut Effects<I>) {
        while let Some(&key) = self.takers.front()
            && let Some(outcome) = self.give(key)
        {
            self.takers.pop_front();
            effects.answers.push((key, outcome));
            self.admit(effects);
        }
    }

    fn admit(&mut self, effects: &mut Effects<I>) {
        while self.has_room()
            && let Some((key, item)) = self.putters.pop_front()
        {
            self.append(item);
            effects.answers.push((key, Outcome::Done));
        }
    }

    fn give_up(&mut self, key: Key, effects: &mut Effects<I>) {
        let was = (self.takers.len(), self.putters.len());
        self.takers.retain(|taker| *taker != key);
        self.drop_putters(|putter| putter == key, effects);
        if was != (self.takers.len(), self.putters.len()) {
            effects.answers.push((key, Outcome::Busy));
        }
    }

    fn drop_putters(&mut self, is_gone: impl Fn(Key) -> bool, effects: &mut Effects<I>) {
        if self.putters.iter().any(|(key, _)| is_gone(*key)) {
            for (key, item) in std::mem::take(&mut self.putters) {
                if is_gone(key) {
                    effects.spent.push(item);
                } else {
                    self.putters.push_back((key, item));
                }
            }
        }
    }

    /// Some wait no more, and what they were given did not arrive.
    fn take_back(&mut self, is_gone: impl Fn(Key) -> bool, effects: &mut Effects<I>) {
        self.takers.retain(|key| !is_gone(*key));
        self.drop_putters(&is_gone, effects);
        while let Some(at) = self.given.iter().position(|(to, ..)| is_gone(*to)) {
            let (_, number, item) = self.given.swap_remove(at);
            let place = self.items.partition_point(|(other, _)| *other < number);
            self.items.insert(place, (number, item));
        }
        self.serve(effects);
    }

    pub(super) fn lost(&mut self, is_gone: impl Fn(Key) -> bool, effects: &mut Effects<I>) {
        self.take_back(is_gone, effects);
    }
}
