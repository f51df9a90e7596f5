//! What all primitives are inside: a share in an object, which travels by its name. Owns the encoding.

use std::{fmt, mem::discriminant, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::wait::Asked;
use crate::{
    function::named::{self, Id},
    inside::process::stand_in,
    primitives::{Fault, Item, Kind, Object, Operation, Outcome, find, origin},
    runtime::block_on,
};

#[derive(Clone)]
pub(super) struct Handle(pub(super) Arc<dyn Object>);

impl Handle {
    pub(super) fn ask(&self, operation: Operation<Item>) -> Asked {
        Asked::new(&self.0, operation)
    }

    /// Asks what is answered at once, but for the way.
    pub(super) fn ask_now(&self, operation: Operation<Item>) -> Outcome<Item> {
        block_on(self.ask(operation))
    }

    /// What it says when it is shown.
    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("id", &format_args!("{}", self.0.id())).finish_non_exhaustive()
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        named::name(Arc::clone(&self.0).named()).map_err(ser::Error::custom)?;
        (self.0.id(), self.0.kind()).serialize(serializer)
    }
}

impl Handle {
    /// Decodes a share in an object of this kind.
    pub(super) fn of_kind<'de, D: Deserializer<'de>>(
        kind: impl FnOnce(Kind) -> bool,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let (id, its_kind) = <(Id, Kind)>::deserialize(deserializer)?;
        if !kind(its_kind) {
            return Err(de::Error::custom("it is a primitive of another kind"));
        }
        let object = match find(id) {
            Some(object) if discriminant(&object.kind()) == discriminant(&its_kind) => Some(object),
            Some(_) => None,
            None if id.origin == origin() => None,
            None => stand_in(id, its_kind),
        };
        object.map(Self).ok_or_else(|| {
            de::Error::custom(
                "the primitive is not known here: it is of another program, or nobody holds it any more; make it with the \
                 `context()` of the pool whose tasks share it, and keep it",
            )
        })
    }
}

/// The answer to what cannot fail while the object is there.
#[track_caller]
pub(super) fn there(outcome: Outcome<Item>) -> Outcome<Item> {
    match outcome {
        Outcome::Fault(Fault::Gone) => {
            panic!(
                "the primitive is not there any more: the process that kept it is another one, or has ended"
            )
        }
        outcome => outcome,
    }
}

/// What a primitive is beside its verbs: a share that is cloned, shown, and sent by its name.
macro_rules! travels {
    ($name:ident $(<$t:ident>)?, $kind:pat $(, $of:ident)?) => {
        impl $(<$t>)? Clone for $name $(<$t>)? {
            fn clone(&self) -> Self {
                Self { handle: self.handle.clone() $(, $of: self.$of)? }
            }
        }

        impl $(<$t>)? std::fmt::Debug for $name $(<$t>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.handle.fmt(stringify!($name), f)
            }
        }

        impl $(<$t>)? serde::Serialize for $name $(<$t>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.handle.serialize(serializer)
            }
        }

        impl<'de $(, $t)?> serde::Deserialize<'de> for $name $(<$t>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let handle = Handle::of_kind(|kind| matches!(kind, $kind), deserializer)?;
                Ok(Self { handle $(, $of: std::marker::PhantomData)? })
            }
        }
    };
}
pub(super) use travels;
