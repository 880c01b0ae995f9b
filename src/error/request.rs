//! What is wrong with a request to quantize a model.

use crate::format::Format;
use crate::mix::FileType;
use std::path::PathBuf;

/// Why a request is not understood, or does not apply to the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFault {
    /// No file type has this name or number.
    #[error("{name:?} is no file type")]
    UnknownFileType {
        /// The name that was given.
        name: String,
    },

    /// The file type needs an importance matrix.
    #[error(
        "{name} needs an importance matrix, which qmill does not take yet; {instead} is the nearest that \
         needs none"
    )]
    NeedsImatrix {
        /// The name of the file type.
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

    /// The pattern of a rule for tensor formats is not a regular expression of the `regex` crate.
    #[error("{pattern:?} is no regular expression that qmill understands")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The mix depends on the layer, and a tensor's name does not give one that the model has.
    #[error("{tensor}: its name should start with blk.N., with N below {layers}")]
    NoLayer {
        /// The tensor.
        tensor: String,
        /// Number of layers in the model.
        layers: u32,
    },

    /// A tensor is quantized already, and the request does not allow to quantize it again.
    #[error("{tensor} is {from} already; as {to} it would have the errors of both")]
    Requantize {
        /// The tensor.
        tensor: String,
        /// Its format.
        from: Format,
        /// The format that was chosen for it.
        to: Format,
    },

    /// The file has no tensor of a kind that is ever quantized.
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
        /// Number of tensors in the file.
        tensors: usize,
        /// The requested file type.
        file_type: FileType,
    },

    /// The request sets a metadata key that says how a model is split into files.
    #[error("{key} cannot be set: it says how a model is split into files, which is for the writer to know")]
    SplitKey {
        /// The key.
        key: String,
    },

    /// The model does not have a layer that the request leaves out.
    #[error("there is no layer {layer} to leave out; the model has {layers}, counted from 0")]
    PruneLayers {
        /// The layer.
        layer: u32,
        /// Number of layers in the model.
        layers: u32,
    },
}
