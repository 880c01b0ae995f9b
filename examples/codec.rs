//! Runs one codec as a filter.
//!
//! ```sh
//! codec quantize Q4_K < weights.f32 > blocks
//! codec dequantize Q4_K < blocks > weights.f32
//! ```
//!
//! Weights are raw little-endian f32. `tests/real/codecs.py` compares the bytes with those of ggml's own
//! library.

use qmill::{Format, cpu};
use std::error::Error;
use std::io::{self, Read, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [direction, format] = args.as_slice() else {
        return Err("usage: codec quantize|dequantize FORMAT < INPUT > OUTPUT".into());
    };
    let format: Format = format.parse()?;
    let info = format.info();

    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let output = match direction.as_str() {
        "quantize" => {
            let weights: Vec<f32> =
                input.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            let mut blocks = vec![0; weights.len() / info.block_weights * info.block_bytes];
            cpu::quantize(format, &weights, &mut blocks)?;
            blocks
        }
        "dequantize" => {
            let mut weights = vec![0.0; input.len() / info.block_bytes * info.block_weights];
            cpu::dequantize(format, &input, &mut weights)?;
            weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
        }
        other => return Err(format!("{other:?} is neither quantize nor dequantize").into()),
    };
    io::stdout().lock().write_all(&output)?;
    Ok(())
}
