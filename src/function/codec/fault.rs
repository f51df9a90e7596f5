//! Why a value cannot be encoded or decoded, in words.

use std::fmt;

use serde::{de, ser};

#[derive(Debug)]
pub(super) struct Fault(Box<str>);

impl Fault {
    #[cold]
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string().into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text)
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text)
    }
}
