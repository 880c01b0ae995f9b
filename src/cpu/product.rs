//! Fast products on the CPU: int8 activations, or f32 with float weights; eight rows at a time.

mod combine_rows;
mod dot_loop;
mod float_rows;
mod int8_one;
mod int8_rows;
mod int8_vectors;
mod matmul;
mod read_loop;
mod strided_rows;
#[cfg(test)]
mod tests;

pub(crate) use dot_loop::{ROUND as DOT_LOOP_ROUND, dot_loop};
pub use int8_vectors::Int8Vectors;
pub use matmul::{matmul_f32, matmul_int8};
pub(crate) use read_loop::read_loop;
pub use strided_rows::StridedRows;
