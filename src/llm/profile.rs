//! Where a session's time on a GPU goes: every op in a pass of its own, between two timestamps.

use super::engine::Named;
use crate::{Error, Gpu, Result};
use std::time::Instant;
use wgpu::{BufferUsages, CommandEncoder, ComputePassTimestampWrites, QueryType};

/// Timestamps in a query set; WebGPU's limit.
const QUERIES: u32 = 4096;
const STAMP_BYTES: u64 = 8;

/// What a session's kernels took.
#[derive(Clone, Default, Debug)]
pub struct Profile {
    /// Of batches of several tokens: prompts.
    pub batches: Phase,
    /// Of single tokens: answers.
    pub singles: Phase,
}

/// What some batches took.
#[derive(Clone, Default, Debug)]
pub struct Phase {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// From the first submission of a batch until its logits were there; more than without a profile.
    pub seconds: f64,
    /// In order of their first dispatch.
    pub kinds: Vec<KindTime>,
}

/// What the kernels of one kind took.
#[derive(Clone, PartialEq, Debug)]
pub struct KindTime {
    /// The operation, and the format of the weights if it has any.
    pub name: String,
    /// How often it was dispatched.
    pub count: usize,
    /// By the device's own clock.
    pub seconds: f64,
    /// Bytes of weights that were multiplied by, each matrix counted once for each batch.
    pub weight_bytes: u64,
}

impl Profile {
    /// Of batches of so many tokens.
    fn phase(&mut self, tokens: usize) -> &mut Phase {
        if tokens == 1 { &mut self.singles } else { &mut self.batches }
    }
}

impl Phase {
    /// Seconds in kernels.
    pub fn kernel_seconds(&self) -> f64 {
        self.kinds.iter().map(|kind| kind.seconds).sum()
    }

    fn add(&mut self, named: &Named, seconds: f64) {
        let known = self.kinds.iter().position(|kind| kind.name == named.name);
        let index = known.unwrap_or_else(|| {
            self.kinds.push(KindTime { name: named.name.clone(), count: 0, seconds: 0.0, weight_bytes: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[index];
        kind.count += 1;
        kind.seconds += seconds;
        kind.weight_bytes += named.weight_bytes;
    }
}

/// Times ops, and keeps what they took.
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
        let size = STAMP_BYTES * u64::from(QUERIES);
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

    /// Submits what is recorded in `encoder` and then `ops` for a batch of `tokens`, and waits for them.
    pub(super) fn run(
        &mut self,
        gpu: &Gpu,
        mut encoder: CommandEncoder,
        ops: &[Named],
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
                named.op.record_in(&mut encoder.begin_compute_pass(&descriptor));
            }
            let count = 2 * ops.len();
            let bytes = STAMP_BYTES * count as u64;
            encoder.resolve_query_set(&self.queries, 0..count as u32, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, bytes);
            let recorded = std::mem::replace(&mut encoder, super::engine::encoder(gpu)?);
            let mut stamps = vec![0u64; count];
            gpu.submit_and_read(recorded, &self.readback, bytemuck::cast_slice_mut(&mut stamps))?;
            for (named, stamps) in ops.iter().zip(stamps.as_chunks::<2>().0) {
                phase.add(named, stamps[1].saturating_sub(stamps[0]) as f64 * tick_seconds);
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
