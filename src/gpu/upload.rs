//! A file's blocks on their way into a matrix, where their fields lie apart.

use super::Gpu;
use super::kernel::{Access, WORKGROUP};
use super::matrix::whole;
use super::op::{Dispatch, Op, in_order};
use super::pipeline::Arithmetic;
use super::shader;
use super::split::Split;
use crate::{Format, Result};
use wgpu::BufferUsages;

/// Bytes that are on their way at once.
pub(super) const PIECE_BYTES: usize = 16 << 20;

pub(super) const NAME: &str = "split";

pub(super) fn wgsl() -> Result<String, String> {
    shader::join("kernel/split.wgsl", None, &[], &[("WORKGROUP", WORKGROUP as usize)])
}

/// Writes `bytes`, blocks of `format`, into `matrix` from its block `first` on, of `blocks` in all; waits for it, so that the next needs no more memory.
pub(super) fn fill(
    gpu: &Gpu,
    format: Format,
    matrix: &wgpu::Buffer,
    blocks: u64,
    first: u64,
    bytes: &[u8],
) -> Result<()> {
    let split = Split::of(format);
    let piece_blocks = PIECE_BYTES / split.block_bytes;
    let source_bytes = (piece_blocks * split.block_bytes).min(bytes.len()).next_multiple_of(4) as u64;
    let source = gpu.buffer(source_bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
    let bindings = in_order([Access::Read, Access::ReadWrite]);
    let pipeline = gpu.pipeline(NAME, &bindings, Arithmetic::Exact, |_| wgsl())?;
    let mut block = first;
    for piece in bytes.chunks(piece_blocks * split.block_bytes) {
        let count = (piece.len() / split.block_bytes) as u64;
        let steps = split.fields.iter().map(|field| {
            let place = blocks * field.start as u64 + block * field.bytes as u64;
            // A word may hold the end of one piece and the start of the next.
            let skip = place % 4;
            let words = (skip + count * field.bytes as u64).div_ceil(4);
            let params = [
                count as u32,
                split.block_bytes as u32,
                field.from as u32,
                field.bytes as u32,
                (place / 4) as u32,
                skip as u32,
            ];
            let bound = in_order([whole("the blocks", &source), whole("the matrix", matrix)]);
            gpu.bind(pipeline.clone(), Dispatch::of(words), &params, &bound)
        });
        let op = Op { steps: steps.collect::<Result<_>>()? };
        let submission = gpu.guarded(|| {
            if piece.len().is_multiple_of(4) {
                gpu.queue().write_buffer(&source, 0, piece);
            } else {
                let mut padded = piece.to_vec();
                padded.resize(piece.len().next_multiple_of(4), 0);
                gpu.queue().write_buffer(&source, 0, &padded);
            }
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            op.record(&mut encoder);
            gpu.queue().submit([encoder.finish()])
        })?;
        gpu.wait(submission)?;
        block += count;
    }
    Ok(())
}
