//! A session on a GPU: each step of the graph as an op, prepared once for each number of tokens.
//!
//! All buffers are there from the start, so a batch of tokens needs only its numbers, its position and its angles written, and its ops
//! recorded; a second batch of the same size makes no pipeline and no bind group. Nothing comes back but logits.

use super::graph::{ROPES, Slot, Step};
use super::model::Shared;
use super::ops::{self, Place};
use super::weights::{Biased, GpuWeights};
use crate::gpu::{Activations, Op, Precision};
use crate::{Error, Gpu, Result};
use std::collections::HashMap;
use wgpu::{BufferBinding, BufferUsages, CommandEncoder};

/// Bytes of the logits that are made at once.
const LOGIT_BYTES: usize = 16 << 20;
/// Prepared sizes that are kept.
const KEPT_SIZES: usize = 8;
/// What activations are quantized in blocks of.
const INT8_BLOCK: usize = 32;

/// The buffers of a session, and what has been prepared on them.
#[derive(Debug)]
pub(super) struct Engine {
    buffers: Buffers,
    /// By number of tokens.
    trunks: HashMap<usize, Vec<Op>>,
    heads: HashMap<usize, Vec<Op>>,
    logit_rows: usize,
}

/// Where a session computes.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The position of the first token.
    pub(super) state: wgpu::Buffer,
    tokens: wgpu::Buffer,
    pub(super) angles: Vec<wgpu::Buffer>,
    slots: Vec<wgpu::Buffer>,
    /// The rows of `Normed` that logits are made of.
    chosen: wgpu::Buffer,
    /// Products on their way to some columns of a slot.
    columns: wgpu::Buffer,
    readback: wgpu::Buffer,
    /// Keys and values of each layer.
    pub(super) cache: Vec<[wgpu::Buffer; 2]>,
}

impl Buffers {
    /// For batches of up to `batch` tokens, of which `logit_rows` get logits at once.
    fn new(gpu: &Gpu, shared: &Shared, batch: usize, logit_rows: usize) -> Result<Self> {
        let config = &shared.config;
        let limits = gpu.device().limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let buffer = |what: &'static str, bytes: usize, usage: BufferUsages| {
            if bytes as u64 > limit {
                let needed = format!("at most {limit}, the device's largest binding");
                return Err(Error::Number { what, needed, found: bytes as u64 });
            }
            // A buffer that a model has no use for still has to be bound.
            let size = (bytes.max(16) as u64).next_multiple_of(4);
            let descriptor =
                wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
            gpu.guarded(|| gpu.device().create_buffer(&descriptor))
        };
        let (storage, uniform) = (BufferUsages::STORAGE, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let (written, read) = (storage | BufferUsages::COPY_DST, storage | BufferUsages::COPY_SRC);
        let slot = |slot: Slot| {
            let rows = if slot == Slot::Logits { logit_rows } else { batch };
            buffer("bytes of activations", 4 * rows * slot.width(config), read)
        };
        let widest = Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
        let widest = widest.map(|slot| slot.width(config)).max().unwrap_or(0);
        let cache_bytes = shared.cache.bytes_for((config.kv_width() * shared.context) as u64) as usize;
        let cached = || buffer("bytes of a layer's cache", cache_bytes, storage);
        let angles = || buffer("bytes of angles", 4 * batch * config.rope.dimensions, written);
        Ok(Self {
            state: buffer("bytes of state", 16, uniform)?,
            tokens: buffer("bytes of tokens", 4 * batch, written)?,
            angles: (0..ROPES).map(|_| angles()).collect::<Result<_>>()?,
            slots: Slot::ALL.into_iter().map(slot).collect::<Result<_>>()?,
            chosen: buffer("bytes of activations", 4 * logit_rows * config.width, written)?,
            columns: buffer("bytes of activations", 4 * batch * widest, storage)?,
            readback: buffer(
                "bytes of logits",
                4 * logit_rows * config.vocabulary,
                BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            )?,
            cache: (0..config.layers).map(|_| Ok([cached()?, cached()?])).collect::<Result<_>>()?,
        })
    }

    pub(super) fn slot(&self, slot: Slot) -> BufferBinding<'_> {
        self.slots[slot as usize].as_entire_buffer_binding()
    }
}

impl Engine {
    pub(super) fn new(shared: &Shared, weights: &GpuWeights, batch: usize) -> Result<Self> {
        ops::check_head(shared.config.head_width)?;
        let gpu = &weights.gpu;
        let logit_rows = (LOGIT_BYTES / (4 * shared.config.vocabulary)).clamp(1, batch);
        Ok(Self {
            buffers: Buffers::new(gpu, shared, batch, logit_rows)?,
            trunks: HashMap::new(),
            heads: HashMap::new(),
            logit_rows,
        })
    }

    /// Sends a batch through the model; returns the logits after its last `wanted` tokens.
    pub(super) fn compute(
        &mut self,
        shared: &Shared,
        weights: &GpuWeights,
        tokens: &[u32],
        position: usize,
        wanted: usize,
    ) -> Result<Vec<f32>> {
        let (gpu, config) = (&weights.gpu, &shared.config);
        let (count, vocabulary) = (tokens.len(), config.vocabulary);
        self.prepare(shared, weights, count)?;
        let angles = shared.angles(position, count);
        gpu.guarded(|| {
            let write = |buffer: &wgpu::Buffer, bytes: &[u8]| gpu.queue().write_buffer(buffer, 0, bytes);
            write(&self.buffers.state, bytemuck::cast_slice(&[position as u32]));
            write(&self.buffers.tokens, bytemuck::cast_slice(tokens));
            for (buffer, angles) in self.buffers.angles.iter().zip(&angles) {
                write(buffer, bytemuck::cast_slice(angles));
            }
        })?;
        let mut encoder = encoder(gpu)?;
        record(&mut encoder, &self.trunks[&count]);
        let mut logits = vec![0.0f32; wanted * vocabulary];
        if wanted == 0 {
            gpu.guarded(|| gpu.queue().submit([encoder.finish()]))?;
            return Ok(logits);
        }
        let row_bytes = 4 * config.width as u64;
        let mut first = (count - wanted) as u64;
        for logits in logits.chunks_mut(self.logit_rows * vocabulary) {
            let rows = logits.len() / vocabulary;
            self.prepare_head(shared, weights, rows)?;
            let normed = &self.buffers.slots[Slot::Normed as usize];
            let bytes = rows as u64 * row_bytes;
            encoder.copy_buffer_to_buffer(normed, first * row_bytes, &self.buffers.chosen, 0, bytes);
            record(&mut encoder, &self.heads[&rows]);
            let made = &self.buffers.slots[Slot::Logits as usize];
            encoder.copy_buffer_to_buffer(made, 0, &self.buffers.readback, 0, 4 * logits.len() as u64);
            let recorded = std::mem::replace(&mut encoder, self::encoder(gpu)?);
            gpu.submit_and_read(recorded, &self.buffers.readback, bytemuck::cast_slice_mut(logits))?;
            first += rows as u64;
        }
        Ok(logits)
    }

    fn prepare(&mut self, shared: &Shared, weights: &GpuWeights, count: usize) -> Result<()> {
        if !self.trunks.contains_key(&count) {
            let normed = self.buffers.slot(Slot::Normed);
            let ops = self.preparation(shared, weights, normed, count).all(&shared.graph.trunk)?;
            keep(&mut self.trunks, count, ops);
        }
        Ok(())
    }

    fn prepare_head(&mut self, shared: &Shared, weights: &GpuWeights, rows: usize) -> Result<()> {
        if !self.heads.contains_key(&rows) {
            let chosen = self.buffers.chosen.as_entire_buffer_binding();
            let ops = self.preparation(shared, weights, chosen, rows).all(&shared.graph.head)?;
            keep(&mut self.heads, rows, ops);
        }
        Ok(())
    }

    fn preparation<'a>(
        &'a self,
        shared: &'a Shared,
        weights: &'a GpuWeights,
        normed: BufferBinding<'a>,
        count: usize,
    ) -> Preparation<'a> {
        let (buffers, inputs, ops) = (&self.buffers, Vec::new(), Vec::new());
        Preparation { buffers, shared, weights, normed, count, inputs, ops }
    }
}

/// Steps on their way to ops, for so many tokens.
struct Preparation<'a> {
    buffers: &'a Buffers,
    shared: &'a Shared,
    weights: &'a GpuWeights,
    /// What stands for `Normed`.
    normed: BufferBinding<'a>,
    count: usize,
    /// What products take from each slot, made when first asked for: their eight-bit form is in one buffer for all layers.
    inputs: Vec<(Slot, Activations<'a>)>,
    ops: Vec<Op>,
}

impl<'a> Preparation<'a> {
    fn all(mut self, steps: &[Step]) -> Result<Vec<Op>> {
        for step in steps {
            self.step(step)?;
        }
        Ok(self.ops)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let (gpu, buffers, count) = (&self.weights.gpu, self.buffers, self.count);
        match *step {
            Step::Embed { matrix } => {
                let table = &self.weights.matrices[matrix][0].matrix;
                let tokens = buffers.tokens.as_entire_buffer_binding();
                self.ops.push(gpu.prepare_get_rows(table, &tokens, &buffers.slot(Slot::Hidden), count)?);
            }
            Step::Product { matrix, from, to } => {
                let stack = &self.weights.matrices[matrix];
                let x = self.input(from, stack, count)?;
                self.product(stack, &x, to)?;
            }
            Step::PickedProduct { matrix, from, to } => {
                let stack = &self.weights.matrices[matrix];
                let used = Slot::Picks.width(&self.shared.config);
                // What came out of the experts is one vector for each of those that were picked.
                let picks = if from == Slot::Normed { used } else { 1 };
                let x = self.input(from, stack, count * used / picks)?;
                let rows = to.width(&self.shared.config) / used;
                let (numbers, y) = (buffers.slot(Slot::Picks), buffers.slot(to));
                self.ops.push(gpu.prepare_matmul_indexed(&stack[0].matrix, rows, &x, &numbers, picks, &y)?);
            }
            _ => self.ops.push(ops::prepare(step, gpu, self.shared, buffers, &self.weights.vectors, count)?),
        }
        Ok(())
    }

    /// A product with each matrix of a stack. Where they are several, each gives some columns of the result.
    fn product(&mut self, stack: &[Biased], x: &Activations, to: Slot) -> Result<()> {
        let (gpu, y) = (&self.weights.gpu, self.buffers.slot(to));
        let columns = self.buffers.columns.as_entire_buffer_binding();
        let mut first = 0;
        for part in stack {
            let bias = part.bias.as_ref().map(wgpu::Buffer::as_entire_buffer_binding);
            let result = if stack.len() == 1 { &y } else { &columns };
            self.ops.push(gpu.prepare_matmul(&part.matrix, x, bias.as_ref(), result)?);
            if stack.len() > 1 {
                let place =
                    Place { length: part.matrix.rows(), start: first, stride: to.width(&self.shared.config) };
                self.ops.push(place.prepare(gpu, &self.buffers.state, &columns, &y, self.count)?);
            }
            first += part.matrix.rows();
        }
        Ok(())
    }

    /// What products with `stack` take from a slot, which has `count` vectors; its eight-bit form is made anew.
    fn input(&mut self, slot: Slot, stack: &[Biased], count: usize) -> Result<Activations<'a>> {
        let known = self.inputs.iter().find(|(known, _)| *known == slot);
        let x = if let Some((_, x)) = known {
            x.clone()
        } else {
            let cols = stack[0].matrix.cols();
            let x = if slot == Slot::Normed { self.normed.clone() } else { self.buffers.slot(slot) };
            let x = match self.shared.precision {
                Precision::Int8 if cols.is_multiple_of(INT8_BLOCK) => {
                    Activations::int8(&self.weights.gpu, x, count, cols)?
                }
                _ => Activations::exact(x, count, cols),
            };
            self.inputs.push((slot, x.clone()));
            x
        };
        let takes_int8 = stack.iter().any(|part| !part.matrix.format().is_float());
        self.ops.extend(x.quantize().filter(|_| takes_int8).cloned());
        Ok(x)
    }
}

/// Keeps a prepared size, and not too many of them; a single token comes most often.
fn keep(prepared: &mut HashMap<usize, Vec<Op>>, count: usize, ops: Vec<Op>) {
    if prepared.len() == KEPT_SIZES {
        prepared.retain(|&count, _| count == 1);
    }
    prepared.insert(count, ops);
}

fn encoder(gpu: &Gpu) -> Result<CommandEncoder> {
    gpu.guarded(|| gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default()))
}

/// All in one pass.
fn record(encoder: &mut CommandEncoder, ops: &[Op]) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for op in ops {
        op.record_in(&mut pass);
    }
}
