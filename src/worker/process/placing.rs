//! The data that this worker has beside its calls. Owns what is done when some comes or goes, and how what a task names gets to the
//! pool.
//!
//! What came from the pool is kept until the pool takes it back. What a call names towards the pool, in its result or in what it
//! submits, is sent there once for this call, also if it came from there: the pool may be letting go of it just then.

use std::{
    collections::HashSet,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    thread,
};

use super::{here::here, outlet::Outlet};
use crate::{
    function::{
        Names,
        named::{Id, Named},
        placed::{Parcel, registry, travel::in_order},
    },
    sys::lock::lock,
    task::catch::discard,
    wire::control::{Name, Thing, ToPool},
};

/// What is named and not here is asked for.
pub(super) fn begin() {
    registry::set_source(|id| match here() {
        Some(here) => here.upstream.ask(here, id),
        None => registry::gone(id),
    });
}

pub(super) fn come(thing: Thing, file: Option<OwnedFd>) {
    let id = thing.id;
    match Parcel::come(thing, file) {
        Ok(parcel) => registry::keep(parcel),
        Err(why) => registry::refuse(id.into(), why),
    }
}

pub(super) fn is_missing(id: Id, why: Option<String>) {
    match why {
        Some(why) => registry::refuse(id, why),
        None => registry::gone(id),
    }
}

/// Nobody names it any more.
pub(super) fn forget(id: Id) {
    let Some(kept) = registry::forget(id) else { return };
    if kept.value.is_none() {
        return;
    }
    // Dropping the value is the user's code, for which the thread that listens has no time. Without another it must.
    let kept = Arc::new(Mutex::new(Some(kept)));
    let shared = Arc::clone(&kept);
    let dropping = move || {
        let kept = lock(&shared).take();
        discard(kept);
    };
    if thread::Builder::new().name("polypool-drop".to_owned()).spawn(dropping).is_err() {
        let kept = lock(&kept).take();
        discard(kept);
    }
}

/// What the call of this ticket has sent to the pool, which keeps it until the call is over.
#[derive(Default)]
pub(super) struct Given(Mutex<(u64, HashSet<Id>)>);

/// What is to be sent before something that names it.
pub(super) struct Parcels {
    ticket: u64,
    parcels: Vec<Arc<Parcel>>,
}

impl Given {
    /// What there is to send, if what comes after it names these. It counts as sent.
    pub(super) fn parcels(&self, ticket: u64, names: &Names) -> Parcels {
        let mut parcels = in_order(names);
        let mut given = lock(&self.0);
        if given.0 != ticket {
            *given = (ticket, HashSet::new());
        }
        // What is done outside of a call is over at once.
        parcels.retain(|parcel| given.1.insert(parcel.id()) || ticket == 0);
        Parcels { ticket, parcels }
    }
}

impl Parcels {
    pub(super) fn send(self, outlet: &Outlet) {
        for parcel in self.parcels {
            let message = ToPool::Place { ticket: self.ticket, thing: Box::new(parcel.thing()) };
            outlet.say_with(&message, &[parcel.sealed().as_fd()]);
        }
    }
}

pub(super) fn ids(names: &Names) -> Vec<Name> {
    names.iter().map(|named| named.id().into()).collect()
}
