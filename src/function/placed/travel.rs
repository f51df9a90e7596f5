//! Parcels between processes. Owns what is said of one beside its file.

use std::{collections::HashSet, io, os::fd::OwnedFd, sync::Arc};

use super::{Kind, Parcel, SCARCE, parcels, registry};
use crate::{
    function::named::{Id, Named, Names},
    sys::{process::move_high, sealed::Sealed},
    wire::control::{Name, Thing},
};

impl From<Name> for Id {
    fn from((origin, serial): Name) -> Self {
        Self { origin, serial }
    }
}

impl From<Id> for Name {
    fn from(id: Id) -> Self {
        (id.origin, id.serial)
    }
}

impl Parcel {
    pub(crate) fn thing(&self) -> Thing {
        Thing {
            id: self.id.into(),
            is_slice: self.kind == Kind::Slice,
            what: self.what.to_string(),
            len: self.bytes().len() as u64,
            names: self.names.iter().map(|named| named.id().into()).collect(),
        }
    }

    /// Makes one of what has come. What it names has come before.
    pub(crate) fn come(thing: Thing, file: Option<OwnedFd>) -> Result<Self, String> {
        let file = file.ok_or_else(|| {
            format!(
                "what it names was lost on its way: {}; {SCARCE}",
                io::Error::from_raw_os_error(libc::EMFILE)
            )
        })?;
        // A task that closes what is not its own is to find others.
        let sealed = move_high(file).and_then(|file| Sealed::from_fd(file, thing.len));
        let sealed = sealed.map_err(|error| format!("what it names cannot be mapped: {error}; {SCARCE}"))?;
        let kind = if thing.is_slice { Kind::Slice } else { Kind::Value };
        Ok(Self::bare(thing.id.into(), kind, &thing.what, sealed, found(&thing.names)))
    }
}

/// Those of them that are in this process. What is not shows where it is needed.
pub(crate) fn found(names: &[Name]) -> Names {
    names
        .iter()
        .filter_map(|id| registry::find((*id).into()))
        .map(|parcel| parcel as Arc<dyn Named>)
        .collect()
}

/// All parcels that must be there before somebody can decode what names these, each behind those that it names.
pub(crate) fn in_order(names: &Names) -> Vec<Arc<Parcel>> {
    fn visit(names: &Names, seen: &mut HashSet<Id>, all: &mut Vec<Arc<Parcel>>) {
        for parcel in parcels(names) {
            if seen.insert(parcel.id) {
                visit(&parcel.names, seen, all);
                all.push(parcel);
            }
        }
    }
    let mut all = Vec::new();
    visit(names, &mut HashSet::new(), &mut all);
    all
}
