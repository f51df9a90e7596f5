//! Reads the small files of `/proc` and `/sys` below a root. Must not know what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No file of ours is longer on any real machine (the longest is `/proc/cpuinfo`, some 2 KiB per CPU);
/// reading more would let a broken one take the memory.
const LONGEST: u64 = 16 << 20;

/// Turns a path of the machine into one below `root`.
pub(super) fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

pub(super) fn bytes(root: &Path, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(below(root, path))?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that is text on any sane machine: what is not UTF-8 in it becomes U+FFFD, which no parser
/// accepts.
pub(super) fn text(root: &Path, path: impl AsRef<Path>) -> Result<String, String> {
    let bytes = bytes(root, path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
