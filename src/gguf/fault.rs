//! What can be wrong with a GGUF file, one variant each.

use super::{MAX_DIMENSIONS, MAX_LENGTH, MAX_NAME_BYTES, TensorType, ValueType};
use std::path::PathBuf;

/// What is wrong with a file, or with the contents of a file to write.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,

    /// The file does not start with the magic bytes of GGUF.
    #[error("expected \"GGUF\", found \"{}\"", found.escape_ascii())]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },

    /// The numbers are stored most significant byte first.
    #[error("a big-endian file (version {version}); expected little-endian")]
    BigEndian {
        /// The version with its bytes swapped.
        version: u32,
    },

    /// A version that is not supported.
    #[error("version {found}; expected 2 or 3")]
    Version {
        /// The version in the file.
        found: u32,
    },

    /// The file ends inside the header.
    #[error("the file ends too early: expected {expected} bytes for {what}, found {found}")]
    Truncated {
        /// The field that was read.
        what: &'static str,
        /// Bytes of the field.
        expected: u64,
        /// Bytes from here to the end of the file.
        found: u64,
    },

    /// More keys than the rest of the file has room for.
    #[error("{found} keys; expected at most {limit}, which is what the file has room for")]
    KeyCount {
        /// The number of keys in the file.
        found: u64,
        /// The most that the rest of the file can hold.
        limit: u64,
    },

    /// More tensors than the rest of the file has room for.
    #[error("{found} tensors; expected at most {limit}, which is what the file has room for")]
    TensorCount {
        /// The number of tensors in the file.
        found: u64,
        /// The most that the rest of the file can hold.
        limit: u64,
    },

    /// A string of more than 2^30 bytes.
    #[error("a string of {found} bytes; expected at most {MAX_LENGTH}")]
    StringLength {
        /// Its length.
        found: u64,
    },

    /// A key of no bytes.
    #[error("an empty key")]
    EmptyKey,

    /// A key that is not UTF-8.
    #[error("a key that is not UTF-8: \"{}\"", found.escape_ascii())]
    KeyEncoding {
        /// The key.
        found: Vec<u8>,
    },

    /// A key that occurs twice.
    #[error("key {key:?} was there before")]
    DuplicateKey {
        /// The key.
        key: String,
    },

    /// A value type that does not exist.
    #[error("key {key:?} has value type {found}; expected 0 to 12")]
    UnknownValueType {
        /// The key.
        key: String,
        /// The number of the type.
        found: u32,
    },

    /// An array of arrays, which ggml does not support.
    #[error("key {key:?} is an array of arrays; expected an array of numbers, bools or strings")]
    NestedArray {
        /// The key.
        key: String,
    },

    /// An array of more than 2^30 elements.
    #[error("key {key:?} is an array of {found} elements; expected at most {MAX_LENGTH}")]
    ArrayLength {
        /// The key.
        key: String,
        /// Its number of elements.
        found: u64,
    },

    /// `general.alignment` is not a u32.
    #[error("general.alignment is of type {found}; expected u32")]
    AlignmentType {
        /// The type it has.
        found: ValueType,
    },

    /// `general.alignment` is not a power of two.
    #[error("general.alignment is {found}; expected a power of two")]
    Alignment {
        /// Its value.
        found: u32,
    },

    /// A tensor name of more than 63 bytes.
    #[error("a tensor name of {found} bytes; expected at most {MAX_NAME_BYTES}")]
    NameLength {
        /// Its length.
        found: u64,
    },

    /// A tensor name that is not UTF-8.
    #[error("a tensor name that is not UTF-8: \"{}\"", found.escape_ascii())]
    NameEncoding {
        /// The name.
        found: Vec<u8>,
    },

    /// A tensor name that occurs twice.
    #[error("tensor {tensor:?} was there before")]
    DuplicateTensor {
        /// The name.
        tensor: String,
    },

    /// A tensor of more than four dimensions.
    #[error("tensor {tensor:?} has {found} dimensions; expected at most {MAX_DIMENSIONS}")]
    DimensionCount {
        /// The tensor.
        tensor: String,
        /// Its number of dimensions.
        found: usize,
    },

    /// A dimension that is negative as a signed integer, as ggml reads it.
    #[error("tensor {tensor:?}: dimension {dimension} is {found}; expected 0 or more")]
    NegativeDimension {
        /// The tensor.
        tensor: String,
        /// The dimension, counted from 0.
        dimension: usize,
        /// Its length as a signed integer.
        found: i64,
    },

    /// More weights than an i64 can count.
    #[error("tensor {tensor:?} of shape {found:?} has more than 2^63 weights")]
    WeightCount {
        /// The tensor.
        tensor: String,
        /// Its shape, row length first.
        found: Vec<u64>,
    },

    /// A tensor type that does not exist.
    #[error("tensor {tensor:?} has type {found}; expected a type that ggml 0.26 knows, 0 to 42")]
    UnknownTensorType {
        /// The tensor.
        tensor: String,
        /// The number of the type.
        found: u32,
    },

    /// A tensor type that ggml has removed.
    #[error("tensor {tensor:?} has type {found}, which ggml has removed; the model must be converted anew")]
    RemovedTensorType {
        /// The tensor.
        tensor: String,
        /// The number of the type.
        found: u32,
    },

    /// A row that is not whole blocks.
    #[error(
        "tensor {tensor:?}: rows of {found} weights; expected a multiple of {expected}, the block of \
         {tensor_type}"
    )]
    RowLength {
        /// The tensor.
        tensor: String,
        /// Its type.
        tensor_type: TensorType,
        /// Weights in a block of that type.
        expected: u64,
        /// Weights in a row.
        found: u64,
    },

    /// More bytes than a u64 can count.
    #[error("tensor {tensor:?}: {weights} weights of {tensor_type} take more than 2^64 bytes")]
    TensorBytes {
        /// The tensor.
        tensor: String,
        /// Its type.
        tensor_type: TensorType,
        /// Its number of weights.
        weights: u64,
    },

    /// A tensor that does not start where the one before it ends.
    #[error("tensor {tensor:?} has offset {found}; expected {expected}, the end of the tensor before it")]
    Offset {
        /// The tensor.
        tensor: String,
        /// The end of the previous tensor, with padding.
        expected: u64,
        /// The offset in the file.
        found: u64,
    },

    /// The data end at an offset that a u64 cannot hold.
    #[error("with tensor {tensor:?} the data take more than 2^64 bytes")]
    DataBytes {
        /// The first tensor beyond the limit.
        tensor: String,
    },

    /// The file ends before the data of a tensor end.
    #[error(
        "the data of tensor {tensor:?} end at byte {expected}, but the file at {found}: it is incomplete"
    )]
    MissingData {
        /// The first incomplete tensor.
        tensor: String,
        /// The end of its data, in bytes from the start of the file.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
}

/// How the files of a split model contradict each other.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitFault {
    /// A file of a split model lacks one of the three split keys, or its value is not an integer.
    #[error("part of a split model, but {key} is missing or no integer")]
    Key {
        /// The key.
        key: &'static str,
    },

    /// The model was opened by a file other than its first.
    #[error("file {} of the {count} of a split model; open the first", number + 1)]
    NotFirst {
        /// Its `split.no`, counted from 0.
        number: u64,
        /// Its `split.count`.
        count: u64,
    },

    /// The names of the other files cannot be derived from the file's name.
    #[error("the first file of a split model; expected a name that ends in \"{expected}\"")]
    Name {
        /// The required end of the name.
        expected: String,
    },

    /// A file of a split model has the wrong number.
    #[error("split.no is {found}; expected {expected}")]
    Number {
        /// Its position among the files, counted from 0.
        expected: u64,
        /// Its `split.no`.
        found: u64,
    },

    /// The number of files is not the number that the model was split into.
    #[error("split.count is {found}; expected {expected}")]
    Count {
        /// Number of files: as given, or by the first file.
        expected: u64,
        /// Its `split.count`.
        found: u64,
    },

    /// The number of tensors is not that of the model before it was split.
    #[error("split.tensors.count is {found}; expected {expected}, the tensors in all files")]
    TensorCount {
        /// Number of tensors in all files.
        expected: u64,
        /// Its `split.tensors.count`.
        found: u64,
    },

    /// A tensor that is also in another file.
    #[error("tensor {tensor:?} is in {} too", first.display())]
    DuplicateTensor {
        /// The name of the tensor.
        tensor: String,
        /// The other file.
        first: PathBuf,
    },
}
