//! Prints the logits of a model, for `logits.py`.
//!
//! `logits MODEL DEVICE` reads lines of `[prompt, answer]`, both as token numbers, and writes the logits
//! after the prompt and after each token of the answer, as plain f32. DEVICE is as for `--device`. Tokens of
//! an answer go through the model one by one, as in generation; activations and KV cache are exact. `logits
//! MODEL keys` writes the warnings of the metadata, a line each.

use qmill::gguf;
use qmill::gpu::Precision;
use qmill::llm::{Config, LoadOptions, Model, Session};
use qmill::{Device, Format};
use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};

/// Tokens of the longest prompt and its answer.
const CONTEXT: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [path, device] = &words[..] else { return Err("usage: logits MODEL DEVICE|keys <LINES".into()) };
    if device == "keys" {
        for warning in Config::new(&gguf::Model::open(path)?)?.warnings() {
            println!("{warning}");
        }
        return Ok(());
    }
    let options = LoadOptions::default()
        .with_device(Device::open(&device.parse()?, None)?)
        .with_context(CONTEXT)
        .with_cache_keys(Format::F32)
        .with_cache_values(Format::F32)
        .with_precision(Precision::Exact);
    let model = Model::load(path, &options)?;
    eprintln!("{}", model.device());
    let mut session = Session::new(&model)?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let [prompt, answer]: [Vec<u32>; 2] = serde_json::from_str(&line?)?;
        session.rewind(0)?;
        session.prefill(&prompt)?;
        out.write_all(bytemuck::cast_slice(session.logits()))?;
        for token in answer {
            session.prefill(&[token])?;
            out.write_all(bytemuck::cast_slice(session.logits()))?;
        }
    }
    Ok(())
}
