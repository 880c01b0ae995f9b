//! One dispatch.

use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::pipeline::Pipeline;
use std::sync::Arc;

/// A pipeline, what it is bound to, and how many workgroups run.
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

/// How much work there is, and how many workgroups do it.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct Dispatch {
    /// The work as the kernel counts it: mostly invocations.
    pub(in crate::gpu) count: u64,
    /// Workgroups for it.
    pub(in crate::gpu) groups: u64,
    /// How many times as many workgroups run side by side: the dispatch's z.
    pub(in crate::gpu) depth: u64,
}

impl Dispatch {
    /// This many invocations.
    pub(in crate::gpu) fn of(invocations: u64) -> Self {
        Self { count: invocations, groups: invocations.div_ceil(WORKGROUP), depth: 1 }
    }

    /// This many workgroups, which the kernel counts itself.
    pub(in crate::gpu) fn of_groups(groups: u64) -> Self {
        Self { count: groups, groups, depth: 1 }
    }
}
