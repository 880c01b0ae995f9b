//! Products of quantized weights and vectors, on the device.
use super::Gpu;
use super::activations::Activations;
use super::bundles::Bundles;
use super::halves;
use super::matrix::{Bound, Matrix, Program, Work, whole};
use super::matvec::{MOST_COLUMNS, Picks};
use super::op::{Op, Range};
use super::pipeline::Arithmetic;
use super::spans::Scratch;
use super::variant::{RowsForm, Variant};
use super::wait::Wait;
use crate::cpu::{self, Float};
use crate::{Error, Result};
use wgpu::BufferBinding;

/// How exactly vectors enter a product.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Precision {
    /// As they are.
    #[default]
    Exact,
    /// In blocks of 32 numbers of eight bits under a scale, as llama.cpp has them on the CPU; with weights in F32, F16 or BF16 as they are. Where matrix units multiply
    /// ([`Gpu::with_matrix_units`]), these numbers and the weights are rounded to f16 besides.
    Int8,
}

impl Gpu {
    /// Prepares y = x·Wᵀ, the products of all rows of `matrix` with each vector of `x`.
    ///
    /// `y` receives a row of [`Matrix::rows`] f32 for each vector, with `bias` added, as many f32, if there is one. All are ranges of buffers with usage `STORAGE`;
    /// `y` must not overlap the others. Weights are read once for up to 8 vectors, and one dispatch does each buffer of the matrix; with matrix units
    /// one more makes f16 of the vectors, and what the rows are divided by is found once, by a dispatch that this submits when a product with the matrix is first prepared. Sums are f32:
    /// with exact vectors a result is off by at most Σ|wᵢxᵢ| times 2⁻²⁴ times the additions that a product goes through, which on a GPU are a fraction of the
    /// columns. With vectors in eight bits it is off by at most a 253rd of Σ|wᵢ| times the largest |x|, over each 32 columns. Weights and `x` are finite; magnitudes
    /// below 2⁻¹²⁶ may count as 0.
    ///
    /// Compiles what was not needed before. Fails with [`Error::Number`] where the vectors are none or of another length than the rows, with
    /// [`Error::OtherDevice`], with [`Error::ShortRange`], [`Error::Misaligned`] and [`Error::Usage`] for a
    /// range that does not do, and with what the device reports.
    pub fn prepare_matmul(
        &self,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&BufferBinding>,
        y: &BufferBinding,
    ) -> Result<Op> {
        let variant =
            Variant::chosen(self, matrix.format(), matrix.rows(), matrix.cols(), x.precision(), x.batch());
        self.prepare_matmul_as(variant, matrix, x, bias, y)
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
        matrix.check_device(self)?;
        check_input(matrix, x)?;
        let floats = |name, binding, count: usize| Range::new(name, binding, 4 * count as u64);
        let y = floats("y", y, x.batch() * matrix.rows());
        let bias = bias.map(|bias| floats("the bias", bias, matrix.rows()));
        let spans = variant.spans();
        let quantize = x.included(self, variant.precision())?;
        if spans == 1 {
            return Ok(quantize.then(self.prepare_product(variant, matrix, x, bias, y)?));
        }
        let sums = self.scratch(Scratch::Sums, 4 * (spans * x.batch() * matrix.rows()) as u64)?;
        let product = self.prepare_product(variant, matrix, x, None, whole("the sums", &sums))?;
        let count = (x.batch() * matrix.rows()) as u64;
        let sum = self.prepare_sum(&sums, spans, matrix.rows(), count, bias, y)?;
        Ok(quantize.then(product).then(sum))
    }

    fn prepare_product(
        &self,
        variant: Variant,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<Range>,
        y: Range,
    ) -> Result<Op> {
        if matches!(variant, Variant::Cooperative(_)) {
            return self.prepare_cooperative(variant, matrix, x, bias.as_ref(), &y);
        }
        let format = matrix.format();
        let mut program = variant.program(format, matrix.is_ragged(), bias.is_some());
        let int8 = variant.precision() == Precision::Int8;
        let input_is_uniform = int8 && x.fits_uniform(self);
        let bound = Bound {
            input: Some(x.range(int8)),
            input_is_uniform,
            output: y,
            bias,
            numbers: None,
            slots: None,
        };
        program.native_half = self.keeps_halves();
        if input_is_uniform {
            program = program.reading_uniform();
        } else if self.prefers_broadcasts()
            && matches!(variant, Variant::Rows(RowsForm(form)) if form.can_broadcast(format))
        {
            program = program.broadcasting();
        }
        if x.is_f16() && !int8 {
            program = program.reading_f16();
        }
        self.prepare_with_matrix(&program, matrix, &bound, Arithmetic::Loose, |shard| {
            variant.work(self, shard, x.batch(), matrix.rows())
        })
    }

    /// First what makes f16 of the vectors, and then the product.
    fn prepare_cooperative(
        &self,
        variant: Variant,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&Range>,
        y: &Range,
    ) -> Result<Op> {
        let scratch = self.scratch(Scratch::Halves, halves::bytes(x.cols(), x.batch()))?;
        let halves = whole("the vectors as f16", &scratch);
        let program = variant.program(matrix.format(), matrix.is_ragged(), bias.is_some());
        let program = Program { native_half: self.keeps_halves(), ..program };
        let mut op = self.prepare_halves(x, &halves)?;
        for shard in &matrix.shards {
            let row_sizes = self.row_sizes(matrix, shard)?;
            let bound = Bound {
                input: Some(halves.clone()),
                input_is_uniform: false,
                output: y.clone(),
                bias: bias.cloned(),
                numbers: Some(whole("the sizes of rows", &row_sizes)),
                slots: Some(halves.clone()),
            };
            let work = variant.work(self, shard, x.batch(), matrix.rows());
            op.steps.push(self.prepare_with_shard(
                &program,
                matrix,
                shard,
                &bound,
                Arithmetic::Loose,
                &work,
            )?);
        }
        Ok(op)
    }

    /// Prepares the product of each vector of `x` with the matrices of the experts that it goes to, as a mixture of experts needs them.
    ///
    /// `experts` has the experts' matrices of `expert_rows` rows each, one below the other. `numbers` has `picks` u32 for each vector, the experts counted from 0,
    /// and `y` receives a row of `expert_rows` f32 for each of them; where a number is that of no expert, its row stays what it was. Ranges and errors are
    /// those of [`Gpu::prepare_matmul`]. For few vectors each expert's weights are read as often as it is picked; with more picks than experts, two dispatches
    /// more find the picks that have the same, and its weights are read once for up to 8 of them.
    pub fn prepare_matmul_indexed(
        &self,
        experts: &Matrix,
        expert_rows: usize,
        x: &Activations,
        numbers: &BufferBinding,
        picks: usize,
        y: &BufferBinding,
    ) -> Result<Op> {
        experts.check_device(self)?;
        check_input(experts, x)?;
        cpu::check_experts(experts.rows(), expert_rows, picks)?;
        let (count, expert_count) = (x.batch() * picks, experts.rows() / expert_rows);
        let is_bundled = count > expert_count;
        // As many vectors as go to one expert, if all get the same.
        let together = if is_bundled { count.div_ceil(expert_count).clamp(2, MOST_COLUMNS) } else { 1 };
        let (format, cols, precision) = (experts.format(), experts.cols(), x.precision());
        let variant = Variant::chosen(self, format, expert_rows, cols, precision, together).with_spans(1);
        let Variant::Rows(RowsForm(form)) = variant else {
            unreachable!("no table has tiles for a few vectors");
        };
        let numbers = Range::new("the experts", numbers, 4 * count as u64);
        let y = Range::new("y", y, 4 * (count * expert_rows) as u64);
        let way = if is_bundled { Picks::InBundles } else { Picks::OneByOne };
        let mut program = form.program(format, experts.is_ragged(), false, Some(way));
        program.native_half = self.keeps_halves();
        if x.is_f16() && !form.int8 {
            program = program.reading_f16();
        }
        let bundles = Bundles { picks: count, experts: expert_count, columns: form.columns };
        let slots = if is_bundled { Some(self.scratch(Scratch::Sums, bundles.bytes())?) } else { None };
        let bound = Bound {
            input: Some(x.range(form.int8)),
            input_is_uniform: false,
            output: y,
            bias: None,
            numbers: Some(numbers.clone()),
            slots: slots.as_ref().map(|slots| whole("the bundles", slots)),
        };
        // Side by side, times the vectors that the kernel has at once.
        let side_by_side = if is_bundled { bundles.count() * form.columns } else { count };
        let least_subgroup = self.least_subgroup();
        let product = self.prepare_with_matrix(&program, experts, &bound, Arithmetic::Loose, |_| Work {
            dispatch: form.work(expert_rows, side_by_side, least_subgroup),
            batch: count,
            all_rows: expert_rows as u32,
            picks,
            experts: expert_count,
            spans: 1,
        })?;
        let quantize = x.included(self, if form.int8 { Precision::Int8 } else { Precision::Exact })?;
        match slots {
            Some(slots) => Ok(quantize.then(self.prepare_bundles(bundles, &numbers, &slots)?).then(product)),
            None => Ok(quantize.then(product)),
        }
    }

    pub(super) fn least_subgroup(&self) -> usize {
        self.device().adapter_info().subgroup_min_size.max(1) as usize
    }

    /// y = x·Wᵀ on slices, in buffers of its own; waits for the result.
    ///
    /// `x` has any number of rows of [`Matrix::cols`] numbers, `y` as many of [`Matrix::rows`]; both are f32,
    /// f16 or bf16. As exact as [`Gpu::prepare_matmul`], which costs less where it is done again; sums are
    /// rounded once more where `y` is of halves. Fails with [`Error::Number`] where the lengths do not fit,
    /// with [`Error::OtherDevice`], and with what the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn matmul<X: Float, Y: Float>(
        &self,
        matrix: &Matrix,
        precision: Precision,
        x: &[X],
        y: &mut [Y],
    ) -> Result<()> {
        pollster::block_on(self.matmul_as(Wait::Blocking, matrix, precision, x, y))
    }

    /// [`Gpu::matmul`], to be awaited. Nothing blocks: the device is polled, and what is not compiled yet is
    /// compiled, in threads of their own ([`Gpu::prepare_async`] compiles before).
    pub async fn matmul_async<X: Float, Y: Float>(
        &self,
        matrix: &Matrix,
        precision: Precision,
        x: &[X],
        y: &mut [Y],
    ) -> Result<()> {
        self.matmul_as(Wait::Async, matrix, precision, x, y).await
    }

    async fn matmul_as<X: Float, Y: Float>(
        &self,
        wait: Wait,
        matrix: &Matrix,
        precision: Precision,
        x: &[X],
        y: &mut [Y],
    ) -> Result<()> {
        let batch = cpu::check_product(matrix.rows(), matrix.cols(), x, y)?;
        let (mut x_room, mut y_room) = (Vec::new(), Vec::new());
        let (wide_x, wide_y) = (X::widened(x, &mut x_room), Y::wide_mut(y, &mut y_room));
        let in_eight_bits = precision == Precision::Int8 && !matrix.format().is_float();
        let prepare = |gpu: &Gpu, x: &BufferBinding, y: &BufferBinding| {
            let x = if in_eight_bits {
                Activations::int8(gpu, x.clone(), batch, matrix.cols())?
            } else {
                Activations::exact(x.clone(), batch, matrix.cols())
            };
            gpu.prepare_matmul(matrix, &x, None, y)
        };
        self.run_once(wait, wide_x, wide_y, prepare).await?;
        Y::store(y, &y_room);
        Ok(())
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
