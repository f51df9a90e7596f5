//! Settings from the environment. Owns which variables `POLYPOOL_…` there are.

use std::ffi::OsString;

use super::{
    Found,
    key::{KEYS, Key, N_WORKERS, nearest},
    place::{ALL_POOLS, Place, plain},
    read as read_value,
    value::{Raw, Value},
};
use crate::parallel::own_workers;

const PREFIX: &str = "POLYPOOL_";

/// What other rooms read, or set in the environment of their workers.
pub(super) const OTHERS: [&str; 10] = [
    "POLYPOOL_MAX_CPU_COUNT",
    "POLYPOOL_MAX_DEPTH",
    "POLYPOOL_PYTHON",
    "POLYPOOL_CACHE_DIR",
    "POLYPOOL_MPI_LIBRARY",
    "POLYPOOL_MPI",
    "POLYPOOL_WORKER",
    "POLYPOOL_CONNECT",
    "POLYPOOL_KEY",
    "POLYPOOL_MPI_JOB",
];

pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Found>, Vec<String>> {
    let ours = variables
        .into_iter()
        .filter(|(name, value)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) && !value.is_empty());
    // The environment has no order; errors have one.
    let mut ours: Vec<_> = ours.map(|(name, value)| (plain(&name.to_string_lossy()), value)).collect();
    ours.sort();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in ours {
        if OTHERS.contains(&name.as_str()) {
            continue;
        }
        let Some(key) = key(&name) else {
            problems.push(unknown(&name));
            continue;
        };
        let read = if name == ALL_POOLS {
            // Also for pools that no configuration has made: what it may be, is said where those are.
            let n = own_workers(&value).map_err(|error| plain(&error.to_string()));
            n.map(|n| Found { key, value: Value::Workers(Some(n)), place: Place::Variable(name) })
        } else if let Ok(value) = value.into_string() {
            read_value(key, Raw::untyped(&value, key.kind), Place::Variable(name))
        } else {
            Err(format!("{name} in the environment: not UTF-8"))
        };
        match read {
            Ok(value) => found.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    // In order of their names, the one that is for all pools comes last.
    let workers: Vec<_> = found.iter().filter(|found| found.key == N_WORKERS).collect();
    if let [own, all] = workers[..] {
        if own.value != all.value {
            problems.push(format!(
                "{} and {ALL_POOLS} in the environment are two names of one setting, with different values; unset one of them",
                variable(own.key)
            ));
        }
        found.retain(|found| !found.place.is_of_all_pools());
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

pub(super) fn variable(key: &Key) -> String {
    format!("{PREFIX}{}", key.name.to_uppercase())
}

fn key(name: &str) -> Option<&'static Key> {
    let ours = || KEYS.iter().find(|key| variable(key) == name);
    if name == ALL_POOLS { Some(N_WORKERS) } else { ours() }
}

fn unknown(name: &str) -> String {
    let known = || KEYS.iter().map(variable).chain(OTHERS.iter().take(6).map(|name| (*name).to_owned()));
    let without_prefix = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let instead = match nearest(&without_prefix(name), known().map(|name| without_prefix(&name)), 0.5) {
        Some(known) => format!("did you mean {PREFIX}{known}?"),
        None => format!("nobody reads it; known are {}", known().collect::<Vec<_>>().join(", ")),
    };
    format!("unknown variable {name} in the environment: {instead}")
}
