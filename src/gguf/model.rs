//! A model: one GGUF file, or the files of a split model.

use super::{Header, Metadata, ReadAt, SplitFault, TensorInfo};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const SPLIT_NUMBER_KEY: &str = "split.no";
pub(crate) const SPLIT_COUNT_KEY: &str = "split.count";
pub(crate) const SPLIT_TENSORS_KEY: &str = "split.tensors.count";

/// A model that is open for reading.
///
/// Reads are positioned and need no lock, so threads may share it.
#[derive(Debug)]
pub struct Model {
    shards: Vec<Shard>,
}

/// One file of a model.
pub struct Shard {
    path: PathBuf,
    source: Box<dyn ReadAt>,
    header: Header,
}

/// A tensor of a [`Model`], whose bytes can be read.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Name, shape and type.
    pub info: &'a TensorInfo,
    /// The index in [`Model::shards`] of its file.
    pub shard_index: usize,
    shard: &'a Shard,
}

impl Model {
    /// Opens the GGUF file at `path` and, if it is the first of a split model, the others beside it.
    ///
    /// The files of a split model are named `NAME-00001-of-00003.gguf` and so on, as by `gguf-split`. Fails
    /// with [`Error::Io`], with [`Error::Gguf`], and with [`Error::Split`] for a file that is not the first
    /// or that does not belong to the first.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let first = Shard::open(path)?;
        let count = first.header.metadata.u64_of(SPLIT_COUNT_KEY).unwrap_or(1);
        let mut shards = vec![first];
        if count > 1 {
            shards[0].check_first(count)?;
            let prefix = split_prefix(path, count)?;
            for number in 1..count {
                let mut name = prefix.clone();
                name.push(split_suffix(number, count));
                shards.push(Shard::open(&path.with_file_name(name))?);
            }
        }
        Self::from_shards(shards)
    }

    /// Opens a model of one file with the contents of `source`. Errors give `name` as its path.
    ///
    /// Fails with [`Error::Io`], with [`Error::Gguf`], and with [`Error::Split`] if it is one of several
    /// files.
    pub fn from_source(name: impl Into<PathBuf>, source: Box<dyn ReadAt>) -> Result<Self> {
        Self::from_shards(vec![Shard::new(name.into(), source)?])
    }

    /// `shards` is not empty.
    fn from_shards(shards: Vec<Shard>) -> Result<Self> {
        check_split(&shards)?;
        let mut seen: HashMap<&str, &Shard> = HashMap::new();
        for shard in &shards {
            for tensor in &shard.header.tensors {
                if let Some(first) = seen.insert(tensor.name(), shard) {
                    let (tensor, first) = (tensor.name().to_owned(), first.path.clone());
                    return Err(shard.error(SplitFault::DuplicateTensor { tensor, first }));
                }
            }
        }
        Ok(Self { shards })
    }

    /// The files, in order.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The metadata of the first file. The other files have only the split keys.
    pub fn metadata(&self) -> &Metadata {
        self.shards[0].metadata()
    }

    /// All tensors, in the order of the files and of their data.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.shards.iter().enumerate().flat_map(|(shard_index, shard)| {
            shard.header.tensors.iter().map(move |info| Tensor { info, shard_index, shard })
        })
    }

    /// The tensor of this name. Searches all tensors.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.tensors().find(|tensor| tensor.info.name() == name)
    }

    /// The tensor of this name. Fails with [`Error::NoTensor`] if there is none.
    pub fn require_tensor(&self, name: &str) -> Result<Tensor<'_>> {
        let path = || self.shards[0].path.clone();
        self.tensor(name).ok_or_else(|| Error::NoTensor { path: path(), tensor: name.to_owned() })
    }
}

impl Shard {
    fn new(path: PathBuf, source: Box<dyn ReadAt>) -> Result<Self> {
        let header = Header::read(source.as_ref(), &path)?;
        Ok(Self { path, source, header })
    }

    fn open(path: &Path) -> Result<Self> {
        let cannot_open = |source| Error::Io { path: path.to_owned(), action: "open", source };
        // Opening a pipe would wait for a writer, and some systems open folders.
        let metadata = fs::metadata(path).map_err(cannot_open)?;
        if metadata.is_dir() {
            return Err(cannot_open(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Err(cannot_open(io::Error::other("not a regular file")));
        }
        Self::new(path.to_owned(), Box::new(File::open(path).map_err(cannot_open)?))
    }

    /// The path of the file, or the name given to [`Model::from_source`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The metadata of the file.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    fn error(&self, fault: SplitFault) -> Error {
        Error::Split { path: self.path.clone(), fault }
    }

    fn split_key(&self, key: &'static str) -> Result<u64> {
        self.metadata().u64_of(key).ok_or_else(|| self.error(SplitFault::Key { key }))
    }

    fn check_first(&self, count: u64) -> Result<()> {
        match self.split_key(SPLIT_NUMBER_KEY)? {
            0 => Ok(()),
            number => Err(self.error(SplitFault::NotFirst { number, count })),
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tensor<'_> {
    /// Fills `buf` with the tensor's bytes from `byte_offset` on.
    ///
    /// Fails with [`Error::TensorRange`] if they reach past the end of the tensor, and with [`Error::Io`].
    pub fn read_bytes(&self, byte_offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = byte_offset.saturating_add(buf.len() as u64);
        if end > self.info.bytes() {
            let tensor = self.info.name().to_owned();
            return Err(Error::TensorRange { tensor, start: byte_offset, end, bytes: self.info.bytes() });
        }
        let position = self.shard.header.data_offset + self.info.offset() + byte_offset;
        let cannot_read = |source| Error::Io { path: self.shard.path.clone(), action: "read", source };
        self.shard.source.read_exact_at(buf, position).map_err(cannot_read)
    }
}

/// Checks that the files are all files of the model, in order.
fn check_split(shards: &[Shard]) -> Result<()> {
    let count = shards.len() as u64;
    if let [only] = shards {
        return match only.metadata().u64_of(SPLIT_COUNT_KEY) {
            Some(found) if found > 1 => Err(only.error(SplitFault::Count { expected: count, found })),
            _ => Ok(()),
        };
    }
    let tensors = shards.iter().map(|shard| shard.header.tensors.len() as u64).sum();
    for (expected, shard) in (0..).zip(shards) {
        let found = shard.split_key(SPLIT_NUMBER_KEY)?;
        if found != expected {
            return Err(shard.error(SplitFault::Number { expected, found }));
        }
        let found = shard.split_key(SPLIT_COUNT_KEY)?;
        if found != count {
            return Err(shard.error(SplitFault::Count { expected: count, found }));
        }
        let found = shard.split_key(SPLIT_TENSORS_KEY)?;
        if found != tensors {
            return Err(shard.error(SplitFault::TensorCount { expected: tensors, found }));
        }
    }
    Ok(())
}

/// The end of the name of file `number`, counted from 0, of a model split into `count` files.
pub(crate) fn split_suffix(number: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}

/// The NAME of a split model whose first file is `NAME-00001-of-00003.gguf`; `None` for another name.
pub fn split_name(first: &Path) -> Option<OsString> {
    let name = first.file_name()?;
    // Only the end of the name has to be text.
    let text = name.to_string_lossy();
    let count = text.strip_suffix(".gguf")?.rsplit_once("-of-")?.1.parse().ok()?;
    without_end(name, &split_suffix(0, count))
}

/// The name of a split model's first file up to the suffix.
fn split_prefix(first: &Path, count: u64) -> Result<OsString> {
    let expected = split_suffix(0, count);
    let name = first.file_name().and_then(|name| without_end(name, &expected));
    name.ok_or_else(|| Error::Split { path: first.to_owned(), fault: SplitFault::Name { expected } })
}

/// `name` without `end`. The rest may be any bytes.
fn without_end(name: &OsStr, end: &str) -> Option<OsString> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        name.as_bytes().strip_suffix(end.as_bytes()).map(|start| OsStr::from_bytes(start).to_owned())
    }
    #[cfg(not(unix))]
    {
        name.to_str()?.strip_suffix(end).map(OsString::from)
    }
}
