//! What a worker out of its mind may do to its pool, as functions of some bytes. Owns what the bytes mean and what must hold
//! whatever they are: no panic, no access outside of a ring, no more memory than was really sent, and what was put in honestly
//! comes out. Exists for `fuzz/` and for its tests, which run the same on every `cargo test`; nothing else knows it.
//!
//! Each function says how much it got through to, so that a test can tell whether its inputs reach anything.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    io,
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::TaskError,
    function::{Counted, Names, Portable, Results, lost_in_chunk, open, open_chunk, pack},
    sys::shm::{Mapping, SharedFile},
    wire::{
        arena::Arena,
        control::{Inbox, Record, ToPool, encode},
        layout::kind,
        ring::{Frame, Nonsense, Place, Reader, Writer},
        server::FromServer,
        stream,
    },
};

/// The bytes of an input, from the front. At the end there are zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let taken = self.take(8);
        word[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(word)
    }
}

// ---- rings

/// In front of the rings, between them and behind: nobody may write there.
const GUARD: usize = 64;
const GUARDED: u8 = 0xa5;
const SIZES: [usize; 6] = [40, 64, 128, 256, 1024, 4096];
const WORDS: usize = 256;
const MEMORY: usize = WORDS + 3 * GUARD + 2 * 4096;

/// A memory with two rings, small ones so that their ends come often.
struct Rings {
    memory: Arc<Mapping>,
    calls: Place,
    replies: Place,
}

impl Rings {
    fn new(size: u8) -> Self {
        thread_local! {
            // To make one for each input would be most of the time.
            static MAPPING: Arc<Mapping> = Arc::new(memory());
        }
        let memory = MAPPING.with(Arc::clone);
        let size = SIZES[size as usize % SIZES.len()];
        let calls = Place { tail: 0, head: 64, data: WORDS + GUARD, size };
        let replies = Place { tail: 128, head: 192, data: WORDS + 2 * GUARD + size, size };
        memory.write(0, &[0; WORDS]);
        memory.write(WORDS, &vec![GUARDED; 3 * GUARD + 2 * size]);
        for place in [calls, replies] {
            memory.write(place.data, &vec![0; size]);
        }
        Self { memory, calls, replies }
    }

    fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.memory.read_into(at, len, &mut bytes);
        bytes
    }

    fn store(&self, at: usize, word: u64) {
        self.memory.word64(at).store(word, Ordering::Release);
    }

    fn load(&self, at: usize) -> u64 {
        self.memory.word64(at).load(Ordering::Acquire)
    }

    fn check_guards(&self) {
        for at in [WORDS, self.calls.data + self.calls.size, self.replies.data + self.replies.size] {
            assert_eq!(self.bytes(at, GUARD), [GUARDED; GUARD], "written outside of a ring");
        }
    }
}

#[cfg(miri)]
fn memory() -> Mapping {
    Mapping::plain(MEMORY)
}

#[cfg(not(miri))]
fn memory() -> Mapping {
    mapping(&file(MEMORY as u64), MEMORY)
}

fn file(len: u64) -> SharedFile {
    SharedFile::create("polypool-fuzz", len).expect("a file in memory")
}

fn mapping(file: &impl AsFd, len: usize) -> Mapping {
    Mapping::new(file, len, true).expect("a mapping")
}

/// Rings whose other side writes what the input says. The number of frames that were received.
///
/// The first byte chooses: the input is all there is of a ring of replies; or it is what the worker does, step by step, between
/// what the pool does; or both sides are honest, and it is when they do what.
pub fn ring(input: &[u8]) -> usize {
    let mut input = Input(input);
    let (mode, size) = (input.byte(), input.byte());
    let rings = Rings::new(size);
    let received = match mode % 3 {
        0 => ring_of(&rings, &mut input),
        1 => hostile(&rings, &mut input),
        _ => honest(&rings, &mut input),
    };
    rings.check_guards();
    received
}

fn ring_of(rings: &Rings, input: &mut Input<'_>) -> usize {
    rings.store(rings.replies.tail, input.word());
    rings.store(rings.replies.head, input.word());
    rings.memory.write(rings.replies.data, input.take(rings.replies.size));
    let mut pool = Pool::new(rings);
    pool.receive_all()
}

fn hostile(rings: &Rings, input: &mut Input<'_>) -> usize {
    let mut pool = Pool::new(rings);
    let mut worker = Writer::new(Arc::clone(&rings.memory), rings.replies);
    let mut received = 0;
    while !input.0.is_empty() {
        match input.byte() % 9 {
            0 => received += usize::from(matches!(pool.receive(), Ok(Some(_)))),
            // Anywhere in its ring.
            1 => {
                let at = input.short() as usize % rings.replies.size;
                let len = input.byte() as usize;
                rings.memory.write(rings.replies.data + at, input.take(len.min(rings.replies.size - at)));
            }
            2 => rings.store(rings.replies.tail, input.word()),
            3 => {
                let by = u64::from(input.byte()) * 8;
                rings.store(rings.replies.tail, rings.load(rings.replies.tail).wrapping_add(by));
            }
            // How far the pool has read, and how far the worker says it has.
            4 => rings.store(rings.replies.head, input.word()),
            5 => rings.store(rings.calls.head, input.word()),
            // A true reply, of whatever kind.
            6 => {
                let frame = Frame {
                    kind: input.byte() % 8,
                    ticket: input.byte().into(),
                    words: [0, 0, input.short().into()],
                };
                let len = input.byte() as usize;
                let _ = worker.push(frame, input.take(len));
            }
            // A call for it.
            7 => {
                let len = input.short() as usize % (rings.calls.size * 2);
                let frame = Frame { kind: kind::CALL, ticket: 1, words: [2; 3] };
                let _ = pool.calls.push(frame, &vec![7; len]);
                assert!(rings.load(rings.calls.tail).is_multiple_of(8));
            }
            // Room for large results, and some of it filled.
            _ if cfg!(miri) => {}
            _ => {
                let (_, file, theirs) = pool.results.get_or_insert_with(large);
                let _ = file.grow(1 << (input.byte() % 63));
                let len = input.short();
                if theirs.covers(0, len.into()) {
                    theirs.write(0, &vec![9; len.into()]);
                }
            }
        }
    }
    received + pool.receive_all()
}

/// A pool's end of the rings, as `backend/processes/rings.rs` has it.
struct Pool<'a> {
    rings: &'a Rings,
    calls: Writer,
    replies: Reader,
    /// How far it has come in them.
    read: u64,
    results: Option<Large>,
}

/// The pool's end of large results, and the worker's.
type Large = (Arena, SharedFile, Mapping);

/// As much as a worker here writes, and not more, with room for pages of any size.
const WRITTEN: usize = 4 << 20;

fn large() -> Large {
    let results = file(0);
    let theirs = results.as_fd().try_clone_to_owned().expect("a descriptor");
    let mapping = mapping(&results, 1 << 16);
    (Arena::new(results, false), SharedFile::from_fd(theirs).expect("a file in memory"), mapping)
}

impl<'a> Pool<'a> {
    fn new(rings: &'a Rings) -> Self {
        Self {
            rings,
            calls: Writer::new(Arc::clone(&rings.memory), rings.calls),
            replies: Reader::new(Arc::clone(&rings.memory), rings.replies),
            read: 0,
            results: None,
        }
    }

    /// All that is there. A ring that stands still comes to an end: with what was seen before, and once what is new.
    fn receive_all(&mut self) -> usize {
        let most = self.rings.replies.size / 40 * 2;
        let received = (0..=most).take_while(|_| matches!(self.receive(), Ok(Some(_)))).count();
        assert!(received <= most, "more frames than fit");
        received
    }

    fn receive(&mut self) -> Result<Option<Frame>, Nonsense> {
        let is_empty = self.replies.is_empty();
        let Some((frame, at, len)) = self.replies.peek()? else {
            return Ok(None);
        };
        let place = self.rings.replies;
        assert!(!is_empty, "a frame in an empty ring");
        assert!(frame.kind != 0, "padding is no frame");
        assert!(at >= place.data + 40 && at % 8 == 0 && at + len <= place.data + place.size, "outside");
        assert_eq!(self.replies.peek(), Ok(Some((frame, at, len))), "the same when looked at again");
        let bytes = if matches!(frame.kind, kind::LARGE_DONE | kind::LARGE_FAILED) {
            if cfg!(miri) {
                // It knows no shared files.
                return Err(Nonsense);
            }
            let (results, ..) = self.results.get_or_insert_with(large);
            let bytes = match results.take(frame.words[2]) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Nonsense),
                bytes => bytes.unwrap_or_default(),
            };
            results.free(frame.words[2]);
            assert!(bytes.capacity() <= WRITTEN, "{} bytes for what was not written", bytes.capacity());
            bytes
        } else {
            self.rings.bytes(at, len)
        };
        self.replies.consume(len);
        // The pool has just written it: what the worker wrote there before does not matter.
        let read = self.rings.load(place.head);
        assert!(read >= self.read + 40 + len as u64, "no way forward");
        self.read = read;
        match frame.kind {
            kind::DONE | kind::LARGE_DONE => {}
            kind::FAILED | kind::LARGE_FAILED => task_error(&bytes),
            _ => return Err(Nonsense),
        }
        Ok(Some(frame))
    }
}

/// Both sides keep to the rules: what goes in comes out, in order, and there is room when there should be.
fn honest(rings: &Rings, input: &mut Input<'_>) -> usize {
    let (place, mut count) = (rings.replies, 0);
    let mut writer = Writer::new(Arc::clone(&rings.memory), place);
    let mut reader = Reader::new(Arc::clone(&rings.memory), place);
    let mut under_way: VecDeque<(Frame, Vec<u8>, usize)> = VecDeque::new();
    let (mut written, mut read) = (0, 0);
    while !input.0.is_empty() || !under_way.is_empty() {
        let step = input.byte();
        if !input.0.is_empty() && !step.is_multiple_of(4) {
            let seed = input.short();
            let len = seed as usize % (place.size + 8);
            let payload: Vec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(31) ^ seed as u8).collect();
            let frame = Frame {
                kind: (step / 4).max(1),
                ticket: written as u64,
                words: [seed.into(), u64::MAX, step.into()],
            };
            let (needs, to_end) = (40 + len.next_multiple_of(8), place.size - written % place.size);
            let skips = if needs > to_end { to_end } else { 0 };
            let fits = written - read + skips + needs <= place.size;
            assert_eq!(writer.push(frame, &payload), Ok(fits), "{len} bytes");
            if fits {
                written += skips + needs;
                under_way.push_back((frame, payload, written));
            }
        } else {
            assert_eq!(reader.is_empty(), under_way.is_empty());
            let there = reader.peek().expect("an honest ring");
            let Some((frame, payload, end)) = under_way.pop_front() else {
                assert_eq!(there, None);
                continue;
            };
            let (got, at, len) = there.expect("the frame that was put in");
            assert_eq!((got, rings.bytes(at, len)), (frame, payload));
            reader.consume(len);
            (read, count) = (end, count + 1);
        }
    }
    assert!(reader.is_empty() && reader.peek() == Ok(None));
    count
}

// ---- messages

/// Messages on the socket or in a file, in pieces. The number of those that were understood.
///
/// The first byte says who reads them and how many lengths of pieces follow, which are used again and again; a stream of bytes
/// is the rest.
pub fn control(input: &[u8]) -> usize {
    let mut input = Input(input);
    let first = input.byte();
    let pieces = input.take(usize::from(first / 4 % 8));
    match first % 4 {
        0 => messages::<ToPool>(pieces, input.0),
        1 => messages::<Record>(pieces, input.0),
        2 => messages::<FromServer>(pieces, input.0),
        _ => heads(input.0),
    }
}

fn messages<T: Serialize + DeserializeOwned + Debug>(pieces: &[u8], bytes: &[u8]) -> usize {
    let (mut inbox, mut heard) = (Inbox::default(), Vec::new());
    inbox.add(bytes);
    let mut is_sane = hear::<T>(&mut inbox, &mut heard);

    let (mut inbox, mut again) = (Inbox::default(), Vec::new());
    let mut rest = Input(bytes);
    for length in pieces.iter().cycle() {
        if rest.0.is_empty() {
            break;
        }
        inbox.add(rest.take(usize::from(*length).max(1)));
        if !hear::<T>(&mut inbox, &mut again) {
            assert!(!is_sane, "nonsense in pieces, and none in one");
            is_sane = true;
            break;
        }
    }
    if !pieces.is_empty() {
        assert!(is_sane, "nonsense in one, and none in pieces");
        assert_eq!(again, heard);
    }
    heard.len()
}

/// Takes what is there. False when it makes no sense.
fn hear<T: Serialize + DeserializeOwned + Debug>(inbox: &mut Inbox, heard: &mut Vec<String>) -> bool {
    loop {
        let message: T = match inbox.next() {
            Ok(Some(message)) => message,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let shown = format!("{message:?}");
        let (mut other, sent) =
            (Inbox::default(), encode(&message).expect("what was decoded can be encoded"));
        other.add(&sent);
        let returned = other.next::<T>().expect("what was encoded can be decoded").expect("all of it");
        assert_eq!(format!("{returned:?}"), shown);
        heard.push(shown);
    }
}

/// Heads of frames on a socket.
fn heads(bytes: &[u8]) -> usize {
    let heads = bytes.as_chunks::<{ stream::HEAD }>().0.iter();
    heads
        .filter_map(|bytes| stream::Head::decode(bytes).map(|head| (bytes, head)))
        .inspect(|(bytes, head)| {
            assert_eq!(&head.encode(), *bytes);
            assert!(head.follow() == head.len || head.kind == stream::kind::WAITING);
        })
        .count()
}

// ---- replies

/// A reply, as that to a chunk and as that to a single call. The number of values that were understood.
///
/// The first byte is the type that the pool expects; the reply is the rest.
pub fn reply(input: &[u8]) -> usize {
    let mut input = Input(input);
    match input.byte() % 10 {
        0 => value::<u32>(input.0),
        1 => value::<String>(input.0),
        2 => value::<Vec<u8>>(input.0),
        3 => value::<(u64, i128, f64, char, bool)>(input.0),
        4 => value::<BTreeMap<String, Option<i16>>>(input.0),
        5 => value::<Vec<Shape>>(input.0),
        6 => value::<()>(input.0),
        7 => value::<Result<Box<str>, (i8, u128, f32)>>(input.0),
        8 => {
            let many = open::<Vec<u64>>(input.0.to_vec(), Names::new());
            // A number takes at least a byte, and a vector doubles.
            assert!(many.is_err() || many.is_ok_and(|many| many.capacity() <= input.0.len().max(4) * 2));
            value::<Vec<u64>>(input.0)
        }
        _ => {
            task_error(input.0);
            value::<Vec<Vec<String>>>(input.0)
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(u8),
    Tuple(i64, Option<String>),
    Struct { left: u16, right: [f32; 2] },
}

fn value<R: Portable>(bytes: &[u8]) -> usize {
    let single = open::<R>(bytes.to_vec(), Names::new());
    let mut understood = single.is_ok().into();
    come_back(single);

    let chunk = open_chunk::<R>(bytes);
    let lost = lost_in_chunk(bytes, |_| None);
    if let Ok(Results { results, .. }) = chunk {
        assert!(results.capacity() <= bytes.len());
        let counted = lost.as_ref().map_or(0, |(_, counted)| all(counted));
        assert_eq!(results.len(), counted, "both see the same in it");
        for result in results {
            understood += usize::from(result.is_ok());
            come_back(result.map_err(|error| *error));
        }
    } else {
        assert!(lost.is_none());
    }

    if let Some((reply, counted)) = lost_in_chunk(bytes, |_| Some(TaskError::Broken("lost".to_owned()))) {
        let Ok(Results { mut results, .. }) = open_chunk::<R>(&reply) else {
            panic!("what is made of the remains of a chunk is a reply");
        };
        assert_eq!(results.len(), all(&counted));
        assert!(matches!(results.pop(), Some(Err(error)) if matches!(*error, TaskError::Broken(_))));
    }
    understood
}

fn all(counted: &Counted) -> usize {
    [counted.completed, counted.failed, counted.cancelled].into_iter().map(|count| count as usize).sum()
}

/// What was decoded can be encoded, and is the same then. What was not says why, and not that something panicked.
fn come_back<R: Portable>(result: Result<R, TaskError>) {
    match result {
        Ok(value) => {
            let bytes = pack(value).expect("what was decoded can be encoded").bytes.to_vec();
            let again = open::<R>(bytes.clone(), Names::new()).and_then(pack);
            assert_eq!(*again.expect("what was encoded can be decoded").bytes, *bytes);
        }
        Err(TaskError::Decode(reason)) => assert!(!reason.contains("`Deserialize` panicked"), "{reason}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The reply to a call that failed.
fn task_error(bytes: &[u8]) {
    if let Ok(error) = postcard::from_bytes::<TaskError>(bytes) {
        let sent = postcard::to_stdvec(&error).expect("what was decoded can be encoded");
        let again: TaskError = postcard::from_bytes(&sent).expect("what was encoded can be decoded");
        assert_eq!((again.to_string(), format!("{again:?}")), (error.to_string(), format!("{error:?}")));
    }
}

#[cfg(test)]
#[path = "fuzz/tests.rs"]
mod tests;
