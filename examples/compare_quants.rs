//! Answers one prompt with several types of one model.
//!
//! `cargo run --release --example compare_quants [MODEL] [PROMPT] [TYPE]...`
//!
//! MODEL is a file of F32, F16 or BF16, which is quantized while it is loaded. A TYPE that is a file is
//! loaded unchanged.

use qmill::Device;
use qmill::gpu::DeviceChoice;
use qmill::llm::{Generator, LoadOptions, Model, SamplerOptions, Session, Tokenizer};
use std::ops::ControlFlow;
use std::path::Path;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");
const TOKENS: usize = 24;

fn main() -> qmill::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| TINY.to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "ROMEO:\nBut, soft! what light".to_owned());
    let mut types: Vec<String> = arguments.collect();
    if types.is_empty() {
        types = ["F16", "Q8_0", "Q4_K_M", "Q3_K_L"].map(str::to_owned).to_vec();
    }
    let device = Device::open(&DeviceChoice::Auto, None)?;
    println!("{prompt:?} on {device}\n");
    println!("type          size MB  bits/weight  prompt tok/s  answer tok/s  answer");
    for name in types {
        let is_file = Path::new(&name).is_file();
        let quantize = if is_file { None } else { Some(name.parse()?) };
        let options = LoadOptions::default().with_device(device.clone()).with_quantize(quantize);
        let model = Model::load(if is_file { &name } else { &path }, &options)?;
        let tokenizer = Tokenizer::new(model.metadata())?;
        let tokens = tokenizer.prompt(&prompt);
        // Always the most likely token, so that only the weights make a difference.
        let mut generator = Generator::new(Session::new(&model)?, tokenizer, SamplerOptions::greedy())?;
        let answer = generator.answer(&tokens, TOKENS, &mut |_| ControlFlow::Continue(()))?;
        let bytes = model.device_bytes() as f64;
        println!(
            "{name:12} {:8.2} {:12.2} {:13.1} {:13.1}  {:?}",
            bytes / 1e6,
            bytes * 8.0 / model.parameters() as f64,
            answer.prompt_rate(),
            answer.rate(),
            answer.text
        );
    }
    Ok(())
}
