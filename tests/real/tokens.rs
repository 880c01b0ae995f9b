//! Prints tokens of texts, for `tokens.py`: `tokens MODEL` reads one JSON string a line, and answers each
//! with a line `[tokens, decoded text]`.

use qmill::gguf::Model;
use qmill::llm::Tokenizer;
use serde_json::json;
use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: tokens MODEL <LINES")?;
    let model = Model::open(path)?;
    let tokenizer = Tokenizer::new(model.shards()[0].metadata())?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let tokens = tokenizer.encode(&text);
        writeln!(out, "{}", json!([tokens, tokenizer.decode(&tokens)]))?;
    }
    Ok(())
}
