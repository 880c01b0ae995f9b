//! Quantizes a tensor on a GPU, and keeps it there: `cargo run --release --example quantize_tensor`.

use qmill::gpu::{Converter, DeviceChoice, Matrix, Precision};
use qmill::{Error, Format, Gpu, cpu};

fn main() -> qmill::Result<()> {
    let gpu = match Gpu::open(&DeviceChoice::Gpu, None) {
        Err(Error::NoAdapter { .. }) => return Ok(()),
        gpu => gpu?,
    };
    let (rows, cols) = (512, 1024);
    let weights: Vec<f32> = (0..rows * cols).map(|i| 0.02 * (0.37 * i as f32).sin()).collect();
    let source: &[u8] = bytemuck::cast_slice(&weights);
    let x: Vec<f32> = (0..cols).map(|i| (0.1 * i as f32).cos()).collect();

    let mut converter = Converter::new(&gpu, 64 << 20);
    println!("format  bytes a weight  RMSE      y[0] of y = x·Wᵀ");
    for format in [Format::F16, Format::Q8_0, Format::Q6_K, Format::Q4_K, Format::Q3_K, Format::Q2_K] {
        // The blocks of a file, the same bytes as on the CPU.
        let mut blocks = vec![0; format.bytes_for(weights.len() as u64) as usize];
        converter.convert(Format::F32, source, format, &mut blocks)?;
        let mut decoded = vec![0.0; weights.len()];
        cpu::dequantize(format, &blocks, &mut decoded)?;
        let squares = weights.iter().zip(&decoded).map(|(w, d)| f64::from(w - d).powi(2));
        let rmse = (squares.sum::<f64>() / weights.len() as f64).sqrt();

        // The same weights as a matrix for products.
        let matrix = Matrix::from_weights(&gpu, rows, cols, &weights, format)?;
        let mut y = vec![0.0; rows];
        gpu.matmul(&matrix, Precision::Exact, &x, &mut y)?;
        let bytes = matrix.device_bytes() as f64 / weights.len() as f64;
        println!("{format:7} {bytes:14.4}  {rmse:.2e}  {:.6}", y[0]);
    }
    Ok(())
}
