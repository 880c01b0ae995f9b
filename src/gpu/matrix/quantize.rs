//! Quantizes weights into a matrix, from the host or from a buffer of the device. Only blocks that the
//! kernels decline pass through the host.

use super::Matrix;
use super::copy::{RowShape, Source};
use super::quantize_options::{Check, QuantizeOptions, check_finite};
use super::upload::{Upload, write_padded};
use crate::gpu::Gpu;
use crate::gpu::convert::padded_layout::PaddedLayout;
use crate::gpu::convert::quantize::{QuantizeBuffers, declined_bytes, scratch_bytes};
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range as BufferRange;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Error, Format, Result, cpu};
use std::ops::Range;
use wgpu::BufferUsages;

/// The most runs of blocks that are read back separately.
const MOST_RUNS: usize = 1024;

const SOURCES: [Format; 3] = [Format::F32, Format::F16, Format::BF16];

/// The weights to check, and a bit for each block with a weight that is not finite.
const SOURCE: Binding = Binding::new(1, "source");
const MARKED: Binding = Binding::new(2, "marked");

params! {
    /// For checking weights.
    CheckParams in "convert/check_weights.wgsl" {
        /// Quads in a block.
        block_quads,
    }
}

fn check_name(source: Format) -> String {
    format!("check_weights.{}", source.name().to_lowercase())
}

fn check_wgsl(source: Format) -> Result<String, String> {
    preprocess("convert/check_weights.wgsl", &[Switch::source(source)])
}

/// The shaders for the float formats, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (String, Result<String, String>)> {
    SOURCES.into_iter().map(|source| (check_name(source), check_wgsl(source)))
}

/// Where weights to quantize are.
pub(super) enum Load<'a> {
    Host(&'a [u8]),
    Device(Source<'a>),
}

/// Quantizes a matrix chunk by chunk.
pub(super) struct MatrixQuantizer<'a> {
    gpu: &'a Gpu,
    wait: Wait,
    from: Format,
    /// The format that quantizers read: `from` if that is a float format, otherwise F32, after decoding.
    floats: Format,
    cols: usize,
    options: &'a QuantizeOptions,
    upload: Upload<'a>,
    chunk_rows: usize,
    /// The row number of the matrix's first row in errors.
    named_row: u64,
    buffers: Buffers,
}

/// The buffers of a chunk.
struct Buffers {
    /// Encoded blocks of the source: as in a file, and padded to whole words.
    encoded: Option<[wgpu::Buffer; 2]>,
    floats: wgpu::Buffer,
    blocks: wgpu::Buffer,
    declined: wgpu::Buffer,
    scratch: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl<'a> MatrixQuantizer<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        wait: Wait,
        from: Format,
        rows: usize,
        cols: usize,
        options: &'a QuantizeOptions,
    ) -> Result<Self> {
        let to = options.format;
        let upload = Upload::new(gpu, wait, to, rows, cols)?;
        let floats = if from.is_float() { from } else { Format::F32 };
        // The longest form of a row. 256 bytes are kept for the alignment of bindings.
        let row_bytes = [from, floats, to].map(|format| PaddedLayout::of(format).device_bytes(cols as u64));
        let row_bytes = row_bytes.into_iter().chain([scratch_bytes(to, cols as u64)]).max().unwrap_or(1);
        let limit = gpu.max_binding_bytes().saturating_sub(256);
        if row_bytes > limit {
            let needed = format!("at most {limit}, what the device can bind");
            return Err(Error::Number { what: "bytes of a row", needed, found: row_bytes });
        }
        let chunk_rows = ((gpu.chunk_bytes() as u64 / row_bytes).max(1) as usize).min(rows);
        let weights = (chunk_rows * cols) as u64;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let padded = |format| gpu.buffer(PaddedLayout::of(format).device_bytes(weights), usage);
        let encoded = if from == floats {
            None
        } else {
            let bytes = from.bytes_for(weights).next_multiple_of(4);
            Some([gpu.buffer(bytes, usage)?, padded(from)?])
        };
        let declined_bytes = declined_bytes(to, weights);
        let buffers = Buffers {
            encoded,
            floats: padded(floats)?,
            blocks: padded(to)?,
            declined: gpu.buffer(declined_bytes, usage)?,
            scratch: gpu.buffer(scratch_bytes(to, weights), BufferUsages::STORAGE)?,
            readback: gpu.buffer(declined_bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        };
        Ok(Self { gpu, wait, from, floats, cols, options, upload, chunk_rows, named_row: 0, buffers })
    }

    /// Numbers rows in errors from `named_row`, where the matrix is part of a larger tensor.
    pub(super) fn of_rows_from(self, named_row: u64) -> Self {
        Self { named_row, ..self }
    }

    /// The most rows of a chunk.
    pub(super) fn chunk_rows(&self) -> usize {
        self.chunk_rows
    }

    pub(super) async fn finish(self) -> Result<Matrix> {
        self.upload.finish().await
    }

    /// Quantizes `rows` rows, at most [`MatrixQuantizer::chunk_rows`], from `first_row`.
    pub(super) async fn chunk(&mut self, first_row: usize, rows: usize, load: Load<'_>) -> Result<()> {
        let Buffers { declined, readback, .. } = &self.buffers;
        let weights = (rows * self.cols) as u64;
        if let Load::Host(bytes) = &load
            && self.from != self.floats
        {
            let first = (self.named_row + first_row as u64) * self.cols as u64;
            check_finite(&self.options.name, self.from, bytes, first, self.cols, self.options.check)?;
        }
        let prepare = |gpu: &Gpu| {
            let mut op = self.prepare_load(gpu, weights, &load)?;
            if self.options.check == Check::Finite {
                op = op.then(self.prepare_check(gpu, weights)?);
            }
            let fill = self.prepare_fill(gpu, first_row, rows)?;
            Ok((op.then(self.prepare_quantize(gpu, weights)?).then(fill.clone()), fill))
        };
        let (op, fill) = self.gpu.prepared(self.wait, prepare).await?;
        let declined_bytes = declined_bytes(self.options.format, weights);
        let submission = self.gpu.guarded(|| {
            if let Load::Host(bytes) = load {
                let to = self.buffers.encoded.as_ref().map_or(&self.buffers.floats, |[raw, _]| raw);
                write_padded(self.gpu, to, bytes);
            }
            self.gpu.submit(|encoder| {
                encoder.clear_buffer(declined, 0, Some(declined_bytes));
                op.record(encoder);
                encoder.copy_buffer_to_buffer(declined, 0, readback, 0, declined_bytes);
            })
        })?;
        let mut words = vec![0u32; declined_bytes as usize / 4];
        self.gpu.read(self.wait, readback, bytemuck::cast_slice_mut(&mut words), Some(submission)).await?;
        let runs = runs(&words);
        if runs.is_empty() {
            return Ok(());
        }
        self.redo(&runs, first_row, weights).await?;
        let submission = self.gpu.guarded(|| self.gpu.submit(|encoder| fill.record(encoder)))?;
        self.gpu.done(self.wait, submission).await
    }

    /// Prepares copying and decoding the weights into the buffer that quantizers read. Weights of the host
    /// are written to a buffer before.
    fn prepare_load(&self, gpu: &Gpu, weights: u64, load: &Load) -> Result<Op> {
        let Buffers { encoded, floats, .. } = &self.buffers;
        let from = self.from;
        let bytes = from.bytes_for(weights);
        let host;
        let source = match (load, encoded) {
            (Load::Device(source), _) => source,
            (Load::Host(_), Some([raw, _])) => {
                host = Source {
                    name: "the weights",
                    buffer: raw,
                    offset: 0,
                    stride: from.info().block_bytes as u64,
                };
                &host
            }
            (Load::Host(_), None) => return Ok(Op::default()),
        };
        let layout = PaddedLayout::of(from);
        let Some([_, padded]) = encoded else {
            // A single row, padded with zeros to a whole quad.
            let words = layout.device_bytes(weights) / 4;
            let shape = RowShape { bytes, words };
            return Ok(Op::new([gpu.prepare_copy_rows(source, 0, bytes, &shape, floats, 0..words)?]));
        };
        let shape = RowShape { bytes: layout.file_bytes as u64, words: layout.words as u64 };
        let words = layout.device_bytes(weights) / 4;
        let copy = gpu.prepare_copy_rows(source, 0, bytes, &shape, padded, 0..words)?;
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let decode = gpu.prepare_dequantize(from, Format::F32, weights, &whole(padded), &whole(floats))?;
        Ok(Op::new([copy]).then(decode))
    }

    /// Prepares the check, which marks blocks with weights that are not finite.
    fn prepare_check(&self, gpu: &Gpu, weights: u64) -> Result<Op> {
        let floats = self.floats;
        let bindings = Bindings::new()
            .read(SOURCE, &BufferRange::whole("the weights", &self.buffers.floats))
            .write(MARKED, &BufferRange::whole("the declined blocks", &self.buffers.declined));
        let params = CheckParams { block_quads: PaddedLayout::of(self.options.format).quads as u32 };
        let (name, quads) = (check_name(floats), Dispatch::of(weights.div_ceil(4)));
        let program = (name.as_str(), Arithmetic::Exact);
        Ok(Op::new([gpu.prepare_step(program, |_| check_wgsl(floats), quads, &params, &bindings)?]))
    }

    /// Prepares quantizing, unless the weights have the format already.
    fn prepare_quantize(&self, gpu: &Gpu, weights: u64) -> Result<Op> {
        let Buffers { floats, blocks, declined, scratch, .. } = &self.buffers;
        if self.floats == self.options.format {
            return Ok(Op::default());
        }
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let buffers = QuantizeBuffers {
            source: whole(floats),
            blocks: whole(blocks),
            declined: whole(declined),
            scratch: whole(scratch),
        };
        // Decoders produce F16 themselves.
        gpu.prepare_quantize(self.floats, self.options.format, weights, &buffers)
    }

    /// The encoded blocks on the device, each padded to whole words.
    fn blocks(&self) -> &wgpu::Buffer {
        if self.floats == self.options.format { &self.buffers.floats } else { &self.buffers.blocks }
    }

    /// Prepares copying the encoded blocks into the matrix.
    fn prepare_fill(&self, gpu: &Gpu, first_row: usize, rows: usize) -> Result<Op> {
        let to = self.options.format;
        let layout = PaddedLayout::of(to);
        // Float formats have no padding between weights.
        let stride = if to.is_float() { to.info().block_bytes } else { 4 * layout.words } as u64;
        let source = Source { name: "the blocks", buffer: self.blocks(), offset: 0, stride };
        self.upload.prepare_copy(gpu, first_row, rows, &source)
    }

    /// Encodes declined blocks on the CPU, and checks marked blocks.
    async fn redo(&self, runs: &[Range<u64>], first_row: usize, weights: u64) -> Result<()> {
        let (gpu, from, to) = (self.gpu, self.floats, self.options.format);
        let layout = PaddedLayout::of(to);
        let block_weights = 4 * layout.quads as u64;
        // On the device, weights are padded to a whole quad.
        let bytes_of = |run: &Range<u64>| {
            let end = (run.end * block_weights).min(weights.next_multiple_of(4));
            from.bytes_for(run.start * block_weights)..from.bytes_for(end)
        };
        let few = runs.len() <= MOST_RUNS;
        let copies: Vec<Range<u64>> = if few {
            runs.iter().map(bytes_of).collect()
        } else {
            vec![bytes_of(&(0..layout.blocks(weights)))]
        };
        let bytes = copies.iter().map(|copy| copy.end - copy.start).sum();
        let readback = gpu.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let submission = gpu.guarded(|| {
            gpu.submit(|encoder| {
                let mut at = 0;
                for copy in &copies {
                    let size = copy.end - copy.start;
                    encoder.copy_buffer_to_buffer(&self.buffers.floats, copy.start, &readback, at, size);
                    at += size;
                }
            })
        })?;
        let mut read = vec![0; bytes as usize];
        gpu.read(self.wait, &readback, &mut read, Some(submission)).await?;
        let (mut output, mut padded, mut at) = (Vec::new(), Vec::new(), 0);
        for run in runs {
            let copy = bytes_of(run);
            let start = if few { at } else { copy.start as usize };
            at += (copy.end - copy.start) as usize;
            let first = run.start * block_weights;
            let count = (run.end * block_weights).min(weights) - first;
            let input = &read[start..][..from.bytes_for(count) as usize];
            let first = (self.named_row + first_row as u64) * self.cols as u64 + first;
            let Self { options: QuantizeOptions { name, check, .. }, cols, .. } = self;
            check_finite(name, from, input, first, *cols, *check)?;
            if from == to {
                continue;
            }
            output.resize(to.bytes_for(count) as usize, 0);
            cpu::convert(from, input, to, &mut output);
            let invalid = (*check == Check::Finite).then(|| to.first_invalid_block(&output)).flatten();
            if let Some(block) = invalid {
                let at = first + (block * to.info().block_weights) as u64;
                let (row, column) = (at / *cols as u64, at % *cols as u64);
                return Err(Error::Overflow { tensor: name.clone(), row, column, format: to });
            }
            padded.clear();
            for block in output.chunks(layout.file_bytes) {
                padded.extend_from_slice(block);
                padded.resize(padded.len().next_multiple_of(4 * layout.words), 0);
            }
            let offset = run.start * 4 * layout.words as u64;
            gpu.guarded(|| gpu.queue().write_buffer(self.blocks(), offset, &padded))?;
        }
        Ok(())
    }
}

/// The blocks whose bits are set, as runs of consecutive blocks.
fn runs(words: &[u32]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (w, &word) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
        for bit in (0..32).filter(|bit| word >> bit & 1 == 1) {
            let block = 32 * w as u64 + bit;
            match runs.last_mut() {
                Some(last) if last.end == block => last.end = block + 1,
                _ => runs.push(block..block + 1),
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_bits_are_a_run() {
        assert_eq!(runs(&[0, 0]), []);
        assert_eq!(runs(&[0b1101, 0, 1 << 31, 1]), [0..1, 2..4, 95..97]);
        assert_eq!(runs(&[u32::MAX, u32::MAX, 0, 1]), [0..64, 96..97]);
    }
}
