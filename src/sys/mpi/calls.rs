//! The functions of MPI, by two conventions: handles are numbers in MPICH and its relatives, and addresses in Open MPI and in the
//! standard ABI of MPI 5. Owns the signatures and the constants, which were compared with `mpi.h` of MPICH 5.0 and Open MPI 4.1 and
//! 5.0, and with `mpi_abi.h`; knows no rule of when to call what.
#![allow(unsafe_code, reason = "the room for it")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io, ptr,
};

use libloading::os::unix::Library;

use super::Comm;

/// The functions that are used, with handles as plain words.
///
/// All but [`is_begun`](Self::is_begun) are for the thread that called [`begin`](Self::begin), between that and
/// [`finish`](Self::finish): [`Session`](super::Session) sees to it.
pub(super) trait Calls: Send {
    fn is_begun(&self) -> bool;
    fn begin(&self) -> io::Result<()>;
    fn finish(&self) -> io::Result<()>;
    fn abort(&self, code: c_int);
    fn world(&self) -> usize;
    fn parent(&self) -> io::Result<Option<usize>>;
    fn return_errors(&self, comm: Comm) -> io::Result<()>;
    /// The size of the other group where there are two.
    fn size(&self, comm: Comm) -> io::Result<c_int>;
    fn spawn(&self, program: &CStr, args: &[CString], n: c_int) -> io::Result<usize>;
    fn disconnect(&self, comm: Comm) -> io::Result<()>;
    /// The bytes must stay until the request that is given back is done.
    fn send(&self, bytes: &[u8], to: c_int, tag: c_int, comm: Comm) -> io::Result<usize>;
    /// The same holds here.
    fn receive(&self, bytes: &mut [u8], from: c_int, tag: c_int, comm: Comm) -> io::Result<usize>;
    fn test(&self, request: &mut usize) -> io::Result<bool>;
    fn probe(&self, tag: c_int, comm: Comm) -> io::Result<Option<(c_int, c_int)>>;
    fn lost(&self, comm: Comm) -> io::Result<Option<Vec<c_int>>>;
}

/// What MPI calls a handle.
trait Handle: Copy + Send + 'static {
    fn to_word(self) -> usize;
    fn of_word(word: usize) -> Self;
}

impl Handle for c_int {
    fn to_word(self) -> usize {
        self.cast_unsigned() as usize
    }

    #[allow(clippy::cast_possible_truncation, reason = "the word was made of a number of this size")]
    fn of_word(word: usize) -> Self {
        (word as u32).cast_signed()
    }
}

/// An address that is MPI's alone: nothing here follows it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Address(*mut c_void);

// SAFETY: it is never followed here, and what MPI does with it, it does on its own thread.
unsafe impl Send for Address {}

impl Handle for Address {
    fn to_word(self) -> usize {
        self.0.expose_provenance()
    }

    fn of_word(word: usize) -> Self {
        Self(ptr::with_exposed_provenance_mut(word))
    }
}

/// What is not the same in all libraries, beside the handles themselves.
struct Numbers {
    any_source: c_int,
    funneled: c_int,
    /// Where in a status the source is, in `int`s.
    source_at: usize,
    /// The classes of the errors that tell of a lost process.
    lost: [c_int; 3],
}

struct Known<H> {
    world: H,
    myself: H,
    comm_null: H,
    byte: H,
    info_null: H,
    errors_return: H,
}

/// As large as any library's `MPI_Status`: 20, 24 and 32 bytes.
#[repr(C, align(16))]
struct Status([c_int; 16]);

/// `MPI_MAX_ERROR_STRING`, and more than it is in any library.
const TEXT: usize = 1024;

/// `MPI_MAX_LIBRARY_VERSION_STRING`, which is 8192 in MPICH, and more.
const VERSION: usize = 1 << 14;

type ToComm<H> = unsafe extern "C" fn(H, *mut c_int) -> c_int;
type Flag = unsafe extern "C" fn(*mut c_int) -> c_int;

/// The functions of one library, for its kind of handle.
struct Table<H> {
    known: Known<H>,
    numbers: Numbers,
    initialized: Flag,
    finalized: Flag,
    init_thread: unsafe extern "C" fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int) -> c_int,
    finalize: unsafe extern "C" fn() -> c_int,
    abort: unsafe extern "C" fn(H, c_int) -> c_int,
    error_class: unsafe extern "C" fn(c_int, *mut c_int) -> c_int,
    error_string: unsafe extern "C" fn(c_int, *mut c_char, *mut c_int) -> c_int,
    set_errhandler: unsafe extern "C" fn(H, H) -> c_int,
    comm_size: ToComm<H>,
    comm_remote_size: ToComm<H>,
    comm_test_inter: ToComm<H>,
    comm_get_parent: unsafe extern "C" fn(*mut H) -> c_int,
    comm_spawn: Spawn<H>,
    comm_disconnect: unsafe extern "C" fn(*mut H) -> c_int,
    isend: unsafe extern "C" fn(*const c_void, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    irecv: unsafe extern "C" fn(*mut c_void, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    iprobe: unsafe extern "C" fn(c_int, c_int, H, *mut c_int, *mut Status) -> c_int,
    test: unsafe extern "C" fn(*mut H, *mut c_int, *mut Status) -> c_int,
    get_count: unsafe extern "C" fn(*const Status, H, *mut c_int) -> c_int,
    tolerance: Option<Tolerance<H>>,
}

/// `MPI_Comm_spawn`.
type Spawn<H> =
    unsafe extern "C" fn(*const c_char, *mut *mut c_char, c_int, H, c_int, H, *mut H, *mut c_int) -> c_int;

/// What ULFM, the extension for faults, adds; and what reads its answers.
struct Tolerance<H> {
    failure_ack: unsafe extern "C" fn(H) -> c_int,
    failure_get_acked: unsafe extern "C" fn(H, *mut H) -> c_int,
    comm_group: unsafe extern "C" fn(H, *mut H) -> c_int,
    group_size: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    group_translate: unsafe extern "C" fn(H, c_int, *const c_int, H, *mut c_int) -> c_int,
    group_free: unsafe extern "C" fn(*mut H) -> c_int,
}

/// What a library says of itself, all of it. None if it is no library of MPI 3 or later.
pub(super) fn version(library: &Library) -> Option<String> {
    // SAFETY: `MPI_Get_library_version` has this signature in all versions of MPI that have it.
    let says = unsafe {
        library
            .get::<unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int>(b"MPI_Get_library_version\0")
            .ok()?
    };
    let mut text = vec![0_u8; VERSION];
    let mut len = 0;
    // SAFETY: it may be called before MPI has begun. The buffer is larger than any library's `MPI_MAX_LIBRARY_VERSION_STRING`.
    let code = unsafe { says(text.as_mut_ptr().cast(), &raw mut len) };
    if code != 0 {
        return None;
    }
    let text = CStr::from_bytes_until_nul(&text).ok()?;
    Some(text.to_string_lossy().into_owned())
}

/// MPICH, and what has its ABI.
pub(super) fn by_number(library: &Library) -> Result<Box<dyn Calls>, String> {
    let handle = c_int::from_ne_bytes;
    let known = Known {
        world: handle(0x4400_0000_u32.to_ne_bytes()),
        myself: handle(0x4400_0001_u32.to_ne_bytes()),
        comm_null: handle(0x0400_0000_u32.to_ne_bytes()),
        byte: handle(0x4c00_010d_u32.to_ne_bytes()),
        info_null: handle(0x1c00_0000_u32.to_ne_bytes()),
        errors_return: handle(0x5400_0001_u32.to_ne_bytes()),
    };
    let numbers = Numbers { any_source: -2, funneled: 1, source_at: 2, lost: [101, 102, 103] };
    Ok(Box::new(table::<c_int>(library, known, numbers)?))
}

/// Open MPI.
pub(super) fn by_address(library: &Library) -> Result<Box<dyn Calls>, String> {
    let address = |name: &str| {
        // SAFETY: the address of the object is all that is taken; nobody here reads what is there.
        let found = unsafe { library.get::<*mut c_void>(format!("{name}\0").as_bytes()) };
        found.map(|symbol| Address(symbol.as_raw_ptr())).map_err(|_| format!("it has no `{name}`"))
    };
    let known = Known {
        world: address("ompi_mpi_comm_world")?,
        myself: address("ompi_mpi_comm_self")?,
        comm_null: address("ompi_mpi_comm_null")?,
        byte: address("ompi_mpi_byte")?,
        info_null: address("ompi_mpi_info_null")?,
        errors_return: address("ompi_mpi_errors_return")?,
    };
    let numbers = Numbers { any_source: -1, funneled: 1, source_at: 0, lost: [75, 76, 77] };
    Ok(Box::new(table::<Address>(library, known, numbers)?))
}

/// The standard ABI of MPI 5.
pub(super) fn by_standard(library: &Library) -> Result<Box<dyn Calls>, String> {
    let known = Known {
        world: Address::of_word(0x101),
        myself: Address::of_word(0x102),
        comm_null: Address::of_word(0x100),
        byte: Address::of_word(0x247),
        info_null: Address::of_word(0x130),
        errors_return: Address::of_word(0x143),
    };
    // It has no numbers for losses.
    let numbers = Numbers { any_source: -1, funneled: 1024, source_at: 0, lost: [-1; 3] };
    Ok(Box::new(table::<Address>(library, known, numbers)?))
}

fn table<H: Handle>(library: &Library, known: Known<H>, numbers: Numbers) -> Result<Table<H>, String> {
    macro_rules! function {
        ($name:literal) => {
            // SAFETY: a function of that name has, in every library of MPI, the signature of the standard, which is that of the
            // field; the library stays loaded for good.
            match unsafe { library.get(concat!($name, "\0").as_bytes()) } {
                Ok(symbol) => *symbol,
                Err(_) => return Err(format!("it has no `{}`", $name)),
            }
        };
    }
    Ok(Table {
        initialized: function!("MPI_Initialized"),
        finalized: function!("MPI_Finalized"),
        init_thread: function!("MPI_Init_thread"),
        finalize: function!("MPI_Finalize"),
        abort: function!("MPI_Abort"),
        error_class: function!("MPI_Error_class"),
        error_string: function!("MPI_Error_string"),
        set_errhandler: function!("MPI_Comm_set_errhandler"),
        comm_size: function!("MPI_Comm_size"),
        comm_remote_size: function!("MPI_Comm_remote_size"),
        comm_test_inter: function!("MPI_Comm_test_inter"),
        comm_get_parent: function!("MPI_Comm_get_parent"),
        comm_spawn: function!("MPI_Comm_spawn"),
        comm_disconnect: function!("MPI_Comm_disconnect"),
        isend: function!("MPI_Isend"),
        irecv: function!("MPI_Irecv"),
        iprobe: function!("MPI_Iprobe"),
        test: function!("MPI_Test"),
        get_count: function!("MPI_Get_count"),
        tolerance: tolerance(library).ok(),
        known,
        numbers,
    })
}

fn tolerance<H: Handle>(library: &Library) -> Result<Tolerance<H>, String> {
    macro_rules! function {
        ($name:literal) => {
            // SAFETY: as above; those that begin with MPIX have the signatures of ULFM.
            match unsafe { library.get(concat!($name, "\0").as_bytes()) } {
                Ok(symbol) => *symbol,
                Err(_) => return Err(format!("it has no `{}`", $name)),
            }
        };
    }
    Ok(Tolerance {
        failure_ack: function!("MPIX_Comm_failure_ack"),
        failure_get_acked: function!("MPIX_Comm_failure_get_acked"),
        comm_group: function!("MPI_Comm_group"),
        group_size: function!("MPI_Group_size"),
        group_translate: function!("MPI_Group_translate_ranks"),
        group_free: function!("MPI_Group_free"),
    })
}

impl<H: Handle> Table<H> {
    fn check(&self, what: &str, code: c_int) -> io::Result<()> {
        if code == 0 {
            return Ok(());
        }
        let mut text = [0_u8; TEXT];
        let (mut len, mut class) = (0, 0);
        // SAFETY: the buffer is larger than any library's `MPI_MAX_ERROR_STRING`, both places for numbers are ours.
        let known = unsafe {
            (self.error_class)(code, &raw mut class) == 0
                && (self.error_string)(code, text.as_mut_ptr().cast(), &raw mut len) == 0
        };
        let text = match CStr::from_bytes_until_nul(&text) {
            Ok(text) if known => text.to_string_lossy().into_owned(),
            _ => format!("error {code}"),
        };
        let kind = if known && self.numbers.lost.contains(&class) {
            io::ErrorKind::ConnectionReset
        } else {
            io::ErrorKind::Other
        };
        Err(io::Error::new(kind, format!("{what}: {}", text.trim())))
    }

    fn number(&self, what: &str, call: ToComm<H>, comm: Comm) -> io::Result<c_int> {
        let mut number = 0;
        // SAFETY: the communicator is one that MPI gave, the place for the number is ours.
        self.check(what, unsafe { call(H::of_word(comm.0), &raw mut number) })?;
        Ok(number)
    }

    fn flag(call: Flag) -> bool {
        let mut flag = 0;
        // SAFETY: both that are called so may be called at any time, from any thread. The place for the answer is ours.
        unsafe { call(&raw mut flag) == 0 && flag != 0 }
    }

    fn len(bytes: &[u8]) -> io::Result<c_int> {
        c_int::try_from(bytes.len()).map_err(io::Error::other)
    }
}

impl<H: Handle> Calls for Table<H> {
    fn is_begun(&self) -> bool {
        Self::flag(self.initialized) || Self::flag(self.finalized)
    }

    fn begin(&self) -> io::Result<()> {
        let mut provided = 0;
        // SAFETY: MPI allows null for both arguments, and has not begun, as the caller has asked.
        let code = unsafe {
            (self.init_thread)(ptr::null_mut(), ptr::null_mut(), self.numbers.funneled, &raw mut provided)
        };
        // Before it has begun it can say no more of what is wrong.
        if code != 0 { Err(io::Error::other(format!("MPI_Init_thread gives error {code}"))) } else { Ok(()) }
    }

    fn finish(&self) -> io::Result<()> {
        // SAFETY: called once, by the thread that began.
        match unsafe { (self.finalize)() } {
            0 => Ok(()),
            code => Err(io::Error::other(format!("MPI_Finalize gives error {code}"))),
        }
    }

    fn abort(&self, code: c_int) {
        // SAFETY: the communicator is one that there always is.
        unsafe { (self.abort)(self.known.world, code) };
    }

    fn world(&self) -> usize {
        self.known.world.to_word()
    }

    fn parent(&self) -> io::Result<Option<usize>> {
        let mut parent = self.known.comm_null;
        // SAFETY: the place for the handle is ours.
        self.check("MPI_Comm_get_parent", unsafe { (self.comm_get_parent)(&raw mut parent) })?;
        let parent = parent.to_word();
        Ok((parent != self.known.comm_null.to_word()).then_some(parent))
    }

    fn return_errors(&self, comm: Comm) -> io::Result<()> {
        let handler = self.known.errors_return;
        // SAFETY: both handles are MPI's own.
        let code = unsafe { (self.set_errhandler)(H::of_word(comm.0), handler) };
        self.check("MPI_Comm_set_errhandler", code)
    }

    fn size(&self, comm: Comm) -> io::Result<c_int> {
        match self.number("MPI_Comm_test_inter", self.comm_test_inter, comm)? {
            0 => self.number("MPI_Comm_size", self.comm_size, comm),
            _ => self.number("MPI_Comm_remote_size", self.comm_remote_size, comm),
        }
    }

    fn spawn(&self, program: &CStr, args: &[CString], n: c_int) -> io::Result<usize> {
        let mut argv: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
        argv.push(ptr::null_mut());
        let mut codes = vec![0; usize::try_from(n).unwrap_or(0)];
        let mut comm = self.known.comm_null;
        // SAFETY: the strings and the list of them, which ends with null, live through the call, which does not change them; there
        // is room for `n` codes and for the handle.
        let code = unsafe {
            (self.comm_spawn)(
                program.as_ptr(),
                argv.as_mut_ptr(),
                n,
                self.known.info_null,
                0,
                self.known.myself,
                &raw mut comm,
                codes.as_mut_ptr(),
            )
        };
        self.check("MPI_Comm_spawn", code)?;
        Ok(comm.to_word())
    }

    fn disconnect(&self, comm: Comm) -> io::Result<()> {
        let mut comm = H::of_word(comm.0);
        // SAFETY: the place of the handle is ours; who calls does not use the communicator again.
        self.check("MPI_Comm_disconnect", unsafe { (self.comm_disconnect)(&raw mut comm) })
    }

    fn send(&self, bytes: &[u8], to: c_int, tag: c_int, comm: Comm) -> io::Result<usize> {
        let (len, mut request) = (Self::len(bytes)?, self.known.comm_null);
        // SAFETY: the buffer has as many bytes as is said, and stays until the request is done, which is the caller's promise.
        let code = unsafe {
            (self.isend)(
                bytes.as_ptr().cast(),
                len,
                self.known.byte,
                to,
                tag,
                H::of_word(comm.0),
                &raw mut request,
            )
        };
        self.check("MPI_Isend", code)?;
        Ok(request.to_word())
    }

    fn receive(&self, bytes: &mut [u8], from: c_int, tag: c_int, comm: Comm) -> io::Result<usize> {
        let (len, mut request) = (Self::len(bytes)?, self.known.comm_null);
        // SAFETY: the same; and nobody looks at the buffer before.
        let code = unsafe {
            (self.irecv)(
                bytes.as_mut_ptr().cast(),
                len,
                self.known.byte,
                from,
                tag,
                H::of_word(comm.0),
                &raw mut request,
            )
        };
        self.check("MPI_Irecv", code)?;
        Ok(request.to_word())
    }

    fn test(&self, request: &mut usize) -> io::Result<bool> {
        let (mut handle, mut flag) = (H::of_word(*request), 0);
        let mut status = Status([0; 16]);
        // SAFETY: the request is one that MPI gave; done ones were replaced by what it puts in their place.
        let code = unsafe { (self.test)(&raw mut handle, &raw mut flag, &raw mut status) };
        *request = handle.to_word();
        self.check("MPI_Test", code)?;
        Ok(flag != 0)
    }

    fn probe(&self, tag: c_int, comm: Comm) -> io::Result<Option<(c_int, c_int)>> {
        let mut flag = 0;
        let mut status = Status([0; 16]);
        let handle = H::of_word(comm.0);
        // SAFETY: the places for both answers are ours, and that for the status is larger than any library's.
        let code =
            unsafe { (self.iprobe)(self.numbers.any_source, tag, handle, &raw mut flag, &raw mut status) };
        self.check("MPI_Iprobe", code)?;
        if flag == 0 {
            return Ok(None);
        }
        let mut len = 0;
        // SAFETY: the status is one that MPI filled.
        let code = unsafe { (self.get_count)(&raw const status, self.known.byte, &raw mut len) };
        self.check("MPI_Get_count", code)?;
        Ok(Some((status.0[self.numbers.source_at], len)))
    }

    fn lost(&self, comm: Comm) -> io::Result<Option<Vec<c_int>>> {
        let Some(tolerance) = &self.tolerance else { return Ok(None) };
        let comm = H::of_word(comm.0);
        let (mut all, mut lost) = (self.known.comm_null, self.known.comm_null);
        let mut n = 0;
        // SAFETY: the communicator is MPI's, all places for answers are ours, and groups are used between being made and freed.
        unsafe {
            self.check("MPIX_Comm_failure_ack", (tolerance.failure_ack)(comm))?;
            self.check("MPIX_Comm_failure_get_acked", (tolerance.failure_get_acked)(comm, &raw mut lost))?;
            self.check("MPI_Comm_group", (tolerance.comm_group)(comm, &raw mut all))?;
            self.check("MPI_Group_size", (tolerance.group_size)(lost, &raw mut n))?;
            let among: Vec<c_int> = (0..n).collect();
            let mut ranks = vec![0; among.len()];
            let code = (tolerance.group_translate)(lost, n, among.as_ptr(), all, ranks.as_mut_ptr());
            self.check("MPI_Group_translate_ranks", code)?;
            (tolerance.group_free)(&raw mut all);
            if n > 0 {
                (tolerance.group_free)(&raw mut lost);
            }
            Ok(Some(ranks))
        }
    }
}
