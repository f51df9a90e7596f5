//! What is wrong with a configuration. Owns how it is told: each line names the setting, where it was made, and the remedy.

use std::fmt;

use super::place::plain;
use crate::error::BuildError;

/// Why settings were not taken, or came to no pool.
///
/// # Examples
/// ```
/// use polypool::config::PoolConfig;
///
/// let error = PoolConfig::new().toml_str("[parallel]\n\nn_workers = 'many'", "app.toml").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"n_workers in app.toml, line 3: expected a number, "auto" or "all-but-one""#
/// );
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    #[error("{file} cannot be read: {source}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is said in one source makes no sense: a sentence for each thing, each on a line of its own.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// A setting is well formed, but there can be no pool with it.
    #[error("{setting}: {}", plain(&source.to_string()))]
    Refused {
        /// The setting and where it was made.
        setting: String,
        /// Why there can be none.
        source: BuildError,
    },
    /// There can be no pool, for a reason that no one setting is to blame for.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl fmt::Debug for ConfigError {
    /// The same as its text: a `main` that returns it prints this, and its reader is the program's user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
