//! Vectors as int8, in the order in which products read them.

use crate::cpu::check_positive;
use crate::{Error, Result};
use multiversion::multiversion;
use rayon::prelude::*;

/// Vectors that go through the rows of a matrix together. The sums of eight rows, 32 bytes a vector, stay in
/// an L1 cache.
const TILE: usize = 128;

/// Vectors in blocks of 32 signed bytes, for [`matmul_int8`](crate::cpu::matmul_int8).
///
/// Numbers are rounded as [`round_activations`](crate::cpu::round_activations) does. A number that is not
/// finite makes all products with its vector NaN or infinite.
#[derive(Clone, Debug)]
pub struct Int8Vectors {
    cols: usize,
    count: usize,
    tiles: Vec<Tile>,
}

/// Up to [`TILE`] vectors: the first block of each, then the second of each, and so on.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) count: usize,
    pub(super) blocks: Vec<Block>,
    /// Where there is one vector.
    pub(super) single: Single,
}

/// The scales and scaled sums of a vector's blocks end to end, and those of their halves; zeros follow.
#[derive(Clone, Default, Debug)]
pub(super) struct Single {
    pub(super) scales: Vec<f32>,
    pub(super) sums: Vec<f32>,
    pub(super) half_scales: Vec<f32>,
    pub(super) half_sums: Vec<f32>,
}

impl Single {
    fn new(blocks: &[Block]) -> Self {
        let zeros = [0.0; 8];
        let scales = blocks.iter().map(|block| block.scale);
        let sums = blocks.iter().map(|block| block.scaled_sums[0] + block.scaled_sums[1]);
        Self {
            half_scales: scales.clone().flat_map(|scale| [scale; 2]).chain(zeros).collect(),
            half_sums: blocks.iter().flat_map(|block| block.scaled_sums).chain(zeros).collect(),
            scales: scales.chain(zeros).collect(),
            sums: sums.chain(zeros).collect(),
        }
    }
}

/// 32 numbers of a vector, in a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Block {
    pub(super) codes: [i8; 32],
    pub(super) scale: f32,
    /// The sum of each half of the codes.
    pub(super) sums: [i32; 2],
    /// These, times the scale.
    pub(super) scaled_sums: [f32; 2],
}

const EMPTY: Block = Block { codes: [0; 32], scale: 0.0, sums: [0; 2], scaled_sums: [0.0; 2] };

impl Int8Vectors {
    /// Rounds vectors of `cols` numbers each.
    ///
    /// Fails with [`Error::Number`] if `cols` is no multiple of 32, or the length of `x` none of `cols`.
    pub fn new(x: &[f32], cols: usize) -> Result<Self> {
        check_positive("the number of columns", cols)?;
        let wrong = |what, needed: String, found: usize| Error::Number { what, needed, found: found as u64 };
        if !cols.is_multiple_of(32) {
            return Err(wrong("the number of columns", "a multiple of 32".to_owned(), cols));
        }
        if !x.len().is_multiple_of(cols) {
            return Err(wrong("the length of x", format!("a multiple of {cols}"), x.len()));
        }
        let quantized = |x: &[f32]| {
            let mut blocks = vec![EMPTY; x.len() / 32];
            quantize(x, cols, &mut blocks);
            let count = x.len() / cols;
            let single = if count == 1 { Single::new(&blocks) } else { Single::default() };
            Tile { count, blocks, single }
        };
        let tiles = if x.len() > TILE * cols {
            x.par_chunks(TILE * cols).map(quantized).collect()
        } else {
            x.chunks(TILE * cols).map(quantized).collect()
        };
        Ok(Self { cols, count: x.len() / cols, tiles })
    }

    /// Numbers in a vector.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(super) fn tiles(&self) -> &[Tile] {
        &self.tiles
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn quantize(x: &[f32], cols: usize, blocks: &mut [Block]) {
    /// Added to a number below 2^22, leaves it in the low bits, rounded half to even.
    const ROUNDER: f32 = 12_582_912.0;
    let count = x.len() / cols;
    for (v, x) in x.chunks_exact(cols).enumerate() {
        for (b, x) in x.as_chunks::<32>().0.iter().enumerate() {
            // As integers, magnitudes have the same order, and NaN is the largest.
            let mut largest = 0;
            for i in 0..32 {
                largest = largest.max(x[i].to_bits() & 0x7fff_ffff);
            }
            let largest = f32::from_bits(largest);
            let (scale, multiplier) =
                if largest < 1e-35 { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };
            let block = &mut blocks[b * count + v];
            for i in 0..32 {
                block.codes[i] = (x[i] * multiplier + ROUNDER).to_bits() as i8;
            }
            block.scale = scale;
            for half in 0..2 {
                let mut sum = 0;
                for i in 0..16 {
                    sum += i32::from(block.codes[16 * half + i]);
                }
                block.sums[half] = sum;
                block.scaled_sums[half] = scale * sum as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::round_activations;

    #[test]
    fn numbers_are_rounded_as_the_reference_does() {
        let x: Vec<f32> = (0..3 * 64).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1.37e-3).collect();
        let mut right = x.clone();
        right[64..96].fill(1e-36);
        round_activations(&mut right).unwrap();
        let mut x = x;
        x[64..96].fill(1e-36);
        let vectors = Int8Vectors::new(&x, 64).unwrap();
        assert_eq!((vectors.count(), vectors.cols()), (3, 64));
        for (i, right) in right.into_iter().enumerate() {
            let block = &vectors.tiles()[0].blocks[i % 64 / 32 * 3 + i / 64];
            assert_eq!(block.scale * f32::from(block.codes[i % 32]), right, "{i}");
            let sum: i32 = block.codes[16..].iter().map(|&code| i32::from(code)).sum();
            assert_eq!(block.sums[1], sum);
        }
        assert!(Int8Vectors::new(&x, 48).is_err() && Int8Vectors::new(&x[1..], 64).is_err());
    }
}
