//! The types that a report has rows of.

use crate::gguf::Model;
use crate::mix::FileType;
use crate::stream::Request;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A type that a model is quantized to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file type: `Q4_K_M`.
    Mix(FileType),
    /// Types chosen by their errors for the size of a file type: `like:Q4_K_M`.
    Like(FileType),
}

/// What begins the name of a [`Kind::Like`].
const LIKE: &str = "like:";

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.get(..LIKE.len()) {
            Some(start) if start.eq_ignore_ascii_case(LIKE) => Ok(Self::Like(name[LIKE.len()..].parse()?)),
            _ => Ok(Self::Mix(name.parse()?)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mix(file_type) => f.pad(file_type.name()),
            Self::Like(file_type) => f.pad(&format!("{LIKE}{file_type}")),
        }
    }
}

/// The request that makes this type of `model`.
///
/// Fails with [`Error::Unsupported`] for [`Kind::Like`], which is not there yet.
pub fn request_of(kind: Kind, _model: &Model) -> Result<Request> {
    match kind {
        Kind::Mix(file_type) => Ok(Request::new(file_type)),
        Kind::Like(_) => Err(Error::Unsupported {
            what: "the type",
            found: kind.to_string(),
            known: "file types, and not yet those chosen for a size".to_owned(),
        }),
    }
}
