//! The place for one large argument or result: a file in memory that grows and stays warm. Who may write when is decided by who
//! uses it.

use std::{io, os::fd::AsFd};

use crate::sys::{
    roomy::roomy,
    shm::{Mapping, SharedFile},
};

/// Above this the memory of an arena is given back when it is free.
const KEEP: u64 = 256 << 20;

/// The steps in which a big arena grows.
const STEP: u64 = 256 << 20;

const LEAST: u64 = 1 << 20;

pub(crate) struct Arena {
    file: SharedFile,
    writable: bool,
    mapping: Option<Mapping>,
    /// A buffer that nobody needs any more: the pages of a fresh one cost more than what is copied there.
    spare: Option<Vec<u8>>,
}

impl Arena {
    pub(crate) fn new(file: SharedFile, writable: bool) -> Self {
        Self { file, writable, mapping: None, spare: None }
    }

    /// Puts a value there.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let wanted = if len > STEP { len.next_multiple_of(STEP) } else { len.next_power_of_two().max(LEAST) };
        if self.file.len()? < len {
            self.file.grow(wanted)?;
        }
        self.map(bytes.len())?.write(0, bytes);
        Ok(())
    }

    /// Copies the value of this length that is there.
    pub(crate) fn take(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let impossible = || io::Error::new(io::ErrorKind::InvalidData, "a length beyond the shared memory");
        let size = usize::try_from(len).map_err(|_| impossible())?;
        // What was written takes memory. A length that is only claimed does not, and is not to take ours.
        let there = rustix::fs::fstat(self.file.as_fd())?;
        if len > self.file.len()? || u64::try_from(there.st_blocks).unwrap_or(0).saturating_mul(512) < len {
            return Err(impossible());
        }
        let mut bytes = match self.spare.take() {
            Some(spare) if spare.capacity() >= size && spare.capacity() / 2 <= size => spare,
            _ => roomy(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?,
        };
        bytes.clear();
        self.map(size)?.read_into(0, size, &mut bytes);
        Ok(bytes)
    }

    /// Shows the value of this length, which its writer does not touch meanwhile.
    pub(crate) fn lend(&mut self, len: u64) -> io::Result<&[u8]> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        if len > self.file.len()? {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(self.map(size)?.lent(0, size))
    }

    /// A buffer for what is taken next, if it will do.
    pub(crate) fn reuse(&mut self, buffer: Vec<u8>) {
        if (1 << 20..=KEEP as usize).contains(&buffer.capacity()) {
            self.spare = Some(buffer);
        }
    }

    /// Is there much memory here that nobody uses just now?
    pub(crate) fn is_warm(&self) -> bool {
        self.spare.is_some() || self.is_mapped_large()
    }

    fn is_mapped_large(&self) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.len() as u64 > LEAST)
    }

    /// Gives back what nobody uses. Only while nobody does.
    pub(crate) fn cool_down(&mut self) {
        self.spare = None;
        if self.is_mapped_large() {
            let len = self.mapping.take().map_or(0, |mapping| mapping.len() as u64);
            // Memory that is not given back is used again.
            let _ = self.file.release(0, len);
        }
    }

    /// Lets go of it.
    pub(crate) fn forget(&mut self) {
        self.spare = None;
    }

    /// Nobody needs what is there any more.
    pub(crate) fn free(&mut self, len: u64) {
        if len > KEEP {
            self.mapping = None;
            // Memory that is not given back is used again.
            let _ = self.file.release(0, len.next_multiple_of(4096));
        }
    }

    fn map(&mut self, len: usize) -> io::Result<&Mapping> {
        let mapping = match self.mapping.take() {
            Some(mapping) if mapping.len() >= len => mapping,
            _ => {
                let size = usize::try_from(self.file.len()?).map_err(io::Error::other)?;
                Mapping::new(&self.file.as_fd(), size, self.writable)?
            }
        };
        Ok(self.mapping.insert(mapping))
    }
}
