//! Output files that appear under their names complete or not at all.

use super::Plan;
use super::part_file::PartFile;
use crate::gguf::{Model, split_suffix};
use crate::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The files of one run. Those that are not committed are removed when this is dropped.
pub(super) struct Outputs {
    targets: Vec<Target>,
}

struct Target {
    /// The name the file is to have.
    path: PathBuf,
    /// Where it is written until then; `None` for a device file or a pipe, which is written directly.
    part: Option<PathBuf>,
}

impl Outputs {
    /// Checks that every file of `plan` may and can be written under `output`; writes nothing.
    pub(super) fn check(model: &Model, plan: &Plan, output: &Path, overwrite: bool) -> Result<Self> {
        let targets = targets(plan, output)?;
        // A device or a pipe is no file of the model, and to compare it would be to open it.
        for Target { path, .. } in targets.iter().filter(|target| target.part.is_some()) {
            for shard in model.shards() {
                if same_file::is_same_file(shard.path(), path).unwrap_or(false) {
                    return Err(Error::SameFile { path: path.clone() });
                }
            }
            if path.exists() && !overwrite {
                return Err(Error::OutputExists { path: path.clone() });
            }
        }
        if targets.iter().any(|target| target.part.is_some()) {
            check_space(folder_of(output), plan.file_bytes())?;
        }
        Ok(Self { targets })
    }

    /// Opens file `index` for writing; a part that an interrupted run left there is replaced.
    pub(super) fn open(&self, index: usize) -> Result<BufWriter<Box<dyn Write>>> {
        let target = &self.targets[index];
        let path = target.part.as_ref().unwrap_or(&target.path);
        let file: io::Result<Box<dyn Write>> = match target.part {
            Some(_) => PartFile::create(path).map(|file| Box::new(file) as _),
            None => OpenOptions::new().write(true).open(path).map(|file| Box::new(file) as _),
        };
        file.map(BufWriter::new).map_err(io_error(path, "create"))
    }

    /// Gives every file its name, after all were flushed.
    pub(super) fn commit(mut self) -> Result<()> {
        for target in &mut self.targets {
            if let Some(part) = &target.part {
                fs::rename(part, &target.path)
                    .map_err(io_error(&target.path, "rename the finished file to"))?;
                target.part = None;
            }
        }
        Ok(())
    }

    /// Names the file in an error of writing it.
    pub(super) fn name(&self, error: Error) -> Error {
        match error {
            Error::Write { file_index, source } => {
                let target = &self.targets[file_index];
                io_error(target.part.as_ref().unwrap_or(&target.path), "write")(source)
            }
            other => other,
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for part in self.targets.iter().filter_map(|target| target.part.as_ref()) {
            // It may not have been created yet.
            let _ = fs::remove_file(part);
        }
    }
}

fn targets(plan: &Plan, output: &Path) -> Result<Vec<Target>> {
    if !plan.is_split {
        return Ok(vec![target(output.to_owned())?]);
    }
    let count = plan.files.len() as u64;
    // As llama-quantize, the name of the parts is that of the whole without its extension.
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gguf").unwrap_or(&name);
    (0..count)
        .map(|number| target(output.with_file_name(format!("{stem}{}", split_suffix(number, count)))))
        .collect()
}

fn target(path: PathBuf) -> Result<Target> {
    let part = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            let source = io::ErrorKind::IsADirectory.into();
            return Err(Error::Io { path, action: "write", source });
        }
        Ok(found) if !found.is_file() => None,
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Some(path.with_file_name(format!(".{name}.qmill-part")))
        }
    };
    Ok(Target { path, part })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_space(folder: &Path, needed_bytes: u64) -> Result<()> {
    let free_bytes = fs4::available_space(folder).map_err(io_error(folder, "use"))?;
    if needed_bytes <= free_bytes {
        Ok(())
    } else {
        Err(Error::NoSpace { folder: folder.to_owned(), needed_bytes, free_bytes })
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, action, source }
}
