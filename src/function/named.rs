//! What encoded data names but does not contain: things that stay where they are, or travel by a way of their own. Owns the
//! numbers by which they are named, and the list of what one encoding names; what the things are, and how whoever decodes the
//! data gets at them, is for those who name them.

use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    mem::needs_drop,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use crate::sys::copy::{PerCopy, copy};

/// Things that encoded data names; each is kept as long as somebody may decode the data.
pub(crate) type Names = Vec<Arc<dyn Named>>;

/// Something that encoded data can name.
pub(crate) trait Named: Any + Send + Sync {
    fn id(&self) -> Id;
}

impl fmt::Debug for dyn Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

/// Which thing it is: the same in every process that knows of it, and nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    /// The process that made it, by a number drawn at random.
    pub(crate) origin: u64,
    pub(crate) serial: u64,
}

impl Id {
    pub(crate) fn fresh() -> Self {
        /// A copy of this process is another origin, and counts anew.
        static ORIGIN: PerCopy<OnceLock<u64>> = PerCopy::new(OnceLock::new(), OnceLock::new);
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        // A copy has the original's keys, but neither its number nor its time.
        let draw = || RandomState::new().hash_one((std::process::id(), copy(), SystemTime::now()));
        Self { origin: *ORIGIN.get().get_or_init(draw), serial: SERIAL.fetch_add(1, Ordering::Relaxed) }
    }
}

/// As bytes: a number drawn at random is not made shorter by an encoding that makes small ones short.
impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = u128::from(self.origin) << 64 | u128::from(self.serial);
        serializer.serialize_bytes(&bytes.to_le_bytes())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of something that is no part of the data")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Id, E> {
        let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| E::invalid_length(bytes.len(), &self))?;
        let bytes = u128::from_le_bytes(bytes);
        Ok(Id { origin: (bytes >> 64) as u64, serial: bytes as u64 })
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The origin is random as it is; the serial spreads over all bits, so that neighbours do not meet.
        state.write_u64(self.origin ^ self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// Takes the one word of an [`Id`] for its hash. Nobody chooses that to make things slow: an id that was made up is looked for, and
/// not put anywhere.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map by ids.
pub(crate) type IdMap<T> = HashMap<Id, T, BuildHasherDefault<IdHasher>>;

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.origin, self.serial)
    }
}

/// What is being encoded on this thread names these.
struct Open {
    names: Names,
    stays: bool,
}

thread_local! {
    static OPEN: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// Of so many that were named last it is known whether one is named again. To have it twice is no harm.
const MEMORY: usize = 16;

/// Runs an encoder, and gives what the data names.
pub(crate) fn collect<T>(encode: impl FnOnce() -> T) -> (T, Names) {
    run(encode, false)
}

/// The same for an encoder of `V`. Most values hold nothing that could name anything, which is known when the program is built: what
/// names another holds a share in it, and has to be dropped.
pub(crate) fn collect_of<V: 'static, T>(encode: impl FnOnce() -> T) -> (T, Names) {
    let id = TypeId::of::<V>();
    if !needs_drop::<V>() || id == TypeId::of::<Vec<u8>>() || id == TypeId::of::<String>() {
        return (encode(), Names::new());
    }
    run(encode, false)
}

/// The same for data that does not leave this process: nobody else will look for what it names.
pub(crate) fn collect_here<T>(encode: impl FnOnce() -> T) -> (T, Names) {
    run(encode, true)
}

fn run<T>(encode: impl FnOnce() -> T, stays: bool) -> (T, Names) {
    // An encoder may submit a task, whose argument is encoded meanwhile.
    let turn = Turn(swap(Some(Open { names: Names::new(), stays })));
    let result = encode();
    let names = turn.end();
    (result, names)
}

/// What was open before; it is again when this is dropped, also by a panic.
struct Turn(Option<Open>);

impl Turn {
    fn end(mut self) -> Names {
        let mine = swap(self.0.take());
        std::mem::forget(self);
        mine.map(|open| open.names).unwrap_or_default()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(swap(self.0.take()));
    }
}

fn swap(open: Option<Open>) -> Option<Open> {
    // A thread that is being torn down encodes, and what it names is refused.
    OPEN.try_with(|place| place.replace(open)).ok().flatten()
}

/// Called by a `Serialize`: what is encoded names this.
///
/// # Errors
///
/// Nothing is being encoded for a task. For `serde::ser::Error::custom`.
pub(crate) fn name(thing: Arc<dyn Named>) -> Result<(), String> {
    with(|open| {
        let id = thing.id();
        if !open.names.iter().rev().take(MEMORY).any(|named| named.id() == id) {
            open.names.push(thing);
        }
    })
}

/// Called by a `Serialize`: does what is encoded stay in this process?
///
/// # Errors
///
/// As of [`name`].
pub(crate) fn stays() -> Result<bool, String> {
    with(|open| open.stays)
}

fn with<T>(f: impl FnOnce(&mut Open) -> T) -> Result<T, String> {
    OPEN.try_with(|open| open.borrow_mut().as_mut().map(f)).ok().flatten().ok_or_else(|| {
        "it has a meaning only in the argument or the result of a task, so nothing else can be made of it; encode what it stands for"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(Id);

    impl Named for Thing {
        fn id(&self) -> Id {
            self.0
        }
    }

    fn thing() -> Arc<dyn Named> {
        Arc::new(Thing(Id::fresh()))
    }

    fn ids(names: &Names) -> Vec<Id> {
        names.iter().map(|named| named.id()).collect()
    }

    #[test]
    fn what_is_named_is_given_once() {
        let (a, b) = (thing(), thing());
        let (done, names) = collect(|| {
            assert_eq!(stays(), Ok(false));
            [&a, &b, &a, &a].map(|thing| name(Arc::clone(thing)).is_ok())
        });
        assert_eq!(done, [true; 4]);
        assert_eq!(ids(&names), [a.id(), b.id()]);
    }

    #[test]
    fn an_encoding_within_another_has_names_of_its_own() {
        let (a, b, c) = (thing(), thing(), thing());
        let (inner, outer) = collect(|| {
            name(Arc::clone(&a)).expect("open");
            let ((), inner) = collect_here(|| {
                assert_eq!(stays(), Ok(true));
                name(Arc::clone(&b)).expect("open");
            });
            name(Arc::clone(&c)).expect("open");
            inner
        });
        assert_eq!((ids(&inner), ids(&outer)), (vec![b.id()], vec![a.id(), c.id()]));
    }

    #[test]
    fn outside_there_is_nothing_to_be_named_for() {
        assert!(name(thing()).is_err());
        let panicked = std::panic::catch_unwind(|| collect(|| panic!("an encoder panics")));
        assert!(panicked.is_err());
        assert!(stays().expect_err("closed again").contains("argument or the result of a task"));
    }

    #[test]
    fn ids_differ() {
        let (a, b) = (Id::fresh(), Id::fresh());
        assert_eq!(a.origin, b.origin);
        assert_ne!(a, b);
        assert!(a.to_string().contains('-'));
    }
}
