//! The only list of backends: which names there are, and what each means in this build.

use std::sync::Arc;

use crate::{
    backend::{
        Backend, BackendSpec, Spec, is_registered, make_registered, registered_names, serial::Serial,
        tasks::Tasks, threads::Threads,
    },
    error::BuildError,
};

/// The names of one backend, the plain one first, and how it is made.
struct Known {
    names: &'static [&'static str],
    /// None for what this build is without.
    make: Option<fn() -> Arc<dyn Backend>>,
    /// How it is made at an address, `name://…`, if it can be.
    at: Option<At>,
}

type At = fn(&str) -> Arc<dyn Backend>;

const KNOWN: &[Known] = &[
    Known { names: &["serial", "sync"], make: Some(|| Arc::new(Serial::new())), at: None },
    Known { names: &["threads", "thread"], make: Some(|| Arc::new(Threads::new())), at: None },
    Known { names: &["tasks", "async"], make: Some(|| Arc::new(Tasks::new())), at: None },
    Known {
        names: &["processes", "loky", "multiprocess", "multiprocessing", "concurrent.futures", "joblib"],
        #[cfg(all(feature = "processes", target_os = "linux"))]
        make: Some(|| Arc::new(crate::backend::processes::Processes::new())),
        #[cfg(not(all(feature = "processes", target_os = "linux")))]
        make: None,
        at: None,
    },
    Known {
        names: &["mpi"],
        #[cfg(all(feature = "mpi", target_os = "linux"))]
        make: Some(|| Arc::new(crate::backend::mpi::Mpi::new())),
        #[cfg(not(all(feature = "mpi", target_os = "linux")))]
        make: None,
        at: None,
    },
    Known {
        names: &["dask"],
        #[cfg(all(feature = "dask", target_os = "linux"))]
        make: Some(|| Arc::new(crate::backend::dask::Dask::default())),
        #[cfg(not(all(feature = "dask", target_os = "linux")))]
        make: None,
        #[cfg(all(feature = "dask", target_os = "linux"))]
        at: Some(|address| Arc::new(crate::backend::dask::Dask::new(address))),
        #[cfg(not(all(feature = "dask", target_os = "linux")))]
        at: None,
    },
    Known {
        names: &["ray"],
        #[cfg(all(feature = "ray", target_os = "linux"))]
        make: Some(|| Arc::new(crate::backend::ray::Ray::default())),
        #[cfg(not(all(feature = "ray", target_os = "linux")))]
        make: None,
        #[cfg(all(feature = "ray", target_os = "linux"))]
        at: Some(|address| Arc::new(crate::backend::ray::Ray::new(address))),
        #[cfg(not(all(feature = "ray", target_os = "linux")))]
        at: None,
    },
];

/// The backend of a pool for which none is named, where nobody chose another.
pub(super) const DEFAULT: &str =
    if cfg!(all(feature = "processes", target_os = "linux")) { "processes" } else { "threads" };

pub(super) fn resolve(spec: BackendSpec) -> Result<Arc<dyn Backend>, BuildError> {
    match spec.0 {
        Spec::Value(backend) => Ok(backend),
        Spec::Named(name) => resolve_name(&name),
    }
}

fn resolve_name(name: &str) -> Result<Arc<dyn Backend>, BuildError> {
    match find(name)? {
        Found::Ours { make, .. } => Ok(make()),
        Found::At(make) => Ok(make(name)),
        Found::Registered => make_registered(name).unwrap_or_else(|| Err(unknown(name))),
    }
}

/// Tells whether a pool could be built with a backend of this name, or at this address, and makes nothing.
pub(crate) fn check_name(name: &str) -> Result<(), BuildError> {
    find(name).map(drop)
}

/// The plain name of the backend that has this one: aliases have one pool among them. Each address has one of its own.
pub(crate) fn plain_name(name: &str) -> Result<String, BuildError> {
    Ok(match find(name)? {
        Found::Ours { plain, .. } => plain.to_owned(),
        Found::At(_) | Found::Registered => name.to_owned(),
    })
}

enum Found {
    Ours { plain: &'static str, make: fn() -> Arc<dyn Backend> },
    At(At),
    Registered,
}

fn find(name: &str) -> Result<Found, BuildError> {
    if let Some(known) = KNOWN.iter().find(|known| known.names.contains(&scheme(name))) {
        let plain = known.names[0];
        return match (known.make, known.at) {
            (None, _) => Err(BuildError::FeatureDisabled(plain.to_owned())),
            (Some(make), _) if scheme(name) == name => Ok(Found::Ours { plain, make }),
            (_, Some(make)) => Ok(Found::At(make)),
            (Some(_), None) => Err(BuildError::OutOfRange(format!(
                "`{name}` is an address, and the backend `{plain}` takes none"
            ))),
        };
    }
    if is_registered(name) { Ok(Found::Registered) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> BuildError {
    let known = KNOWN.iter().filter(|known| known.make.is_some()).filter_map(|known| known.names.first());
    let known = known.map(|&name| name.to_owned()).chain(registered_names()).collect();
    BuildError::UnknownBackend { name: name.to_owned(), known }
}

/// What comes before `://` in an address, and the whole of any other name.
fn scheme(name: &str) -> &str {
    name.split_once("://").map_or(name, |(scheme, _)| scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_backends_that_have_one() {
        assert!(matches!(resolve_name("threads://here"), Err(BuildError::OutOfRange(_))));
        let dask = resolve_name("dask://here:1");
        if cfg!(all(feature = "dask", target_os = "linux")) {
            assert_eq!(dask.expect("at an address").name(), "dask");
            assert_eq!(plain_name("dask://here:1").expect("known"), "dask://here:1");
        } else {
            assert!(matches!(dask, Err(BuildError::FeatureDisabled(name)) if name == "dask"));
        }
        assert!(matches!(resolve_name("nope://here"), Err(BuildError::UnknownBackend { .. })));
    }

    #[test]
    fn aliases_have_one_plain_name() {
        assert_eq!(plain_name("thread").expect("known"), "threads");
        assert_eq!(plain_name("sync").expect("known"), "serial");
        assert!(check_name("nope").is_err());
    }

    #[test]
    fn every_name_of_ours_is_reserved_and_every_reserved_name_is_ours() {
        let mut ours: Vec<_> = KNOWN.iter().flat_map(|known| known.names).copied().collect();
        let mut reserved = crate::backend::RESERVED.to_vec();
        ours.sort_unstable();
        reserved.sort_unstable();
        assert_eq!(ours, reserved);
    }
}
