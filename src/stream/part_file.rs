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

impl PartFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Arc::new(File::create(path)?), unflushed_bytes: 0, flusher: None })
    }

    fn start_flusher(&self) -> Flusher {
        let (wake, woken) = bounded(1);
        let file = Arc::clone(&self.file);
        let thread = thread::spawn(move || woken.iter().try_for_each(|()| file.sync_data()));
        Flusher { wake, thread }
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(bytes)?;
        self.unflushed_bytes += written;
        if self.unflushed_bytes >= FLUSH_BYTES {
            if self.flusher.is_none() {
                self.flusher = Some(self.start_flusher());
            }
            // A flusher that is awake already will find these bytes too, or those after them.
            let _ = self.flusher.as_ref().map(|flusher| flusher.wake.try_send(()));
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
