//! Reading, eight rows at a time and nothing else: what bounds products with one vector.

use crate::cpu::simd::{Level, Simd, Work};
use std::hint::black_box;

/// Reads `bytes` once, as products read rows of `row_bytes`: eight side by side, the next eight asked for
/// early.
pub(crate) fn read_loop(bytes: &[u8], row_bytes: usize) {
    let mut sum = [0.0; 8];
    Level::best().run(Loop { bytes, row_bytes, sum: &mut sum });
    black_box(sum);
}

struct Loop<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
    sum: &'a mut [f32; 8],
}

impl Work for Loop<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut all = [simd.splat_byte(0); 8];
        for (group, rows) in self.bytes.chunks(8 * self.row_bytes).enumerate() {
            let next = (group + 1) * 8 * self.row_bytes;
            let mut eight: [&[[u8; 32]]; 8] = [&[]; 8];
            for (row, bytes) in eight.iter_mut().zip(rows.chunks(self.row_bytes)) {
                *row = bytes.as_chunks().0;
            }
            // All rows of a group but the last are whole.
            let least = eight.map(<[_]>::len).into_iter().min().unwrap_or(0);
            for c in 0..least {
                if c % 2 == 0 {
                    simd.prefetch(self.bytes, next + c * 256, 512);
                }
                for r in 0..8 {
                    all[r] = simd.xor(all[r], simd.load_bytes(&eight[r][c]));
                }
            }
            for row in eight {
                for bytes in row.iter().skip(least) {
                    all[0] = simd.xor(all[0], simd.load_bytes(bytes));
                }
            }
        }
        let codes = simd.arrange::<true>(all, None);
        simd.store(simd.to_f32(simd.dot::<true, 1, 0, 8>(&codes, &[1; 32])), self.sum);
    }
}
