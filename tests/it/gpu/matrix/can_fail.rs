//! Planted faults in the kernels that copy, check and read matrices are found.

use super::{from, holding};
use crate::gpu::product::Case;
use crate::gpu::weights::random_blocks;
use crate::gpu::{gpu, planting};
use crate::support::gaussian;
use half::f16;
use qmill::gpu::{Matrix, Precision};
use qmill::wgpu;
use qmill::{Error, Format, Gpu};
use std::sync::atomic::Ordering::Relaxed;

/// Whether matrices are copied, read back and checked correctly: rows that end within a word, from any byte;
/// weights that are too large.
fn is_right(gpu: &Gpu) -> bool {
    let (rows, cols) = (7, 33);
    let bytes = random_blocks(Format::F16, rows * cols);
    let on_device = holding(gpu, &bytes, 6);
    let matrix = Matrix::from_buffer(gpu, Format::F16, rows, cols, &from(&on_device, 6)).unwrap();
    let mut last = vec![0; 2 * cols];
    matrix.read_rows(6..7, &mut last).unwrap();
    let case = Case::gaussian(Format::Q8_0, 5, 96);
    let blocks = case.matrix(gpu).read().unwrap();
    // Padding after a row on the device affects products.
    let mut ones = vec![f16::ONE; rows * cols];
    for first in ones.iter_mut().step_by(2 * cols) {
        *first = f16::INFINITY;
    }
    let on_device = holding(gpu, bytemuck::cast_slice(&ones), 0);
    let ones = Matrix::from_buffer(gpu, Format::F16, rows, cols, &from(&on_device, 0)).unwrap();
    let mut y = vec![0.0; rows];
    gpu.matmul(&ones, Precision::Exact, &vec![1.0; cols], &mut y).unwrap();
    let mut weights = gaussian(4, 8 * 64);
    weights[3 * 64 + 40] = 9e5;
    let weights: &[u8] = bytemuck::cast_slice(&weights);
    let refused = Matrix::quantized(gpu, Format::F32, 8, 64, weights, Format::Q4_0);
    matrix.read().unwrap() == bytes
        && last == bytes[6 * 2 * cols..]
        && blocks == case.bytes
        && y.iter().skip(1).step_by(2).all(|y| *y == cols as f32)
        && matches!(refused, Err(Error::Overflow { row: 3, column: 32, .. }))
}

#[test]
fn planted_faults_in_copies_and_checks_are_found() {
    let Some(gpu) = gpu() else { return };
    assert!(is_right(gpu));
    let faults = [
        // Reading back: another row's block, another byte, another row.
        ("first_block(row) + at / BLOCK_BYTES", "at / BLOCK_BYTES"),
        ("at % BLOCK_BYTES)", "(at % BLOCK_BYTES) ^ 1u)"),
        ("params.start_row + i / row_bytes()", "i / row_bytes()"),
        // Copying rows: padding after a row, and the start of the bound range.
        ("word &= (1u << (8u * rest)) - 1u;", ""),
        ("+ start - params.base)", "+ start)"),
        // Checking: a mark at another block, or none.
        ("quad / params.block_quads", "quad"),
        ("> 0x46800000u", "> 0x7f900000u"),
    ];
    for (right, wrong) in faults {
        let Some((gpu, planted)) = planting(wgpu::Features::empty(), right, wrong) else { return };
        assert!(!is_right(&gpu), "{right} may be {wrong}");
        assert!(planted.load(Relaxed), "no shader has {right}");
    }
}
