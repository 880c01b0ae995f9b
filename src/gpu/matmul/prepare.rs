//! Products of a matrix and vectors, prepared on buffers or computed on slices.

use super::activations::Activations;
use super::f16_activations;
use super::kernel::Kernel;
use super::precision::Precision;
use super::scratch::Scratch;
use super::variant::Variant;
use super::{BIAS, ROW_SCALES, X, X_SCALES, Y};
use crate::cpu::{self, Float};
use crate::gpu::Gpu;
use crate::gpu::device::software_adapter::SoftwareAdapter;
use crate::gpu::device::wait::Wait;
use crate::gpu::matrix::Matrix;
use crate::gpu::matrix::program::MatrixProgram;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Error, Result};
use wgpu::BufferBinding;

impl Gpu {
    /// Prepares y = x·Wᵀ + bias, the products of all rows of `matrix` with each vector of `x`.
    ///
    /// `y` receives a row of [`Matrix::rows`] f32 for each vector; `bias` holds as many f32, which are added
    /// to each row. All are ranges of buffers with usage `STORAGE`; `y` must not overlap the others. Weights
    /// and `x` must be finite; magnitudes below 2⁻¹²⁶ may count as 0.
    ///
    /// Weights are read once for up to 8 vectors. Each buffer of the matrix is one dispatch. With matrix
    /// units, one more converts the vectors to f16, and the first prepare of a product with the matrix also
    /// submits a pass that computes per-row scales; a tuned device may also decode the weights to f16 before,
    /// up to 64 MiB at a time.
    ///
    /// Sums are f32. With exact vectors, the error of a result is at most Σ|wᵢxᵢ| times 2⁻²⁴ times the number
    /// of additions on the longest path, on a GPU a fraction of the columns. With int8 vectors, it is at most
    /// 1/253 of Σ|wᵢ| times the largest |x|, for each 32 columns.
    ///
    /// Compiles kernels on first use. Fails with [`Error::Number`] if there are no vectors or their length
    /// differs from that of the rows; with [`Error::OtherDevice`]; with [`Error::ShortRange`],
    /// [`Error::Misaligned`] and [`Error::Usage`] for an unsuitable range; and with errors of the device.
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

    /// [`Gpu::prepare_matmul`] with a given kernel.
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
        let split_k = variant.split_k();
        let quantize = x.included(self, variant.precision())?;
        if split_k == 1 {
            return Ok(quantize.then(self.prepare_product(variant, matrix, x, bias.as_ref(), &y)?));
        }
        let shape = (matrix.rows(), x.batch());
        let sums = self.scratch(Scratch::Sums, 4 * (split_k * matrix.rows() * x.batch()) as u64)?;
        let product = self.prepare_product(variant, matrix, x, None, &Range::whole("the sums", &sums))?;
        let sum = self.prepare_split_k_sum(&sums, split_k, shape, bias.as_ref(), &y)?;
        Ok(quantize.then(product).then(sum))
    }

    fn prepare_product(
        &self,
        variant: Variant,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&Range>,
        y: &Range,
    ) -> Result<Op> {
        let format = matrix.format();
        let kernel = Kernel::new(self, variant, format, matrix.cols(), x.batch());
        let program = kernel.program(format, matrix.is_ragged(), bias.is_some());
        let program = self.with_native_f16(program);
        match kernel {
            Kernel::Cooperative(_) => {
                return self.prepare_cooperative(kernel, &program, matrix, x, bias, y);
            }
            Kernel::Decoded(kernel) => return self.prepare_decoded(kernel, &program, matrix, x, bias, y),
            Kernel::Matvec(_) | Kernel::Tile(_) => {}
        }
        let int8 = variant.precision() == Precision::Int8;
        let bindings = Bindings::new().write(Y, y).read_optional(BIAS, bias);
        let can_broadcast = matches!(kernel, Kernel::Matvec(kernel) if kernel.can_broadcast(format));
        let broadcasts = can_broadcast && self.software_adapter().is_some_and(SoftwareAdapter::broadcasts);
        let range = x.range(int8);
        let (program, bindings) = if int8 && x.fits_uniform(self) {
            (program.reading_uniform(), bindings.uniform(X, &range))
        } else {
            (if broadcasts { program.broadcasting() } else { program }, bindings.read(X, &range))
        };
        let program = if x.is_f16() && !int8 { program.reading_f16() } else { program };
        self.prepare_with_matrix(&program, matrix, &bindings, Arithmetic::Loose, |shard| {
            kernel.work(shard, x.batch(), matrix.rows())
        })
    }

    /// Prepares converting the vectors to f16 and the product by matrix units.
    fn prepare_cooperative(
        &self,
        kernel: Kernel,
        program: &MatrixProgram,
        matrix: &Matrix,
        x: &Activations,
        bias: Option<&Range>,
        y: &Range,
    ) -> Result<Op> {
        let scratch = self.scratch(Scratch::F16Activations, f16_activations::bytes(x.cols(), x.batch()))?;
        let f16s = Range::whole("the vectors as f16", &scratch);
        let mut op = self.prepare_f16_activations(x, &f16s)?;
        for shard in &matrix.shards {
            let row_scales = self.row_scales(matrix, shard)?;
            let bindings = Bindings::new()
                .read(X, &f16s)
                .write(Y, y)
                .read_optional(BIAS, bias)
                .read(ROW_SCALES, &Range::whole("the row scales", &row_scales))
                .read(X_SCALES, &f16s);
            let work = kernel.work(shard, x.batch(), matrix.rows());
            let step =
                self.prepare_with_shard(program, matrix, shard, &bindings, Arithmetic::Loose, &work)?;
            op = op.then(Op::new([step]));
        }
        Ok(op)
    }

    /// The program, with the device's own conversion of f16 if that is exact.
    pub(super) fn with_native_f16(&self, program: MatrixProgram) -> MatrixProgram {
        program.with_if(self.has_exact_f16(), Switch::NativeF16)
    }

    /// Computes y = x·Wᵀ on slices, through buffers of its own, and waits for the result.
    ///
    /// `x` holds any number of vectors of [`Matrix::cols`] numbers, `y` as many rows of [`Matrix::rows`];
    /// both are f32, f16 or bf16. Errors are bounded as by [`Gpu::prepare_matmul`], which costs less for
    /// repeated products; f16 and bf16 results are rounded once more. Fails with [`Error::Number`] if the
    /// lengths do not match, with [`Error::OtherDevice`], and with errors of the device.
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

    /// The `async` form of [`Gpu::matmul`]. It does not block: polling and compiling happen in other threads
    /// ([`Gpu::prepare_async`] can compile in advance).
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
        let is_int8 = precision == Precision::Int8 && !matrix.format().is_float();
        let prepare = |gpu: &Gpu, x: &BufferBinding, y: &BufferBinding| {
            let x = if is_int8 {
                Activations::int8(gpu, x.clone(), batch, matrix.cols())?
            } else {
                Activations::exact(x.clone(), batch, matrix.cols())
            };
            gpu.prepare_matmul(matrix, &x, None, y)
        };
        self.run_on_slices(wait, wide_x, wide_y, prepare).await?;
        Y::store(y, &y_room);
        Ok(())
    }
}

pub(super) fn check_input(matrix: &Matrix, x: &Activations) -> Result<()> {
    cpu::check_positive("the number of vectors", x.batch())?;
    if x.cols() != matrix.cols() {
        let needed = matrix.cols().to_string();
        return Err(Error::Number { what: "the length of a vector", needed, found: x.cols() as u64 });
    }
    Ok(())
}
