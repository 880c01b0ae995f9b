//! Holds logits against what `record_llm.py` recorded of libllama: `logits MODEL RECORD DEVICE BOUND [TYPE]`, with a device as `--device` takes it and a type to quantize to.
//!
//! Prints how far the logits after each prompt are from libllama's, as a part of the largest, and fails where that is more than the bound, or where another
//! token follows than libllama's although its lead was more than twice that.

use qmill::Device;
use qmill::Format;
use qmill::gpu::Precision;
use qmill::llm::{LoadOptions, Model, Session};
use serde_json::Value;
use std::error::Error;
use std::process::ExitCode;

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().map(|x| x.as_f64().unwrap_or(f64::NAN) as f32).collect()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, record, device, bound, rest @ ..] = &words[..] else {
        return Err("logits MODEL RECORD DEVICE BOUND [TYPE]".into());
    };
    let options = LoadOptions {
        device: Device::open(&device.parse()?, None)?,
        quantize: rest.first().map(|name| name.parse()).transpose()?,
        context: Some(512),
        cache: Format::F32,
        precision: Precision::Exact,
        ..LoadOptions::default()
    };
    let bound: f32 = bound.parse()?;
    let record: Value = serde_json::from_str(&std::fs::read_to_string(record)?)?;
    let model = Model::load(model, &options)?;
    let vocabulary = model.config().vocabulary;
    let mut session = Session::new(&model)?;
    let (mut worst, mut compared, mut other) = (0f32, 0, 0);
    for found in record.as_array().into_iter().flatten() {
        let tokens = |key: &str| floats(&found[key]).into_iter().map(|token| token as u32);
        let prompt = tokens("prompt").count();
        let text: Vec<u32> = tokens("prompt").chain(tokens("tokens")).collect();
        session.rewind(0)?;
        let logits = session.all_logits(&text[..text.len() - 1])?;
        let after_prompt = &logits[(prompt - 1) * vocabulary..];
        let right = floats(&found["logits"]);
        let largest = right.iter().fold(0f32, |most, x| most.max(x.abs()));
        let errors = right.iter().zip(after_prompt).map(|(right, found)| (right - found).abs() / largest);
        worst = errors.fold(worst, f32::max);
        let leads = floats(&found["leads"]);
        for ((logits, token), lead) in after_prompt.chunks(vocabulary).zip(&text[prompt..]).zip(leads) {
            if lead > 2.0 * bound * largest {
                let best = (0..vocabulary).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                compared += 1;
                other += usize::from(best != Some(*token as usize));
            }
        }
    }
    println!("off by at most {worst:.1e}; {other} of {compared} tokens are others");
    Ok(if worst <= bound && other == 0 && compared > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
