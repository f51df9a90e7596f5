//! Processes that we look after: signalling them, reaping them, hearing how they ended. Owns the rule that a number of a process
//! is never used after the process was reaped; does not know what runs in a process, nor when one should end.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};

use super::lock::lock;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It left by itself, with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It has ended, and only its parent, which we are not, was told how.
    Unknown,
}

/// A process that we started, or one of another parent that we look after.
///
/// Dropping one that has not ended, or whose end nobody took note of, kills it with its process group. It is reaped at once if
/// it can be, else by a thread of its own, which lives until the kernel is done with the process: dropping never waits for that.
/// (Where not even a thread can be had, it waits for a tenth of a second at most.) In a copy of this process that `fork` made
/// dropping does nothing: there the process is not ours.
///
/// Needs Linux 5.4.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: Arc<OwnedFd>,
    /// Set when the process was reaped, from when on its number may be another's. Held while the number is used.
    ended: Mutex<Option<Ended>>,
    /// The process that this object belongs to.
    owner: Pid,
    /// Where the parent of the process, if we are not that, writes how it ended. See [`tell_end`].
    obituary: Option<OwnedFd>,
}

/// How long the parent of a process that has ended may take to tell how.
const CONDOLENCES: Duration = Duration::from_millis(50);

impl Child {
    /// Starts a process. The command, and with it what descriptors it holds, is gone when this returns.
    ///
    /// A command that uses `pre_exec`, `uid`, `gid` or `groups` makes std fork, which takes long where much memory is in use.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let opened = pid(child.id()).and_then(Self::open);
        if opened.is_err() {
            // Both fail only when it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        // Dropping std's handle neither kills nor reaps.
        opened
    }

    /// Looks after a process that is not our child, or not known to be. How it ends is [`Ended::Unknown`] unless it is one.
    ///
    /// The caller sees to it that it is still the process that is meant: that its parent has not reaped it yet.
    #[cfg(test)]
    pub(crate) fn adopt(number: u32) -> io::Result<Self> {
        Self::open(pid(number)?)
    }

    /// Looks after the child of a process that has sent us all of this: its number, a descriptor of it, and where it will be
    /// told how it ended. If that parent dies before, it is [`Ended::Unknown`].
    pub(crate) fn entrusted(number: u32, pidfd: OwnedFd, obituary: OwnedFd) -> io::Result<Self> {
        let (pid, owner) = (pid(number)?, rustix::process::getpid());
        Ok(Self { pid, pidfd: Arc::new(pidfd), ended: Mutex::new(None), owner, obituary: Some(obituary) })
    }

    fn open(pid: Pid) -> io::Result<Self> {
        let pidfd = Arc::new(rustix::process::pidfd_open(pid, PidfdFlags::empty())?);
        let owner = rustix::process::getpid();
        Ok(Self { pid, pidfd, ended: Mutex::new(None), owner, obituary: None })
    }

    /// Makes it the leader of a group of its own, from outside: as `lead_group` does within, whoever comes first. Only for a
    /// child of ours that was forked, not started.
    pub(crate) fn set_group(&self) {
        let ended = lock(&self.ended);
        if ended.is_none() {
            // It may have ended, or have done so itself.
            let _ = rustix::process::setpgid(Some(self.pid), Some(self.pid));
        }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A descriptor that becomes readable when the process ends.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends a signal to the process. To one that has ended that is no error, and nothing.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        gone_is_fine(rustix::process::pidfd_send_signal(&self.pidfd, signal))
    }

    /// Sends a signal to the process group that it leads, in which its own children are unless they left it. To a group that is
    /// no more, or never was, that is no error, and nothing.
    ///
    /// Reaches those who outlive the process only before it is reaped, except on Linux 6.9 and later: so kill first, then reap.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        match pidfd_signal_group(self.pidfd(), signal) {
            // A kernel that cannot, or a filter of system calls that does not know that this one can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {}
            done => return gone_is_fine(done),
        }
        let ended = lock(&self.ended);
        // As long as we have not reaped our child, nobody else gets its number. Another's child is its parent's to reap: the
        // number is safe while it runs, and the moment between look and kill is too short for numbers to come round.
        if ended.is_some() || self.is_gone_unseen()? {
            return Ok(());
        }
        gone_is_fine(rustix::process::kill_process_group(self.pid, signal))
    }

    /// Reaps the process if it has ended. Answers the same as often as it is asked.
    pub(crate) fn try_wait(&self) -> io::Result<Option<Ended>> {
        let mut ended = lock(&self.ended);
        if ended.is_none() {
            *ended = match reap(self.pidfd())? {
                Reaped::Ended(how) => Some(how),
                Reaped::Running => None,
                Reaped::NotOurs => poll(self.pidfd(), Some(Duration::ZERO))?.then(|| self.read_end()),
            };
        }
        Ok(*ended)
    }

    /// Whether it has ended, reaped or not.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        poll(self.pidfd(), Some(Duration::ZERO))
    }

    /// Waits for the end of the process, and reaps it.
    pub(crate) fn wait(&self) -> io::Result<Ended> {
        loop {
            if let Some(ended) = self.try_wait()? {
                return Ok(ended);
            }
            poll(self.pidfd(), None)?;
        }
    }

    /// The same, for so long at most.
    #[cfg(any(feature = "dask", feature = "ray"))]
    pub(crate) fn wait_for(&self, limit: Duration) -> io::Result<Option<Ended>> {
        poll(self.pidfd(), Some(limit))?;
        self.try_wait()
    }

    /// What its parent tells of its end, which has come.
    fn read_end(&self) -> Ended {
        let Some(obituary) = &self.obituary else { return Ended::Unknown };
        let mut told = [0; 5];
        match poll(obituary.as_fd(), Some(CONDOLENCES)) {
            Ok(true) => {}
            _ => return Ended::Unknown,
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(obituary, &mut told)) {
            Ok(read) if read == told.len() => {}
            _ => return Ended::Unknown,
        }
        let [how, number @ ..] = told;
        match (how, i32::from_le_bytes(number)) {
            (0, code) => Ended::Code(code),
            (1, signal) => Ended::Signal(signal),
            _ => Ended::Unknown,
        }
    }

    /// Whether it has ended and is not ours to reap.
    fn is_gone_unseen(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd()), options) {
            Err(Errno::CHILD) => poll(self.pidfd(), Some(Duration::ZERO)),
            seen => Ok(seen.map(|_| false)?),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if rustix::process::getpid() != self.owner || lock(&self.ended).is_some() {
            return;
        }
        // Nothing can be done about a process that cannot be killed; there is none among our children.
        let _ = self.signal_group(Signal::KILL);
        let _ = self.signal(Signal::KILL);
        if !matches!(reap(self.pidfd()), Ok(Reaped::Running)) {
            return;
        }
        let wait_and_reap = |pidfd: &OwnedFd, limit| {
            let _ = poll(pidfd.as_fd(), limit);
            let _ = reap(pidfd.as_fd());
        };
        let pidfd = self.pidfd.clone();
        let thread = std::thread::Builder::new().name("polypool-reaper".into()).stack_size(64 << 10);
        if thread.spawn(move || wait_and_reap(&pidfd, None)).is_err() {
            wait_and_reap(&self.pidfd, Some(Duration::from_millis(100)));
        }
    }
}

/// A pipe for the news of one end: who reads it, and who writes it.
pub(crate) fn obituary() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Tells who [looks after](Child::entrusted) a child of ours how it ended.
pub(crate) fn tell_end(obituary: OwnedFd, how: Ended) {
    let (how, number) = match how {
        Ended::Code(code) => (0, code),
        Ended::Signal(signal) => (1, signal),
        Ended::Unknown => return,
    };
    let [a, b, c, d] = number.to_le_bytes();
    // Nobody may want to know any more.
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(&obituary, &[how, a, b, c, d]));
}

enum Reaped {
    Ended(Ended),
    Running,
    NotOurs,
}

fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Reaped> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options)) {
        Ok(None) => Ok(Reaped::Running),
        Ok(Some(status)) => Ok(Reaped::Ended(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, Some(signal)) => Ended::Signal(signal),
            (None, None) => Ended::Unknown,
        })),
        Err(Errno::CHILD) => Ok(Reaped::NotOurs),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the descriptor is readable or closed at the other end; false when the time ran out.
pub(super) fn poll(fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.and_then(|time| time.try_into().ok());
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, limit.as_ref()))? > 0)
}

/// The number of one process: neither 0 nor 1, whose negations mean other things to `kill`.
pub(super) fn pid(number: u32) -> io::Result<Pid> {
    let number = i32::try_from(number).ok().filter(|&number| number > 1);
    number.and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn gone_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::SRCH) => Ok(()),
        done => Ok(done?),
    }
}

#[allow(unsafe_code, reason = "the room for it")]
fn pidfd_signal_group(pidfd: BorrowedFd<'_>, signal: Signal) -> rustix::io::Result<()> {
    /// `PIDFD_SIGNAL_PROCESS_GROUP`, since Linux 6.9.
    const GROUP: libc::c_uint = 1 << 2;
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the arguments are those of `pidfd_send_signal(2)`: a descriptor, a number, a pointer that may be null, flags. It
    // reads no memory of ours.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.as_raw(), info, GROUP)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Takes charge of what `fork` has just made, as the leader of a group of its own. On failure there is none.
pub(crate) fn adopt_forked(number: u32) -> io::Result<Child> {
    let pid = pid(number)?;
    let opened = Child::open(pid);
    match &opened {
        Ok(child) => child.set_group(),
        Err(_) => {
            // Nobody has reaped it, so the number is its own.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)
            });
        }
    }
    opened
}
