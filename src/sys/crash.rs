//! The last words of a process that a fault ends: which signal, at which address, by way of which functions. Owns the handlers
//! of those signals and the stack that they run on; who reads the words is the pool of the worker that died.
//!
//! A handler may run anywhere: in the middle of an allocation, with any lock held, on a stack that is full. So it allocates
//! nothing and takes no lock of ours; it writes into a buffer on its own stack, and from there. The unwinder and the loader that
//! it asks may take locks of theirs. Should one of these never be free again, or the stack be such that they fault themselves,
//! the process dies of the same signal all the same: the default effects are back before anything else is done, and a timer
//! sends the signal again.

use std::{
    ffi::{CStr, c_int, c_void},
    fmt::{self, Write},
    io,
    mem::zeroed,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::{
    image,
    process::was_forked,
    shm::{Mapping, page_size},
};

const FAULTS: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
];

/// The stack of the handlers: for the report, and what the kernel and the unwinder need.
const STACK: usize = 128 << 10;

/// The longest report. What does not fit is left out.
pub(crate) const LONGEST: usize = 12 << 10;

/// As many functions are named.
const FRAMES: usize = 48;

/// After so many seconds of a report the process dies without the rest of it.
const PATIENCE: i64 = 1;

/// A fault so near to the stack pointer is the stack's end.
const NEAR: usize = 64 << 10;

/// Where the report goes beside the standard error.
enum Place {
    Memory { memory: Arc<Mapping>, at: usize },
    Pipe(OwnedFd),
}

static PLACE: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// From now on a fault that ends this process is reported: to the standard error, and `at` this place in the memory, which is
/// zero and has room for [`LONGEST`] bytes. A stack that overflows is one only on this thread, and on those that have an
/// alternate stack of their own.
pub(crate) fn report_faults(memory: Arc<Mapping>, at: usize) -> io::Result<()> {
    report_to(Place::Memory { memory, at })
}

/// The same where no memory is shared: the report goes into a pipe, which is written to without waiting.
pub(crate) fn report_faults_into(pipe: OwnedFd) -> io::Result<()> {
    report_to(Place::Pipe(pipe))
}

#[allow(unsafe_code, reason = "the room for it")]
fn report_to(place: Place) -> io::Result<()> {
    // Asked now for the first time, which allocates.
    image::offset(0);
    // Never freed: a handler may be reading it. One per process, and one more where it was forked off another worker.
    PLACE.store(Box::into_raw(Box::new(place)), Ordering::SeqCst);
    own_stack()?;
    for (signal, _) in FAULTS {
        // SAFETY: zero is a valid value of all its fields.
        let mut action: libc::sigaction = unsafe { zeroed() };
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_fault;
        action.sa_sigaction = handler as *const () as usize;
        // Not deferred, so that the signal can be sent again while it is handled.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: `action` lives through the call; the handler has the signature that SA_SIGINFO asks for, and does only what a
        // handler of a fault may do, as written above.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives this thread a stack for handlers. It is never given back.
#[allow(unsafe_code, reason = "the room for it")]
fn own_stack() -> io::Result<()> {
    let guard = page_size();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the kernel chooses a free range of addresses.
    let start = unsafe { libc::mmap(ptr::null_mut(), guard + STACK, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the first page of the range, which is ours and which nobody uses.
    if unsafe { libc::mprotect(start, guard, libc::PROT_NONE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t { ss_sp: start.wrapping_byte_add(guard), ss_flags: 0, ss_size: STACK };
    // SAFETY: the rest of the range stays mapped and belongs to nobody else. This is not called by a handler.
    if unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[allow(unsafe_code, reason = "the room for it")]
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    for (signal, _) in FAULTS {
        // SAFETY: gives a signal its default effect back; allowed in a handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    end_soon(signal);
    // SAFETY: the kernel passes both to a handler that was installed with SA_SIGINFO, valid while it runs.
    let (info, context) = unsafe { (info.as_ref(), context.cast::<libc::ucontext_t>().as_ref()) };
    // SAFETY: the union's address is there for every fault that the kernel tells of, which are those with a positive code.
    let address = info.filter(|info| info.si_code > 0).map(|info| unsafe { info.si_addr() }.addr());
    // SAFETY: set once to a value that is never freed.
    let place = unsafe { PLACE.load(Ordering::SeqCst).as_ref() };
    // A copy that a task forked has its own affairs.
    let place = place.filter(|_| !was_forked());
    let mut report = Report { bytes: [0; LONGEST], len: 0, told: 0 };
    let keep = |report: &mut Report| match place {
        Some(Place::Memory { memory, at }) => {
            report.tell(None);
            memory.write(*at, report.text());
        }
        Some(Place::Pipe(pipe)) => report.tell(Some(pipe.as_raw_fd())),
        None => report.tell(None),
    };
    describe(&mut report, signal, address, context);
    keep(&mut report);
    // Line by line, as the next one may be one too many.
    let (_, pc) = registers(context);
    each_frame(pc, |n, address| {
        name(&mut report, n, address);
        keep(&mut report);
    });
    // SAFETY: sends a signal to this thread; allowed in a handler. Its effect is the default now.
    unsafe { libc::raise(signal) };
}

/// Has the signal sent again in a while, so that this process ends in any case.
#[allow(unsafe_code, reason = "the room for it")]
fn end_soon(signal: c_int) {
    // SAFETY: zero is a valid value of all its fields: numbers, and a pointer that nobody follows.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let mut timer: c_int = 0;
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let after =
        libc::itimerspec { it_interval: never, it_value: libc::timespec { tv_sec: PATIENCE, tv_nsec: 0 } };
    // SAFETY: the arguments are those of `timer_create(2)` and `timer_settime(2)`, whose numbers for timers are ints; all that is
    // pointed to lives through the calls. Not by the C library's functions, which may allocate.
    unsafe {
        let made =
            libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
        if made == 0 {
            let none = ptr::null_mut::<libc::itimerspec>();
            libc::syscall(libc::SYS_timer_settime, timer, 0, &raw const after, none);
        }
    }
}

fn describe(report: &mut Report, signal: c_int, address: Option<usize>, context: Option<&libc::ucontext_t>) {
    let name = FAULTS.iter().find(|(number, _)| *number == signal).map_or("?", |(_, name)| name);
    let (pid, mut thread) = (std::process::id(), [0; 16]);
    // What does not fit is left out, here and below.
    let _ = write!(report, "polypool: worker process {pid}, thread \"{}\": ", thread_name(&mut thread));
    let (stack, _) = registers(context);
    let is_overflow = signal == libc::SIGSEGV
        && address.zip(stack).is_some_and(|(address, stack)| address.abs_diff(stack) < NEAR);
    let _ = match address {
        Some(_) if is_overflow => writeln!(report, "stack overflow, signal {signal} ({name})"),
        Some(address) => writeln!(report, "signal {signal} ({name}) at address {address:#x}"),
        None => writeln!(report, "signal {signal} ({name})"),
    };
}

#[allow(unsafe_code, reason = "the room for it")]
fn thread_name(buffer: &mut [u8; 16]) -> &str {
    // SAFETY: writes up to 16 bytes, with a NUL, to a buffer of that size.
    unsafe { libc::prctl(libc::PR_GET_NAME, buffer.as_mut_ptr()) };
    CStr::from_bytes_until_nul(buffer).ok().and_then(|name| name.to_str().ok()).unwrap_or("?")
}

/// The stack pointer and the instruction pointer at the fault.
fn registers(context: Option<&libc::ucontext_t>) -> (Option<usize>, Option<usize>) {
    let Some(context) = context else { return (None, None) };
    #[cfg(target_arch = "x86_64")]
    {
        let at = |n: c_int| context.uc_mcontext.gregs.get(n as usize).map(|value| *value as usize);
        (at(libc::REG_RSP), at(libc::REG_RIP))
    }
    #[cfg(target_arch = "aarch64")]
    {
        (Some(context.uc_mcontext.sp as usize), Some(context.uc_mcontext.pc as usize))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = context;
        (None, None)
    }
}

/// Goes up the stack from the instruction at which the fault was.
#[allow(unsafe_code, reason = "the room for it")]
fn each_frame(from: Option<usize>, mut tell: impl FnMut(usize, usize)) {
    /// Of a walk: the pointer from which on frames count, how many there were, and what is done with each.
    struct Walk<'a> {
        from: Option<usize>,
        count: usize,
        tell: &'a mut dyn FnMut(usize, usize),
    }
    // SAFETY: the signatures are those of the ABI that all unwinders have, libgcc's and LLVM's. The standard library, which
    // cannot be without one, has it linked.
    unsafe extern "C" {
        fn _Unwind_Backtrace(
            each: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
            argument: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    }
    const GO_ON: c_int = 0;
    const STOP: c_int = 5;
    extern "C" fn each(frame: *mut c_void, walk: *mut c_void) -> c_int {
        // SAFETY: the unwinder passes its frame, valid during this call, and our argument, which is a walk that lives longer.
        let (address, walk) = unsafe { (_Unwind_GetIP(frame), walk.cast::<Walk<'_>>().as_mut()) };
        let Some(walk) = walk else { return STOP };
        if walk.from.is_some_and(|from| from != address) {
            // Still in the handler.
            return GO_ON;
        }
        let is_first = walk.from.take().is_some();
        if address == 0 || walk.count == FRAMES {
            return STOP;
        }
        // But for the first, it is where a call returns to, which may be the next function.
        (walk.tell)(walk.count, if is_first { address } else { address - 1 });
        walk.count += 1;
        GO_ON
    }
    let mut walk = Walk { from, count: 0, tell: &mut tell };
    // SAFETY: `each` is as it should be, does not unwind, and `walk` lives through the call.
    unsafe { _Unwind_Backtrace(each, (&raw mut walk).cast()) };
    if let (0, Some(from)) = (walk.count, walk.from) {
        // The unwinder does not get past the handler.
        tell(0, from);
    }
}

/// Names the function at an address, as far as the loader knows it.
#[allow(unsafe_code, reason = "the room for it")]
fn name(report: &mut Report, n: usize, address: usize) {
    // SAFETY: zero is a valid value of all its fields: pointers that may be null.
    let mut found: libc::Dl_info = unsafe { zeroed() };
    // SAFETY: any address may be asked for, and `found` lives through the call.
    let is_known = unsafe { libc::dladdr(ptr::without_provenance(address), &mut found) } != 0;
    let text = |name: *const libc::c_char| {
        let name = NonNull::new(name.cast_mut()).filter(|_| is_known)?;
        // SAFETY: what the loader gives are strings of its own, or of the image, with a NUL at the end.
        unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().ok()
    };
    let _ = write!(report, "{n:4}: {address:#x} ");
    if let Some(offset) = image::offset(address) {
        // As tools want it that know the program's file.
        let _ = write!(report, "+{offset:#x}");
        own_symbol(report, offset);
    } else {
        let file = text(found.dli_fname).unwrap_or("?");
        let _ = write!(report, "{file}+{:#x}", address.wrapping_sub(found.dli_fbase.addr()));
        if let Some(symbol) = text(found.dli_sname) {
            let _ = report.write_str(" ");
            demangled(report, symbol);
        }
    }
    let _ = report.write_str("\n");
}

/// A text of limited length, which is told by and by.
struct Report {
    bytes: [u8; LONGEST],
    len: usize,
    told: usize,
}

impl Report {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Writes what is new into the pipe, and to the standard error.
    #[allow(unsafe_code, reason = "the room for it")]
    fn tell(&mut self, pipe: Option<RawFd>) {
        let new = self.text().get(self.told..).unwrap_or_default();
        for fd in pipe.into_iter().chain([libc::STDERR_FILENO]) {
            // SAFETY: reads as many bytes as there are; allowed in a handler. What nobody reads is lost.
            unsafe { libc::write(fd, new.as_ptr().cast(), new.len()) };
        }
        self.told = self.len;
    }
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let len = text.len().min(room.len());
        for (to, from) in room.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        self.len += len;
        if len == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Writes a symbol as one writes it in Rust, where that can be told from its letters alone: `_ZN`, lengths and names, a hash.
fn demangled(report: &mut Report, symbol: &str) {
    let before = report.len;
    if demangle(report, symbol).is_none() {
        report.len = before;
        let _ = report.write_str(symbol);
    }
}

fn demangle(report: &mut Report, symbol: &str) -> Option<()> {
    let mut rest = symbol.strip_prefix("_ZN")?;
    let mut is_first = true;
    while !rest.starts_with('E') {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let len: usize = rest.get(..digits)?.parse().ok()?;
        let name = rest.get(digits..digits.checked_add(len)?)?;
        rest = rest.get(digits + len..)?;
        if rest.starts_with('E') && len == 17 && name.starts_with('h') {
            break;
        }
        if !is_first {
            report.write_str("::").ok()?;
        }
        is_first = false;
        // A name cannot begin with `$` in an assembler's eyes.
        let name = if name.starts_with("_$") { &name[1..] } else { name };
        plain(report, name)?;
    }
    Some(())
}

/// What stands for the characters that no symbol may have.
fn plain(report: &mut Report, name: &str) -> Option<()> {
    const MARKS: [(&str, &str); 10] = [
        ("..", "::"),
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$C$", ","),
        ("$u20$", " "),
        ("$u7b$$u7b$closure$u7d$$u7d$", "{{closure}}"),
    ];
    let mut rest = name;
    while !rest.is_empty() {
        let found = MARKS.iter().find_map(|(mark, meant)| Some((rest.strip_prefix(mark)?, *meant)));
        let end = rest.char_indices().nth(1).map_or(rest.len(), |(end, _)| end);
        let (behind, meant) = found.unwrap_or((&rest[end..], &rest[..end]));
        report.write_str(meant).ok()?;
        rest = behind;
    }
    Some(())
}

/// Looks a function of this program up in its file, if the symbols were left there.
#[allow(unsafe_code, reason = "the room for it")]
fn own_symbol(report: &mut Report, address: usize) {
    // SAFETY: the name has a NUL at its end; allowed in a handler.
    let fd = unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    // SAFETY: zero is a valid value of all its fields.
    let mut status: libc::stat = unsafe { zeroed() };
    // SAFETY: `status` lives through the call.
    let is_known = unsafe { libc::fstat(fd, &mut status) } == 0;
    let len = usize::try_from(status.st_size).unwrap_or_default();
    let failed = libc::MAP_FAILED;
    let map = if is_known && len > 0 {
        // SAFETY: the kernel chooses a free range of addresses; nothing can be written by this.
        unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0) }
    } else {
        failed
    };
    // SAFETY: the descriptor is ours, and not used any more.
    unsafe { libc::close(fd) };
    if map == failed {
        return;
    }
    // SAFETY: so many bytes are mapped, and stay so until below. The file of a running program cannot be written to; one that is
    // cut all the same makes this a second fault, by which the process dies as it would have.
    let file = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), len) };
    if let Some(symbol) = symbol(file, address as u64).and_then(|name| std::str::from_utf8(name).ok()) {
        let _ = report.write_str(" ");
        demangled(report, symbol);
    }
    // SAFETY: it is what was mapped above, and nothing of it is used any more.
    unsafe { libc::munmap(map, len) };
}

/// The symbol of the function that an address is in, in an ELF file of 64 bits in this machine's order of bytes.
fn symbol(file: &[u8], address: u64) -> Option<&[u8]> {
    const SYMBOLS: u64 = 2;
    const FUNCTION: u64 = 2;
    if !file.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: u64, len: usize| {
        let at = usize::try_from(at).ok()?;
        let bytes = file.get(at..at.checked_add(len)?)?;
        let mut whole = [0; 8];
        whole.get_mut(..len)?.copy_from_slice(bytes);
        // Little endian, or there is nothing to be found.
        Some(u64::from_le_bytes(whole))
    };
    let (sections, size, count) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?);
    let section = |n: u64| sections.checked_add(n.checked_mul(size)?);
    let table = (0..count).filter_map(section).find(|at| number(at + 4, 4) == Some(SYMBOLS))?;
    let names = number(section(number(table + 0x28, 4)?)? + 0x18, 8)?;
    let (start, len) = (number(table + 0x18, 8)?, number(table + 0x20, 8)?);
    let symbols = (start..start.checked_add(len)?).step_by(24);
    let found = symbols.into_iter().find(|&at| {
        let is_function = number(at + 4, 1).is_some_and(|info| info & 15 == FUNCTION);
        let into =
            is_function.then(|| number(at + 8, 8)).flatten().and_then(|from| address.checked_sub(from));
        into.is_some_and(|into| number(at + 16, 8).is_some_and(|size| into < size))
    })?;
    let name = file.get(usize::try_from(names.checked_add(number(found, 4)?)?).ok()?..)?;
    name.split(|byte| *byte == 0).next()
}

/// What was reported at this place in the memory.
pub(crate) fn report_in(memory: &Mapping, at: usize) -> Option<String> {
    let mut bytes = Vec::new();
    memory.read_into(at, LONGEST, &mut bytes);
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(len);
    report_of(&bytes)
}

/// What was reported, by its bytes.
pub(crate) fn report_of(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{
        process::{Child, Ended, Forked, exit_now, fork},
        shm::SharedFile,
    };

    fn memory() -> Arc<Mapping> {
        let file = SharedFile::create("test", LONGEST as u64).expect("a file");
        Arc::new(Mapping::new(&file, LONGEST, true).expect("a mapping"))
    }

    /// What a copy of this process that does this says before it dies, and how it does.
    fn last_words(dies: impl FnOnce()) -> (String, Ended) {
        let memory = memory();
        let child = match fork().expect("fork") {
            Forked::Parent(pid) => Child::adopt(pid).expect("own child"),
            Forked::Child => {
                // Not into what the harness shows.
                let _ = rustix::fs::open("/dev/null", rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty())
                    .and_then(|null| rustix::stdio::dup2_stderr(&null));
                crate::sys::process::forget_fork();
                if report_faults(Arc::clone(&memory), 0).is_ok() {
                    dies();
                }
                exit_now(0)
            }
        };
        let ended = child.wait().expect("wait");
        (report_in(&memory, 0).unwrap_or_default(), ended)
    }

    #[test]
    #[allow(unsafe_code, reason = "that is what is tested")]
    fn a_fault_is_reported_with_the_way_to_it() {
        #[inline(never)]
        fn write_to(address: usize) {
            // SAFETY: none.
            unsafe {
                ptr::with_exposed_provenance_mut::<u8>(std::hint::black_box(address)).write_volatile(1)
            };
        }
        let (words, ended) = last_words(|| write_to(0x20));
        assert_eq!(ended, Ended::Signal(libc::SIGSEGV));
        assert!(words.contains("signal 11 (SIGSEGV) at address 0x20\n"), "{words}");
        assert!(words.lines().nth(1).is_some_and(|line| line.contains("crash::tests")), "{words}");
    }

    #[test]
    fn an_abort_is_reported() {
        let (words, ended) = last_words(|| std::process::abort());
        assert_eq!(ended, Ended::Signal(libc::SIGABRT));
        assert!(words.contains("signal 6 (SIGABRT)\n") && words.contains("an_abort_is_reported"), "{words}");
    }

    #[test]
    fn a_full_stack_is_told_as_such() {
        #[inline(never)]
        fn deeper(n: u64) -> u64 {
            let room = std::hint::black_box([n; 64]);
            if n == u64::MAX { 0 } else { deeper(n + 1) + room[3] }
        }
        let (words, ended) = last_words(|| {
            std::hint::black_box(deeper(0));
        });
        assert_eq!(ended, Ended::Signal(libc::SIGSEGV));
        assert!(words.contains("stack overflow") && words.contains("deeper"), "{words}");
    }

    #[test]
    fn symbols_are_made_readable() {
        let made = |symbol| {
            let mut report = Report { bytes: [0; LONGEST], len: 0, told: 0 };
            demangled(&mut report, symbol);
            String::from_utf8_lossy(report.text()).into_owned()
        };
        assert_eq!(made("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"), "core::fmt::Write::write_fmt");
        assert_eq!(made("_ZN4test28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE"), "test::{{closure}}");
        assert_eq!(made("main"), "main");
        assert_eq!(made("_ZN99short"), "_ZN99short");
    }
}
