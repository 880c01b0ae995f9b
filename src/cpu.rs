//! The operations on the CPU: plain loops, the truth that every other implementation is held against.

mod convert;
mod dequantize;
mod dot;
mod quantize;

pub(crate) use convert::convert;
pub use dequantize::dequantize;
pub use dot::dot;
pub use quantize::quantize;

use crate::{Error, Format, Result};

/// Most threads that one operation starts: a system may refuse more, and they would only wait.
pub(crate) const MAX_THREADS: usize = 1024;

/// Checks that `bytes` bytes of `format` are whole blocks and hold `weights` weights.
pub(crate) fn check_lengths(format: Format, weights: usize, bytes: usize) -> Result<()> {
    let info = format.info();
    let blocks = bytes / info.block_bytes;
    if blocks * info.block_bytes == bytes && blocks * info.block_weights == weights {
        Ok(())
    } else {
        Err(Error::Length { format, weights, bytes })
    }
}
