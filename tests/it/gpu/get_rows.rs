//! Rows that are looked up equal the reference bit for bit, in every layout of a matrix.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::product::{Case, cols};
use super::{another_device, formats, gpu, in_turn, variants};
use qmill::gpu::Matrix;
use qmill::wgpu::BufferUsages;
use qmill::{Error, Format, Gpu, cpu};
use std::sync::Arc;

/// Rows, and columns in blocks: single, odd, and such that rows share words of small fields.
const SHAPES: [(usize, usize); 4] = [(1, 1), (33, 3), (16, 2), (5, 9)];

/// Looks rows up in ranges of poisoned buffers. One number is out of range.
fn check(gpu: &Gpu, matrix: &Matrix, case: &Case) -> Result<(), String> {
    let last = case.rows as u32 - 1;
    let numbers = [last, 0, case.rows as u32, last / 2, last];
    let mut bytes = vec![0xff; 256];
    bytes.extend_from_slice(bytemuck::cast_slice(&numbers));
    let number_buffer = buffer(gpu, &bytes, BufferUsages::STORAGE);
    let result_bytes = 4 * (numbers.len() * case.cols) as u64;
    let result = poisoned(gpu, result_bytes);
    let op = gpu.prepare_get_rows(matrix, &binding(&number_buffer), &binding(&result), numbers.len());
    let op = op.map_err(|error| error.to_string())?;
    submit(gpu, |encoder| op.record(encoder));
    let found = read(gpu, &result);
    let found: Vec<u32> = bytemuck::pod_collect_to_vec(within(&found, result_bytes)?);
    for (number, found) in numbers.into_iter().zip(found.chunks(case.cols)) {
        let is_right = match case.weights.chunks(case.cols).nth(number as usize) {
            Some(row) => row.iter().map(|w| w.to_bits()).eq(found.iter().copied()),
            None => found.iter().all(|&bits| bits == 0xa5a5_a5a5),
        };
        if !is_right {
            return Err(format!("row {number} is another"));
        }
    }
    Ok(())
}

#[test]
fn get_rows_equals_its_reference() {
    for (variant, gpu) in variants() {
        for (f, format) in formats().into_iter().enumerate() {
            for (s, (rows, blocks)) in SHAPES.into_iter().enumerate() {
                let (gpu, case) = (&in_turn(gpu, f + s), Case::random(format, rows, cols(format, blocks)));
                let result = check(gpu, &case.matrix(gpu), &case);
                assert_eq!(result, Ok(()), "{variant}: {format} {rows} x {}", case.cols);
            }
        }
    }
}

#[test]
fn get_rows_of_slices_equals_its_reference() {
    let Some(gpu) = gpu() else { return };
    let case = Case::gaussian(Format::Q4_K, 33, 512);
    let matrix = case.matrix(gpu);
    assert_eq!((matrix.rows(), matrix.cols(), matrix.format()), (33, 512, Format::Q4_K));
    assert_eq!(matrix.device_bytes(), 33 * 288);
    // A texture has whole rows.
    let bytes = case.matrix(&gpu.with_weights_in_textures(true)).device_bytes();
    assert!((33 * 288..33 * 288 + 32768).contains(&bytes), "{bytes}");
    let numbers = [32, 0, 7];
    let (mut found, mut expected) = (vec![0.0; 3 * 512], vec![0.0; 3 * 512]);
    gpu.get_rows(&matrix, &numbers, &mut found).unwrap();
    cpu::get_rows(case.format, case.rows, case.cols, &case.bytes, &numbers, &mut expected).unwrap();
    assert_eq!(found, expected);
}

/// Parts whose rows start within a word of a small field.
#[test]
fn stacked_matrices_are_their_rows_one_after_another() {
    let Some(gpu) = gpu() else { return };
    for format in [Format::Q4_0, Format::MXFP4, Format::Q6_K, Format::BF16] {
        let case = Case::gaussian(format, 1 + 6 + 4, cols(format, 3));
        let row_bytes = case.bytes.len() / case.rows;
        let parts = [0..1, 1..7, 7..11].map(|rows: std::ops::Range<usize>| {
            (rows.len(), &case.bytes[rows.start * row_bytes..rows.end * row_bytes])
        });
        let matrix = Matrix::stacked(gpu, format, case.cols, &parts).unwrap();
        assert_eq!(matrix.rows(), 11);
        assert_eq!(check(gpu, &matrix, &case), Ok(()), "{format}");
    }
}

#[test]
fn get_rows_reads_several_shards() {
    // Of 1820 of the rows below.
    let Some(gpu) = crate::gpu::device_of_small_buffers() else { return };
    // And rows of which fewer fit than are interleaved in a texture.
    for (format, rows, cols) in [(Format::Q4_0, 2000, 32), (Format::Q8_0, 100, 1600)] {
        let case = Case::gaussian(format, rows, cols);
        for gpu in [false, true].map(|in_textures| gpu.with_weights_in_textures(in_textures)) {
            assert_eq!(check(&gpu, &case.matrix(&gpu), &case), Ok(()), "{rows} x {cols}");
        }
    }
    let too_long = Matrix::new(&gpu, Format::F32, 1, 9000, &vec![0; 36000]).map(|_| ());
    assert!(matches!(too_long, Err(Error::Number { found: 36000, .. })), "{too_long:?}");
}

#[test]
fn planted_faults_in_get_rows_are_found() {
    // A row too many, a wrong quad, a wrong field, and a byte of a field from another block.
    let faults = [
        ("if (row < params.rows)", "if (row <= params.rows)"),
        ("quad % BLOCK_QUADS", "0u"),
        ("at >= FIELD1_FROM", "at > FIELD1_FROM"),
        ("with_byte(old, at, 0u)", "old"),
    ];
    for (right, wrong) in faults {
        let Some((device, queue)) = another_device() else { return };
        let rewrite = move |_: &str, text: String| text.replace(right, wrong);
        let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
        let case = Case::gaussian(Format::Q8_0, 33, 96);
        assert!(check(&gpu, &case.matrix(&gpu), &case).is_err(), "{right} may be {wrong}");
    }
}

#[test]
fn get_rows_operands_that_do_not_fit_are_refused() {
    let Some(gpu) = gpu() else { return };
    let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
    let new = |format, rows, cols, bytes: usize| {
        message(Matrix::new(gpu, format, rows, cols, &vec![0; bytes]).map(|_| ()))
    };
    assert_eq!(new(Format::Q4_0, 0, 32, 0), "the number of rows is 0, not 1 to 4294967295");
    assert_eq!(new(Format::Q4_0, 1, 0, 0), "the number of columns is 0, not 1 to 4294967295");
    assert!(new(Format::Q4_0, 1, 33, 18).starts_with("the matrix: rows of 33 weights are no whole number"));
    assert!(new(Format::Q4_0, 2, 32, 18).starts_with("Q4_0: 64 weights do not match 18 bytes"));
    let none = Matrix::stacked(gpu, Format::Q4_0, 32, &[]).map(|_| ());
    assert_eq!(message(none), "the number of rows is 0, not 1 to 4294967295");

    let matrix = Case::gaussian(Format::Q4_0, 4, 32).matrix(gpu);
    let get_rows = |numbers: &[u32], len: usize| message(gpu.get_rows(&matrix, numbers, &mut vec![0.0; len]));
    assert_eq!(get_rows(&[0, 4], 64), "the number of a row is 4, not less than 4");
    assert_eq!(get_rows(&[0], 31), "the length of the result is 31, not 32");
    assert_eq!(get_rows(&[], 0), "the count of rows is 0, not 1 to 4294967295");
}
