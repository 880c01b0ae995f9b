//! Measures products, and lists their kernels.

use super::case::Case;
use super::data::{self, CHECKED_ROWS, CHECKED_VECTORS};
use super::read::read;
use super::timing::{Accuracy, Settings, Timing, time_ops_in_turns};
use crate::gpu::{self, Activations, Matrix, Op, Precision};
use crate::{Device, Error, Gpu, Result, cpu};
use std::fmt;
use wgpu::BufferUsages;

/// A way to run an operation: the library's choice or a given kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant(Way);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// There is only one way.
    Only,
    /// The library's own choice.
    Auto(Precision),
    /// The fast product with float weights on the CPU.
    F32,
    Chosen(gpu::Variant),
}

impl Variant {
    /// Whether the library chooses the kernel.
    pub fn is_automatic(self) -> bool {
        !matches!(self.0, Way::Chosen(_))
    }

    /// The kernel for a case, as `int8.subgroup.rows4` on a GPU or `int8.avx2` on the CPU; `None` if there is
    /// only one way.
    pub fn kernel(self, case: &Case, device: &Device) -> Option<String> {
        let Case { format, rows, cols, batch, .. } = *case;
        match (self.0, device) {
            (Way::Chosen(variant), _) => Some(variant.to_string()),
            (Way::Auto(Precision::Exact), Device::Cpu) => Some("reference".to_owned()),
            (Way::Auto(Precision::Int8) | Way::F32, Device::Cpu) => {
                Some(format!("{self}.{}", cpu::instruction_set()))
            }
            (Way::Auto(precision), Device::Gpu(gpu)) => {
                Some(gpu::Variant::chosen(gpu, format, rows, cols, precision, batch).to_string())
            }
            _ => None,
        }
    }

    /// Whether this is not the reference, on the CPU.
    pub(super) fn is_fast_on_cpu(self) -> bool {
        matches!(self.0, Way::Auto(Precision::Int8) | Way::F32)
    }

    pub(super) fn of(variant: gpu::Variant) -> Self {
        Self(Way::Chosen(variant))
    }

    /// The precision of the vectors of a product, and with it the arithmetic: f32 or int8.
    pub fn precision(self) -> Precision {
        match self.0 {
            Way::Only | Way::F32 => Precision::Exact,
            Way::Auto(precision) => precision,
            Way::Chosen(variant) => variant.precision(),
        }
    }
}

impl fmt::Display for Variant {
    /// `auto` if there is only one way; `exact` or `int8` for the library's choice at that precision, where
    /// `exact` on the CPU is the reference; `f32` for the CPU's fast product with float weights; or a
    /// kernel's name, for example `int8.subgroup.rows4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Way::Only => f.pad("auto"),
            Way::Auto(Precision::Exact) => f.pad("exact"),
            Way::Auto(Precision::Int8) => f.pad("int8"),
            Way::F32 => f.pad("f32"),
            Way::Chosen(variant) => variant.fmt(f),
        }
    }
}

/// All kernels for a case at a precision, the library's own choice first.
pub(super) fn kernels(case: &Case, gpu: &Gpu, precision: Precision) -> Vec<gpu::Variant> {
    let Case { format, rows, cols, batch, .. } = *case;
    let chosen = gpu::Variant::chosen(gpu, format, rows, cols, precision, batch);
    let mut all = gpu::Variant::candidates(gpu, format, (rows, cols), precision, batch);
    all.retain(|variant| *variant != chosen);
    all.insert(0, chosen);
    all
}

pub(super) fn variants(case: &Case, device: &Device) -> Vec<Variant> {
    if !case.operation.is_product() {
        return vec![Variant(Way::Only)];
    }
    let Device::Gpu(gpu) = device else {
        let fast = if case.format.is_float() { Way::F32 } else { Way::Auto(Precision::Int8) };
        return vec![Variant(Way::Auto(Precision::Exact)), Variant(fast)];
    };
    let precisions: &[_] =
        if case.format.is_float() { &[Precision::Exact] } else { &[Precision::Exact, Precision::Int8] };
    let automatic = precisions.iter().map(|&precision| Variant(Way::Auto(precision)));
    let chosen = gpu::Variant::all(gpu, case.format, case.batch);
    automatic.chain(chosen.into_iter().map(|variant| Variant(Way::Chosen(variant)))).collect()
}

/// The operations of one product: quantizing the vectors, if they are int8, and the product.
fn prepare(
    gpu: &Gpu,
    variant: Variant,
    matrix: &Matrix,
    x: &Activations,
    y: &wgpu::Buffer,
) -> Result<Vec<Op>> {
    let y = y.as_entire_buffer_binding();
    let product = match variant.0 {
        Way::Chosen(variant) => gpu.prepare_matmul_as(variant, matrix, x, None, &y)?,
        Way::Only | Way::Auto(_) | Way::F32 => gpu.prepare_matmul(matrix, x, None, &y)?,
    };
    Ok(x.quantize().cloned().into_iter().chain([product]).collect())
}

/// The largest error of a product allowed on this data, as a fraction of Σ|wᵢxᵢ|.
///
/// In f32, sums in any order reach a few tenths of it. With int8, the errors of `cols` activations add up
/// like noise; 4096 or more columns reach half of it.
pub(super) fn bound(case: &Case, variant: Variant) -> f64 {
    match variant.precision() {
        Precision::Exact => 1e-6,
        Precision::Int8 => 1e-3 * (4096.0 / case.cols as f64).sqrt().max(1.0),
    }
}

/// The operands and results of a case's products, on a device.
pub(super) struct Data<'a> {
    case: &'a Case,
    gpu: &'a Gpu,
    blocks: data::Blocks,
    x: Vec<f32>,
    x_buffer: wgpu::Buffer,
    y_buffer: wgpu::Buffer,
    matrices: Vec<Matrix>,
}

impl<'a> Data<'a> {
    pub(super) fn new(case: &'a Case, gpu: &'a Gpu, settings: &Settings) -> Result<Self> {
        let Case { format, rows, cols, batch, .. } = *case;
        cpu::check_positive("the batch", batch)?;
        let blocks = data::Blocks::new(format, rows, cols)?;
        let x = data::activations(batch, cols);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let x_buffer = gpu.buffer_with(bytemuck::cast_slice(&x), usage)?;
        let y_buffer = gpu.buffer(4 * (batch * rows) as u64, usage)?;
        let bytes = blocks.rows(rows);
        let make = if settings.as_in_file && !format.is_float() { Matrix::as_in_file } else { Matrix::new };
        let matrices = (0..case.copies(settings)).map(|_| make(gpu, format, rows, cols, &bytes));
        let matrices = matrices.collect::<Result<_>>()?;
        Ok(Self { case, gpu, blocks, x, x_buffer, y_buffer, matrices })
    }

    /// Checks the result of each variant, and times them in turns.
    pub(super) fn measure(
        &self,
        variants: &[Variant],
        settings: &Settings,
    ) -> Result<Vec<(Timing, Accuracy)>> {
        let checked = variants.iter().map(|&variant| self.checked(variant)).collect::<Result<Vec<_>>>()?;
        let ops: Vec<_> = checked.iter().map(|(ops, _)| &ops[..]).collect();
        let timings = time_ops_in_turns(self.gpu, &ops, settings)?;
        Ok(timings.into_iter().zip(checked).map(|(timing, (_, accuracy))| (timing, accuracy)).collect())
    }

    /// The product with each copy of the matrix, after checking the result of the first.
    fn checked(&self, variant: Variant) -> Result<(Vec<Vec<Op>>, Accuracy)> {
        let (Case { cols, batch, .. }, gpu) = (*self.case, self.gpu);
        let y_bytes = self.y_buffer.size();
        // NaNs, so that a missing result is found.
        gpu.guarded(|| gpu.queue().write_buffer(&self.y_buffer, 0, &vec![0xff; y_bytes as usize]))?;
        let x = self.x_buffer.as_entire_buffer_binding();
        let vectors = match variant.precision() {
            Precision::Exact => Activations::exact(x, batch, cols),
            Precision::Int8 => Activations::int8(gpu, x, batch, cols)?.shared(),
        };
        let ops = self.matrices.iter().map(|matrix| prepare(gpu, variant, matrix, &vectors, &self.y_buffer));
        let ops = ops.collect::<Result<Vec<_>>>()?;
        gpu.clock()?.time(|pass| ops[0].iter().for_each(|op| op.record_in(pass)))?;
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(&read(gpu, &self.y_buffer, y_bytes)?);
        let accuracy = Accuracy { error: 0.0, bound: bound(self.case, variant) };
        let accuracy = check(self.case, &self.blocks, &self.x, &y, accuracy, gpu.name())?;
        Ok((ops, accuracy))
    }
}

/// Compares a sample of `y` with sums in f64.
pub(super) fn check(
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
