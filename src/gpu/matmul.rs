//! Products of quantized weights and vectors, on the device.

use super::activations::Activations;
use super::matrix::{Bound, Matrix};
use super::matvec::{self, COLUMNS, Lanes, Matvec};
use super::op::{Op, Range};
use super::pipeline::Arithmetic;
use super::{Gpu, split};
use crate::{Error, Format, Result, cpu};
use std::fmt;
use wgpu::{BufferBinding, DeviceType, Features};

/// How exactly vectors enter a product.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Precision {
    /// As they are.
    #[default]
    Exact,
    /// In blocks of 32 numbers of eight bits under a scale, as llama.cpp has them on the CPU; with weights in F32, F16 or BF16 as they are.
    Int8,
}

/// A kernel that multiplies, and its parameters: what [`Gpu::prepare_matmul`] chooses from.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant(Matvec);

impl fmt::Display for Variant {
    /// As in `int8.subgroup.4x1`: rows and vectors at once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = if self.0.int8 { "int8" } else { "exact" };
        let lanes = match self.0.lanes {
            Lanes::Alone => "alone".to_owned(),
            Lanes::Shared(lanes) => format!("shared{lanes}"),
            Lanes::Subgroup => "subgroup".to_owned(),
        };
        f.pad(&format!("{precision}.{lanes}.{}x{}", self.0.rows, self.0.columns))
    }
}

impl Variant {
    /// What `gpu` can run for weights of `format` in rows of `cols` and `batch` vectors.
    pub fn all(gpu: &Gpu, format: Format, cols: usize, batch: usize) -> Vec<Self> {
        let precisions = [Precision::Exact, Precision::Int8].into_iter();
        let precisions = precisions.filter(|precision| *precision == Precision::Exact || !format.is_float());
        let has_subgroups = gpu.device().features().contains(Features::SUBGROUP);
        let columns = COLUMNS.into_iter().find(|&columns| columns >= batch).unwrap_or(COLUMNS[COLUMNS.len() - 1]);
        let most_lanes = lanes_for(format, cols);
        precisions
            .flat_map(|precision| {
                let int8 = precision == Precision::Int8;
                let mut forms = vec![(Lanes::Alone, 4), (Lanes::Alone, 8), (Lanes::Shared(most_lanes), 4)];
                forms.extend(has_subgroups.then_some((Lanes::Subgroup, 4)));
                forms.into_iter().map(move |(lanes, rows)| Self(Matvec { int8, lanes, rows, columns }))
            })
            .collect()
    }

    /// Whether it takes vectors in eight bits.
    pub fn precision(self) -> Precision {
        if self.0.int8 { Precision::Int8 } else { Precision::Exact }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub fn longest_path(self, gpu: &Gpu, format: Format, cols: usize) -> usize {
        self.0.longest_path(format, cols, gpu.device().adapter_info().subgroup_max_size.max(1) as usize)
    }
}

/// Lanes that a row keeps busy: a power of two, at most a workgroup.
fn lanes_for(format: Format, cols: usize) -> usize {
    let unit = if format.is_float() { split::CHUNK_BYTES / format.info().block_bytes } else { 32 };
    cols.div_ceil(unit).next_power_of_two().clamp(8, 64)
}

impl Gpu {
    /// The kernel for a product.
    fn variant(&self, matrix: &Matrix, precision: Precision, batch: usize) -> Variant {
        let int8 = precision == Precision::Int8 && !matrix.format().is_float();
        let columns = COLUMNS.into_iter().find(|&columns| columns >= batch).unwrap_or(COLUMNS[COLUMNS.len() - 1]);
        let is_software = self.device().adapter_info().device_type == DeviceType::Cpu;
        let (lanes, rows) = if is_software {
            (Lanes::Alone, if columns == 1 { 8 } else { 4 })
        } else if self.device().features().contains(Features::SUBGROUP) {
            (Lanes::Subgroup, 4)
        } else {
            (Lanes::Shared(lanes_for(matrix.format(), matrix.cols())), 4)
        };
        Variant(Matvec { int8, lanes, rows, columns })
    }

    /// Prepares y = x·Wᵀ, the products of all rows of `matrix` with each vector of `x`.
    ///
    /// `y` receives a row of [`Matrix::rows`] f32 for each vector, with `bias` added, as many f32, if there is one. All are ranges of buffers with usage `STORAGE`;
    /// `y` must not overlap the others. Weights are read once for up to 8 vectors, and one dispatch does each buffer of the matrix. Sums are f32: with exact
    /// vectors a result is off by at most Σ|wᵢxᵢ| times 2⁻²⁴ times the additions that a product goes through, which on a GPU are a fraction of the
    /// columns. With vectors in eight bits it is off by at most a 253rd of Σ|wᵢ| times the largest |x|, over each 32 columns. Weights and `x` are finite; magnitudes
    /// below 2⁻¹²⁶ may count as 0.
    ///
    /// Compiles what was not needed before. Fails with [`Error::Number`] where the vectors are none or of another length than the rows, with
    /// [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for a range that does not do, and with what the device reports.
    pub fn prepare_matmul(
        &self,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&BufferBinding>,
        y: &BufferBinding,
    ) -> Result<Op> {
        let precision = if x.has_int8() { Precision::Int8 } else { Precision::Exact };
        self.prepare_matmul_as(self.variant(matrix, precision, x.batch()), matrix, x, bias, y)
    }

    /// [`Gpu::prepare_matmul`] in a form that the caller chooses.
    #[doc(hidden)]
    pub fn prepare_matmul_as(
        &self,
        variant: Variant,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&BufferBinding>,
        y: &BufferBinding,
    ) -> Result<Op> {
        check_input(matrix, x)?;
        let form = variant.0;
        let floats = |name, binding, count: usize| Range::new(name, binding, 4 * count as u64);
        let bound = Bound {
            input: x.range(form.int8),
            output: floats("y", y, x.batch() * matrix.rows()),
            bias: bias.map(|bias| floats("the bias", bias, matrix.rows())),
            numbers: None,
        };
        let program = form.program(matrix.format(), matrix.is_ragged(), bias.is_some(), false);
        let least_subgroup = self.least_subgroup();
        self.prepare_with_matrix(&program, matrix, &bound, Arithmetic::Loose, |shard| {
            matvec::work(form, shard, x.batch(), matrix.rows(), least_subgroup)
        })
    }

    fn least_subgroup(&self) -> usize {
        self.device().adapter_info().subgroup_min_size.max(1) as usize
    }

    /// y = x·Wᵀ on slices, in buffers of its own; waits for the result.
    ///
    /// `x` has any number of rows of [`Matrix::cols`] numbers, `y` as many of [`Matrix::rows`]. As exact as
    /// [`Gpu::prepare_matmul`], which costs less where it is done again. Fails with [`Error::Number`] where the
    /// lengths do not fit, and with what the device reports.
    pub fn matmul(&self, matrix: &Matrix, precision: Precision, x: &[f32], y: &mut [f32]) -> Result<()> {
        let batch = cpu::check_product(matrix.rows(), matrix.cols(), x, y)?;
        self.run_once(x, y, |x, y| {
            let exact = Activations::exact(x.clone(), batch, matrix.cols());
            if precision == Precision::Exact || matrix.format().is_float() {
                return self.prepare_matmul(matrix, &exact, None, y);
            }
            let int8 = Activations::int8(self, x.clone(), batch, matrix.cols())?;
            let product = self.prepare_matmul(matrix, &int8, None, y)?;
            Ok(int8.quantize().cloned().map_or(product.clone(), |quantize| quantize.then(product)))
        })
    }
}

fn check_input(matrix: &Matrix, x: &Activations) -> Result<()> {
    cpu::check_positive("the number of vectors", x.batch())?;
    if x.cols() != matrix.cols() {
        let needed = matrix.cols().to_string();
        return Err(Error::Number { what: "the length of a vector", needed, found: x.cols() as u64 });
    }
    Ok(())
}
