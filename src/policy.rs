//! What happens to tasks when their pool, stream or handle goes away. Owns the four policies and their spellings; knows
//! nothing of how they are carried out.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::BuildError;

bitflags::bitflags! {
    /// Which tasks are cancelled when an executor, stream or handle goes away.
    ///
    /// | | not started yet | running |
    /// |---|---|---|
    /// | `NONE` | runs to its end in the background, its handle resolves | same |
    /// | `PENDING` | `Err(Cancelled)`, never started | finishes |
    /// | `RUNNING` | still runs | asked to stop, then stopped |
    /// | `ALL` | `Err(Cancelled)` | stopped |
    ///
    /// The names and their meaning are pyDVL's; unlike there, the policy is applied however the executor goes away.
    /// A `bool` is a policy, too: `true` is `PENDING`, `false` is `NONE`.
    ///
    /// # Backends
    /// How a running task is stopped is the backend's: a future is dropped at its next await; a blocking function on a
    /// thread cannot be stopped by force, so its token is set ([`worker::is_cancelled`](crate::worker::is_cancelled)),
    /// its handle resolves as cancelled at once, and the code ends by itself.
    ///
    /// # Examples
    /// ```
    /// use polypool::CancellationPolicy as Policy;
    ///
    /// assert_eq!(Policy::PENDING | Policy::RUNNING, Policy::ALL);
    /// assert_eq!("all".parse::<Policy>()?, Policy::ALL);
    /// assert_eq!(Policy::from(true), Policy::PENDING);
    /// # Ok::<(), polypool::BuildError>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct CancellationPolicy: u8 {
        /// Cancels nothing.
        const NONE = 0;
        /// Cancels what has not started.
        const PENDING = 1;
        /// Stops what has started.
        const RUNNING = 2;
        /// Cancels and stops everything.
        const ALL = 3;
    }
}

/// The spellings, for parsing, printing and error texts alike.
const NAMES: [(&str, CancellationPolicy); 4] = [
    ("none", CancellationPolicy::NONE),
    ("pending", CancellationPolicy::PENDING),
    ("running", CancellationPolicy::RUNNING),
    ("all", CancellationPolicy::ALL),
];

impl Default for CancellationPolicy {
    /// `PENDING`.
    fn default() -> Self {
        Self::PENDING
    }
}

impl From<bool> for CancellationPolicy {
    fn from(cancel: bool) -> Self {
        if cancel { Self::PENDING } else { Self::NONE }
    }
}

impl FromStr for CancellationPolicy {
    type Err = BuildError;

    /// Reads `none`, `pending`, `running`, `all` in any case, joined by `|` if need be, and `true` and `false`.
    fn from_str(text: &str) -> Result<Self, BuildError> {
        let unknown = || {
            BuildError::OutOfRange(format!(
                "unknown cancellation policy `{text}`; known are none, pending, running, all, true and false"
            ))
        };
        text.split('|').map(str::trim).try_fold(Self::NONE, |policy, word| {
            let word = word.to_ascii_lowercase();
            let named = NAMES
                .iter()
                .find(|(name, _)| *name == word)
                .map(|&(_, policy)| policy)
                .or_else(|| word.parse::<bool>().ok().map(Self::from));
            named.map(|named| policy | named).ok_or_else(unknown)
        })
    }
}

impl fmt::Display for CancellationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, policy)| policy == self).map_or("all", |&(name, _)| name);
        f.write_str(name)
    }
}

impl Serialize for CancellationPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CancellationPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Flag(bool),
            Name(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Flag(flag) => Ok(flag.into()),
            Spelling::Name(name) => name.parse().map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_read_as_it_is_printed() {
        for (name, policy) in NAMES {
            assert_eq!(policy.to_string(), name);
            assert_eq!(name.parse::<CancellationPolicy>().expect("known"), policy);
            let bytes = postcard::to_stdvec(&policy).expect("plain");
            assert_eq!(postcard::from_bytes::<CancellationPolicy>(&bytes).expect("plain"), policy);
        }
    }

    #[test]
    fn an_unknown_word_is_named_with_the_known_ones() {
        let text = "pending|soon".parse::<CancellationPolicy>().expect_err("unknown").to_string();
        assert!(text.contains("pending|soon") && text.contains("running"), "{text}");
        assert_eq!(
            "Pending | RUNNING".parse::<CancellationPolicy>().expect("known"),
            CancellationPolicy::ALL
        );
        assert_eq!("true".parse::<CancellationPolicy>().expect("known"), CancellationPolicy::PENDING);
    }
}
