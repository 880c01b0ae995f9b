//! The steps of a model on the CPU: plain loops, which are the CPU reference of the kernels in `shaders/llm`.

mod attention;
mod experts;
mod products;
mod steps;
mod vectors;

pub(super) use steps::Batch;
