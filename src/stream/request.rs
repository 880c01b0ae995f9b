//! What to make of a model.

use crate::gguf::Value;
use crate::mix::{self, FileType};
use std::collections::BTreeSet;

/// What to make of a model.
///
/// Start from [`Request::new`] and change it with the `with_` methods or field by field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The file type, which chooses the format of each tensor.
    pub file_type: FileType,
    /// Changes to that choice.
    pub mix: mix::Options,
    /// Quantize tensors that are quantized already, which adds their error to the new one.
    pub allow_requantize: bool,
    /// Metadata to set. Each key moves to the end, in this order.
    pub metadata: Vec<(String, Value)>,
    /// Layers to leave out. The remaining layers are renumbered.
    pub prune_layers: BTreeSet<u32>,
    /// Write as many files as the model was read from, instead of one.
    pub keep_split: bool,
    /// How much of a GPU's output to compare with the CPU reference.
    pub verify: Verify,
}

/// How much of a GPU's output the CPU computes again, to compare.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Verify {
    /// Nothing: the bytes are the same by construction.
    #[default]
    Off,
    /// A sixteenth of the weights of every tensor.
    Sample,
    /// All weights, which takes as long as a run on the CPU.
    All,
}

impl Request {
    /// A request for `file_type` and nothing else.
    pub fn new(file_type: FileType) -> Self {
        Self {
            file_type,
            mix: mix::Options::default(),
            allow_requantize: false,
            metadata: Vec::new(),
            prune_layers: BTreeSet::new(),
            keep_split: false,
            verify: Verify::Off,
        }
    }

    /// Sets [`mix`](Self::mix).
    #[must_use]
    pub fn with_mix(self, mix: mix::Options) -> Self {
        Self { mix, ..self }
    }

    /// Sets [`allow_requantize`](Self::allow_requantize).
    #[must_use]
    pub fn with_allow_requantize(self, allow_requantize: bool) -> Self {
        Self { allow_requantize, ..self }
    }

    /// Sets [`metadata`](Self::metadata).
    #[must_use]
    pub fn with_metadata(self, metadata: Vec<(String, Value)>) -> Self {
        Self { metadata, ..self }
    }

    /// Sets [`prune_layers`](Self::prune_layers).
    #[must_use]
    pub fn with_prune_layers(self, prune_layers: BTreeSet<u32>) -> Self {
        Self { prune_layers, ..self }
    }

    /// Sets [`keep_split`](Self::keep_split).
    #[must_use]
    pub fn with_keep_split(self, keep_split: bool) -> Self {
        Self { keep_split, ..self }
    }

    /// Sets [`verify`](Self::verify).
    #[must_use]
    pub fn with_verify(self, verify: Verify) -> Self {
        Self { verify, ..self }
    }
}
