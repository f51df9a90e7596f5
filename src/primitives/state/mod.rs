//! The states of all kinds of objects, and what each request makes of them. Owns nothing but that: no clocks, no wakers, no locks,
//! no processes. Who is answered besides the one who asks is told in [`Effects`].

use super::{Fault, Key, Kind, Operation, Outcome};

mod barrier;
mod condition;
mod event;
mod permits;
mod queue;

use barrier::Barrier;
use condition::Condition;
use event::Event;
use permits::{Permits, Sort};
use queue::Queue;

/// What a request has set in motion.
#[derive(Debug)]
pub(super) struct Effects<I> {
    /// Who waited and has an answer now.
    pub(super) answers: Vec<(Key, Outcome<I>)>,
    /// What is in no queue any more, to be dropped where that may take its time.
    pub(super) spent: Vec<I>,
}

impl<I> Default for Effects<I> {
    fn default() -> Self {
        Self { answers: Vec::new(), spent: Vec::new() }
    }
}

/// The state of an object.
#[derive(Debug)]
pub(super) struct Machine<I>(State<I>);

#[derive(Debug)]
enum State<I> {
    Permits(Permits),
    Condition(Condition),
    Event(Event),
    Barrier(Barrier),
    Queue(Queue<I>),
}

impl<I: Clone> Machine<I> {
    pub(super) fn new(kind: Kind) -> Self {
        Self(match kind {
            Kind::Lock => State::Permits(Permits::new(Sort::Lock, 1)),
            Kind::RLock => State::Permits(Permits::new(Sort::Reentrant, 1)),
            Kind::Semaphore { free } => State::Permits(Permits::new(Sort::Semaphore, free)),
            Kind::BoundedSemaphore { free } => State::Permits(Permits::new(Sort::Bounded, free)),
            Kind::Condition => State::Condition(Condition::default()),
            Kind::Event => State::Event(Event::default()),
            Kind::Barrier { parties } => State::Barrier(Barrier::new(parties)),
            Kind::Queue { capacity } => State::Queue(Queue::new(capacity)),
            Kind::SimpleQueue => State::Queue(Queue::new(0)),
        })
    }

    /// Does what is asked. None when the answer comes later.
    pub(super) fn apply(
        &mut self,
        key: Key,
        operation: Operation<I>,
        effects: &mut Effects<I>,
    ) -> Option<Outcome<I>> {
        if let Operation::Lost { request } = operation {
            let lost = key.of_same(request);
            self.lost(|key| key == lost, effects);
            return Some(Outcome::Done);
        }
        let answers = &mut effects.answers;
        let outcome = match &mut self.0 {
            State::Permits(permits) => permits.apply(key, operation, answers),
            State::Condition(condition) => condition.apply(key, operation, answers),
            State::Event(event) => event.apply(key, operation, answers),
            State::Barrier(barrier) => barrier.apply(key, operation, answers),
            State::Queue(queue) => queue.apply(key, operation, effects),
        };
        match outcome {
            Done::Answer(outcome) => Some(outcome),
            Done::Later => None,
            Done::Unknown(operation) => {
                if let Operation::Put { item, .. } = operation {
                    effects.spent.push(item);
                }
                Some(Outcome::Fault(Fault::Gone))
            }
        }
    }

    /// Some have died, with all that they held and waited for.
    pub(super) fn lost(&mut self, is_gone: impl Fn(Key) -> bool, effects: &mut Effects<I>) {
        match &mut self.0 {
            State::Permits(permits) => drop(permits.lost(is_gone, &mut effects.answers)),
            State::Condition(condition) => condition.lost(is_gone, &mut effects.answers),
            State::Event(event) => event.lost(is_gone),
            State::Barrier(barrier) => barrier.lost(is_gone),
            State::Queue(queue) => queue.lost(is_gone, effects),
        }
    }
}

/// What became of a request.
#[derive(Debug)]
enum Done<I> {
    Answer(Outcome<I>),
    Later,
    /// The object is not of a kind that does this.
    Unknown(Operation<I>),
}

impl<I> From<Outcome<I>> for Done<I> {
    fn from(outcome: Outcome<I>) -> Self {
        Self::Answer(outcome)
    }
}

type Answers<I> = Vec<(Key, Outcome<I>)>;
