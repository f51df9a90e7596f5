//! How a worker process comes into being. Owns the command, its environment, and what it is told first.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    sync::Arc,
};

#[cfg(feature = "engine")]
use super::far;
use super::{
    Processes,
    body::Body,
    control::send_all,
    crew::Crew,
    ends,
    fork::fork_worker,
    link::{Link, borrowed},
    method::{StartMethod, Transport},
};
#[cfg(feature = "engine")]
use crate::error::TaskError;
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

/// Why there is no process.
pub(super) enum NotStarted {
    System(io::Error),
    #[cfg(feature = "engine")]
    Engine(TaskError),
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Starts a process for this lane, or has one started elsewhere, and sends it what it needs. It need not have read that yet.
pub(super) fn launch(crew: &Crew, lane: &Lane) -> Result<(Body, Arc<OwnedFd>, Link), NotStarted> {
    #[cfg(feature = "engine")]
    if let Some(site) = &crew.options().site {
        let (far, ours, link) = far::bring(crew, lane, site)?;
        return Ok((Body::Far(far), ours, link));
    }
    let (child, ours, link) = start(crew, lane)?;
    Ok((Body::Here(child), ours, link))
}

fn start(crew: &Crew, lane: &Lane) -> io::Result<(Child, Arc<OwnedFd>, Link)> {
    let (link, mut theirs) = Link::new(crew.options().transport, crew.bell())?;
    let welcome = encode(&ToWorker::Welcome(Box::new(welcome(crew, lane)?))).map_err(io::Error::other)?;
    theirs.push(owner()?);
    let (child, ours) = bring(crew, lane)?;
    // It fits into the socket's buffer, or is read by the process; so this comes second.
    match send_all(ours.as_fd(), &welcome, &borrowed(&theirs)) {
        // A process that is gone already says by its end what there is to say.
        Ok(()) | Err(_) => Ok((child, ours, link)),
    }
}

/// Has a process made, and a socket to it.
fn bring(crew: &Crew, lane: &Lane) -> io::Result<(Child, Arc<OwnedFd>)> {
    let socket = || {
        let no_fork = ends::no_fork();
        let (ours, its) = pair()?;
        Ok((its, (ends::ours(ours), no_fork)))
    };
    match crew.options().start_method_now() {
        StartMethod::Loky | StartMethod::LokyInitMain | StartMethod::Spawn => {
            let (its, (ours, _no_fork)) = socket()?;
            let child =
                Child::spawn(command(crew.options(), its)).map_err(|error| explain(crew.options(), error))?;
            Ok((child, ours))
        }
        StartMethod::ForkServer => {
            // What keeps others from forking is let go of when the socket was handed over.
            let (child, ours) = crew.depot().fork(crew, lane, socket, |(ours, _no_fork)| ours)?;
            Ok((child, ours))
        }
        StartMethod::Fork => fork_worker(crew.options()),
    }
}

/// A descriptor of this process, by which others know when it is gone.
pub(super) fn owner() -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?)
}

pub(super) fn command(options: &Processes, socket: OwnedFd) -> Command {
    let mut command = Command::new(executable());
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let in_main = options.start_method_now() == StartMethod::LokyInitMain;
    command.env(MARK, if in_main { IN_MAIN } else { EARLY });
    command.envs(variables(options));
    if let Some(path) = &options.current_dir {
        command.current_dir(path);
    }
    command.stdin(Stdio::from(socket)).process_group(0);
    command
}

/// The variables that workers have beside those of this process.
pub(super) fn variables(options: &Processes) -> Vec<(OsString, OsString)> {
    let threads = options.inner_threads.map(|n| OsString::from(n.to_string()));
    let threads = threads.iter().flat_map(|n| THREADS.map(|name| (name.into(), n.clone())));
    // After those, so that what the user names goes first.
    threads.chain(options.env.iter().cloned()).collect()
}

pub(super) fn welcome(crew: &Crew, lane: &Lane) -> io::Result<Welcome> {
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
            backend: pool.backend().name().to_owned(),
        },
        runtime: pool.port().name().to_owned(),
        initializer,
        memory_limit: crew.options().memory_limit,
        max_payload: crew.options().max_payload,
        spin: settings.spin,
        by_socket: crew.is_elsewhere() || crew.options().transport == Transport::Socket,
        is_copy: crew.is_elsewhere(),
    })
}

/// The system says that something is not there, and not what.
pub(super) fn explain(options: &Processes, error: io::Error) -> io::Error {
    match &options.current_dir {
        Some(path) if !path.is_dir() => io::Error::new(
            error.kind(),
            format!("`current_dir` is {}, and there is no such folder: {error}", path.display()),
        ),
        _ => error,
    }
}
