//! Prepares dispatches: compiles a program and binds its resources.

use super::bindings::{Bindings, Resource};
use super::step::{Dispatch, Step};
use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::shader::params::{Head, MAX_WORKGROUPS, Params, uniform_bytes};
use crate::gpu::shader::pipeline::{Arithmetic, Pipeline};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use wgpu::BufferUsages;

impl Gpu {
    /// Submits what `record` records. The caller guards it.
    pub(in crate::gpu) fn submit(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> wgpu::SubmissionIndex {
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        self.queue().submit([encoder.finish()])
    }

    /// Prepares a dispatch of the program `name` with the text that `wgsl` returns. `wgsl` is told whether
    /// the compiler may contract float operations.
    ///
    /// Fails with [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for an unsuitable range,
    /// and with errors of the device.
    pub(in crate::gpu) fn prepare_step<P: Params>(
        &self,
        (name, arithmetic): (&str, Arithmetic),
        wgsl: impl FnOnce(bool) -> Result<String, String>,
        dispatch: Dispatch,
        params: &P,
        bindings: &Bindings,
    ) -> Result<Step> {
        let pipeline = self.pipeline(name, &bindings.kinds(), arithmetic, wgsl)?;
        self.bind(pipeline, dispatch, params, bindings)
    }

    /// Binds parameters and resources to a pipeline.
    fn bind<P: Params>(
        &self,
        pipeline: Arc<Pipeline>,
        dispatch: Dispatch,
        params: &P,
        bindings: &Bindings,
    ) -> Result<Step> {
        let alignment = u64::from(self.device().limits().min_storage_buffer_offset_alignment);
        let groups_per_row = dispatch.groups.clamp(1, MAX_WORKGROUPS.into());
        let head = Head { count: dispatch.count as u32, zero: 0, groups_per_row: groups_per_row as u32 };
        let uniform = self.buffer_with(&uniform_bytes(head, params), BufferUsages::UNIFORM)?;
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }];
        for (binding, resource) in bindings.resources() {
            let resource = match resource {
                Resource::Range(range) => {
                    range.check(alignment)?;
                    wgpu::BindingResource::Buffer(range.binding.clone())
                }
                Resource::Texture(view) => wgpu::BindingResource::TextureView(view),
            };
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let bind_group = self.bind_group(&pipeline, &entries)?;
        let rows = dispatch.groups.div_ceil(groups_per_row);
        Ok(Step { pipeline, bind_group, groups: [groups_per_row as u32, rows as u32, dispatch.depth as u32] })
    }

    /// Creates a bind group.
    ///
    /// Fails with [`Error::Device`] if a resource belongs to another device. wgpu panics if the number of
    /// another instance's resource is unknown here; that becomes the same error. If the number is that of
    /// another resource, wgpu 30 cannot tell the difference.
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
