//! Weights in textures, for llvmpipe. It runs invocations as lanes of CPU vectors, but loops over the lanes
//! for each load from a storage buffer. Loading a texel of 16 bytes takes a third of the time; loading a
//! texel of one word takes a quarter of that again. So fields of whole vec4s have one texture and all others
//! another.

use super::layout::VEC4_BYTES;
use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::device::wait::Wait;
use std::ops::Range;
use wgpu::{TextureFormat, TextureUsages};

/// Bytes in a row of a texture.
const ROW_BYTES: u32 = 32 << 10;

/// A format of texels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Texel {
    pub(crate) format: TextureFormat,
    bytes: u32,
}

pub(crate) const VEC4: Texel = Texel { format: TextureFormat::Rgba32Uint, bytes: VEC4_BYTES as u32 };
pub(crate) const WORD: Texel = Texel { format: TextureFormat::R32Uint, bytes: 4 };

impl Texel {
    /// Texels in a row of a texture.
    pub(crate) const fn cols(self) -> u32 {
        ROW_BYTES / self.bytes
    }
}

/// The bytes of a shard.
#[derive(Clone, Debug)]
pub(crate) struct WeightTextures {
    /// Fields of whole vec4s.
    pub(crate) vec4s: wgpu::TextureView,
    /// All other fields.
    pub(crate) words: wgpu::TextureView,
}

impl Gpu {
    /// The most bytes of a texture of weights.
    pub(in crate::gpu) fn max_texture_bytes(&self) -> u64 {
        u64::from(self.device().limits().max_texture_dimension_2d) * u64::from(ROW_BYTES)
    }

    /// Copies `buffer` into textures, its first `vec4_bytes` bytes and the rest. Returns them with their size
    /// in bytes when the copy is done, so that the buffer can be freed.
    pub(in crate::gpu) async fn weight_textures_of(
        &self,
        wait: Wait,
        buffer: &wgpu::Buffer,
        vec4_bytes: u64,
    ) -> Result<(WeightTextures, u64)> {
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (textures, submission) = self.guarded(|| {
            let parts = [(VEC4, 0..vec4_bytes), (WORD, vec4_bytes..buffer.size())];
            let textures = parts.map(|(texel, bytes)| self.texture(texel, buffer, bytes, &mut encoder));
            (textures, self.queue().submit([encoder.finish()]))
        })?;
        self.done(wait, submission).await?;
        let bytes_of = |(texture, texel): (&wgpu::Texture, Texel)| {
            u64::from(texture.width() * texel.bytes) * u64::from(texture.height())
        };
        let bytes = textures.iter().zip([VEC4, WORD]).map(bytes_of).sum();
        let [vec4s, words] =
            textures.map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()));
        Ok((WeightTextures { vec4s, words }, bytes))
    }

    /// The blocking form of [`Gpu::weight_textures_of`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn weight_textures_now(
        &self,
        buffer: &wgpu::Buffer,
        vec4_bytes: u64,
    ) -> Result<WeightTextures> {
        Ok(pollster::block_on(self.weight_textures_of(Wait::Blocking, buffer, vec4_bytes))?.0)
    }

    /// Creates a texture and records the copy of `bytes` of `buffer` into it. Without bytes it has one texel,
    /// because a texture cannot be empty.
    fn texture(
        &self,
        texel: Texel,
        buffer: &wgpu::Buffer,
        bytes: Range<u64>,
        encoder: &mut wgpu::CommandEncoder,
    ) -> wgpu::Texture {
        let count = bytes.end - bytes.start;
        let (rows, rest) = (count / u64::from(ROW_BYTES), count % u64::from(ROW_BYTES));
        let extent = |cols: u32, rows: u64| wgpu::Extent3d {
            width: cols,
            height: rows as u32,
            depth_or_array_layers: 1,
        };
        let texture = self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("qmill"),
            size: if count == 0 {
                extent(1, 1)
            } else {
                extent(texel.cols(), count.div_ceil(u64::from(ROW_BYTES)))
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: texel.format,
            usage: TextureUsages::COPY_DST | TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        });
        // Whole rows, then the rest.
        let parts = [(0, extent(texel.cols(), rows)), (rows, extent(rest as u32 / texel.bytes, 1))];
        for (row, size) in parts.into_iter().filter(|(_, size)| size.width > 0 && size.height > 0) {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: bytes.start + row * u64::from(ROW_BYTES),
                bytes_per_row: Some(ROW_BYTES),
                rows_per_image: None,
            };
            let origin = wgpu::Origin3d { x: 0, y: row as u32, z: 0 };
            let to = wgpu::TexelCopyTextureInfo { origin, ..texture.as_image_copy() };
            encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, to, size);
        }
        texture
    }
}
