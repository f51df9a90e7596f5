//! A slice that is placed once and copied nowhere. Owns how its elements are seen in bytes.

use std::{
    any::type_name,
    fmt,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::{Kind, NAME, Parcel, no_memory, registry, registry::Found};
use crate::{
    error::TaskError,
    function::named::{self, Id, Named, Names},
    sys::sealed::Sealed,
};

/// A slice of plain data that processes share: it is in memory once, and in none of them it is copied or decoded; from
/// [`Executor::scatter_slice`](crate::Executor::scatter_slice), or made by a task for its result.
///
/// What travels with a task is a name of a few bytes, at any depth of what it takes or gives back. Worker processes see the same
/// memory, for reading; workers of this process have the slice itself. It goes when its last handle goes, in all of them, as a
/// [`Scattered`](crate::Scattered) does.
///
/// The elements are [`Pod`]: numbers, arrays of them, and structs that are declared to be so, whose bytes are all there is to
/// them. Made of a vector, a slice stays where it is until it first leaves its process, and is copied then, once;
/// [`filled`](Self::filled) makes one in its place. As [`Scattered`](crate::Scattered), it can be encoded for a task only.
///
/// # Examples
/// ```
/// use polypool::{Executor, SharedSlice};
///
/// fn sum((data, from, to): (SharedSlice<f64>, usize, usize)) -> f64 {
///     data[from..to].iter().sum()
/// }
///
/// # futures::executor::block_on(async {
/// let pool = Executor::threads(2)?;
/// let data = pool.scatter_slice(vec![0.5; 1_000]).await?;
/// let halves = [(data.clone(), 0, 500), (data.clone(), 500, 1_000)];
/// let halves: Vec<f64> = futures::TryStreamExt::try_collect(pool.map(sum, halves)).await?;
/// assert_eq!(halves, [250.0, 250.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct SharedSlice<T>(Store<T>);

enum Store<T> {
    Own(Arc<Own<T>>),
    /// In a parcel, which was looked at: its bytes are elements.
    Placed(Arc<Parcel>),
}

struct Own<T> {
    id: Id,
    values: Vec<T>,
    parcel: OnceLock<Arc<Parcel>>,
    is_listed: AtomicBool,
}

impl<T: Pod> SharedSlice<T> {
    /// Makes a slice of `len` elements where it is to stay. `fill` is given them all zero, once.
    ///
    /// A task that returns such a slice returns it without a copy.
    ///
    /// # Errors
    /// [`TaskError::Encode`] when the system has no shared memory for it, or a bound on descriptors is reached.
    ///
    /// # Examples
    /// ```
    /// use polypool::{Executor, SharedSlice, TaskError};
    ///
    /// fn squares(n: usize) -> Result<SharedSlice<u64>, TaskError> {
    ///     SharedSlice::filled(n, |slots| {
    ///         for (n, slot) in (0..).zip(slots) {
    ///             *slot = n * n;
    ///         }
    ///     })
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let pool = Executor::threads(1)?;
    /// assert_eq!(pool.submit(squares, 5).await??[..], [0, 1, 4, 9, 16]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn filled(len: usize, fill: impl FnOnce(&mut [T])) -> Result<Self, TaskError> {
        let Some(size) = size_of::<T>().checked_mul(len).filter(|size| *size > 0) else {
            if size_of::<T>() > 0 && len > 0 {
                return Err(TaskError::Encode(format!(
                    "{len} elements are more bytes than there are addresses"
                )));
            }
            let mut values = bytemuck::allocation::zeroed_slice_box(len).into_vec();
            fill(&mut values);
            return Ok(values.into());
        };
        check_alignment::<T>().map_err(TaskError::Encode)?;
        let sealed = Sealed::filled(NAME, size, |bytes| fill(bytemuck::cast_slice_mut(bytes)));
        let sealed = sealed.map_err(|error| no_memory(size, &error))?;
        Ok(Self(Store::Placed(place::<T>(Id::fresh(), sealed))))
    }

    /// Makes a slice of these elements, in one copy, for other processes.
    pub(crate) fn placed(values: Vec<T>) -> Result<Self, TaskError> {
        let own = Own::new(values);
        Ok(match own.parcel()? {
            Some(parcel) => Self(Store::Placed(parcel)),
            None => Self(Store::Own(Arc::new(own))),
        })
    }
}

impl<T: Pod> Own<T> {
    fn new(values: Vec<T>) -> Self {
        Self { id: Id::fresh(), values, parcel: OnceLock::new(), is_listed: AtomicBool::new(false) }
    }

    /// None where there is nothing to be placed.
    fn parcel(&self) -> Result<Option<Arc<Parcel>>, TaskError> {
        if let Some(parcel) = self.parcel.get() {
            return Ok(Some(Arc::clone(parcel)));
        }
        let bytes: &[u8] = bytemuck::cast_slice(&self.values);
        if bytes.is_empty() {
            return Ok(None);
        }
        check_alignment::<T>().map_err(TaskError::Encode)?;
        let sealed = Sealed::copy_of(NAME, bytes).map_err(|error| no_memory(bytes.len(), &error))?;
        let made = place::<T>(self.id, sealed);
        Ok(Some(Arc::clone(self.parcel.get_or_init(|| made))))
    }
}

fn place<T>(id: Id, sealed: Sealed) -> Arc<Parcel> {
    Parcel::new(id, Kind::Slice, type_name::<T>(), sealed, Names::new())
}

/// What is mapped begins with a page.
fn check_alignment<T>() -> Result<(), String> {
    const PAGE: usize = if cfg!(target_os = "linux") { 4096 } else { 8 };
    let align = align_of::<T>();
    if align <= PAGE {
        Ok(())
    } else {
        Err(format!("`{}` is aligned to {align} bytes, and shared memory to {PAGE}", type_name::<T>()))
    }
}

impl<T: Pod + Send + Sync> Named for Own<T> {
    fn id(&self) -> Id {
        self.id
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if *self.is_listed.get_mut() {
            registry::sweep(self.id);
        }
    }
}

impl<T: Pod> From<Vec<T>> for SharedSlice<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Store::Own(Arc::new(Own::new(values))))
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Store::Own(own) => Store::Own(Arc::clone(own)),
            Store::Placed(parcel) => Store::Placed(Arc::clone(parcel)),
        })
    }
}

impl<T: Pod> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Store::Own(own) => &own.values,
            Store::Placed(parcel) => bytemuck::cast_slice(parcel.bytes()),
        }
    }
}

impl<T: Pod> AsRef<[T]> for SharedSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<'a, T: Pod> IntoIterator for &'a SharedSlice<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> std::slice::Iter<'a, T> {
        self.iter()
    }
}

impl<T> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, len) = match &self.0 {
            Store::Own(own) => (own.id, own.values.len()),
            Store::Placed(parcel) => (parcel.id(), parcel.bytes().len() / size_of::<T>().max(1)),
        };
        write!(f, "SharedSlice<{}>({id}, {len} elements)", type_name::<T>())
    }
}

/// How many elements there are, and where, if they have any bytes.
#[derive(Serialize, Deserialize)]
struct Mark {
    len: u64,
    id: Option<Id>,
}

/// For the argument or the result of a task; everywhere else it is an error.
impl<T: Pod + Send + Sync> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stays = named::stays().map_err(S::Error::custom)?;
        let named: Option<Arc<dyn Named>> = match &self.0 {
            Store::Placed(parcel) => Some(Arc::<Parcel>::clone(parcel)),
            Store::Own(own) if size_of_val(own.values.as_slice()) == 0 => None,
            Store::Own(own) => {
                if !own.is_listed.load(Ordering::Acquire) && !own.is_listed.swap(true, Ordering::AcqRel) {
                    registry::settle(own.id, Arc::clone(own));
                }
                if stays {
                    Some(Arc::<Own<T>>::clone(own))
                } else {
                    own.parcel().map_err(S::Error::custom)?.map(|parcel| parcel as Arc<dyn Named>)
                }
            }
        };
        let mark = Mark { len: self.len() as u64, id: named.as_ref().map(|named| named.id()) };
        if let Some(named) = named {
            named::name(named).map_err(S::Error::custom)?;
        }
        mark.serialize(serializer)
    }
}

impl<'de, T: Pod + Send + Sync> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Mark { len, id } = Mark::deserialize(deserializer)?;
        let len = usize::try_from(len).map_err(D::Error::custom)?;
        let Some(id) = id else {
            if len > 0 && size_of::<T>() > 0 {
                return Err(D::Error::custom("a slice has elements, and does not say where"));
            }
            return Ok(bytemuck::allocation::zeroed_slice_box(len).into_vec().into());
        };
        let parcel = match registry::find_either::<Own<T>>(id) {
            Found::Value(known) => return Ok(Self(Store::Own(known))),
            Found::Parcel(parcel) => parcel,
            Found::Nothing => registry::await_parcel(id).map_err(D::Error::custom)?,
        };
        parcel.check(Kind::Slice, type_name::<T>()).map_err(D::Error::custom)?;
        match bytemuck::try_cast_slice::<u8, T>(parcel.bytes()) {
            Ok(values) if values.len() == len => Ok(Self(Store::Placed(parcel))),
            Ok(values) => Err(D::Error::custom(format_args!(
                "a slice has {} elements, and should have {len}",
                values.len()
            ))),
            Err(error) => Err(D::Error::custom(format_args!(
                "{} bytes are no slice of `{}`: {error}",
                parcel.bytes().len(),
                type_name::<T>()
            ))),
        }
    }
}
