//! Times ops: each runs in a pass of its own, between two timestamps.

use super::ops::{NamedOp, encoder};
use crate::llm::profile::Profile;
use crate::{Error, Gpu, Result};
use std::time::Instant;
use wgpu::{BufferUsages, CommandEncoder, ComputePassTimestampWrites, QueryType};

/// Timestamps in a query set: WebGPU's limit.
const QUERIES: u32 = 4096;
const TIMESTAMP_BYTES: u64 = 8;

/// Times ops, and keeps their times.
#[derive(Debug)]
pub(super) struct Profiler {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
    pub(super) profile: Profile,
}

impl Profiler {
    /// Fails with [`Error::Unsupported`] on a device without timestamps.
    pub(super) fn new(gpu: &Gpu) -> Result<Self> {
        if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let (found, known) = (gpu.name().to_owned(), "devices with TIMESTAMP_QUERY".to_owned());
            return Err(Error::Unsupported { what: "the device for a profile", found, known });
        }
        let size = TIMESTAMP_BYTES * u64::from(QUERIES);
        let buffer =
            |usage| wgpu::BufferDescriptor { label: Some("profile"), size, usage, mapped_at_creation: false };
        let queries =
            wgpu::QuerySetDescriptor { label: Some("profile"), ty: QueryType::Timestamp, count: QUERIES };
        gpu.guarded(|| Self {
            queries: gpu.device().create_query_set(&queries),
            resolved: gpu
                .device()
                .create_buffer(&buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)),
            readback: gpu.device().create_buffer(&buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST)),
            profile: Profile::default(),
        })
    }

    /// Submits what `commands` has recorded and then `ops`, for a batch of `tokens`, and waits for them.
    pub(super) fn run(
        &mut self,
        gpu: &Gpu,
        mut commands: CommandEncoder,
        ops: &[NamedOp],
        tokens: usize,
    ) -> Result<()> {
        let phase = self.profile.phase(tokens);
        let tick_seconds = f64::from(gpu.queue().get_timestamp_period()) * 1e-9;
        let start = Instant::now();
        for ops in ops.chunks(QUERIES as usize / 2) {
            for (named, first) in ops.iter().zip((0..).step_by(2)) {
                let timestamp_writes = Some(ComputePassTimestampWrites {
                    query_set: &self.queries,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                });
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                named.op.record_in(&mut commands.begin_compute_pass(&descriptor));
            }
            let count = 2 * ops.len();
            let bytes = TIMESTAMP_BYTES * count as u64;
            commands.resolve_query_set(&self.queries, 0..count as u32, &self.resolved, 0);
            commands.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, bytes);
            let recorded = std::mem::replace(&mut commands, encoder(gpu)?);
            let mut timestamps = vec![0u64; count];
            gpu.submit_and_read(recorded, &self.readback, bytemuck::cast_slice_mut(&mut timestamps))?;
            for (named, [start, end]) in ops.iter().zip(timestamps.as_chunks().0) {
                let seconds = end.saturating_sub(*start) as f64 * tick_seconds;
                phase.add(&named.name, seconds, named.weight_bytes);
            }
        }
        phase.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Counts tokens that went through the model.
    pub(super) fn count(&mut self, tokens: usize) {
        self.profile.phase(tokens).tokens += tokens;
    }
}
