//! Everything that can go wrong, one variant each, with its location, what was expected and what was found.

mod comparison;
mod fit;
mod folder;
mod misrounding;
mod output;
mod request;

pub use comparison::ComparisonFault;
pub use fit::FitFault;
pub use folder::FolderFault;
pub use misrounding::Misrounding;
pub use output::OutputFault;
pub use request::RequestFault;

use crate::format::Format;
use crate::gguf::{Fault, SplitFault};
use std::io;
use std::path::PathBuf;

/// The result of the fallible operations of this crate.
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
        /// The action that failed, as the end of "cannot …".
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The file is not a well-formed GGUF file.
    #[error("{path}: byte {offset}: {fault}", path = path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// The offset of the fault, in bytes from the start of the file.
        offset: u64,
        /// What is wrong.
        fault: Fault,
    },

    /// The metadata or tensors do not fit into a GGUF file.
    #[error("cannot be written as GGUF: {fault}")]
    Layout {
        /// What is wrong.
        fault: Fault,
    },

    /// The files of a split model do not belong together.
    #[error("{path}: {fault}", path = path.display())]
    Split {
        /// The file that does not belong.
        path: PathBuf,
        /// What is wrong.
        fault: SplitFault,
    },

    /// The operating system refused to start threads.
    #[error("cannot start {count} threads: {reason}")]
    Threads {
        /// The number of threads.
        count: usize,
        /// The error of the operating system.
        reason: String,
    },

    /// A read reaches past the end of a tensor.
    #[error("tensor {tensor:?}: bytes {start} to {end} of {bytes}")]
    TensorRange {
        /// The tensor.
        tensor: String,
        /// The first byte of the read.
        start: u64,
        /// The end of the read: the byte after its last.
        end: u64,
        /// Bytes in the tensor.
        bytes: u64,
    },

    /// No format has this name.
    #[error("{name:?} is no tensor format")]
    UnknownFormat {
        /// The name that was given.
        name: String,
    },

    /// The lengths of a buffer of weights and of a buffer of bytes do not match.
    #[error("{format}: {weights} weights do not match {bytes} bytes \
        (a block is {block_weights} weights in {block_bytes} bytes)",
        block_weights = format.info().block_weights, block_bytes = format.info().block_bytes)]
    Length {
        /// The format of the bytes.
        format: Format,
        /// Number of weights.
        weights: usize,
        /// Number of bytes.
        bytes: usize,
    },

    /// qmill decodes this format but has no encoder for it.
    #[error("{format} is not encoded by qmill yet")]
    NotEncoded {
        /// The format.
        format: Format,
    },

    /// A tensor's rows are not a whole number of blocks, and no other format may replace the requested one.
    #[error("{tensor}: rows of {weights} weights are no whole number of {format} blocks of {block_weights}",
        block_weights = format.info().block_weights)]
    RowLength {
        /// The tensor's name.
        tensor: String,
        /// Weights in one of its rows.
        weights: u64,
        /// The requested format.
        format: Format,
    },

    /// A row needs more memory than the limit allows.
    #[error("{tensor}: a row takes {row_bytes} bytes to convert, more than the {memory_bytes} allowed")]
    Memory {
        /// The tensor with the longest rows.
        tensor: String,
        /// Bytes of buffer that one row needs.
        row_bytes: u64,
        /// The limit.
        memory_bytes: u64,
    },

    /// A weight is infinite or not a number.
    #[error("{tensor}: row {row}, column {column} is {value}, not a finite number")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column, counted from 0.
        column: u64,
        /// The value.
        value: f32,
    },

    /// A block of quantized weights has a scale that is infinite or not a number.
    #[error(
        "{tensor}: the {format} block at row {row}, column {column} has a scale that is not a finite number"
    )]
    BadBlock {
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column of the block's first weight, counted from 0.
        column: u64,
        /// The format of the block.
        format: Format,
    },

    /// Weights are too large for a format.
    #[error("{tensor}: the weights from row {row}, column {column} on are too large for {format}")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column of the block's first weight, counted from 0.
        column: u64,
        /// The format.
        format: Format,
    },

    /// No adapter matches the request.
    #[error("there is no device {wanted}; {found}")]
    NoAdapter {
        /// The request.
        wanted: String,
        /// The adapters that exist.
        found: String,
    },

    /// The device has no memory left for a buffer.
    #[error("{device}: no memory left on the device{detail}")]
    DeviceMemory {
        /// The device.
        device: String,
        /// The driver's message after a colon, or nothing.
        detail: String,
    },

    /// The device was lost: unplugged, reset by its driver, or destroyed by the app.
    #[error("{device}: the device was lost: {reason}")]
    DeviceLost {
        /// The device.
        device: String,
        /// The driver's message.
        reason: String,
    },

    /// The device or its driver refused a command.
    #[error("{device}: {message}")]
    Device {
        /// The device.
        device: String,
        /// The refused command and the reason.
        message: String,
    },

    /// An object was created on another device than the one that uses it.
    #[error("{what} is of another device than {device}, which is to use it")]
    OtherDevice {
        /// The kind of object.
        what: &'static str,
        /// The device that uses it.
        device: String,
    },

    /// A range of a buffer is too short for an operation.
    #[error("the range for {name} has {bytes} bytes, {needed_bytes} are needed")]
    ShortRange {
        /// The operand that the range holds.
        name: &'static str,
        /// Bytes that the operation reads or writes.
        needed_bytes: u64,
        /// Bytes in the range.
        bytes: u64,
    },

    /// A range of a buffer begins at an offset that the device cannot bind.
    #[error("the range for {name} begins at byte {offset}, not at a multiple of {alignment}")]
    Misaligned {
        /// The operand that the range holds.
        name: &'static str,
        /// The device's `min_storage_buffer_offset_alignment`.
        alignment: u64,
        /// The offset of the range.
        offset: u64,
    },

    /// A buffer lacks a usage that an operation needs.
    #[error("the buffer for {name} was made for {found}, not for STORAGE")]
    Usage {
        /// The operand that the buffer holds.
        name: &'static str,
        /// The usages of the buffer.
        found: String,
    },

    /// A number is out of range.
    #[error("{what} is {found}, not {needed}")]
    Number {
        /// The quantity.
        what: &'static str,
        /// The accepted numbers.
        needed: String,
        /// The number that was given.
        found: u64,
    },

    /// A tuning table is damaged or was measured on another device.
    #[error("{source_name}: {what} is {found:?}, not {needed}")]
    Tuning {
        /// The table's file, or the device.
        source_name: String,
        /// The entry that is wrong.
        what: &'static str,
        /// The accepted values.
        needed: String,
        /// The value.
        found: String,
    },

    /// The device does not round as IEEE 754 requires, so its bytes would differ from ggml's.
    #[error("{device}: {misrounding}")]
    Inexact {
        /// The device.
        device: String,
        /// The wrong result and the correct one.
        misrounding: Misrounding,
    },

    /// A device produced other bytes than the CPU reference.
    #[error("{tensor}: row {row}, column {column}: {device} made another {format} block than the CPU")]
    Differs {
        /// The device.
        device: String,
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column of the block's first weight, counted from 0.
        column: u64,
        /// The format.
        format: Format,
    },

    /// A device's result differs from that of the CPU reference by more than the bound.
    #[error("{device}: {what} is {found:e}, not {expected:e} ± {allowed:.1e}")]
    Inaccurate {
        /// The device.
        device: String,
        /// The quantity.
        what: String,
        /// The device's result.
        found: f64,
        /// The result of the CPU reference.
        expected: f64,
        /// The allowed difference.
        allowed: f64,
    },

    /// A file or an option needs something that qmill does not support.
    #[error("{what} is {found:?}; qmill runs {known}")]
    Unsupported {
        /// The setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// The supported values.
        known: String,
    },

    /// A metadata key that the model needs is missing or has an invalid value.
    #[error("{key} should be {needed}")]
    MetadataKey {
        /// The key.
        key: String,
        /// The accepted values.
        needed: &'static str,
    },

    /// The model's chat template fails or rejects the messages.
    #[error("the model's chat template: {message}")]
    ChatTemplate {
        /// The message of the template engine or of the template.
        message: String,
    },

    /// A tensor that the architecture needs is missing.
    #[error("there is no tensor {tensor}, which the architecture needs")]
    MissingTensor {
        /// The tensor.
        tensor: String,
    },

    /// The file has no tensor of this name.
    #[error("{path}: there is no tensor {tensor:?}", path = path.display())]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name.
        tensor: String,
    },

    /// The shape of a tensor contradicts the metadata.
    #[error("{tensor} has the shape {found:?}; by the metadata it should be {needed:?}")]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// The shape by the metadata, row length first.
        needed: Vec<u64>,
        /// The shape in the file.
        found: Vec<u64>,
    },

    /// A text does not fit into the context of a session.
    #[error("{needed} tokens do not fit a context of {context}")]
    ContextFull {
        /// The context's length in tokens.
        context: usize,
        /// The text's length in tokens.
        needed: usize,
    },

    /// An output file is not written, for another reason than an error of the system.
    #[error("{path}: {fault}", path = path.display())]
    Output {
        /// The file, or its folder where the disk is too full.
        path: PathBuf,
        /// The reason.
        fault: OutputFault,
    },

    /// A Hugging Face folder, or a file in it, is not one that can be taken as a model.
    #[error("{path}: {fault}", path = path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong.
        fault: FolderFault,
    },

    /// A request to quantize is not understood, or does not apply to the model.
    #[error(transparent)]
    Request(RequestFault),

    /// Types cannot be chosen for a size.
    #[error(transparent)]
    Fit(FitFault),

    /// Two models cannot be compared.
    #[error(transparent)]
    Comparison(ComparisonFault),

    /// Writing to an output failed.
    #[error("cannot write output file {file_index}")]
    Write {
        /// Its index in [`Plan::files`](crate::stream::Plan::files).
        file_index: usize,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}
