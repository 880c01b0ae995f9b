//! Ranges of buffers, checked before wgpu sees them.

use crate::{Error, Result};
use wgpu::{BufferBinding, BufferUsages};

/// A range of a buffer and the bytes that a kernel needs of it.
#[derive(Clone, Debug)]
pub(in crate::gpu) struct Range<'a> {
    /// The name in errors.
    name: &'static str,
    pub(super) binding: BufferBinding<'a>,
    bytes: u64,
}

impl<'a> Range<'a> {
    pub(in crate::gpu) fn new(name: &'static str, binding: &BufferBinding<'a>, bytes: u64) -> Self {
        Self { name, binding: binding.clone(), bytes }
    }

    /// A whole buffer.
    pub(in crate::gpu) fn whole(name: &'static str, buffer: &'a wgpu::Buffer) -> Self {
        Self::new(name, &BufferBinding { buffer, offset: 0, size: None }, buffer.size())
    }

    /// Checks usage, alignment and size. Fails with [`Error::Usage`], [`Error::Misaligned`] and
    /// [`Error::ShortRange`].
    pub(in crate::gpu) fn check(&self, alignment: u64) -> Result<()> {
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
