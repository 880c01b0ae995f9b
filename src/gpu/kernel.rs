//! The kernels: what each binds, and which of them a format needs.

use super::{shader, texels};
use crate::format::Passes;
use crate::{FORMATS, Format};
use std::fmt;

/// Invocations in a workgroup, of every kernel here.
pub(super) const WORKGROUP: u64 = 64;

/// Defined where the module will forbid contraction by itself, so that nothing need be opaque.
pub(super) const NO_CONTRACTION: &str = "NO_CONTRACTION";

/// What a kernel does with a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Reads it.
    Read,
    /// Writes it, and may read it.
    ReadWrite,
}

use Access::{Read, ReadWrite};

/// What a kernel sees at a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Storage(Access),
    Uniform,
    /// A texture.
    Texels(texels::Texel),
}

impl From<Access> for Slot {
    fn from(access: Access) -> Self {
        Self::Storage(access)
    }
}

impl From<Slot> for wgpu::BindingType {
    fn from(slot: Slot) -> Self {
        let buffer = |ty| Self::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
        match slot {
            Slot::Storage(access) => {
                buffer(wgpu::BufferBindingType::Storage { read_only: access == Access::Read })
            }
            Slot::Uniform => buffer(wgpu::BufferBindingType::Uniform),
            Slot::Texels(texel) => Self::StorageTexture {
                access: wgpu::StorageTextureAccess::ReadOnly,
                format: texel.format,
                view_dimension: wgpu::TextureViewDimension::D2,
            },
        }
    }
}

/// A driver kernel: one WGSL file with one entry point, `main`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Kernel {
    Quantize,
    QuantizeSearch,
    QuantizePack,
    Dequantize,
}

impl Kernel {
    fn file(self) -> &'static str {
        match self {
            Self::Quantize => "kernel/quantize.wgsl",
            Self::QuantizeSearch => "kernel/quantize_search.wgsl",
            Self::QuantizePack => "kernel/quantize_pack.wgsl",
            Self::Dequantize => "kernel/dequantize.wgsl",
        }
    }

    /// The name that chooses this kernel's part of a format file.
    fn part(self) -> &'static str {
        match self {
            Self::Quantize => "QUANTIZE",
            Self::QuantizeSearch => "SEARCH",
            Self::QuantizePack => "PACK",
            Self::Dequantize => "DEQUANTIZE",
        }
    }

    /// What is bound at 1, 2, 3, …
    pub(super) fn bindings(self, format: Format) -> &'static [Access] {
        match self {
            Self::Quantize => &[Read, ReadWrite, ReadWrite],
            Self::QuantizePack => &[Read, ReadWrite, ReadWrite, Read],
            Self::Dequantize if format.info().grid.is_some() => &[Read, ReadWrite, Read],
            Self::QuantizeSearch | Self::Dequantize => &[Read, ReadWrite],
        }
    }
}

/// A kernel joined with a format and the type of the weights on its other side: one shader module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Program {
    pub(super) kernel: Kernel,
    /// The format that is encoded or decoded.
    pub(super) format: Format,
    /// F32, F16 or BF16: what is encoded. F32 or F16: what it is decoded to.
    pub(super) weights: Format,
}

impl Program {
    /// Every program there is.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().flat_map(|info| {
            let format = info.format;
            let quantize = quantize_passes(format).iter().flat_map(move |&kernel| {
                let from = [Format::F32, Format::F16, Format::BF16];
                from.into_iter().filter(move |&from| from != format).map(move |weights| Self {
                    kernel,
                    format,
                    weights,
                })
            });
            let to = [Format::F32, Format::F16].into_iter().filter(move |&to| to != format);
            let dequantize = to.map(move |weights| Self { kernel: Kernel::Dequantize, format, weights });
            quantize.chain(dequantize)
        })
    }

    /// Invocations that do `blocks` blocks.
    pub(super) fn invocations(self, blocks: u64) -> u64 {
        match (self.kernel, self.format.info().passes) {
            (Kernel::QuantizeSearch, Some(Passes::SearchAndPack { sub_blocks, .. })) => {
                blocks * sub_blocks as u64
            }
            (Kernel::QuantizePack, Some(Passes::SearchAndPack { parts, .. })) => blocks * parts as u64,
            (Kernel::Dequantize, _) => blocks * Layout::of(self.format).quads as u64,
            _ => blocks,
        }
    }

    /// Its WGSL, for a compiler that may fuse and reassociate what is not opaque, or for one that may not.
    pub(super) fn wgsl(self, may_contract: bool) -> Result<String, String> {
        let layout = Layout::of(self.format);
        let mut constants = vec![
            ("WORKGROUP", WORKGROUP as usize),
            ("BLOCK_QUADS", layout.quads),
            ("BLOCK_WORDS", layout.words),
        ];
        if let Some(Passes::SearchAndPack { sub_blocks, parts }) = self.format.info().passes {
            constants.extend([("SUB_BLOCKS", sub_blocks), ("PARTS", parts)]);
        }
        let mut names = vec![self.kernel.part()];
        names.push(match (self.kernel, self.weights) {
            (Kernel::Dequantize, Format::F16) => "RESULT_F16",
            (Kernel::Dequantize, _) => "RESULT_F32",
            (_, Format::F16) => "SOURCE_F16",
            (_, Format::BF16) => "SOURCE_BF16",
            (..) => "SOURCE_F32",
        });
        if self.format.info().grid.is_some() {
            names.push("GRID");
        }
        if !may_contract {
            names.push(NO_CONTRACTION);
        }
        shader::join(self.kernel.file(), Some(self.format), &names, &constants)
    }
}

impl fmt::Display for Program {
    /// As in `quantize_pack.q4_k.f16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self.kernel.file().trim_start_matches("kernel/").trim_end_matches(".wgsl");
        write!(f, "{kernel}.{}.{}", self.format.name().to_lowercase(), self.weights.name().to_lowercase())
    }
}

/// The kernels that encode a format, in their order; none where there is no encoder.
pub(super) fn quantize_passes(format: Format) -> &'static [Kernel] {
    match format.info().passes {
        None => &[],
        Some(Passes::One) => &[Kernel::Quantize],
        Some(Passes::SearchAndPack { .. }) => &[Kernel::QuantizeSearch, Kernel::QuantizePack],
    }
}

/// Where a format's blocks lie on the device: each starts on a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// Quads of four weights in a block; a block of a float format is one quad.
    pub(super) quads: usize,
    /// Words from one block to the next.
    pub(super) words: usize,
    /// Bytes of a block in a file.
    pub(super) file_bytes: usize,
}

impl Layout {
    pub(super) fn of(format: Format) -> Self {
        let info = format.info();
        let weights = info.block_weights.max(4);
        let file_bytes = info.block_bytes * (weights / info.block_weights);
        Self { quads: weights / 4, words: file_bytes.div_ceil(4), file_bytes }
    }

    /// Blocks that hold this many weights; the last may be in part.
    pub(super) fn blocks(self, weights: u64) -> u64 {
        weights.div_ceil(4 * self.quads as u64)
    }

    /// Bytes on the device.
    pub(super) fn device_bytes(self, weights: u64) -> u64 {
        self.blocks(weights) * 4 * self.words as u64
    }
}
