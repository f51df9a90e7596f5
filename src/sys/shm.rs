//! Memory that several processes share, and how one waits there for another. Owns the file, the mapping and every access to it;
//! does not know what lies in the memory nor who may write where: that is the protocol of those who use it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags},
    io::Errno,
    mm::{MapFlags, ProtFlags},
    thread::futex,
};

/// A file that exists in memory only, and goes when the last process lets go of it: nothing is left behind, also after SIGKILL.
///
/// It can grow and never shrink: what was once backed stays so, and nobody who has the descriptor can make another's access to
/// a mapping fault.
#[derive(Debug)]
pub(crate) struct SharedFile {
    fd: OwnedFd,
}

impl SharedFile {
    /// Makes a file of `len` bytes, all zero, that take no memory until they are written. The name is for `/proc` only.
    pub(crate) fn create(name: &str, len: u64) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels since 6.3 want to be told that the file is no program, and may be set to insist; older ones know no such flag.
        let fd = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
            made => made?,
        };
        rustix::fs::ftruncate(&fd, len)?;
        // The last seal is on the seals: nobody may forbid us to grow or to write later.
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self { fd })
    }

    /// Takes a descriptor that another process sent.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it is not such a file, or one that could shrink.
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        check_sealed(fd.as_fd())?;
        Ok(Self { fd })
    }

    /// How long the file is now.
    pub(crate) fn len(&self) -> io::Result<u64> {
        file_len(self.fd.as_fd())
    }

    /// Makes the file at least `len` bytes long. Never shortens it, also when others let it grow at the same time.
    pub(crate) fn grow(&self, len: u64) -> io::Result<()> {
        if self.len()? >= len {
            return Ok(());
        }
        match rustix::fs::ftruncate(&self.fd, len) {
            // To the seal our request was to shrink: another was quicker, and went further.
            Err(Errno::PERM) if self.len()? >= len => Ok(()),
            done => Ok(done?),
        }
    }

    /// Gives the memory of all pages that lie wholly inside the range back to the system. They are zero afterwards.
    pub(crate) fn release(&self, at: u64, len: u64) -> io::Result<()> {
        let page = page_size() as u64;
        let end = at.checked_add(len).ok_or(io::ErrorKind::InvalidInput)? / page * page;
        let start = at.checked_next_multiple_of(page).ok_or(io::ErrorKind::InvalidInput)?;
        if start >= end {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry(|| rustix::fs::fallocate(&self.fd, hole, start, end - start))
    }

    /// A descriptor of the same file through which it can be read and mapped for reading, and no more.
    ///
    /// It guards against mistakes, not against malice: whoever has it can open the file anew, as this does. Needs `/proc`.
    pub(crate) fn read_only(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        retry(|| rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
    }

    /// The descriptor, given away.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A range of addresses at which a [`SharedFile`] is seen. Unmapped when dropped.
///
/// The range may be longer than the file, which then grows beneath it: addresses stay what they were. What the file does not
/// back (yet) is out of range like what lies behind the end, and every access is checked against that.
///
/// All accesses go through raw pointers or atomics. There is no reference to memory that another process may write, except
/// what [`lent`](Mapping::lent) gives out.
///
/// # Panics
///
/// An access that is out of range panics, as that of a slice does. Whoever has an offset or a length from another process asks
/// [`covers`](Mapping::covers) first.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    reserve: usize,
    /// As far as the file was known to reach when we last looked: it never gets shorter.
    backed: AtomicUsize,
    /// To look again.
    file: OwnedFd,
    writable: bool,
}

// SAFETY: the mapping belongs to the process and not to a thread, and is unmapped but once, in `drop`. All access through `&self`
// is atomic, or a copy of bytes for whose exclusion the protocol of the processes is responsible, be they threads or not.
#[allow(unsafe_code, reason = "the room for it")]
unsafe impl Send for Mapping {}

// SAFETY: as for `Send`: no method relies on being called by one thread at a time.
#[allow(unsafe_code, reason = "the room for it")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `reserve` bytes of the file, from its start. Addresses cost nothing: memory is taken by pages that are written.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the file could shrink, `PermissionDenied` for a writable mapping of a read-only descriptor.
    #[allow(unsafe_code, reason = "the room for it")]
    pub(crate) fn new(file: &impl AsFd, reserve: usize, writable: bool) -> io::Result<Self> {
        check_sealed(file.as_fd())?;
        let file = file.as_fd().try_clone_to_owned()?;
        if isize::try_from(reserve).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses a free range of addresses (no MAP_FIXED), so that no memory in use is replaced.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), reserve, protection, flags, &file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { start, reserve, backed: AtomicUsize::new(0), file, writable };
        mapping.look();
        Ok(mapping)
    }

    /// Memory of this process alone, all zero, on which everything else is tried that this does: Miri knows no shared files.
    #[cfg(miri)]
    #[allow(unsafe_code, reason = "the room for it")]
    pub(crate) fn plain(len: usize) -> Self {
        // SAFETY: the layout is not of no bytes.
        let start = unsafe { std::alloc::alloc_zeroed(plain_layout(len)) };
        let file = std::fs::File::open("/dev/null").expect("never longer than what is backed").into();
        let start = NonNull::new(start).expect("memory");
        Self { start, reserve: len, backed: AtomicUsize::new(len), file, writable: true }
    }

    /// How many bytes of addresses there are, backed by the file or not.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.reserve
    }

    /// Whether there are `len` bytes at `at`: inside the range, and backed by the file.
    #[inline]
    pub(crate) fn covers(&self, at: usize, len: usize) -> bool {
        // `backed` never exceeds `reserve`. Relaxed: the number guards only what the kernel did, not what others wrote.
        match at.checked_add(len) {
            Some(end) => end <= self.backed.load(Ordering::Relaxed) || end <= self.look(),
            None => false,
        }
    }

    /// The word at `at`, shared with all who map it.
    ///
    /// # Panics
    ///
    /// Also when `at` is no multiple of 4, or the mapping is for reading only.
    #[allow(unsafe_code, reason = "the room for it")]
    #[inline]
    pub(crate) fn word32(&self, at: usize) -> &AtomicU32 {
        let word = self.word(at, size_of::<AtomicU32>()).cast();
        // SAFETY: `word` has checked that the bytes are inside this mapping, backed by a file that cannot shrink, writable, and
        // aligned. They stay mapped as long as `self` is borrowed. Any bits are a valid value, and that others write them at any
        // time is what atomics are for; that nobody mixes in accesses of other kinds is the protocol's care.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// The word at `at`, shared with all who map it.
    ///
    /// # Panics
    ///
    /// Also when `at` is no multiple of 8, or the mapping is for reading only.
    #[allow(unsafe_code, reason = "the room for it")]
    #[inline]
    pub(crate) fn word64(&self, at: usize) -> &AtomicU64 {
        let word = self.word(at, size_of::<AtomicU64>()).cast();
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Copies bytes into the memory.
    ///
    /// # Panics
    ///
    /// Also when the mapping is for reading only.
    #[allow(unsafe_code, reason = "the room for it")]
    #[inline]
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(self.writable, "this mapping is for reading only");
        let to = self.range(at, bytes.len());
        // SAFETY:
        // 1. The target is inside this mapping, backed and writable: checked above.
        // 2. It does not overlap `bytes`: a slice is memory of this process's own or was `lent`, which only mappings that are not
        //    writable do; two mappings of one file are different addresses.
        // 3. If others write there at the same time, against the protocol, the bytes are a mixture, which is for the reader to
        //    notice. There are no references to them that could be broken.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Appends `len` bytes of the memory to `out`, in one copy.
    ///
    /// When another process writes there meanwhile, against the protocol, they are a mixture: what they say is checked by the
    /// one who decodes them.
    #[allow(unsafe_code, reason = "the room for it")]
    pub(crate) fn read_into(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let from = self.range(at, len);
        out.reserve(len);
        let old = out.len();
        // SAFETY:
        // 1. The source is inside this mapping and backed: checked above. It is copied, never referred to; any bits are a byte.
        // 2. The target is the spare capacity of `out`, at least `len` bytes after `reserve`; `out` is borrowed by us alone, and a
        //    vector's memory is not ours.
        // 3. The bytes up to the new length are written when it is set.
        unsafe {
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().add(old), len);
            out.set_len(old + len);
        }
    }

    /// The memory itself, without a copy, for as long as the mapping is borrowed.
    ///
    /// Only for what the protocol says does not change while it is lent: written before, by the owner of the pool, who gave us
    /// the file and waits until we give the range back.
    ///
    /// # Panics
    ///
    /// Also when the mapping is writable: then this process could change what it has lent.
    #[allow(unsafe_code, reason = "the room for it")]
    pub(crate) fn lent(&self, at: usize, len: usize) -> &[u8] {
        assert!(!self.writable, "only a mapping for reading can lend its memory");
        let from = self.range(at, len);
        // SAFETY:
        // 1. The bytes are inside this mapping and backed by a file that cannot shrink: checked above. They stay mapped as long as
        //    `self` is borrowed, and the length is at most `isize::MAX`, as the mapping's is.
        // 2. Nothing writes them during the borrow: not through this mapping, which cannot; not through another, because only the
        //    owner of the pool has a descriptor to write to, and it does not touch a range from the moment it hands it out until
        //    it gets it back. It is trusted: it started this process, is the same program, and could do anything to it anyway.
        unsafe { std::slice::from_raw_parts(from, len) }
    }

    /// A pointer to a word that is all there.
    #[inline]
    fn word(&self, at: usize, size: usize) -> *mut u8 {
        assert!(self.writable, "this mapping is for reading only");
        // The start is that of a page.
        assert!(at.is_multiple_of(size), "a word of {size} bytes cannot be at {at}");
        self.range(at, size)
    }

    /// A pointer to `len` bytes that are all there.
    #[allow(unsafe_code, reason = "the room for it")]
    fn range(&self, at: usize, len: usize) -> *mut u8 {
        assert!(self.covers(at, len), "{len} bytes at {at} are not in the mapping");
        // SAFETY: `at` is at most the length of the mapping, which is one allocated object.
        unsafe { self.start.as_ptr().add(at) }
    }

    /// Looks how far the file reaches now, at most to the end of the mapping.
    #[cold]
    fn look(&self) -> usize {
        let len = file_len(self.file.as_fd()).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.reserve);
        self.backed.fetch_max(len, Ordering::Relaxed).max(len)
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "the room for it")]
    fn drop(&mut self) {
        // SAFETY: the range is the one that `new` mapped, whole. Everything that points into it borrows `self`, so nothing does.
        // An error cannot be: the kernel refuses only ranges that are none.
        #[cfg(not(miri))]
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.reserve) };
        // SAFETY: it was allocated by `plain` with this layout, and for the rest the same.
        #[cfg(miri)]
        unsafe {
            std::alloc::dealloc(self.start.as_ptr(), plain_layout(self.reserve));
        }
    }
}

/// That of a page, as a mapping has it.
#[cfg(miri)]
fn plain_layout(len: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(len.max(1), 4096).expect("a layout")
}

/// Sleeps while the word is `expected`, until somebody [`wake`]s it, in this process or another that maps it. False when the
/// time ran out. True promises nothing: look at the word again.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> bool {
    // A time too long to be written down is no limit.
    let timeout = timeout.and_then(|time| time.try_into().ok());
    let result = futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref());
    !matches!(result, Err(Errno::TIMEDOUT))
}

/// Wakes all that [`wait`] for the word, in whatever process they are.
pub(crate) fn wake(word: &AtomicU32) {
    // It fails only for what is no word.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

/// The size of a page of memory.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: asks for a number and touches nothing.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(4096)
    })
}

fn file_len(fd: BorrowedFd<'_>) -> io::Result<u64> {
    u64::try_from(rustix::fs::fstat(fd)?.st_size).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn check_sealed(fd: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SealFlags::SHRINK) => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a file that could shrink is not mapped")),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a file in memory")),
    }
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(call)?)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn file(len: u64) -> SharedFile {
        SharedFile::create("polypool-test", len).expect("memory files are there")
    }

    #[test]
    fn a_file_that_shrinks_is_refused() {
        let shared = file(8192);
        assert_eq!(rustix::fs::ftruncate(&shared, 4096), Err(Errno::PERM));
        assert_eq!(shared.len().expect("length"), 8192);

        let plain = rustix::fs::memfd_create("polypool-test", MemfdFlags::CLOEXEC).expect("memfd");
        let error = Mapping::new(&plain, 4096, true).expect_err("it may shrink");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = SharedFile::from_fd(plain).expect_err("it may shrink");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = SharedFile::from_fd(std::fs::File::open("/dev/null").expect("null").into());
        assert_eq!(error.expect_err("no memory file").kind(), io::ErrorKind::InvalidData);

        let again = SharedFile::from_fd(shared.into_fd()).expect("sealed");
        assert_eq!(again.len().expect("length"), 8192);
    }

    #[test]
    fn a_file_grows_beneath_a_mapping_and_never_shrinks() {
        let shared = file(4096);
        let mapping = Mapping::new(&shared, 1 << 30, true).expect("addresses");
        assert_eq!(mapping.len(), 1 << 30);
        assert!(mapping.covers(0, 4096));
        assert!(!mapping.covers(0, 4097));
        shared.grow(1 << 20).expect("grow");
        assert!(mapping.covers(0, 1 << 20));
        mapping.write((1 << 20) - 3, b"end");
        shared.grow(16).expect("no change");
        assert_eq!(shared.len().expect("length"), 1 << 20);
        let mut out = b"the ".to_vec();
        mapping.read_into((1 << 20) - 3, 3, &mut out);
        assert_eq!(out, b"the end");
        shared.grow(1 << 31).expect("grow");
        assert!(mapping.covers(0, 1 << 30));
        assert!(!mapping.covers(1, 1 << 30));
        assert!(!mapping.covers(usize::MAX, 2));
    }

    #[test]
    fn released_pages_are_zero_and_their_neighbours_stay() {
        let page = page_size();
        let shared = file(4 * page as u64);
        let mapping = Mapping::new(&shared, 4 * page, true).expect("mapping");
        mapping.write(0, &vec![7; 4 * page]);
        shared.release(1, 3 * page as u64).expect("release");
        let mut out = Vec::new();
        mapping.read_into(0, 4 * page, &mut out);
        let zero = out.iter().filter(|&&byte| byte == 0).count();
        assert_eq!(
            (zero, out[page - 1], out[page], out[3 * page - 1], out[3 * page]),
            (2 * page, 7, 0, 0, 7)
        );
        shared.release(1, 5).expect("nothing to release");
        assert!(shared.release(u64::MAX, 1).is_err());
    }

    #[test]
    fn a_reader_sees_and_cannot_write() {
        let shared = file(4096);
        let writer = Mapping::new(&shared, 4096, true).expect("mapping");
        let reader = shared.read_only().expect("descriptor");
        let error = Mapping::new(&reader, 4096, true).expect_err("for reading only");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let reader = Mapping::new(&reader, 4096, false).expect("mapping");
        writer.write(10, b"seen");
        assert_eq!(reader.lent(10, 4), b"seen");
        assert_eq!(reader.lent(4096, 0), b"");
        let refused = [
            std::panic::catch_unwind(|| reader.write(0, b"x")).is_err(),
            std::panic::catch_unwind(|| reader.word32(0).load(Ordering::Relaxed)).is_err(),
            std::panic::catch_unwind(|| writer.lent(0, 1).len()).is_err(),
        ];
        assert_eq!(refused, [true; 3]);
    }

    #[test]
    fn an_access_out_of_range_panics() {
        let shared = file(100);
        let mapping = Mapping::new(&shared, 8192, true).expect("mapping");
        let caught =
            |access: &(dyn Fn() + std::panic::RefUnwindSafe)| std::panic::catch_unwind(access).is_err();
        assert!(caught(&|| mapping.write(99, b"ab")));
        assert!(caught(&|| mapping.read_into(8190, 10, &mut Vec::new())));
        assert!(caught(&|| mapping.read_into(usize::MAX, 10, &mut Vec::new())));
        assert!(caught(&|| mapping.word32(2).store(1, Ordering::Relaxed)));
        assert!(caught(&|| mapping.word64(4).store(1, Ordering::Relaxed)));
        assert!(caught(&|| mapping.word64(96).store(1, Ordering::Relaxed)));
        mapping.word32(96).store(1, Ordering::Relaxed);
        mapping.word64(88).store(2, Ordering::Relaxed);
    }

    #[test]
    fn a_sleeper_in_another_mapping_is_woken() {
        let shared = file(4096);
        let here = Mapping::new(&shared, 4096, true).expect("mapping");
        let there = Arc::new(Mapping::new(&shared, 4096, true).expect("mapping"));
        let sleeper = thread::spawn({
            let there = there.clone();
            move || {
                while there.word32(64).load(Ordering::Acquire) == 0 {
                    wait(there.word32(64), 0, None);
                }
                there.word64(128).load(Ordering::Relaxed)
            }
        });
        here.word64(128).store(42, Ordering::Relaxed);
        here.word32(64).store(1, Ordering::Release);
        wake(here.word32(64));
        assert_eq!(sleeper.join().expect("sleeper"), 42);
        assert!(!wait(here.word32(0), 0, Some(Duration::from_millis(1))));
        assert!(wait(here.word32(64), 0, Some(Duration::from_secs(60))));
    }
}
