//! The programs that convert: kernels joined with a format, and their bindings.

use super::padded_layout::PaddedLayout;
use crate::cpu::GROUP_WEIGHTS;
use crate::format::Passes;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library;
use crate::gpu::shader::params::WORKGROUP;
use crate::gpu::shader::switch::Switch;
use crate::{FORMATS, Format};
use std::fmt;

/// Weights to encode.
pub(super) const SOURCE: Binding = Binding::new(1, "source");
/// Encoded blocks.
pub(super) const BLOCKS: Binding = Binding::new(2, "blocks");
/// A bit for each declined block.
pub(super) const DECLINED: Binding = Binding::new(3, "declined");
/// Results of the search pass: where `search` writes them, and where `pack` reads them.
pub(super) const SEARCH_SCRATCH: Binding = Binding::new(2, "scratch");
pub(super) const PACK_SCRATCH: Binding = Binding::new(4, "scratch");
/// For decoders: blocks, decoded weights, and the format's codebook.
pub(super) const DECODED_BLOCKS: Binding = Binding::new(1, "blocks");
pub(super) const RESULT: Binding = Binding::new(2, "result");
pub(super) const GRID: Binding = Binding::new(3, "grid");
/// Sums of squares of each group.
pub(super) const SUMS: Binding = Binding::new(4, "sums");

/// A kernel: one WGSL file with one entry point, `main`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::gpu) enum ConvertKernel {
    Quantize,
    QuantizeSearch,
    QuantizePack,
    Dequantize,
    RoundTrip,
    ErrorSums,
}

impl ConvertKernel {
    fn file(self) -> &'static str {
        match self {
            Self::Quantize => "convert/quantize.wgsl",
            Self::QuantizeSearch => "convert/quantize_search.wgsl",
            Self::QuantizePack => "convert/quantize_pack.wgsl",
            Self::Dequantize => "convert/dequantize.wgsl",
            Self::RoundTrip => "convert/round_trip.wgsl",
            Self::ErrorSums => "convert/error_sums.wgsl",
        }
    }

    /// The switch that selects this kernel's part of a format file.
    fn part(self) -> Switch {
        match self {
            Self::Quantize => Switch::Quantize,
            Self::QuantizeSearch => Switch::Search,
            Self::QuantizePack => Switch::Pack,
            Self::Dequantize | Self::RoundTrip | Self::ErrorSums => Switch::Dequantize,
        }
    }
}

const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];

/// A kernel joined with a format and a float format of the weights: one shader module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::gpu) struct ConvertProgram {
    pub(in crate::gpu) kernel: ConvertKernel,
    /// The format that is encoded or decoded.
    pub(in crate::gpu) format: Format,
    /// The format of the weights: F32, F16 or BF16; for [`ConvertKernel::Dequantize`] not BF16.
    pub(in crate::gpu) weights: Format,
}

impl ConvertProgram {
    /// All programs.
    pub(in crate::gpu) fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().flat_map(|info| {
            let format = info.format;
            let quantize = quantize_passes(format).iter().flat_map(move |&kernel| {
                FLOATS.into_iter().filter(move |&from| from != format).map(move |weights| Self {
                    kernel,
                    format,
                    weights,
                })
            });
            let to = [Format::F32, Format::F16].into_iter().filter(move |&to| to != format);
            let dequantize =
                to.map(move |weights| Self { kernel: ConvertKernel::Dequantize, format, weights });
            let with_encoder = FLOATS.into_iter().filter(move |_| info.can_quantize());
            let round_trip = with_encoder.clone().filter(move |&weights| weights != format);
            let round_trip =
                round_trip.map(move |weights| Self { kernel: ConvertKernel::RoundTrip, format, weights });
            let error_sums =
                with_encoder.map(move |weights| Self { kernel: ConvertKernel::ErrorSums, format, weights });
            quantize.chain(dequantize).chain(round_trip).chain(error_sums)
        })
    }

    /// The number of invocations for `weights` weights, the last block of which may be incomplete.
    pub(in crate::gpu) fn invocations(self, weights: u64) -> u64 {
        let blocks = PaddedLayout::of(self.format).blocks(weights);
        match (self.kernel, self.format.info().passes) {
            (ConvertKernel::QuantizeSearch, Some(Passes::SearchAndPack { sub_blocks, .. })) => {
                blocks * sub_blocks as u64
            }
            (ConvertKernel::QuantizePack, Some(Passes::SearchAndPack { parts, .. })) => blocks * parts as u64,
            (ConvertKernel::ErrorSums, _) => weights.div_ceil(GROUP_WEIGHTS as u64),
            (ConvertKernel::Dequantize | ConvertKernel::RoundTrip, _) => {
                blocks * PaddedLayout::of(self.format).quads as u64
            }
            _ => blocks,
        }
    }

    /// The WGSL text, for a compiler that may contract operations or one that may not.
    pub(in crate::gpu) fn wgsl(self, may_contract: bool) -> Result<String, String> {
        let layout = PaddedLayout::of(self.format);
        let mut constants = vec![
            ("WORKGROUP", WORKGROUP as usize),
            ("BLOCK_QUADS", layout.quads),
            ("BLOCK_WORDS", layout.words),
        ];
        if let Some(Passes::SearchAndPack { sub_blocks, parts }) = self.format.info().passes {
            let sub_block_quads = layout.quads / sub_blocks;
            constants.extend([
                ("SUB_BLOCKS", sub_blocks),
                ("SUB_BLOCK_QUADS", sub_block_quads),
                ("PARTS", parts),
            ]);
        }
        let other_side = match self.kernel {
            ConvertKernel::Dequantize | ConvertKernel::RoundTrip => Switch::result(self.weights),
            _ => Switch::source(self.weights),
        };
        let optional =
            [(Switch::Grid, self.format.info().grid.is_some()), (Switch::NoContraction, !may_contract)];
        let switches: Vec<_> =
            [self.kernel.part(), other_side].into_iter().chain(Switch::on(optional)).collect();
        let wgsl = library::with_format(library::files(&switches, &constants), self.format);
        wgsl.preprocess(self.kernel.file()).map_err(|error| error.to_string())
    }
}

impl fmt::Display for ConvertProgram {
    /// For example `quantize_pack.q4_k.f16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = library::kernel_name(self.kernel.file());
        write!(f, "{kernel}.{}.{}", self.format.name().to_lowercase(), self.weights.name().to_lowercase())
    }
}

/// The kernels that encode a format, in order; empty if there is no encoder.
pub(in crate::gpu) fn quantize_passes(format: Format) -> &'static [ConvertKernel] {
    match format.info().passes {
        None => &[],
        Some(Passes::One) => &[ConvertKernel::Quantize],
        Some(Passes::SearchAndPack { .. }) => &[ConvertKernel::QuantizeSearch, ConvertKernel::QuantizePack],
    }
}
