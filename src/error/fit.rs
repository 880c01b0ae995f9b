//! What is wrong with a request for the best file of a size.

use crate::format::Format;
use crate::mix::FileType;
use std::path::PathBuf;

/// Why types cannot be chosen for a size.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitFault {
    /// A size is not understood.
    #[error("{text:?} is no size: expected a number and GB (10^9 bytes) or GiB (2^30), MB, MiB, …")]
    Size {
        /// The text.
        text: String,
    },

    /// A number of bits per weight is not understood.
    #[error("{text:?} is no number of bits per weight: expected more than 0 and at most 32")]
    BitsPerWeight {
        /// The text.
        text: String,
    },

    /// The file type of the target quantizes nothing.
    #[error("a file like {file_type} leaves no types to choose: it quantizes nothing")]
    Like {
        /// The file type.
        file_type: FileType,
    },

    /// The target is smaller than the smallest file.
    #[error(
        "{target_bytes} bytes are too few: with the smallest of the types to choose from, the file has \
         {least_bytes}"
    )]
    TooSmall {
        /// The most bytes that were asked for.
        target_bytes: u64,
        /// The bytes of the smallest file.
        least_bytes: u64,
    },

    /// With the smallest types, more bytes are read for each token than the limit allows.
    #[error(
        "the limit on bytes read for each token allows {limit_bytes}; the smallest types need {least_bytes}"
    )]
    ActiveBytes {
        /// The most bytes that the limit allows.
        limit_bytes: u64,
        /// The bytes with the smallest types.
        least_bytes: u64,
    },

    /// The target is not smaller than the source.
    #[error("{target_bytes} bytes leave nothing to save: the source fits with {source_bytes} as it is")]
    TooLarge {
        /// The most bytes that were asked for.
        target_bytes: u64,
        /// The bytes of the source.
        source_bytes: u64,
    },

    /// None of the types to choose from can encode the tensor.
    #[error("{tensor}: none of the types to choose from can encode it: {types}")]
    NoType {
        /// The tensor.
        tensor: String,
        /// The types.
        types: String,
    },

    /// A tensor's error with a type was not measured.
    #[error("{tensor}: its error as {format} was not measured")]
    NotMeasured {
        /// The tensor.
        tensor: String,
        /// The type.
        format: Format,
    },

    /// The sensitivities of the model were not measured.
    #[error("the sensitivities of this model were not measured")]
    NoSensitivities,

    /// A file with sensitivities has a line that is not understood.
    #[error("{path}: line {line}: {what}", path = path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },

    /// A file with measured errors is not one, or is one of another model.
    #[error("{path}: {what}", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },

    /// A model cannot be run, which measuring its sensitivities, and knowing its memory, needs.
    #[error("the model has to be run for this, and qmill cannot run it: {why}")]
    NotRun {
        /// Why not.
        why: String,
    },

    /// The memory is too small for the model's cache and work buffers.
    #[error(
        "a context of {context} tokens needs {needed_bytes} bytes beside the weights; the memory has \
         {memory_bytes}"
    )]
    Memory {
        /// The memory.
        memory_bytes: u64,
        /// Bytes of cache and work buffers.
        needed_bytes: u64,
        /// Tokens of the context.
        context: usize,
    },

    /// A text is too short to measure sensitivities with.
    #[error("the text has {found} tokens; measuring sensitivities takes at least {needed}")]
    ShortText {
        /// Tokens that are needed.
        needed: usize,
        /// Tokens in the text.
        found: usize,
    },
}
