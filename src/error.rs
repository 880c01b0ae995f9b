//! Everything that can go wrong, one variant each, with the place, what was expected and what was found.

use crate::format::Format;
use crate::gguf::{Fault, SplitFault};
use crate::gpu::Misrounding;
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
    #[error("{name:?} is no tensor format")]
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
    #[error("{name:?} is no file type")]
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
        source: Box<dyn std::error::Error + Send + Sync>,
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

    /// A tensor is quantized already, and quantizing it again was not allowed.
    #[error("{tensor} is {from} already; as {to} it would have the errors of both")]
    Requantize {
        /// The tensor.
        tensor: String,
        /// Its format.
        from: Format,
        /// The format it was to get.
        to: Format,
    },

    /// No tensor of the file is of a kind that is ever quantized.
    #[error(
        "{path}: there is nothing to quantize to {file_type}: the file is {kind}, and none of its {tensors} \
         tensors is one that is quantized (two dimensions or more, a name that ends in \"weight\")",
        path = path.display()
    )]
    NothingToQuantize {
        /// The file.
        path: PathBuf,
        /// What the file says that it is, from `general.type` and `general.architecture`.
        kind: String,
        /// Tensors in the file.
        tensors: usize,
        /// The file type that was asked for.
        file_type: FileType,
    },

    /// A key was to be set that says how a model is split into files.
    #[error("{key} cannot be set: it says how a model is split into files, which is for the writer to know")]
    SplitKey {
        /// The key.
        key: String,
    },

    /// A layer that was to be left out is not there.
    #[error("there is no layer {layer} to leave out; the model has {layers}, counted from 0")]
    PruneLayers {
        /// The layer.
        layer: u32,
        /// Layers the model has.
        layers: u32,
    },

    /// A row does not fit the memory that may be used.
    #[error("{tensor}: a row takes {row_bytes} bytes to convert, more than the {memory_bytes} allowed")]
    Memory {
        /// The tensor with the longest rows.
        tensor: String,
        /// Bytes of buffer that one row takes.
        row_bytes: u64,
        /// Bytes that may be used.
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

    /// A weight that was to be compared is infinite or not a number.
    #[error("{path}: {tensor}: row {row}, column {column} is {value}, which compares with nothing", path = path.display())]
    Incomparable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The row, counted from 0 through all matrices of the tensor.
        row: u64,
        /// The column, counted from 0.
        column: u64,
        /// The weight as decoded.
        value: f32,
    },

    /// Two models have no tensor that can be compared.
    #[error(
        "{reference} and {other} have no tensor to compare; only in the first: {only_in_reference}, only in \
         the second: {only_in_other}, of other shapes: {other_shape}, without weights: {not_weights}",
        reference = reference.display(), other = other.display()
    )]
    NothingToCompare {
        /// The file of the reference.
        reference: PathBuf,
        /// The file of the other model.
        other: PathBuf,
        /// Tensors that only the reference has.
        only_in_reference: usize,
        /// Tensors that only the other model has.
        only_in_other: usize,
        /// Tensors of both models whose shapes differ.
        other_shape: usize,
        /// Tensors of both models that hold no weights in one of them.
        not_weights: usize,
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

    /// No graphics adapter is what was asked for.
    #[error("there is no device {wanted}; {found}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters there are.
        found: String,
    },

    /// The device has no memory left for a buffer.
    #[error("{device}: no memory left on the device{detail}")]
    DeviceMemory {
        /// The device.
        device: String,
        /// The driver's own words, after a colon, if it has any.
        detail: String,
    },

    /// The device is gone: unplugged, reset by its driver, or destroyed by the app.
    #[error("{device}: the device was lost: {reason}")]
    DeviceLost {
        /// The device.
        device: String,
        /// The driver's own words.
        reason: String,
    },

    /// The device or its driver refused a command.
    #[error("{device}: {message}")]
    Device {
        /// The device.
        device: String,
        /// What was refused, and why.
        message: String,
    },

    /// Something was made on another device than the one that is to use it.
    #[error("{what} is of another device than {device}, which is to use it")]
    OtherDevice {
        /// What it is.
        what: &'static str,
        /// The device that is to use it.
        device: String,
    },

    /// A range of a buffer is too short for an operation.
    #[error("the range for {name} has {bytes} bytes, {needed_bytes} are needed")]
    ShortRange {
        /// What the range is for.
        name: &'static str,
        /// Bytes that the operation reads or writes there.
        needed_bytes: u64,
        /// Bytes that the range has.
        bytes: u64,
    },

    /// A range of a buffer begins where the device cannot bind it.
    #[error("the range for {name} begins at byte {offset}, not at a multiple of {alignment}")]
    Misaligned {
        /// What the range is for.
        name: &'static str,
        /// What the device wants (`min_storage_buffer_offset_alignment`).
        alignment: u64,
        /// Where it begins.
        offset: u64,
    },

    /// A buffer was not made for what an operation does with it.
    #[error("the buffer for {name} was made for {found}, not for STORAGE")]
    Usage {
        /// What the buffer is for.
        name: &'static str,
        /// The usages that it has.
        found: String,
    },

    /// A number is not one that an operation takes.
    #[error("{what} is {found}, not {needed}")]
    Number {
        /// What is counted or chosen.
        what: &'static str,
        /// Which numbers are taken.
        needed: String,
        /// The number that was given.
        found: u64,
    },

    /// A table of kernels is broken, or not one for this device.
    #[error("{place}: {what} is {found:?}, not {needed}")]
    Tuning {
        /// The table's file, or the device.
        place: String,
        /// What is wrong.
        what: &'static str,
        /// What it should be.
        needed: String,
        /// What it is.
        found: String,
    },

    /// The device does not round as IEEE 754 says, so its bytes would not be ggml's.
    #[error("{device}: {misrounding}")]
    Inexact {
        /// The device.
        device: String,
        /// What it computes, and what it should.
        misrounding: Misrounding,
    },

    /// A device made other bytes than the CPU twin.
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

    /// A device computed something else than the CPU twin.
    #[error("{device}: {what} is {found:e}, not {expected:e} ± {allowed:.1e}")]
    Inaccurate {
        /// The device.
        device: String,
        /// What was computed.
        what: String,
        /// What the device made of it.
        found: f64,
        /// What the twin did.
        expected: f64,
        /// How far they may be apart.
        allowed: f64,
    },

    /// A file or an option asks for what qmill cannot run.
    #[error("{what} is {found:?}; qmill runs {known}")]
    Unsupported {
        /// What it is a kind of.
        what: &'static str,
        /// What was asked for.
        found: String,
        /// What there is.
        known: String,
    },

    /// A key that a model cannot run without is missing, or its value cannot be.
    #[error("{key} should be {needed}")]
    MetadataKey {
        /// The key.
        key: String,
        /// What its value should be.
        needed: &'static str,
    },

    /// The model's chat template does not work, or refuses the messages.
    #[error("the model's chat template: {message}")]
    ChatTemplate {
        /// What the template engine, or the template itself, says.
        message: String,
    },

    /// A tensor that a model cannot run without is missing.
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

    /// A tensor has another shape than the metadata say.
    #[error("{tensor} has the shape {found:?}; by the metadata it should be {needed:?}")]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// The shape it should have, the length of a row first.
        needed: Vec<u64>,
        /// The shape it has.
        found: Vec<u64>,
    },

    /// A text is longer than a session has room for.
    #[error("{needed} tokens do not fit a context of {context}")]
    ContextFull {
        /// Tokens that there is room for.
        context: usize,
        /// Tokens that there would be.
        needed: usize,
    },

    /// The output is one of the files that are read.
    #[error("{path}: is the input; choose another output", path = path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },

    /// The output exists and may not be replaced.
    #[error("{path}: exists already", path = path.display())]
    OutputExists {
        /// The file.
        path: PathBuf,
    },

    /// Another run, of this program or another thread, is writing the output.
    #[error("{path}: another run is writing it", path = path.display())]
    OutputInUse {
        /// The file.
        path: PathBuf,
    },

    /// The disk is too full for the output.
    #[error("{folder}: {needed_bytes} bytes are needed and {free_bytes} are free", folder = folder.display())]
    NoSpace {
        /// The folder of the output.
        folder: PathBuf,
        /// Length of all files to write.
        needed_bytes: u64,
        /// Free bytes.
        free_bytes: u64,
    },

    /// An output could not be written.
    #[error("cannot write output file {file_index}")]
    Write {
        /// Its number among [`Plan::files`](crate::stream::Plan::files).
        file_index: usize,
        /// The system's own words.
        source: io::Error,
    },

    /// The caller broke off.
    #[error("cancelled")]
    Cancelled,
}
