//! Generates weights and activations for measurements, always the same.

use crate::{Format, Result, cpu};

/// The distinct rows of a matrix; they repeat, because encoding more would take longer than the measurement.
/// A prime, so that a row read in place of another likely has other weights.
const ROWS: usize = 61;
/// The rows and vectors of a result that are compared with the reference.
pub(super) const CHECKED_ROWS: usize = 64;
pub(super) const CHECKED_VECTORS: usize = 16;

/// The blocks of a matrix, row by row, as in a file.
pub(super) struct Blocks {
    pub(super) format: Format,
    pub(super) cols: usize,
    /// The distinct rows.
    bytes: Vec<u8>,
}

impl Blocks {
    /// Gaussian weights in `format`. If it has no encoder, random blocks with weights of about that size.
    pub(super) fn new(format: Format, rows: usize, cols: usize) -> Result<Self> {
        let rows = rows.min(ROWS);
        let mut bytes = vec![0; format.bytes_for((rows * cols) as u64) as usize];
        if format.info().can_quantize() {
            cpu::quantize(format, &weights(rows, cols), &mut bytes)?;
        } else {
            fill_with_any(format, &mut bytes)?;
        }
        Ok(Self { format, cols, bytes })
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        self.format.bytes_for(self.cols as u64) as usize
    }

    /// The blocks of a row.
    pub(super) fn row(&self, row: usize) -> &[u8] {
        let at = row * self.row_bytes() % self.bytes.len();
        &self.bytes[at..at + self.row_bytes()]
    }

    /// The blocks of the first `rows` rows.
    pub(super) fn rows(&self, rows: usize) -> Vec<u8> {
        repeated(&self.bytes, rows * self.row_bytes())
    }
}

/// `what`, repeated up to this length.
pub(super) fn repeated<T: Copy>(what: &[T], length: usize) -> Vec<T> {
    what.iter().copied().cycle().take(length).collect()
}

/// Weights like those of a trained layer, for at most [`ROWS`] rows.
pub(super) fn weights(rows: usize, cols: usize) -> Vec<f32> {
    gaussian(1, rows.min(ROWS) * cols).map(|x| 0.02 * x).collect()
}

/// The vectors of a product.
pub(super) fn activations(batch: usize, cols: usize) -> Vec<f32> {
    gaussian(2, batch * cols).collect()
}

/// At most `most` indices below `count`, evenly spaced, with both ends.
pub(super) fn sample(count: usize, most: usize) -> impl Iterator<Item = usize> + Clone {
    let taken = count.min(most);
    (0..taken).map(move |i| if taken == 1 { 0 } else { i * (count - 1) / (taken - 1) })
}

/// Fills with random blocks whose largest weight is like that of a trained layer.
fn fill_with_any(format: Format, bytes: &mut [u8]) -> Result<()> {
    let mut random = Random(3);
    let mut weights = vec![0.0f32; format.info().block_weights];
    for block in bytes.chunks_mut(format.info().block_bytes) {
        loop {
            block.fill_with(|| random.next() as u8);
            cpu::dequantize(format, block, &mut weights)?;
            let largest = weights.iter().fold(0.0, |largest: f32, w| largest.max(w.abs()));
            if (0.02..0.08).contains(&largest) && weights.iter().all(|w| w.is_finite()) {
                break;
            }
        }
    }
    Ok(())
}

/// Steele, Lea and Flood's `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// Above 0, at most 1.
    fn uniform(&mut self) -> f32 {
        ((self.next() >> 40) + 1) as f32 / (1u32 << 24) as f32
    }
}

/// Standard normal numbers, by Box and Muller.
fn gaussian(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut random = Random(seed);
    (0..count).map(move |_| {
        let (length, angle) = (random.uniform(), random.uniform());
        (-2.0 * length.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_both_ends_and_no_duplicates() {
        let rows = |count, most| sample(count, most).collect::<Vec<_>>();
        assert_eq!(rows(1, 64), [0]);
        assert_eq!(rows(3, 64), [0, 1, 2]);
        assert_eq!(rows(100, 4), [0, 33, 66, 99]);
    }

    #[test]
    fn weights_are_of_the_same_size_with_and_without_an_encoder() {
        for format in [Format::F16, Format::Q4_K, Format::IQ1_M, Format::IQ2_XXS] {
            let blocks = Blocks::new(format, 100, 512).unwrap();
            assert_eq!(blocks.rows(100)[99 * blocks.row_bytes()..], *blocks.row(99));
            assert_ne!(blocks.row(99), blocks.row(98));
            let mut weights = vec![0.0; 512];
            cpu::dequantize(format, blocks.row(99), &mut weights).unwrap();
            let deviation = (weights.iter().map(|w| w * w).sum::<f32>() / 512.0).sqrt();
            assert!((0.005..0.08).contains(&deviation), "{format}: {deviation}");
        }
    }
}
