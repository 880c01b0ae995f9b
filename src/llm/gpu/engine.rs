//! A session on a GPU.
//!
//! All buffers exist from the start. Steps are prepared as ops once for each number of tokens, so a second
//! batch of the same size creates no pipeline and no bind group: its token numbers, position and rope tables
//! are written, and its ops recorded. Only logits are read back.

use super::attention::check_head;
use super::buffers::{Buffers, HeadBuffers};
use super::kv_splits::{Size, kv_splits_for};
use super::ops::{NamedOp, encoder, record};
use super::prepare::prepare;
use super::profiler::Profiler;
use crate::llm::profile::Profile;
use crate::llm::shared::Shared;
use crate::llm::steps::Slot;
use crate::llm::weights::GpuWeights;
use crate::{Gpu, Result};
use std::collections::HashMap;
use std::sync::Arc;
use wgpu::{CommandBuffer, CommandEncoder};

/// Bytes of logits that are computed at once, where those of many tokens are wanted.
const LOGIT_BYTES: usize = 16 << 20;
/// Prepared sizes that are kept.
const KEPT_SIZES: usize = 8;

/// The buffers of a session, and the ops prepared on them.
#[derive(Debug)]
pub(in crate::llm) struct Engine {
    shared: Arc<Shared>,
    weights: Arc<GpuWeights>,
    buffers: Buffers,
    /// For a single token with the head, since its logits are always wanted.
    trunks: HashMap<Size, Vec<NamedOp>>,
    /// By number of tokens.
    heads: HashMap<usize, Vec<NamedOp>>,
    /// The next single token with its number of splits, recorded while the device computed the last:
    /// recording takes the host a tenth of the time that a large GPU computes.
    ahead: Option<(usize, CommandBuffer)>,
    profiler: Option<Profiler>,
}

impl Engine {
    pub(in crate::llm) fn new(shared: &Arc<Shared>, weights: &Arc<GpuWeights>) -> Result<Self> {
        check_head(shared.config.head_stride())?;
        let batch = shared.sessions.batch.min(shared.sessions.context);
        Ok(Self {
            buffers: Buffers::new(&weights.gpu, shared, batch)?,
            shared: shared.clone(),
            weights: weights.clone(),
            trunks: HashMap::new(),
            heads: HashMap::new(),
            ahead: None,
            profiler: None,
        })
    }

    pub(in crate::llm) fn gpu(&self) -> &Gpu {
        &self.weights.gpu
    }

    /// Times everything from now on.
    pub(in crate::llm) fn start_profile(&mut self) -> Result<()> {
        self.profiler = Some(Profiler::new(self.gpu())?);
        Ok(())
    }

    pub(in crate::llm) fn profile(&self) -> Option<&Profile> {
        self.profiler.as_ref().map(|profiler| &profiler.profile)
    }

    /// Sends a batch through the model, and returns the logits after its last `wanted` tokens.
    pub(in crate::llm) fn compute(
        &mut self,
        tokens: &[u32],
        position: usize,
        wanted: usize,
    ) -> Result<Vec<f32>> {
        let config = &self.shared.config;
        let (count, vocabulary, width) = (tokens.len(), config.vocabulary, config.width);
        let kv_splits = if count == 1 { self.kv_splits_for(position + 1) } else { 1 };
        self.make_room_for_logits(wanted)?;
        let size = Size { tokens: count, kv_splits };
        self.prepare_trunk(size)?;
        self.write_inputs(tokens, position)?;
        if count == 1 && wanted == 1 && self.profiler.is_none() {
            return self.compute_one(kv_splits, self.kv_splits_for(position + 2));
        }
        let gpu = &self.weights.gpu;
        let mut commands = encoder(gpu)?;
        if let Some(profiler) = &mut self.profiler {
            profiler.count(count);
        }
        commands = run(&mut self.profiler, gpu, commands, &self.trunks[&size], count)?;
        let mut logits = vec![0.0f32; wanted * vocabulary];
        if wanted == 0 {
            gpu.guarded(|| gpu.queue().submit([commands.finish()]))?;
            return Ok(logits);
        }
        if count == 1 {
            // The trunk of a single token includes the head.
            self.read_logits(commands, &mut logits)?;
            return Ok(logits);
        }
        let row_bytes = 4 * width as u64;
        let mut first = (count - wanted) as u64;
        for logits in logits.chunks_mut(self.buffers.head.rows * vocabulary) {
            let rows = logits.len() / vocabulary;
            self.prepare_head(rows)?;
            let (gpu, buffers) = (&self.weights.gpu, &self.buffers);
            let bytes = rows as u64 * row_bytes;
            let (from, to) = (buffers.normed(), &buffers.head.normed);
            commands.copy_buffer_to_buffer(from, first * row_bytes, to, 0, bytes);
            commands = run(&mut self.profiler, gpu, commands, &self.heads[&rows], count)?;
            let recorded = std::mem::replace(&mut commands, encoder(gpu)?);
            self.read_logits(recorded, logits)?;
            first += rows as u64;
        }
        Ok(logits)
    }

    fn kv_splits_for(&self, keys: usize) -> usize {
        kv_splits_for(keys, self.shared.software_adapter)
    }

    /// Writes what differs from batch to batch.
    fn write_inputs(&self, tokens: &[u32], position: usize) -> Result<()> {
        let (gpu, buffers) = (&self.weights.gpu, &self.buffers);
        let rope_tables = self.shared.rotations.tables(position, tokens.len());
        gpu.guarded(|| {
            let write = |buffer: &wgpu::Buffer, bytes: &[u8]| gpu.queue().write_buffer(buffer, 0, bytes);
            write(&buffers.state, bytemuck::cast_slice(&[position as u32, tokens.len() as u32]));
            write(&buffers.tokens, bytemuck::cast_slice(tokens));
            for (buffer, table) in buffers.rope_tables.iter().zip(&rope_tables) {
                write(buffer, bytemuck::cast_slice(table));
            }
        })
    }

    /// Computes a single token whose ops are prepared. Meanwhile records the one after it, if its ops are
    /// prepared too.
    fn compute_one(&mut self, kv_splits: usize, next_kv_splits: usize) -> Result<Vec<f32>> {
        let commands = match self.ahead.take().filter(|&(of, _)| of == kv_splits) {
            Some((_, commands)) => commands,
            None => self.record_one(kv_splits)?,
        };
        let mut logits = vec![0.0f32; self.shared.config.vocabulary];
        let mut ahead = None;
        let bytes = bytemuck::cast_slice_mut(&mut logits);
        self.weights.gpu.submit_and_read_after(commands, &self.buffers.head.readback, bytes, || {
            if self.trunks.contains_key(&Size { tokens: 1, kv_splits: next_kv_splits }) {
                ahead = Some((next_kv_splits, self.record_one(next_kv_splits)?));
            }
            Ok(())
        })?;
        self.ahead = ahead;
        Ok(logits)
    }

    /// Records a single token, from its number to the readback of its logits.
    fn record_one(&self, kv_splits: usize) -> Result<CommandBuffer> {
        let gpu = &self.weights.gpu;
        let mut commands = encoder(gpu)?;
        record(&mut commands, &self.trunks[&Size { tokens: 1, kv_splits }]);
        self.buffers.head.copy_logits(&mut commands, self.shared.config.vocabulary);
        gpu.guarded(|| commands.finish())
    }

    /// Submits `commands`, and waits for the logits that they compute.
    fn read_logits(&self, mut commands: CommandEncoder, logits: &mut [f32]) -> Result<()> {
        let head = &self.buffers.head;
        head.copy_logits(&mut commands, logits.len());
        self.weights.gpu.submit_and_read(commands, &head.readback, bytemuck::cast_slice_mut(logits))
    }

    /// Makes room for the logits of as many of `wanted` tokens as are computed at once. A session that
    /// generates text needs one.
    fn make_room_for_logits(&mut self, wanted: usize) -> Result<()> {
        let config = &self.shared.config;
        let rows = (LOGIT_BYTES / (4 * config.vocabulary)).clamp(1, wanted.max(1));
        if rows > self.buffers.head.rows {
            self.buffers.head = HeadBuffers::new(&self.weights.gpu, config, rows)?;
            // Everything that is bound to the old buffers.
            self.heads.clear();
            self.ahead = None;
            self.trunks.retain(|size, _| size.tokens != 1);
        }
        Ok(())
    }

    fn prepare_trunk(&mut self, size: Size) -> Result<()> {
        if !self.trunks.contains_key(&size) {
            let normed = self.buffers.slot(Slot::Normed);
            let graph = &self.shared.graph;
            let head = if size.tokens == 1 { graph.head.as_slice() } else { &[] };
            let steps = graph.trunk.iter().chain(head);
            let ops = prepare(steps, &self.shared, &self.weights, &self.buffers, normed, size)?;
            drop_rare(&mut self.trunks, |size| size.tokens == 1);
            self.trunks.insert(size, ops);
        }
        Ok(())
    }

    fn prepare_head(&mut self, rows: usize) -> Result<()> {
        if !self.heads.contains_key(&rows) {
            let normed = self.buffers.head.normed.as_entire_buffer_binding();
            let size = Size { tokens: rows, kv_splits: 1 };
            let steps = &self.shared.graph.head;
            let ops = prepare(steps, &self.shared, &self.weights, &self.buffers, normed, size)?;
            drop_rare(&mut self.heads, |&rows| rows == 1);
            self.heads.insert(rows, ops);
        }
        Ok(())
    }
}

/// If many sizes are prepared, drops all but the common ones.
fn drop_rare<K>(prepared: &mut HashMap<K, Vec<NamedOp>>, is_common: impl Fn(&K) -> bool) {
    if prepared.len() >= KEPT_SIZES {
        prepared.retain(|size, _| is_common(size));
    }
}

/// Records all ops in one pass; with a profiler, runs them together with what `commands` has recorded.
fn run(
    profiler: &mut Option<Profiler>,
    gpu: &Gpu,
    mut commands: CommandEncoder,
    ops: &[NamedOp],
    tokens: usize,
) -> Result<CommandEncoder> {
    if let Some(profiler) = profiler {
        profiler.run(gpu, commands, ops, tokens)?;
        return encoder(gpu);
    }
    record(&mut commands, ops);
    Ok(commands)
}
