//! The buffers of a session.

use super::kv_splits::{kv_split_bytes, kv_splits_for};
use crate::llm::config::Config;
use crate::llm::rope::ROPES;
use crate::llm::shared::Shared;
use crate::llm::steps::Slot;
use crate::{Error, Gpu, Result};
use wgpu::{BufferBinding, BufferUsages, CommandEncoder};

/// The buffers of a session.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Two u32: the position of the first token, and the number of tokens.
    pub(super) state: wgpu::Buffer,
    pub(super) tokens: wgpu::Buffer,
    /// For each rope the cosine and the sine of each pair, for each token.
    pub(super) rope_tables: Vec<wgpu::Buffer>,
    /// All slots but `Logits`.
    slots: Vec<wgpu::Buffer>,
    pub(super) head: HeadBuffers,
    /// Products that are copied into columns of a slot.
    pub(super) columns: wgpu::Buffer,
    /// Results of splits of attention.
    pub(super) kv_splits: wgpu::Buffer,
    /// Keys and values of each layer.
    cache: Vec<[wgpu::Buffer; 2]>,
}

/// The buffers of the head of the model, for the logits of several tokens at once.
#[derive(Debug)]
pub(super) struct HeadBuffers {
    /// Tokens.
    pub(super) rows: usize,
    /// Their rows of `Normed`.
    pub(super) normed: wgpu::Buffer,
    logits: wgpu::Buffer,
    pub(super) readback: wgpu::Buffer,
}

impl HeadBuffers {
    pub(super) fn new(gpu: &Gpu, config: &Config, rows: usize) -> Result<Self> {
        let bytes = 4 * rows * config.vocabulary;
        let logits = |usage| buffer(gpu, "bytes of logits", bytes, usage);
        Ok(Self {
            rows,
            normed: buffer(
                gpu,
                "bytes of activations",
                4 * rows * config.width,
                BufferUsages::STORAGE | BufferUsages::COPY_DST,
            )?,
            logits: logits(BufferUsages::STORAGE | BufferUsages::COPY_SRC)?,
            readback: logits(BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        })
    }

    /// Records the copy of the first `count` logits to the readback buffer.
    pub(super) fn copy_logits(&self, encoder: &mut CommandEncoder, count: usize) {
        encoder.copy_buffer_to_buffer(&self.logits, 0, &self.readback, 0, 4 * count as u64);
    }
}

/// Fails with [`Error::Number`] for a buffer that cannot be bound as a whole.
fn buffer(gpu: &Gpu, what: &'static str, bytes: usize, usage: BufferUsages) -> Result<wgpu::Buffer> {
    let limit = gpu.max_binding_bytes();
    if bytes as u64 > limit {
        let needed = format!("at most {limit}, the device's largest binding");
        return Err(Error::Number { what, needed, found: bytes as u64 });
    }
    // A buffer that a model does not use still has to be bound.
    let size = (bytes.max(16) as u64).next_multiple_of(4);
    let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
    gpu.guarded(|| gpu.device().create_buffer(&descriptor))
}

impl Buffers {
    /// Buffers for batches of up to `batch` tokens, one of which gets logits.
    pub(super) fn new(gpu: &Gpu, shared: &Shared, batch: usize) -> Result<Self> {
        let (config, context) = (&shared.config, shared.sessions.context);
        let buffer = |what, bytes, usage| buffer(gpu, what, bytes, usage);
        let (storage, uniform) = (BufferUsages::STORAGE, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let (written, read) = (storage | BufferUsages::COPY_DST, storage | BufferUsages::COPY_SRC);
        let widths = || {
            let slots = Slot::ALL.into_iter().filter(|&slot| slot != Slot::Logits);
            slots.map(|slot| slot.width(config))
        };
        let slot = |width| buffer("bytes of activations", 4 * batch * width, read);
        let widest = widths().max().unwrap_or(0);
        let [key_bytes, value_bytes] = shared.sessions.cache.layer_bytes(config, context);
        let cached = |bytes: u64| buffer("bytes of a layer's cache", bytes as usize, storage);
        let rope_table = || buffer("bytes of rope tables", 4 * batch * config.rope.dimensions, written);
        Ok(Self {
            state: buffer("bytes of state", 16, uniform)?,
            tokens: buffer("bytes of tokens", 4 * batch, written)?,
            rope_tables: (0..ROPES).map(|_| rope_table()).collect::<Result<_>>()?,
            slots: widths().map(slot).collect::<Result<_>>()?,
            head: HeadBuffers::new(gpu, config, 1)?,
            columns: buffer("bytes of activations", 4 * batch * widest, storage)?,
            kv_splits: buffer(
                "bytes of attention",
                kv_split_bytes(config, kv_splits_for(context, shared.software_adapter)),
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

    /// The rows of `Normed`.
    pub(super) fn normed(&self) -> &wgpu::Buffer {
        &self.slots[Slot::Normed as usize]
    }

    /// The keys and the values of a layer.
    pub(super) fn cache(&self, layer: usize) -> [BufferBinding<'_>; 2] {
        self.cache[layer].each_ref().map(wgpu::Buffer::as_entire_buffer_binding)
    }
}
