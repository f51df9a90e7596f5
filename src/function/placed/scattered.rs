//! A value that is placed once. Owns how it becomes a parcel and comes back.

use std::{
    any::type_name,
    fmt,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
    ser::Error as _,
};

use super::{Kind, NAME, Parcel, no_memory, registry};
use crate::{
    error::TaskError,
    function::{
        codec,
        named::{self, Id, Named},
    },
    sys::sealed::Sealed,
};

/// A value that workers have once, however many tasks name it; from [`Executor::scatter`](crate::Executor::scatter).
///
/// Made to be part of what a task takes or gives back, at any depth: what travels with the task is a name of a few bytes. In a
/// worker process the value is decoded when a task first uses it, and kept; workers of this process have the value itself.
/// Where the last handle is dropped, and no task that names it waits or runs, the value is dropped everywhere. A handle that a
/// task keeps for itself, in a static perhaps, stays valid.
///
/// It can be encoded for a task only. Elsewhere, as for a file, encode the value: `&*scattered`.
///
/// # Examples
/// ```
/// use std::collections::HashMap;
/// use polypool::{Executor, Scattered};
///
/// fn price((prices, name): (Scattered<HashMap<String, u32>>, String)) -> Option<u32> {
///     prices.get(&name).copied()
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(2)?;
/// let prices = HashMap::from([("tea".to_owned(), 3), ("cake".to_owned(), 5)]);
/// let prices = pool.scatter(prices).await?;
/// for (name, expected) in [("tea", Some(3)), ("coffee", None)] {
///     assert_eq!(pool.submit(price, (prices.clone(), name.to_owned())).await?, expected);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Scattered<T>(Arc<Inner<T>>);

struct Inner<T> {
    id: Id,
    value: T,
    /// When it has been needed.
    parcel: OnceLock<Arc<Parcel>>,
    /// Makes one. None where the value was made of one.
    encode: Option<Encode<T>>,
    /// The registry knows of it.
    is_listed: AtomicBool,
}

type Encode<T> = fn(Id, &T) -> Result<Arc<Parcel>, TaskError>;

impl<T: Serialize + Send + Sync + 'static> Scattered<T> {
    /// Makes a handle, and nothing else.
    pub(crate) fn new(value: T) -> Self {
        let encode: Encode<T> = |id, value| {
            let (bytes, names) = named::collect(|| codec::encode_whole(value));
            let bytes = bytes?;
            let sealed = Sealed::copy_of(NAME, &bytes).map_err(|error| no_memory(bytes.len(), &error))?;
            Ok(Parcel::new(id, Kind::Value, type_name::<T>(), sealed, names))
        };
        Self(Arc::new(Inner {
            id: Id::fresh(),
            value,
            parcel: OnceLock::new(),
            encode: Some(encode),
            is_listed: AtomicBool::new(false),
        }))
    }

    /// Encodes the value now, for other processes.
    pub(crate) fn encode(&self) -> Result<(), TaskError> {
        self.0.parcel().map(drop)
    }
}

impl<T: Send + Sync + 'static> Inner<T> {
    fn parcel(&self) -> Result<Arc<Parcel>, TaskError> {
        if let Some(parcel) = self.parcel.get() {
            return Ok(Arc::clone(parcel));
        }
        // Encoding is the user's code. Two who do it at the same time do the same, and one of them in vain.
        let made = match self.encode {
            Some(encode) => encode(self.id, &self.value)?,
            None => return Err(TaskError::Encode("what it was decoded from is gone".to_owned())),
        };
        Ok(Arc::clone(self.parcel.get_or_init(|| made)))
    }

    fn list(self: &Arc<Self>) {
        if !self.is_listed.load(Ordering::Acquire) && !self.is_listed.swap(true, Ordering::AcqRel) {
            registry::settle(self.id, Arc::clone(self));
        }
    }
}

impl<T: Send + Sync + 'static> Named for Inner<T> {
    fn id(&self) -> Id {
        self.id
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        if *self.is_listed.get_mut() {
            registry::sweep(self.id);
        }
    }
}

impl<T> Clone for Scattered<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Scattered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> AsRef<T> for Scattered<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> fmt::Debug for Scattered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scattered<{}>({})", type_name::<T>(), self.0.id)
    }
}

/// For the argument or the result of a task; everywhere else it is an error.
impl<T: Send + Sync + 'static> Serialize for Scattered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stays = named::stays().map_err(S::Error::custom)?;
        self.0.list();
        let named: Arc<dyn Named> = match stays {
            true => Arc::<Inner<T>>::clone(&self.0),
            false => self.0.parcel().map_err(S::Error::custom)?,
        };
        named::name(named).map_err(S::Error::custom)?;
        self.0.id.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned + Send + Sync + 'static> Deserialize<'de> for Scattered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Id::deserialize(deserializer)?;
        if let Some(known) = registry::value(id) {
            return Ok(Self(known));
        }
        let parcel = registry::await_parcel(id).map_err(D::Error::custom)?;
        parcel.check(Kind::Value, type_name::<T>()).map_err(D::Error::custom)?;
        let value = codec::unpack_from(parcel.bytes()).map_err(D::Error::custom)?;
        let decoded = Arc::new(Inner {
            id,
            value,
            parcel: OnceLock::from(parcel),
            encode: None,
            is_listed: AtomicBool::new(true),
        });
        Ok(Self(registry::settle(id, decoded)))
    }
}
