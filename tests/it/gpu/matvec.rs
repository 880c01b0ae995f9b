//! Multiplying by quantized weights and looking rows up, for every format, against f64 sums of the twin.
//!
//! A sum may be off by γ·Σ|wᵢxᵢ|. Each product is rounded once and passes through at most as many additions as
//! `MatvecForm::longest_path` counts, each of which rounds once: γ = n·u / (1 - n·u), with u = 2⁻²⁴ and n one more than the path.

use super::parity::{binding, buffer, poisoned, read, submit, within};
use super::weights::{encoded, random_blocks};
use super::{another_device, formats, gpu, variants};
use crate::support::gaussian;
use qmill::gpu::{Matrix, MatvecForm};
use qmill::wgpu::{self, BufferUsages};
use qmill::{Error, Format, Gpu, cpu};
use std::sync::Arc;

/// A matrix and what multiplies it.
struct Case {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
    weights: Vec<f32>,
}

impl Case {
    fn of(format: Format, rows: usize, cols: usize, bytes: Vec<u8>) -> Self {
        let mut weights = vec![0.0; rows * cols];
        cpu::dequantize(format, &bytes, &mut weights).unwrap();
        Self { format, rows, cols, bytes, weights }
    }

    /// Blocks of any bits whose weights are 0 or of a magnitude that no sum of products can lose.
    fn random(format: Format, rows: usize, cols: usize) -> Self {
        let info = format.info();
        let (count, mut bytes) = (rows * cols / info.block_weights, Vec::new());
        let mut weights = vec![0.0; info.block_weights];
        let is_good = |w: &f32| *w == 0.0 || (1e-30..1e15).contains(&w.abs());
        // The seed of random blocks is how many there are.
        for more in 1.. {
            let blocks = random_blocks(format, (2 * count + more) * info.block_weights);
            for block in blocks.chunks(info.block_bytes) {
                cpu::dequantize(format, block, &mut weights).unwrap();
                if bytes.len() < count * info.block_bytes && weights.iter().all(is_good) {
                    bytes.extend(block);
                }
            }
            if bytes.len() == count * info.block_bytes {
                break;
            }
        }
        Self::of(format, rows, cols, bytes)
    }

    fn gaussian(format: Format, rows: usize, cols: usize) -> Self {
        Self::of(format, rows, cols, encoded(format, &gaussian(3, rows * cols)))
    }

    fn matrix(&self, gpu: &Gpu) -> Matrix {
        Matrix::new(gpu, self.format, self.rows, self.cols, &self.bytes).unwrap()
    }

    /// Holds `y` against f64 sums; the largest error as a share of what is allowed.
    fn judge(&self, form: MatvecForm, x: &[f32], y: &[f32]) -> Result<f64, String> {
        let n = (form.longest_path(self.format, self.cols) + 1) as f64 * 2f64.powi(-24);
        let gamma = n / (1.0 - n);
        let mut worst = 0f64;
        for (v, (x, y)) in x.chunks(self.cols).zip(y.chunks(self.rows)).enumerate() {
            for (r, (w, &y)) in self.weights.chunks(self.cols).zip(y).enumerate() {
                let products = w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
                let error = (f64::from(y) - sum).abs();
                if error.is_nan() || error > gamma * size {
                    return Err(format!("vector {v}, row {r}: {y:e}, not {sum:e} ± {:e}", gamma * size));
                }
                worst = worst.max(if size > 0.0 { error / (gamma * size) } else { 0.0 });
            }
        }
        Ok(worst)
    }

    /// Multiplies in ranges of poisoned buffers.
    fn check(&self, gpu: &Gpu, form: MatvecForm, batch: usize) -> Result<f64, String> {
        let x: Vec<f32> = gaussian(7, batch * self.cols).iter().map(|x| 50.0 * x).collect();
        // What stands around x must not be multiplied: not with a weight that is not there either.
        let around = [f32::NAN.to_le_bytes(); 64].concat();
        let x_buffer = buffer(
            gpu,
            &[&around[..], bytemuck::cast_slice(&x), &around[..]].concat(),
            BufferUsages::STORAGE,
        );
        let y_bytes = 4 * (batch * self.rows) as u64;
        let y_buffer = poisoned(gpu, y_bytes);
        let op =
            gpu.prepare_matvec_as(form, &self.matrix(gpu), &binding(&x_buffer), &binding(&y_buffer), batch);
        let op = op.map_err(|error| error.to_string())?;
        submit(gpu, |encoder| op.record(encoder));
        let found = read(gpu, &y_buffer);
        let y: Vec<f32> = bytemuck::pod_collect_to_vec(within(&found, y_bytes)?);
        self.judge(form, &x, &y)
    }
}

/// Rows, columns in blocks, and vectors: one, awkward, and more than the lanes of a workgroup share evenly.
const SHAPES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (1, 3, 8), (16, 2, 3), (33, 1, 8), (33, 5, 1), (16, 9, 2)];

/// Columns of so many blocks; of a float format as many quads, of which the last may be in part.
fn cols(format: Format, blocks: usize) -> usize {
    if format.is_float() { 32 * blocks - blocks % 3 } else { format.info().block_weights * blocks }
}

#[test]
fn products_are_as_exact_as_their_sums_allow() {
    let mut faults = Vec::new();
    let mut worst = 0f64;
    for (variant, gpu) in variants() {
        for format in formats() {
            for (rows, blocks, batch) in SHAPES {
                let cols = cols(format, blocks);
                let mut cases = vec![Case::random(format, rows, cols)];
                if format.info().can_quantize() {
                    cases.push(Case::gaussian(format, rows, cols));
                }
                for (case, form) in
                    cases.iter().flat_map(|case| MatvecForm::ALL.map(move |form| (case, form)))
                {
                    match case.check(gpu, form, batch) {
                        Ok(share) => worst = worst.max(share),
                        Err(fault) => faults.push(format!(
                            "{variant}: {format} {form:?}, {rows} x {cols}, batch {batch}: {fault}"
                        )),
                    }
                }
            }
        }
    }
    println!("the largest error is {worst:.3} of its bound");
    assert!(faults.is_empty(), "{} of these are wrong:\n{}", faults.len(), faults.join("\n"));
}

/// Looks rows up in ranges of poisoned buffers; one number is that of no row.
fn check_get_rows(gpu: &Gpu, case: &Case) -> Result<(), String> {
    let last = case.rows as u32 - 1;
    let numbers = [last, 0, case.rows as u32, last / 2, last];
    let mut bytes = vec![0xff; 256];
    bytes.extend_from_slice(bytemuck::cast_slice(&numbers));
    let number_buffer = buffer(gpu, &bytes, BufferUsages::STORAGE);
    let result_bytes = 4 * (numbers.len() * case.cols) as u64;
    let result = poisoned(gpu, result_bytes);
    let op =
        gpu.prepare_get_rows(&case.matrix(gpu), &binding(&number_buffer), &binding(&result), numbers.len());
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
fn rows_that_are_looked_up_equal_their_twin() {
    for (variant, gpu) in variants() {
        for format in formats() {
            for (rows, blocks, _) in SHAPES {
                let case = Case::random(format, rows, cols(format, blocks));
                let result = check_get_rows(gpu, &case);
                assert_eq!(result, Ok(()), "{variant}: {format} {rows} x {}", case.cols);
            }
        }
    }
}

#[test]
fn slices_are_multiplied_and_looked_up_as_by_the_twin() {
    let Some(gpu) = gpu() else { return };
    let (rows, cols, batch) = (33, 512, 2);
    let case = Case::gaussian(Format::Q4_K, rows, cols);
    let matrix = case.matrix(gpu);
    assert_eq!((matrix.rows(), matrix.cols(), matrix.format()), (rows, cols, Format::Q4_K));
    assert_eq!(matrix.device_bytes(), 33 * 288);
    let x = gaussian(7, batch * cols);
    let (mut found, mut expected) = (vec![0.0; batch * rows], vec![0.0; batch * rows]);
    gpu.matvec(&matrix, &x, &mut found).unwrap();
    cpu::matvec(case.format, rows, cols, &case.bytes, &x, &mut expected).unwrap();
    case.judge(MatvecForm::Alone, &x, &found).unwrap();
    case.judge(MatvecForm::Shared, &x, &expected).unwrap();

    let numbers = [32, 0, 7];
    let (mut found, mut expected) = (vec![0.0; 3 * cols], vec![0.0; 3 * cols]);
    gpu.get_rows(&matrix, &numbers, &mut found).unwrap();
    cpu::get_rows(case.format, rows, cols, &case.bytes, &numbers, &mut expected).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn a_matrix_may_take_several_buffers() {
    let Some(adapter) = super::adapter() else { return };
    let descriptor = wgpu::DeviceDescriptor {
        // 113 of the rows below.
        required_limits: wgpu::Limits { max_storage_buffer_binding_size: 32768, ..wgpu::Limits::default() },
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_device(device, queue).unwrap();
    let case = Case::gaussian(Format::Q4_K, 257, 512);
    for form in MatvecForm::ALL {
        case.check(&gpu, form, 3).unwrap();
    }
    let few_columns = Case::gaussian(Format::Q4_0, 1700, 32);
    check_get_rows(&gpu, &few_columns).unwrap();
    let too_long = Matrix::new(&gpu, Format::F32, 1, 9000, &vec![0; 36000]).map(|_| ());
    assert!(matches!(too_long, Err(Error::Number { found: 36000, .. })), "{too_long:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(gpu) = gpu() else { return };
    let message = |result: qmill::Result<()>| result.unwrap_err().to_string();
    let new = |format, rows, cols, bytes: usize| {
        message(Matrix::new(gpu, format, rows, cols, &vec![0; bytes]).map(|_| ()))
    };
    assert_eq!(new(Format::Q4_0, 0, 32, 0), "the number of rows is 0, not 1 to 4294967295");
    assert_eq!(new(Format::Q4_0, 1, 0, 0), "the number of columns is 0, not 1 to 4294967295");
    assert!(new(Format::Q4_0, 1, 33, 18).starts_with("the matrix: rows of 33 weights are no whole number"));
    assert!(new(Format::Q4_0, 2, 32, 18).starts_with("Q4_0: 64 weights do not match 18 bytes"));

    let matrix = Case::gaussian(Format::Q4_0, 4, 32).matrix(gpu);
    let matvec = |x: usize, y: usize| message(gpu.matvec(&matrix, &vec![0.0; x], &mut vec![0.0; y]));
    assert_eq!(matvec(31, 4), "the number of vectors in x is 0, not 1 to 4294967295");
    assert_eq!(matvec(33, 4), "the length of x is 33, not 32");
    assert_eq!(matvec(64, 4), "the length of y is 4, not 8");
    assert_eq!(matvec(9 * 32, 9 * 4), "the batch is 9, not 1 to 8");
    let get_rows = |numbers: &[u32], len: usize| message(gpu.get_rows(&matrix, numbers, &mut vec![0.0; len]));
    assert_eq!(get_rows(&[0, 4], 64), "the number of a row is 4, not less than 4");
    assert_eq!(get_rows(&[0], 31), "the length of the result is 31, not 32");
    assert_eq!(get_rows(&[], 0), "the count of rows is 0, not 1 to 4294967295");

    let [right, short] = [512, 8].map(|bytes| buffer(gpu, &vec![0; bytes], BufferUsages::STORAGE));
    let copy_only = buffer(gpu, &[0; 512], BufferUsages::empty());
    let prepare = |x: &wgpu::Buffer, y: &wgpu::Buffer, offset| {
        let y = wgpu::BufferBinding { buffer: y, offset, size: None };
        message(gpu.prepare_matvec(&matrix, &x.as_entire_buffer_binding(), &y, 1).map(|_| ()))
    };
    assert_eq!(prepare(&short, &right, 0), "the range for x has 8 bytes, 128 are needed");
    assert_eq!(prepare(&right, &short, 0), "the range for y has 8 bytes, 16 are needed");
    assert!(prepare(&right, &right, 4).contains("align"));
    assert!(prepare(&right, &copy_only, 0).contains("STORAGE"));
}

/// A device whose matrix kernels have `right` replaced by `wrong`; the text must be there.
fn faulty(kernel: &'static str, right: &'static str, wrong: &'static str) -> Option<Gpu> {
    let (device, queue) = another_device()?;
    let rewrite = move |name: &str, text: String| {
        if !name.starts_with(kernel) {
            return text;
        }
        assert!(text.contains(right), "{name}: there is no {right:?}");
        text.replace(right, wrong)
    };
    Some(Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap())
}

/// Each must be found in at least one form, with a format whose codes are read by 32 or one whose weights are decoded by four.
const FAULTS: [(&str, &str); 11] = [
    // A weight that is left out, and one that is multiplied by its neighbour's activation.
    ("fma(w[2], vec4<f32>(x.z), ", "("),
    ("fma(w[1], vec4<f32>(x.y)", "fma(w[1], vec4<f32>(x.z)"),
    // The last block, the last lane, the last row, and one row too many.
    ("block < row_blocks", "block + 1u < row_blocks"),
    ("lane < lanes", "lane + 1u < lanes"),
    ("row < params.rows)", "row + 1u < params.rows)"),
    ("row < params.rows)", "row <= params.rows)"),
    // A vector in place of another, and one too many.
    ("min(vector, params.batch - 1u)", "0u"),
    ("vector < params.batch &&", "vector <= params.batch &&"),
    // A min that is lost, where codes are read by 32 and by four, and a code that is another's.
    ("opaque4(s.scales * q) - s.mins", "opaque4(s.scales * q)"),
    ("vec4<f32>>(a) - bitcast<f32>(b)", "vec4<f32>>(a)"),
    ("r3.b.w), last", "r3.b.z), last"),
];

#[test]
fn planted_faults_are_found() {
    for (right, wrong) in FAULTS {
        let Some((device, queue)) = another_device() else { return };
        let rewrite = move |_: &str, text: String| text.replace(right, wrong);
        let gpu = Gpu::from_device_rewriting(device, queue, Arc::new(rewrite)).unwrap();
        let is_found = [Format::Q4_K, Format::Q2_K].into_iter().any(|format| {
            let case = Case::gaussian(format, 33, 512);
            MatvecForm::ALL.into_iter().any(|form| case.check(&gpu, form, 3).is_err())
        });
        assert!(is_found, "{right} may be {wrong}");
    }
}

#[test]
fn a_wrong_row_that_is_looked_up_is_found() {
    let Some(gpu) = faulty("get_rows", "if (row < params.rows)", "if (row <= params.rows)") else { return };
    assert!(check_get_rows(&gpu, &Case::gaussian(Format::Q8_0, 33, 64)).is_err());
    let Some(gpu) = faulty("get_rows", "quad % BLOCK_QUADS", "0u") else { return };
    assert!(check_get_rows(&gpu, &Case::gaussian(Format::Q8_0, 33, 64)).is_err());
}
