//! What is known of a format.

use super::Format;
use super::codec::{Codec, Encode, Passes};
use multiversion::multiversion;
use std::fmt;

// AVX-512 includes fused multiply-add. Rust uses it only where the source says so, and CI searches the
// program for it.
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
    // Checking many blocks without a branch vectorizes. Only a run with a bad block is searched.
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

/// One row of [`FORMATS`](super::FORMATS): the facts about a format.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct FormatInfo {
    /// The format this row describes.
    pub format: Format,
    /// Its usual name: `Q4_K`.
    pub name: &'static str,
    /// The `ggml_type` number that GGUF files store.
    pub ggml_id: u32,
    /// The kind of encoding.
    pub family: Family,
    /// How a code becomes a weight.
    pub formula: &'static str,
    /// Weights in a block. A row is a whole number of blocks.
    pub block_weights: usize,
    /// Bytes in a block.
    pub block_bytes: usize,
    pub(super) dequantize: fn(&[u8], &mut [f32]),
    pub(super) quantize: Option<Quantize>,
    /// `None` where there is no encoder.
    pub(crate) passes: Option<Passes>,
    /// The bytes of each field of a block.
    pub(crate) fields: &'static [usize],
    /// The codec in WGSL.
    pub(crate) shader: &'static str,
    /// The words of the codebook that the shader reads.
    pub(crate) grid: Option<fn() -> Vec<u32>>,
    /// Whether the shader can look up two codes at a time.
    pub(crate) pairs: bool,
    pub(super) first_invalid: fn(&[u8]) -> Option<usize>,
}

impl FormatInfo {
    /// The row of a format that qmill only reads.
    pub(super) const fn decoder<C: Codec>(
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

    /// The row of a format that qmill also writes.
    pub(super) const fn encoder<C: Encode>(
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

    /// Bits per weight, scales included.
    pub fn bits_per_weight(&self) -> f64 {
        (self.block_bytes * 8) as f64 / self.block_weights as f64
    }

    /// Whether qmill can encode weights in this format. It reads all formats.
    pub fn can_quantize(&self) -> bool {
        self.quantize.is_some()
    }
}

/// The kinds of encoding.
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
