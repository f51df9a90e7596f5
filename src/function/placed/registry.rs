//! Which parcels there are in this process, and what they were decoded to. Owns the list, and the wait for what has yet to come.
//!
//! The list itself keeps nothing but what was [put](keep) there to be kept; of the rest it knows as long as others keep it. No
//! parcel and no value is dropped while it is locked: that locks it again.

use std::{
    any::Any,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak},
};

use super::Parcel;
use crate::{
    function::named::{Id, IdMap, Named},
    sys::{copy::PerCopy, lock::lock},
};

/// What a parcel was decoded to.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
struct Registry {
    places: Mutex<IdMap<Place>>,
    news: Condvar,
    /// Where to ask for what is not there.
    ask: OnceLock<fn(Id)>,
}

#[derive(Default)]
struct Place {
    parcel: Weak<Parcel>,
    value: Option<Weak<dyn Any + Send + Sync>>,
    kept: Option<Kept>,
    /// Why it will not come.
    trouble: Option<String>,
    /// How many threads wait for it.
    waiting: usize,
}

/// What was kept. Dropping it may run the user's code, if there is a value.
pub(crate) struct Kept {
    _parcel: Arc<Parcel>,
    pub(crate) value: Option<Value>,
}

impl Place {
    fn is_vain(&self) -> bool {
        self.kept.is_none()
            && self.trouble.is_none()
            && self.waiting == 0
            && self.parcel.strong_count() == 0
            && self.value.as_ref().is_none_or(|value| value.strong_count() == 0)
    }
}

fn registry() -> &'static Registry {
    static REGISTRY: PerCopy<OnceLock<Registry>> = PerCopy::new(OnceLock::new(), OnceLock::new);
    REGISTRY.get().get_or_init(Registry::default)
}

/// In this process, what is not there is to be asked for. The answer is [`keep`], [`refuse`] or [`gone`].
pub(crate) fn set_source(ask: fn(Id)) {
    let _ = registry().ask.set(ask);
}

/// Lists a parcel that somebody keeps.
pub(super) fn enter(parcel: &Arc<Parcel>) {
    lock(&registry().places).entry(parcel.id()).or_default().parcel = Arc::downgrade(parcel);
}

/// Lists a parcel that has come. If it is here already, that is the one.
pub(crate) fn adopt(parcel: Parcel) -> Arc<Parcel> {
    receive(parcel, |_, _| ())
}

/// The same, and keeps it.
pub(crate) fn keep(parcel: Parcel) {
    let mut before = None;
    // Before anybody can have found it: what it is decoded to is kept with it.
    let keep = |place: &mut Place, parcel: &Arc<Parcel>| {
        place.trouble = None;
        let value = place.value.as_ref().and_then(Weak::upgrade);
        before = place.kept.replace(Kept { _parcel: Arc::clone(parcel), value });
    };
    let parcel = receive(parcel, keep);
    drop((before, parcel));
}

fn receive(parcel: Parcel, then: impl FnOnce(&mut Place, &Arc<Parcel>)) -> Arc<Parcel> {
    let come = Arc::new(parcel);
    let here = {
        let mut places = lock(&registry().places);
        let place = places.entry(come.id()).or_default();
        let here = place.parcel.upgrade();
        if here.is_none() {
            place.parcel = Arc::downgrade(&come);
        }
        then(place, here.as_ref().unwrap_or(&come));
        here
    };
    registry().news.notify_all();
    here.unwrap_or(come)
}

/// What should have come is lost on its way.
pub(crate) fn refuse(id: Id, why: String) {
    lock(&registry().places).entry(id).or_default().trouble = Some(why);
    registry().news.notify_all();
}

/// It is nowhere any more. Told to those who wait.
pub(crate) fn gone(id: Id) {
    if let Some(place) = lock(&registry().places).get_mut(&id).filter(|place| place.waiting > 0) {
        place.trouble = Some(NOT_THERE.to_owned());
    }
    registry().news.notify_all();
}

/// Keeps it no longer. What is given back is to be dropped, where the user's code may run if it has a value.
pub(crate) fn forget(id: Id) -> Option<Kept> {
    let mut places = lock(&registry().places);
    let place = places.get_mut(&id)?;
    place.trouble = None;
    let kept = place.kept.take();
    if place.is_vain() {
        places.remove(&id);
    }
    kept
}

/// Something is gone: the place of it, too, if there is nothing else.
pub(super) fn sweep(id: Id) {
    let mut places = lock(&registry().places);
    if places.get(&id).is_some_and(Place::is_vain) {
        places.remove(&id);
    }
}

/// The parcel of this number, if there is one in this process.
pub(crate) fn find(id: Id) -> Option<Arc<Parcel>> {
    lock(&registry().places).get(&id)?.parcel.upgrade()
}

/// What there is of a number.
pub(super) enum Found<V> {
    Value(Arc<V>),
    Parcel(Arc<Parcel>),
    Nothing,
}

/// The value of this number, else the parcel. Asked once per task that names it.
pub(super) fn find_either<V: Send + Sync + 'static>(id: Id) -> Found<V> {
    let (value, parcel) = {
        let places = lock(&registry().places);
        let Some(place) = places.get(&id) else { return Found::Nothing };
        let value = place.value.as_ref().and_then(Weak::upgrade);
        let parcel = if value.is_none() { place.parcel.upgrade() } else { None };
        (value, parcel)
    };
    // Of another type of the same name, it is as good as none.
    match (value.and_then(|value| value.downcast().ok()), parcel) {
        (Some(value), _) => Found::Value(value),
        (None, Some(parcel)) => Found::Parcel(parcel),
        (None, None) => Found::Nothing,
    }
}

/// What is known as the value of this number.
pub(super) fn value<V: Send + Sync + 'static>(id: Id) -> Option<Arc<V>> {
    let value = lock(&registry().places).get(&id)?.value.as_ref()?.upgrade()?;
    value.downcast().ok()
}

/// Lists what a parcel was decoded to, or what this process has without one. The first that was listed is the one that there is;
/// where the parcel is kept, so is that.
pub(super) fn settle<V: Send + Sync + 'static>(id: Id, value: Arc<V>) -> Arc<V> {
    let (settled, _not_here) = {
        let mut places = lock(&registry().places);
        let place = places.entry(id).or_default();
        match place.value.as_ref().and_then(Weak::upgrade).map(Arc::downcast) {
            Some(Ok(before)) => (before, Some(value)),
            // Of another type of the same name.
            Some(Err(_)) => (value, None),
            None => {
                let erased: Value = Arc::<V>::clone(&value);
                place.value = Some(Arc::downgrade(&erased));
                if let Some(kept) = &mut place.kept {
                    kept.value = Some(erased);
                }
                (value, None)
            }
        }
    };
    settled
}

const NOT_THERE: &str = "what it names is not there any more: a scattered value goes with its last handle, unless a task names it; \
                         name it in the argument or the result of the task, or keep a handle";

/// The parcel of this number. Waits for it where there is somebody to ask.
pub(super) fn await_parcel(id: Id) -> Result<Arc<Parcel>, String> {
    let registry = registry();
    let mut places = lock(&registry.places);
    if let Some(parcel) = places.get(&id).and_then(|place| place.parcel.upgrade()) {
        return Ok(parcel);
    }
    if let Some(why) = places.get(&id).and_then(|place| place.trouble.clone()) {
        return Err(why);
    }
    let Some(ask) = registry.ask.get() else { return Err(NOT_THERE.to_owned()) };
    places.entry(id).or_default().waiting += 1;
    drop(places);
    ask(id);
    let mut places = lock(&registry.places);
    loop {
        let Some(place) = places.get_mut(&id) else { return Err(NOT_THERE.to_owned()) };
        let found = place.parcel.upgrade();
        if found.is_none() && place.trouble.is_none() {
            places = registry.news.wait(places).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        place.waiting -= 1;
        let why = place.trouble.clone();
        if place.waiting == 0 && why.as_deref() == Some(NOT_THERE) {
            place.trouble = None;
        }
        if place.is_vain() {
            places.remove(&id);
        }
        return found.ok_or_else(|| why.unwrap_or_default());
    }
}

#[cfg(test)]
pub(super) fn is_listed(id: Id) -> bool {
    lock(&registry().places).contains_key(&id)
}
