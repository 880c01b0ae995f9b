//! Vectors as products take them in eight bits.

use crate::{Error, Result};

/// Rounds `x` to what eight bits hold: of each 32 numbers, to integers times a 127th of the largest magnitude, half to even.
///
/// What is smaller than 10⁻³⁵ in all of 32 numbers becomes 0. A device may round its scale, and so what lies nearly half way, otherwise. Fails with
/// [`Error::Number`] where the length is no multiple of 32.
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
