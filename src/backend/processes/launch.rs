//! How a worker process comes into being. Owns the command, its environment, and what it is told first.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

use super::{
    Processes,
    control::send_all,
    crew::Crew,
    link::{Link, borrowed},
    method::{StartMethod, start_method},
};
use crate::{
    backend::lane::Lane,
    inside::process::{EARLY, IN_MAIN},
    sys::{
        image::{executable, identity},
        process::{Child, pair},
    },
    wire::control::{MARK, Place, ToWorker, VERSION, Welcome, encode},
};

/// The variables by which libraries are told how many threads to use.
const THREADS: [&str; 9] = [
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "POLYPOOL_NUM_WORKERS",
];

/// Starts a process for this lane and sends it what it needs. It need not have read that yet.
pub(super) fn launch(crew: &Crew, lane: &Lane) -> io::Result<(Child, OwnedFd, Link)> {
    let (link, mut theirs) = Link::new()?;
    let welcome = encode(&ToWorker::Welcome(Box::new(welcome(crew, lane)?))).map_err(io::Error::other)?;
    theirs.push(crew.bell().try_clone()?);
    theirs
        .push(rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?);
    let (ours, its) = pair()?;
    // It fits into the socket's buffer, or is read by the process; so this comes second.
    let child = Child::spawn(command(crew.options(), its))?;
    match send_all(ours.as_fd(), &welcome, &borrowed(&theirs)) {
        // A process that is gone already says by its end what there is to say.
        Ok(()) | Err(_) => Ok((child, ours, link)),
    }
}

fn command(options: &Processes, socket: OwnedFd) -> Command {
    let mut command = Command::new(executable());
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let method = options.method.unwrap_or_else(start_method);
    command.env(MARK, if method == StartMethod::LokyInitMain { IN_MAIN } else { EARLY });
    if let Some(n) = options.inner_threads {
        command.envs(THREADS.iter().map(|name| (name, n.to_string())));
    }
    // After those, so that what the user names goes first.
    command.envs(options.env.iter().map(|(key, value)| (key, value)));
    if let Some(path) = &options.current_dir {
        command.current_dir(path);
    }
    command.stdin(Stdio::from(socket)).process_group(0);
    command
}

fn welcome(crew: &Crew, lane: &Lane) -> io::Result<Welcome> {
    let pool = lane.pool();
    let settings = crew.context().settings();
    let initializer = match pool.initializer_call() {
        None => None,
        Some(Ok(call)) => Some((call.entry, call.arg.to_vec())),
        Some(Err(error)) => return Err(io::Error::other(error.clone())),
    };
    Ok(Welcome {
        version: VERSION,
        program: identity()?,
        place: Place {
            index: lane.index() as u64,
            worker: lane.worker(),
            depth: pool.depth() as u64,
            max_workers: pool.max_workers() as u64,
            name: settings.name.clone(),
        },
        runtime: pool.port().name().to_owned(),
        initializer,
        memory_limit: crew.options().memory_limit,
        max_payload: crew.options().max_payload,
        spin: settings.spin,
    })
}
