//! The list of settings for people: what each is and where it comes from. It is TOML, with the sources in comments.

use std::fmt;

use super::{
    Entry, PoolConfig,
    build::Settled,
    key::{KEYS, Key, N_WORKERS, Of, PARALLEL_BACKEND},
    value::Value,
};
use crate::{executor::default_backend, parallel::default_workers};

/// A line for each setting, with its value and where that comes from. What is not in effect, and what nobody has said, is a comment.
/// So it may be copied into a file, below `[parallel]`, and means the same there; but for `env`, which may hold secrets: of its variables
/// only the names are shown, in a comment.
///
/// # Examples
/// ```
/// use polypool::config::PoolConfig;
///
/// let config = PoolConfig::new()
///     .toml_str("[parallel]\nn_workers = 4\nparallel_backend = 'threads'", "app.toml")?
///     .environment_from([("POLYPOOL_N_WORKERS".into(), "3".into())])?;
/// let text = config.to_string();
/// let mut lines = text.lines();
/// assert_eq!(lines.next(), Some("# debug = false  # default"));
/// assert_eq!(lines.next(), Some("n_workers = 3  # POLYPOOL_N_WORKERS, over 4 from app.toml, line 2"));
/// assert_eq!(lines.next(), Some(r#"parallel_backend = "threads"  # app.toml, line 3"#));
/// assert_eq!(lines.next(), Some(r#"# cancel = "pending"  # default"#));
/// # Ok::<(), polypool::config::ConfigError>(())
/// ```
impl fmt::Display for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = self.settle();
        let shown = settled.shown();
        let name = settled.backend_name().map(|(name, _)| name).unwrap_or_default();
        let mut begin = "";
        for key in KEYS {
            if let Some((_, value, entry)) = shown.iter().find(|(of, ..)| *of == key) {
                let comment = if matches!(value, Value::Table(_)) { "# " } else { "" };
                write!(f, "{begin}{comment}{} = {}  # {}", key.name, Shown(value), entry.place)?;
                if entry.key != key {
                    write!(f, ", `{} = {}`", entry.key.name, Shown(&entry.value))?;
                }
                self.write_below(f, entry)?;
            } else if let Some((entry, why)) = settled.aside.iter().find(|(entry, _)| entry.key == key) {
                write!(f, "{begin}# {} = {}  # {}; {why}", key.name, Shown(&entry.value), entry.place)?;
            } else if let Some(default) = default(key, &settled, &name) {
                write!(f, "{begin}# {} = {default}  # default", key.name)?;
            } else {
                continue;
            }
            begin = "\n";
        }
        Ok(())
    }
}

impl PoolConfig {
    /// What the setting stands over.
    fn write_below(&self, f: &mut fmt::Formatter<'_>, entry: &Entry) -> fmt::Result {
        for below in self.all(entry.key).rev().filter(|below| below.rank < entry.rank) {
            write!(f, ", over {} from {}", Shown(&below.value), below.place)?;
        }
        Ok(())
    }
}

/// A value as others may see it.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value::Table(table) = self.0 else { return self.0.fmt(f) };
        if table.is_empty() {
            return self.0.fmt(f);
        }
        let names: Vec<_> = table.keys().map(|name| format!("{name:?} = …")).collect();
        write!(f, "{{ {} }}", names.join(", "))
    }
}

impl<'a> Settled<'a> {
    /// What is in effect, in the order of the list, and said by keys that do not contradict each other.
    pub(super) fn shown(&self) -> Vec<(&'static Key, Value, &'a Entry)> {
        let mode = self.mode.map(|(_, entry)| (entry.key, entry.value.clone(), entry));
        let workers = self.workers.map(|(n, entry)| (N_WORKERS, Value::Workers(n), entry));
        let backend =
            self.backend.map(|(name, entry)| (PARALLEL_BACKEND, Value::Text(name.to_owned()), entry));
        let options = self.options.iter().map(|entry| (entry.key, entry.value.clone(), *entry));
        mode.into_iter().chain(workers).chain(backend).chain(options).collect()
    }
}

/// What a setting is that nobody has made; `None` where that is of no interest.
fn default(key: &Key, settled: &Settled<'_>, backend: &str) -> Option<String> {
    let is_chosen = settled.mode.is_some();
    match (key.name, key.default) {
        ("n_workers", _) if !is_chosen && backend != "serial" => {
            default_workers().ok().map(|n| n.to_string())
        }
        ("parallel_backend", _) if !is_chosen => Some(Value::Text(default_backend()).to_string()),
        (_, "") => None,
        (_, default) if key.of != Of::Processes || backend == "processes" => Some(default.to_owned()),
        _ => None,
    }
}
