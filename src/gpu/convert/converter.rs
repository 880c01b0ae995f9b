//! Converts weights in host memory: upload, one or two kernels, download.

use super::padded_layout::PaddedLayout;
use super::quantize::{QuantizeBuffers, declined_bytes, scratch_bytes};
use crate::cpu;
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::{Error, Format, Result};
use wgpu::{BufferUsages, MapMode};

/// The most bytes that one submission converts or copies. Larger ones gain nothing: the overhead of a
/// submission is small beside this. It also stays far from the timeouts of drivers.
pub(in crate::gpu) const CHUNK_BYTES: usize = 16 << 20;
/// A chunk is a multiple of this many weights: whole blocks of every format.
const CHUNK_STEP: u64 = 256;

/// Converts weights from one format to another on a device. Keeps its buffers between conversions.
///
/// A converter has one submission in flight at a time. To keep the device busy, use several in different
/// threads.
#[derive(Debug)]
pub struct Converter {
    pub(super) gpu: Gpu,
    /// The largest size of a buffer.
    buffer_bytes: u64,
    pub(super) upload: GrowingBuffer,
    pub(super) source: GrowingBuffer,
    /// f32 weights between decoding and encoding.
    pub(super) middle: GrowingBuffer,
    pub(super) scratch: GrowingBuffer,
    pub(super) blocks: GrowingBuffer,
    pub(super) declined: GrowingBuffer,
    /// Sums of squared errors.
    pub(super) sums: GrowingBuffer,
    pub(super) readback: GrowingBuffer,
}

/// The result of a conversion.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Converted {
    /// The number of weights that the CPU reference converted, because the kernel declined their unusual
    /// magnitude.
    pub redone_weights: u64,
}

/// A buffer that grows on demand.
#[derive(Debug)]
pub(super) struct GrowingBuffer {
    usage: BufferUsages,
    buffer: Option<wgpu::Buffer>,
}

impl GrowingBuffer {
    fn new(usage: BufferUsages) -> Self {
        Self { usage, buffer: None }
    }

    /// A buffer of at least `bytes`.
    pub(super) fn get(&mut self, gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.buffer.as_ref().filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        // Drop the old buffer first, so that the two never exist at once.
        self.buffer = None;
        Ok(self.buffer.insert(gpu.buffer(bytes.next_multiple_of(4).max(4), self.usage)?).clone())
    }
}

impl Converter {
    /// Creates a converter whose buffers take at most about `memory_bytes` together, on the device and in
    /// host memory.
    pub fn new(gpu: &Gpu, memory_bytes: u64) -> Self {
        // Two buffers have the full size; all others together take at most as much again.
        let buffer_bytes = (memory_bytes / 4).min(CHUNK_BYTES as u64).min(gpu.max_binding_bytes());
        let on_device = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        Self {
            gpu: gpu.clone(),
            buffer_bytes,
            upload: GrowingBuffer::new(BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC),
            source: GrowingBuffer::new(on_device),
            middle: GrowingBuffer::new(on_device),
            scratch: GrowingBuffer::new(on_device),
            blocks: GrowingBuffer::new(on_device),
            declined: GrowingBuffer::new(on_device),
            sums: GrowingBuffer::new(on_device),
            readback: GrowingBuffer::new(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Decodes `input`, blocks of format `from`, encodes the weights as `to` into `output`, and waits for the
    /// result.
    ///
    /// The bytes equal those of [`cpu::dequantize`] followed by [`cpu::quantize`]. Weights must be finite
    /// unless `to` is F32, F16 or BF16. Fails with [`Error::Length`] if the lengths do not match,
    /// [`Error::NotEncoded`] if qmill has no encoder for `to`, [`Error::Inexact`] on a device that must not
    /// quantize, and with errors of the device; `output` is then unspecified.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn convert(
        &mut self,
        from: Format,
        input: &[u8],
        to: Format,
        output: &mut [u8],
    ) -> Result<Converted> {
        pollster::block_on(self.convert_as(Wait::Blocking, from, input, to, output))
    }

    /// The `async` form of [`Converter::convert`]. It does not block, but blocks that the device declined are
    /// computed in the calling thread.
    ///
    /// If the future is dropped early, the converter remains usable.
    pub async fn convert_async(
        &mut self,
        from: Format,
        input: &[u8],
        to: Format,
        output: &mut [u8],
    ) -> Result<Converted> {
        // A dropped future leaves its buffers in use, so they are not reused.
        let mut converter = std::mem::replace(self, self.without_buffers());
        let converted = converter.convert_as(Wait::Async, from, input, to, output).await;
        *self = converter;
        converted
    }

    /// [`Converter::convert`] with either way of waiting.
    async fn convert_as(
        &mut self,
        wait: Wait,
        from: Format,
        input: &[u8],
        to: Format,
        output: &mut [u8],
    ) -> Result<Converted> {
        let weights = input.len() / from.info().block_bytes * from.info().block_weights;
        cpu::check_lengths(from, weights, input.len())?;
        cpu::check_lengths(to, weights, output.len())?;
        if to.quantize_blocks().is_none() {
            return Err(Error::NotEncoded { format: to });
        }
        let mut converted = Converted::default();
        if from == to {
            output.copy_from_slice(input);
            return Ok(converted);
        }
        let chunk = self.chunk_weights(from, to);
        let bytes = |format: Format| format.bytes_for(chunk) as usize;
        for (input, output) in input.chunks(bytes(from)).zip(output.chunks_mut(bytes(to))) {
            // After a failure, a buffer may stay mapped.
            let redone = self.convert_chunk(wait, from, input, to, output).await;
            converted.redone_weights += redone.inspect_err(|_| *self = self.without_buffers())?;
        }
        Ok(converted)
    }

    pub(super) fn without_buffers(&self) -> Self {
        Self { buffer_bytes: self.buffer_bytes, ..Self::new(&self.gpu, 0) }
    }

    /// The weights of a chunk: as many as fit into the largest buffer.
    pub(super) fn chunk_weights(&self, from: Format, to: Format) -> u64 {
        let middle_bytes = if from.is_float() { 0 } else { 4 * CHUNK_STEP };
        let widest = [from, to].map(|format| PaddedLayout::of(format).device_bytes(CHUNK_STEP)).into_iter();
        // Scratch has 16 bytes for each sub-block, which has at least 16 weights.
        let step_bytes = widest.chain([CHUNK_STEP, middle_bytes]).max().unwrap_or(CHUNK_STEP);
        (self.buffer_bytes / step_bytes).max(1) * CHUNK_STEP
    }

    /// Converts one chunk. Returns how many weights the CPU reference converted.
    async fn convert_chunk(
        &mut self,
        wait: Wait,
        from: Format,
        input: &[u8],
        to: Format,
        output: &mut [u8],
    ) -> Result<u64> {
        let gpu = self.gpu.clone();
        let weights = (input.len() / from.info().block_bytes * from.info().block_weights) as u64;
        let (from_layout, to_layout) = (PaddedLayout::of(from), PaddedLayout::of(to));
        let from_bytes = from_layout.device_bytes(weights);
        let to_bytes = to_layout.device_bytes(weights);
        let declined_bytes = declined_bytes(to, weights);
        let upload = self.upload.get(&gpu, from_bytes)?;
        let source = self.source.get(&gpu, from_bytes)?;
        let blocks = self.blocks.get(&gpu, to_bytes)?;
        let declined = self.declined.get(&gpu, declined_bytes)?;
        let readback = self.readback.get(&gpu, to_bytes + declined_bytes)?;
        let ops = self.prepare(wait, (from, &source), (to, &blocks), &declined, weights).await?;

        gpu.mapped(wait, &upload, MapMode::Write, from_bytes, None).await?;
        put_padded(&gpu, &upload, from_bytes, from_layout, input)?;
        let submission = gpu.guarded(|| {
            gpu.submit(|encoder| {
                encoder.copy_buffer_to_buffer(&upload, 0, &source, 0, from_bytes);
                encoder.clear_buffer(&declined, 0, Some(declined_bytes));
                for op in &ops {
                    op.record(encoder);
                }
                encoder.copy_buffer_to_buffer(&blocks, 0, &readback, 0, to_bytes);
                encoder.copy_buffer_to_buffer(&declined, 0, &readback, to_bytes, declined_bytes);
            })
        })?;

        let bytes = to_bytes + declined_bytes;
        gpu.mapped(wait, &readback, MapMode::Read, bytes, Some(submission)).await?;
        let declined: Vec<u32> = {
            let view = gpu.guarded(|| readback.get_mapped_range(..bytes))?;
            let view = view.map_err(|error| gpu.fault(error.to_string()))?;
            let (blocks, declined) = view.split_at(to_bytes as usize);
            take_padded(to_layout, blocks, output);
            bytemuck::pod_collect_to_vec(declined)
        };
        gpu.guarded(|| readback.unmap())?;
        Ok(redo(&declined, from, input, to, output))
    }

    /// Prepares the kernels of one chunk.
    async fn prepare(
        &mut self,
        wait: Wait,
        (from, source): (Format, &wgpu::Buffer),
        (to, blocks): (Format, &wgpu::Buffer),
        declined: &wgpu::Buffer,
        weights: u64,
    ) -> Result<Vec<Op>> {
        let gpu = self.gpu.clone();
        // Decoders produce F32 and F16 themselves, from any bits.
        let encodes = !matches!(to, Format::F32 | Format::F16);
        let decodes = !(encodes && from.is_float());
        let middle = if encodes && decodes { Some(self.middle.get(&gpu, 4 * weights)?) } else { None };
        let scratch = if encodes { Some(self.scratch.get(&gpu, scratch_bytes(to, weights))?) } else { None };
        let (source, blocks, declined) = (source.clone(), blocks.clone(), declined.clone());
        let prepare = move |gpu: &Gpu| {
            let whole = wgpu::Buffer::as_entire_buffer_binding;
            let mut ops = Vec::new();
            if decodes {
                let (result, to) = middle.as_ref().map_or((&blocks, to), |middle| (middle, Format::F32));
                ops.push(gpu.prepare_dequantize(from, to, weights, &whole(&source), &whole(result))?);
            }
            if let Some(scratch) = &scratch {
                let (source, from) = middle.as_ref().map_or((&source, from), |middle| (middle, Format::F32));
                let buffers = QuantizeBuffers {
                    source: whole(source),
                    blocks: whole(&blocks),
                    declined: whole(&declined),
                    scratch: whole(scratch),
                };
                ops.push(gpu.prepare_quantize(from, to, weights, &buffers)?);
            }
            Ok(ops)
        };
        gpu.prepared(wait, prepare).await
    }
}

/// Maps a buffer and writes blocks into it, each padded to whole words.
pub(super) fn put_padded(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    bytes: u64,
    layout: PaddedLayout,
    blocks: &[u8],
) -> Result<()> {
    let view = gpu.guarded(|| buffer.get_mapped_range_mut(..bytes))?;
    let mut view = view.map_err(|error| gpu.fault(error.to_string()))?;
    let stride = 4 * layout.words;
    if stride == layout.file_bytes {
        view.slice(..blocks.len()).copy_from_slice(blocks);
    } else {
        for (b, block) in blocks.chunks(layout.file_bytes).enumerate() {
            view.slice(b * stride..b * stride + block.len()).copy_from_slice(block);
        }
    }
    drop(view);
    gpu.guarded(|| buffer.unmap())?;
    Ok(())
}

/// Copies padded blocks and removes the padding.
fn take_padded(layout: PaddedLayout, padded: &[u8], blocks: &mut [u8]) {
    let stride = 4 * layout.words;
    if stride == layout.file_bytes {
        let bytes = blocks.len();
        blocks.copy_from_slice(&padded[..bytes]);
    } else {
        for (padded, block) in padded.chunks(stride).zip(blocks.chunks_mut(layout.file_bytes)) {
            let bytes = block.len();
            block.copy_from_slice(&padded[..bytes]);
        }
    }
}

/// Converts declined blocks on the CPU. Returns the number of weights.
fn redo(declined: &[u32], from: Format, input: &[u8], to: Format, output: &mut [u8]) -> u64 {
    if declined.iter().all(|&word| word == 0) {
        return 0;
    }
    // A unit is whole blocks of both formats, hence consecutive bits of the map.
    let unit_weights = from.info().block_weights.max(to.info().block_weights);
    let unit_blocks = unit_weights / to.info().block_weights;
    let is_declined = |block: usize| declined[block / 32] >> (block % 32) & 1 == 1;
    let unit_bytes = |format: Format| format.bytes_for(unit_weights as u64) as usize;
    let units = output.len() / unit_bytes(to);
    let declined: Vec<usize> =
        (0..units).filter(|unit| (unit * unit_blocks..(unit + 1) * unit_blocks).any(is_declined)).collect();
    // The CPU is much faster on one long slice than on many short ones.
    if 8 * declined.len() > units {
        cpu::convert(from, input, to, output);
        return (units * unit_weights) as u64;
    }
    for unit in &declined {
        let range = |bytes| unit * bytes..(unit + 1) * bytes;
        cpu::convert(from, &input[range(unit_bytes(from))], to, &mut output[range(unit_bytes(to))]);
    }
    (declined.len() * unit_weights) as u64
}
