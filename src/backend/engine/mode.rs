//! How calls travel through an engine that has tasks of its own. Owns the choice; what each means to an engine is its backend's.

/// How the calls of a pool travel through Dask or Ray; what their `mode` takes.
///
/// In every mode a worker is one process of ours in a slot of the engine, which executes one call after the other.
///
/// # Examples
/// ```
/// use polypool::Mode;
///
/// assert_eq!(Mode::default(), Mode::Grouped);
/// # #[cfg(feature = "dask")]
/// let backend = polypool::Dask::new("tcp://127.0.0.1:8786").mode(Mode::PerTask);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Each call is a task of the engine: it waits for its turn among the tasks of others, has the resources of one, and is seen
    /// in the engine's own tools. The slowest, at about the pace of the engine's own client.
    PerTask,
    /// A worker holds its slot, and calls travel by the engine's connections in groups, as large as the traffic makes them.
    #[default]
    Grouped,
    /// A worker holds its slot, and connects to this program itself, over TCP: both sides prove that they have the pool's key.
    /// Calls pass by the engine, which costs the least. The workers' machines must be able to connect to this one.
    Pilot,
}

impl Mode {
    /// The word by which the bridge knows it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::PerTask => "per-task",
            Self::Grouped => "grouped",
            Self::Pilot => "pilot",
        }
    }
}
