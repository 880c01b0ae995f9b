//! Quantizing and dequantizing on a device.

mod codebook;
pub(in crate::gpu) mod converter;
mod dequantize;
mod error_sums;
pub(in crate::gpu) mod padded_layout;
pub(in crate::gpu) mod program;
pub(in crate::gpu) mod quantize;
pub(in crate::gpu) mod round_trip;
