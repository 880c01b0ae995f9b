//! What quantizing cost: how far the weights of one model are from those of another.

mod distortion;

pub use distortion::{Comparison, Distortion, Mismatch, TensorDistortion, distortion};
