//! MPI, whichever library of it this machine has: loaded when the program runs, recognised, and used by one thread. Owns the
//! promises that MPI asks of its callers (buffers that stay, one thread, one beginning and one end); does not know what the
//! messages are.

use std::{
    ffi::{CString, OsStr, c_int},
    fmt, io,
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

mod calls;
mod find;

use self::calls::Calls;
pub(crate) use self::find::{Family, LIBRARY, Wanted};

/// A library of MPI that is loaded. It is never unloaded.
pub(crate) struct Library {
    calls: Box<dyn Calls>,
    family: Family,
    name: String,
    version: String,
}

impl Library {
    /// Finds the library that fits, loads it, and sees what it is.
    ///
    /// # Errors
    /// `NotFound`, with all that was looked at and why it was not taken.
    pub(crate) fn find(wanted: &Wanted) -> io::Result<Self> {
        find::find(wanted)
    }

    /// Whether somebody in this process has begun to use it.
    pub(crate) fn is_begun(&self) -> bool {
        self.calls.is_begun()
    }

    /// Begins the use of MPI. The thread that calls this is the only one that can use it.
    ///
    /// # Errors
    /// When it was begun before, by whomever: MPI begins once in the life of a process. And what the library says.
    pub(crate) fn begin(self) -> io::Result<Session> {
        static BEGUN: AtomicBool = AtomicBool::new(false);
        if BEGUN.swap(true, Ordering::SeqCst) || self.calls.is_begun() {
            return Err(io::Error::other("MPI was begun in this process before, and can be but once"));
        }
        self.calls.begin()?;
        let session = Session { library: Rc::new(self), is_over: false, _one_thread: PhantomData };
        // Else any error ends the whole job.
        session.library.calls.return_errors(session.world())?;
        Ok(session)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, name, version, .. } = self;
        f.debug_struct("Library")
            .field("name", name)
            .field("family", family)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

/// A group of processes that can send each other messages; or two groups, whose members send to those of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comm(usize);

/// MPI from its beginning to its end, on the thread that began it. Dropping it does not end MPI: [`Session::finish`] does.
#[derive(Debug)]
pub(crate) struct Session {
    library: Rc<Library>,
    is_over: bool,
    _one_thread: PhantomData<*const ()>,
}

impl Session {
    /// The processes that were started together with this one.
    pub(crate) fn world(&self) -> Comm {
        Comm(self.library.calls.world())
    }

    /// Those who started this process from within MPI, if it was so.
    pub(crate) fn parent(&self) -> io::Result<Option<Comm>> {
        let Some(parent) = self.library.calls.parent()? else { return Ok(None) };
        self.library.calls.return_errors(Comm(parent))?;
        Ok(Some(Comm(parent)))
    }

    pub(crate) fn size(&self, comm: Comm) -> io::Result<usize> {
        self.library.calls.size(comm).map(natural)
    }

    pub(crate) fn version(&self) -> &str {
        &self.library.version
    }

    /// Starts `n` processes of a program. Their [`parent`](Self::parent) is the communicator that is given here.
    pub(crate) fn spawn(&self, program: &OsStr, args: &[&str], n: usize) -> io::Result<Comm> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
        let program = text(program.as_bytes())?;
        let args = args.iter().map(|arg| text(arg.as_bytes())).collect::<io::Result<Vec<_>>>()?;
        let n = c_int::try_from(n).map_err(io::Error::other)?;
        let comm = Comm(self.library.calls.spawn(&program, &args, n)?);
        self.library.calls.return_errors(comm)?;
        Ok(comm)
    }

    /// Begins to send a message of fewer than 2³¹ bytes.
    pub(crate) fn send(&self, to: (Comm, usize), tag: u16, bytes: Vec<u8>) -> io::Result<Message> {
        let mut message = Message::new(&self.library, bytes);
        message.request = self.library.calls.send(&message.bytes, integer(to.1)?, tag.into(), to.0)?;
        Ok(message)
    }

    /// Looks for a message with this tag from anybody. Gives from whom the first is, and how long.
    pub(crate) fn probe(&self, comm: Comm, tag: u16) -> io::Result<Option<(usize, usize)>> {
        let found = self.library.calls.probe(tag.into(), comm)?;
        Ok(found.map(|(from, len)| (natural(from), natural(len))))
    }

    /// Begins to receive the next message with this tag from there, which is `len` bytes long, into the beginning of `buffer`.
    pub(crate) fn receive(
        &self,
        from: (Comm, usize),
        tag: u16,
        len: usize,
        mut buffer: Vec<u8>,
    ) -> io::Result<Message> {
        buffer.resize(len, 0);
        let mut message = Message::new(&self.library, buffer);
        let calls = &self.library.calls;
        message.request = calls.receive(&mut message.bytes, integer(from.1)?, tag.into(), from.0)?;
        Ok(message)
    }

    /// Which ranks are lost. None where the library cannot tell and a loss ends the job.
    pub(crate) fn lost(&self, comm: Comm) -> io::Result<Option<Vec<usize>>> {
        let lost = self.library.calls.lost(comm)?;
        Ok(lost.map(|ranks| ranks.into_iter().map(natural).collect()))
    }

    /// Parts from those on the other side. Waits for them to do the same.
    pub(crate) fn disconnect(&self, comm: Comm) -> io::Result<()> {
        self.library.calls.disconnect(comm)
    }

    /// Ends the use of MPI. May wait for the others to do the same.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.is_over = true;
        self.library.calls.finish()
    }

    /// Ends all processes of the job as fast as can be, this one among them.
    pub(crate) fn abort(&self, code: i32) -> ! {
        self.library.calls.abort(code);
        super::process::exit_now(code)
    }
}

/// A message under way, in either direction. Dropping one that is not done gives its buffer up for good, for MPI may still use it.
#[derive(Debug)]
pub(crate) struct Message {
    library: Rc<Library>,
    /// What MPI reads or writes stays where it is until the request is done. MPI has the address: nothing here may be moved or
    /// touched before.
    bytes: Vec<u8>,
    request: usize,
    is_done: bool,
}

impl Message {
    fn new(library: &Rc<Library>, bytes: Vec<u8>) -> Self {
        Self { library: Rc::clone(library), bytes, request: 0, is_done: false }
    }

    /// Whether it has arrived, or its buffer is free again.
    pub(crate) fn is_done(&mut self) -> io::Result<bool> {
        if !self.is_done {
            self.is_done = self.library.calls.test(&mut self.request)?;
        }
        Ok(self.is_done)
    }

    /// The bytes of a message that is done; none of one that is not.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        if self.is_done { std::mem::take(&mut self.bytes) } else { Vec::new() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if !self.is_done && self.request != 0 {
            std::mem::forget(std::mem::take(&mut self.bytes));
        }
    }
}

fn natural(number: c_int) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn integer(number: usize) -> io::Result<c_int> {
    c_int::try_from(number).map_err(io::Error::other)
}

/// Calls `f` when the program ends by returning from `main` or by `exit`, unless it is a copy that `fork` made.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn at_exit(f: fn()) -> io::Result<()> {
    use std::sync::OnceLock;

    static CALL: OnceLock<(fn(), u32)> = OnceLock::new();
    extern "C" fn call() {
        if let Some((f, owner)) = CALL.get()
            && *owner == std::process::id()
        {
            f();
        }
    }
    if CALL.set((f, std::process::id())).is_err() {
        return Ok(());
    }
    // SAFETY: the handler is a function of the program's own, which is there as long as the program is. It does not unwind: what
    // would panic in `f` aborts, as in every `extern "C"` function.
    match unsafe { libc::atexit(call) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Ignores SIGPIPE, as the standard library does when `main` begins. For who works before.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: no handler of ours is installed; to ignore a signal asks nothing of anybody.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
