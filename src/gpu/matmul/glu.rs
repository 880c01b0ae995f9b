//! The product of a vector with gates and ups whose sums go through the activation, so that neither is
//! stored: `shaders/matmul/matvec_glu.wgsl`. It saves a single token the activation's own dispatch.

use super::activations::{Activations, INT8_BLOCK, int8_bytes};
use super::precision::Precision;
use super::prepare::check_input;
use super::variant::{Form, Variant};
use super::{EXAMPLES, X, Y};
use crate::gpu::Gpu;
use crate::gpu::matrix::Matrix;
use crate::gpu::matrix::program::{MatrixProgram, Work};
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::params::MAX_WORKGROUPS;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;
use crate::{Format, Result};
use wgpu::{BufferBinding, Features};

const WORKGROUP: u64 = 256;

/// The int8 form of the result.
const BLOCKS: Binding = Binding::new(7, "blocks");

/// The kernel and its parameters.
#[derive(Clone, Copy, Debug)]
struct MatvecGlu {
    int8: bool,
    /// Rows that a subgroup shares: half of them gates, half of them ups.
    rows: usize,
    is_gelu: bool,
    /// Whether the int8 form of the result is stored too.
    stores_int8: bool,
}

impl MatvecGlu {
    fn program(self, format: Format, is_ragged: bool) -> MatrixProgram {
        let weights = if format.is_float() { Switch::Floats } else { Switch::Codes };
        MatrixProgram::new("matmul/matvec_glu.wgsl", format, WORKGROUP)
            .with(weights)
            .named_if(is_ragged, Switch::Ragged, "ragged")
            .with_if(self.int8, Switch::Int8)
            .named(if self.int8 { "int8" } else { "exact" })
            .named_if(true, Switch::Subgroup, "subgroup")
            .with_if(format.info().pairs, Switch::PairTable)
            .named_if(self.stores_int8, Switch::Int8Result, "int8_result")
            .constant("ROWS", self.rows)
            .constant("COLUMNS", 1)
            .constant("GELU", usize::from(self.is_gelu))
    }
}

/// Programs for tests and compilers of other platforms.
pub(in crate::gpu) fn programs() -> impl Iterator<Item = MatrixProgram> {
    let of = |int8, rows, is_gelu| MatvecGlu { int8, rows, is_gelu, stores_int8: int8 };
    let kernels = [of(true, 2, false), of(true, 4, true), of(false, 2, true), of(false, 4, false)];
    EXAMPLES.into_iter().flat_map(move |format| {
        let kernels = kernels.into_iter().filter(move |kernel| !(kernel.int8 && format.is_float()));
        kernels.map(move |kernel| kernel.program(format, false))
    })
}

impl Gpu {
    /// Prepares activation(gate)·up, where gate and up are the products of the vector `x` with the first and
    /// the last half of the rows of `matrix`; the activation is SiLU, or GELU by tanh. `y` receives a float
    /// for each two rows, and `blocks` its int8 form.
    ///
    /// `None` where this kernel cannot do it: without subgroup operations, with several vectors, a matrix in
    /// several buffers, or halves that are not whole int8 blocks. Fails as [`Gpu::prepare_matmul`] does.
    #[doc(hidden)]
    pub fn prepare_matmul_glu(
        &self,
        matrix: &Matrix,
        x: &Activations,
        is_gelu: bool,
        y: &BufferBinding,
        blocks: Option<&BufferBinding>,
    ) -> Result<Option<Op>> {
        matrix.check_device(self)?;
        check_input(matrix, x)?;
        let (format, cols, numbers) = (matrix.format(), matrix.cols(), matrix.rows() / 2);
        let groups = numbers / INT8_BLOCK;
        let [shard] = &matrix.shards[..] else { return Ok(None) };
        let is_whole = matrix.rows().is_multiple_of(2 * INT8_BLOCK) && groups <= MAX_WORKGROUPS as usize;
        if !is_whole || x.batch() != 1 || !self.device().features().contains(Features::SUBGROUP) {
            return Ok(None);
        }
        let variant = Variant::chosen(self, format, matrix.rows(), cols, x.precision(), 1);
        let int8 = variant.precision() == Precision::Int8;
        let rows = if variant.form == Form::Subgroup(4) { 4 } else { 2 };
        let stores_int8 = blocks.is_some();
        let kernel = MatvecGlu { int8, rows, is_gelu, stores_int8 };
        let program = self.with_native_f16(kernel.program(format, matrix.is_ragged()));
        let program = if x.is_f16() && !int8 { program.reading_f16() } else { program };
        let y = Range::new("y", y, 4 * numbers as u64);
        let blocks = blocks.map(|blocks| Range::new("the int8 form of y", blocks, int8_bytes(groups as u64)));
        let bindings = Bindings::new().read(X, &x.range(int8)).write(Y, &y);
        let bindings = match &blocks {
            Some(blocks) => bindings.write(BLOCKS, blocks),
            None => bindings,
        };
        let work = Work::new(Dispatch::of_groups(groups as u64), 1, numbers);
        let product =
            self.prepare_with_shard(&program, matrix, shard, &bindings, Arithmetic::Loose, &work)?;
        Ok(Some(x.included(self, variant.precision())?.then(Op::new([product]))))
    }
}
