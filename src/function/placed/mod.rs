//! Data that is placed once and named by many: in a process other than its own it is bytes that nobody can change. Owns those bytes,
//! and what they say of themselves; how they get from one process to another is for who talks to it.
//!
//! 1. A *parcel* is such bytes. It is made when the first encoding that leaves this process names the data, or when it comes
//!    from another process. What names it keeps it: handles, tasks that have not ended, results that nobody has taken yet.
//! 2. A process knows by the [`registry`] which parcels it has. In a worker the registry itself keeps what its pool sent, until
//!    the pool takes it back: so that it is sent and decoded once, and not once per task.
//! 3. When a parcel goes, those are told to whom it was sent ([`Holder`]).

use std::{
    any::Any,
    fmt, io, mem,
    sync::{Arc, Mutex, Weak},
};

use super::named::{Id, Named, Names};
use crate::{
    error::TaskError,
    sys::{copy::copy, lock::lock, sealed::Sealed},
};

pub(crate) mod registry;
mod scattered;
mod slice;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) mod travel;

pub use scattered::Scattered;
pub use slice::SharedSlice;

/// How the files are called in `/proc`.
const NAME: &str = "polypool-scattered";

/// What the bytes of a parcel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value, encoded.
    Value,
    /// The elements of a slice, as they are in memory.
    Slice,
}

pub(crate) struct Parcel {
    id: Id,
    kind: Kind,
    /// The name of the type, of a slice that of its elements.
    what: Box<str>,
    sealed: Sealed,
    /// What the bytes name in their turn.
    names: Names,
    /// Who was given it, each with the copy of this process that gave it: what a copy takes over is the original's.
    holders: Mutex<Vec<(u32, Weak<dyn Holder>)>>,
}

/// Who was given a parcel.
pub(crate) trait Holder: Send + Sync {
    /// The parcel is gone. Must not block, and drops no parcel.
    fn forget(self: Arc<Self>, parcel: &Parcel);
}

impl Parcel {
    /// Makes one, and enters it into the registry.
    pub(crate) fn new(id: Id, kind: Kind, what: &str, sealed: Sealed, names: Names) -> Arc<Self> {
        let parcel = Arc::new(Self::bare(id, kind, what, sealed, names));
        registry::enter(&parcel);
        parcel
    }

    fn bare(id: Id, kind: Kind, what: &str, sealed: Sealed, names: Names) -> Self {
        Self { id, kind, what: what.into(), sealed, names, holders: Mutex::default() }
    }

    pub(crate) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.sealed.bytes()
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// From now on this one has it, too, and is told when it is gone.
    pub(crate) fn given_to(&self, holder: Weak<dyn Holder>) {
        let mut holders = lock(&self.holders);
        // Workers come and go, and some data stays for ever.
        if holders.len().is_power_of_two() {
            holders.retain(|(_, holder)| holder.strong_count() > 0);
        }
        holders.push((copy(), holder));
    }

    /// Is it the one that a `Deserialize` wants?
    fn check(&self, kind: Kind, what: &str) -> Result<(), String> {
        if (self.kind, &*self.what) == (kind, what) {
            return Ok(());
        }
        let article = |kind| if kind == Kind::Slice { "a slice of" } else { "a value of type" };
        Err(format!(
            "what was scattered is {} `{}`, and is wanted as {} `{what}`",
            article(self.kind),
            self.what,
            article(kind)
        ))
    }
}

impl Named for Parcel {
    fn id(&self) -> Id {
        self.id
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        registry::sweep(self.id);
        for (of, holder) in mem::take(&mut *lock(&self.holders)) {
            if of == copy()
                && let Some(holder) = holder.upgrade()
            {
                holder.forget(self);
            }
        }
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("id", &self.id).field("what", &self.what).finish_non_exhaustive()
    }
}

/// The parcels among what is named; other things have ways of their own.
pub(crate) fn parcels(names: &Names) -> impl Iterator<Item = Arc<Parcel>> {
    names.iter().filter_map(as_parcel)
}

pub(crate) fn as_parcel(named: &Arc<dyn Named>) -> Option<Arc<Parcel>> {
    let any: Arc<dyn Any + Send + Sync> = Arc::<dyn Named>::clone(named);
    any.downcast().ok()
}

const SCARCE: &str = "each scattered value takes a descriptor of every process that has it, and `ulimit -n` says how many there are";

fn no_memory(len: usize, error: &io::Error) -> TaskError {
    TaskError::Encode(format!("no shared memory for {len} bytes: {error}; {SCARCE}"))
}
