//! Where a setting comes from, in the words of errors and of the list of settings. Owns which source outranks which.

use std::{fmt, sync::Arc};

use super::key::Key;
pub(super) use crate::parallel::OWN as ALL_POOLS;

/// Where somebody said what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Program,
    /// A structure of the program's own, read by serde, which has its own way to say where.
    Embedded,
    File {
        file: Arc<str>,
        line: usize,
    },
    Variable(String),
    #[cfg_attr(not(feature = "clap"), allow(dead_code, reason = "this build has no command line"))]
    Option(&'static str),
}

/// The sources, from the one that gives way to all to the one that outranks all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Program,
    File,
    Environment,
    CommandLine,
}

impl Place {
    pub(super) fn layer(&self) -> Layer {
        match self {
            Self::Program => Layer::Program,
            Self::Embedded | Self::File { .. } => Layer::File,
            Self::Variable(_) => Layer::Environment,
            Self::Option(_) => Layer::CommandLine,
        }
    }

    pub(super) fn problem(&self, key: &Key, problem: &str) -> String {
        format!("{}: {problem}", self.naming(key))
    }

    /// A number for all pools of a program says how many workers, and not that a pool is to have any.
    pub(super) fn is_of_all_pools(&self) -> bool {
        matches!(self, Self::Variable(name) if name == ALL_POOLS)
    }

    /// The setting by the name that it has there, with the place: how every error begins.
    pub(super) fn naming(&self, key: &Key) -> String {
        match self {
            Self::Program => format!("{} in the program", key.name),
            Self::Embedded => key.name.to_owned(),
            Self::File { file, line } => format!("{} in {file}, line {line}", key.name),
            Self::Variable(variable) => format!("{variable} in the environment"),
            Self::Option(option) => format!("{option} on the command line"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the program"),
            Self::Embedded => f.write_str("the configuration"),
            Self::File { file, line } => write!(f, "{file}, line {line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// Makes a text of others fit for a line: it says nothing to a terminal and begins no new line.
pub(super) fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if is_unseen(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Tells whether it commands a terminal, or changes how the text about it looks.
pub(super) fn is_unseen(c: char) -> bool {
    let is_format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_format
}
