//! Activations as int8.

use crate::{Error, Result};

/// Rounds `x` to int8, as products with [`Precision::Int8`](crate::gpu::Precision::Int8) do.
///
/// Each 32 numbers have a scale, a 127th of their largest magnitude; each number is rounded to a multiple of
/// it, half to even. If the largest magnitude is below 10⁻³⁵, all 32 numbers become 0. A device may round the
/// scale differently, and so a number that is almost half-way between two multiples. Fails with
/// [`Error::Number`] if the length is not a multiple of 32.
pub fn round_activations(x: &mut [f32]) -> Result<()> {
    let (blocks, rest) = x.as_chunks_mut::<32>();
    if !rest.is_empty() {
        let found = (32 * blocks.len() + rest.len()) as u64;
        return Err(Error::Number { what: "the length of x", needed: "a multiple of 32".to_owned(), found });
    }
    for block in blocks {
        let largest = block.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        let (scale, multiplier) =
            if largest < 1e-35 { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };
        for x in block {
            *x = scale * (*x * multiplier).clamp(-127.0, 127.0).round_ties_even();
        }
    }
    Ok(())
}
