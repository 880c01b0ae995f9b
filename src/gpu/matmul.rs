//! Products of quantized weights and vectors, on the device.

use super::activations::Activations;
use super::matrix::{Bound, Matrix, Work};
use super::matvec::{self, COLUMNS, Lanes, Matvec};
use super::op::{Op, Range};
use super::pipeline::Arithmetic;
use super::tile::Tile;
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
pub enum Variant {
    #[doc(hidden)]
    Rows(RowsForm),
    #[doc(hidden)]
    Tile(TileForm),
}

/// Rows of the matrix times a few vectors.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowsForm(Matvec);

/// Tiles of the matrix times many vectors.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TileForm(Tile);

impl fmt::Display for Variant {
    /// As in `int8.subgroup.4x1` (rows and vectors at once) or `exact.tile`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = if self.precision() == Precision::Int8 { "int8" } else { "exact" };
        f.pad(&match self {
            Self::Tile(_) => format!("{precision}.tile"),
            Self::Rows(RowsForm(Matvec { lanes, rows, columns, .. })) => match lanes {
                Lanes::Alone => format!("{precision}.alone.{rows}x{columns}"),
                Lanes::Shared(lanes) => format!("{precision}.shared{lanes}.{rows}x{columns}"),
                Lanes::Subgroup => format!("{precision}.subgroup.{rows}x{columns}"),
            },
        })
    }
}

impl Variant {
    /// What `gpu` can run for weights of `format` in rows of `cols` and `batch` vectors.
    pub fn all(gpu: &Gpu, format: Format, cols: usize, batch: usize) -> Vec<Self> {
        let has_subgroups = gpu.device().features().contains(Features::SUBGROUP);
        let columns = columns_for(batch);
        let mut forms =
            vec![(Lanes::Alone, 4), (Lanes::Alone, 8), (Lanes::Shared(lanes_for(format, cols)), 4)];
        if has_subgroups {
            forms.extend([(Lanes::Subgroup, 2), (Lanes::Subgroup, 4), (Lanes::Subgroup, 8)]);
        }
        let precisions: &[bool] = if format.is_float() { &[false] } else { &[false, true] };
        let of = |&int8: &bool| {
            let rows = forms
                .iter()
                .map(move |&(lanes, rows)| Self::Rows(RowsForm(Matvec { int8, lanes, rows, columns })));
            let tile = (batch > COLUMNS[0]).then_some(Self::Tile(TileForm(Tile { int8 })));
            rows.chain(tile).collect::<Vec<_>>()
        };
        precisions.iter().flat_map(of).collect()
    }

    /// Whether it takes vectors in eight bits.
    pub fn precision(self) -> Precision {
        let (Self::Rows(RowsForm(Matvec { int8, .. })) | Self::Tile(TileForm(Tile { int8 }))) = self;
        if int8 { Precision::Int8 } else { Precision::Exact }
    }

    /// Most additions that one weight's product goes through on its way into the sum, for rows of `cols` weights.
    pub fn longest_path(self, gpu: &Gpu, format: Format, cols: usize) -> usize {
        match self {
            Self::Rows(RowsForm(form)) => {
                let info = gpu.device().adapter_info();
                let sizes = [info.subgroup_min_size, info.subgroup_max_size].map(|size| size.max(1) as usize);
                form.longest_path(format, cols, sizes)
            }
            Self::Tile(_) => Tile::longest_path(cols),
        }
    }
}

/// For how many vectors at once there is a kernel that does `batch`, several times over where they are many.
fn columns_for(batch: usize) -> usize {
    COLUMNS.into_iter().find(|&columns| columns >= batch).unwrap_or(COLUMNS[COLUMNS.len() - 1])
}

/// Rows that leave a GPU's lane enough registers: long blocks are fetched in larger units, and several vectors have sums of their own.
fn rows_for(format: Format, columns: usize) -> usize {
    if columns == 1 && format.info().block_weights <= 32 { 4 } else { 2 }
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
        let columns = columns_for(batch);
        let is_software = self.device().adapter_info().device_type == DeviceType::Cpu;
        let has_subgroups = self.device().features().contains(Features::SUBGROUP);
        // A CPU is in no hurry to share: wide vectors read rows that one owns as well, or better where a subgroup reads them side by side.
        let (lanes, rows) = match (is_software, has_subgroups, columns) {
            (true, true, 1) => (Lanes::Subgroup, 8),
            (true, ..) => (Lanes::Alone, 8),
            _ if batch > COLUMNS[COLUMNS.len() - 1] => return Variant::Tile(TileForm(Tile { int8 })),
            (false, true, _) => (Lanes::Subgroup, rows_for(matrix.format(), columns)),
            (false, false, _) => {
                (Lanes::Shared(lanes_for(matrix.format(), matrix.cols())), rows_for(matrix.format(), columns))
            }
        };
        Variant::Rows(RowsForm(Matvec { int8, lanes, rows, columns }))
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
        let floats = |name, binding, count: usize| Range::new(name, binding, 4 * count as u64);
        let bound = Bound {
            input: x.range(variant.precision() == Precision::Int8),
            output: floats("y", y, x.batch() * matrix.rows()),
            bias: bias.map(|bias| floats("the bias", bias, matrix.rows())),
            numbers: None,
        };
        let (format, ragged, has_bias) = (matrix.format(), matrix.is_ragged(), bias.is_some());
        let mut program = match variant {
            Variant::Rows(RowsForm(form)) => form.program(format, ragged, has_bias, false),
            Variant::Tile(TileForm(form)) => form.program(format, ragged, has_bias),
        };
        program.native_half = self.keeps_halves()?;
        let least_subgroup = self.least_subgroup();
        self.prepare_with_matrix(&program, matrix, &bound, Arithmetic::Loose, |shard| match variant {
            Variant::Rows(RowsForm(form)) => {
                matvec::work(form, shard, x.batch(), matrix.rows(), least_subgroup)
            }
            Variant::Tile(_) => Tile::work(shard, x.batch(), matrix.rows()),
        })
    }

    /// Prepares the product of each vector of `x` with the matrices of the experts that it goes to, as a mixture of experts needs them.
    ///
    /// `experts` has the experts' matrices of `expert_rows` rows each, one below the other. `numbers` has `picks` u32 for each vector, the experts counted from 0,
    /// and `y` receives a row of `expert_rows` f32 for each of them; where a number is that of no expert, its row stays what it was. Ranges and errors are
    /// those of [`Gpu::prepare_matmul`]. Each expert's weights are read as often as it is picked: for few vectors.
    pub fn prepare_matmul_indexed(
        &self,
        experts: &Matrix,
        expert_rows: usize,
        x: &Activations,
        numbers: &BufferBinding,
        picks: usize,
        y: &BufferBinding,
    ) -> Result<Op> {
        check_input(experts, x)?;
        cpu::check_experts(experts.rows(), expert_rows, picks)?;
        let precision = if x.has_int8() { Precision::Int8 } else { Precision::Exact };
        let Variant::Rows(RowsForm(form)) = self.variant(experts, precision, 1) else {
            unreachable!("one vector takes rows");
        };
        let count = x.batch() * picks;
        let bound = Bound {
            input: x.range(form.int8),
            output: Range::new("y", y, 4 * (count * expert_rows) as u64),
            bias: None,
            numbers: Some(Range::new("the experts", numbers, 4 * count as u64)),
        };
        let mut program = form.program(experts.format(), experts.is_ragged(), false, true);
        program.native_half = self.keeps_halves()?;
        let least_subgroup = self.least_subgroup();
        self.prepare_with_matrix(&program, experts, &bound, Arithmetic::Loose, |_| Work {
            dispatch: form.work(expert_rows, count, least_subgroup),
            batch: count,
            all_rows: expert_rows as u32,
            picks,
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
        self.run_once(x, y, |x, y| self.prepare_whole(matrix, precision, batch, x, y))
    }

    /// [`Gpu::matmul`], to be awaited: the app polls the device meanwhile.
    pub async fn matmul_async(
        &self,
        matrix: &Matrix,
        precision: Precision,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<()> {
        let batch = cpu::check_product(matrix.rows(), matrix.cols(), x, y)?;
        self.run_once_async(x, y, |x, y| self.prepare_whole(matrix, precision, batch, x, y)).await
    }

    /// The product, and before it what makes eight bits of the vectors.
    fn prepare_whole(
        &self,
        matrix: &Matrix,
        precision: Precision,
        batch: usize,
        x: &BufferBinding,
        y: &BufferBinding,
    ) -> Result<Op> {
        if precision == Precision::Exact || matrix.format().is_float() {
            return self.prepare_matmul(
                matrix,
                &Activations::exact(x.clone(), batch, matrix.cols()),
                None,
                y,
            );
        }
        let x = Activations::int8(self, x.clone(), batch, matrix.cols())?;
        let product = self.prepare_matmul(matrix, &x, None, y)?;
        Ok(x.quantize().cloned().map_or(product.clone(), |quantize| quantize.then(product)))
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
