//! The settings of worker processes. Owns how each reaches the backend; where a build has none, they reach nobody.

use super::Entry;
use crate::executor::ExecutorBuilder;

/// Chooses the backend with these settings, which are all its own.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(super) fn backend(builder: ExecutorBuilder, settings: &[&Entry]) -> ExecutorBuilder {
    use super::{build::size, value::Value};
    use crate::backend::processes::{Processes, Transport};

    let with = |backend: Processes, entry: &&Entry| match (entry.key.name, &entry.value) {
        ("start_method", Value::Word(word)) => match word.parse() {
            Ok(method) => backend.start_method(method),
            Err(_) => backend,
        },
        ("transport", Value::Word("socket")) => backend.transport(Transport::Socket),
        ("idle_timeout", Value::Time(Some(time))) => backend.idle_timeout(*time),
        ("max_tasks_per_worker", Value::Number(Some(n))) => backend.max_tasks_per_worker(size(*n)),
        ("max_memory_growth", Value::Number(Some(n))) => backend.max_memory_growth(*n),
        ("memory_limit", Value::Number(Some(n))) => backend.memory_limit(*n),
        ("max_payload", Value::Number(Some(n))) => backend.max_payload(*n),
        ("env", Value::Table(table)) => {
            table.iter().fold(backend, |backend, (name, value)| backend.env(name, value))
        }
        ("current_dir", Value::Text(path)) => backend.current_dir(path),
        ("grace_period", Value::Time(Some(time))) => backend.grace_period(*time),
        ("inner_threads", Value::Number(Some(n))) => backend.inner_threads(size(*n)),
        ("prefetch", Value::Flag(yes)) => backend.prefetch(*yes),
        _ => backend,
    };
    builder.backend(settings.iter().fold(Processes::new(), with))
}

#[cfg(not(all(feature = "processes", target_os = "linux")))]
pub(super) fn backend(builder: ExecutorBuilder, _settings: &[&Entry]) -> ExecutorBuilder {
    builder
}
