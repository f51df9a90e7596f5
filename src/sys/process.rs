//! What two processes need to talk and to part: sockets that carry descriptors, bells, limits, the standard streams, `fork`. Owns
//! what this process does to itself; those that it looks after are `child`'s. Does not know what runs in a process.
//!
//! A long file: nearly half of it is its tests, which share what they start.

use std::{
    ffi::{OsString, c_int},
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) use rustix::process::Signal;
use rustix::{
    event::EventfdFlags,
    fs::{Mode, OFlags},
    io::{Errno, FdFlags},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
    process::{Resource, Rlimit},
};

pub(crate) use super::child::{Child, Ended, adopt_forked, obituary, tell_end};
use super::{copy::became_copy, shm::page_size};

/// Two sockets that are connected to each other, and to nobody else.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// As many descriptors as one message carries.
pub(crate) const MAX_FDS: usize = 16;

/// Sends bytes, and copies of the descriptors with the first of them. Returns how many bytes were sent, perhaps fewer than all.
///
/// # Errors
///
/// `InvalidInput` for more than [`MAX_FDS`] descriptors, or descriptors without a byte.
pub(crate) fn send_with(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send(fd, bytes, fds, SendFlags::NOSIGNAL)
}

/// The same, if it can be done without waiting; else the error is `WouldBlock`.
pub(crate) fn send_now(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send(fd, bytes, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

fn send(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        // The room is rounded up, so that `push` alone would take one more than a receiver may.
        let fits = !bytes.is_empty() && fds.len() <= MAX_FDS;
        if !fits || !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    let bytes = [IoSlice::new(bytes)];
    Ok(rustix::io::retry_on_intr(|| rustix::net::sendmsg(&fd, &bytes, &mut control, flags))?)
}

/// Receives bytes, 0 at the end, and appends the descriptors that came with them to `fds`.
///
/// # Errors
///
/// `InvalidData` when descriptors were lost: there were more than [`MAX_FDS`], or more than this process may have open.
pub(crate) fn recv_with(fd: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let received = recv(fd, bytes, RecvFlags::empty())?;
    fds.extend(received.fds);
    if received.is_short {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "descriptors were lost: too many in a message, or too many open files",
        ));
    }
    Ok(received.bytes)
}

/// What came at once. The descriptors are those that were sent by one `send`, with the first of its bytes.
pub(crate) struct Came {
    pub(crate) bytes: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// There were more of them, for which this process had no number.
    is_short: bool,
}

impl Came {
    /// Were there descriptors, of which some or all may be lost?
    pub(crate) fn has_fds(&self) -> bool {
        self.is_short || !self.fds.is_empty()
    }
}

/// Receives bytes, 0 at the end, and descriptors; without waiting, if `now`. Lost ones are no error.
pub(crate) fn recv_some(fd: impl AsFd, bytes: &mut [u8], now: bool) -> io::Result<Came> {
    recv(fd, bytes, if now { RecvFlags::DONTWAIT } else { RecvFlags::empty() })
}

fn recv(fd: impl AsFd, bytes: &mut [u8], flags: RecvFlags) -> io::Result<Came> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(bytes)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&fd, &mut bytes, &mut control, flags | RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(Came { bytes: received.bytes, fds, is_short: received.flags.contains(ReturnFlags::CTRUNC) })
}

/// Gives a descriptor a number out of the way: 200 or more, or as high as the limit of open files allows. It is not inherited.
pub(crate) fn move_high(fd: OwnedFd) -> io::Result<OwnedFd> {
    copy_high(fd.as_fd())
}

fn copy_high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const HIGH: u64 = 200;
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let mut from = i32::try_from(HIGH.min(limit.saturating_sub(1))).unwrap_or(i32::MAX).max(3);
    loop {
        match rustix::io::fcntl_dupfd_cloexec(fd, from) {
            Err(Errno::INVAL | Errno::MFILE) if from > 3 => from -= 1,
            copied => return Ok(copied?),
        }
    }
}

/// A descriptor that one rings and another waits for: readable from the first [`ring`] until it is read.
pub(crate) fn bell() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Rings a bell. One that rings already goes on.
pub(crate) fn ring(bell: impl AsFd) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::io::write(&bell, &1_u64.to_ne_bytes())) {
        // It was rung as often as it can count.
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a bell stop. True when it rang.
#[cfg(test)]
pub(crate) fn hush(bell: impl AsFd) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::io::read(&bell, &mut [0; 8])) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes this process the leader of a group of its own, as `process_group(0)` does for one that is started by a command.
pub(crate) fn lead_group() -> io::Result<()> {
    Ok(rustix::process::setpgid(None, None)?)
}

/// Kills this process and, when it leads its group, all in that: its children, unless they left. A group that it does not lead
/// is that of whoever started it, and is spared.
pub(crate) fn own_group_kill() -> ! {
    let this = rustix::process::getpid();
    // Neither returns, unless something is very wrong.
    if rustix::process::getpgrp() == this {
        let _ = rustix::process::kill_current_process_group(Signal::KILL);
    }
    let _ = rustix::process::kill_process(this, Signal::KILL);
    exit_now(137)
}

/// Ends the process at once: no destructors, no handlers, no flushing.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: it takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Limits the memory that this process and those it starts may have for data (heap, stacks, anonymous mappings), for good. What
/// goes beyond is refused to the one who asks for it. A lower limit that is there already stays.
pub(crate) fn limit_data(bytes: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(Resource::Data);
    let limit = |old: Option<u64>| Some(old.map_or(bytes, |old| old.min(bytes)));
    let new = Rlimit { current: limit(now.current), maximum: limit(now.maximum) };
    Ok(rustix::process::setrlimit(Resource::Data, new)?)
}

/// How much memory a process has to itself, in bytes: what is resident, without what is of files or shared. The kernel's count
/// may lag by some pages per CPU.
pub(crate) fn resident_private(pid: u32) -> io::Result<u64> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/statm"))?.read_to_string(&mut text)?;
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    // size resident shared ...
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Ok(_)), Some(Ok(resident)), Some(Ok(shared))) => {
            Ok(resident.saturating_sub(shared).saturating_mul(page_size() as u64))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Puts `/dev/null` in the place of the standard input, so that nobody reads what is not his.
pub(crate) fn null_stdin() -> io::Result<()> {
    let null = open_null(OFlags::RDONLY)?;
    if null.as_raw_fd() == 0 {
        // There was no standard input, and its place was the first that was free. It stays there, to be inherited.
        rustix::io::fcntl_setfd(&null, FdFlags::empty())?;
        let _ = null.into_raw_fd();
        return Ok(());
    }
    Ok(rustix::io::retry_on_intr(|| rustix::stdio::dup2_stdin(&null))?)
}

/// Takes what was handed over as the standard input, to a high number, and leaves `/dev/null` in its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = copy_high(rustix::stdio::stdin())?;
    null_stdin()?;
    Ok(taken)
}

/// Sends the standard output (1) or error (2) elsewhere. Returns where it went before, which redirects it back; `/dev/null` if
/// it was closed.
///
/// What the libraries of Rust and C have buffered is not written by this: flush them first.
pub(crate) fn redirect(fd: BorrowedFd<'_>, onto: i32) -> io::Result<OwnedFd> {
    let now = match onto {
        1 => rustix::stdio::stdout(),
        2 => rustix::stdio::stderr(),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let former = match copy_high(now) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::BADF) => {
            move_high(open_null(OFlags::WRONLY)?)?
        }
        copied => copied?,
    };
    rustix::io::retry_on_intr(|| match onto {
        1 => rustix::stdio::dup2_stdout(fd),
        _ => rustix::stdio::dup2_stderr(fd),
    })?;
    Ok(former)
}

fn open_null(access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::CLOEXEC;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::open("/dev/null", flags, Mode::empty()))?)
}

/// Writes out what the C library has buffered of all its streams.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn flush_c_stdio() {
    // SAFETY: null means all streams; each is locked by the library while it is flushed.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Who one is after a [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forked {
    /// The copy. Of the threads only the one that called is in it.
    Child,
    /// The original, and the number of its copy.
    Parent(u32),
}

/// Makes a copy of this process.
///
/// With one thread, the copy can do all that the original could. With several ([`thread_count`] tells), whatever the others had
/// locked stays locked in it for ever, and what they were changing stays half changed. The libraries of C that we know keep their
/// allocator usable; std keeps nothing of the kind for its own locks (of the standard streams, of the environment). That breaks
/// promises of liveness, and none of memory: locks that are held are waited for, not passed over. A caller with other threads
/// does in the copy only what it knows to be free, or accepts that it may hang and is killed by whoever waits.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the call itself has no demands. What the copy may do is limited when there are other threads, as written above:
    // data that they guard by locks is unreachable in it rather than broken, and threads that borrowed from this one's stack are
    // not there to look. The C standard library's handlers run, ours among them.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(Forked::Parent(pid.unsigned_abs())),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts `/dev/null` in the place of a descriptor that this process has by being a copy, so that its other end does not wait for
/// this process, too. The number stays taken, by something that is as good to own.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn blind(fd: BorrowedFd<'_>) -> io::Result<()> {
    let null = open_null(OFlags::RDWR)?;
    // SAFETY: both are open descriptors. Whoever owns `fd` goes on owning an open one, and has no promise of what it is.
    match unsafe { libc::dup3(null.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sets a variable of the environment, in a copy of this process that has one thread.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn set_env(name: &std::ffi::OsStr, value: &std::ffi::OsStr) {
    // SAFETY: nobody else reads the environment, for there is no other thread, which is the caller's promise.
    unsafe { std::env::set_var(name, value) };
}

/// How many threads this process has. Needs `/proc`.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// From now on, a copy of this process that a `fork` makes knows that it [is one](was_forked). May be called again.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn at_fork_in_child() -> io::Result<()> {
    type Handler = Option<unsafe extern "C" fn()>;
    // SAFETY: the signature is that of POSIX, and of all libraries of C for Linux.
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }
    extern "C" fn remember() {
        FORKED.store(true, Ordering::Relaxed);
        became_copy();
    }
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: the handler is a function, there as long as the program is, unless it is in a library that is unloaded, which unwinds
    // its registration, too. It stores to atomics and does nothing that is forbidden after a fork.
    match REGISTERED.get_or_init(|| unsafe { pthread_atfork(None, None, Some(remember)) }) {
        0 => Ok(()),
        &error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Whether this process is a copy that a `fork` made after [`at_fork_in_child`], and did not [`forget`](forget_fork) it.
pub(crate) fn was_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Says that this copy was made on purpose.
pub(crate) fn forget_fork() {
    FORKED.store(false, Ordering::Relaxed);
}

/// Gives all signals back their default effect, except SIGPIPE, which is ignored, and blocks none in this thread. Rust's own
/// message about an overflowing stack goes with that, if it was installed; the process still dies of it.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn reset_signals() {
    // When its pool is gone while this process is stopped, the system sends it SIGHUP before it can see that. It is to take its
    // children with it then, too.
    extern "C" fn hang_up(_: c_int) {
        own_group_kill();
    }
    for signal in 1..=64 {
        // SAFETY: zero is a valid value of all its fields, and means the default effect, no flags, no signals masked.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = match signal {
            libc::SIGPIPE => libc::SIG_IGN,
            libc::SIGHUP => hang_up as extern "C" fn(c_int) as usize,
            _ => libc::SIG_DFL,
        };
        // SAFETY: `action` lives through the call, the old one is not asked for. The one handler makes system calls only, and
        // does not return. Refused for signals
        // that the kernel (9 and 19) or the C library keeps to itself, and rightly so.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` writes the whole set, which the second call then reads.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Reads a variable of the environment and removes it, so that nobody who is started from here inherits it.
///
/// Only to be called before this process has a second thread: at the start of `main`, or before it.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn take_env(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: nobody else reads the environment: there is no other thread yet, which is the caller's promise. Should a library
    // have started one before `main`, it would have to read by the C library in this very moment.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::{
        super::child::{pid, poll},
        *,
    };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0);
        command
    }

    fn exists(pid: u32) -> bool {
        rustix::process::test_kill_process(self::pid(pid).expect("number")).is_ok()
    }

    /// Runs in a copy of this process, whose end is returned. The copy must not panic nor lock.
    fn in_a_copy(run: impl FnOnce() -> i32) -> Ended {
        match fork().expect("fork") {
            Forked::Child => exit_now(run()),
            Forked::Parent(pid) => Child::adopt(pid).expect("own child").wait().expect("wait"),
        }
    }

    #[test]
    fn a_child_says_how_it_ended() {
        let child = Child::spawn(shell("exit 7")).expect("spawn");
        assert_eq!(child.wait().expect("wait"), Ended::Code(7));
        assert_eq!(child.try_wait().expect("again"), Some(Ended::Code(7)));
        child.signal(Signal::KILL).expect("too late is fine");
        child.signal_group(Signal::KILL).expect("too late is fine");
        let child = Child::spawn(shell("kill -TERM $$")).expect("spawn");
        assert_eq!(child.wait().expect("wait"), Ended::Signal(15));
        assert!(!exists(child.pid()));
        assert!(Child::spawn(Command::new("/nowhere/nothing")).is_err());
    }

    #[test]
    fn a_signal_reaches_the_child() {
        let child = Child::spawn(shell("while :; do sleep 1; done")).expect("spawn");
        assert_eq!(child.try_wait().expect("runs"), None);
        child.signal(Signal::KILL).expect("signal");
        assert_eq!(child.wait().expect("wait"), Ended::Signal(9));
        assert!(poll(child.pidfd(), None).expect("poll"));
    }

    /// A child that leads a group with a grandchild in it, and the socket that ends when all of them are gone.
    fn family() -> (Child, OwnedFd) {
        let (ours, theirs) = pair().expect("pair");
        let mut command = shell("sleep 1000 & echo ready >&0; wait");
        command.stdin(Stdio::from(theirs));
        let child = Child::spawn(command).expect("spawn");
        let mut ready = [0; 6];
        assert_eq!(recv_with(&ours, &mut ready, &mut Vec::new()).expect("receive"), 6);
        (child, ours)
    }

    fn ends(socket: &OwnedFd) -> bool {
        recv_with(socket, &mut [0; 16], &mut Vec::new()).expect("receive") == 0
    }

    #[test]
    fn a_group_is_killed_with_the_grandchildren() {
        let (child, socket) = family();
        child.signal_group(Signal::KILL).expect("signal");
        assert_eq!(child.wait().expect("wait"), Ended::Signal(9));
        assert!(ends(&socket));
    }

    #[test]
    fn a_group_is_killed_when_its_leader_is_dead() {
        let (child, socket) = family();
        child.signal(Signal::KILL).expect("signal");
        assert!(poll(child.pidfd(), None).expect("poll"));
        child.signal_group(Signal::KILL).expect("signal");
        assert!(ends(&socket));
        assert_eq!(child.wait().expect("wait"), Ended::Signal(9));
    }

    #[test]
    fn dropped_children_leave_nothing() {
        let (child, socket) = family();
        let pid = child.pid();
        drop(child);
        assert!(ends(&socket));
        // The reaper is another thread: until it is done there is a zombie.
        while exists(pid) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn another_s_child_is_looked_after() {
        let (ours, theirs) = pair().expect("pair");
        // The shell is the parent, and tells us the number; the grandchild ends when we say so.
        let mut command = shell("exec 3<&0; (read line <&3; exit 3) & echo $! >&3; wait");
        command.stdin(Stdio::from(theirs));
        let shell = Child::spawn(command).expect("spawn");
        let mut number = [0; 16];
        let len = recv_with(&ours, &mut number, &mut Vec::new()).expect("receive");
        let number = std::str::from_utf8(&number[..len]).expect("text").trim().parse().expect("a number");
        let adopted = Child::adopt(number).expect("it runs");
        assert_eq!(adopted.try_wait().expect("runs"), None);
        assert_eq!(send_with(&ours, b"go\n", &[]).expect("send"), 3);
        assert_eq!(adopted.wait().expect("wait"), Ended::Unknown);
        assert_eq!(shell.wait().expect("wait"), Ended::Code(0));
        for wrong in [0, 1, u32::MAX] {
            assert_eq!(Child::adopt(wrong).expect_err("no process").kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn descriptors_travel() {
        let (left, right) = pair().expect("pair");
        let bell = bell().expect("bell");
        ring(&bell).expect("ring");
        assert_eq!(send_with(&left, b"two", &[bell.as_fd(), left.as_fd()]).expect("send"), 3);
        let mut bytes = [0; 8];
        let mut fds = Vec::new();
        assert_eq!(recv_with(&right, &mut bytes, &mut fds).expect("receive"), 3);
        assert_eq!((&bytes[..3], fds.len()), (&b"two"[..], 2));
        assert!(hush(&fds[0]).expect("hush"));
        assert!(!hush(&bell).expect("hush"));
        for fd in &fds {
            assert!(rustix::io::fcntl_getfd(fd).expect("flags").contains(FdFlags::CLOEXEC));
        }
        let many = vec![bell.as_fd(); MAX_FDS];
        assert_eq!(send_with(&left, b"x", &many).expect("send"), 1);
        fds.clear();
        assert_eq!(recv_with(&right, &mut bytes, &mut fds).expect("receive"), 1);
        assert_eq!(fds.len(), MAX_FDS);
        let too_many = vec![bell.as_fd(); MAX_FDS + 1];
        assert_eq!(
            send_with(&left, b"x", &too_many).expect_err("refused").kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(send_with(&left, b"", &many).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
        drop((left, fds));
        assert_eq!(recv_with(&right, &mut bytes, &mut Vec::new()).expect("the end"), 0);
        assert_eq!(send_with(&right, b"x", &[]).expect_err("no reader").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_descriptor_moves_out_of_the_way() {
        let high = move_high(bell().expect("bell")).expect("move");
        assert!(high.as_raw_fd() >= 200);
        ring(&high).expect("ring");
        assert!(hush(&high).expect("hush"));
        let few = in_a_copy(|| {
            let limit = Rlimit { current: Some(100), maximum: Some(100) };
            let moved = || {
                rustix::process::setrlimit(Resource::Nofile, limit)?;
                Ok::<_, io::Error>((move_high(bell()?)?, move_high(bell()?)?))
            };
            moved().map_or(255, |(first, second)| first.as_raw_fd() + second.as_raw_fd() - 99 - 98)
        });
        assert_eq!(few, Ended::Code(0));
    }

    #[test]
    fn standard_streams_are_moved() {
        let (ours, theirs) = pair().expect("pair");
        let moved = || {
            let was = redirect(theirs.as_fd(), 1)?;
            rustix::io::write(rustix::stdio::stdout(), b"out")?;
            drop(redirect(was.as_fd(), 1)?);
            rustix::stdio::dup2_stdin(&theirs)?;
            let taken = take_stdin()?;
            rustix::io::write(&taken, b" in")?;
            assert!(redirect(theirs.as_fd(), 3).is_err());
            // Nothing to read, and no more standard input: then it is opened.
            let end = rustix::io::read(rustix::stdio::stdin(), &mut [0; 8])?;
            rustix::stdio::dup2_stdin(&theirs)?;
            null_stdin()?;
            Ok::<_, io::Error>(end)
        };
        let ended = in_a_copy(|| moved().map_or(255, |end| end as i32));
        assert_eq!(ended, Ended::Code(0));
        let mut bytes = [0; 6];
        let first = recv_with(&ours, &mut bytes, &mut Vec::new()).expect("receive");
        assert_eq!(&bytes[..first], &b"out in"[..first]);
    }

    #[test]
    fn a_copy_knows_that_it_is_one() {
        at_fork_in_child().expect("handler");
        at_fork_in_child().expect("once is enough");
        assert!(!was_forked());
        let ended = in_a_copy(|| {
            let before = was_forked();
            forget_fork();
            i32::from(before) + 2 * i32::from(was_forked())
        });
        assert_eq!(ended, Ended::Code(1));
        assert!(!was_forked());
        assert!(thread_count().expect("proc") >= 1);
    }

    #[test]
    fn a_copy_does_not_kill_its_siblings() {
        let child = Child::spawn(shell("read line")).expect("spawn");
        let mut child = Some(child);
        assert_eq!(in_a_copy(|| i32::from(child.take().is_none())), Ended::Code(0));
        let child = child.expect("ours is still there");
        assert!(!matches!(child.try_wait().expect("wait"), Some(Ended::Signal(_))));
    }

    #[test]
    fn signals_have_their_default_effect_again() {
        let ended = in_a_copy(|| {
            reset_signals();
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::PIPE);
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::SEGV);
            0
        });
        assert_eq!(ended, Ended::Signal(11));
    }

    #[test]
    fn memory_is_limited() {
        let ended = in_a_copy(|| {
            let refused = |bytes| i32::from(Vec::<u8>::new().try_reserve_exact(bytes).is_err());
            let before = refused(1 << 30);
            // More than there is in use, and less than is asked for.
            let Ok(()) = limit_data(512 << 20) else { return 255 };
            let Ok(()) = limit_data(1 << 40) else { return 254 };
            before + 2 * refused(1 << 30)
        });
        assert_eq!(ended, Ended::Code(2));
        let used = resident_private(std::process::id()).expect("proc");
        assert!((100 << 10..1 << 40).contains(&used), "{used}");
        assert!(resident_private(u32::MAX).is_err());
    }

    #[test]
    fn a_process_kills_its_own_group() {
        let ended = in_a_copy(|| {
            let Ok(()) = lead_group() else { return 1 };
            own_group_kill()
        });
        assert_eq!(ended, Ended::Signal(9));
        // Not ours, though: this test goes on, and so does whoever started it.
        assert_eq!(in_a_copy(|| own_group_kill()), Ended::Signal(9));
        flush_c_stdio();
    }
}
