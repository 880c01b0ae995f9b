//! Quantizes weights that an app has in memory, and shows what that costs: `cargo run --example quantize_tensor`.

use qmill::{Format, cpu};

fn main() -> qmill::Result<()> {
    // A matrix of 64 rows of 512 weights, row by row; each row is two blocks of 256.
    let weights: Vec<f32> = (0u16..64 * 512).map(|i| 0.02 * f32::from(i).sin()).collect();

    let format = Format::Q4_K;
    let mut bytes = vec![0; format.bytes_for(weights.len() as u64) as usize];
    cpu::quantize(format, &weights, &mut bytes)?;
    let mut back = vec![0.0; weights.len()];
    cpu::dequantize(format, &bytes, &mut back)?;

    let squared = |error: f32| f64::from(error) * f64::from(error);
    let noise: f64 = weights.iter().zip(&back).map(|(w, q)| squared(w - q)).sum();
    let signal: f64 = weights.iter().map(|&w| squared(w)).sum();
    println!("{} weights in {} bytes of {format}", weights.len(), bytes.len());
    println!("root mean square error {:.6}", (noise / weights.len() as f64).sqrt());
    println!("signal to noise {:.1} dB", 10.0 * (signal / noise).log10());

    // Products can be taken without decoding a row first.
    let x = vec![1.0; 512];
    let row = &bytes[..format.bytes_for(512) as usize];
    let exact: f32 = weights[..512].iter().sum();
    println!("sum of the first row {:.6}, {exact:.6} before", cpu::dot(format, row, &x)?);
    Ok(())
}
