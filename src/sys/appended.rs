//! A file in memory that is appended to. Owns how it is made; what is written into it is others'.

use std::{fs::File, io, os::fd::OwnedFd};

use rustix::{
    fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create},
    io::Errno,
};

/// A file in memory, to be appended to: also by a program that opens `/dev/stdout` anew.
pub(crate) fn appended(name: &str) -> io::Result<File> {
    // As `SharedFile` does. This one may shrink, because programs truncate what they write to; nobody maps it.
    let fd: OwnedFd = match memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, MemfdFlags::CLOEXEC)?,
        made => made?,
    };
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::APPEND)?;
    Ok(File::from(fd))
}
