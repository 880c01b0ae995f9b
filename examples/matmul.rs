//! Multiplies vectors by quantized weights, on a GPU and on the CPU: `cargo run --release --example matmul`.

use qmill::gguf::Model;
use qmill::gpu::{DeviceChoice, Matrix, Precision, TensorOptions};
use qmill::half::f16;
use qmill::{Error, Format, Gpu, cpu};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

fn main() -> qmill::Result<()> {
    // 1024 rows of 2048 weights, encoded as in a file.
    let (rows, cols) = (1024, 2048);
    let format = Format::Q4_K;
    let weights: Vec<f32> = (0..rows * cols).map(|i| 0.02 * (i as f32).sin()).collect();
    let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, &weights, &mut bytes)?;

    // Two vectors.
    let x: Vec<f32> = (0..2 * cols).map(|i| (0.1 * i as f32).cos()).collect();
    let mut expected = vec![0.0; 2 * rows];
    cpu::matmul(format, rows, cols, &bytes, &x, &mut expected)?;

    let gpu = match Gpu::open(&DeviceChoice::Gpu, None) {
        Err(Error::NoAdapter { .. }) => return Ok(()),
        gpu => gpu?,
    };
    let matrix = Matrix::new(&gpu, format, rows, cols, &bytes)?;
    println!("{rows} x {cols} weights take {} bytes on {}", matrix.device_bytes(), gpu.name());
    let mut y = vec![0.0; 2 * rows];
    for precision in [Precision::Exact, Precision::Int8] {
        gpu.matmul(&matrix, precision, &x, &mut y)?;
        let error = y.iter().zip(&expected).map(|(y, e)| (y - e).abs()).fold(0.0, f32::max);
        println!("{precision:?}: y[0] is {:.6}; the largest difference from the CPU is {error:.1e}", y[0]);
    }

    // Looks up and decodes one row.
    let mut row = vec![0.0; cols];
    gpu.get_rows(&matrix, &[7], &mut row)?;
    println!("row 7 begins with {:.4?}", &row[..4]);

    // Loads a tensor of a file by name and quantizes it; vectors are f16.
    let model = Model::open(TINY)?;
    let options = TensorOptions::new().quantized(Format::Q8_0);
    let matrix = Matrix::from_gguf_with(&gpu, &model, "blk.0.ffn_up.weight", &options)?;
    let x: Vec<f16> = (0..matrix.cols()).map(|i| f16::from_f32((0.1 * i as f32).cos())).collect();
    let mut y = vec![f16::ZERO; matrix.rows()];
    gpu.matmul(&matrix, Precision::Exact, &x, &mut y)?;
    println!("{} rows of a model, of {}; y begins with {:.4?}", matrix.rows(), matrix.format(), &y[..4]);

    // Reads the matrix back: the bytes of a file.
    assert_eq!(matrix.read()?.len() as u64, Format::Q8_0.bytes_for((matrix.rows() * matrix.cols()) as u64));
    Ok(())
}
