//! A dispatch: the unit of operations.

use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::pipeline::Pipeline;
use std::sync::Arc;

/// A pipeline, its bind group and the number of workgroups.
#[derive(Clone, Debug)]
pub(in crate::gpu) struct Step {
    pub(in crate::gpu) pipeline: Arc<Pipeline>,
    pub(in crate::gpu) bind_group: wgpu::BindGroup,
    pub(in crate::gpu) groups: [u32; 3],
}

impl Step {
    pub(super) fn record_in(&self, pass: &mut wgpu::ComputePass) {
        pass.set_pipeline(&self.pipeline.compute);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The work of a dispatch and its workgroups.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct Dispatch {
    /// The work as the kernel counts it, mostly invocations.
    pub(in crate::gpu) count: u64,
    /// The number of workgroups for this work.
    pub(in crate::gpu) groups: u64,
    /// A multiple of these workgroups: the dispatch's z.
    pub(in crate::gpu) depth: u64,
}

impl Dispatch {
    /// A dispatch of this many invocations.
    pub(in crate::gpu) fn of(invocations: u64) -> Self {
        Self { count: invocations, groups: invocations.div_ceil(WORKGROUP), depth: 1 }
    }

    /// A dispatch of this many workgroups, as the unit of work.
    pub(in crate::gpu) fn of_groups(groups: u64) -> Self {
        Self { count: groups, groups, depth: 1 }
    }
}
