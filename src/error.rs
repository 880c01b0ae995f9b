//! Everything that can go wrong, one variant each, with the place, what was expected and what was found.

use crate::format::Format;
use crate::gguf::{Fault, SplitFault};
use std::io;
use std::path::PathBuf;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{path}: cannot {action}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as the end of "cannot …".
        action: &'static str,
        /// The system's own words.
        source: io::Error,
    },

    /// The file is not a well-formed GGUF file.
    #[error("{path}: byte {offset}: {fault}", path = path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },

    /// A GGUF file could not hold this.
    #[error("cannot be written as GGUF: {fault}")]
    Layout {
        /// What is wrong with it.
        fault: Fault,
    },

    /// The files of a split model do not fit each other.
    #[error("{path}: {fault}", path = path.display())]
    Split {
        /// The file that does not fit.
        path: PathBuf,
        /// How it does not.
        fault: SplitFault,
    },

    /// Bytes were asked for that a tensor does not have.
    #[error("tensor {tensor:?}: bytes {start} to {end} of {bytes}")]
    TensorRange {
        /// The tensor.
        tensor: String,
        /// The first byte that was asked for.
        start: u64,
        /// The byte after the last that was asked for.
        end: u64,
        /// Bytes the tensor has.
        bytes: u64,
    },

    /// No format has this name.
    #[error("{name:?} is no tensor format; `qmill formats` lists them")]
    UnknownFormat {
        /// The name that was given.
        name: String,
    },

    /// Two buffers do not fit each other.
    #[error("{format}: {weights} weights do not match {bytes} bytes (a block is {block_weights} weights in {block_bytes} bytes)",
        block_weights = format.info().block_weights, block_bytes = format.info().block_bytes)]
    Length {
        /// The format of the bytes.
        format: Format,
        /// Length of the weights.
        weights: usize,
        /// Length of the bytes.
        bytes: usize,
    },

    /// qmill reads this format but has no encoder for it.
    #[error("{format} is not encoded by qmill yet")]
    NotEncoded {
        /// The format.
        format: Format,
    },
}
