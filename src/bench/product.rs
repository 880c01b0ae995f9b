//! Products of a matrix and vectors: the one place that knows which kernels there are for them.

use super::timing::{Settings, Timing, time_ops};
use super::{Accuracy, CHECKED_ROWS, CHECKED_VECTORS, Case, data, read};
use crate::gpu::{Matrix, MatvecForm, Op};
use crate::{Device, Error, Gpu, Result, cpu};
use std::fmt;
use wgpu::{BufferBinding, BufferUsages};

/// A way to do an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant(Option<MatvecForm>);

impl Variant {
    /// What the library takes by itself.
    pub const AUTO: Self = Self(None);

    /// Its name, as in `auto`.
    pub fn name(self) -> &'static str {
        match self.0 {
            None => "auto",
            Some(MatvecForm::Shared) => "shared",
            Some(MatvecForm::Alone) => "alone",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub(super) fn variants(case: &Case, device: &Device) -> Vec<Variant> {
    let mut all = vec![Variant::AUTO];
    if case.operation.is_product() && matches!(device, Device::Gpu(_)) {
        all.extend(MatvecForm::ALL.map(|form| Variant(Some(form))));
    }
    all
}

/// The operations of one product.
fn prepare(
    gpu: &Gpu,
    variant: Variant,
    matrix: &Matrix,
    x: &wgpu::Buffer,
    y: &wgpu::Buffer,
    batch: usize,
) -> Result<Vec<Op>> {
    const MOST: usize = super::Operation::MAX_VECTORS;
    let ops = (0..batch).step_by(MOST).map(|first| {
        let range =
            |buffer, width: usize| BufferBinding { buffer, offset: 4 * (first * width) as u64, size: None };
        let (x, y, batch) = (range(x, matrix.cols()), range(y, matrix.rows()), MOST.min(batch - first));
        match variant.0 {
            None => gpu.prepare_matvec(matrix, &x, &y, batch),
            Some(form) => gpu.prepare_matvec_as(form, matrix, &x, &y, batch),
        }
    });
    ops.collect()
}

/// Largest error of a sum as a share of Σ|wᵢxᵢ|, on data like ours: f32 sums in any order have a tenth of it.
fn bound(_case: &Case, _variant: Variant) -> f64 {
    1e-6
}

pub(super) fn measure(
    case: &Case,
    gpu: &Gpu,
    variant: Variant,
    settings: &Settings,
) -> Result<(Timing, Option<Accuracy>)> {
    let Case { format, rows, cols, batch, .. } = *case;
    cpu::check_positive("the batch", batch)?;
    let blocks = data::Blocks::new(format, rows, cols)?;
    let x = data::activations(batch, cols);
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let x_buffer = gpu.buffer(4 * x.len() as u64, usage)?;
    let y_bytes = 4 * (batch * rows) as u64;
    let y_buffer = gpu.buffer(y_bytes, usage)?;
    gpu.guarded(|| {
        gpu.queue().write_buffer(&x_buffer, 0, bytemuck::cast_slice(&x));
        // What is not written must not pass for an answer.
        gpu.queue().write_buffer(&y_buffer, 0, &vec![0xff; y_bytes as usize]);
    })?;
    let bytes = blocks.rows(rows);
    let copies = (0..case.copies(settings)).map(|_| {
        let matrix = Matrix::new(gpu, format, rows, cols, &bytes)?;
        prepare(gpu, variant, &matrix, &x_buffer, &y_buffer, batch)
    });
    let copies = copies.collect::<Result<Vec<_>>>()?;

    gpu.clock()?.time(|pass| copies[0].iter().for_each(|op| op.record_in(pass)))?;
    let y: Vec<f32> = bytemuck::pod_collect_to_vec(&read(gpu, &y_buffer, y_bytes)?);
    let accuracy = Accuracy { error: 0.0, bound: bound(case, variant) };
    let accuracy = check(case, &blocks, &x, &y, accuracy, gpu.name())?;
    Ok((time_ops(gpu, &copies, settings)?, Some(accuracy)))
}

/// Holds a sample of `y` against f64 sums.
fn check(
    case: &Case,
    blocks: &data::Blocks,
    x: &[f32],
    y: &[f32],
    mut accuracy: Accuracy,
    device: &str,
) -> Result<Accuracy> {
    let mut weights = vec![0.0; case.cols];
    for row in data::sample(case.rows, CHECKED_ROWS) {
        cpu::dequantize(case.format, blocks.row(row), &mut weights)?;
        for vector in data::sample(case.batch, CHECKED_VECTORS) {
            let x = &x[vector * case.cols..][..case.cols];
            let products = weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let (expected, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            let found = f64::from(y[vector * case.rows + row]);
            let allowed = accuracy.bound * size;
            let error = (found - expected).abs();
            if error.is_nan() || error > allowed {
                return Err(Error::Inaccurate {
                    device: device.to_owned(),
                    what: format!("{} {} {row} of vector {vector}", case.format, case.operation),
                    found,
                    expected,
                    allowed,
                });
            }
            if size > 0.0 {
                accuracy.error = accuracy.error.max(error / size);
            }
        }
    }
    Ok(accuracy)
}
