//! Products with a mixture of experts. Many vectors are batched by expert, so that an expert's weights are
//! read once for a batch.

use super::activations::Activations;
use super::kernel::Kernel;
use super::matvec::ExpertForm;
use super::prepare::check_input;
use super::scratch::Scratch;
use super::variant::{MOST_COLUMNS, Variant};
use super::{X, Y};
use crate::gpu::Gpu;
use crate::gpu::matrix::Matrix;
use crate::gpu::matrix::program::Work;
use crate::gpu::op::Op;
use crate::gpu::op::bindings::Bindings;
use crate::gpu::op::range::Range;
use crate::gpu::op::step::Dispatch;
use crate::gpu::shader::binding::Binding;
use crate::gpu::shader::library::preprocess;
use crate::gpu::shader::params::params;
use crate::gpu::shader::pipeline::Arithmetic;
use crate::{Result, cpu};
use wgpu::BufferBinding;

const COUNT: &str = "expert_count";
const SCATTER: &str = "expert_scatter";

/// The expert of each assignment, and the slots of the batches: for the kernels that fill the slots, and for
/// products.
const EXPERTS: Binding = Binding::new(1, "experts");
const SLOTS: Binding = Binding::new(2, "slots");
const PRODUCT_EXPERTS: Binding = Binding::new(7, "experts");
const PRODUCT_SLOTS: Binding = Binding::new(8, "slots");

params! {
    /// For the kernels that batch assignments.
    ExpertParams in "matmul/expert_assignments.wgsl" {
        /// Slots of all batches.
        slots,
        /// Experts.
        expert_count,
        /// Assignments: `top_k` for each vector.
        assignments,
        /// Slots of a batch.
        columns,
    }
}

fn wgsl(name: &str) -> Result<String, String> {
    preprocess(&format!("matmul/{name}.wgsl"), &[])
}

/// The shaders of this file, by name.
pub(in crate::gpu) fn texts() -> impl Iterator<Item = (&'static str, Result<String, String>)> {
    [COUNT, SCATTER].into_iter().map(|name| (name, wgsl(name)))
}

/// The sizes of expert batches.
#[derive(Clone, Copy, Debug)]
struct ExpertBatches {
    assignments: usize,
    experts: usize,
    /// The most assignments of a batch.
    columns: usize,
}

impl ExpertBatches {
    /// The most batches there can be: for each expert, all but the last are full.
    fn count(self) -> usize {
        self.assignments.min((self.assignments + self.experts * (self.columns - 1)) / self.columns)
    }

    fn slots(self) -> usize {
        self.count() * self.columns
    }

    /// Bytes of the slots and of a counter for each expert.
    fn bytes(self) -> u64 {
        4 * (self.slots() + self.experts) as u64
    }
}

impl Gpu {
    /// Prepares the products of each vector of `x` with the matrices of its `top_k` experts.
    ///
    /// `matrix` stacks the experts' matrices of `expert_rows` rows each. `experts` holds `top_k` u32 for each
    /// vector, the indices of its experts. `y` receives a row of `expert_rows` f32 for each of them; a row
    /// whose index is out of range is left unchanged. Requirements on ranges and errors are those of
    /// [`Gpu::prepare_matmul`].
    ///
    /// For few vectors, an expert's weights are read once per assignment. With more assignments than experts,
    /// two more dispatches batch the assignments by expert, and weights are read once for up to 8 of them.
    pub fn prepare_matmul_indexed(
        &self,
        matrix: &Matrix,
        expert_rows: usize,
        x: &Activations,
        experts: &BufferBinding,
        top_k: usize,
        y: &BufferBinding,
    ) -> Result<Op> {
        matrix.check_device(self)?;
        check_input(matrix, x)?;
        cpu::check_experts(matrix.rows(), expert_rows, top_k)?;
        let (assignments, expert_count) = (x.batch() * top_k, matrix.rows() / expert_rows);
        let is_batched = assignments > expert_count;
        // The vectors per expert if assignments are spread evenly.
        let together = if is_batched { assignments.div_ceil(expert_count).clamp(2, MOST_COLUMNS) } else { 1 };
        let (format, cols) = (matrix.format(), matrix.cols());
        let variant = Variant::chosen(self, format, expert_rows, cols, x.precision(), together);
        let Kernel::Matvec(kernel) = Kernel::new(self, variant.with_split_k(1), format, cols, together)
        else {
            unreachable!("no table has tiles for a few vectors");
        };
        let experts = Range::new("the experts", experts, 4 * assignments as u64);
        let y = Range::new("y", y, 4 * (assignments * expert_rows) as u64);
        let form = if is_batched { ExpertForm::InBatches } else { ExpertForm::OneByOne };
        let program = kernel.program(format, matrix.is_ragged(), false, form);
        let program = self.with_native_f16(program);
        let program = if x.is_f16() && !kernel.int8 { program.reading_f16() } else { program };
        let batches = ExpertBatches { assignments, experts: expert_count, columns: kernel.columns };
        let slots = if is_batched { Some(self.scratch(Scratch::Sums, batches.bytes())?) } else { None };
        let slots = slots.as_ref().map(|slots| Range::whole("the expert batches", slots));
        let bindings = Bindings::new()
            .read(X, &x.range(kernel.int8))
            .write(Y, &y)
            .read(PRODUCT_EXPERTS, &experts)
            .read_optional(PRODUCT_SLOTS, slots.as_ref());
        // The number of columns of the product: slots, or assignments.
        let side_by_side = if is_batched { batches.slots() } else { assignments };
        let dispatch = kernel.dispatch(expert_rows, side_by_side);
        let product = self.prepare_with_matrix(&program, matrix, &bindings, Arithmetic::Loose, |_| Work {
            top_k,
            expert_count,
            ..Work::new(dispatch, assignments, expert_rows)
        })?;
        let quantize = x.included(self, variant.precision())?;
        match slots {
            Some(slots) => {
                Ok(quantize.then(self.prepare_expert_batches(batches, &experts, &slots)?).then(product))
            }
            None => Ok(quantize.then(product)),
        }
    }

    /// Prepares batching: fills `slots` from the `experts` of the assignments, in two dispatches.
    fn prepare_expert_batches(&self, of: ExpertBatches, experts: &Range, slots: &Range) -> Result<Op> {
        let params = ExpertParams {
            slots: of.slots() as u32,
            expert_count: of.experts as u32,
            assignments: of.assignments as u32,
            columns: of.columns as u32,
        };
        let bindings = Bindings::new().read(EXPERTS, experts).write(SLOTS, slots);
        let step = |name, count: usize| {
            let dispatch = Dispatch::of(count as u64);
            self.prepare_step((name, Arithmetic::Loose), |_| wgsl(name), dispatch, &params, &bindings)
        };
        Ok(Op::new([step(COUNT, of.slots().max(of.experts))?, step(SCATTER, of.assignments)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_expert_batches_for_any_assignments() {
        let count = |assignments, experts, columns| ExpertBatches { assignments, experts, columns }.count();
        // Each with its own expert; all with the same; every last batch with one assignment.
        assert_eq!(count(5, 8, 4), 5);
        assert_eq!(count(16, 1, 8), 2);
        assert_eq!(count(17, 1, 8), 3);
        assert_eq!(count(11, 3, 4), 5);
        for assignments in 1..40 {
            for first in 0..=assignments {
                let split = [first, assignments - first].iter().map(|n: &usize| n.div_ceil(4)).sum::<usize>();
                assert!(split <= count(assignments, 2, 4), "{assignments} assignments, {first} of the first");
            }
        }
    }
}
