//! The processes of an MPI job that this program is. Owns who of them does what: rank 0 is the program, the others hold workers
//! for its pools and do nothing else. Bytes go between them through the pump, one for each process, on the thread that has MPI.

use std::{
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::Once,
};

mod channel;
mod hub;
mod launch;
mod message;
mod pump;
mod rank;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    hub::{connect, gone, open, ranks},
    launch::of_launcher,
};
use super::agent::AGENT;
use crate::{
    sys::{
        image::executable,
        mpi::ignore_broken_pipes,
        process::{set_env, thread_count},
    },
    wire::control::MARK,
};

/// Finds out which process of an MPI job this is, once, before anything else is done. A rank that is not the first does not
/// return from here: it holds workers until the first is done. The first goes on when MPI has begun; where there is no job, it
/// does so at once.
pub(crate) fn enter() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(launch) = launch::launch() else { return };
        if launch.is_worker() {
            ignore_broken_pipes();
            // Not at once: MPICH takes leave of its launcher in what is done at an exit.
            std::process::exit(rank::serve(&launch, agent))
        }
        if launch.size != Some(1) {
            // Who is started from here has the variables of the job, too, and is not of it.
            if thread_count().is_ok_and(|n| n == 1) {
                set_env(launch::INHERITED.as_ref(), launch::identity().as_ref());
            }
            hub::begin(&launch);
        }
    });
}

/// The command that starts an agent with this socket: this program, which is not of the MPI job.
fn agent(socket: OwnedFd) -> Command {
    let mut command = Command::new(executable());
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_launcher(name)) {
        command.env_remove(name);
    }
    command.env(MARK, AGENT).stdin(Stdio::from(socket)).process_group(0);
    command
}

/// What a rank says before it ends because something is wrong.
fn complain(rank: Option<usize>, error: &io::Error) {
    let rank = rank.map_or_else(|| "a spawned process".to_owned(), |rank| format!("rank {rank}"));
    eprintln!("polypool: {rank} of the MPI job cannot work: {error}");
}

/// The arguments of a process that is spawned: what says that it is one.
fn spawn_args() -> [&'static str; 1] {
    [launch::SPAWNED]
}

/// The program as another process of this machine, or of one with the same files, can start it.
pub(crate) fn program() -> io::Result<OsString> {
    let path = std::env::current_exe()?;
    if !path.is_file() {
        return Err(io::Error::other(format!(
            "{} is not there any more, so that MPI cannot start it: was it rebuilt?",
            path.display()
        )));
    }
    Ok(path.into_os_string())
}
