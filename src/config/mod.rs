//! A pool's settings from files, the environment and the command line. Owns which source wins, and what is wrong with which;
//! what a pool is, the executor's room knows.
#![doc = include_str!("README.md")]
#![doc = include_str!("keys.md")]

use std::{ffi::OsString, io::ErrorKind, path::Path};

#[cfg(feature = "clap")]
mod args;
mod build;
mod environment;
mod error;
mod file;
mod key;
mod place;
mod processes;
mod serde;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod value;

#[cfg(feature = "clap")]
pub use args::ParallelArgs;
pub use error::ConfigError;
pub use setting::Setting;

use self::{
    key::{DEBUG, Key, N_WORKERS, PARALLEL, PARALLEL_BACKEND},
    place::{Layer, Place, plain},
    value::{Raw, Value, Way},
};

/// The settings of a pool that its user may choose, and who chose them. Dropping it does nothing.
///
/// # Examples
/// ```
/// use polypool::config::PoolConfig;
///
/// let config = PoolConfig::new()
///     .set("parallel_backend", "threads")?
///     .toml_str("[server]\nport = 80\n[server.parallel]\nn_workers = 4", "app.toml")?
///     .environment_from([("POLYPOOL_N_WORKERS".into(), "3".into())])?;
/// let pool = config.executor()?;
/// assert_eq!((pool.backend_name(), pool.max_workers()), ("threads", 3));
/// # Ok::<(), polypool::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "settings do nothing before `executor()`"]
pub struct PoolConfig {
    /// From those that give way to those that outrank them.
    entries: Vec<Entry>,
    /// The table that the program has named.
    table: Option<String>,
    /// How many sources were read.
    sources: usize,
}

/// A setting that somebody made.
#[derive(Debug, Clone)]
struct Entry {
    key: &'static Key,
    value: Value,
    place: Place,
    /// A later source outranks an earlier one of the same layer.
    rank: (Layer, usize),
}

/// The same before it has its rank.
struct Found {
    key: &'static Key,
    value: Value,
    place: Place,
}

impl PoolConfig {
    /// Makes a configuration in which nobody has said anything.
    ///
    /// # Examples
    /// ```
    /// use polypool::config::PoolConfig;
    ///
    /// let pool = PoolConfig::new().set("parallel_backend", "tasks")?.set("n_workers", 3)?.executor()?;
    /// assert_eq!((pool.backend_name(), pool.max_workers()), ("tasks", 3));
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what most programs read: the file, if it is there, and the environment. The command line is added with
    /// [`args`](Self::args).
    ///
    /// # Errors
    /// As [`toml_file_if_there`](Self::toml_file_if_there) and [`environment`](Self::environment).
    ///
    /// # Examples
    /// ```
    /// let pool = polypool::config::PoolConfig::load("app.toml")?.executor()?;
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::new().toml_file_if_there(path)?.environment()
    }

    /// Makes a setting on the program's own behalf: what holds when its user says nothing.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for a key that there is not, or a value that it cannot have.
    ///
    /// # Examples
    /// ```
    /// use polypool::config::PoolConfig;
    ///
    /// let error = PoolConfig::new().set("n_worker", 4).unwrap_err();
    /// assert_eq!(error.to_string(), r#"unknown key "n_worker" in the program: did you mean "n_workers"?"#);
    /// ```
    pub fn set(mut self, key: &str, value: impl Into<Setting>) -> Result<Self, ConfigError> {
        let place = Place::Program;
        let Some(key) = key::find(key) else {
            let problem = format!("unknown key {key:?} in the program: {}", key::instead_of(key));
            return Err(ConfigError::Invalid(vec![problem]));
        };
        let read = key.kind.read(value.into().0);
        let value = read.map_err(|problem| ConfigError::Invalid(vec![place.problem(key, &problem)]))?;
        self.entries.retain(|entry| entry.place != place || entry.key != key);
        self.insert(Found { key, value, place }, 0);
        self.check(0)
    }

    /// Says which table of the files that are read from now on holds the settings, as in `tool.app`: there, the table
    /// `tool.app.parallel`, or in `tool.app` itself the keys that can be nobody else's, see [above](self#where). Without a name,
    /// it is the one table of a file that is named `parallel`, wherever it is. No part of a name can have a dot in it.
    ///
    /// # Examples
    /// ```
    /// use polypool::config::PoolConfig;
    ///
    /// let pyproject = "[tool.app]\nn_workers = 2\npaths = ['src']\n[tool.other.parallel]\nn_workers = 7";
    /// let config = PoolConfig::new().table("tool.app").toml_str(pyproject, "pyproject.toml")?;
    /// assert!(config.to_string().contains("n_workers = 2  # pyproject.toml, line 2"));
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = Some(name.into());
        self
    }

    /// Reads a TOML file. One that has no table for us says nothing.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`] also when it is not there, is no regular file, or has more than 16 MiB; [`ConfigError::Invalid`] with
    /// what is wrong in it.
    ///
    /// # Examples
    /// ```
    /// let error = polypool::config::PoolConfig::new().toml_file("no/such/file.toml").unwrap_err();
    /// assert!(error.to_string().starts_with("no/such/file.toml cannot be read: "));
    /// ```
    pub fn toml_file(self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        self.toml_file_or(path.as_ref(), |_, error| Err(error))
    }

    /// Reads a TOML file that need not be there.
    ///
    /// # Errors
    /// As [`toml_file`](Self::toml_file), but for a file that is not there.
    ///
    /// # Examples
    /// ```
    /// let config = polypool::config::PoolConfig::new().toml_file_if_there("no/such/file.toml")?;
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn toml_file_if_there(self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        self.toml_file_or(path.as_ref(), |config, error| match error {
            ConfigError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => Ok(config),
            error => Err(error),
        })
    }

    fn toml_file_or(
        self,
        path: &Path,
        otherwise: impl FnOnce(Self, ConfigError) -> Result<Self, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let file = plain(&path.to_string_lossy());
        match file::bytes(path) {
            Ok(bytes) => self.toml_bytes(&bytes, &file),
            Err(source) => otherwise(self, ConfigError::Unreadable { file, source }),
        }
    }

    /// Reads the text of a TOML file; `file` is what errors call it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all that is wrong in it.
    ///
    /// # Examples
    /// ```
    /// let text = "[parallel]\nn_workers = 4\nn_worker = 4";
    /// let error = polypool::config::PoolConfig::new().toml_str(text, "app.toml").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"unknown key "n_worker" in app.toml, line 3: did you mean "n_workers"?"#
    /// );
    /// ```
    pub fn toml_str(self, text: &str, file: &str) -> Result<Self, ConfigError> {
        let found = file::read(text, &plain(file), self.table.as_deref());
        self.add(found)
    }

    fn toml_bytes(self, bytes: &[u8], file: &str) -> Result<Self, ConfigError> {
        match str::from_utf8(bytes) {
            Ok(text) => self.toml_str(text, file),
            Err(error) => {
                let line = file::line(bytes, error.valid_up_to());
                let problem = format!("{file}, line {line}: not UTF-8, as TOML must be");
                Err(ConfigError::Invalid(vec![problem]))
            }
        }
    }

    /// Reads the environment: `POLYPOOL_N_WORKERS` for `n_workers`, and so on. `POLYPOOL_NUM_WORKERS`, which holds for all pools
    /// of a program, is another name of the former, and is always a number. A variable that is empty is as one that is not set.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all that is wrong; also for a variable `POLYPOOL_…` that nobody reads.
    ///
    /// # Examples
    /// ```
    /// let config = polypool::config::PoolConfig::new().environment()?;
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn environment(self) -> Result<Self, ConfigError> {
        self.environment_from(std::env::vars_os())
    }

    /// Reads an environment that is not, or not only, this process's.
    ///
    /// # Errors
    /// As [`environment`](Self::environment).
    ///
    /// # Examples
    /// ```
    /// use polypool::config::PoolConfig;
    ///
    /// let error = PoolConfig::new().environment_from([("POLYPOOL_RETRIES".into(), "twice".into())]).unwrap_err();
    /// assert_eq!(error.to_string(), "POLYPOOL_RETRIES in the environment: expected a number");
    /// ```
    pub fn environment_from(
        self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        self.add(environment::read(variables))
    }

    /// Adds what was said on the command line, which outranks all else.
    ///
    /// # Examples
    /// See [`ParallelArgs`].
    #[cfg(feature = "clap")]
    pub fn args(mut self, args: &ParallelArgs) -> Self {
        self.sources += 1;
        for found in args.found() {
            self.insert(found, self.sources);
        }
        self
    }

    /// Tells whether everything is to run in one thread, for a debugger: then a program may leave out what else would start one.
    ///
    /// # Examples
    /// ```
    /// assert!(polypool::config::PoolConfig::new().set("debug", true)?.is_debug());
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn is_debug(&self) -> bool {
        matches!(self.top(DEBUG), Some(Entry { value: Value::Flag(true), .. }))
    }

    /// All settings of this key, the one that outranks the others last.
    fn all(&self, key: &Key) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    /// The setting of this key that outranks the others.
    fn top(&self, key: &Key) -> Option<&Entry> {
        self.all(key).next_back()
    }

    fn add(mut self, found: Result<Vec<Found>, Vec<String>>) -> Result<Self, ConfigError> {
        self.sources += 1;
        for found in found.map_err(ConfigError::Invalid)? {
            self.insert(found, self.sources);
        }
        let source = self.sources;
        self.check(source)
    }

    fn insert(&mut self, Found { key, value, place }: Found, source: usize) {
        let rank = (place.layer(), source);
        let at = self.entries.partition_point(|entry| entry.rank <= rank);
        self.entries.insert(at, Entry { key, value, place, rank });
    }

    /// Refuses what contradicts itself within one source; between sources, one outranks the other.
    fn check(self, source: usize) -> Result<Self, ConfigError> {
        let here = |key| self.entries.iter().find(|entry| entry.rank.1 == source && entry.key == key);
        let Some(parallel) = here(PARALLEL) else {
            return Ok(self);
        };
        let same = match parallel.value {
            Value::Parallel(Way::Workers(_)) => &[N_WORKERS][..],
            Value::Parallel(Way::Backend(_)) => &[PARALLEL_BACKEND],
            _ => &[N_WORKERS, PARALLEL_BACKEND],
        };
        let others = same.iter().filter_map(|key| here(key));
        let others = others.filter(|other| !other.place.is_of_all_pools());
        let problems: Vec<_> = others
            .map(|other| {
                let (parallel, other) = (parallel.place.naming(parallel.key), other.place.naming(other.key));
                format!("{parallel}, and {other}: each says what the pool is made of; keep one of them")
            })
            .collect();
        if problems.is_empty() { Ok(self) } else { Err(ConfigError::Invalid(problems)) }
    }
}

/// Reads a value, or says what is wrong with it and where.
fn read(key: &'static Key, raw: Raw, place: Place) -> Result<Found, String> {
    match key.kind.read(raw) {
        Ok(value) => Ok(Found { key, value, place }),
        Err(problem) => Err(place.problem(key, &problem)),
    }
}
