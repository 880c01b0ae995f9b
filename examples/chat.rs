//! Chats with a model: `cargo run --release --example chat [MODEL] [MESSAGE]...`. Without messages it reads
//! lines of standard input.
//!
//! A model without a chat template, such as the small default, continues the message instead.

use qmill::Device;
use qmill::gpu::DeviceChoice;
use qmill::llm::{ChatTemplate, Generator, LoadOptions, Message, Model, SamplerOptions, Session, Tokenizer};
use std::io::{self, BufRead, Write};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny-shakespeare-f16.gguf");

/// A conversation. It borrows nothing, so an app can keep it anywhere.
struct Conversation {
    generator: Generator,
    template: Option<ChatTemplate>,
    messages: Vec<Message>,
}

impl Conversation {
    fn new(path: &str) -> qmill::Result<Self> {
        // A GPU if there is one. The weights stay quantized on it, as in the file.
        let device = Device::open(&DeviceChoice::Auto, None)?;
        let model = Model::load(path, &LoadOptions::default().with_device(device))?;
        let tokenizer = Tokenizer::new(model.metadata())?;
        let template = ChatTemplate::new(model.metadata(), &tokenizer)?;
        let generator = Generator::new(Session::new(&model)?, tokenizer, SamplerOptions::default())?;
        Ok(Self { generator, template, messages: Vec::new() })
    }

    /// Prints the answer to a message as it is generated.
    fn answer(&mut self, message: &str) -> Result<(), Box<dyn std::error::Error>> {
        self.messages.push(Message::new("user", message));
        let text = match &self.template {
            Some(template) => template.render(&self.messages)?,
            None => self.messages.iter().map(|message| message.content.as_str()).collect(),
        };
        let prompt = self.generator.tokenizer().prompt(&text);
        // Only the new tokens of the text go through the model. To stop early, leave the loop.
        let mut tokens = self.generator.tokens(&prompt, 40)?;
        for token in &mut tokens {
            print!("{}", token?.text);
            io::stdout().flush()?;
        }
        let answer = tokens.into_answer();
        println!("\n[{:.1} tokens/s]", answer.rate());
        self.messages.push(Message::new("assistant", answer.text + "\n"));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        let mut talk = Conversation::new(TINY)?;
        return ["ROMEO:\n", "JULIET:\n"].iter().try_for_each(|message| talk.answer(message));
    };
    let mut talk = Conversation::new(&path)?;
    let messages: Vec<String> = arguments.collect();
    if messages.is_empty() {
        return io::stdin().lock().lines().try_for_each(|line| talk.answer(&line?));
    }
    messages.iter().try_for_each(|message| talk.answer(message))
}
