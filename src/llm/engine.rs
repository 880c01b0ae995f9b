//! A session on a GPU: each step of the graph as an op, prepared once for each number of tokens.
//!
//! All buffers are there from the start, so a batch of tokens needs only its numbers, its position and its angles written, and its ops
//! recorded; a second batch of the same size makes no pipeline and no bind group. Nothing comes back but logits.

use super::config::Config;
use super::graph::{ROPES, Slot, Step};
use super::model::Shared;
use super::ops::{self, Place};
use super::profile::{Profile, Profiler};
use super::weights::{Biased, GpuWeights};
use crate::gpu::{Activations, Op, Precision};
use crate::{Error, Gpu, Result};
use std::collections::HashMap;
use wgpu::{BufferBinding, BufferUsages, CommandBuffer, CommandEncoder};

/// Bytes of the logits that are made at once, where those of many tokens are wanted.
const LOGIT_BYTES: usize = 16 << 20;
/// Keys that a single token attends to at once: a workgroup does so many, and others do the others beside it. On a CPU, and on a GPU, where more are
/// done one after the other only as long as that takes less than to put spans together.
const CPU_SPAN: usize = 512;
const SPAN: usize = 64;
const WHOLE: usize = 256;
const MAX_SPANS: usize = 64;
/// Prepared sizes that are kept.
const KEPT_SIZES: usize = 8;
/// What activations are quantized in blocks of.
pub(super) const INT8_BLOCK: usize = 32;

/// The buffers of a session, and what has been prepared on them.
#[derive(Debug)]
pub(super) struct Engine {
    buffers: Buffers,
    /// By number of tokens, and the spans that attention to all before is divided in; of a single token with the head, since its logits are always wanted.
    trunks: HashMap<(usize, usize), Vec<Named>>,
    heads: HashMap<usize, Vec<Named>>,
    /// The next single token in so many spans, recorded while the device had the last: that takes the host a tenth of what a large GPU takes to compute it.
    ahead: Option<(usize, CommandBuffer)>,
    profiler: Option<Profiler>,
}

/// An op, and what a profile calls it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) op: Op,
    /// What it multiplies by.
    pub(super) weight_bytes: u64,
}

/// Where a session computes.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The position of the first token, and how many they are.
    pub(super) state: wgpu::Buffer,
    tokens: wgpu::Buffer,
    pub(super) angles: Vec<wgpu::Buffer>,
    /// All but logits.
    slots: Vec<wgpu::Buffer>,
    head: Head,
    /// Products on their way to some columns of a slot.
    columns: wgpu::Buffer,
    /// Attention on its way to the sum of its spans.
    pub(super) spans: wgpu::Buffer,
    /// Keys and values of each layer.
    pub(super) cache: Vec<[wgpu::Buffer; 2]>,
}

/// What logits are made of and in: those of so many tokens at once.
#[derive(Debug)]
struct Head {
    rows: usize,
    /// The rows of `Normed` that they are made of.
    chosen: wgpu::Buffer,
    logits: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl Head {
    fn new(gpu: &Gpu, config: &Config, rows: usize) -> Result<Self> {
        let bytes = 4 * rows * config.vocabulary;
        let logits = |usage| buffer(gpu, "bytes of logits", bytes, usage);
        Ok(Self {
            rows,
            chosen: buffer(
                gpu,
                "bytes of activations",
                4 * rows * config.width,
                BufferUsages::STORAGE | BufferUsages::COPY_DST,
            )?,
            logits: logits(BufferUsages::STORAGE | BufferUsages::COPY_SRC)?,
            readback: logits(BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        })
    }

    /// Records the copy of so many logits to where they are read.
    fn copy_logits(&self, encoder: &mut CommandEncoder, count: usize) {
        encoder.copy_buffer_to_buffer(&self.logits, 0, &self.readback, 0, 4 * count as u64);
    }
}

fn buffer(gpu: &Gpu, what: &'static str, bytes: usize, usage: BufferUsages) -> Result<wgpu::Buffer> {
    let limits = gpu.device().limits();
    let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if bytes as u64 > limit {
        let needed = format!("at most {limit}, the device's largest binding");
        return Err(Error::Number { what, needed, found: bytes as u64 });
    }
    // A buffer that a model has no use for still has to be bound.
    let size = (bytes.max(16) as u64).next_multiple_of(4);
    let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
    gpu.guarded(|| gpu.device().create_buffer(&descriptor))
}

impl Buffers {
    /// For batches of up to `batch` tokens, of which one gets logits.
    fn new(gpu: &Gpu, shared: &Shared, batch: usize) -> Result<Self> {
        let config = &shared.config;
        let buffer = |what, bytes, usage| buffer(gpu, what, bytes, usage);
        let (storage, uniform) = (BufferUsages::STORAGE, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let (written, read) = (storage | BufferUsages::COPY_DST, storage | BufferUsages::COPY_SRC);
        let widths = || {
            let slots = Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
            slots.map(|slot| slot.width(config))
        };
        let slot = |width| buffer("bytes of activations", 4 * batch * width, read);
        let widest = widths().max().unwrap_or(0);
        let [key_bytes, value_bytes] = shared.cache.layer_bytes(config, shared.context);
        let cached = |bytes: u64| buffer("bytes of a layer's cache", bytes as usize, storage);
        let angles = || buffer("bytes of angles", 4 * batch * config.rope.dimensions, written);
        Ok(Self {
            state: buffer("bytes of state", 16, uniform)?,
            tokens: buffer("bytes of tokens", 4 * batch, written)?,
            angles: (0..ROPES).map(|_| angles()).collect::<Result<_>>()?,
            slots: widths().map(slot).collect::<Result<_>>()?,
            head: Head::new(gpu, config, 1)?,
            columns: buffer("bytes of activations", 4 * batch * widest, storage)?,
            spans: buffer(
                "bytes of attention",
                ops::spans_bytes(config, spans_for(shared.context, shared.on_cpu)),
                storage,
            )?,
            cache: (0..config.layers)
                .map(|_| Ok([cached(key_bytes)?, cached(value_bytes)?]))
                .collect::<Result<_>>()?,
        })
    }

    pub(super) fn slot(&self, slot: Slot) -> BufferBinding<'_> {
        let buffer = if slot == Slot::Logits { &self.head.logits } else { &self.slots[slot as usize] };
        buffer.as_entire_buffer_binding()
    }
}

impl Engine {
    pub(super) fn new(shared: &Shared, weights: &GpuWeights, batch: usize) -> Result<Self> {
        ops::check_head(shared.config.head_stride())?;
        Ok(Self {
            buffers: Buffers::new(&weights.gpu, shared, batch)?,
            trunks: HashMap::new(),
            heads: HashMap::new(),
            ahead: None,
            profiler: None,
        })
    }

    /// Makes room for the logits of as many of `wanted` tokens as are made at once: a text in the making needs only those of one.
    fn make_room_for_logits(&mut self, gpu: &Gpu, config: &Config, wanted: usize) -> Result<()> {
        let rows = (LOGIT_BYTES / (4 * config.vocabulary)).clamp(1, wanted.max(1));
        if rows > self.buffers.head.rows {
            self.buffers.head = Head::new(gpu, config, rows)?;
            self.heads.clear();
            self.ahead = None;
            // Those with the head.
            self.trunks.retain(|&(count, _), _| count != 1);
        }
        Ok(())
    }

    /// Times all that comes.
    pub(super) fn start_profile(&mut self, gpu: &Gpu) -> Result<()> {
        self.profiler = Some(Profiler::new(gpu)?);
        Ok(())
    }

    pub(super) fn profile(&self) -> Option<&Profile> {
        self.profiler.as_ref().map(|profiler| &profiler.profile)
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
        let spans = if count == 1 { spans_for(position + 1, shared.on_cpu) } else { 1 };
        self.make_room_for_logits(gpu, config, wanted)?;
        self.prepare(shared, weights, count, spans)?;
        let angles = shared.angles(position, count);
        gpu.guarded(|| {
            let write = |buffer: &wgpu::Buffer, bytes: &[u8]| gpu.queue().write_buffer(buffer, 0, bytes);
            write(&self.buffers.state, bytemuck::cast_slice(&[position as u32, count as u32]));
            write(&self.buffers.tokens, bytemuck::cast_slice(tokens));
            for (buffer, angles) in self.buffers.angles.iter().zip(&angles) {
                write(buffer, bytemuck::cast_slice(angles));
            }
        })?;
        if count == 1 && wanted == 1 && self.profiler.is_none() {
            return self.compute_one(gpu, vocabulary, spans, spans_for(position + 2, shared.on_cpu));
        }
        let mut encoder = encoder(gpu)?;
        if let Some(profiler) = &mut self.profiler {
            profiler.count(count);
        }
        encoder = run(&mut self.profiler, gpu, encoder, &self.trunks[&(count, spans)], count)?;
        let mut logits = vec![0.0f32; wanted * vocabulary];
        if wanted == 0 {
            gpu.guarded(|| gpu.queue().submit([encoder.finish()]))?;
            return Ok(logits);
        }
        if count == 1 {
            // With the head already, and timed.
            self.read_logits(gpu, encoder, &mut logits)?;
            return Ok(logits);
        }
        let row_bytes = 4 * config.width as u64;
        let mut first = (count - wanted) as u64;
        for logits in logits.chunks_mut(self.buffers.head.rows * vocabulary) {
            let rows = logits.len() / vocabulary;
            self.prepare_head(shared, weights, rows)?;
            let normed = &self.buffers.slots[Slot::Normed as usize];
            let bytes = rows as u64 * row_bytes;
            encoder.copy_buffer_to_buffer(normed, first * row_bytes, &self.buffers.head.chosen, 0, bytes);
            encoder = run(&mut self.profiler, gpu, encoder, &self.heads[&rows], count)?;
            let recorded = std::mem::replace(&mut encoder, self::encoder(gpu)?);
            self.read_logits(gpu, recorded, logits)?;
            first += rows as u64;
        }
        Ok(logits)
    }

    /// Computes a single token, which is prepared; meanwhile records the one after it, if that is prepared for its spans.
    fn compute_one(
        &mut self,
        gpu: &Gpu,
        vocabulary: usize,
        spans: usize,
        next_spans: usize,
    ) -> Result<Vec<f32>> {
        let commands = match self.ahead.take().filter(|&(of, _)| of == spans) {
            Some((_, commands)) => commands,
            None => self.record_one(gpu, vocabulary, spans)?,
        };
        let mut logits = vec![0.0f32; vocabulary];
        let mut ahead = None;
        let bytes = bytemuck::cast_slice_mut(&mut logits);
        gpu.submit_and_read_after(commands, &self.buffers.head.readback, bytes, || {
            if self.trunks.contains_key(&(1, next_spans)) {
                ahead = Some((next_spans, self.record_one(gpu, vocabulary, next_spans)?));
            }
            Ok(())
        })?;
        self.ahead = ahead;
        Ok(logits)
    }

    /// A single token from its number to where its logits are read.
    fn record_one(&self, gpu: &Gpu, vocabulary: usize, spans: usize) -> Result<CommandBuffer> {
        let mut encoder = encoder(gpu)?;
        record(&mut encoder, &self.trunks[&(1, spans)]);
        self.buffers.head.copy_logits(&mut encoder, vocabulary);
        gpu.guarded(|| encoder.finish())
    }

    /// Submits what is recorded and waits for the logits that it makes.
    fn read_logits(&self, gpu: &Gpu, mut encoder: CommandEncoder, logits: &mut [f32]) -> Result<()> {
        self.buffers.head.copy_logits(&mut encoder, logits.len());
        gpu.submit_and_read(encoder, &self.buffers.head.readback, bytemuck::cast_slice_mut(logits))
    }

    fn prepare(&mut self, shared: &Shared, weights: &GpuWeights, count: usize, spans: usize) -> Result<()> {
        if !self.trunks.contains_key(&(count, spans)) {
            let normed = self.buffers.slot(Slot::Normed);
            let head = if count == 1 { shared.graph.head.as_slice() } else { &[] };
            let steps = shared.graph.trunk.iter().chain(head);
            let ops = self.preparation(shared, weights, normed, count, spans).all(steps)?;
            // A single token comes most often.
            make_room(&mut self.trunks, |&(count, _)| count == 1);
            self.trunks.insert((count, spans), ops);
        }
        Ok(())
    }

    fn prepare_head(&mut self, shared: &Shared, weights: &GpuWeights, rows: usize) -> Result<()> {
        if !self.heads.contains_key(&rows) {
            let chosen = self.buffers.head.chosen.as_entire_buffer_binding();
            let ops = self.preparation(shared, weights, chosen, rows, 1).all(&shared.graph.head)?;
            make_room(&mut self.heads, |&rows| rows == 1);
            self.heads.insert(rows, ops);
        }
        Ok(())
    }

    fn preparation<'a>(
        &'a self,
        shared: &'a Shared,
        weights: &'a GpuWeights,
        normed: BufferBinding<'a>,
        count: usize,
        spans: usize,
    ) -> Preparation<'a> {
        let mut formats = weights.matrices.iter().flatten().map(|part| part.matrix.format());
        let int8 = shared.precision == Precision::Int8 && formats.any(|format| !format.is_float());
        let (buffers, inputs, ops) = (&self.buffers, Vec::new(), Vec::new());
        Preparation { buffers, shared, weights, normed, count, spans, int8, inputs, ops }
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
    /// That attention to all tokens before is divided in.
    spans: usize,
    /// Whether some products take their input in eight bits.
    int8: bool,
    /// What products take from each slot, made when first asked for: their eight-bit form is in one buffer for all layers.
    inputs: Vec<Input<'a>>,
    ops: Vec<Named>,
}

/// What products take from a slot.
struct Input<'a> {
    slot: Slot,
    x: Activations<'a>,
    /// Whether the steps that fill the slot make its eight-bit form too.
    is_filled: bool,
}

impl<'a> Preparation<'a> {
    fn push(&mut self, name: impl Into<String>, op: Op) {
        self.ops.push(Named { name: name.into(), op, weight_bytes: 0 });
    }

    fn all(mut self, steps: impl IntoIterator<Item = &'a Step>) -> Result<Vec<Named>> {
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
                let op = gpu.prepare_get_rows(table, &tokens, &buffers.slot(Slot::Hidden), count)?;
                self.push(format!("get_rows {}", table.format()), op);
            }
            Step::Product { matrix, from, to } => {
                let stack = &self.weights.matrices[matrix];
                let x = self.input(from, stack)?;
                self.product(stack, &x, to)?;
            }
            Step::PickedProduct { matrix, from, to } => {
                let stack = &self.weights.matrices[matrix];
                let used = Slot::Picks.width(&self.shared.config);
                // What came out of the experts is one vector for each of those that were picked.
                let picks = if from == Slot::Normed { used } else { 1 };
                let x = self.input(from, stack)?;
                let rows = to.width(&self.shared.config) / used;
                let (numbers, y) = (buffers.slot(Slot::Picks), buffers.slot(to));
                let experts = &stack[0].matrix;
                let op = gpu.prepare_matmul_indexed(experts, rows, &x, &numbers, picks, &y)?;
                self.push(format!("experts {}", experts.format()), op);
            }
            _ => {
                let filled = ops::fills(step, &self.shared.config).map(|slot| self.activations(slot, true));
                let filled = filled.transpose()?.filter(|_| self.int8);
                let (shared, vectors) = (self.shared, &self.weights.vectors);
                let blocks = filled.as_ref().and_then(|(x, _)| x.blocks());
                if let Step::Attend { layer, window } = *step {
                    let most = window.map_or(MAX_SPANS, |window| spans_for(window, self.shared.on_cpu));
                    let spans = self.spans.min(most);
                    let (place, size) = ((layer, window), (count, spans));
                    for (name, op) in ops::prepare_attention(place, gpu, shared, buffers, size, blocks)? {
                        self.push(name, op);
                    }
                    return Ok(());
                }
                let (name, op) = ops::prepare(step, gpu, shared, buffers, vectors, count, blocks)?;
                self.push(name, op);
            }
        }
        Ok(())
    }

    /// A product with each matrix of a stack. Where they are several, each gives some columns of the result: those of a single token where they belong, if the device
    /// binds what begins there.
    fn product(&mut self, stack: &[Biased], x: &Activations, to: Slot) -> Result<()> {
        let (gpu, y) = (&self.weights.gpu, self.buffers.slot(to));
        let columns = self.buffers.columns.as_entire_buffer_binding();
        let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
        let mut first = 0;
        for part in stack {
            let (bias, rows) =
                (part.bias.as_ref().map(wgpu::Buffer::as_entire_buffer_binding), part.matrix.rows());
            let start = BufferBinding { offset: 4 * first as u64, ..y.clone() };
            let is_in_place = stack.len() == 1 || self.count == 1 && start.offset.is_multiple_of(alignment);
            let result = if is_in_place { &start } else { &columns };
            let op = gpu.prepare_matmul(&part.matrix, x, bias.as_ref(), result)?;
            let (name, weight_bytes) =
                (format!("product {}", part.matrix.format()), part.matrix.device_bytes());
            self.ops.push(Named { name, op, weight_bytes });
            if !is_in_place {
                let place = Place { length: rows, start: first, stride: to.width(&self.shared.config) };
                self.push("place", place.prepare(gpu, &self.buffers.state, &columns, &y, self.count)?);
            }
            first += rows;
        }
        Ok(())
    }

    /// What products with `stack` take from a slot; its eight-bit form is made anew unless the slot came with it.
    fn input(&mut self, slot: Slot, stack: &[Biased]) -> Result<Activations<'a>> {
        let (x, is_filled) = self.activations(slot, false)?;
        let takes_int8 = stack.iter().any(|part| !part.matrix.format().is_float());
        if let Some(op) = x.quantize().filter(|_| takes_int8 && !is_filled) {
            self.push("quantize activations", op.clone());
        }
        Ok(x)
    }

    /// The vectors of a slot, and whether they are there in eight bits without more ado; those that ask first decide that.
    fn activations(&mut self, slot: Slot, is_filled: bool) -> Result<(Activations<'a>, bool)> {
        if let Some(known) = self.inputs.iter().find(|known| known.slot == slot) {
            return Ok((known.x.clone(), known.is_filled));
        }
        let config = &self.shared.config;
        // What came out of the experts is one vector for each of those that were picked.
        let vectors = if slot == Slot::Gated { Slot::Picks.width(config).max(1) } else { 1 };
        let (count, cols) = (self.count * vectors, slot.width(config) / vectors);
        let x = if slot == Slot::Normed { self.normed.clone() } else { self.buffers.slot(slot) };
        let x = if self.int8 && cols.is_multiple_of(INT8_BLOCK) {
            Activations::int8(&self.weights.gpu, x, count, cols)?.shared()
        } else {
            Activations::exact(x, count, cols)
        };
        self.inputs.push(Input { slot, x: x.clone(), is_filled });
        Ok((x, is_filled))
    }
}

/// In how many spans attention to so many keys is divided.
fn spans_for(keys: usize, on_cpu: bool) -> usize {
    let (whole, span) = if on_cpu { (CPU_SPAN, CPU_SPAN) } else { (WHOLE, SPAN) };
    if keys <= whole { 1 } else { keys.div_ceil(span).next_power_of_two().min(MAX_SPANS) }
}

/// Drops prepared sizes where there are many, but those that come often.
fn make_room<K>(prepared: &mut HashMap<K, Vec<Named>>, comes_often: impl Fn(&K) -> bool) {
    if prepared.len() >= KEPT_SIZES {
        prepared.retain(|size, _| comes_often(size));
    }
}

pub(super) fn encoder(gpu: &Gpu) -> Result<CommandEncoder> {
    gpu.guarded(|| gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default()))
}

/// Records all in one pass, or does it with what was recorded before if it is to be timed.
fn run(
    profiler: &mut Option<Profiler>,
    gpu: &Gpu,
    mut encoder: CommandEncoder,
    ops: &[Named],
    tokens: usize,
) -> Result<CommandEncoder> {
    if let Some(profiler) = profiler {
        profiler.run(gpu, encoder, ops, tokens)?;
        return self::encoder(gpu);
    }
    record(&mut encoder, ops);
    Ok(encoder)
}

fn record(encoder: &mut CommandEncoder, ops: &[Named]) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for named in ops {
        named.op.record_in(&mut pass);
    }
}
