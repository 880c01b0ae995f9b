//! Weights in a texture, for llvmpipe: what its invocations do side by side, it does in vectors, but each load from a storage buffer in a loop over them; a texel of
//! 16 bytes takes it a third of the time.

use super::{Gpu, split};
use crate::Result;
use wgpu::TextureUsages;

/// Texels in a row of a texture, a chunk each.
pub(crate) const COLS: u32 = 2048;
const ROW_BYTES: u64 = COLS as u64 * split::CHUNK_BYTES as u64;

/// A chunk.
pub(crate) const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Uint;

/// Bytes of a uniform buffer, whose loads llvmpipe does in vectors too: as many as any device can bind.
pub(super) const UNIFORM_BYTES: u64 = 64 << 10;

/// Whether this is Mesa's adapter in software.
pub(super) fn is_llvmpipe(device: &wgpu::Device) -> bool {
    device.adapter_info().driver == "llvmpipe"
}

impl Gpu {
    /// Whether products read weights from textures.
    pub(crate) fn prefers_texels(&self) -> bool {
        self.prefers_texels
    }

    /// Whether they read vectors in eight bits from a uniform buffer, where these are few enough.
    pub(super) fn prefers_uniform(&self) -> bool {
        let uniform_bytes = self.device().limits().max_uniform_buffer_binding_size;
        self.prefers_texels && uniform_bytes.min(self.max_binding_bytes()) >= UNIFORM_BYTES
    }

    /// The same device, with weights in textures where that is llvmpipe, or in storage buffers as on any other; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_weights_in_textures(&self, in_textures: bool) -> Self {
        Self { prefers_texels: in_textures && is_llvmpipe(self.device()), ..self.clone() }
    }

    /// Bytes that a texture of weights holds at most.
    pub(super) fn max_texel_bytes(&self) -> u64 {
        u64::from(self.device().limits().max_texture_dimension_2d) * ROW_BYTES
    }

    /// A texture with the bytes of `buffer`, whole chunks, and how many it takes; waits for it, so that the buffer can go.
    pub(crate) fn texels(&self, buffer: &wgpu::Buffer) -> Result<(wgpu::TextureView, u64)> {
        let (rows, rest) = (buffer.size() / ROW_BYTES, buffer.size() % ROW_BYTES);
        let extent = |cols: u32, rows: u64| wgpu::Extent3d {
            width: cols,
            height: rows as u32,
            depth_or_array_layers: 1,
        };
        let (texture, submission) = self.guarded(|| {
            let texture = self.device().create_texture(&wgpu::TextureDescriptor {
                label: Some("qmill"),
                size: extent(COLS, buffer.size().div_ceil(ROW_BYTES)),
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage: TextureUsages::COPY_DST | TextureUsages::STORAGE_BINDING,
                view_formats: &[],
            });
            let mut encoder =
                self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            // Whole rows, and what is left.
            let parts =
                [(0, extent(COLS, rows)), (rows, extent((rest / split::CHUNK_BYTES as u64) as u32, 1))];
            for (row, size) in parts.into_iter().filter(|(_, size)| size.width > 0 && size.height > 0) {
                let layout = wgpu::TexelCopyBufferLayout {
                    offset: row * ROW_BYTES,
                    bytes_per_row: Some(ROW_BYTES as u32),
                    rows_per_image: None,
                };
                let origin = wgpu::Origin3d { x: 0, y: row as u32, z: 0 };
                let to = wgpu::TexelCopyTextureInfo { origin, ..texture.as_image_copy() };
                encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, to, size);
            }
            (texture, self.queue().submit([encoder.finish()]))
        })?;
        self.wait(submission)?;
        let bytes = u64::from(texture.height()) * ROW_BYTES;
        Ok((texture.create_view(&wgpu::TextureViewDescriptor::default()), bytes))
    }
}
