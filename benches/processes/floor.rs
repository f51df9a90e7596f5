//! What cannot be beaten by much: processes that this program starts and talks to without any pool between them. Owns what these
//! do, and the way in.

use std::{
    env,
    io::{ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, ExitCode, Stdio},
};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory};
use serde::{Deserialize, Serialize};

use crate::work;

/// The first argument of a process that answers 8 bytes with 8 bytes; its standard input is a socket.
const PONG: &str = "--floor-pong";
/// The first argument of a process that sends one byte as soon as it is in `main`, and stays.
const HELLO: &str = "--floor-hello";
/// The first argument of a process that works for a raw ipc-channel, whose name is the second.
const IPC: &str = "--floor-ipc";

/// The part of `main` for such a process.
pub(crate) fn enter() -> Option<ExitCode> {
    let mut args = env::args().skip(1);
    match args.next()?.as_str() {
        PONG => pong(),
        HELLO => hello(),
        IPC => perform(args.next()?),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

// ---- over a socketpair

/// A process that was started directly, and the socket to it.
pub(crate) struct Raw {
    pub(crate) process: Child,
    socket: UnixStream,
}

impl Raw {
    pub(crate) fn pong() -> Self {
        Self::start(PONG)
    }

    pub(crate) fn hello() -> Self {
        Self::start(HELLO)
    }

    /// `Command` uses `posix_spawn` where nothing is asked of it that needs more.
    fn start(what: &str) -> Self {
        let (socket, theirs) = UnixStream::pair().expect("there are descriptors");
        let mut command = Command::new("/proc/self/exe");
        command.arg(what).stdin(Stdio::from(OwnedFd::from(theirs)));
        Self { process: command.spawn().expect("this program can be started again"), socket }
    }

    pub(crate) fn ping(&mut self, n: u64) -> u64 {
        let mut bytes = n.to_ne_bytes();
        self.socket.write_all(&bytes).expect("the other end is open");
        self.socket.read_exact(&mut bytes).expect("there is an answer");
        u64::from_ne_bytes(bytes)
    }

    /// False when the process has closed its end instead.
    pub(crate) fn answers(&mut self) -> bool {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(read) => read == 1,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the socket fails: {error}"),
        }
    }

    pub(crate) fn end(mut self) {
        drop(self.socket);
        self.process.wait().expect("a child can be waited for");
    }
}

fn stdin_as_socket() -> UnixStream {
    let fd = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().expect("there are descriptors");
    UnixStream::from(fd)
}

fn pong() {
    let mut socket = stdin_as_socket();
    let mut bytes = [0; 8];
    while socket.read_exact(&mut bytes).is_ok() {
        let answer = work::trifle(u64::from_ne_bytes(bytes));
        if socket.write_all(&answer.to_ne_bytes()).is_err() {
            return;
        }
    }
}

fn hello() {
    let mut socket = stdin_as_socket();
    let mut byte = [0];
    if socket.write_all(&byte).is_ok() {
        // Until the other end is closed.
        let _ = socket.read(&mut byte);
    }
}

// ---- over ipc-channel

#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    One(u64),
    Chunk(Vec<u64>),
    Echo(IpcSharedMemory),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    One(u64),
    Chunk(Vec<u64>),
    Echo(IpcSharedMemory),
}

type Greeting = (IpcSender<Call>, IpcReceiver<Reply>);

/// A process, a channel to it and one back: what a user of ipc-channel has before writing a pool.
pub(crate) struct IpcWorker {
    process: Child,
    calls: IpcSender<Call>,
    pub(crate) replies: IpcReceiver<Reply>,
}

impl IpcWorker {
    /// They start at the same time.
    pub(crate) fn start(n: usize) -> Vec<Self> {
        let started: Vec<(IpcOneShotServer<Greeting>, Child)> = (0..n)
            .map(|_| {
                let (server, name) = IpcOneShotServer::new().expect("there are descriptors");
                let mut command = Command::new("/proc/self/exe");
                command.args([IPC, &name]).stdin(Stdio::null());
                (server, command.spawn().expect("this program can be started again"))
            })
            .collect();
        let greet = |(server, process): (IpcOneShotServer<Greeting>, Child)| {
            let (_, (calls, replies)) = server.accept().expect("the process connects");
            Self { process, calls, replies }
        };
        started.into_iter().map(greet).collect()
    }

    pub(crate) fn send(&self, call: Call) {
        self.calls.send(call).expect("the process listens");
    }

    pub(crate) fn reply(&self) -> Reply {
        self.replies.recv().expect("the process answers")
    }

    pub(crate) fn end(self) {
        let Self { mut process, calls, replies } = self;
        drop((calls, replies));
        process.wait().expect("a child can be waited for");
    }

    /// The process is not waited for: it ends when the sender is dropped, at the latest with this program.
    pub(crate) fn into_ends(self) -> (IpcSender<Call>, IpcReceiver<Reply>) {
        (self.calls, self.replies)
    }
}

fn perform(name: String) {
    let (calls, their_calls) = {
        let (sender, receiver) = ipc::channel::<Call>().expect("there are descriptors");
        (receiver, sender)
    };
    let (replies, their_replies) = ipc::channel::<Reply>().expect("there are descriptors");
    let server = IpcSender::<Greeting>::connect(name).expect("the server is there");
    server.send((their_calls, their_replies)).expect("the server listens");
    while let Ok(call) = calls.recv() {
        let reply = match call {
            Call::One(n) => Reply::One(work::trifle(n)),
            Call::Chunk(chunk) => Reply::Chunk(work::trifles(chunk)),
            // What came is only mapped: a function that gives its argument back has to copy it.
            Call::Echo(data) => Reply::Echo(IpcSharedMemory::from_bytes(&data)),
        };
        if replies.send(reply).is_err() {
            return;
        }
    }
}
