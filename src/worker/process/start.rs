//! From a fresh process to a worker that is ready. Owns the order of what is done first.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    here::{Here, here},
    outlet::{Outlet, first, listen},
    perform::Bench,
    placing,
    server::serve,
    way::{Server, Way},
};
use crate::{
    error::TaskError,
    function::{Around, Names, open, perform},
    runtime::{Home, block_on, is_in_runtime},
    sys::{
        image::{Identity, identity},
        process::{at_fork_in_child, exit_now, limit_data, move_high, reset_signals, take_stdin},
    },
    task::catch::install_hook,
    wire::control::{Inbox, ToPool, ToWorker, VERSION, Welcome},
};

/// The exit codes of a worker that could not begin. Its pool says more, when it could be told.
const NO_POOL: i32 = 120;
pub(super) const REFUSED: i32 = 121;

/// What was read makes no sense, or nobody can be told of a result. The pool counts the worker as lost.
pub(super) const CONFUSED: i32 = 122;

/// The stack that a thread is given to work on: what the main thread usually has.
const STACK: usize = 8 << 20;

/// Works until there is no more work, and ends the process.
pub(super) fn start() -> ! {
    if !is_in_runtime() {
        work();
    }
    // `init` was called by a future, below which no runtime can be started for those that are tasks.
    let worker = std::thread::Builder::new().name("main".to_owned()).stack_size(STACK).spawn(|| work());
    let _ = worker.map(|worker| worker.join());
    exit_now(NO_POOL)
}

fn work() -> ! {
    reset_signals();
    match take_stdin().and_then(begin) {
        Ok(serve) => serve.run(),
        Err(error) => {
            // The pool hears of the exit code, too, but it may be long gone.
            eprintln!("a worker process of polypool could not begin: {error}");
            exit_now(NO_POOL)
        }
    }
}

/// This process was forked off one that has a life of its own.
static IS_FORK: AtomicBool = AtomicBool::new(false);

/// Ends a worker that is not needed any more.
pub(super) fn depart() -> ! {
    if let Some(here) = here() {
        here.upstream.flush();
        here.states().clear();
    }
    if IS_FORK.load(Ordering::Relaxed) {
        // What is to be done when the program ends, the original does.
        exit_now(0);
    }
    std::process::exit(0)
}

/// Goes on as a worker in a copy that a `fork` made of another process, on its only thread.
pub(crate) fn go_on(socket: OwnedFd) -> ! {
    IS_FORK.store(true, Ordering::Relaxed);
    reset_signals();
    match move_high(socket).and_then(begin) {
        Ok(serve) => serve.run(),
        // Not a word: whoever wrote to the standard error when the copy was made may have left it locked.
        Err(_) => exit_now(NO_POOL),
    }
}

fn begin(socket: OwnedFd) -> io::Result<Server> {
    let socket = Arc::new(socket);
    let mut inbox = Inbox::default();
    let mut fds = Vec::new();
    let welcome = match first(&socket, &mut inbox, &mut fds)? {
        ToWorker::Welcome(welcome) => welcome,
        // It returns in the copies that it makes of this process.
        ToWorker::BeServer(orders) => return serve(socket, inbox, fds, *orders).and_then(begin),
        _ => return Err(io::Error::other("the first message is no welcome")),
    };
    let outlet = Outlet::new(Arc::clone(&socket));
    if let Err(reason) = check(welcome.version, &welcome.program, welcome.is_copy) {
        outlet.say(&ToPool::Refused(reason));
        // Until the pool has read that and closed its end.
        let _ = first::<ToWorker>(&socket, &mut inbox, &mut Vec::new());
        exit_now(REFUSED);
    }
    let fds: Vec<OwnedFd> = fds.into_iter().map(move_high).collect::<io::Result<_>>()?;
    let (mut way, owner) = Way::new(&welcome, fds)?;
    let Welcome { place, runtime, initializer, memory_limit, max_payload, spin, .. } = *welcome;
    let here = {
        let words = way.words(&place);
        Here::settle(place, outlet, words, Home::of(&runtime), max_payload)
    };
    if let Some(bytes) = memory_limit {
        limit_data(bytes)?;
    }
    at_fork_in_child()?;
    // Without it, less is known of an end that should not come.
    let _ = way.report_faults();
    placing::begin();
    listen(socket, owner, inbox)?;
    install_hook();
    if let Some((entry, arg)) = initializer
        && let Err(reason) = initialise(entry, &arg)
    {
        here.outlet.say(&ToPool::InitializerFailed(reason));
        // The pool ends this process; and if it cannot any more, its end does.
        loop {
            std::thread::park();
        }
    }
    let bench = Bench::new(here);
    let server = way.serve(bench, spin);
    here.outlet.say(&ToPool::Ready);
    Ok(server)
}

/// Is the pool of this program, or, where that `is_copy`, of another copy of it?
pub(super) fn check(version: u32, program: &Identity, is_copy: bool) -> Result<(), String> {
    if version != VERSION {
        return Err(format!("the pool speaks version {version} and its worker {VERSION}"));
    }
    let mine = identity().map_err(|error| format!("a worker cannot read its own executable: {error}"))?;
    if mine != *program && !(is_copy && mine.is_same_build(program)) {
        return Err(
            "the worker is not the same program as its pool, so it has not the same functions".to_owned()
        );
    }
    Ok(())
}

pub(super) fn initialise(entry: u64, arg: &[u8]) -> Result<(), String> {
    let mut out = Vec::new();
    let done = perform(entry, arg, &mut out, &NobodyAsks);
    let outcome = done.and_then(|_| open::<Result<(), String>>(out, Names::new()));
    match outcome {
        Ok(outcome) => outcome,
        Err(TaskError::Panicked(panic)) => Err(format!("it panicked: {panic}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The surroundings of an initializer.
struct NobodyAsks;

impl Around for NobodyAsks {
    fn is_stopped(&self) -> bool {
        false
    }

    fn is_trimmed(&self) -> bool {
        false
    }

    fn block_on(&self, future: std::pin::Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        block_on(future);
        true
    }
}
