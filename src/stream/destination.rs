//! What the path of an output leads to: a file that is replaced as a whole, or something that is written
//! directly.

use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The most links that are followed; more count as a cycle, as in Linux.
const MAX_LINKS: usize = 40;

/// Where the bytes of an output go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Destination {
    /// A regular file or a free name: the path itself, or the target of a symbolic link.
    File(PathBuf),
    /// A device, a pipe, or a descriptor such as `/dev/stdout`, whatever it refers to.
    Direct(PathBuf),
}

impl Destination {
    /// Follows the links of `path`. Fails with [`Error::Io`] if they lead to a folder or form a cycle.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let cannot_write = |source| Error::Io { path: path.to_owned(), action: "write", source };
        let mut end = path.to_owned();
        for _ in 0..MAX_LINKS {
            if descriptor(&end).is_some() {
                return Ok(Self::Direct(end));
            }
            match fs::symlink_metadata(&end) {
                // A link is relative to its own folder.
                Ok(found) if found.is_symlink() => {
                    let target = fs::read_link(&end).map_err(cannot_write)?;
                    end = folder_of(&end).join(target);
                }
                Ok(found) if found.is_dir() => {
                    return Err(cannot_write(io::ErrorKind::IsADirectory.into()));
                }
                Ok(found) if !found.is_file() => return Ok(Self::Direct(end)),
                // Other errors are reported when the file is created.
                _ => return Ok(Self::File(end)),
            }
        }
        Err(cannot_write(io::Error::other("too many symbolic links, one after another")))
    }
}

/// The folder that `path` is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens what a [`Destination::Direct`] names.
///
/// This process's own standard output is written at its current position, as after `>>`. A regular file
/// behind another descriptor is emptied, as by any program that opens it by that name.
pub(super) fn open_direct(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        match descriptor(path) {
            Some(Descriptor::Own(1)) => return Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Some(Descriptor::Own(2)) => return Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
            _ => {}
        }
    }
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    OpenOptions::new().write(true).truncate(is_file).open(path)
}

/// Whether an output with this path goes to the standard output of this process, as `/dev/stdout` does.
pub fn is_stdout(path: &Path) -> bool {
    match Destination::of(path) {
        Ok(Destination::Direct(end)) => descriptor(&end) == Some(Descriptor::Own(1)),
        _ => false,
    }
}

/// A path that names an open file of a process, not a file in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Descriptor {
    /// Of this process, with its number.
    Own(u32),
    /// Of another process.
    #[cfg_attr(not(unix), expect(dead_code, reason = "descriptors have no paths there"))]
    Other,
}

/// Recognizes `/proc/PID/fd/N` and `/dev/fd/N`, also by way of links to that folder.
#[cfg(unix)]
fn descriptor(path: &Path) -> Option<Descriptor> {
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let folder = fs::canonicalize(folder_of(path)).ok()?;
    let own = ["/proc/self/fd", "/dev/fd"];
    if own.iter().any(|own| fs::canonicalize(own).is_ok_and(|own| own == folder)) {
        return Some(Descriptor::Own(number));
    }
    (folder.starts_with("/proc") && folder.ends_with("fd")).then_some(Descriptor::Other)
}

#[cfg(not(unix))]
fn descriptor(_: &Path) -> Option<Descriptor> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_to_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        symlink("sub/b", path("a")).unwrap();
        symlink("../c", path("sub/b")).unwrap();
        // A dangling link: the result is the path where a file would be.
        assert_eq!(Destination::of(&path("a")).unwrap(), Destination::File(path("sub/../c")));
        fs::write(path("c"), "").unwrap();
        assert_eq!(Destination::of(&path("a")).unwrap(), Destination::File(path("sub/../c")));
        assert_eq!(Destination::of(&path("c")).unwrap(), Destination::File(path("c")));
        assert_eq!(Destination::of(&path("new")).unwrap(), Destination::File(path("new")));

        symlink(path("sub"), path("folder")).unwrap();
        assert!(Destination::of(&path("folder")).is_err());
        symlink("circle", path("circle")).unwrap();
        assert!(Destination::of(&path("circle")).is_err());
    }

    #[test]
    fn devices_and_descriptors_are_written_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let null = Path::new("/dev/null");
        assert_eq!(Destination::of(null).unwrap(), Destination::Direct(null.to_owned()));
        let link = folder.path().join("link");
        symlink("/dev/stdout", &link).unwrap();
        for path in [Path::new("/dev/stdout"), Path::new("/dev/fd/1"), Path::new("/proc/self/fd/1"), &link] {
            assert!(matches!(Destination::of(path).unwrap(), Destination::Direct(_)), "{}", path.display());
            assert!(is_stdout(path), "{}", path.display());
        }
        assert!(!is_stdout(Path::new("/dev/fd/2")) && !is_stdout(null));
        // A file whose name is a number is not a descriptor.
        assert_eq!(descriptor(&folder.path().join("1")), None);
    }
}
