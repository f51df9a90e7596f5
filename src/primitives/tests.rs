//! What the states promise, whatever is asked in whatever order: nobody is passed by, nothing is held twice or lost, and every
//! death is told once.

use std::collections::{BTreeMap, VecDeque};

use proptest::{collection::vec, prelude::*};

use super::{
    Fault, Key, Kind, Operation, Outcome, Who,
    state::{Effects, Machine},
};

const CLIENTS: u64 = 3;

fn who(n: u64) -> Who {
    Who(7, 7, n)
}

/// Plays requests against a state, and keeps what the clients know.
struct Scene {
    machine: Machine<u64>,
    next: u64,
    /// Who has no answer yet, in the order of asking.
    waiting: VecDeque<Key>,
    /// Answers that their clients have not seen.
    unseen: BTreeMap<Key, Outcome<u64>>,
    /// All that was dropped out of queues.
    spent: Vec<u64>,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        Self {
            machine: Machine::new(kind),
            next: 0,
            waiting: VecDeque::new(),
            unseen: BTreeMap::new(),
            spent: Vec::new(),
        }
    }

    fn key(&mut self, client: u64) -> Key {
        self.next += 1;
        Key { client, request: self.next }
    }

    fn settle(&mut self, effects: Effects<u64>) -> Vec<Key> {
        self.spent.extend(effects.spent);
        let mut answered = Vec::new();
        for (key, outcome) in effects.answers {
            let at = self.waiting.iter().position(|waiting| *waiting == key);
            self.waiting.remove(at.expect("only who waits is answered"));
            assert!(self.unseen.insert(key, outcome).is_none());
            answered.push(key);
        }
        answered
    }

    /// Asks; what is not answered at once waits.
    fn ask(&mut self, key: Key, operation: Operation<u64>) -> Option<Outcome<u64>> {
        let mut effects = Effects::default();
        let outcome = self.machine.apply(key, operation, &mut effects);
        self.settle(effects);
        if outcome.is_none() {
            self.waiting.push_back(key);
        }
        outcome
    }

    /// Asks, and gives who was answered besides.
    fn tell(&mut self, key: Key, operation: Operation<u64>) -> (Outcome<u64>, Vec<Key>) {
        let mut effects = Effects::default();
        if let Operation::Cancel { request } = operation {
            let gone = Key { request, ..key };
            self.waiting.retain(|waiting| *waiting != gone);
            self.unseen.remove(&gone);
        }
        let outcome = self.machine.apply(key, operation, &mut effects).expect("an answer");
        (outcome, self.settle(effects))
    }

    fn die(&mut self, client: u64) -> Vec<Key> {
        self.waiting.retain(|key| key.client != client);
        self.unseen.retain(|key, _| key.client != client);
        let mut effects = Effects::default();
        self.machine.lost(|key| key.client == client, &mut effects);
        self.settle(effects)
    }
}

/// What a client does next; the numbers choose among what there is.
#[derive(Debug, Clone)]
enum Move {
    Ask(u64, bool),
    See(usize),
    Release(usize),
    Cancel(usize),
    TimeIsUp(usize),
    Die(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..CLIENTS, any::<bool>()).prop_map(|(client, wait)| Move::Ask(client, wait)),
        4 => any::<usize>().prop_map(Move::See),
        4 => any::<usize>().prop_map(Move::Release),
        2 => any::<usize>().prop_map(Move::Cancel),
        1 => any::<usize>().prop_map(Move::TimeIsUp),
        1 => (0..CLIENTS).prop_map(Move::Die),
    ];
    vec(one, 1..60)
}

fn pick<T: Copy>(from: impl Iterator<Item = T>, n: usize) -> Option<T> {
    let all: Vec<T> = from.collect();
    all.get(n.checked_rem(all.len())?).copied()
}

/// Plays a lock or semaphore of so many permits, by who never asks twice.
fn permits(kind: Kind, free: usize, moves: Vec<Move>) {
    let mut scene = Scene::new(kind);
    let mut held: Vec<Key> = Vec::new();
    // Deaths that somebody is to be told of, and those that somebody was.
    let (mut deaths, mut told) = (0_usize, 0_usize);
    for step in moves {
        match step {
            Move::Ask(client, wait) => {
                let key = scene.key(client);
                let before = held.len() + granted(&scene);
                match scene.ask(key, Operation::Acquire { who: who(key.request), wait }) {
                    Some(Outcome::Granted { died, late: false }) => {
                        assert!(before < free && scene.waiting.is_empty());
                        told += usize::from(died);
                        held.push(key);
                    }
                    Some(Outcome::Busy) => assert!(!wait && before == free),
                    None => assert!(wait && before == free),
                    other => panic!("{other:?}"),
                }
            }
            Move::See(n) => {
                let Some(key) = pick(scene.unseen.keys().copied(), n) else { continue };
                match scene.unseen.remove(&key) {
                    Some(Outcome::Granted { died, late: false }) => {
                        told += usize::from(died);
                        held.push(key);
                    }
                    Some(Outcome::Busy) => {}
                    other => panic!("{other:?}"),
                }
            }
            Move::Release(n) => {
                let Some(key) = pick(held.iter().copied(), n) else { continue };
                held.retain(|other| *other != key);
                let first = scene.waiting.front().copied();
                let (outcome, answered) = scene.tell(key, Operation::Release { hold: key.request });
                assert_eq!(outcome, Outcome::Done);
                assert_eq!(answered, first.into_iter().collect::<Vec<_>>(), "in line");
                let (outcome, _) = scene.tell(key, Operation::Release { hold: key.request });
                assert_eq!(outcome, Outcome::Fault(Fault::NotHeld));
            }
            Move::Cancel(n) => {
                let all = scene.waiting.iter().chain(scene.unseen.keys()).copied();
                if let Some(key) = pick(all, n) {
                    scene.tell(key, Operation::Cancel { request: key.request });
                }
            }
            Move::TimeIsUp(n) => {
                let all = scene.waiting.iter().chain(scene.unseen.keys()).copied();
                if let Some(key) = pick(all, n) {
                    scene.tell(key, Operation::TimeIsUp { request: key.request });
                    assert!(scene.unseen.contains_key(&key), "one answer or the other");
                }
            }
            Move::Die(client) => {
                let dead = |key: &&Key| key.client == client;
                let unseen = scene.unseen.iter();
                let granted = unseen.filter(|(key, outcome)| dead(key) && is_grant(outcome));
                // Who was told of a death and died before anybody saw it has told nobody, and yet is a death more.
                deaths += held.iter().filter(dead).count() + granted.clone().count();
                told += granted
                    .filter(|(_, outcome)| matches!(outcome, Outcome::Granted { died: true, .. }))
                    .count();
                held.retain(|key| key.client != client);
                scene.die(client);
            }
        }
        let taken = held.len() + granted(&scene);
        assert!(taken <= free);
        assert!(taken == free || scene.waiting.is_empty(), "nobody waits for what is free");
        assert!(told <= deaths);
    }
    // Everybody goes; then all is free, and who comes next is told of what nobody was told of.
    for key in held {
        scene.tell(key, Operation::Release { hold: key.request });
    }
    for key in scene.waiting.iter().chain(scene.unseen.keys()).copied().collect::<Vec<_>>() {
        scene.tell(key, Operation::Cancel { request: key.request });
    }
    for _ in 0..deaths - told {
        let key = scene.key(9);
        let outcome = scene.ask(key, Operation::Acquire { who: who(0), wait: false });
        assert_eq!(outcome, Some(Outcome::Granted { died: true, late: false }));
        scene.tell(key, Operation::Release { hold: key.request });
    }
    for n in 0..=free {
        let key = scene.key(9);
        let outcome = scene.ask(key, Operation::Acquire { who: who(key.request), wait: false });
        let expected = if n < free { Outcome::Granted { died: false, late: false } } else { Outcome::Busy };
        assert_eq!(outcome, Some(expected));
    }
}

fn is_grant(outcome: &Outcome<u64>) -> bool {
    matches!(outcome, Outcome::Granted { .. })
}

fn granted(scene: &Scene) -> usize {
    scene.unseen.values().filter(|outcome| is_grant(outcome)).count()
}

/// Plays a queue: each value arrives once, in order as long as nothing comes back.
fn queue(capacity: u64, moves: Vec<Move>) {
    let mut scene = Scene::new(Kind::Queue { capacity });
    let (mut put, mut arrived) = (Vec::new(), Vec::new());
    let mut came_back = false;
    let mut is_put: BTreeMap<Key, u64> = BTreeMap::new();
    let mut value = 0;
    let see = |outcome: Outcome<u64>, key: Key, scene: &mut Scene, arrived: &mut Vec<u64>| {
        if let Outcome::Item(item) = outcome {
            arrived.push(item);
            scene.tell(key, Operation::Receipt { request: key.request });
            scene.spent.pop();
        }
    };
    for step in moves {
        match step {
            Move::Ask(client, wait) => {
                let key = scene.key(client);
                value += 1;
                match scene.ask(key, Operation::Put { item: value, wait }) {
                    Some(Outcome::Done) => put.push(value),
                    Some(Outcome::Busy) => assert!(!wait && capacity > 0),
                    None => drop(is_put.insert(key, value)),
                    other => panic!("{other:?}"),
                }
            }
            Move::Release(n) => {
                let key = scene.key(n as u64 % CLIENTS);
                match scene.ask(key, Operation::Get { wait: n % 2 == 0 }) {
                    Some(outcome) => see(outcome, key, &mut scene, &mut arrived),
                    None => assert!(n % 2 == 0),
                }
            }
            Move::See(n) => {
                let Some(key) = pick(scene.unseen.keys().copied(), n) else { continue };
                let outcome = scene.unseen.remove(&key).expect("one of them");
                if outcome == Outcome::Done {
                    put.push(is_put[&key]);
                }
                // Who sees late sees what was given early.
                came_back = true;
                see(outcome, key, &mut scene, &mut arrived);
            }
            Move::Cancel(n) => {
                let all = scene.waiting.iter().chain(scene.unseen.keys()).copied();
                if let Some(key) = pick(all, n) {
                    if scene.unseen.get(&key) == Some(&Outcome::Done) {
                        put.push(is_put[&key]);
                    }
                    came_back = true;
                    scene.tell(key, Operation::Cancel { request: key.request });
                }
            }
            Move::TimeIsUp(n) => {
                if let Some(key) = pick(scene.waiting.iter().copied(), n) {
                    scene.tell(key, Operation::TimeIsUp { request: key.request });
                    assert_eq!(scene.unseen.get(&key), Some(&Outcome::Busy));
                }
            }
            Move::Die(client) => {
                let dead = scene
                    .unseen
                    .iter()
                    .filter(|(key, outcome)| key.client == client && **outcome == Outcome::Done);
                put.extend(dead.map(|(key, _)| is_put[key]));
                came_back = true;
                scene.die(client);
            }
        }
    }
    // Nobody waits any more, and what is there comes out.
    came_back |= !scene.unseen.is_empty();
    for key in scene.waiting.iter().chain(scene.unseen.keys()).copied().collect::<Vec<_>>() {
        if scene.unseen.get(&key) == Some(&Outcome::Done) {
            put.push(is_put[&key]);
        }
        scene.tell(key, Operation::Cancel { request: key.request });
    }
    // Room that came of this let nobody in, who is there any more.
    assert!(scene.waiting.is_empty());
    loop {
        let key = scene.key(9);
        match scene.ask(key, Operation::Get { wait: false }) {
            Some(Outcome::Item(item)) => {
                arrived.push(item);
                scene.tell(key, Operation::Receipt { request: key.request });
            }
            Some(Outcome::Busy) => break,
            other => panic!("{other:?}"),
        }
    }
    if !came_back {
        assert!(arrived.is_sorted(), "{arrived:?}");
    }
    arrived.sort_unstable();
    put.sort_unstable();
    assert_eq!(arrived, put);
}

proptest! {
    #[test]
    fn a_lock_is_held_by_one_and_every_death_is_told_once(moves in moves()) {
        permits(Kind::Lock, 1, moves);
    }

    #[test]
    fn a_semaphore_is_held_by_so_many_and_every_death_is_told_once(moves in moves()) {
        permits(Kind::Semaphore { free: 2 }, 2, moves.clone());
        permits(Kind::BoundedSemaphore { free: 3 }, 3, moves);
    }

    #[test]
    fn an_rlock_of_who_never_asks_twice_is_a_lock(moves in moves()) {
        permits(Kind::RLock, 1, moves);
    }

    #[test]
    fn every_value_arrives_once(moves in moves(), capacity in 0..3_u64) {
        queue(capacity, moves);
    }
}

#[test]
fn an_rlock_is_free_when_all_its_levels_are() {
    let mut scene = Scene::new(Kind::RLock);
    let grant = Some(Outcome::Granted { died: false, late: false });
    let (a, b, other) = (scene.key(1), scene.key(1), scene.key(2));
    assert_eq!(scene.ask(a, Operation::Acquire { who: who(1), wait: true }), grant);
    assert_eq!(scene.ask(other, Operation::Acquire { who: who(2), wait: true }), None);
    assert_eq!(scene.ask(b, Operation::Acquire { who: who(1), wait: false }), grant, "before who waits");
    assert_eq!(scene.tell(a, Operation::Release { hold: a.request }).1, []);
    assert_eq!(scene.tell(b, Operation::Release { hold: b.request }).1, [other]);
}

#[test]
fn a_condition_gives_the_lock_up_and_back_in_turn() {
    let mut scene = Scene::new(Kind::Condition);
    let acquire = |n| Operation::Acquire { who: who(n), wait: true };
    let (a, b, sleeper, late) = (scene.key(1), scene.key(2), scene.key(1), scene.key(1));
    scene.ask(a, acquire(1));
    assert_eq!(scene.ask(sleeper, Operation::Sleep { hold: a.request, who: who(1) }), None);
    scene.ask(b, acquire(2));
    assert_eq!(scene.tell(b, Operation::Notify { all: false }).1, [], "the lock is held");
    assert_eq!(
        scene.tell(b, Operation::TimeIsUp { request: sleeper.request }).1,
        [],
        "it is another's request"
    );
    assert_eq!(scene.tell(b, Operation::Release { hold: b.request }).1, [sleeper]);
    assert_eq!(scene.unseen.remove(&sleeper), Some(Outcome::Granted { died: false, late: false }));
    assert_eq!(scene.ask(late, Operation::Sleep { hold: sleeper.request, who: who(1) }), None);
    scene.tell(late, Operation::TimeIsUp { request: late.request });
    assert_eq!(scene.unseen.remove(&late), Some(Outcome::Granted { died: false, late: true }));
    let stranger = scene.key(3);
    let outcome = scene.ask(stranger, Operation::Sleep { hold: 77, who: who(3) });
    assert_eq!(outcome, Some(Outcome::Fault(Fault::NotHeld)));
}

#[test]
fn a_notification_for_who_is_gone_goes_to_the_next() {
    for is_death in [false, true] {
        let mut scene = Scene::new(Kind::Condition);
        let mut asleep = Vec::new();
        for client in 1..=3 {
            let (lock, sleep) = (scene.key(client), scene.key(client));
            scene.ask(lock, Operation::Acquire { who: who(client), wait: true });
            scene.ask(sleep, Operation::Sleep { hold: lock.request, who: who(client) });
            asleep.push(sleep);
        }
        let holder = scene.key(9);
        scene.ask(holder, Operation::Acquire { who: who(9), wait: true });
        scene.tell(holder, Operation::Notify { all: false });
        let answered = if is_death {
            // While it waits for the lock.
            scene.die(1);
            scene.tell(holder, Operation::Release { hold: holder.request }).1
        } else {
            // When it has the lock, and has not seen it.
            scene.tell(holder, Operation::Release { hold: holder.request });
            scene.tell(asleep[0], Operation::Cancel { request: asleep[0].request }).1
        };
        assert_eq!(answered, [asleep[1]]);
        assert_eq!(scene.waiting, [asleep[2]]);
    }
}

#[test]
fn who_leaves_a_barrier_has_not_come() {
    let mut scene = Scene::new(Kind::Barrier { parties: 3 });
    let keys: Vec<Key> = [1, 1, 2, 3, 3].map(|client| scene.key(client)).to_vec();
    assert_eq!(scene.ask(keys[0], Operation::Arrive), None);
    assert_eq!(scene.ask(keys[1], Operation::Arrive), None);
    scene.die(1);
    assert_eq!(scene.ask(keys[2], Operation::Arrive), None);
    assert_eq!(scene.ask(keys[3], Operation::Arrive), None);
    assert_eq!(scene.ask(keys[4], Operation::Arrive), Some(Outcome::Passed { last: true }));
    assert_eq!(scene.unseen.len(), 2);
}

#[test]
fn asked_what_it_is_not_it_does_nothing() {
    for kind in [Kind::Lock, Kind::Condition, Kind::Event, Kind::Barrier { parties: 1 }] {
        let mut scene = Scene::new(kind);
        let key = scene.key(1);
        let outcome = scene.ask(key, Operation::Put { item: 7, wait: true });
        assert_eq!(outcome, Some(Outcome::Fault(Fault::Gone)));
        assert_eq!(scene.spent, [7]);
    }
}
