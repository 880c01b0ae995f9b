//! Operations that are prepared once and recorded as often as an app likes.

use super::Gpu;
use super::kernel::{Layout, Program, WORKGROUP};
use super::pipeline::{Arithmetic, Pipeline};
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use wgpu::{BufferBinding, BufferUsages};

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

    pub(super) fn check(&self, alignment: u64) -> Result<()> {
        let (name, offset) = (self.name, self.binding.offset);
        let usage = self.binding.buffer.usage();
        if !usage.contains(BufferUsages::STORAGE) {
            let found = usage.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(" and ");
            return Err(Error::Usage { name, found });
        }
        if !offset.is_multiple_of(alignment) {
            return Err(Error::Misaligned { name, alignment, offset });
        }
        let rest = self.binding.buffer.size().saturating_sub(self.binding.offset);
        let bytes = self.binding.size.map_or(rest, |size| size.get().min(rest));
        if bytes < self.bytes {
            return Err(Error::ShortRange { name: self.name, needed_bytes: self.bytes, bytes });
        }
        Ok(())
    }
}

/// What a binding is bound to.
#[derive(Clone, Debug)]
pub(super) enum Resource<'a> {
    Range(Range<'a>),
    Texels(&'a wgpu::TextureView),
}

impl<'a> From<Range<'a>> for Resource<'a> {
    fn from(range: Range<'a>) -> Self {
        Self::Range(range)
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) groups: [u32; 3],
}

/// How much is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispatch {
    /// What there is to do, as the kernel counts it: mostly invocations.
    pub(super) count: u64,
    /// Workgroups that do it.
    pub(super) groups: u64,
    /// How often, side by side.
    pub(super) tiles: u64,
}

impl Dispatch {
    /// This many invocations.
    pub(super) fn of(invocations: u64) -> Self {
        Self { count: invocations, groups: invocations.div_ceil(WORKGROUP), tiles: 1 }
    }
}

/// Each at its binding: 1, 2, 3, …
pub(super) fn in_order<T>(bound: impl IntoIterator<Item = T>) -> Vec<(u32, T)> {
    (1..).zip(bound).collect()
}

impl Op {
    /// Both, one after the other.
    pub(super) fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self
    }

    /// Records the operation; allocates nothing, submits nothing and waits for nothing.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record_in(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }

    /// The same in a pass that the caller has begun.
    pub fn record_in(&self, pass: &mut wgpu::ComputePass) {
        for step in &self.steps {
            pass.set_pipeline(&step.pipeline.compute);
            pass.set_bind_group(0, &step.bind_group, &[]);
            let [x, y, z] = step.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

impl Gpu {
    /// Submits what `record` records; to be guarded.
    pub(super) fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> wgpu::SubmissionIndex {
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        self.queue().submit([encoder.finish()])
    }

    /// Prepares `program` over the blocks of `weights` weights; `bound` are the ranges after the parameters.
    pub(super) fn prepare(&self, program: Program, weights: u64, bound: &[Range]) -> Result<Step> {
        let bindings = in_order(program.kernel.bindings(program.format).iter().copied());
        let pipeline = self.pipeline(&program.to_string(), &bindings, Arithmetic::Exact, |may_contract| {
            program.wgsl(may_contract)
        })?;
        let blocks = Layout::of(program.format).blocks(weights);
        self.bind(pipeline, Dispatch::of(program.invocations(blocks)), &[], &in_order(bound.iter().cloned()))
    }

    /// Binds a pipeline to what it reads and writes, each at its number; `more` are parameters of the kernel's own.
    ///
    /// Fails with [`Error::ShortRange`] where a range is shorter than what is to lie in it.
    pub(super) fn bind<'a>(
        &self,
        pipeline: Arc<Pipeline>,
        dispatch: Dispatch,
        more: &[u32],
        bound: &[(u32, impl Into<Resource<'a>> + Clone)],
    ) -> Result<Step> {
        let alignment = u64::from(self.device().limits().min_storage_buffer_offset_alignment);
        let mut resources = Vec::with_capacity(bound.len() + 1);
        for (binding, resource) in bound {
            let resource = match resource.clone().into() {
                Resource::Range(range) => {
                    range.check(alignment)?;
                    wgpu::BindingResource::Buffer(range.binding)
                }
                Resource::Texels(texels) => wgpu::BindingResource::TextureView(texels),
            };
            resources.push(wgpu::BindGroupEntry { binding: *binding, resource });
        }
        let groups_per_row = dispatch.groups.clamp(1, MAX_GROUPS_PER_ROW);
        // In the order of Params in lib/params.wgsl.
        let mut params = [&[dispatch.count as u32, 0, groups_per_row as u32], more].concat();
        params.resize(params.len().next_multiple_of(4), 0);
        let uniform = self.buffer_with(bytemuck::cast_slice(&params), BufferUsages::UNIFORM)?;
        let params = wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() };
        resources.insert(0, params);
        let bind_group = self.bind_group(&pipeline, &resources)?;
        Ok(Step {
            pipeline,
            bind_group,
            groups: [
                groups_per_row as u32,
                dispatch.groups.div_ceil(groups_per_row) as u32,
                dispatch.tiles as u32,
            ],
        })
    }

    /// The resources of a pipeline.
    ///
    /// Fails with [`Error::Device`] where one of them is of another device. Of another wgpu instance its
    /// number may be that of nothing here, at which wgpu panics: that fails so too. It may also be that of
    /// something else, which wgpu 30 gives no way to see.
    pub(super) fn bind_group(
        &self,
        pipeline: &Pipeline,
        entries: &[wgpu::BindGroupEntry],
    ) -> Result<wgpu::BindGroup> {
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &pipeline.bindings, entries };
        let create = || self.device().create_bind_group(&descriptor);
        let created = self.guarded(|| catch_unwind(AssertUnwindSafe(create)))?;
        created.map_err(|panic| match panic.downcast_ref::<String>() {
            Some(message) if message.contains("Cannot get ") => {
                self.fault("a buffer is of another instance of wgpu".to_owned())
            }
            _ => resume_unwind(panic),
        })
    }
}
