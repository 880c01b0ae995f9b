//! Sums of squared errors of weights in host memory: upload once, several formats, download of the sums.

use super::converter::{Converter, put_padded};
use super::padded_layout::{PaddedLayout, device_bytes};
use super::quantize::{declined_bytes, scratch_bytes};
use super::round_trip::{RoundTripBuffers, error_sums_bytes};
use crate::cpu::{self, ErrorSums, GROUP_WEIGHTS};
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use crate::gpu::op::Op;
use crate::{Error, Format, Result};
use wgpu::{BufferBinding, MapMode};

/// What the kernel stores twice for a group that the CPU reference must add.
const DECLINED_GROUP: u32 = u32::MAX;

impl Converter {
    /// The error of encoding weights as each of the formats `to`, where `source` has them as whole blocks of
    /// format `from`.
    ///
    /// The sums equal those of [`cpu::error_sums`] bit for bit. The weights are uploaded once, and only sums
    /// come back. Weights should be finite; a group of 256 weights with another one is left to the CPU
    /// reference, and makes [`ErrorSums::weight_squared`] infinite or NaN. Fails as [`cpu::error_sums`] does,
    /// with [`Error::Inexact`] on a device that must not quantize, and with errors of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn error_sums(&mut self, from: Format, source: &[u8], to: &[Format]) -> Result<Vec<ErrorSums>> {
        pollster::block_on(self.error_sums_as(Wait::Blocking, from, source, to))
    }

    /// The `async` form of [`Converter::error_sums`]. It does not block, but groups that the device declined
    /// are computed in the calling thread.
    ///
    /// If the future is dropped early, the converter remains usable.
    pub async fn error_sums_async(
        &mut self,
        from: Format,
        source: &[u8],
        to: &[Format],
    ) -> Result<Vec<ErrorSums>> {
        // A dropped future leaves its buffers in use, so they are not reused.
        let mut converter = std::mem::replace(self, self.without_buffers());
        let sums = converter.error_sums_as(Wait::Async, from, source, to).await;
        *self = converter;
        sums
    }

    /// [`Converter::error_sums`] with either way of waiting.
    async fn error_sums_as(
        &mut self,
        wait: Wait,
        from: Format,
        source: &[u8],
        to: &[Format],
    ) -> Result<Vec<ErrorSums>> {
        let weights = source.len() / from.info().block_bytes * from.info().block_weights;
        cpu::check_lengths(from, weights, source.len())?;
        for &to in to {
            cpu::check_blocks(to, weights)?;
            to.quantize_blocks().ok_or(Error::NotEncoded { format: to })?;
        }
        let mut sums = vec![ErrorSums::default(); to.len()];
        let chunk = to.iter().map(|&to| self.chunk_weights(from, to)).min();
        let Some(chunk) = chunk else { return Ok(sums) };
        for source in source.chunks(from.bytes_for(chunk) as usize) {
            // After a failure, a buffer may stay mapped.
            let added = self.add_chunk(wait, from, source, to, &mut sums).await;
            added.inspect_err(|_| *self = self.without_buffers())?;
        }
        Ok(sums)
    }

    /// Adds the sums of one chunk.
    async fn add_chunk(
        &mut self,
        wait: Wait,
        from: Format,
        source: &[u8],
        to: &[Format],
        sums: &mut [ErrorSums],
    ) -> Result<()> {
        let gpu = self.gpu.clone();
        let weights = (source.len() / from.info().block_bytes * from.info().block_weights) as u64;
        let from_layout = PaddedLayout::of(from);
        let from_bytes = from_layout.device_bytes(weights);
        let group_bytes = error_sums_bytes(weights);
        let stride =
            group_bytes.next_multiple_of(gpu.device().limits().min_storage_buffer_offset_alignment.into());
        let sums_bytes = stride * to.len() as u64;
        let upload = self.upload.get(&gpu, from_bytes)?;
        let uploaded = self.source.get(&gpu, from_bytes)?;
        let sums_buffer = self.sums.get(&gpu, sums_bytes)?;
        let readback = self.readback.get(&gpu, sums_bytes)?;
        let op = self.prepare_sums(wait, from, to, weights, (&uploaded, &sums_buffer, stride)).await?;

        gpu.mapped(wait, &upload, MapMode::Write, from_bytes, None).await?;
        put_padded(&gpu, &upload, from_bytes, from_layout, source)?;
        let submission = gpu.guarded(|| {
            gpu.submit(|encoder| {
                encoder.copy_buffer_to_buffer(&upload, 0, &uploaded, 0, from_bytes);
                op.record(encoder);
                encoder.copy_buffer_to_buffer(&sums_buffer, 0, &readback, 0, sums_bytes);
            })
        })?;
        let mut found = vec![0; sums_bytes as usize];
        gpu.read(wait, &readback, &mut found, Some(submission)).await?;

        for ((&to, sums), found) in to.iter().zip(sums).zip(found.chunks(stride as usize)) {
            let mut groups: Vec<[f32; 2]> = bytemuck::pod_collect_to_vec(&found[..group_bytes as usize]);
            redo(from, source, to, &mut groups)?;
            sums.add_groups(weights, &groups);
        }
        Ok(())
    }

    /// Prepares the kernels of one chunk for all formats, one after another in the same buffers.
    async fn prepare_sums(
        &mut self,
        wait: Wait,
        from: Format,
        to: &[Format],
        weights: u64,
        (source, sums, stride): (&wgpu::Buffer, &wgpu::Buffer, u64),
    ) -> Result<Op> {
        let gpu = self.gpu.clone();
        let most = |bytes: fn(Format, u64) -> u64| to.iter().map(|&to| bytes(to, weights)).max().unwrap_or(4);
        let middle = if from.is_float() { None } else { Some(self.middle.get(&gpu, 4 * weights)?) };
        let blocks = self.blocks.get(&gpu, most(device_bytes))?;
        let scratch = self.scratch.get(&gpu, most(scratch_bytes))?;
        let declined = self.declined.get(&gpu, most(declined_bytes))?;
        let (source, sums, to) = (source.clone(), sums.clone(), to.to_vec());
        let prepare = move |gpu: &Gpu| {
            let whole = wgpu::Buffer::as_entire_buffer_binding;
            let mut op = Op::default();
            if let Some(middle) = &middle {
                let (source, middle) = (whole(&source), whole(middle));
                op = gpu.prepare_dequantize(from, Format::F32, weights, &source, &middle)?;
            }
            let (floats, from) = middle.as_ref().map_or((&source, from), |middle| (middle, Format::F32));
            for (offset, &to) in (0..).step_by(stride as usize).zip(&to) {
                let sums = BufferBinding { buffer: &sums, offset, size: None };
                let buffers = RoundTripBuffers::sums_only(whole(floats), sums)
                    .with_declined(whole(&declined))
                    .with_memory(whole(&blocks), whole(&scratch));
                op = op.then(gpu.prepare_round_trip(from, to, weights, &buffers)?);
            }
            Ok(op)
        };
        gpu.prepared(wait, prepare).await
    }
}

/// Computes the groups that the device declined.
fn redo(from: Format, source: &[u8], to: Format, groups: &mut [[f32; 2]]) -> Result<()> {
    let quantize = to.quantize_blocks().ok_or(Error::NotEncoded { format: to })?;
    let group_bytes = from.bytes_for(GROUP_WEIGHTS as u64) as usize;
    let is_declined = |group: &[f32; 2]| group.map(f32::to_bits) == [DECLINED_GROUP; 2];
    let mut start = 0;
    // The CPU is faster on a run of groups than on single ones.
    for run in groups.chunk_by_mut(|a, b| is_declined(a) == is_declined(b)) {
        let end = start + run.len();
        if is_declined(&run[0]) {
            let source = &source[start * group_bytes..source.len().min(end * group_bytes)];
            let mut rest = run.iter_mut();
            cpu::each_group(from, source, (to, quantize), |_, groups| {
                rest.by_ref().zip(groups).for_each(|(group, redone)| *group = *redone);
            });
        }
        start = end;
    }
    Ok(())
}
