//! Talks with a model: `cargo run --release --example chat [MODEL] [MESSAGE]...`; without messages, lines of the standard input.
//!
//! A model without a chat template, as the small one that is taken by default, continues the message instead.

use qmill::Device;
use qmill::gpu::DeviceChoice;
use qmill::llm::{ChatTemplate, Generator, LoadOptions, Message, Model, SamplerOptions, Session, Tokenizer};
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next();
    let mut messages: Vec<String> = arguments.collect();
    if path.is_none() {
        messages = vec!["ROMEO:\n".to_owned(), "JULIET:\n".to_owned()];
    }

    // A GPU if there is one. The weights stay on it as the file has them.
    let device = Device::open(&DeviceChoice::Auto, None)?;
    let options = LoadOptions { device, ..LoadOptions::default() };
    let model = Model::load(path.as_deref().unwrap_or(TINY), &options)?;
    let tokenizer = Tokenizer::new(model.metadata())?;
    let template = ChatTemplate::new(model.metadata(), &tokenizer)?;
    let mut generator = Generator::new(Session::new(&model)?, &tokenizer, SamplerOptions::default())?;

    let mut talk = Vec::new();
    let mut answer = |message: String| -> qmill::Result<()> {
        talk.push(Message::new("user", message));
        let text = match &template {
            Some(template) => template.render(&talk)?,
            None => talk.iter().map(|message| message.content.as_str()).collect(),
        };
        // Of the text so far, only what is new goes through the model.
        let answer = generator.answer(&tokenizer.prompt(&text), 40, &mut |piece| {
            print!("{piece}");
            io::stdout().flush().map_or(ControlFlow::Break(()), ControlFlow::Continue)
        })?;
        println!("\n[{:.1} tokens/s]", answer.rate());
        talk.push(Message::new("assistant", answer.text + "\n"));
        Ok(())
    };
    if messages.is_empty() {
        for line in io::stdin().lock().lines() {
            answer(line?)?;
        }
    }
    for message in messages {
        println!("> {message}");
        answer(message)?;
    }
    Ok(())
}
