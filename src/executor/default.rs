//! Which backend a pool has where none is named. Owns the program's choice and a thread's, and what the `parallel=` setting
//! remembers beside them; builds nothing.

use std::{
    cell::RefCell,
    sync::{Mutex, MutexGuard},
};

use super::{
    Executor,
    backends::{DEFAULT, check_name, plain_name},
};
use crate::{
    error::BuildError,
    sys::{copy::PerCopy, lock::lock},
};

#[derive(Default)]
struct Choice {
    named: Option<String>,
    remembered: Option<Remembered>,
    /// How often `named` was set.
    times: u64,
}

/// The backend whose pool was built last for a `parallel=` setting.
#[derive(Clone)]
pub(crate) struct Remembered {
    /// Its plain name.
    name: String,
    pub(crate) is_distributed: bool,
}

/// A lock is nothing to bring along by a fork.
static CHOICE: PerCopy<Mutex<Choice>> =
    PerCopy::new(Mutex::new(Choice { named: None, remembered: None, times: 0 }), Mutex::default);

thread_local! {
    static SCOPES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn choice() -> MutexGuard<'static, Choice> {
    lock(CHOICE.get())
}

/// A thread that is about to end may have no scopes any more.
fn scoped() -> Option<String> {
    SCOPES.try_with(|scopes| scopes.borrow().last().cloned()).ok()?
}

/// Chooses the backend of pools for which none is named, in the whole process: those of [`Executor::builder`](crate::Executor::builder),
/// of [`reusable`](crate::reusable()), and of [`Parallel::On`](crate::Parallel::On) and its like, which forget what they had in its place. Pools
/// that are there stay as they are. Worker processes have a choice of their own, and begin without one.
///
/// # Errors
/// [`BuildError::UnknownBackend`], [`BuildError::FeatureDisabled`] or [`BuildError::OutOfRange`] for a name that no pool could be built
/// with; then the choice stays as it was.
///
/// # Examples
/// ```
/// polypool::set_default_backend("threads")?;
/// assert_eq!(polypool::Executor::builder().build()?.backend_name(), "threads");
///
/// assert!(polypool::set_default_backend("thread-pool").is_err());
/// assert_eq!(polypool::default_backend(), "threads");
/// # Ok::<(), polypool::BuildError>(())
/// ```
pub fn set_default_backend(name: &str) -> Result<(), BuildError> {
    check_name(name)?;
    let name = name.to_owned();
    let mut choice = choice();
    choice.named = Some(name);
    choice.remembered = None;
    choice.times += 1;
    Ok(())
}

/// Gives the backend of pools for which none is named: that of the innermost [`with_default_backend`] on this thread, else that of
/// [`set_default_backend`], else `processes`, or `threads` where this build is without.
///
/// # Examples
/// ```
/// # #[cfg(all(feature = "processes", target_os = "linux"))]
/// assert_eq!(polypool::default_backend(), "processes");
/// ```
#[must_use]
pub fn default_backend() -> String {
    scoped().or_else(|| choice().named.clone()).unwrap_or_else(|| DEFAULT.to_owned())
}

/// Calls `f` with another default backend, for this thread and this call only. Calls may be nested; a panic ends the choice, too.
/// A future that `f` returns is polled later, and no longer under it.
///
/// # Errors
/// As [`set_default_backend`]; then `f` is not called.
///
/// # Examples
/// ```
/// use polypool::{Parallel, with_default_backend};
///
/// let pool = with_default_backend("threads", || Parallel::On.executor())??;
/// assert_eq!(pool.backend_name(), "threads");
/// # Ok::<(), polypool::BuildError>(())
/// ```
pub fn with_default_backend<T>(name: &str, f: impl FnOnce() -> T) -> Result<T, BuildError> {
    struct Scope;
    impl Drop for Scope {
        fn drop(&mut self) {
            let _ = SCOPES.try_with(|scopes| scopes.borrow_mut().pop());
        }
    }
    check_name(name)?;
    let _scope = SCOPES.try_with(|scopes| scopes.borrow_mut().push(name.to_owned())).map(|()| Scope);
    Ok(f())
}

/// The backend that a `parallel=` setting means which names none.
pub(crate) struct Preferred {
    /// Its plain name.
    pub(crate) name: String,
    pub(crate) remembered: Option<Remembered>,
    /// None for a choice that ends with a call, and is nothing to remember.
    moment: Option<Moment>,
}

impl Preferred {
    pub(crate) fn now() -> Result<Self, BuildError> {
        let scoped = scoped().map(|name| plain_name(&name)).transpose()?;
        let (moment, remembered, named) = {
            let choice = choice();
            (Moment(choice.times), choice.remembered.clone(), choice.named.clone())
        };
        Ok(match (scoped, remembered) {
            (Some(name), remembered) => {
                Self { remembered: remembered.filter(|of| of.name == name), name, moment: None }
            }
            (None, Some(of)) => Self { name: of.name.clone(), remembered: Some(of), moment: Some(moment) },
            (None, None) => {
                let name = plain_name(named.as_deref().unwrap_or(DEFAULT))?;
                Self { name, remembered: None, moment: Some(moment) }
            }
        })
    }

    /// This pool was built.
    pub(crate) fn remember(self, pool: &Executor) {
        if let Some(moment) = self.moment {
            moment.remember(self.name, pool);
        }
    }
}

/// When somebody looked at the choice.
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(choice().times)
    }

    /// This pool was built, of the backend with this plain name. It does not outrank a default that was set meanwhile. What works in
    /// this process is for those who name it.
    pub(crate) fn remember(self, name: String, pool: &Executor) {
        let can = pool.capabilities();
        let mut choice = choice();
        if !can.in_process && choice.times == self.0 {
            choice.remembered = Some(Remembered { name, is_distributed: can.distributed });
        }
    }
}
