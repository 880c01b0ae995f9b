//! What the self-test reports for a device that must not quantize.

use std::fmt;

/// A result that a device rounds differently from IEEE 754.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Misrounding {
    /// The operation.
    pub operation: &'static str,
    /// Its operands.
    pub operands: [f32; 2],
    /// The correctly rounded result.
    pub expected: f32,
    /// The device's result.
    pub found: f32,
}

impl fmt::Display for Misrounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, operands: [a, b], expected, found } = self;
        write!(f, "computes {operation} of {a:e} and {b:e} as {found:e}, not {expected:e}")
    }
}
