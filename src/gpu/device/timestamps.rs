//! Measures how long passes take on a device.

use super::context::Gpu;
use crate::Result;
use std::time::{Duration, Instant};
use wgpu::{BufferUsages, ComputePassTimestampWrites, QueryType};

/// Two timestamps.
const STAMPS_BYTES: u64 = 16;

/// Times passes on a device.
#[derive(Debug)]
pub(crate) struct Clock {
    gpu: Gpu,
    stamps: Option<Stamps>,
}

/// Where the device writes the times at which a pass began and ended.
#[derive(Debug)]
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

/// How long one pass took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// From the submission until the host saw it done.
    pub(crate) wall: Duration,
    /// From start to end of the pass by the device's clock; `None` without `TIMESTAMP_QUERY`.
    pub(crate) device: Option<Duration>,
}

impl Gpu {
    /// A clock for this device.
    pub(crate) fn clock(&self) -> Result<Clock> {
        let has_stamps = self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let stamps = || {
            Ok(Stamps {
                queries: self.guarded(|| {
                    self.device().create_query_set(&wgpu::QuerySetDescriptor {
                        label: Some("qmill"),
                        ty: QueryType::Timestamp,
                        count: 2,
                    })
                })?,
                resolved: self.buffer(STAMPS_BYTES, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?,
                readback: self.buffer(STAMPS_BYTES, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
            })
        };
        Ok(Clock { gpu: self.clone(), stamps: has_stamps.then(stamps).transpose()? })
    }
}

impl Clock {
    /// Records one pass with `record`, submits it and waits for it.
    pub(crate) fn time(&self, record: impl FnOnce(&mut wgpu::ComputePass)) -> Result<Lap> {
        let gpu = &self.gpu;
        let commands = gpu.guarded(|| {
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let timestamp_writes = self.stamps.as_ref().map(|stamps| ComputePassTimestampWrites {
                query_set: &stamps.queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
            let descriptor = wgpu::ComputePassDescriptor { timestamp_writes, ..Default::default() };
            record(&mut encoder.begin_compute_pass(&descriptor));
            if let Some(Stamps { queries, resolved, readback }) = &self.stamps {
                encoder.resolve_query_set(queries, 0..2, resolved, 0);
                encoder.copy_buffer_to_buffer(resolved, 0, readback, 0, STAMPS_BYTES);
            }
            encoder.finish()
        })?;
        let start = Instant::now();
        let submission = gpu.guarded(|| gpu.queue().submit([commands]))?;
        gpu.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        let wall = start.elapsed();
        gpu.check_alive()?;
        let device = self.stamps.as_ref().map(|stamps| stamps.read(gpu)).transpose()?.flatten();
        Ok(Lap { wall, device })
    }
}

impl Stamps {
    /// The time between the two timestamps; `None` if the device wrote none, as Metal does for an empty pass.
    fn read(&self, gpu: &Gpu) -> Result<Option<Duration>> {
        gpu.map(&self.readback, wgpu::MapMode::Read, STAMPS_BYTES, None)?;
        let view = self.readback.get_mapped_range(..).map_err(|error| gpu.fault(error.to_string()))?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        gpu.guarded(|| self.readback.unmap())?;
        let ticks = stamps[1].checked_sub(stamps[0]).filter(|&ticks| ticks > 0);
        let tick_ns = f64::from(gpu.queue().get_timestamp_period());
        Ok(ticks.map(|ticks| Duration::from_nanos((ticks as f64 * tick_ns) as u64)))
    }
}
