//! Output files that appear under their names complete or not at all.

use super::Plan;
use super::destination::{Destination, folder_of, open_direct};
use super::part_file::{PartFault, PartFile};
use crate::gguf::{Model, split_suffix};
use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What becomes of a file that has the name of an output already.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Existing {
    /// It stays: there is an error, before anything is written.
    #[default]
    Refuse,
    /// It is replaced when the output is complete.
    Replace,
}

/// The files of one run. Those that are not committed are removed when this is dropped.
pub(super) struct Outputs {
    targets: Vec<Target>,
    existing: Existing,
}

/// One output.
#[derive(Debug)]
struct Target {
    /// The name that was given for it.
    path: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A file of this path, which is `part` until it is complete.
    File { path: PathBuf, part: PartFile },
    /// A device, a pipe or a descriptor.
    Direct(PathBuf),
}

impl Outputs {
    /// Checks that every file of `plan` may and can be written under `output`, and takes the names for this
    /// run.
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

    /// Gives every file its name, after all were flushed.
    ///
    /// Of several files the first, without which the others are no model, goes last: of a run that is killed
    /// in between there is no first file, and not some files of this run beside some of another.
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
            Err(PartFault::InUse) => return Err(Error::OutputInUse { path }),
            Err(PartFault::Io(source)) => return Err(io_error(&path, "create a file beside it")(source)),
        };
        // Another run may have finished it since it was looked for.
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

    /// The file that is written until it is complete.
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

    /// Takes back what [`commit`](Self::commit) did.
    fn remove(&self) {
        if let To::File { path, .. } = &self.to {
            // The error that led here is the one to tell.
            let _ = fs::remove_file(path);
        }
    }
}

/// A file that appears under its name complete or not at all, as the outputs of
/// [`quantize_file`](super::quantize_file).
///
/// It is written as `.NAME.qmill-part` in the same folder, which is locked: a second run with that output is
/// refused while this one lives, and what a dead one left is replaced. [`commit`](Self::commit) flushes it to
/// the disk and gives it its name; dropped before, it is removed. Where the name is a symbolic link, what the
/// link leads to is replaced. A device, a pipe or a descriptor such as `/dev/stdout` is written directly.
pub struct OutputFile {
    // Dropped first: it must not write to a file that is removed.
    writer: BufWriter<Box<dyn Write>>,
    target: Target,
    existing: Existing,
}

impl OutputFile {
    /// Opens the output at `path`.
    ///
    /// Fails with [`Error::OutputExists`] where there is a file, or a link that leads nowhere, and `existing`
    /// does not allow to replace it, with [`Error::OutputInUse`] and with [`Error::Io`].
    pub fn create(path: &Path, existing: Existing) -> Result<Self> {
        let destination = Destination::of(path)?;
        if matches!(destination, Destination::File(_)) {
            refuse_existing(path, existing)?;
        }
        let target = Target::create(path.to_owned(), destination, existing)?;
        Ok(Self { writer: target.open()?, target, existing })
    }

    /// Waits until everything is on the disk, and gives the file its name.
    ///
    /// Fails with [`Error::Io`], and with [`Error::OutputExists`] where somebody else has made a file of that
    /// name.
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
    /// The names of the files that [`write_files`](Self::write_files) makes of `output`: `output` itself, or
    /// as `gguf-split` has it `NAME-00001-of-00003.gguf` and so on.
    pub fn output_paths(&self, output: &Path) -> Vec<PathBuf> {
        if !self.is_split {
            return vec![output.to_owned()];
        }
        let count = self.files.len() as u64;
        // As llama-quantize, the name of the parts is that of the whole without its extension.
        let stem = if output.extension() == Some(OsStr::new("gguf")) {
            output.file_stem()
        } else {
            output.file_name()
        };
        let part = |number| {
            let mut name = stem.unwrap_or_default().to_owned();
            name.push(split_suffix(number, count));
            output.with_file_name(name)
        };
        (0..count).map(part).collect()
    }
}

fn refuse_input(model: &Model, path: &Path, destination: &Destination) -> Result<()> {
    let (Destination::File(end) | Destination::Direct(end)) = destination;
    // A device or a pipe is no file of the model, and to compare it would be to open it.
    let is_file = fs::metadata(end).is_ok_and(|found| found.is_file());
    let is_input = |input: &Path| same_file::is_same_file(input, end).unwrap_or(false);
    if is_file && model.shards().iter().any(|shard| is_input(shard.path())) {
        return Err(Error::SameFile { path: path.to_owned() });
    }
    Ok(())
}

/// A link that leads nowhere is there too.
fn refuse_existing(path: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Refuse && fs::symlink_metadata(path).is_ok() {
        return Err(Error::OutputExists { path: path.to_owned() });
    }
    Ok(())
}

/// Checks each folder for all the files that it gets.
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
            return Err(Error::NoSpace { folder: folder.to_owned(), needed_bytes, free_bytes });
        }
    }
    Ok(())
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, action, source }
}
