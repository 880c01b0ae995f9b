//! Files that other runs and processes read: complete, or what they were before.

use std::path::Path;
use std::{fs, io, process};

/// Writes a file, and its folder where there is none.
pub(in crate::gpu) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Beside it first and then renamed, so that nobody reads half of it.
    let part = path.with_extension(format!("{}.part", process::id()));
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&part, bytes))
        .and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| {
        // What there is of it, if anything is.
        let _ = fs::remove_file(&part);
    })
}
