//! The image of the running program: where it lies in memory, what it is, and records in it that another process of the same
//! image finds by their offset. Owns the checks that make an offset a reference; does not know what records are for.

use std::{
    ffi::{c_int, c_void},
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};

/// Something constant in the image that can be named by where it is.
///
/// A record is made in a constant (`const { &Record::new(value) }`), so that it is part of the image: in data that is only read,
/// or read only after the addresses in it were relocated.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record<T> {
    magic: [u64; 3],
    size: u64,
    value: T,
}

/// Drawn by lot.
const MAGIC: [u64; 3] = [0x9d1f_6ac3_52e8_b047, 0x3be0_74d9_8c15_fa62, 0xc658_0e2b_d7f1_934a];

impl<T: Copy + Sync + 'static> Record<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { magic: MAGIC, size: size_of::<Self>() as u64, value }
    }

    /// What is recorded.
    pub(crate) const fn value(&self) -> T {
        self.value
    }
}

/// Where a record is, from the base of the main image: the same in all processes of it. None when it is not in the main image
/// but, say, in a shared library.
pub(crate) fn offset_of<T: Copy + Sync + 'static>(record: &'static Record<T>) -> Option<u64> {
    let image = image();
    let address = std::ptr::from_ref(record).addr();
    image.holds(address, size_of::<Record<T>>()).then(|| address.wrapping_sub(image.base) as u64)
}

/// The record at an offset that [`offset_of`] gave, in this process or another of the same image. None when there is none.
///
/// All records of one size have one type: only one is used in a program.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn find<T: Copy + Sync + 'static>(offset: u64) -> Option<&'static Record<T>> {
    let image = image();
    let address = image.base.wrapping_add(usize::try_from(offset).ok()?);
    if !image.holds(address, size_of::<Record<T>>()) || !address.is_multiple_of(align_of::<Record<T>>()) {
        return None;
    }
    let record = std::ptr::with_exposed_provenance::<Record<T>>(address);
    // SAFETY: the whole record would lie in one segment of the image, which the loader mapped for reading and nobody unmaps as
    // long as the program runs, and is aligned. The words may be of anything: also of a variable that changes meanwhile, for which
    // the reads are volatile; any bits are a number.
    let (magic, size) = unsafe {
        ((&raw const (*record).magic).read_volatile(), (&raw const (*record).size).read_volatile())
    };
    if magic != MAGIC || size != size_of::<Record<T>>() as u64 {
        return None;
    }
    // SAFETY: nothing but a record begins with these 24 bytes drawn by lot, and it has the size of ours, hence the type: written
    // by the compiler, complete, and constant from before this program's first instruction to its end.
    Some(unsafe { &*record })
}

/// Where an address of the main image is, from its base. None when it is not in it. Allocates only when it is first called.
pub(super) fn offset(address: usize) -> Option<usize> {
    let image = image();
    image.holds(address, 1).then(|| address.wrapping_sub(image.base))
}

/// What tells one program from another, and from another build of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    build: Build,
}

impl Identity {
    /// Whether it is the same build, be it another copy of the file, perhaps on another machine.
    pub(crate) fn is_same_build(&self, other: &Self) -> bool {
        self.build == other.build && self.size == other.size
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Build {
    /// What the linker noted (`--build-id`).
    Id(Vec<u8>),
    /// Made of all that is loaded of the file; debug information is not.
    Hash(u64),
}

/// Who the running program is, also when its file has been deleted or replaced meanwhile. Needs `/proc`, and an executable that
/// may be read.
pub(crate) fn identity() -> io::Result<Identity> {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    if let Some(known) = IDENTITY.get() {
        return Ok(known.clone());
    }
    let file = File::open(executable())?;
    let meta = file.metadata()?;
    let build = match build_id(&file)? {
        Some(id) => Build::Id(id),
        None => Build::Hash(hash(&file)?),
    };
    let modified = (meta.mtime(), meta.mtime_nsec());
    let identity = Identity { dev: meta.dev(), ino: meta.ino(), size: meta.size(), modified, build };
    Ok(IDENTITY.get_or_init(|| identity).clone())
}

/// What starts a copy of the running program, and never another that has taken its path.
pub(crate) fn executable() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// What the loader knows of the main image.
#[derive(Debug, Default)]
struct Image {
    /// What was added to the addresses in the file. 0 for a program that is linked to a fixed place.
    base: usize,
    loaded: Vec<Segment>,
    notes: Vec<Segment>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    /// In memory.
    start: usize,
    len: usize,
    is_readable: bool,
    /// In the file.
    at: usize,
    file_len: usize,
    align: usize,
}

impl Image {
    /// Whether `len` bytes at an address lie in one segment that can be read.
    fn holds(&self, address: usize, len: usize) -> bool {
        self.loaded.iter().filter(|segment| segment.is_readable).any(|segment| {
            let into = address.checked_sub(segment.start);
            into.and_then(|into| into.checked_add(len)).is_some_and(|end| end <= segment.len)
        })
    }
}

#[allow(unsafe_code, reason = "the room for it")]
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();

    unsafe extern "C" fn take_first(info: *mut libc::dl_phdr_info, _: usize, image: *mut c_void) -> c_int {
        // SAFETY: the C library hands over a description of an image that is valid during the call. `image` is what `image()`
        // passes below: a value that outlives the call and that nobody else refers to.
        let (info, image) = unsafe { (&*info, &mut *image.cast::<Image>()) };
        let headers: &[_] = if info.dlpi_phnum == 0 {
            &[]
        } else {
            // SAFETY: the headers are part of the image, as many as the description says, and constant.
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) }
        };
        image.base = info.dlpi_addr as usize;
        for header in headers {
            let segment = Segment {
                start: image.base.wrapping_add(header.p_vaddr as usize),
                len: header.p_memsz as usize,
                is_readable: header.p_flags & libc::PF_R != 0,
                at: header.p_offset as usize,
                file_len: header.p_filesz as usize,
                align: header.p_align as usize,
            };
            match header.p_type {
                libc::PT_LOAD => image.loaded.push(segment),
                libc::PT_NOTE => image.notes.push(segment),
                _ => {}
            }
        }
        // The first is the program itself, and no other is wanted.
        1
    }

    IMAGE.get_or_init(|| {
        let mut image = Image::default();
        // SAFETY: the callback has the type that is asked for, does not unwind but for want of memory (which aborts), and gets a
        // pointer to `image`, which is borrowed for nothing else until the call returns.
        unsafe { libc::dl_iterate_phdr(Some(take_first), (&raw mut image).cast()) };
        image
    })
}

/// The linker's mark, if there is one.
fn build_id(file: &File) -> io::Result<Option<Vec<u8>>> {
    for segment in &image().notes {
        // Notes are short; what is not is none of ours.
        let mut bytes = vec![0; segment.file_len.min(1 << 16)];
        file.read_exact_at(&mut bytes, segment.at as u64)?;
        if let Some(id) = build_id_in(&bytes, segment.align) {
            return Ok(Some(id.to_vec()));
        }
    }
    Ok(None)
}

/// Looks through notes: three numbers each (length of the name, of the content, and what it is), then both, padded.
fn build_id_in(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: usize = 3;
    let align = if align == 8 { 8 } else { 4 };
    let number =
        |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    loop {
        let (name_len, len, kind) = (number(notes, 0)?, number(notes, 4)?, number(notes, 8)?);
        let start = name_len.checked_add(12)?.checked_next_multiple_of(align)?;
        let name = notes.get(12..name_len.checked_add(12)?)?;
        let content = notes.get(start..start.checked_add(len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !content.is_empty() {
            return Some(content);
        }
        notes = notes.get(start.checked_add(len)?.checked_next_multiple_of(align)?..)?;
    }
}

/// FNV-1a, by words, over the contents of the file that are loaded.
fn hash(file: &File) -> io::Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut bytes = vec![0; 1 << 18];
    for segment in &image().loaded {
        let (mut at, end) = (segment.at, segment.at.saturating_add(segment.file_len));
        while at < end {
            let part = &mut bytes[..(end - at).min(1 << 18)];
            file.read_exact_at(part, at as u64)?;
            at += part.len();
            let (words, rest) = part.as_chunks::<8>();
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            for word in words.iter().chain([&last]) {
                hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Function = fn(u32) -> u32;

    fn record<const N: u32>() -> &'static Record<Function> {
        const { &Record::new(|n| n + N) }
    }

    #[test]
    fn records_are_found_by_their_offsets() {
        for record in [record::<1>(), record::<2>()] {
            let offset = offset_of(record).expect("this program has one image");
            let found = find::<Function>(offset).expect("it is there");
            assert!(std::ptr::eq(found, record));
            assert_eq!(found.value()(10), record.value()(10));
        }
        assert_eq!(record::<2>().value()(10), 12);
    }

    #[test]
    fn a_wrong_offset_finds_nothing() {
        let offset = offset_of(record::<1>()).expect("in the image");
        for wrong in (1..8).map(|by| offset + by).chain([offset - 8, offset + 8, offset ^ (1 << 40)]) {
            assert!(find::<Function>(wrong).is_none(), "{wrong}");
        }
        for wrong in [0, 8, u64::MAX, u64::MAX - 7, 1 << 47, u64::MAX / 2] {
            assert!(find::<Function>(wrong).is_none(), "{wrong}");
        }
        // The right place, the wrong type.
        assert!(find::<[Function; 2]>(offset).is_none());
        assert!(find::<()>(offset).is_none());
        let image = image();
        for segment in &image.loaded {
            let end = segment.start.wrapping_add(segment.len).wrapping_sub(image.base) as u64;
            for near in (end.saturating_sub(64)..end + 64).step_by(8) {
                assert!(find::<Function>(near).is_none());
            }
        }
    }

    #[test]
    fn a_record_outside_the_image_has_no_offset() {
        let elsewhere: &'static Record<Function> = Box::leak(Box::new(Record::new(u32::to_be as Function)));
        assert_eq!(offset_of(elsewhere), None);
    }

    #[test]
    fn the_program_knows_itself() {
        let this = identity().expect("it can be read");
        assert_eq!(this, identity().expect("again"));
        let meta = std::fs::metadata(std::env::current_exe().expect("path")).expect("still there");
        assert_eq!((this.dev, this.ino, this.size), (meta.dev(), meta.ino(), meta.size()));
        let travelled = postcard::from_bytes(&postcard::to_stdvec(&this).expect("encode")).expect("decode");
        assert_eq!(this, travelled);
        let file = File::open(executable()).expect("open");
        assert_eq!(hash(&file).expect("read"), hash(&file).expect("read"));
        let copy = Identity { ino: this.ino + 1, ..this.clone() };
        assert!(copy != this && copy.is_same_build(&this));
        let other = Identity { build: Build::Hash(0), ..this.clone() };
        assert!(!other.is_same_build(&this));
    }

    #[test]
    fn a_build_id_is_found_among_notes() {
        let note = |kind: u32, name: &[u8], content: &[u8], align: usize| {
            let mut bytes = Vec::new();
            for number in [name.len() as u32, content.len() as u32, kind] {
                bytes.extend(number.to_ne_bytes());
            }
            for part in [name, content] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(align), 0);
            }
            bytes
        };
        for align in [4, 8] {
            let mut notes = note(1, b"GNU\0", b"version", align);
            notes.extend(note(3, b"FreeBSD\0", b"x", align));
            assert_eq!(build_id_in(&notes, align), None);
            notes.extend(note(3, b"GNU\0", b"the mark", align));
            assert_eq!(build_id_in(&notes, align), Some(&b"the mark"[..]));
            assert_eq!(build_id_in(&notes[..notes.len() - 4], align), None);
        }
        assert_eq!(build_id_in(&[0xff; 64], 4), None);
        assert_eq!(build_id_in(&[], 4), None);
    }
}
