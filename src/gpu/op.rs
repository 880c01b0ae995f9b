//! Operations that are prepared once and recorded as often as an app likes.

use super::Gpu;
use super::kernel::{Layout, Program, WORKGROUP};
use super::pipeline::Pipeline;
use crate::{Error, Result};
use std::sync::Arc;
use wgpu::BufferBinding;
use wgpu::util::DeviceExt;

/// WebGPU's limit for each dimension of a dispatch.
const MAX_GROUPS_PER_ROW: u64 = 65_535;

/// An operation on fixed ranges of buffers. It keeps all it needs alive, but for the caller's data.
#[derive(Clone, Debug)]
pub struct Op {
    pub(super) steps: Vec<Step>,
}

/// A range of a buffer, and what a kernel takes to lie in it.
#[derive(Clone, Debug)]
pub(super) struct Range<'a> {
    name: &'static str,
    binding: BufferBinding<'a>,
    bytes: u64,
}

impl<'a> Range<'a> {
    pub(super) fn new(name: &'static str, binding: &BufferBinding<'a>, bytes: u64) -> Self {
        Self { name, binding: binding.clone(), bytes }
    }

    fn check(&self) -> Result<()> {
        let rest = self.binding.buffer.size().saturating_sub(self.binding.offset);
        let bytes = self.binding.size.map_or(rest, |size| size.get().min(rest));
        if bytes < self.bytes {
            return Err(Error::ShortRange { name: self.name, needed_bytes: self.bytes, bytes });
        }
        Ok(())
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Op {
    /// Records the operation; allocates nothing, submits nothing and waits for nothing.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record_in(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }

    /// The same in a pass that the caller has begun.
    pub fn record_in(&self, pass: &mut wgpu::ComputePass) {
        for step in &self.steps {
            pass.set_pipeline(&step.pipeline.compute);
            pass.set_bind_group(0, &step.bind_group, &[]);
            pass.dispatch_workgroups(step.groups[0], step.groups[1], 1);
        }
    }
}

impl Gpu {
    /// Prepares `program` over the blocks of `weights` weights; `bound` are the ranges after the parameters.
    pub(super) fn prepare(&self, program: Program, weights: u64, bound: &[Range]) -> Result<Step> {
        let bindings = program.kernel.bindings(program.format);
        let pipeline =
            self.pipeline(&program.to_string(), bindings, |may_contract| program.wgsl(may_contract))?;
        let blocks = Layout::of(program.format).blocks(weights);
        self.bind(pipeline, program.invocations(blocks), bound)
    }

    /// Binds a pipeline to buffers, for this many invocations.
    ///
    /// Fails with [`Error::ShortRange`] where a range is shorter than what is to lie in it.
    pub(super) fn bind(&self, pipeline: Arc<Pipeline>, invocations: u64, bound: &[Range]) -> Result<Step> {
        for range in bound {
            range.check()?;
        }
        let groups = invocations.div_ceil(WORKGROUP);
        let groups_per_row = groups.clamp(1, MAX_GROUPS_PER_ROW);
        // In the order of Params in lib/params.wgsl.
        let params = [invocations as u32, 0, groups_per_row as u32, 0];
        let bind_group = self.guarded(|| {
            let uniform = self.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("params"),
                contents: bytemuck::cast_slice(&params),
                usage: wgpu::BufferUsages::UNIFORM,
            });
            let bound = bound.iter().map(|range| range.binding.clone());
            let entries = [uniform.as_entire_buffer_binding()].into_iter().chain(bound).zip(0..);
            let entries = entries.map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            });
            self.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.bindings,
                entries: &entries.collect::<Vec<_>>(),
            })
        })?;
        Ok(Step {
            pipeline,
            bind_group,
            groups: [groups_per_row as u32, groups.div_ceil(groups_per_row) as u32],
        })
    }
}
