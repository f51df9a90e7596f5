//! What starts the ranks of a pool that does so itself. Owns the command line and its check.

use std::{
    env,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::BuildError,
    inside::{
        agent::{AGENT, CONNECT, KEY},
        mpi::of_launcher,
    },
    wire::control::MARK,
};

/// The program that starts the ranks of an [`Mpi`](crate::Mpi) pool, for pools that start their own.
///
/// The pool runs `mpiexec -n N app`, where `app` is this program and `N` the size of the pool. In each rank an agent connects to the
/// pool, which listens at one address while it lives; each proves to the other that it knows a key that was drawn for it. The key is
/// in the environment of the launcher, which hands it on. Workers that are replaced come through another run with one rank. When the
/// pool is gone, its ranks end, and the launcher with them.
///
/// A rank that is killed may take the other ranks of its run with it, as with MPI; they are replaced.
///
/// # Examples
/// ```no_run
/// use polypool::{Executor, Mpi, MpiLauncher};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     polypool::init();
///     let launcher = MpiLauncher::new("srun").args(["--cpus-per-task=1", "--overlap"]).listen("10.1.0.4:0".parse()?);
///     let pool = Executor::builder().backend(Mpi::new().launcher(launcher)).max_workers(64).build()?;
///     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct MpiLauncher {
    program: PathBuf,
    args: Vec<OsString>,
    listen: SocketAddr,
}

impl MpiLauncher {
    /// Names the program, by its path or as it is found in `PATH`. It must take `-n` with a number and then a command, as `mpiexec`,
    /// `mpirun`, `srun`, `aprun` and `jsrun` do.
    ///
    /// # Examples
    /// ```
    /// let launcher = polypool::MpiLauncher::new("srun");
    /// ```
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    /// Names `mpiexec`, as it is found in `PATH`.
    ///
    /// # Examples
    /// ```
    /// let launcher = polypool::MpiLauncher::mpiexec();
    /// ```
    pub fn mpiexec() -> Self {
        Self::new("mpiexec")
    }

    /// Adds arguments that come first, before the number of ranks.
    ///
    /// # Examples
    /// ```
    /// let launcher = polypool::MpiLauncher::mpiexec().args(["--hostfile", "hosts"]);
    /// ```
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the address of this machine at which the pool listens, and by which its ranks find it; port 0 is any that is free. The
    /// default is `127.0.0.1:0`, which only ranks on this machine reach.
    ///
    /// # Examples
    /// ```
    /// let launcher = polypool::MpiLauncher::mpiexec().listen("10.1.0.4:0".parse()?);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listen
    }

    /// As a user would write it.
    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.listen.ip().is_unspecified() {
            return Err(BuildError::OutOfRange(format!(
                "the ranks cannot find a pool that listens at {}, which is every address of this machine; name the one by which the \
                 others know it",
                self.listen
            )));
        }
        if !is_there(&self.program) {
            return Err(BuildError::Unreachable(format!(
                "there is no `{}` to start ranks with; install Open MPI or MPICH, or name the launcher by its path",
                self.name()
            )));
        }
        Ok(())
    }

    /// The command that starts `n` ranks of this program, each of which becomes an agent that finds its pool by these variables.
    pub(super) fn command(&self, n: usize, program: &OsStr, variables: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if self.names_variables() {
            for name in [MARK, CONNECT, KEY] {
                command.args(["-x", name]);
            }
        }
        command.args(["-n", &n.to_string()]).arg(program);
        // A job within a job is one of its own.
        for (name, _) in env::vars_os().filter(|(name, _)| of_launcher(name)) {
            command.env_remove(name);
        }
        command.env(MARK, AGENT).envs(variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Open MPI hands on to other machines what it is told to; the others, all.
    fn names_variables(&self) -> bool {
        let mut command = Command::new(&self.program);
        let told = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        told.is_ok_and(|told| {
            let told = String::from_utf8_lossy(&told.stdout);
            ["Open MPI", "OpenRTE", "PRRTE"].iter().any(|name| told.contains(name))
        })
    }
}

fn is_there(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_the_remedy() {
        let error = MpiLauncher::new("no-such-launcher").check().expect_err("nowhere");
        assert!(error.to_string().contains("name the launcher by its path"), "{error}");
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = MpiLauncher::new("sh").listen(everywhere).check().expect_err("nobody finds it");
        assert!(error.to_string().contains("every address"), "{error}");
        assert!(MpiLauncher::new("sh").check().is_ok());
    }

    #[test]
    fn the_ranks_are_told_where_to_go_and_nothing_of_another_job() {
        let launcher = MpiLauncher::new("true").args(["--quiet"]);
        let command = launcher.command(3, OsStr::new("/bin/app"), &[(CONNECT, "here:1".to_owned())]);
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, ["--quiet", "-n", "3", "/bin/app"]);
        let value =
            |name: &str| command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
        assert_eq!(value(MARK), Some(OsStr::new(AGENT)));
        assert_eq!(value(CONNECT), Some(OsStr::new("here:1")));
    }
}
