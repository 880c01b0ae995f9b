//! The progress and the result of a run.

use super::engine::Tally;
use super::{Alternative, Fallback, Plan, PlannedTensor, Resources};
use crate::Device;
use crate::gguf::TensorType;
use std::time::Duration;

/// How far a run has come. Reported after every batch of rows that is written.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The tensor that the batch belongs to.
    pub tensor: &'a PlannedTensor,
    /// Its index in [`Plan::tensors`].
    pub tensor_index: usize,
    /// Number of tensors in the plan.
    pub tensor_count: usize,
    /// Whether the batch was the tensor's last.
    pub tensor_is_done: bool,
    /// Bytes read from the source so far.
    pub read_bytes: u64,
    /// Bytes to read in total.
    pub total_read_bytes: u64,
    /// Bytes of tensor data written so far.
    pub written_bytes: u64,
    /// Time since the start.
    pub elapsed: Duration,
}

/// The result of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Weights in all tensors.
    pub weights: u64,
    /// Bytes of tensor data in the source.
    pub read_bytes: u64,
    /// Bytes of tensor data written.
    pub written_bytes: u64,
    /// Length of the files written, headers and padding included.
    pub file_bytes: u64,
    /// Totals by the type written, in order of first appearance.
    pub formats: Vec<FormatTotal>,
    /// Number of tensors whose chosen format was replaced because of their row length.
    pub fallbacks: usize,
    /// The replacements by format and row length, in order of first appearance.
    pub fallback_kinds: Vec<Fallback>,
    /// A file type that would give a smaller file for such rows.
    pub alternative: Option<Alternative>,
    /// Number of tensors that were converted, not copied.
    pub converted: usize,
    /// The device that converted.
    pub device: String,
    /// Why the device was given up, if it was. The CPU did the rest.
    pub given_up: Option<String>,
    /// Weights that the CPU reference converted instead of the device, because of their magnitude.
    pub redone_weights: u64,
    /// Weights of the device that were compared with the CPU reference.
    pub verified_weights: u64,
    /// Duration of the run.
    pub elapsed: Duration,
}

/// The tensors written in one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FormatTotal {
    /// The type.
    pub tensor_type: TensorType,
    /// Tensors of that type.
    pub tensors: usize,
    /// Weights in them.
    pub weights: u64,
    /// Bytes of their data.
    pub bytes: u64,
}

impl Report {
    pub(super) fn of_run(plan: &Plan, resources: &Resources, tally: Tally, elapsed: Duration) -> Self {
        Self {
            device: resources.device.to_string(),
            given_up: tally.given_up.into_inner(),
            redone_weights: tally.redone_weights.into_inner(),
            verified_weights: tally.verified_weights.into_inner(),
            ..Self::new(plan, elapsed)
        }
    }

    /// The result that a run of `plan` on the CPU gives after `elapsed`.
    pub fn new(plan: &Plan, elapsed: Duration) -> Self {
        let mut report = Self {
            weights: 0,
            read_bytes: 0,
            written_bytes: 0,
            file_bytes: plan.file_bytes(),
            formats: Vec::new(),
            fallbacks: 0,
            fallback_kinds: plan.fallbacks(),
            alternative: plan.alternative,
            converted: 0,
            device: Device::Cpu.to_string(),
            given_up: None,
            redone_weights: 0,
            verified_weights: 0,
            elapsed,
        };
        for tensor in plan.tensors() {
            let (tensor_type, weights, bytes) =
                (tensor.to.tensor_type(), tensor.to.weights(), tensor.to.bytes());
            report.weights += weights;
            report.read_bytes += tensor.from.bytes();
            report.written_bytes += bytes;
            report.converted += usize::from(!tensor.is_copied());
            report.fallbacks += usize::from(tensor.fallback_from.is_some());
            match report.formats.iter_mut().find(|total| total.tensor_type == tensor_type) {
                Some(total) => {
                    total.tensors += 1;
                    total.weights += weights;
                    total.bytes += bytes;
                }
                None => report.formats.push(FormatTotal { tensor_type, tensors: 1, weights, bytes }),
            }
        }
        report
    }

    /// Bits of tensor data per weight.
    pub fn bits_per_weight(&self) -> f64 {
        self.written_bytes as f64 * 8.0 / self.weights.max(1) as f64
    }
}
