//! Bytes that never change again, in memory that other processes can map. Owns that nobody can write them, here or there, so that
//! they can be lent as a slice; does not know what they mean.

#[cfg(target_os = "linux")]
pub(crate) use on_linux::Sealed;
#[cfg(all(feature = "engine", target_os = "linux"))]
pub(crate) use on_linux::Unsealed;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Sealed;

#[cfg(target_os = "linux")]
mod on_linux {
    use std::{
        ffi::c_void,
        fmt, io,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
        ptr::NonNull,
    };

    use rustix::{
        fs::{MemfdFlags, SealFlags},
        io::{Errno, retry_on_intr},
        mm::{Advice, MapFlags, ProtFlags},
    };

    /// With these nobody can change a byte of a file or its length, whatever he does.
    const SEALS: SealFlags =
        SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

    /// A sealed file in memory, mapped for reading. It goes when the last process lets go of it.
    pub(crate) struct Sealed {
        fd: OwnedFd,
        view: View,
    }

    impl Sealed {
        /// Makes one with these bytes, in one copy.
        pub(crate) fn copy_of(name: &str, bytes: &[u8]) -> io::Result<Self> {
            let fd = create(name)?;
            write_all(&fd, bytes)?;
            Self::seal(fd, bytes.len())
        }

        /// Makes one of so many bytes, which are zero until `fill` has written them, where they are.
        pub(crate) fn filled(name: &str, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
            let fd = create(name)?;
            rustix::fs::ftruncate(&fd, len as u64)?;
            let mut view = View::new(&fd, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)?;
            view.keep_from_copies()?;
            fill(view.bytes_mut());
            // A file that can be written through somebody's memory cannot be sealed.
            drop(view);
            Self::seal(fd, len)
        }

        fn seal(fd: OwnedFd, len: usize) -> io::Result<Self> {
            rustix::fs::fcntl_add_seals(&fd, SEALS)?;
            Self::map(fd, len)
        }

        /// Takes a file that another process sealed and sent.
        ///
        /// # Errors
        ///
        /// `InvalidData` when it could still change, or has another length.
        pub(crate) fn from_fd(fd: OwnedFd, len: u64) -> io::Result<Self> {
            let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
            let seals =
                rustix::fs::fcntl_get_seals(&fd).map_err(|_| invalid("it is not a file in memory"))?;
            if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
                return Err(invalid("it is not sealed"));
            }
            let is = rustix::fs::fstat(&fd)?.st_size;
            match usize::try_from(len) {
                Ok(len) if u64::try_from(is) == Ok(len as u64) => Self::map(fd, len),
                _ => Err(invalid("it is not as long as it should be")),
            }
        }

        fn map(fd: OwnedFd, len: usize) -> io::Result<Self> {
            // Private, because older kernels take a shared mapping for one that may become writable, and refuse it. The pages are
            // the file's either way, as nobody writes to them.
            let view = View::new(&fd, len, ProtFlags::READ, MapFlags::PRIVATE)?;
            Ok(Self { fd, view })
        }

        pub(crate) fn bytes(&self) -> &[u8] {
            self.view.bytes()
        }
    }

    impl AsFd for Sealed {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.fd.as_fd()
        }
    }

    impl fmt::Debug for Sealed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Sealed").field("len", &self.view.len).finish_non_exhaustive()
        }
    }

    /// A file that others are to have sealed, while its bytes come in pieces.
    #[cfg(feature = "engine")]
    #[derive(Debug)]
    pub(crate) struct Unsealed(OwnedFd);

    #[cfg(feature = "engine")]
    impl Unsealed {
        pub(crate) fn new(name: &str) -> io::Result<Self> {
            create(name).map(Self)
        }

        pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
            write_all(&self.0, bytes)
        }

        /// The file, which nobody can change any more.
        pub(crate) fn seal(self) -> io::Result<OwnedFd> {
            rustix::fs::fcntl_add_seals(&self.0, SEALS)?;
            Ok(self.0)
        }
    }

    fn write_all(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::write(fd, rest))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => rest = rest.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn create(name: &str) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // As for the files of `shm`.
        let fd = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
            made => made?,
        };
        Ok(fd)
    }

    /// A range of addresses at which a file is seen from its start. Unmapped when dropped.
    struct View {
        start: NonNull<u8>,
        len: usize,
    }

    // SAFETY: the range belongs to the process and not to a thread. It is read through `&self`, and written through `&mut self` only.
    #[allow(unsafe_code, reason = "the room for it")]
    unsafe impl Send for View {}

    // SAFETY: as for `Send`.
    #[allow(unsafe_code, reason = "the room for it")]
    unsafe impl Sync for View {}

    impl View {
        #[allow(unsafe_code, reason = "the room for it")]
        fn new(fd: &OwnedFd, len: usize, protection: ProtFlags, flags: MapFlags) -> io::Result<Self> {
            if isize::try_from(len).is_err() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            if len == 0 {
                // There is no such mapping, and no need of one.
                return Ok(Self { start: NonNull::dangling(), len });
            }
            // SAFETY: the kernel chooses a free range of addresses (no MAP_FIXED), so that no memory in use is replaced.
            let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, fd, 0) }?;
            let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
            Ok(Self { start, len })
        }

        /// A copy that is made of this process is without the range: it could write there.
        #[allow(unsafe_code, reason = "the room for it")]
        fn keep_from_copies(&self) -> io::Result<()> {
            if self.len == 0 {
                return Ok(());
            }
            // SAFETY: the range is one that `new` mapped, whole. This process's view of it does not change.
            let done = unsafe {
                rustix::mm::madvise(self.start.as_ptr().cast::<c_void>(), self.len, Advice::LinuxDontFork)
            };
            Ok(done?)
        }

        #[allow(unsafe_code, reason = "the room for it")]
        fn bytes(&self) -> &[u8] {
            // SAFETY:
            // 1. The bytes are mapped and backed: the file is at least as long as the range, as was seen or done before, and cannot
            //    shrink. They stay mapped while `self` is borrowed. A range of no bytes is at an address that will do for it.
            // 2. Nobody writes them while they are lent: the file is sealed against that, for everybody and for ever.
            unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }

        #[allow(unsafe_code, reason = "the room for it")]
        fn bytes_mut(&mut self) -> &mut [u8] {
            // SAFETY:
            // 1. The bytes are mapped for writing, and backed: the file was given its length before. They stay mapped while `self` is
            //    borrowed. A range of no bytes is at an address that will do for it.
            // 2. Nobody else has the file: it was made a moment ago, in here, and copies of this process are without the range.
            unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
        }
    }

    impl Drop for View {
        #[allow(unsafe_code, reason = "the room for it")]
        fn drop(&mut self) {
            if self.len > 0 {
                // SAFETY: the range is the one that `new` mapped, whole, and nothing borrows it. An error cannot be: the kernel
                // refuses only ranges that are none.
                let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn bytes_that_were_copied_and_bytes_that_were_filled_in() {
            let copied = Sealed::copy_of("polypool-test", b"twelve bytes").expect("a file");
            assert_eq!(copied.bytes(), b"twelve bytes");
            let filled = Sealed::filled("polypool-test", 5, |bytes| {
                assert_eq!(*bytes, [0; 5]);
                bytes[2..].copy_from_slice(b"abc");
            });
            assert_eq!(filled.expect("a file").bytes(), b"\0\0abc");
            assert_eq!(Sealed::copy_of("polypool-test", b"").expect("a file").bytes(), b"");
            assert_eq!(Sealed::filled("polypool-test", 0, |_| ()).expect("a file").bytes(), b"");
        }

        #[test]
        fn nobody_can_write_what_is_sealed() {
            let sealed = Sealed::copy_of("polypool-test", b"fixed").expect("a file");
            assert_eq!(rustix::io::write(&sealed, b"x"), Err(Errno::PERM));
            assert_eq!(rustix::fs::ftruncate(&sealed, 2), Err(Errno::PERM));
            let fd = sealed.as_fd().try_clone_to_owned().expect("a descriptor");
            assert!(View::new(&fd, 5, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED).is_err());
            assert_eq!(Sealed::from_fd(fd, 5).expect("sealed").bytes(), b"fixed");
        }

        #[test]
        fn what_may_change_or_is_of_another_length_is_refused() {
            let refused = |fd, len| Sealed::from_fd(fd, len).expect_err("refused").kind();
            let open = create("polypool-test").expect("a file");
            assert_eq!(refused(open, 0), io::ErrorKind::InvalidData);
            let null = std::fs::File::open("/dev/null").expect("null");
            assert_eq!(refused(null.into(), 0), io::ErrorKind::InvalidData);
            for len in [4, 6, u64::MAX] {
                let sealed = Sealed::copy_of("polypool-test", b"fixed").expect("a file");
                assert_eq!(refused(sealed.fd, len), io::ErrorKind::InvalidData);
            }
        }

        #[test]
        fn a_panic_while_it_is_filled_leaves_nothing() {
            let before = std::fs::read_dir("/proc/self/fd").expect("proc").count();
            let filling = || Sealed::filled("polypool-test", 5, |_| panic!("it fails"));
            assert!(std::panic::catch_unwind(filling).is_err());
            // Other tests open and close files at the same time.
            assert!(std::fs::read_dir("/proc/self/fd").expect("proc").count() < before + 50);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    /// Bytes of this process alone: there are no others to map them.
    #[derive(Debug)]
    pub(crate) struct Sealed(Vec<u64>, usize);

    impl Sealed {
        pub(crate) fn copy_of(name: &str, bytes: &[u8]) -> io::Result<Self> {
            Self::filled(name, bytes.len(), |to| to.copy_from_slice(bytes))
        }

        pub(crate) fn filled(_: &str, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
            // Words, so that what is read there finds itself aligned.
            let mut words = vec![0_u64; len.div_ceil(8)];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            fill(&mut bytes[..len]);
            Ok(Self(words, len))
        }

        pub(crate) fn bytes(&self) -> &[u8] {
            let bytes: &[u8] = bytemuck::cast_slice(&self.0);
            &bytes[..self.1]
        }
    }
}
