//! Multiplies vectors by quantized weights, on a GPU and on the CPU: `cargo run --release --example matmul`.

use qmill::gpu::{DeviceChoice, Matrix, Precision};
use qmill::{Error, Format, Gpu, cpu};

fn main() -> qmill::Result<()> {
    // 1024 rows of 2048 weights, as a file has them.
    let (rows, cols) = (1024, 2048);
    let format = Format::Q4_K;
    let weights: Vec<f32> = (0..rows * cols).map(|i| 0.02 * (i as f32).sin()).collect();
    let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, &weights, &mut bytes)?;

    // Two vectors, one after the other.
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

    // Weights can be looked up too: one row, decoded.
    let mut row = vec![0.0; cols];
    gpu.get_rows(&matrix, &[7], &mut row)?;
    println!("row 7 begins with {:.4?}", &row[..4]);
    Ok(())
}
