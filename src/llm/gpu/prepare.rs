//! Prepares steps for a number of tokens: steps to ops.

use super::buffers::Buffers;
use super::kernels::{self, CopyColumns, int8_slot};
use super::kv_splits::Size;
use super::ops::NamedOp;
use super::source::Kernels;
use crate::Result;
use crate::gpu::{Activations, INT8_BLOCK, Op, Precision};
use crate::llm::architectures::Activation;
use crate::llm::shared::Shared;
use crate::llm::steps::{KernelStep, LibraryStep, Slot, Step};
use crate::llm::weights::{BiasedMatrix, GpuWeights};
use std::slice;
use wgpu::BufferBinding;

/// Prepares `steps`. `normed` is bound in place of `Normed`.
pub(super) fn prepare<'a>(
    steps: impl IntoIterator<Item = &'a Step>,
    shared: &'a Shared,
    weights: &'a GpuWeights,
    buffers: &'a Buffers,
    normed: BufferBinding<'a>,
    size: Size,
) -> Result<Vec<NamedOp>> {
    let mut quantized = weights.matrices().filter(|matrix| !matrix.format().is_float());
    let int8 = shared.sessions.precision == Precision::Int8 && quantized.next().is_some();
    let (kernels, inputs, ops) = (Kernels::new(&weights.gpu, &buffers.state), Vec::new(), Vec::new());
    let mut preparation = Preparation { buffers, shared, weights, normed, size, int8, kernels, inputs, ops };
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        match steps.peek() {
            Some(next) if preparation.fused(step, next)? => drop(steps.next()),
            _ => preparation.step(step)?,
        }
    }
    Ok(preparation.ops)
}

struct Preparation<'a> {
    buffers: &'a Buffers,
    shared: &'a Shared,
    weights: &'a GpuWeights,
    /// The buffer of `Normed`.
    normed: BufferBinding<'a>,
    size: Size,
    /// Whether some products take int8 activations.
    int8: bool,
    kernels: Kernels<'a>,
    /// The inputs of products, created on first use: all layers share the buffer of their int8 form.
    inputs: Vec<Input<'a>>,
    ops: Vec<NamedOp>,
}

/// A slot as the input of products.
#[derive(Clone)]
struct Input<'a> {
    slot: Slot,
    x: Activations<'a>,
    /// Whether the steps that fill the slot store its int8 form too.
    is_filled: bool,
}

impl<'a> Preparation<'a> {
    fn push(&mut self, name: impl Into<String>, op: Op) {
        self.ops.push(NamedOp { name: name.into(), op, weight_bytes: 0 });
    }

    /// Prepares a step and the next one as one op, if the model wants that and there is a kernel for it.
    fn fused(&mut self, step: &Step, next: &Step) -> Result<bool> {
        let Step::Library(LibraryStep::Matmul { stack, from, to: Slot::Gate }) = *step else {
            return Ok(false);
        };
        let wanted = self.shared.fused && self.size.tokens == 1 && *next == Step::Kernel(KernelStep::Glu);
        let [BiasedMatrix { weights, bias: None }] = &self.weights.stacks[stack][..] else {
            return Ok(false);
        };
        if !wanted {
            return Ok(false);
        }
        let (x, gated) = (self.activations(from, false)?, self.activations(Slot::Gated, true)?);
        let blocks = gated.x.blocks();
        let is_gelu = self.shared.config.activation == Activation::Gelu;
        let y = self.buffers.slot(Slot::Gated);
        let gpu = &self.weights.gpu;
        let Some(op) = gpu.prepare_matmul_glu(weights, &x.x, is_gelu, &y, blocks.as_ref())? else {
            return Ok(false);
        };
        let _ = self.input(from, !weights.format().is_float())?;
        let (name, weight_bytes) = (format!("product and glu {}", weights.format()), weights.device_bytes());
        self.ops.push(NamedOp { name, op, weight_bytes });
        Ok(true)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let filled = int8_slot(step, &self.shared.config).map(|slot| self.activations(slot, true));
        let filled = filled.transpose()?.filter(|_| self.int8);
        let blocks = filled.as_ref().and_then(|input| input.x.blocks());
        let (buffers, shared, size) = (self.buffers, self.shared, self.size);
        match *step {
            Step::Library(step) => self.library(step)?,
            Step::Attention(step) => {
                let kernels = &mut self.kernels;
                for (name, op) in super::attention::prepare(step, kernels, shared, buffers, size, blocks)? {
                    self.push(name, op);
                }
            }
            Step::Kernel(step) => {
                let (kernels, vectors) = (&mut self.kernels, &self.weights.vectors);
                let (name, op) =
                    kernels::prepare(step, kernels, shared, buffers, vectors, size.tokens, blocks)?;
                self.push(name, op);
            }
        }
        Ok(())
    }

    fn library(&mut self, step: LibraryStep) -> Result<()> {
        let (gpu, buffers, weights) = (&self.weights.gpu, self.buffers, self.weights);
        match step {
            LibraryStep::GetRows => {
                let table = &weights.embedding;
                let tokens = buffers.tokens.as_entire_buffer_binding();
                let hidden = buffers.slot(Slot::Hidden);
                let op = gpu.prepare_get_rows(table, &tokens, &hidden, self.size.tokens)?;
                self.push(format!("get_rows {}", table.format()), op);
                Ok(())
            }
            LibraryStep::Matmul { stack, from, to } => self.matmul(&weights.stacks[stack], from, to),
            LibraryStep::Output => {
                let output = weights.output();
                self.matmul(slice::from_ref(&output), Slot::Normed, Slot::Logits)
            }
            LibraryStep::ExpertMatmul { experts, from, to } => {
                let experts = &weights.experts[experts];
                let top_k = self.shared.config.top_k();
                // The outputs of experts are a vector for each expert of a token.
                let experts_per_vector = if from == Slot::Normed { top_k } else { 1 };
                let x = self.input(from, !experts.format().is_float())?;
                let rows = to.width(&self.shared.config) / top_k;
                let (numbers, y) = (buffers.slot(Slot::Experts), buffers.slot(to));
                let op = gpu.prepare_matmul_indexed(experts, rows, &x, &numbers, experts_per_vector, &y)?;
                self.push(format!("experts {}", experts.format()), op);
                Ok(())
            }
        }
    }

    /// Prepares a product with each matrix of a stack. Several give columns of the result each: directly for
    /// a single token, if the device can bind a buffer from that column on, else by a copy.
    fn matmul(&mut self, stack: &[BiasedMatrix], from: Slot, to: Slot) -> Result<()> {
        let takes_int8 = stack.iter().any(|matrix| !matrix.weights.format().is_float());
        let x = self.input(from, takes_int8)?;
        let (gpu, y) = (&self.weights.gpu, self.buffers.slot(to));
        let (tokens, columns) = (self.size.tokens, self.buffers.columns.as_entire_buffer_binding());
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        let mut first = 0;
        for BiasedMatrix { weights, bias } in stack {
            let (bias, rows) = (bias.as_ref().map(wgpu::Buffer::as_entire_buffer_binding), weights.rows());
            let start = BufferBinding { offset: 4 * first as u64, ..y.clone() };
            let is_direct = stack.len() == 1 || tokens == 1 && start.offset.is_multiple_of(alignment);
            let result = if is_direct { &start } else { &columns };
            let op = gpu.prepare_matmul(weights, &x, bias.as_ref(), result)?;
            let (name, weight_bytes) = (format!("product {}", weights.format()), weights.device_bytes());
            self.ops.push(NamedOp { name, op, weight_bytes });
            if !is_direct {
                let stride = to.width(&self.shared.config);
                let copy = CopyColumns { length: rows, start: first, stride }.source();
                let bound = [columns.clone(), y.clone()];
                let (name, op) = self.kernels.prepare(copy, &bound, tokens)?;
                self.push(name, op);
            }
            first += rows;
        }
        Ok(())
    }

    /// The vectors of a slot for a product. Pushes the op that quantizes them if the product `takes_int8` and
    /// the slot's int8 form is not filled.
    fn input(&mut self, slot: Slot, takes_int8: bool) -> Result<Activations<'a>> {
        let Input { x, is_filled, .. } = self.activations(slot, false)?;
        if let Some(op) = x.quantize().filter(|_| takes_int8 && !is_filled) {
            self.push("quantize activations", op.clone());
        }
        Ok(x)
    }

    /// The vectors of a slot. The first call for a slot decides `is_filled`.
    fn activations(&mut self, slot: Slot, is_filled: bool) -> Result<Input<'a>> {
        if let Some(known) = self.inputs.iter().find(|known| known.slot == slot) {
            return Ok(known.clone());
        }
        let config = &self.shared.config;
        // The outputs of experts are a vector for each expert of a token.
        let vectors = if slot == Slot::Gated { config.top_k().max(1) } else { 1 };
        let (count, cols) = (self.size.tokens * vectors, slot.width(config) / vectors);
        let x = if slot == Slot::Normed { self.normed.clone() } else { self.buffers.slot(slot) };
        let x = if self.int8 && cols.is_multiple_of(INT8_BLOCK) {
            Activations::int8(&self.weights.gpu, x, count, cols)?.shared()
        } else {
            Activations::exact(x, count, cols)
        };
        let input = Input { slot, x, is_filled };
        self.inputs.push(input.clone());
        Ok(input)
    }
}
