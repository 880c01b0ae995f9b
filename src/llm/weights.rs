//! The weights of a model, in the memory of the device that multiplies by them.
//!
//! Stacks, experts and vectors have the numbers of [`Graph`](super::graph::Graph).

use crate::gpu::Matrix;
use crate::{Format, Gpu};
use std::sync::Arc;

/// A tensor in host memory.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bytes: Vec<u8>,
}

/// All weights of a model. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Weights {
    Cpu(Arc<CpuWeights>),
    Gpu(Arc<GpuWeights>),
}

#[derive(Debug)]
pub(super) struct CpuWeights {
    pub(super) embedding: Encoded,
    /// `None` where it is the embedding.
    pub(super) output: Option<Encoded>,
    /// Empty where there is none.
    pub(super) output_bias: Vec<f32>,
    pub(super) stacks: Vec<CpuStack>,
    pub(super) experts: Vec<Encoded>,
    pub(super) vectors: Vec<Vec<f32>>,
}

/// Matrices with rows of one length, one above the other.
#[derive(Debug)]
pub(super) struct CpuStack {
    pub(super) tensors: Vec<Encoded>,
    /// One for each row, or empty.
    pub(super) biases: Vec<f32>,
}

#[derive(Debug)]
pub(super) struct GpuWeights {
    pub(super) gpu: Gpu,
    pub(super) embedding: Matrix,
    /// `None` where it is the embedding.
    pub(super) output: Option<Matrix>,
    pub(super) output_bias: Option<wgpu::Buffer>,
    pub(super) stacks: Vec<GpuStack>,
    pub(super) experts: Vec<Matrix>,
    pub(super) vectors: Vec<wgpu::Buffer>,
}

/// Matrices with rows of one length, one above the other. Neighbours of one format are one matrix.
pub(super) type GpuStack = Vec<BiasedMatrix>;

/// A matrix, and what is added to products with it.
#[derive(Debug)]
pub(super) struct BiasedMatrix {
    pub(super) weights: Matrix,
    pub(super) bias: Option<wgpu::Buffer>,
}

impl Weights {
    /// Bytes in the memory of the device.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Cpu(weights) => weights.bytes(),
            Self::Gpu(weights) => weights.bytes(),
        }
    }
}

impl CpuWeights {
    /// The output matrix.
    pub(super) fn output(&self) -> &Encoded {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    fn bytes(&self) -> u64 {
        let stacked = self.stacks.iter().flat_map(|stack| &stack.tensors);
        let single = std::iter::once(&self.embedding).chain(&self.output).chain(&self.experts);
        let tensors = single.chain(stacked).map(|tensor| tensor.bytes.len() as u64);
        let biases = self.stacks.iter().map(|stack| &stack.biases);
        let floats = self.vectors.iter().chain(biases).chain([&self.output_bias]);
        tensors.chain(floats.map(|vector| 4 * vector.len() as u64)).sum()
    }
}

impl GpuWeights {
    /// The output matrix with its bias.
    pub(super) fn output(&self) -> BiasedMatrix {
        let weights = self.output.as_ref().unwrap_or(&self.embedding).clone();
        BiasedMatrix { weights, bias: self.output_bias.clone() }
    }

    /// All matrices.
    pub(super) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let stacked = self.stacks.iter().flatten().map(|matrix| &matrix.weights);
        std::iter::once(&self.embedding).chain(&self.output).chain(&self.experts).chain(stacked)
    }

    fn bytes(&self) -> u64 {
        let biases = self.stacks.iter().flatten().filter_map(|matrix| matrix.bias.as_ref());
        let vectors = self.vectors.iter().chain(biases).chain(&self.output_bias);
        self.matrices().map(Matrix::device_bytes).chain(vectors.map(wgpu::Buffer::size)).sum()
    }
}
