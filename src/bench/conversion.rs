//! Measures quantizing and dequantizing, in chunks that the device can bind.

use super::case::Case;
use super::data::{self, Blocks, CHECKED_ROWS};
use super::read::read;
use super::timing::{Accuracy, Settings, Timing, time_ops};
use crate::gpu::{Op, QuantizeBuffers, declined_bytes, device_bytes, scratch_bytes};
use crate::{Error, Format, Gpu, Result, cpu};
use wgpu::{Buffer, BufferUsages};

/// The rows that one operation converts, and its results.
struct Chunk {
    first_row: usize,
    rows: usize,
    op: Op,
    result: Buffer,
    /// When quantizing, the bitmap of blocks that the CPU reference must encode.
    declined: Option<Buffer>,
}

/// The copies of an operation, each in chunks of whole rows.
fn copies(
    case: &Case,
    gpu: &Gpu,
    settings: &Settings,
    chunk: impl Fn(usize, usize) -> Result<Chunk>,
) -> Result<Vec<Vec<Chunk>>> {
    let row_bytes = 4 * case.cols as u64;
    let most_rows = (gpu.max_binding_bytes() / row_bytes) as usize;
    if most_rows == 0 {
        let needed = format!("at most {}, the device's largest binding", gpu.max_binding_bytes());
        return Err(Error::Number { what: "bytes of a row", needed, found: row_bytes });
    }
    let chunks = || {
        let firsts = (0..case.rows).step_by(most_rows);
        firsts.map(|first| chunk(first, most_rows.min(case.rows - first))).collect()
    };
    (0..case.copies(settings)).map(|_| chunks()).collect()
}

/// Runs one copy and checks each of its chunks, then times all copies.
fn measure(
    gpu: &Gpu,
    settings: &Settings,
    copies: &[Vec<Chunk>],
    check: impl FnMut(&Chunk) -> Result<()>,
) -> Result<(Timing, Option<Accuracy>)> {
    gpu.clock()?.time(|pass| copies[0].iter().for_each(|chunk| chunk.op.record_in(pass)))?;
    copies[0].iter().try_for_each(check)?;
    let ops: Vec<Vec<Op>> =
        copies.iter().map(|chunks| chunks.iter().map(|chunk| chunk.op.clone()).collect()).collect();
    Ok((time_ops(gpu, &ops, settings)?, Some(Accuracy { error: 0.0, bound: 0.0 })))
}

pub(super) fn quantize(case: &Case, gpu: &Gpu, settings: &Settings) -> Result<(Timing, Option<Accuracy>)> {
    let Case { format, rows, cols, .. } = *case;
    if !case.operation.takes(format) {
        return Err(Error::NotEncoded { format });
    }
    let blocks = Blocks::new(format, rows, cols)?;
    let weights = data::repeated(&data::weights(rows, cols), rows * cols);
    let copies = copies(case, gpu, settings, |first_row, rows| {
        let count = (rows * cols) as u64;
        let source = gpu.buffer_with(
            bytemuck::cast_slice(&weights[first_row * cols..][..rows * cols]),
            BufferUsages::STORAGE,
        )?;
        let result = output(gpu, device_bytes(format, count))?;
        let declined = output(gpu, declined_bytes(format, count))?;
        let scratch = output(gpu, scratch_bytes(format, count))?;
        let buffers = QuantizeBuffers {
            source: source.as_entire_buffer_binding(),
            blocks: result.as_entire_buffer_binding(),
            declined: declined.as_entire_buffer_binding(),
            scratch: scratch.as_entire_buffer_binding(),
        };
        let op = gpu.prepare_quantize(Format::F32, format, count, &buffers)?;
        Ok(Chunk { first_row, rows, op, result, declined: Some(declined) })
    })?;
    let unit = Unit::of(format);
    measure(gpu, settings, &copies, |chunk| {
        let found = unit.without_padding(&read(gpu, &chunk.result, chunk.result.size())?);
        let declined = match &chunk.declined {
            Some(declined) => read(gpu, declined, declined.size())?,
            None => Vec::new(),
        };
        let is_declined = |unit: usize| declined[unit / 8] >> (unit % 8) & 1 == 1;
        for row in data::sample(chunk.rows, CHECKED_ROWS) {
            let (expected, start) = (blocks.row(chunk.first_row + row), row * blocks.row_bytes());
            let is_wrong =
                |&i: &usize| found[start + i] != expected[i] && !is_declined((start + i) / unit.file_bytes);
            if let Some(i) = (0..expected.len()).find(is_wrong) {
                return Err(Error::Differs {
                    device: gpu.name().to_owned(),
                    tensor: "the matrix".to_owned(),
                    row: (chunk.first_row + row) as u64,
                    column: (i / format.info().block_bytes * format.info().block_weights) as u64,
                    format,
                });
            }
        }
        Ok(())
    })
}

pub(super) fn dequantize(case: &Case, gpu: &Gpu, settings: &Settings) -> Result<(Timing, Option<Accuracy>)> {
    let Case { format, rows, cols, .. } = *case;
    if !case.operation.takes(format) {
        return Err(Error::NotEncoded { format });
    }
    let blocks = Blocks::new(format, rows, cols)?;
    let unit = Unit::of(format);
    let all = blocks.rows(rows);
    let copies = copies(case, gpu, settings, |first_row, rows| {
        let count = (rows * cols) as u64;
        let bytes = &all[first_row * blocks.row_bytes()..][..rows * blocks.row_bytes()];
        let source = gpu.buffer_with(&unit.with_padding(bytes), BufferUsages::STORAGE)?;
        let result = output(gpu, device_bytes(Format::F32, count))?;
        let op = gpu.prepare_dequantize(
            format,
            Format::F32,
            count,
            &source.as_entire_buffer_binding(),
            &result.as_entire_buffer_binding(),
        )?;
        Ok(Chunk { first_row, rows, op, result, declined: None })
    })?;
    let mut expected = vec![0.0; cols];
    measure(gpu, settings, &copies, |chunk| {
        let found: Vec<f32> = bytemuck::pod_collect_to_vec(&read(gpu, &chunk.result, chunk.result.size())?);
        for row in data::sample(chunk.rows, CHECKED_ROWS) {
            cpu::dequantize(format, blocks.row(chunk.first_row + row), &mut expected)?;
            let pairs = found[row * cols..].iter().zip(&expected).enumerate();
            let mut wrong = pairs.filter(|(_, (found, expected))| found.to_bits() != expected.to_bits());
            if let Some((column, (&found, &expected))) = wrong.next() {
                return Err(Error::Inaccurate {
                    device: gpu.name().to_owned(),
                    what: format!("{format}: row {}, column {column}", chunk.first_row + row),
                    found: f64::from(found),
                    expected: f64::from(expected),
                    allowed: 0.0,
                });
            }
        }
        Ok(())
    })
}

fn output(gpu: &Gpu, bytes: u64) -> Result<Buffer> {
    gpu.buffer(bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC)
}

/// The unit that is padded to whole words on the device: a block, or four weights of a float format.
#[derive(Clone, Copy)]
struct Unit {
    file_bytes: usize,
    device_bytes: usize,
}

impl Unit {
    fn of(format: Format) -> Self {
        let weights = format.info().block_weights.max(4) as u64;
        Self {
            file_bytes: format.bytes_for(weights) as usize,
            device_bytes: device_bytes(format, weights) as usize,
        }
    }

    fn with_padding(self, bytes: &[u8]) -> Vec<u8> {
        let mut padded = vec![0; bytes.len().div_ceil(self.file_bytes) * self.device_bytes];
        for (unit, target) in bytes.chunks(self.file_bytes).zip(padded.chunks_mut(self.device_bytes)) {
            target[..unit.len()].copy_from_slice(unit);
        }
        padded
    }

    fn without_padding(self, padded: &[u8]) -> Vec<u8> {
        padded.chunks(self.device_bytes).flat_map(|unit| &unit[..self.file_bytes]).copied().collect()
    }
}
