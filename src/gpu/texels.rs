//! Weights in textures, for llvmpipe: what its invocations do side by side, it does in vectors, but each load from a storage buffer in a loop over them; a texel of
//! 16 bytes takes it a third of the time. One of a word takes a quarter of that, so what is not whole chunks has a texture of its own.

use super::wait::Wait;
use super::{Gpu, split};
use crate::Result;
use std::ops::Range;
use wgpu::{TextureFormat, TextureUsages};

/// Bytes in a row of a texture.
const ROW_BYTES: u32 = 32 << 10;

/// A texel of this many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Texel {
    pub(crate) format: TextureFormat,
    bytes: u32,
}

pub(crate) const CHUNK: Texel = Texel { format: TextureFormat::Rgba32Uint, bytes: split::CHUNK_BYTES as u32 };
pub(crate) const WORD: Texel = Texel { format: TextureFormat::R32Uint, bytes: 4 };

impl Texel {
    /// How many there are in a row of a texture.
    pub(crate) const fn cols(self) -> u32 {
        ROW_BYTES / self.bytes
    }
}

/// The bytes of a matrix.
#[derive(Clone, Debug)]
pub(crate) struct Texels {
    /// What is whole chunks.
    pub(crate) chunks: wgpu::TextureView,
    /// And what follows.
    pub(crate) words: wgpu::TextureView,
}

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

    /// Whether lanes that own their rows load vectors for each other, eight in a subgroup, as AVX2 has them: to broadcast takes llvmpipe one instruction.
    pub(super) fn prefers_broadcasts(&self) -> bool {
        let info = self.device().adapter_info();
        let has_subgroups = self.device().features().contains(wgpu::Features::SUBGROUP);
        self.prefers_texels && has_subgroups && (info.subgroup_min_size, info.subgroup_max_size) == (8, 8)
    }

    /// The same device, with weights in textures where that is llvmpipe, or in storage buffers as on any other; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_weights_in_textures(&self, in_textures: bool) -> Self {
        Self { prefers_texels: in_textures && is_llvmpipe(self.device()), ..self.clone() }
    }

    /// Bytes that a texture of weights holds at most.
    pub(super) fn max_texel_bytes(&self) -> u64 {
        u64::from(self.device().limits().max_texture_dimension_2d) * u64::from(ROW_BYTES)
    }

    /// Textures with the bytes of `buffer`, its first `chunk_bytes` and the rest, and how many bytes they take; waits for them, so that the buffer can go.
    pub(super) async fn texels(
        &self,
        wait: Wait,
        buffer: &wgpu::Buffer,
        chunk_bytes: u64,
    ) -> Result<(Texels, u64)> {
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (textures, submission) = self.guarded(|| {
            let parts = [(CHUNK, 0..chunk_bytes), (WORD, chunk_bytes..buffer.size())];
            let textures = parts.map(|(texel, bytes)| self.texture(texel, buffer, bytes, &mut encoder));
            (textures, self.queue().submit([encoder.finish()]))
        })?;
        self.done(wait, submission).await?;
        let bytes_of = |(texture, texel): (&wgpu::Texture, Texel)| {
            u64::from(texture.width() * texel.bytes) * u64::from(texture.height())
        };
        let bytes = textures.iter().zip([CHUNK, WORD]).map(bytes_of).sum();
        let [chunks, words] =
            textures.map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()));
        Ok((Texels { chunks, words }, bytes))
    }

    /// The same, waited for here.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn texels_now(&self, buffer: &wgpu::Buffer, chunk_bytes: u64) -> Result<Texels> {
        Ok(pollster::block_on(self.texels(Wait::Blocking, buffer, chunk_bytes))?.0)
    }

    /// A texture, and on its way some bytes of `buffer`; of one texel if there are none, for a texture cannot be empty.
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
        // Whole rows, and what is left.
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
