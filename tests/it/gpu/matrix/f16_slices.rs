//! Slices of f16 and bf16 in place of f32, on the device and on the CPU.

use crate::gpu::product::Case;
use crate::gpu::weights::sample;
use crate::gpu::{formats, gpu};
use crate::support::{dequantized, gaussian, quantized};
use half::{bf16, f16};
use qmill::gpu::{Matrix, Precision};
use qmill::{Format, cpu};

#[test]
fn f16_and_bf16_slices_multiply_and_look_up_as_f32_ones() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (6, 96);
    let case = Case::gaussian(Format::Q8_0, rows, cols);
    let matrix = case.matrix(gpu);
    let x: Vec<f16> = gaussian(9, 2 * cols).into_iter().map(f16::from_f32).collect();
    let wide: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    let (mut expected, mut y, mut bf16_y) =
        (vec![0.0; 2 * rows], vec![0.0; 2 * rows], vec![bf16::ZERO; 2 * rows]);
    for precision in [Precision::Exact, Precision::Int8] {
        gpu.matmul(&matrix, precision, &wide, &mut expected).unwrap();
        gpu.matmul(&matrix, precision, &x, &mut y).unwrap();
        assert_eq!(y, expected);
        pollster::block_on(gpu.matmul_async(&matrix, precision, &x, &mut bf16_y)).unwrap();
        assert!(bf16_y.iter().zip(&expected).all(|(y, e)| *y == bf16::from_f32(*e)), "{bf16_y:?}");
    }
    let mut row = vec![f16::ZERO; cols];
    gpu.get_rows(&matrix, &[4], &mut row).unwrap();
    assert!(row.iter().zip(&case.weights[4 * cols..]).all(|(w, e)| *w == f16::from_f32(*e)));

    let f16_matrix = Matrix::from_weights(gpu, 2, cols, &x, Format::Q4_0).unwrap();
    assert_eq!(f16_matrix.read().unwrap(), quantized(Format::Q4_0, &wide));
    let copied = Matrix::from_weights(gpu, 2, cols, &x, Format::F16).unwrap();
    assert_eq!(copied.read().unwrap(), bytemuck::cast_slice::<_, u8>(&x));
}

#[test]
fn f16_and_bf16_slices_equal_the_formats_of_a_file() {
    let weights = sample("mixed scales", 4096);
    let f16_weights: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
    let bf16_weights: Vec<bf16> = weights.iter().map(|&w| bf16::from_f32(w)).collect();
    for format in formats() {
        let info = format.info();
        if info.can_quantize() {
            let of_file =
                |source: Format| quantized(format, &dequantized(source, &quantized(source, &weights)));
            let mut blocks = vec![0; format.bytes_for(4096) as usize];
            cpu::quantize(format, &f16_weights, &mut blocks).unwrap();
            assert!(blocks == of_file(Format::F16), "{format}");
            cpu::quantize(format, &bf16_weights, &mut blocks).unwrap();
            assert!(blocks == of_file(Format::BF16), "{format}");
        }
        // More than one chunk.
        let blocks = Case::random(format, 70, 256).bytes;
        let wide = dequantized(format, &blocks);
        let (mut found, mut bf16_found) = (vec![f16::ZERO; wide.len()], vec![bf16::ZERO; wide.len()]);
        cpu::dequantize(format, &blocks, &mut found).unwrap();
        cpu::dequantize(format, &blocks, &mut bf16_found).unwrap();
        assert!(found.iter().zip(&wide).all(|(w, e)| *w == f16::from_f32(*e)), "{format}");
        assert!(bf16_found.iter().zip(&wide).all(|(w, e)| *w == bf16::from_f32(*e)), "{format}");
        let x: Vec<f32> = f16_weights[..256].iter().map(|x| x.to_f32()).collect();
        let row = &blocks[..format.bytes_for(256) as usize];
        assert_eq!(cpu::dot(format, row, &f16_weights[..256]).unwrap(), cpu::dot(format, row, &x).unwrap());
        let (mut y, mut bf16_y) = ([0.0; 70], [bf16::ZERO; 70]);
        cpu::matmul(format, 70, 256, &blocks, &x, &mut y).unwrap();
        cpu::matmul(format, 70, 256, &blocks, &f16_weights[..256], &mut bf16_y).unwrap();
        assert!(bf16_y.iter().zip(y).all(|(y, e)| *y == bf16::from_f32(e)), "{format}");
        let mut row = vec![f16::ZERO; 256];
        cpu::get_rows(format, 70, 256, &blocks, &[69], &mut row).unwrap();
        assert_eq!(row, found[69 * 256..]);
    }
}
