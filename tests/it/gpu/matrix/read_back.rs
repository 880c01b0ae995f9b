//! Reading matrices back: the bytes of a file.

use super::{SHAPES, from, holding};
use crate::gpu::device_of_small_buffers;
use crate::gpu::product::cols;
use crate::gpu::weights::random_blocks;
use crate::gpu::{formats, gpu, in_turn, variants};
use qmill::Format;
use qmill::gpu::Matrix;

#[test]
fn matrices_read_back_are_the_bytes_of_the_file() {
    for (variant, gpu) in variants() {
        for (f, format) in formats().into_iter().enumerate() {
            for (s, (rows, blocks)) in SHAPES.into_iter().enumerate() {
                let cols = cols(format, blocks);
                let bytes = random_blocks(format, rows * cols);
                let gpu = &in_turn(gpu, f + s);
                let matrix = Matrix::new(gpu, format, rows, cols, &bytes).unwrap();
                assert!(matrix.read().unwrap() == bytes, "{variant}: {format} {rows} x {cols}");
            }
        }
    }
}

#[test]
fn ranges_of_rows_are_read_back_also_from_file_layout() {
    let Some(gpu) = gpu() else { return };
    for format in [Format::Q6_K, Format::MXFP4, Format::BF16] {
        let (rows, cols) = (40, cols(format, 3));
        let bytes = random_blocks(format, rows * cols);
        let row_bytes = bytes.len() / rows;
        let mut matrices = vec![Matrix::new(gpu, format, rows, cols, &bytes).unwrap()];
        if !format.is_float() {
            matrices.push(Matrix::as_in_file(gpu, format, rows, cols, &bytes).unwrap());
        }
        for matrix in matrices {
            for range in [0..1, 7..12, 39..40, 13..13] {
                let mut found = vec![0; range.len() * row_bytes];
                matrix.read_rows(range.clone(), &mut found).unwrap();
                assert!(
                    found == bytes[range.start * row_bytes..range.end * row_bytes],
                    "{format}: {range:?}"
                );
            }
            let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
            let beyond = message(matrix.read_rows(39..41, &mut vec![0; 2 * row_bytes]));
            assert_eq!(beyond, "the row after the last to read is 41, not at most 40");
            let short = message(matrix.read_rows(0..2, &mut vec![0; row_bytes]));
            assert_eq!(short, format!("the number of bytes is {row_bytes}, not {}", 2 * row_bytes));
        }
    }
}

#[test]
fn matrices_of_several_shards_are_filled_from_one_buffer_and_read_back() {
    let Some(gpu) = device_of_small_buffers() else { return };
    for (f, format) in formats().into_iter().enumerate() {
        let gpu = &in_turn(&gpu, f);
        // About 80 KiB, in chunks and shards that end within rows.
        let cols = cols(format, 5);
        let rows = 80_000 / format.bytes_for(cols as u64) as usize;
        let bytes = random_blocks(format, rows * cols);
        let matrix = Matrix::new(gpu, format, rows, cols, &bytes).unwrap();
        assert!(matrix.read().unwrap() == bytes, "{format}: {rows} x {cols}");
        let large = holding(gpu, &bytes, 0);
        let matrix = Matrix::from_buffer(gpu, format, rows, cols, &from(&large, 0)).unwrap();
        assert!(matrix.read().unwrap() == bytes, "{format}: {rows} x {cols} from a buffer");
    }
}

#[test]
fn matrices_from_device_buffers_are_the_bytes_of_the_file() {
    for (variant, gpu) in variants() {
        for (f, format) in formats().into_iter().enumerate() {
            for (s, (rows, blocks)) in SHAPES.into_iter().enumerate() {
                let (gpu, cols) = (&in_turn(gpu, f + s), cols(format, blocks));
                let bytes = random_blocks(format, rows * cols);
                let offset = [0, 256, 6, 131][s];
                let on_device = holding(gpu, &bytes, offset);
                let matrix = Matrix::from_buffer(gpu, format, rows, cols, &from(&on_device, offset)).unwrap();
                assert!(matrix.read().unwrap() == bytes, "{variant}: {format} {rows} x {cols} at {offset}");
            }
        }
    }
}
