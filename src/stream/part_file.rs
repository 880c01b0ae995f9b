//! The file that is written beside an output: locked during the run, flushed to the disk, then renamed.

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

/// Bytes after which a flush to the disk begins.
const FLUSH_BYTES: usize = 32 << 20;

/// How often the part file is opened again because the run that owned it ended in between.
const ATTEMPTS: usize = 100;

/// The part file of one output: `.NAME.qmill-part` in the folder of NAME.
///
/// The file is locked until this is dropped, so no other run writes, renames or removes it. The system
/// releases the lock of a process that is killed. Dropping removes the file unless it was
/// [renamed](Self::rename).
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    file: Arc<File>,
    renamed: bool,
}

/// Why a part file cannot be created.
#[derive(Debug)]
pub(super) enum PartFault {
    /// Another run owns it.
    InUse,
    /// An error of the operating system.
    Io(io::Error),
}

impl From<io::Error> for PartFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PartFile {
    /// Creates the empty part file of the output at `target`, and replaces one that a killed run left.
    ///
    /// If the file system has no locks, the name of the part file contains a unique number.
    pub(super) fn create(target: &Path) -> Result<Self, PartFault> {
        let path = part_path(target, "");
        for _ in 0..ATTEMPTS {
            refuse_non_file(&path)?;
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PartFault::InUse),
                Err(TryLockError::Error(_)) => return Self::create_unlocked(target),
            }
            // Between opening and locking, the run that owned the file may have renamed or removed it. Then
            // the locked file is a finished output or has no name.
            if is_at(&file, &path)? {
                file.set_len(0)?;
                return Ok(Self { path, file: Arc::new(file), renamed: false });
            }
        }
        Err(PartFault::InUse)
    }

    /// [`create`](Self::create) under a name that no other run uses.
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

    /// Renames the file to `target` and replaces what is there. The lock stays until this is dropped.
    pub(super) fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.renamed {
            // The file is still locked, so it belongs to this run.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `.NAME.qmill-part` beside `target`. NAME may be any bytes.
fn part_path(target: &Path, number: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!("{number}.qmill-part"));
    target.with_file_name(name)
}

/// Refuses a link, which would empty another file, and a pipe, which would wait for a reader.
fn refuse_non_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("what is there is not a regular file")),
        _ => Ok(()),
    }
}

/// Whether `path` is the open `file` itself, not a link to it.
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

/// Writes a part file. [`flush`](Write::flush) waits until everything is on the disk.
///
/// At the end of a large file that would take long, so a thread flushes during the run. This also keeps the
/// system from filling its memory with unwritten bytes.
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
        // If the flusher is awake already, it flushes these bytes too, or it finds the next wake-up.
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
            // The system reports a failed write only once, to whichever thread flushes first.
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

    /// The state that a run finds if it has waited between opening and locking.
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
