//! The formats of ggml: how a run of weights becomes bytes and comes back.
//!
//! A **format** is the encoding of one tensor. It cuts a row into **blocks** of [`FormatInfo::block_weights`]
//! weights and stores each in [`FormatInfo::block_bytes`] bytes, independent of every other block. [`FORMATS`]
//! is the table of all of them, one row each; nothing outside this module matches on a format's layout.
//! To add a format: write `format/x.rs` with a `Codec`, and add its row to [`FORMATS`] and [`Format`].
//!
//! The bytes are those of ggml 0.25 and 0.26 as built for x86-64 without fused multiply-add. All arithmetic is
//! IEEE f32, one operation at a time, in ggml's order; Rust never contracts or reassociates, so the same code
//! gives the same bytes on every CPU and instruction set.

#![expect(non_camel_case_types, reason = "format names are ggml's")]

mod bits;
mod codebook;
mod extremes;
mod lanes;
mod pack;
mod search;
mod six_bit;

mod bf16;
mod f16;
mod f32;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
mod q1_0;
mod q2_0;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

pub(crate) use bits::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

use crate::{Error, Result};
use multiversion::multiversion;
use std::fmt;
use std::str::FromStr;

/// What a format file implements: whole blocks to weights and, where no calibration data is needed, back.
///
/// Slices hold the same whole number of blocks on both sides. Implementations are `#[inline(always)]`, as is
/// what they call: the dispatchers below compile them once per instruction set.
trait Codec {
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes in a block.
    const BYTES: usize;
    /// Bytes of what a block consists of, in its order: what a device keeps together.
    const FIELDS: &'static [usize] = &[Self::BYTES];
    /// The same in WGSL: what `shaders/README.md` asks of a format.
    const SHADER: &'static str;
    /// The vectors of a codebook as its shader reads them.
    const GRID: Option<fn() -> Vec<u32>> = None;
    /// Whether codes are nibbles that stand for numbers, which `lib/numbers.wgsl` can look up in pairs.
    const PAIRS: bool = false;

    /// Writes `blocks.len() / BYTES * WEIGHTS` weights.
    fn dequantize(blocks: &[u8], weights: &mut [f32]);

    /// Whether every scale stored in this block is a finite number (ggml's `ggml_validate_row_data`).
    fn is_valid(block: &[u8]) -> bool;
}

/// A [`Codec`] that can also encode, with no calibration data.
trait Encode: Codec {
    /// How its shader encodes.
    const PASSES: Passes = Passes::One;

    /// Writes `weights.len() / WEIGHTS * BYTES` bytes, all of them. Weights are finite.
    fn quantize(weights: &[f32], blocks: &mut [u8]);
}

/// How a shader encodes a format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passes {
    /// An invocation encodes a block.
    One,
    /// An invocation searches the scale of one of a block's sub-blocks; then another writes one of a block's parts.
    SearchAndPack {
        /// Sub-blocks in a block.
        sub_blocks: usize,
        /// Parts of a block.
        parts: usize,
    },
}

/// Each block beside the weights it is decoded into.
#[inline(always)]
fn to_decode<'a, const BYTES: usize, const WEIGHTS: usize>(
    blocks: &'a [u8],
    weights: &'a mut [f32],
) -> impl Iterator<Item = (&'a [u8; BYTES], &'a mut [f32; WEIGHTS])> {
    blocks.as_chunks().0.iter().zip(weights.as_chunks_mut().0)
}

/// The weights of each block beside the bytes they are encoded into.
#[inline(always)]
fn to_encode<'a, const WEIGHTS: usize, const BYTES: usize>(
    weights: &'a [f32],
    blocks: &'a mut [u8],
) -> impl Iterator<Item = (&'a [f32; WEIGHTS], &'a mut [u8; BYTES])> {
    weights.as_chunks().0.iter().zip(blocks.as_chunks_mut().0)
}

// AVX-512 brings fused multiply-add with it; Rust uses it only where the source says so, and CI looks for it.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn dequantize<C: Codec>(blocks: &[u8], weights: &mut [f32]) {
    C::dequantize(blocks, weights);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn quantize<C: Encode>(weights: &[f32], blocks: &mut [u8]) {
    C::quantize(weights, blocks);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn first_invalid<C: Codec>(blocks: &[u8]) -> Option<usize> {
    // Many blocks at a time without a branch, which vectorizes; a run with a bad one is searched.
    const RUN: usize = 1024;
    for (run, blocks) in blocks.chunks(RUN * C::BYTES).enumerate() {
        let mut valid = true;
        for block in blocks.chunks_exact(C::BYTES) {
            valid &= C::is_valid(block);
        }
        if !valid {
            let block = blocks.chunks_exact(C::BYTES).position(|block| !C::is_valid(block))?;
            return Some(run * RUN + block);
        }
    }
    None
}

/// Encodes weights into as many blocks as they fill.
pub(crate) type Quantize = fn(&[f32], &mut [u8]);

/// One row of [`FORMATS`]: everything that is known of a format.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct FormatInfo {
    /// The format this row describes.
    pub format: Format,
    /// Its name as the field writes it: `Q4_K`.
    pub name: &'static str,
    /// The `ggml_type` number that GGUF files store.
    pub ggml_id: u32,
    /// What kind of encoding it is.
    pub family: Family,
    /// How a code becomes a weight.
    pub formula: &'static str,
    /// Weights in a block; a row is a whole number of blocks.
    pub block_weights: usize,
    /// Bytes in a block.
    pub block_bytes: usize,
    dequantize: fn(&[u8], &mut [f32]),
    quantize: Option<Quantize>,
    /// `None` where there is no encoder.
    pub(crate) passes: Option<Passes>,
    /// Bytes of what a block consists of.
    pub(crate) fields: &'static [usize],
    pub(crate) shader: &'static str,
    /// The words of a codebook that the shader needs.
    pub(crate) grid: Option<fn() -> Vec<u32>>,
    /// Whether the shader can look up its codes in pairs.
    pub(crate) pairs: bool,
    first_invalid: fn(&[u8]) -> Option<usize>,
}

impl FormatInfo {
    const fn decoder<C: Codec>(
        format: Format,
        name: &'static str,
        ggml_id: u32,
        family: Family,
        formula: &'static str,
    ) -> Self {
        Self {
            format,
            name,
            ggml_id,
            family,
            formula,
            block_weights: C::WEIGHTS,
            block_bytes: C::BYTES,
            dequantize: dequantize::<C>,
            quantize: None,
            passes: None,
            fields: C::FIELDS,
            shader: C::SHADER,
            grid: C::GRID,
            pairs: C::PAIRS,
            first_invalid: first_invalid::<C>,
        }
    }

    const fn encoder<C: Encode>(
        format: Format,
        name: &'static str,
        ggml_id: u32,
        family: Family,
        formula: &'static str,
    ) -> Self {
        Self {
            quantize: Some(quantize::<C>),
            passes: Some(C::PASSES),
            ..Self::decoder::<C>(format, name, ggml_id, family, formula)
        }
    }

    /// Bits a weight takes, scales included.
    pub fn bits_per_weight(&self) -> f64 {
        (self.block_bytes * 8) as f64 / self.block_weights as f64
    }

    /// Whether qmill can write this format from weights; all formats can be read.
    pub fn can_quantize(&self) -> bool {
        self.quantize.is_some()
    }
}

/// What kind of encoding a format is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Family {
    /// A floating-point number per weight.
    Float,
    /// Uniform codes and a scale: `w = d·q`.
    Type0,
    /// Uniform codes, a scale and an offset: `w = d·q + m`.
    Type1,
    /// Super-blocks whose sub-blocks have small integer scales of their own.
    KQuant,
    /// Three levels a weight (1.58 bits).
    Ternary,
    /// Codes point into a table of levels or of vectors.
    Codebook,
    /// Four-bit floats under a shared eight-bit float scale.
    Microscaled,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float => "float",
            Self::Type0 => "type-0",
            Self::Type1 => "type-1",
            Self::KQuant => "K-quant",
            Self::Ternary => "ternary",
            Self::Codebook => "codebook",
            Self::Microscaled => "microscaled",
        })
    }
}

/// The encoding of one tensor. Its facts are in [`FORMATS`], reached by [`Format::info`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "FORMATS describes each")]
#[non_exhaustive]
pub enum Format {
    F32,
    F16,
    BF16,
    Q1_0,
    Q2_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
}

use Family::{Codebook, Float, KQuant, Microscaled, Ternary, Type0, Type1};

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

    /// The name as the field writes it: `Q4_K`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The format with this `ggml_type` number, if it is one of the 28.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        FORMATS.iter().find(|info| info.ggml_id == id).map(|info| info.format)
    }

    /// Bytes that `weights` weights take; `weights` must be a whole number of blocks.
    pub fn bytes_for(self, weights: u64) -> u64 {
        let info = self.info();
        debug_assert_eq!(weights % info.block_weights as u64, 0);
        weights / info.block_weights as u64 * info.block_bytes as u64
    }

    /// Whether this is F32, F16 or BF16.
    pub fn is_float(self) -> bool {
        self.info().family == Family::Float
    }

    /// Index of the first block with a scale that is not finite, or, for a float format, of the first weight
    /// that is not finite.
    pub fn first_invalid_block(self, blocks: &[u8]) -> Option<usize> {
        (self.info().first_invalid)(blocks)
    }

    /// Fails with [`Error::BadBlock`] for the first scale that is not finite, or, for a float format, with
    /// [`Error::NotFinite`] for the first weight; `place` gives the tensor, row and column of a weight.
    pub(crate) fn check_finite(
        self,
        blocks: &[u8],
        place: impl FnOnce(usize) -> (String, u64, u64),
    ) -> Result<()> {
        let Some(block) = self.first_invalid_block(blocks) else { return Ok(()) };
        let info = self.info();
        let (tensor, row, column) = place(block * info.block_weights);
        if !self.is_float() {
            return Err(Error::BadBlock { tensor, row, column, format: self });
        }
        let mut value = [0.0];
        self.dequantize_blocks(&blocks[block * info.block_bytes..][..info.block_bytes], &mut value);
        Err(Error::NotFinite { tensor, row, column, value: value[0] })
    }

    pub(crate) fn dequantize_blocks(self, blocks: &[u8], weights: &mut [f32]) {
        (self.info().dequantize)(blocks, weights);
    }

    /// `None` when qmill has no encoder for the format.
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
