//! Everything that can go wrong, one variant each, with the place, what was expected and what was found.

use crate::format::Format;
use crate::gguf::Fault;
use crate::mix::FileType;
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

    /// No file type has this name or number.
    #[error("{name:?} is no file type; `qmill formats` lists them")]
    UnknownFileType {
        /// The name that was given.
        name: String,
    },

    /// The file type cannot be made without an importance matrix.
    #[error(
        "{name} needs an importance matrix, which qmill does not take yet; {instead} is the nearest that needs none"
    )]
    NeedsImatrix {
        /// The file type's name.
        name: &'static str,
        /// The nearest file type that needs none.
        instead: FileType,
    },

    /// A rule for tensor formats is not of the form `REGEX=FORMAT`.
    #[error("{rule:?} is not of the form REGEX=FORMAT, as in ffn_down=Q6_K")]
    TensorRule {
        /// The rule as given.
        rule: String,
    },

    /// The pattern of a rule for tensor formats is no regular expression of the `regex` crate.
    #[error("{pattern:?} is no regular expression that qmill understands")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },

    /// A tensor's rows are not a whole number of blocks, and no other format may stand in.
    #[error("{tensor}: rows of {weights} weights are no whole number of {format} blocks of {block_weights}",
        block_weights = format.info().block_weights)]
    RowLength {
        /// The tensor's name.
        tensor: String,
        /// Weights in one of its rows.
        weights: u64,
        /// The format that was asked for.
        format: Format,
    },

    /// The mix goes by layers, and a tensor's name gives none that the model has.
    #[error("{tensor}: its name should start with blk.N., with N below {layers}")]
    NoLayer {
        /// The tensor's name.
        tensor: String,
        /// Layers the model has.
        layers: u32,
    },
}
