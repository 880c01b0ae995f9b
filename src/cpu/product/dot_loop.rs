//! Dot products of bytes and nothing else: what bounds the kernel of int8 products.

use crate::cpu::simd::{Level, Simd, Work};
use std::hint::black_box;

/// Vectors of 32 numbers, which the first-level cache holds.
const VECTORS: usize = 64;
/// Multiplications and additions of a round.
pub(crate) const ROUND: u64 = 2 * (VECTORS * 8 * 32) as u64;

/// Multiplies 32 codes of each of eight rows by [`VECTORS`] vectors, `rounds` times.
pub(crate) fn dot_loop(rounds: u64) {
    let mut sum = [0.0; 8];
    Level::best().run(Loop { rounds, x: &[[3; 32]; VECTORS], sum: &mut sum });
    black_box(sum);
}

struct Loop<'a> {
    rounds: u64,
    x: &'a [[i8; 32]; VECTORS],
    sum: &'a mut [f32; 8],
}

impl Work for Loop<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let codes = simd.arrange::<false>([simd.load_bytes(&black_box([7; 32])); 8], None);
        let mut total = simd.splat_i32(0);
        for _ in 0..self.rounds {
            let x = black_box(self.x);
            for x in x {
                // Codes of four bits need the fewest instructions.
                total = simd.add_i32(total, simd.dot::<false, 8, 0, 8>(&codes, x));
            }
        }
        simd.store(simd.to_f32(total), self.sum);
    }
}
