//! The steps of a model on the CPU with int8 activations, as fast as the processor can: what
//! [`Precision::Int8`](crate::gpu::Precision::Int8) asks for. All sums are f32.
//!
//! Work is divided among the threads of the current rayon pool. Steps that are not here take next to no time
//! and are the reference's.

mod attention;
mod exp;
mod experts;
mod products;
mod vectors;

pub(super) use attention::attention;
pub(super) use experts::expert_matmul;
pub(super) use products::matmul;
pub(super) use vectors::{glu, rms_norm};
