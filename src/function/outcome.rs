//! What a function may return that prepares a worker. Owns the trait; when such functions run is others' matter.

use std::fmt;

/// What an initializer may return: nothing, or a `Result` whose error can be printed.
///
/// # Examples
/// ```
/// use polypool::InitOutcome;
///
/// assert_eq!(().outcome(), Ok(()));
/// assert_eq!(Err::<(), _>("no licence").outcome(), Err("no licence".to_owned()));
/// ```
pub trait InitOutcome {
    /// Gives the reason of a failure as text.
    ///
    /// # Errors
    /// The initializer's own.
    fn outcome(self) -> Result<(), String>;
}

impl InitOutcome for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> InitOutcome for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}
