//! Split-K: products whose columns are split into slices, where few rows would leave a GPU idle. Each slice
//! has its own sums, which one more dispatch adds.

use crate::Result;
use crate::gpu::Gpu;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::gpu::shader::switch::Switch;

const NAME: &str = "split_k_sum";
const WITH_BIAS: &str = "split_k_sum.bias";

/// The sums of the slices, the result, and the bias.
const SUMS: Binding = Binding::new(1, "sums");
const Y: Binding = Binding::new(2, "y");
const BIAS: Binding = Binding::new(3, "bias");

params! {
    /// For adding the sums of the slices.
    SplitKSumParams in "matmul/split_k_sum.wgsl" {
        /// Rows of the matrix.
        all_rows,
        /// The number of slices.
        split_k,
    }
}

fn wgsl(has_bias: bool) -> Result<String, String> {
    let switches: &[Switch] = if has_bias { &[Switch::Bias] } else { &[] };
    preprocess("matmul/split_k_sum.wgsl", switches)
}

/// The shaders of this file, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [(NAME, wgsl(false)), (WITH_BIAS, wgsl(true))].into_iter()
}

impl Gpu {
    /// Prepares adding the slices' sums for `batch` vectors and `rows` rows, and a bias, into `y`.
    pub(super) fn prepare_split_k_sum(
        &self,
        sums: &wgpu::Buffer,
        split_k: usize,
        (rows, batch): (usize, usize),
        bias: Option<&Range>,
        y: &Range,
    ) -> Result<Op> {
        let bindings = Bindings::new().read(SUMS, &Range::whole("the sums", sums)).write(Y, y);
        let bindings = bindings.read_optional(BIAS, bias);
        let params = SplitKSumParams { all_rows: rows as u32, split_k: split_k as u32 };
        let program = (if bias.is_some() { WITH_BIAS } else { NAME }, Arithmetic::Loose);
        let dispatch = Dispatch::of((batch * rows) as u64);
        let step = self.prepare_step(program, |_| wgsl(bias.is_some()), dispatch, &params, &bindings)?;
        Ok(Op::new([step]))
    }
}
