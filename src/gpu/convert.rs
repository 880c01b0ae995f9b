//! Quantizing and dequantizing on a device.

mod codebook;
pub(in crate::gpu) mod converter;
mod dequantize;
pub(in crate::gpu) mod padded_layout;
pub(in crate::gpu) mod program;
pub(in crate::gpu) mod quantize;
