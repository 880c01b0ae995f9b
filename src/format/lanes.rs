//! Sub-blocks side by side: element `i` of `[[f32; L]; N]` holds weight `i` of `L` sub-blocks.
//!
//! ggml sums the weights of a sub-block in order, and f32 sums depend on their order, so a compiler must not
//! split such a sum. Sub-blocks are independent of each other. If the loop over them is innermost, every lane
//! keeps ggml's order and the loop compiles to vector instructions. (These functions avoid closures: a
//! closure that is not inlined is compiled without the instruction set of its caller.)

use super::bits::round_half_even;

/// Sub-blocks that are searched together: enough that the innermost loop is not unrolled before it is
/// vectorized.
pub(super) const LANES: usize = 32;

/// The weights of up to `LANES` consecutive sub-blocks of `N`; lanes past the end hold zeros.
#[inline(always)]
pub(super) fn transpose<const N: usize>(weights: &[f32]) -> [[f32; LANES]; N] {
    let mut lanes = [[0.0; LANES]; N];
    for (lane, weights) in weights.as_chunks::<N>().0.iter().enumerate() {
        for i in 0..N {
            lanes[i][lane] = weights[i];
        }
    }
    lanes
}

/// Transposes codes back: row `lane` holds those of one sub-block.
#[inline(always)]
pub(super) fn codes<const N: usize>(lanes: &[[f32; LANES]; N]) -> [[u8; N]; LANES] {
    let mut codes = [[0; N]; LANES];
    for i in 0..N {
        for lane in 0..LANES {
            codes[lane][i] = round_half_even(lanes[i][lane]) as u8;
        }
    }
    codes
}
