//! The table of formats.

use super::info::Quantize;
use super::{Family, Format, FormatInfo};
use super::{
    bf16, f16, f32, iq1_m, iq1_s, iq2_s, iq2_xs, iq2_xxs, iq3_s, iq3_xxs, iq4_nl, iq4_xs, mxfp4, nvfp4, q1_0,
    q2_0, q2_k, q3_k, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0, tq1_0, tq2_0,
};
use crate::{Error, Result};
use Family::{Codebook, Float, KQuant, Microscaled, Ternary, Type0, Type1};
use std::fmt;
use std::str::FromStr;

/// Every format, in the order of [`Format`].
#[rustfmt::skip]
pub static FORMATS: [FormatInfo; 28] = [
    FormatInfo::encoder::<f32::F32>(Format::F32, "F32", 0, Float, "w"),
    FormatInfo::encoder::<f16::F16>(Format::F16, "F16", 1, Float, "w"),
    FormatInfo::encoder::<bf16::BF16>(Format::BF16, "BF16", 30, Float, "w"),
    FormatInfo::encoder::<q1_0::Q1_0>(Format::Q1_0, "Q1_0", 41, Type0, "w = d·(2q-1)"),
    FormatInfo::encoder::<q2_0::Q2_0>(Format::Q2_0, "Q2_0", 42, Type0, "w = d·(q-1)"),
    FormatInfo::encoder::<q4_0::Q4_0>(Format::Q4_0, "Q4_0", 2, Type0, "w = d·(q-8)"),
    FormatInfo::encoder::<q4_1::Q4_1>(Format::Q4_1, "Q4_1", 3, Type1, "w = d·q + m"),
    FormatInfo::encoder::<q5_0::Q5_0>(Format::Q5_0, "Q5_0", 6, Type0, "w = d·(q-16)"),
    FormatInfo::encoder::<q5_1::Q5_1>(Format::Q5_1, "Q5_1", 7, Type1, "w = d·q + m"),
    FormatInfo::encoder::<q8_0::Q8_0>(Format::Q8_0, "Q8_0", 8, Type0, "w = d·q"),
    FormatInfo::encoder::<q2_k::Q2_K>(Format::Q2_K, "Q2_K", 10, KQuant, "w = d·sc·q - dmin·m"),
    FormatInfo::encoder::<q3_k::Q3_K>(Format::Q3_K, "Q3_K", 11, KQuant, "w = d·sc·q"),
    FormatInfo::encoder::<q4_k::Q4_K>(Format::Q4_K, "Q4_K", 12, KQuant, "w = d·sc·q - dmin·m"),
    FormatInfo::encoder::<q5_k::Q5_K>(Format::Q5_K, "Q5_K", 13, KQuant, "w = d·sc·q - dmin·m"),
    FormatInfo::encoder::<q6_k::Q6_K>(Format::Q6_K, "Q6_K", 14, KQuant, "w = d·sc·q"),
    FormatInfo::decoder::<iq1_s::IQ1_S>(Format::IQ1_S, "IQ1_S", 19, Codebook, "w = d·sc·(grid[q] ± 1/8)"),
    FormatInfo::decoder::<iq1_m::IQ1_M>(Format::IQ1_M, "IQ1_M", 29, Codebook, "w = d·sc·(grid[q] ± 1/8)"),
    FormatInfo::decoder::<iq2_xxs::IQ2_XXS>(Format::IQ2_XXS, "IQ2_XXS", 16, Codebook, "w = ± d·sc·grid[q]"),
    FormatInfo::decoder::<iq2_xs::IQ2_XS>(Format::IQ2_XS, "IQ2_XS", 17, Codebook, "w = ± d·sc·grid[q]"),
    FormatInfo::decoder::<iq2_s::IQ2_S>(Format::IQ2_S, "IQ2_S", 22, Codebook, "w = ± d·sc·grid[q]"),
    FormatInfo::decoder::<iq3_xxs::IQ3_XXS>(Format::IQ3_XXS, "IQ3_XXS", 18, Codebook, "w = ± d·sc·grid[q]"),
    FormatInfo::decoder::<iq3_s::IQ3_S>(Format::IQ3_S, "IQ3_S", 21, Codebook, "w = ± d·sc·grid[q]"),
    FormatInfo::encoder::<iq4_nl::IQ4_NL>(Format::IQ4_NL, "IQ4_NL", 20, Codebook, "w = d·level[q]"),
    FormatInfo::encoder::<iq4_xs::IQ4_XS>(Format::IQ4_XS, "IQ4_XS", 23, Codebook, "w = d·sc·level[q]"),
    FormatInfo::encoder::<tq1_0::TQ1_0>(Format::TQ1_0, "TQ1_0", 34, Ternary, "w = d·(q-1)"),
    FormatInfo::encoder::<tq2_0::TQ2_0>(Format::TQ2_0, "TQ2_0", 35, Ternary, "w = d·(q-1)"),
    FormatInfo::encoder::<mxfp4::MXFP4>(Format::MXFP4, "MXFP4", 39, Microscaled, "w = 2^(e-127)·e2m1[q]"),
    FormatInfo::encoder::<nvfp4::NVFP4>(Format::NVFP4, "NVFP4", 40, Microscaled, "w = ue4m3·e2m1[q]"),
];

impl Format {
    /// This format's row of [`FORMATS`].
    pub fn info(self) -> &'static FormatInfo {
        &FORMATS[self as usize]
    }

    /// The usual name: `Q4_K`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The format with this `ggml_type` number; `None` if none of the 28 has it.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        FORMATS.iter().find(|info| info.ggml_id == id).map(|info| info.format)
    }

    /// Bytes that `weights` weights take, which must be a whole number of blocks.
    pub fn bytes_for(self, weights: u64) -> u64 {
        let info = self.info();
        debug_assert_eq!(weights % info.block_weights as u64, 0);
        weights / info.block_weights as u64 * info.block_bytes as u64
    }

    /// Whether this is F32, F16 or BF16.
    pub fn is_float(self) -> bool {
        self.info().family == Family::Float
    }

    /// The index of the first block with a scale that is not finite; for a float format, of the first weight
    /// that is not finite.
    pub fn first_invalid_block(self, blocks: &[u8]) -> Option<usize> {
        (self.info().first_invalid)(blocks)
    }

    /// Fails with [`Error::BadBlock`] at the first scale that is not finite, or, for a float format, with
    /// [`Error::NotFinite`] at the first weight. `position` gives the tensor, row and column of a weight.
    pub(crate) fn check_finite(
        self,
        blocks: &[u8],
        position: impl FnOnce(usize) -> (String, u64, u64),
    ) -> Result<()> {
        let Some(block) = self.first_invalid_block(blocks) else { return Ok(()) };
        let info = self.info();
        let (tensor, row, column) = position(block * info.block_weights);
        if !self.is_float() {
            return Err(Error::BadBlock { tensor, row, column, format: self });
        }
        let mut value = [0.0];
        self.dequantize_blocks(&blocks[block * info.block_bytes..][..info.block_bytes], &mut value);
        Err(Error::NotFinite { tensor, row, column, value: value[0] })
    }

    /// Decodes whole blocks into exactly as many weights.
    pub(crate) fn dequantize_blocks(self, blocks: &[u8], weights: &mut [f32]) {
        (self.info().dequantize)(blocks, weights);
    }

    /// The encoder; `None` where qmill has none.
    pub(crate) fn quantize_blocks(self) -> Option<Quantize> {
        self.info().quantize
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    /// Takes the name in any case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        FORMATS
            .iter()
            .find(|info| info.name.eq_ignore_ascii_case(name))
            .map(|info| info.format)
            .ok_or_else(|| Error::UnknownFormat { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, info) in FORMATS.iter().enumerate() {
            assert_eq!(info.format as usize, index);
            assert_eq!(info.name.parse::<Format>().unwrap(), info.format);
            assert_eq!(Format::from_ggml_id(info.ggml_id), Some(info.format));
        }
    }
}
