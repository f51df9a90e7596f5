//! The agent: this program in a slot of an engine, perhaps on another machine, where it owns one worker process. Owns that process, and
//! that it ends with its pool; what passes between the two is `relay`'s.
//!
//! To the worker, the agent is its pool: it has the other ends of its sockets and pipes, and when it is gone, so is the worker. To the
//! pool it is one stream of frames (`wire::relay`), over a socket that it was given as its standard input, or that it opens itself to
//! where it is told. When that ends, the agent kills the worker with its group, and leaves.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, process::CommandExt},
    },
    process::{Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    pipe::{PipeFlags, pipe_with},
};

pub(crate) mod connect;
mod outbox;
mod relay;

pub(crate) use outbox::Outbox;

use self::relay::Relay;
use super::process::EARLY;
use crate::{
    sys::{
        image::executable,
        process::{Child, exit_now, pair, recv_some, reset_signals, send_with, take_env, take_stdin},
    },
    wire::{
        control::{MARK, VERSION},
        relay::{Begin, Incoming, frame, to_agent, to_pool},
    },
};

/// The mark of a process that is to be an agent.
pub(crate) const AGENT: &str = "agent";

/// Where an agent finds its pool, and by what each of the two knows the other; if it is not told otherwise.
pub(crate) const CONNECT: &str = "POLYPOOL_CONNECT";
pub(crate) const KEY: &str = "POLYPOOL_KEY";

/// The exit codes of an agent: there is no pool, or no worker.
const NO_POOL: i32 = 120;
const NO_WORKER: i32 = 121;

/// What this process was told of its pool, before `main`.
pub(super) fn start() -> ! {
    reset_signals();
    let pool = take_env(CONNECT).zip(take_env(KEY));
    let found = match pool {
        None => take_stdin().map(|stream| (stream, None)),
        Some((address, key)) => {
            let slot = take_stdin().ok().filter(is_slot);
            connect::connect(&address.to_string_lossy(), &key.to_string_lossy()).map(|stream| (stream, slot))
        }
    };
    match found {
        Ok((stream, slot)) => run(stream, slot),
        Err(error) => {
            eprintln!("an agent of polypool found no pool: {error}");
            exit_now(NO_POOL)
        }
    }
}

/// Does the end of this mean something?
fn is_slot(fd: &OwnedFd) -> bool {
    use rustix::fs::FileType;
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Socket | FileType::Fifo))
}

/// Has a worker for whoever is at the other end of the stream, until either is gone, or the slot is closed.
fn run(stream: OwnedFd, slot: Option<OwnedFd>) -> ! {
    let begun = first(&stream).and_then(|(begin, incoming)| {
        let staff = Staff::new(&begin)?;
        Ok((staff, incoming, begin.watches_memory))
    });
    match begun {
        Ok((staff, incoming, watches_memory)) => {
            Relay::new(stream, slot, staff, incoming, watches_memory).run();
            exit_now(0)
        }
        Err(error) => {
            let text = error.to_string();
            let _ = send_all(&stream, &frame(to_pool::FAILED, &[text.as_bytes()]));
            let _ = rustix::net::shutdown(&stream, rustix::net::Shutdown::Write);
            hear_the_end(&stream);
            exit_now(NO_WORKER)
        }
    }
}

fn send_all(to: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += send_with(to, &bytes[sent..], &[])?;
    }
    Ok(())
}

/// Until the pool has read all, and hung up. What is closed with something unread in it takes along what was written.
fn hear_the_end(stream: &OwnedFd) {
    let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    loop {
        let mut ends = [PollFd::new(stream, PollFlags::IN)];
        match poll(&mut ends, Some(&patience)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(1..) => {}
            _ => return,
        }
        if !recv_some(stream, &mut [0; 4096], true).is_ok_and(|came| came.bytes > 0) {
            return;
        }
    }
}

/// Reads the first frame, and what has come behind it.
fn first(stream: &OwnedFd) -> io::Result<(Begin, Incoming)> {
    let (mut incoming, mut buffer) = (Incoming::default(), vec![0; 16 << 10]);
    loop {
        match incoming.next() {
            Err(_) => return Err(io::Error::other("the pool's first frame is none")),
            Ok(Some((kind, payload))) => {
                if kind != to_agent::BEGIN {
                    return Err(io::Error::other("the pool's first frame says something else"));
                }
                let begin: Begin = postcard::from_bytes(payload).map_err(io::Error::other)?;
                if begin.version != VERSION {
                    return Err(io::Error::other(format!(
                        "the pool speaks version {}, and its agent {VERSION}",
                        begin.version
                    )));
                }
                return Ok((begin, incoming));
            }
            Ok(None) => {}
        }
        match recv_some(stream, &mut buffer, false)?.bytes {
            0 => exit_now(NO_POOL),
            n => incoming.add(&buffer[..n]),
        }
    }
}

/// The worker, and our ends of what it has.
struct Staff {
    child: Child,
    control: OwnedFd,
    data: OwnedFd,
    diary: OwnedFd,
    last_words: OwnedFd,
    printed: [OwnedFd; 2],
    /// What goes to it with its welcome.
    theirs: Vec<OwnedFd>,
}

impl Staff {
    fn new(begin: &Begin) -> io::Result<Self> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (control, its) = pair()?;
        let (data, its_data) = pair()?;
        let (diary, its_diary) = pipe_with(flags)?;
        let (last_words, its_last_words) = pipe_with(flags)?;
        // Ours alone is not to wait: the worker's end is what its tasks print to.
        let (out, its_out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, its_err) = pipe_with(PipeFlags::CLOEXEC)?;
        for ours in [&out, &err] {
            rustix::io::ioctl_fionbio(ours, true)?;
        }
        let this =
            rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
        let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
        let mut command = Command::new(executable());
        if let Some(name) = &begin.name {
            command.arg0(text(name));
        }
        command.env(MARK, EARLY);
        command.envs(begin.env.iter().map(|(key, value)| (text(key), text(value))));
        if let Some(path) = &begin.current_dir {
            command.current_dir(text(path));
        }
        command.stdin(Stdio::from(its)).stdout(Stdio::from(its_out)).stderr(Stdio::from(its_err));
        command.process_group(0);
        let child = Child::spawn(command).map_err(|error| match &begin.current_dir {
            Some(path) => io::Error::new(
                error.kind(),
                format!("{error}; is there a folder {} where the worker is?", text(path).display()),
            ),
            None => error,
        })?;
        let theirs = vec![its_data, its_diary, its_last_words, this];
        Ok(Self { child, control, data, diary, last_words, printed: [out, err], theirs })
    }
}

/// Reads what is in a pipe now.
fn read_now(pipe: &OwnedFd) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    while let Ok(n @ 1..) = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut piece)) {
        bytes.extend_from_slice(&piece[..n]);
    }
    bytes
}
