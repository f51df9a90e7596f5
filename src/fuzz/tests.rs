//! The same without a fuzzer: what is kept, what is right, and what some changes make of both.

use std::{fs, path::Path, time::Duration};

use super::*;
use crate::wire::control::{Submission, Thing};

type Target = fn(&[u8]) -> usize;

/// The generator splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    /// Some of what is likely to be mistaken.
    fn word(&mut self) -> u64 {
        let near = self.roll() % 5;
        match self.below(4) {
            0 => near.wrapping_sub(2),
            1 => (1 << self.below(64)) + near,
            2 => self.roll() % 512 * 8,
            _ => self.roll(),
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.roll() as u8),
                2 => {
                    let word = self.word().to_le_bytes();
                    bytes.splice(at..(at + 8).min(bytes.len()), word);
                }
                3 => bytes.extend_from_within(at..),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        bytes.truncate(512);
    }
}

/// Runs what is kept, what is right, and much that is neither. How many of each got through to something.
fn run(name: &str, target: Target, right: &[Vec<u8>], times: usize) {
    let mut kept = kept(name);
    let mut times = times;
    if cfg!(miri) {
        // It takes a thousand times as long, and sees in one what others see in none.
        kept.truncate(5);
        times /= 1000;
    }
    for input in &kept {
        target(input);
    }
    for input in right {
        assert!(target(input) > 0, "{name} is right: {input:?}");
    }
    let (mut dice, mut reached) = (Dice(7), 0);
    let from: Vec<_> = right.iter().chain(&kept).collect();
    for _ in 0..times {
        let mut input = from[dice.below(from.len())].clone();
        dice.change(&mut input);
        reached += usize::from(target(&input) > 0);
    }
    assert!(reached > times / 20 && reached < times, "{reached} of {times} reach something");
}

/// The corpus. A package from the registry has none.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

fn right_rings() -> Vec<Vec<u8>> {
    let frame = |kind: u64, len: usize| {
        let mut bytes = Vec::new();
        for word in [(len as u64) << 8 | kind, 7, 1, 0, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(40 + len.next_multiple_of(8), 0);
        bytes
    };
    // Two replies, the second an error; the words before them are the tail and the head.
    let mut all = vec![0, 4];
    let frames = [frame(3, 5), frame(5, 1)].concat();
    all.extend_from_slice(&(frames.len() as u64).to_le_bytes());
    all.extend_from_slice(&0_u64.to_le_bytes());
    all.extend_from_slice(&frames);
    // Replies and calls until their rings come round, then one through an arena of which 16 bytes are written.
    let mut steps = vec![1, 2];
    for _ in 0..4 {
        steps.extend_from_slice(&[6, 3, 1, 0, 0, 4, 1, 2, 3, 4, 7, 30, 0, 0]);
    }
    steps.extend_from_slice(&[8, 20, 16, 0, 6, 4, 1, 16, 0, 0, 0]);
    let mut both = vec![2, 3];
    for n in 0..40_u8 {
        both.extend_from_slice(&[4 * n + 1, n.wrapping_mul(37), 0, 4 * (n % 2)]);
    }
    vec![all, steps, both]
}

fn right_messages() -> Vec<Vec<u8>> {
    let submission = Submission {
        id: 1,
        entry: 1 << 40,
        arg: vec![7; 9],
        tasks: 3,
        priority: -1,
        name: Some("name".to_owned()),
        timeout: Some(Duration::from_millis(1500)),
        retries: Some(2),
        is_counted: true,
        names: vec![(1, 2)],
    };
    let to_pool = [
        ToPool::Ready,
        ToPool::Refused("no".to_owned()),
        ToPool::InitializerFailed("äöü".to_owned()),
        ToPool::Progress { ticket: 1, done: 2, total: u64::MAX },
        ToPool::Submit(Box::new(submission)),
        ToPool::Cancel { id: 1 },
        ToPool::Resize { max_workers: 4 },
        ToPool::ShutDown { ticket: 5, policy: 3 },
        ToPool::Leave { ticket: 6, held: true },
        ToPool::Rejoin { ticket: 6 },
        ToPool::Logged,
        ToPool::Place {
            ticket: 7,
            thing: Box::new(Thing {
                id: (1, 2),
                is_slice: true,
                what: "u8".to_owned(),
                len: 3,
                names: vec![(4, u64::MAX)],
            }),
        },
        ToPool::Named { ticket: 7, names: vec![(1, 2), (3, 4)] },
        ToPool::Ask { id: (5, 6) },
    ];
    let record =
        Record { level: 3, target: "target".to_owned(), message: "message".to_owned(), is_tracing: true };
    let from_server = [
        FromServer::Ready,
        FromServer::Refused("no".to_owned()),
        FromServer::PreloadFailed("no".to_owned()),
        FromServer::Forked { pid: 4711 },
        FromServer::Failed("no".to_owned()),
    ];
    let mut heads = Vec::new();
    for kind in stream::kind::CALL..=stream::kind::LEAVE {
        heads.extend_from_slice(&stream::Head::bare(kind, 9).encode());
    }
    fn sent<T: Serialize>(messages: &[T]) -> Vec<u8> {
        messages.iter().flat_map(|message| encode(message).expect("encoded")).collect()
    }
    let mut inputs = vec![
        [vec![12, 1, 9, 30], sent(&to_pool)].concat(),
        [vec![5, 7], sent(&[record.clone(), record])].concat(),
        [vec![10, 1, 2], sent(&from_server)].concat(),
        [vec![3], heads].concat(),
    ];
    inputs.extend(to_pool.iter().map(|message| [vec![4, 3], sent(std::slice::from_ref(message))].concat()));
    inputs
}

fn right_replies() -> Vec<Vec<u8>> {
    fn chunk<T: Portable>(kind: u8, values: Vec<T>) -> Vec<u8> {
        let mut bytes = vec![kind, 1, 0, 0, 0, 0, 0, 0, 0];
        for value in values {
            let value = pack(value).expect("encoded").bytes;
            bytes.extend_from_slice(&[0, value.len() as u8]);
            bytes.extend_from_slice(&value);
        }
        let error = pack(TaskError::TimedOut { after: Duration::from_secs(1) }).expect("encoded").bytes;
        bytes.extend_from_slice(&[1, error.len() as u8]);
        bytes.extend_from_slice(&error);
        // A cancelled one.
        bytes.push(2);
        bytes
    }
    fn single<T: Portable>(kind: u8, value: T) -> Vec<u8> {
        [&[kind][..], &pack(value).expect("encoded").bytes].concat()
    }
    let shapes = || {
        vec![
            Shape::Unit,
            Shape::Newtype(1),
            Shape::Tuple(-5, Some("text".to_owned())),
            Shape::Struct { left: 300, right: [0.5, -1.0] },
        ]
    };
    let map = || BTreeMap::from([("one".to_owned(), Some(-1_i16)), ("none".to_owned(), None)]);
    let mixed = (u64::MAX, i128::MIN, 0.25, 'ß', true);
    vec![
        chunk(0, vec![1_u32, 1 << 30]),
        chunk(1, vec!["text".to_owned(), String::new()]),
        chunk(2, vec![vec![1_u8, 2, 3], Vec::new()]),
        chunk(3, vec![mixed]),
        chunk(4, vec![map()]),
        chunk(5, vec![shapes()]),
        chunk(6, vec![(), ()]),
        chunk::<Result<Box<str>, (i8, u128, f32)>>(7, vec![Ok("text".into()), Err((-1, 1 << 100, 1.5))]),
        chunk(8, vec![vec![1_u64, 300, u64::MAX]]),
        chunk(9, vec![vec![vec!["a".to_owned()], Vec::new()]]),
        single(0, 7_u32),
        single(4, map()),
        single(5, shapes()),
        single(8, vec![0_u64; 20]),
        single(9, vec![vec!["text".to_owned()]]),
    ]
}

#[test]
fn rings_of_a_worker_out_of_its_mind() {
    run("ring", ring, &right_rings(), 30_000);
}

#[test]
fn messages_of_a_worker_out_of_its_mind() {
    run("control", control, &right_messages(), 35_000);
}

#[test]
fn replies_of_a_worker_out_of_its_mind() {
    run("reply", reply, &right_replies(), 35_000);
}

/// Puts what is right into the corpus, from which the fuzzer begins; for when a format has changed.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn corpus() {
    for (name, inputs) in [("ring", right_rings()), ("control", right_messages()), ("reply", right_replies())]
    {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        fs::create_dir_all(&directory).expect("a directory");
        for (n, input) in inputs.iter().enumerate() {
            fs::write(directory.join(format!("right-{n:02}")), input).expect("written");
        }
    }
}
