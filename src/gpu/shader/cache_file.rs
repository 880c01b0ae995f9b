//! Writes files atomically, for other runs and processes to read.

use std::path::Path;
use std::{fs, io, process};

/// Writes a file and creates its folder if needed. The file is either complete or unchanged.
pub(in crate::gpu) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Written beside it and then renamed, so that nobody reads an incomplete file.
    let part = path.with_extension(format!("{}.part", process::id()));
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&part, bytes))
        .and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| {
        // The incomplete file, if any.
        let _ = fs::remove_file(&part);
    })
}
