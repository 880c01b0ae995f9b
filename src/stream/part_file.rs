//! A file that goes to the disk while it is written.

use crossbeam_channel::{Sender, bounded};
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// After this many bytes the disk is set to work.
const FLUSH_BYTES: usize = 32 << 20;

/// A new file whose [`flush`](Write::flush) waits until everything is on the disk.
///
/// That would take long at the end of a large file, so a thread flushes what is there while more is written; this
/// also keeps the system from filling its memory with bytes to write.
pub(super) struct PartFile {
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

impl PartFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Arc::new(File::create(path)?), unflushed_bytes: 0, flusher: None })
    }

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

impl Write for PartFile {
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
