//! The backends that users add, by name. Owns the list; who may take which name is decided here, what a name means elsewhere.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use super::{Backend, WorkerKind};
use crate::{error::BuildError, sys::lock::lock};

type Factory = Arc<dyn Fn() -> Result<Arc<dyn Backend>, BuildError> + Send + Sync>;

struct Entry {
    name: String,
    kind: WorkerKind,
    factory: Factory,
}

/// What stands beside the names of backends where those are chosen by text; numbers do, too.
const SETTINGS: [&str; 8] = ["off", "false", "no", "none", "on", "true", "yes", "auto"];

static REGISTRY: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Makes a backend known under a name, for [`ExecutorBuilder::backend`](crate::ExecutorBuilder::backend) and everything else
/// that takes a backend's name. The factory is called for each pool that is built with it.
///
/// # Errors
/// [`BuildError::NameTaken`] when the name is that of another backend, of ours or registered before;
/// [`BuildError::OutOfRange`] when it is empty, looks like an address, or means something else to [`Parallel`](crate::Parallel), as `auto`
/// and numbers do.
///
/// # Examples
/// ```
/// use polypool::{Executor, Threads, backend};
///
/// backend::register("house", backend::WorkerKind::Threads, || Ok::<_, std::io::Error>(Threads::new()))?;
/// let pool = Executor::builder().backend("house").max_workers(2).build()?;
/// assert!(backend::register("house", backend::WorkerKind::Threads, || Ok::<_, std::io::Error>(Threads::new())).is_err());
/// # Ok::<(), polypool::BuildError>(())
/// ```
pub fn register<B, E>(
    name: &str,
    kind: WorkerKind,
    factory: impl Fn() -> Result<B, E> + Send + Sync + 'static,
) -> Result<(), BuildError>
where
    B: Backend,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if name.is_empty() || name.contains([':', '/', ' ']) {
        return Err(BuildError::OutOfRange(format!(
            "a backend cannot be named `{name}`: choose a word without colons, slashes and spaces"
        )));
    }
    if SETTINGS.iter().any(|word| word.eq_ignore_ascii_case(name)) || name.parse::<f64>().is_ok() {
        return Err(BuildError::OutOfRange(format!(
            "a backend cannot be named `{name}`, which is a setting where backends are chosen: choose another word"
        )));
    }
    let own_name = name.to_owned();
    let factory: Factory = Arc::new(move || match factory() {
        Ok(backend) => Ok(Arc::new(backend)),
        Err(error) => Err(BuildError::Factory { name: own_name.clone(), source: error.into() }),
    });
    let mut registry = lock(&REGISTRY);
    if super::RESERVED.contains(&name) || registry.iter().any(|entry| entry.name == name) {
        return Err(BuildError::NameTaken(name.to_owned()));
    }
    registry.push(Entry { name: name.to_owned(), kind, factory });
    Ok(())
}

/// Makes a registered backend.
pub(crate) fn make(name: &str) -> Option<Result<Arc<dyn Backend>, BuildError>> {
    let (kind, factory) = {
        let registry = lock(&REGISTRY);
        let entry = registry.iter().find(|entry| entry.name == name)?;
        (entry.kind, Arc::clone(&entry.factory))
    };
    Some(factory().and_then(|backend| {
        if backend.capabilities().in_process == (kind == WorkerKind::Threads) {
            Ok(backend)
        } else {
            Err(BuildError::Unsupported(format!(
                "the backend `{name}` was registered as {kind:?}, but its capabilities say otherwise; \
                 `in_process` goes with WorkerKind::Threads"
            )))
        }
    }))
}

/// Tells whether a backend is registered under this name, and makes nothing.
pub(crate) fn is_registered(name: &str) -> bool {
    lock(&REGISTRY).iter().any(|entry| entry.name == name)
}

pub(crate) fn names() -> Vec<String> {
    lock(&REGISTRY).iter().map(|entry| entry.name.clone()).collect()
}
