//! Every format with every instruction set of this processor, against sums in f64.

use super::matmul::{matmul_f32_on, matmul_int8_on};
use super::{Int8Vectors, StridedRows, matmul_f32, matmul_int8};
use crate::cpu::simd::Level;
use crate::cpu::{dequantize, quantize, round_activations};
use crate::{FORMATS, Format};

struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 56) as u8
    }

    /// From -1 to 1.
    fn number(&mut self) -> f32 {
        let bits = u16::from_le_bytes([self.byte(), self.byte()]);
        f32::from(bits) / 32768.0 - 1.0
    }

    /// Blocks of any bytes whose scales are finite; floats from -1 to 1.
    fn blocks(&mut self, format: Format, weights: usize) -> Vec<u8> {
        let info = format.info();
        if format.is_float() {
            let numbers: Vec<f32> = (0..weights).map(|_| self.number()).collect();
            let mut bytes = vec![0; format.bytes_for(weights as u64) as usize];
            quantize(format, &numbers, &mut bytes).unwrap();
            return bytes;
        }
        let mut bytes = vec![0; format.bytes_for(weights as u64) as usize];
        for block in bytes.chunks_mut(info.block_bytes) {
            block.fill_with(|| self.byte());
            while format.first_invalid_block(block).is_some() {
                block.fill_with(|| self.byte());
            }
            if format == Format::MXFP4 {
                block[0] = block[0] / 16 + 120;
            }
        }
        bytes
    }
}

/// Compares `y` with x·Wᵀ. A sum may have `additions` on its longest path.
fn check(what: &str, weights: &[f32], cols: usize, x: &[f32], y: &[f32], additions: usize) {
    let rows = weights.len() / cols;
    for (v, x) in x.chunks(cols).enumerate() {
        for (r, weights) in weights.chunks(cols).enumerate() {
            let products = weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let right: f64 = products.sum();
            // A weight is scale·code - min: either is at most twice the largest weight of some.
            let sizes = weights.chunks(32).zip(x.chunks(32)).map(|(weights, x)| {
                let largest = weights.iter().fold(0f32, |largest, w| largest.max(w.abs()));
                2.0 * f64::from(largest) * x.iter().map(|x| f64::from(x.abs())).sum::<f64>()
            });
            let size: f64 = sizes.sum();
            let found = f64::from(y[v * rows + r]);
            let allowed = (additions + 1) as f64 * 2f64.powi(-24) * size;
            assert!((found - right).abs() <= allowed, "{what}, {r}, {v}: {found} for {right}, {allowed:e}");
        }
    }
}

#[test]
fn products_are_within_their_bound_for_every_format_and_instruction_set() {
    let mut random = Random(3);
    for info in &FORMATS {
        let format = info.format;
        for (rows, cols, vectors) in [(1, 256, 1), (19, 768, 3), (16, 512, 9), (9, 256, 131)] {
            let bytes = random.blocks(format, rows * cols);
            let mut weights = vec![0.0; rows * cols];
            dequantize(format, &bytes, &mut weights).unwrap();
            let mut x: Vec<f32> = (0..vectors * cols).map(|_| random.number()).collect();
            x[..32].fill(0.0);
            for level in Level::available() {
                let what = format!("{format}, {rows} x {cols}, {vectors}, {}", level.name());
                let mut y = vec![f32::NAN; vectors * rows];
                if format.is_float() {
                    matmul_f32_on(level, format, rows, cols, &bytes, &x, &mut y).unwrap();
                    check(&what, &weights, cols, &x, &y, cols / 8 + 4);
                } else {
                    let int8 = Int8Vectors::new(&x, cols).unwrap();
                    matmul_int8_on(level, format, rows, &bytes, &int8, &mut y).unwrap();
                    let mut rounded = x.clone();
                    round_activations(&mut rounded).unwrap();
                    check(&what, &weights, cols, &rounded, &y, 4 * cols / 16);
                }
            }
        }
    }
}

#[test]
fn columns_that_are_no_whole_vectors_are_multiplied_too() {
    let mut random = Random(5);
    for (format, cols) in [(Format::F16, 3), (Format::BF16, 13), (Format::F32, 8 * 17 + 7)] {
        let bytes = random.blocks(format, 11 * cols);
        let mut weights = vec![0.0; 11 * cols];
        dequantize(format, &bytes, &mut weights).unwrap();
        let x: Vec<f32> = (0..2 * cols).map(|_| random.number()).collect();
        for level in Level::available() {
            let mut y = vec![f32::NAN; 2 * 11];
            matmul_f32_on(level, format, 11, cols, &bytes, &x, &mut y).unwrap();
            check(level.name(), &weights, cols, &x, &y, cols / 8 + 11);
        }
    }
}

#[test]
fn extreme_codes_do_not_overflow() {
    // All codes the greatest and all activations ±127, in a block of each format.
    for info in FORMATS.iter().filter(|info| !info.format.is_float()) {
        let (format, cols) = (info.format, info.block_weights);
        for fill in [0x00, 0x55, 0x77, 0x80, 0xaa, 0xff] {
            let mut bytes = vec![fill; info.block_bytes];
            // A scale of 1 wherever a block may have an f16; mantissas are of no matter.
            for at in (0..info.block_bytes - 1).rev() {
                if format.first_invalid_block(&bytes).is_none() {
                    break;
                }
                bytes[at..at + 2].copy_from_slice(&0x3c00u16.to_le_bytes());
            }
            if format.first_invalid_block(&bytes).is_some() {
                continue;
            }
            let mut weights = vec![0.0; cols];
            dequantize(format, &bytes, &mut weights).unwrap();
            if weights.iter().all(|&w| w == 0.0) {
                continue;
            }
            for x in [vec![1.0; cols], vec![-1.0; cols], weights.iter().map(|w| w.signum()).collect()] {
                let int8 = Int8Vectors::new(&x, cols).unwrap();
                for level in Level::available() {
                    let mut y = [f32::NAN];
                    matmul_int8_on(level, format, 1, &bytes, &int8, &mut y).unwrap();
                    let what = format!("{format} of {fill:#x}, {}", level.name());
                    check(&what, &weights, cols, &x, &y, 4 * cols / 16);
                }
            }
        }
    }
}

#[test]
fn sums_do_not_depend_on_threads() {
    let mut random = Random(9);
    let (rows, cols) = (1030, 512);
    let bytes = random.blocks(Format::Q4_K, rows * cols);
    let x: Vec<f32> = (0..3 * cols).map(|_| random.number()).collect();
    let int8 = Int8Vectors::new(&x, cols).unwrap();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut y = vec![f32::NAN; 3 * rows];
        pool.install(|| matmul_int8(Format::Q4_K, rows, &bytes, &int8, &mut y)).unwrap();
        y
    };
    assert!(with(1).iter().zip(with(5)).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn a_number_that_is_not_finite_is_not_lost() {
    let bytes = Random(2).blocks(Format::Q8_0, 8 * 64);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = vec![1.0; 2 * 64];
        x[40] = bad;
        let mut y = vec![0.0; 16];
        let int8 = Int8Vectors::new(&x, 64).unwrap();
        matmul_int8(Format::Q8_0, 8, &bytes, &int8, &mut y).unwrap();
        assert!(y[..8].iter().all(|y| !y.is_finite()) && y[8..].iter().all(|y| y.is_finite()), "{y:?}");
    }
}

#[test]
fn wrong_formats_and_lengths_are_errors() {
    let x = Int8Vectors::new(&[0.0; 64], 64).unwrap();
    let mut y = [0.0; 2];
    assert!(matmul_int8(Format::F16, 2, &[0; 256], &x, &mut y).is_err());
    assert!(matmul_int8(Format::Q4_0, 2, &[0; 71], &x, &mut y).is_err());
    assert!(matmul_int8(Format::Q4_0, 2, &[0; 72], &x, &mut y[..1]).is_err());
    assert!(matmul_int8(Format::Q4_0, 2, &[0; 72], &x, &mut y).is_ok());
    assert!(matmul_f32(Format::Q4_0, 2, 64, &[0; 72], &[0.0; 64], &mut y).is_err());
    assert!(matmul_f32(Format::F16, 2, 64, &[0; 256], &[0.0; 63], &mut y).is_err());
}

#[test]
fn rows_of_a_cache_are_multiplied_and_combined() {
    let mut random = Random(11);
    for (format, rows, cols) in [(Format::F16, 21, 64), (Format::BF16, 8, 12), (Format::F32, 3, 9)] {
        let padding = 5 * format.bytes_for(1) as usize;
        let stride = format.bytes_for(cols as u64) as usize + padding;
        let bytes = random.blocks(format, rows * (cols + 5));
        let mut all = vec![0.0; rows * (cols + 5)];
        dequantize(format, &bytes, &mut all).unwrap();
        let weights: Vec<f32> = all.chunks(cols + 5).flat_map(|row| &row[..cols]).copied().collect();
        let transposed: Vec<f32> =
            (0..cols).flat_map(|c| weights.iter().skip(c).step_by(cols)).copied().collect();
        for vectors in [1, 4, 6] {
            let x: Vec<f32> = (0..vectors * cols).map(|_| random.number()).collect();
            let p: Vec<f32> = (0..vectors * rows).map(|_| random.number()).collect();
            let strided = StridedRows::new(format, &bytes, stride, rows, cols).unwrap();
            for level in Level::available() {
                let (mut y, mut z) = (vec![f32::NAN; vectors * rows], vec![f32::NAN; vectors * cols]);
                strided.multiply_on(level, &x, &mut y).unwrap();
                check(level.name(), &weights, cols, &x, &y, cols / 8 + 11);
                strided.combine_on(level, &p, &mut z).unwrap();
                check(level.name(), &transposed, rows, &p, &z, rows);
            }
        }
        let short = &bytes[..bytes.len() - padding - 1];
        assert!(StridedRows::new(format, short, stride, rows, cols).is_err());
    }
    assert!(StridedRows::new(Format::Q8_0, &[0; 34], 34, 1, 32).is_err());
}
