//! Times on the device's own clock.

use super::context::Gpu;
use crate::{Error, Result};
use std::time::{Duration, Instant};
use wgpu::{BufferUsages, ComputePassTimestampWrites, QueryType};

/// Bytes of a timestamp.
const STAMP_BYTES: u64 = 8;

/// Times passes by the device's own clock, on a device with the feature `TIMESTAMP_QUERY`.
///
/// Each pass writes two timestamps ([`Timestamps::writes`]); [`Timestamps::resolve`] records their way to
/// the host, and after the submission [`Timestamps::read`] has the durations.
#[derive(Debug)]
pub struct Timestamps {
    gpu: Gpu,
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl Timestamps {
    /// Most passes of one set: WebGPU has 4096 timestamps in a query set.
    pub const MAX_PASSES: u32 = 2048;

    /// Makes room for the timestamps of `passes` passes.
    ///
    /// Fails with [`Error::Unsupported`] on a device without timestamps, and with what the device reports.
    pub fn new(gpu: &Gpu, passes: u32) -> Result<Self> {
        if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let (found, known) = (gpu.name().to_owned(), "devices with TIMESTAMP_QUERY".to_owned());
            return Err(Error::Unsupported { what: "the device for a profile", found, known });
        }
        let bytes = 2 * STAMP_BYTES * u64::from(passes);
        let queries =
            wgpu::QuerySetDescriptor { label: Some("qmill"), ty: QueryType::Timestamp, count: 2 * passes };
        Ok(Self {
            gpu: gpu.clone(),
            queries: gpu.guarded(|| gpu.device().create_query_set(&queries))?,
            resolved: gpu.buffer(bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?,
            readback: gpu.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        })
    }

    /// What the descriptor of pass `pass` needs, counted from 0.
    pub fn writes(&self, pass: u32) -> ComputePassTimestampWrites<'_> {
        ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Records the copy of the first `passes` passes' timestamps to the host.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, passes: u32) {
        encoder.resolve_query_set(&self.queries, 0..2 * passes, &self.resolved, 0);
        let bytes = 2 * STAMP_BYTES * u64::from(passes);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, bytes);
    }

    /// The durations of the first `passes` passes, once all that was submitted is done; `None` where the
    /// device left no timestamps, as Metal does for an empty pass. Waits.
    ///
    /// Fails with what the device reports.
    pub fn read(&self, passes: u32) -> Result<Vec<Option<Duration>>> {
        let bytes = 2 * STAMP_BYTES * u64::from(passes);
        self.gpu.map(&self.readback, wgpu::MapMode::Read, bytes, None)?;
        let stamps: Vec<u64> = {
            let view = self.readback.get_mapped_range(..bytes);
            bytemuck::pod_collect_to_vec(&view.map_err(|error| self.gpu.fault(error.to_string()))?)
        };
        self.gpu.guarded(|| self.readback.unmap())?;
        let tick_ns = f64::from(self.gpu.queue().get_timestamp_period());
        let duration = |[start, end]: &[u64; 2]| {
            let ticks = end.checked_sub(*start).filter(|&ticks| ticks > 0)?;
            Some(Duration::from_nanos((ticks as f64 * tick_ns) as u64))
        };
        Ok(stamps.as_chunks::<2>().0.iter().map(duration).collect())
    }
}

/// Times single passes.
#[derive(Debug)]
pub(crate) struct Clock {
    gpu: Gpu,
    timestamps: Option<Timestamps>,
}

/// The time of one pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// From the submission until the host knew of the end.
    pub(crate) wall: Duration,
    /// From the begin of the pass to its end, by the device's own clock; none where it has no
    /// `TIMESTAMP_QUERY`.
    pub(crate) device: Option<Duration>,
}

impl Gpu {
    /// A clock for this device.
    pub(crate) fn clock(&self) -> Result<Clock> {
        let has_timestamps = self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let timestamps = has_timestamps.then(|| Timestamps::new(self, 1)).transpose()?;
        Ok(Clock { gpu: self.clone(), timestamps })
    }
}

impl Clock {
    /// Submits what `record` records as one pass, and waits for it.
    pub(crate) fn time(&self, record: impl FnOnce(&mut wgpu::ComputePass)) -> Result<Lap> {
        let (gpu, timestamps) = (&self.gpu, &self.timestamps);
        let commands = gpu.guarded(|| {
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let timestamp_writes = timestamps.as_ref().map(|timestamps| timestamps.writes(0));
            let descriptor = wgpu::ComputePassDescriptor { timestamp_writes, ..Default::default() };
            record(&mut encoder.begin_compute_pass(&descriptor));
            if let Some(timestamps) = timestamps {
                timestamps.resolve(&mut encoder, 1);
            }
            encoder.finish()
        })?;
        let start = Instant::now();
        let submission = gpu.guarded(|| gpu.queue().submit([commands]))?;
        gpu.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        let wall = start.elapsed();
        gpu.check_alive()?;
        let device = timestamps.as_ref().map(|timestamps| timestamps.read(1)).transpose()?;
        Ok(Lap { wall, device: device.and_then(|durations| durations.into_iter().flatten().next()) })
    }
}
