//! Times ops: each runs in a pass of its own, between two timestamps.

use super::ops::{NamedOp, encoder};
use crate::gpu::Timestamps;
use crate::llm::profile::Profile;
use crate::{Gpu, Result};
use std::time::Instant;
use wgpu::CommandEncoder;

/// Times ops, and keeps their times.
#[derive(Debug)]
pub(super) struct Profiler {
    timestamps: Timestamps,
    pub(super) profile: Profile,
}

impl Profiler {
    /// Fails with [`Error::Unsupported`](crate::Error::Unsupported) on a device without timestamps.
    pub(super) fn new(gpu: &Gpu) -> Result<Self> {
        let timestamps = Timestamps::new(gpu, Timestamps::MAX_PASSES)?;
        Ok(Self { timestamps, profile: Profile::default() })
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
        let start = Instant::now();
        for ops in ops.chunks(Timestamps::MAX_PASSES as usize) {
            for (pass, named) in (0..).zip(ops) {
                let timestamp_writes = Some(self.timestamps.writes(pass));
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                named.op.record_in(&mut commands.begin_compute_pass(&descriptor));
            }
            let count = ops.len() as u32;
            self.timestamps.resolve(&mut commands, count);
            let recorded = std::mem::replace(&mut commands, encoder(gpu)?);
            gpu.guarded(|| gpu.queue().submit([recorded.finish()]))?;
            for (named, duration) in ops.iter().zip(self.timestamps.read(count)?) {
                let seconds = duration.map_or(0.0, |duration| duration.as_secs_f64());
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
