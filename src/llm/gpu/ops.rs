//! Prepared ops with their names, and how they are recorded.

use crate::gpu::Op;
use crate::{Gpu, Result};
use wgpu::{CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor};

/// An op, and what a profile calls it.
#[derive(Debug)]
pub(super) struct NamedOp {
    pub(super) name: String,
    pub(super) op: Op,
    /// Bytes of the matrix that it multiplies by, if any.
    pub(super) weight_bytes: u64,
}

pub(super) fn encoder(gpu: &Gpu) -> Result<CommandEncoder> {
    gpu.guarded(|| gpu.device().create_command_encoder(&CommandEncoderDescriptor::default()))
}

/// Records all ops in one pass.
pub(super) fn record(encoder: &mut CommandEncoder, ops: &[NamedOp]) {
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
    for named in ops {
        named.op.record_in(&mut pass);
    }
}
