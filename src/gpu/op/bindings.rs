//! The resources of a dispatch and the variables that they are bound to.

use super::range::Range;
use crate::gpu::shader::binding::{Access, Binding, BindingKind};
use wgpu::TextureFormat;

/// A range of a buffer or a texture.
#[derive(Clone, Debug)]
pub(super) enum Resource<'a> {
    Range(Range<'a>),
    Texture(&'a wgpu::TextureView),
}

/// The resources that a kernel binds beside its parameters.
#[derive(Clone, Default, Debug)]
pub(in crate::gpu) struct Bindings<'a> {
    bound: Vec<(Binding, BindingKind, Resource<'a>)>,
}

impl<'a> Bindings<'a> {
    pub(in crate::gpu) fn new() -> Self {
        Self::default()
    }

    /// Binds a storage buffer that the kernel reads.
    pub(in crate::gpu) fn read(self, binding: Binding, range: &Range<'a>) -> Self {
        self.and(binding, BindingKind::Storage(Access::Read), Resource::Range(range.clone()))
    }

    /// Binds a storage buffer that the kernel reads and writes.
    pub(in crate::gpu) fn write(self, binding: Binding, range: &Range<'a>) -> Self {
        self.and(binding, BindingKind::Storage(Access::ReadWrite), Resource::Range(range.clone()))
    }

    /// Binds a uniform buffer. Its range is checked like that of a storage buffer.
    pub(in crate::gpu) fn uniform(self, binding: Binding, range: &Range<'a>) -> Self {
        self.and(binding, BindingKind::Uniform, Resource::Range(range.clone()))
    }

    /// Binds a texture that the kernel reads.
    pub(in crate::gpu) fn texture(
        self,
        binding: Binding,
        format: TextureFormat,
        view: &'a wgpu::TextureView,
    ) -> Self {
        self.and(binding, BindingKind::Texture(format), Resource::Texture(view))
    }

    /// Binds a storage buffer that the kernel reads, if there is one.
    pub(in crate::gpu) fn read_optional(self, binding: Binding, range: Option<&Range<'a>>) -> Self {
        match range {
            Some(range) => self.read(binding, range),
            None => self,
        }
    }

    fn and(mut self, binding: Binding, kind: BindingKind, resource: Resource<'a>) -> Self {
        self.bound.push((binding, kind, resource));
        self
    }

    /// The variables and their kinds.
    pub(super) fn kinds(&self) -> Vec<(Binding, BindingKind)> {
        self.bound.iter().map(|(binding, kind, _)| (*binding, *kind)).collect()
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = (u32, &Resource<'a>)> {
        self.bound.iter().map(|(binding, _, resource)| (binding.number, resource))
    }
}
