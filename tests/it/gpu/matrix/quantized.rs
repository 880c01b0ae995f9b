//! Weights that are quantized into a matrix, from the host and from a buffer of the device.

use super::{FLOATS, SHAPES, fault, from, holding};
use crate::gpu::device_of_small_buffers;
use crate::gpu::product::cols;
use crate::gpu::weights::{encoded, sample};
use crate::gpu::{formats, gpu, in_turn};
use crate::support::{dequantized, gaussian, quantized};
use qmill::gpu::{Check, Matrix, QuantizeOptions};
use qmill::{Error, Format, Gpu};

/// Weights of every magnitude that quantizers treat differently, including blocks that they decline; none
/// overflows a scale.
fn mixed(count: usize) -> Vec<f32> {
    let mut weights = gaussian(11, count);
    let unusual = sample("any exponent", count);
    for (i, weight) in weights.iter_mut().enumerate() {
        match i / 64 % 7 {
            2 => *weight = unusual[i].clamp(-60000.0, 60000.0),
            4 if i % 64 == 5 => *weight = 20000.0,
            5 => *weight = 0.0,
            _ => {}
        }
    }
    weights
}

/// Checks quantizing on the device, from the host and from a buffer.
#[track_caller]
fn check_quantized(gpu: &Gpu, source: Format, rows: usize, cols: usize, bytes: &[u8], to: Format) {
    let expected = quantized(to, &dequantized(source, bytes));
    let what = format!("{source} to {to}, {rows} x {cols}");
    let matrix = Matrix::quantized(gpu, source, rows, cols, bytes, to).unwrap();
    assert!(matrix.read().unwrap() == expected, "{what}");
    let on_device = holding(gpu, bytes, 6);
    let matrix = Matrix::quantized_from_buffer(gpu, source, rows, cols, &from(&on_device, 6), to).unwrap();
    assert!(matrix.read().unwrap() == expected, "{what}, on the device");
}

#[test]
fn matrices_quantized_on_the_device_equal_the_reference() {
    let Some(gpu) = gpu() else { return };
    let encoders = || formats().into_iter().filter(|format| format.info().can_quantize());
    for (t, to) in encoders().enumerate() {
        for (s, source) in FLOATS.into_iter().enumerate() {
            let (rows, blocks) = SHAPES[1 + (s + t) % 3];
            let cols = cols(to, blocks);
            let bytes = encoded(source, &mixed(rows * cols));
            check_quantized(&in_turn(gpu, s + t), source, rows, cols, &bytes, to);
        }
        // From quantized formats.
        let cols = 256;
        check_quantized(gpu, Format::Q8_0, 9, cols, &quantized(Format::Q8_0, &mixed(9 * cols)), to);
        check_quantized(gpu, Format::Q6_K, 3, cols, &quantized(Format::Q6_K, &gaussian(5, 3 * cols)), to);
    }
}

#[test]
fn matrices_of_many_chunks_are_quantized_on_the_device() {
    let Some(gpu) = device_of_small_buffers() else { return };
    for (source, to, cols) in [
        (Format::F32, Format::Q4_K, 1280),
        (Format::F16, Format::Q8_0, 480),
        (Format::BF16, Format::F16, 321),
        (Format::F32, Format::F32, 77),
        (Format::Q8_0, Format::Q5_0, 480),
    ] {
        // More than one binding holds.
        let rows = 120_000 / source.bytes_for(cols as u64) as usize;
        let bytes = quantized(source, &mixed(rows * cols));
        check_quantized(&gpu, source, rows, cols, &bytes, to);
    }
}

/// Every second block is declined, in more runs than are read back separately.
#[test]
fn many_declined_blocks_are_quantized_by_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (96, 1024);
    let every_other = |i: usize, w: f32| if (i / 32).is_multiple_of(2) { w * 1e-12 } else { w };
    let weights: Vec<f32> =
        gaussian(5, rows * cols).into_iter().enumerate().map(|(i, w)| every_other(i, w)).collect();
    check_quantized(gpu, Format::F32, rows, cols, bytemuck::cast_slice(&weights), Format::Q8_0);
}

#[test]
fn weights_that_are_not_finite_are_refused_with_row_and_column() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols) = (7, 512);
    let at = 5 * cols + 301;
    let both = |source: Format, bytes: &[u8], options: QuantizeOptions| {
        let host = Matrix::quantized(gpu, source, rows, cols, bytes, options.clone());
        let on_device = holding(gpu, bytes, 256);
        let on_device =
            Matrix::quantized_from_buffer(gpu, source, rows, cols, &from(&on_device, 256), options.clone());
        let (host, on_device) = (host.map(|_| ()), on_device.map(|_| ()));
        assert_eq!(host.as_ref().err().map(ToString::to_string), on_device.err().map(|e| e.to_string()));
        host
    };
    for to in [Format::Q4_0, Format::Q4_K, Format::F32, Format::F16, Format::BF16] {
        for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            for source in FLOATS {
                let mut weights = gaussian(2, rows * cols);
                weights[at] = value;
                let bytes = quantized(source, &weights);
                let expected = format!("blk.0: row 5, column 301 is {name}, not a finite number");
                let options = QuantizeOptions::new(to).with_name("blk.0");
                assert_eq!(fault(both(source, &bytes, options.clone())), expected, "{source} to {to}");
                assert!(both(source, &bytes, options.with_check(Check::Nothing)).is_ok(), "{source} to {to}");
            }
        }
    }

    // Too large for a scale or for f16: values that kernels accept, and values that they decline.
    for (value, to, column) in [
        (9e5, Format::Q4_0, 288),
        (1e30, Format::Q4_0, 288),
        (7e4, Format::F16, 301),
        (-3e38, Format::Q8_0, 288),
        (1e7, Format::Q4_1, 288),
    ] {
        let mut weights = gaussian(2, rows * cols);
        weights[at] = value;
        let bytes: &[u8] = bytemuck::cast_slice(&weights);
        let expected =
            format!("the matrix: the weights from row 5, column {column} on are too large for {to}");
        assert_eq!(fault(both(Format::F32, bytes, to.into())), expected, "{value}");
        assert!(both(Format::F32, bytes, QuantizeOptions::new(to).with_check(Check::Nothing)).is_ok());
        // The largest that fits.
        weights[at] = 65000.0;
        assert!(both(Format::F32, bytemuck::cast_slice(&weights), to.into()).is_ok(), "{to}");
    }

    // A scale in a block.
    let mut blocks = quantized(Format::Q8_0, &gaussian(2, rows * cols));
    blocks[34 * (5 * 16 + 9)..][..2].copy_from_slice(&0x7c00u16.to_le_bytes());
    let refused = Matrix::quantized(gpu, Format::Q8_0, rows, cols, &blocks, Format::Q4_0);
    let expected = "the matrix: the Q8_0 block at row 5, column 288 has a scale that is not a finite number";
    assert_eq!(fault(refused), expected);
    let refused = Matrix::quantized(gpu, Format::Q8_0, rows, cols, &blocks, Format::Q8_0);
    assert_eq!(fault(refused), expected);
    // On the device, the decoded weights are checked.
    let on_device = holding(gpu, &blocks, 0);
    let refused =
        Matrix::quantized_from_buffer(gpu, Format::Q8_0, rows, cols, &from(&on_device, 0), Format::Q4_0);
    assert!(matches!(refused, Err(Error::NotFinite { row: 5, .. })), "{refused:?}");
}
