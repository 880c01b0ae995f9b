//! The files of a folder: whether they are there, as text, as JSON.

use crate::error::FolderFault;
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder with a model.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// As it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    /// The bytes of a file; `None` if it is not there.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, action: "read", source }),
        }
    }

    /// A file as JSON; `None` if it is not there.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            self.fault(name, FolderFault::Json { line, column, problem: error.to_string() })
        })
    }

    /// An error at a file of the folder.
    pub(super) fn fault(&self, name: &str, fault: FolderFault) -> Error {
        Error::Folder { path: self.file(name), fault }
    }
}
