//! Products and their error bounds.
//!
//! An f32 product is rounded once and passes through at most as many additions as `Variant::longest_path`
//! counts, each of which rounds once. With n one more than the path and γ = n·u / (1 - n·u), u = 2⁻²⁴, the
//! error of a sum is at most γ·Σ|wᵢxᵢ|.
//!
//! Int8 activations are off by at most 1/253 of the largest magnitude of their 32 numbers; a sum by at most
//! Σ|wᵢ| times that. The rounded products are scale·code and min, each times x. Both are at most four times
//! the largest weight of the block, if its codes reach both ends, as in random and gaussian blocks. The scale
//! of x and the product with it add at most eight roundings. Numbers that int8 represents exactly, integers
//! times a power of two with a 127 among each 32, have only these rounding errors.
//!
//! Matrix units first round both factors to f16: by at most `Variant::rounding`, relative, or by 2⁻²⁸ of the
//! largest magnitude of their row or vector.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::weights::{encoded, random_blocks};
use crate::support::gaussian;
use qmill::gpu::{Activations, Matrix, Precision, Variant};
use qmill::wgpu::BufferUsages;
use qmill::{Format, Gpu, cpu};
use std::ops::Range;

/// A matrix and its decoded weights.
pub(crate) struct Case {
    pub(crate) format: Format,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) weights: Vec<f32>,
}

/// The vectors of a product.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum X {
    /// Gaussian, with this spread.
    Gaussian(f32),
    /// Numbers that int8 represents exactly.
    Held,
    /// The largest such numbers: all positive in one vector, all negative in the next, then alternating.
    Ends,
}

impl X {
    fn vectors(self, batch: usize, cols: usize) -> Vec<f32> {
        let numbers = gaussian(7, batch * cols);
        match self {
            Self::Gaussian(spread) => numbers.iter().map(|x| 50.0 * spread * x).collect(),
            Self::Held => {
                let held = |(i, x): (usize, &f32)| {
                    let code = if i % 32 == 5 { 127.0 } else { (1500.0 * x).round().clamp(-127.0, 127.0) };
                    code * f32::powi(2.0, -6 - (i / 32 % 3) as i32)
                };
                numbers.iter().enumerate().map(held).collect()
            }
            Self::Ends => {
                let is_positive = |i: usize| match i / cols % 3 {
                    0 => true,
                    1 => false,
                    _ => i.is_multiple_of(2),
                };
                (0..batch * cols).map(|i| if is_positive(i) { 127.0 } else { -127.0 }).collect()
            }
        }
    }
}

/// Errors of products against f64 sums.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Errors {
    /// The largest, as a fraction of its bound.
    pub(crate) of_bound: f64,
    /// The largest, as a fraction of Σ|wᵢxᵢ|.
    pub(crate) of_sizes: f64,
    /// The sum of squared errors over the sum of squared results.
    pub(crate) nmse: f64,
}

impl Case {
    pub(crate) fn of(format: Format, rows: usize, cols: usize, bytes: Vec<u8>) -> Self {
        let mut weights = vec![0.0; rows * cols];
        cpu::dequantize(format, &bytes, &mut weights).unwrap();
        Self { format, rows, cols, bytes, weights }
    }

    /// Random blocks whose weights are 0 or of a magnitude that no sum of products loses.
    pub(crate) fn random(format: Format, rows: usize, cols: usize) -> Self {
        Self::random_within(format, rows, cols, 1e-30..1e15)
    }

    /// Random blocks whose largest weight is in this range.
    fn random_within(format: Format, rows: usize, cols: usize, largest: Range<f32>) -> Self {
        let info = format.info();
        let (count, mut bytes) = (rows * cols / info.block_weights, Vec::new());
        let mut weights = vec![0.0; info.block_weights];
        // The seed of random blocks is their number.
        for more in 1.. {
            let blocks = random_blocks(format, (2 * count + more) * info.block_weights);
            for block in blocks.chunks(info.block_bytes) {
                cpu::dequantize(format, block, &mut weights).unwrap();
                let is_good = weights.iter().all(|w| *w == 0.0 || (1e-30..1e15).contains(&w.abs()))
                    && largest.contains(&weights.iter().fold(0.0, |largest: f32, w| largest.max(w.abs())));
                if bytes.len() < count * info.block_bytes && is_good {
                    bytes.extend(block);
                }
            }
            if bytes.len() == count * info.block_bytes {
                break;
            }
        }
        Self::of(format, rows, cols, bytes)
    }

    /// Gaussian weights; for formats without an encoder, random blocks of about one magnitude.
    pub(crate) fn gaussian(format: Format, rows: usize, cols: usize) -> Self {
        if format.info().can_quantize() {
            Self::of(format, rows, cols, encoded(format, &gaussian(3, rows * cols)))
        } else {
            Self::random_within(format, rows, cols, 0.25..2.0)
        }
    }

    /// Blocks with mostly the largest codes, of a format that can be quantized.
    pub(crate) fn of_largest_codes(format: Format, rows: usize, cols: usize) -> Self {
        let weights: Vec<f32> = (0..rows * cols).map(|i| if i % 16 == 3 { -1.0 } else { 0.97 }).collect();
        Self::of(format, rows, cols, encoded(format, &weights))
    }

    /// Random for even `turn`, gaussian for odd.
    pub(crate) fn in_turn(turn: usize, format: Format, rows: usize, cols: usize) -> Self {
        let make = if turn.is_multiple_of(2) { Self::random } else { Self::gaussian };
        make(format, rows, cols)
    }

    pub(crate) fn matrix(&self, gpu: &Gpu) -> Matrix {
        Matrix::new(gpu, self.format, self.rows, self.cols, &self.bytes).unwrap()
    }

    /// The bound of the rounding error of each weight's products, over γ and |x|; with int8, by block.
    fn sizes(&self, precision: Precision) -> Vec<f32> {
        match precision {
            Precision::Int8 => {
                let largest = |block: &[f32]| block.iter().fold(0.0, |largest: f32, w| largest.max(w.abs()));
                let blocks = self.weights.chunks(self.format.info().block_weights);
                blocks.flat_map(|block| vec![4.0 * largest(block); block.len()]).collect()
            }
            _ => self.weights.iter().map(|w| w.abs()).collect(),
        }
    }

    /// Compares `y` with f64 sums of the reference's weights. The longest path has `path` additions, and
    /// factors have a relative error of `rounding`.
    pub(crate) fn judge(
        &self,
        (precision, path, rounding): (Precision, usize, f64),
        (kind, x): (X, &[f32]),
        bias: Option<&[f32]>,
        y: &[f32],
    ) -> Result<Errors, String> {
        let is_int8 = precision == Precision::Int8;
        let n =
            (path + 1 + usize::from(bias.is_some()) + if is_int8 { 8 } else { 0 }) as f64 * 2f64.powi(-24);
        let gamma = n / (1.0 - n);
        let sizes = self.sizes(precision);
        let (mut errors, mut squares, mut sum_squares) = (Errors::default(), 0.0, 0.0);
        for (v, (x, y)) in x.chunks(self.cols).zip(y.chunks(self.rows)).enumerate() {
            // The error of int8 in each 32 numbers.
            let lost = |x: &[f32]| match (precision, kind) {
                (Precision::Int8, X::Gaussian(_)) => {
                    x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 253.0
                }
                _ => 0.0,
            };
            let lost: Vec<f64> = x.chunks(32).map(|x| f64::from(lost(x))).collect();
            let largest = |numbers: &[f32]| {
                f64::from(numbers.iter().fold(0.0, |largest: f32, number| largest.max(number.abs())))
            };
            let rows = self.weights.chunks(self.cols).zip(sizes.chunks(self.cols));
            for (r, ((w, sizes), &y)) in rows.zip(y).enumerate() {
                let bias = bias.map_or(0.0, |bias| f64::from(bias[r]));
                let (mut sum, mut size, mut rounded, mut in_eight) = (bias, bias.abs(), bias.abs(), 0.0);
                for (i, ((&w, &x), &s)) in w.iter().zip(x).zip(sizes).enumerate() {
                    let (w, x) = (f64::from(w), f64::from(x));
                    sum += w * x;
                    size += (w * x).abs();
                    rounded += f64::from(s) * x.abs();
                    in_eight += w.abs() * lost[i / 32];
                }
                let mut allowed = gamma * rounded + in_eight;
                if rounding > 0.0 {
                    let total = |numbers: &[f32]| numbers.iter().map(|n| f64::from(n.abs())).sum::<f64>();
                    let flushed = largest(w) * total(x) + largest(x) * total(w);
                    allowed +=
                        ((1.0 + rounding).powi(2) - 1.0) * (size + in_eight) + 2f64.powi(-28) * flushed;
                }
                let error = (f64::from(y) - sum).abs();
                if error.is_nan() || error > allowed {
                    return Err(format!("vector {v}, row {r}: {y:e}, not {sum:e} ± {allowed:e}"));
                }
                let share = |of: f64| if of > 0.0 { error / of } else { 0.0 };
                errors.of_bound = errors.of_bound.max(share(allowed));
                errors.of_sizes = errors.of_sizes.max(share(size));
                squares += error * error;
                sum_squares += sum * sum;
            }
        }
        errors.nmse = squares / sum_squares;
        Ok(errors)
    }

    /// Multiplies in ranges of poisoned buffers. Without a variant, the library chooses.
    pub(crate) fn check(&self, gpu: &Gpu, how: How, batch: usize) -> Result<Errors, String> {
        let x = how.x.vectors(batch, self.cols);
        // Numbers around x must not be multiplied, not even by 0.
        let around = [f32::NAN.to_le_bytes(); 64].concat();
        let surrounded = |numbers: &[f32]| {
            let bytes = [&around[..], bytemuck::cast_slice(numbers), &around[..]].concat();
            buffer(gpu, &bytes, BufferUsages::STORAGE)
        };
        // f16 padding is NaN too.
        let x_buffer = if how.in_f16 {
            let padding = vec![0xff; (2 * x.len()).next_multiple_of(4) - 2 * x.len()];
            let f16s = encoded(Format::F16, &x);
            buffer(gpu, &[&around[..], &f16s, &padding, &around].concat(), BufferUsages::STORAGE)
        } else {
            surrounded(&x)
        };
        let bias = how.has_bias.then(|| gaussian(5, self.rows));
        let bias_buffer = bias.as_ref().map(|bias| surrounded(bias));
        let y_bytes = 4 * (batch * self.rows) as u64;
        let y_buffer = poisoned(gpu, y_bytes);
        let is_int8 = how.precision() == Precision::Int8;
        let of = if how.in_f16 { Activations::f16 } else { Activations::exact };
        let mut activations = of(binding(&x_buffer), batch, self.cols);
        if is_int8 {
            activations = activations.quantized(gpu).map_err(|error| error.to_string())?;
        }
        let matrix = if how.as_in_file {
            Matrix::as_in_file(gpu, self.format, self.rows, self.cols, &self.bytes).unwrap()
        } else {
            self.matrix(gpu)
        };
        let y = binding(&y_buffer);
        let bias_binding = bias_buffer.as_ref().map(binding);
        let op = match how.variant {
            Ok(variant) => gpu.prepare_matmul_as(variant, &matrix, &activations, bias_binding.as_ref(), &y),
            Err(_) => gpu.prepare_matmul(&matrix, &activations, bias_binding.as_ref(), &y),
        };
        let op = op.map_err(|error| error.to_string())?;
        submit(gpu, |encoder| {
            activations.quantize().iter().for_each(|quantize| quantize.record(encoder));
            op.record(encoder);
        });
        let found = read(gpu, &y_buffer);
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(within(&found, y_bytes)?);
        // The library's choice has at most the path of a lane that adds everything.
        let path =
            how.variant.map_or(self.cols + 32, |variant| variant.longest_path(gpu, self.format, self.cols));
        let rounding = how.variant.map_or(0.0, Variant::rounding);
        self.judge((how.precision(), path, rounding), (how.x, &x), bias.as_deref(), &y)
    }
}

/// How a product is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// A variant, or the precision for the library's choice.
    pub(crate) variant: Result<Variant, Precision>,
    pub(crate) x: X,
    pub(crate) has_bias: bool,
    /// Whether vectors are f16; they must be representable.
    pub(crate) in_f16: bool,
    /// Whether blocks are in the file's layout.
    pub(crate) as_in_file: bool,
}

impl How {
    pub(crate) fn of(variant: Variant) -> Self {
        Self { variant: Ok(variant), x: X::Held, has_bias: false, in_f16: false, as_in_file: false }
    }

    pub(crate) fn chosen(precision: Precision, x: X) -> Self {
        Self { variant: Err(precision), x, has_bias: false, in_f16: false, as_in_file: false }
    }

    fn precision(self) -> Precision {
        self.variant.map_or_else(|precision| precision, Variant::precision)
    }
}

/// The precisions of products with a format.
pub(crate) fn precisions(format: Format) -> &'static [Precision] {
    if format.is_float() { &[Precision::Exact] } else { &[Precision::Exact, Precision::Int8] }
}

/// Columns of this many blocks; for float formats, about 32 times as many, not always whole vec4s.
pub(crate) fn cols(format: Format, blocks: usize) -> usize {
    if format.is_float() { 32 * blocks - blocks % 3 } else { format.info().block_weights * blocks }
}
