//! A file that is written beside its place: locked while its run lives, and on the disk before it gets its
//! name.

use crossbeam_channel::{Sender, bounded};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// After this many bytes the disk is set to work.
const FLUSH_BYTES: usize = 32 << 20;

/// How often a part file is opened anew because the run that had it ended in between.
const ATTEMPTS: usize = 100;

/// The part file of one output: `.NAME.qmill-part` in the folder of NAME.
///
/// While this lives, the file is locked, so no other run writes, renames or removes it. The system ends the
/// lock of a process that is killed. The file is removed when this is dropped, unless
/// [`rename`](Self::rename) gave it its name.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    file: Arc<File>,
    renamed: bool,
}

/// Why there is no part file.
#[derive(Debug)]
pub(super) enum PartFault {
    /// Another run has it.
    InUse,
    /// The system refused.
    Io(io::Error),
}

impl From<io::Error> for PartFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PartFile {
    /// Creates the part file of the output at `target`, empty; what a dead run left there is replaced.
    ///
    /// Where the file system has no locks, the name of the part carries a number of its own.
    pub(super) fn create(target: &Path) -> Result<Self, PartFault> {
        let path = part_path(target, "");
        for _ in 0..ATTEMPTS {
            refuse_what_is_no_file(&path)?;
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PartFault::InUse),
                Err(TryLockError::Error(_)) => return Self::create_unlocked(target),
            }
            // Between opening and locking the run that had the file may have renamed or removed it. What is
            // locked then is a finished output, or nothing.
            if is_at(&file, &path)? {
                file.set_len(0)?;
                return Ok(Self { path, file: Arc::new(file), renamed: false });
            }
        }
        Err(PartFault::InUse)
    }

    /// As [`create`](Self::create), under a name that no other run takes.
    fn create_unlocked(target: &Path) -> Result<Self, PartFault> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = part_path(target, &format!(".{}.{number}", process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file: Arc::new(file), renamed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes to the file from its start.
    pub(super) fn writer(&self) -> PartWriter {
        PartWriter { file: Arc::clone(&self.file), unflushed_bytes: 0, flusher: None }
    }

    /// Gives the file its name, in place of what is there. The lock stays until this is dropped.
    pub(super) fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.renamed {
            // Still locked, so it is this run's.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `.NAME.qmill-part` beside `target`, whatever bytes NAME has.
fn part_path(target: &Path, number: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!("{number}.qmill-part"));
    target.with_file_name(name)
}

/// A link would have another file emptied, a pipe would wait for a reader.
fn refuse_what_is_no_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("what is there is not a regular file")),
        _ => Ok(()),
    }
}

/// Whether `path` itself, and no link there, is the open `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let open = same_file::Handle::from_file(file.try_clone()?)?;
    match same_file::Handle::from_path(path) {
        Ok(found) => Ok(found == open),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a part file; [`flush`](Write::flush) waits until everything is on the disk.
///
/// That would take long at the end of a large file, so a thread flushes what is there while more is written; this
/// also keeps the system from filling its memory with bytes to write.
pub(super) struct PartWriter {
    file: Arc<File>,
    unflushed_bytes: usize,
    flusher: Option<Flusher>,
}

struct Flusher {
    wake: Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn start(file: Arc<File>) -> io::Result<Self> {
        let (wake, woken) = bounded(1);
        let flush = move || woken.iter().try_for_each(|()| file.sync_data());
        Ok(Self { wake, thread: thread::Builder::new().spawn(flush)? })
    }
}

impl PartWriter {
    fn wake_flusher(&mut self) -> io::Result<()> {
        let flusher = match self.flusher.take() {
            Some(flusher) => flusher,
            None => Flusher::start(Arc::clone(&self.file))?,
        };
        // One that is awake already will find these bytes too, or those after them.
        let _ = flusher.wake.try_send(());
        self.flusher = Some(flusher);
        Ok(())
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(bytes)?;
        self.unflushed_bytes += written;
        if self.unflushed_bytes >= FLUSH_BYTES {
            self.wake_flusher()?;
            self.unflushed_bytes = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(Flusher { wake, thread }) = self.flusher.take() {
            mem::drop(wake);
            // The system tells of a failed write once, whoever asks.
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the flushing thread panicked")))?;
        }
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_owner_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let first = PartFile::create(&target).unwrap();
        assert!(matches!(PartFile::create(&target), Err(PartFault::InUse)));
        first.writer().write_all(b"first").unwrap();
        assert_eq!(fs::read(first.path()).unwrap(), b"first");
        drop(first);
        assert!(!folder.path().join(".out.qmill-part").exists());

        fs::write(folder.path().join(".out.qmill-part"), "left by a dead run").unwrap();
        let mut second = PartFile::create(&target).unwrap();
        second.writer().write_all(b"second").unwrap();
        second.rename(&target).unwrap();
        // Finished, but not yet let go: the name of the part is free.
        let third = PartFile::create(&target).unwrap();
        drop((second, third));
        assert_eq!(fs::read(&target).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// What a run finds that has waited between opening and locking.
    #[test]
    fn a_file_that_got_its_name_is_not_at_the_place_of_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let mut part = PartFile::create(&target).unwrap();
        let path = part.path().to_owned();
        let opened_before = File::open(&path).unwrap();
        assert!(is_at(&opened_before, &path).unwrap());
        part.rename(&target).unwrap();
        assert!(!is_at(&opened_before, &path).unwrap());
        fs::write(&path, "of another run").unwrap();
        assert!(!is_at(&opened_before, &path).unwrap());
    }

    #[test]
    fn where_nothing_is_locked_every_part_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let parts = [(); 2].map(|()| PartFile::create_unlocked(&target).unwrap());
        assert_ne!(parts[0].path(), parts[1].path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(parts);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_part_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, mine) = (folder.path().join("out"), folder.path().join("mine"));
        fs::write(&mine, "mine").unwrap();
        std::os::unix::fs::symlink(&mine, folder.path().join(".out.qmill-part")).unwrap();
        assert!(matches!(PartFile::create(&target), Err(PartFault::Io(_))));
        assert_eq!(fs::read(&mine).unwrap(), b"mine");
    }
}
