//! Output files that appear under their names only when they are complete.

use super::Plan;
use super::destination::{Destination, folder_of, open_direct};
use super::part_file::{PartFault, PartFile};
use crate::error::OutputFault;
use crate::gguf::{Model, split_suffix};
use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What to do if a file has the name of an output already.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Existing {
    /// Keep it and fail before anything is written.
    #[default]
    Refuse,
    /// Replace it when the output is complete.
    Replace,
}

/// The output files of one run. Files that are not committed are removed on drop.
pub(super) struct Outputs {
    targets: Vec<Target>,
    existing: Existing,
}

/// One output.
#[derive(Debug)]
struct Target {
    /// The path as given.
    path: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A file with this path, written as `part` until it is complete.
    File { path: PathBuf, part: PartFile },
    /// A device, a pipe or a descriptor.
    Direct(PathBuf),
}

impl Outputs {
    /// Checks that every file of `plan` may and can be written, and locks the names for this run.
    pub(super) fn create(model: &Model, plan: &Plan, output: &Path, existing: Existing) -> Result<Self> {
        let paths = plan.output_paths(output);
        let destinations = paths.iter().map(|path| Destination::of(path)).collect::<Result<Vec<_>>>()?;
        for (path, destination) in paths.iter().zip(&destinations) {
            refuse_input(model, path, destination)?;
            if matches!(destination, Destination::File(_)) {
                refuse_existing(path, existing)?;
            }
        }
        check_space(plan, &destinations)?;
        let targets = paths.into_iter().zip(destinations);
        let targets = targets.map(|(path, to)| Target::create(path, to, existing)).collect::<Result<_>>()?;
        Ok(Self { targets, existing })
    }

    /// Opens file `index` for writing.
    pub(super) fn open(&self, index: usize) -> Result<BufWriter<Box<dyn Write>>> {
        self.targets[index].open()
    }

    /// Renames every file to its final name. All files are flushed.
    ///
    /// The first of several files is removed first and renamed last, because the others are no model without
    /// it: a run that is killed in between leaves no first file, and never files of two runs that look like
    /// one model.
    pub(super) fn commit(mut self) -> Result<()> {
        for target in &self.targets {
            target.refuse_existing(self.existing)?;
        }
        if let [Target { path: given, to: To::File { path, .. } }, _, ..] = self.targets.as_slice() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(given, "replace")(error));
                }
                _ => {}
            }
        }
        for index in (0..self.targets.len()).rev() {
            if let Err(error) = self.targets[index].commit() {
                self.targets[index + 1..].iter().for_each(Target::remove);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Names the file in an error of writing it.
    pub(super) fn name(&self, error: Error) -> Error {
        match error {
            Error::Write { file_index, source } => {
                io_error(self.targets[file_index].written(), "write")(source)
            }
            other => other,
        }
    }
}

impl Target {
    fn create(path: PathBuf, destination: Destination, existing: Existing) -> Result<Self> {
        let end = match destination {
            Destination::Direct(end) => return Ok(Self { path, to: To::Direct(end) }),
            Destination::File(end) => end,
        };
        let part = match PartFile::create(&end) {
            Ok(part) => part,
            Err(PartFault::InUse) => return Err(Error::Output { path, fault: OutputFault::InUse }),
            Err(PartFault::Io(source)) => return Err(io_error(&path, "create a file beside it")(source)),
        };
        // Another run may have finished the output since the check.
        refuse_existing(&path, existing)?;
        Ok(Self { path, to: To::File { path: end, part } })
    }

    fn open(&self) -> Result<BufWriter<Box<dyn Write>>> {
        let writer: Box<dyn Write> = match &self.to {
            To::File { part, .. } => Box::new(part.writer()),
            To::Direct(end) => Box::new(open_direct(end).map_err(io_error(&self.path, "open"))?),
        };
        Ok(BufWriter::new(writer))
    }

    /// The path that is written until the output is complete.
    fn written(&self) -> &Path {
        match &self.to {
            To::File { part, .. } => part.path(),
            To::Direct(_) => &self.path,
        }
    }

    fn refuse_existing(&self, existing: Existing) -> Result<()> {
        match self.to {
            To::File { .. } => refuse_existing(&self.path, existing),
            To::Direct(_) => Ok(()),
        }
    }

    fn commit(&mut self) -> Result<()> {
        match &mut self.to {
            To::File { path, part } => {
                part.rename(path).map_err(io_error(&self.path, "rename the finished file to"))
            }
            To::Direct(_) => Ok(()),
        }
    }

    /// Undoes [`commit`](Self::commit).
    fn remove(&self) {
        if let To::File { path, .. } = &self.to {
            // The first error is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

/// A file that appears under its name only when it is complete, like the outputs of
/// [`quantize_file`](super::quantize_file).
///
/// It is written as `.NAME.qmill-part` in the same folder. That file is locked: a second run with the same
/// output is refused meanwhile, and a file left by a killed run is replaced. [`commit`](Self::commit) flushes
/// the file to the disk and renames it. Dropping it without a commit removes it. If the name is a symbolic
/// link, the target of the link is replaced. A device, a pipe or a descriptor such as `/dev/stdout` is
/// written directly.
pub struct OutputFile {
    // Dropped first, because it must not write to a file that is removed.
    writer: BufWriter<Box<dyn Write>>,
    target: Target,
    existing: Existing,
}

impl OutputFile {
    /// Opens the output at `path`.
    ///
    /// Fails with [`OutputFault::Exists`] if there is a file, or a link without a target, that `existing`
    /// does not allow to replace, with [`OutputFault::InUse`] and with [`Error::Io`].
    pub fn create(path: &Path, existing: Existing) -> Result<Self> {
        let destination = Destination::of(path)?;
        if matches!(destination, Destination::File(_)) {
            refuse_existing(path, existing)?;
        }
        let target = Target::create(path.to_owned(), destination, existing)?;
        Ok(Self { writer: target.open()?, target, existing })
    }

    /// Waits until everything is on the disk and renames the file.
    ///
    /// Fails with [`Error::Io`], and with [`OutputFault::Exists`] if another program has created a file of
    /// that name.
    pub fn commit(mut self) -> Result<()> {
        self.writer.flush().map_err(io_error(self.target.written(), "write"))?;
        self.target.refuse_existing(self.existing)?;
        self.target.commit()
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Plan {
    /// The paths of the files that [`write_files`](Self::write_files) writes: `output` itself, or
    /// `NAME-00001-of-00003.gguf` and so on, as `gguf-split` names them.
    pub fn output_paths(&self, output: &Path) -> Vec<PathBuf> {
        if !self.is_split {
            return vec![output.to_owned()];
        }
        let count = self.files.len() as u64;
        // As in llama-quantize, the names of the files begin with `output` without its extension.
        let stem = if output.extension() == Some(OsStr::new("gguf")) {
            output.file_stem()
        } else {
            output.file_name()
        };
        let path = |number| {
            let mut name = stem.unwrap_or_default().to_owned();
            name.push(split_suffix(number, count));
            output.with_file_name(name)
        };
        (0..count).map(path).collect()
    }
}

fn refuse_input(model: &Model, path: &Path, destination: &Destination) -> Result<()> {
    let (Destination::File(end) | Destination::Direct(end)) = destination;
    // A device or a pipe is not a file of the model, and comparing it would open it.
    let is_file = fs::metadata(end).is_ok_and(|found| found.is_file());
    let is_input = |input: &Path| same_file::is_same_file(input, end).unwrap_or(false);
    if is_file && model.shards().iter().any(|shard| is_input(shard.path())) {
        return Err(Error::Output { path: path.to_owned(), fault: OutputFault::SameFile });
    }
    Ok(())
}

/// A link without a target exists too.
fn refuse_existing(path: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Refuse && fs::symlink_metadata(path).is_ok() {
        return Err(Error::Output { path: path.to_owned(), fault: OutputFault::Exists });
    }
    Ok(())
}

/// Checks the free space of each folder for all its files.
fn check_space(plan: &Plan, destinations: &[Destination]) -> Result<()> {
    let mut needed: Vec<(&Path, u64)> = Vec::new();
    for (file, destination) in plan.files.iter().zip(destinations) {
        let Destination::File(end) = destination else { continue };
        let (folder, bytes) = (folder_of(end), file.layout.file_bytes());
        match needed.iter_mut().find(|(known, _)| *known == folder) {
            Some((_, sum)) => *sum += bytes,
            None => needed.push((folder, bytes)),
        }
    }
    for (folder, needed_bytes) in needed {
        let free_bytes = fs4::available_space(folder).map_err(io_error(folder, "use"))?;
        if needed_bytes > free_bytes {
            let fault = OutputFault::NoSpace { needed_bytes, free_bytes };
            return Err(Error::Output { path: folder.to_owned(), fault });
        }
    }
    Ok(())
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, action, source }
}
