//! The steps of a model on the CPU: plain loops, which are the CPU reference of the kernels in `shaders/llm`;
//! and `fast`, the same with int8 activations.

mod attention;
mod experts;
mod fast;
mod products;
mod steps;
mod vectors;

pub(super) use steps::Batch;
