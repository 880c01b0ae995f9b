//! Generates and prints answers.

use super::super::failure::Failure;
use super::super::{model, show};
use super::interrupt::Interrupt;
use qmill::llm::{Answer, End, Generator, Model};
use serde_json::json;
use std::cell::Cell;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Generates answers, and prints them with their figures.
pub(super) struct AnswerPrinter<'a> {
    pub(super) model: &'a Model,
    pub(super) load_seconds: f64,
    /// Whether the loading time was printed, which is done once.
    pub(super) is_load_reported: Cell<bool>,
    /// The most tokens in an answer.
    pub(super) limit: usize,
    pub(super) seed: u64,
    pub(super) stats: bool,
    pub(super) json: bool,
    pub(super) stop: &'a Interrupt,
}

impl AnswerPrinter<'_> {
    /// Answers a prompt. Ctrl-C ends the answer; during the prompt it fails with [`Failure::Interrupted`].
    pub(super) fn answer(&self, generator: &mut Generator, prompt: &[u32]) -> Result<Answer, Failure> {
        let answer = self.stop.during(|| self.generate(generator, prompt))?;
        self.print_figures(&answer)?;
        Ok(answer)
    }

    /// The model's name in its file.
    pub(super) fn name(&self) -> String {
        let name = self.model.metadata().str_of("general.name");
        show::escaped(name.unwrap_or(&self.model.config().architecture))
    }

    fn generate(&self, generator: &mut Generator, prompt: &[u32]) -> Result<Answer, Failure> {
        let flow = |stops| if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let tokens = generator.tokens_with(prompt, self.limit, &mut |_| flow(self.stop.is_set()));
        let mut tokens = match tokens {
            Err(qmill::Error::Cancelled) => return Err(Failure::Interrupted),
            other => other?,
        };
        let mut out = io::stdout().lock();
        let mut shown = 0;
        for token in &mut tokens {
            let text = token?.text;
            shown += text.len();
            if !self.json {
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            if self.stop.is_set() {
                break;
            }
        }
        let answer = tokens.into_answer();
        if !self.json {
            // An incomplete character is printed at the end.
            writeln!(out, "{}", &answer.text[shown..])?;
        }
        Ok(answer)
    }

    fn print_figures(&self, answer: &Answer) -> Result<(), Failure> {
        let Answer { prompt_tokens, prompt_seconds, seconds, .. } = answer;
        let (prompt_rate, rate) = (answer.prompt_rate(), answer.rate());
        let tokens = answer.tokens.len();
        if self.json {
            let mut object = json!({
                "text": answer.text,
                "end": end(answer.end),
                "prompt_tokens": prompt_tokens,
                "generated_tokens": tokens,
                "prompt_seconds": prompt_seconds,
                "generate_seconds": seconds,
                "prompt_tokens_per_second": prompt_rate,
                "generated_tokens_per_second": rate,
                "load_seconds": self.load_seconds,
                "seed": self.seed,
            });
            model::add_sizes(&mut object, self.model);
            writeln!(io::stdout(), "{object}")?;
        } else if self.stats {
            eprintln!("load    {:.2} s", self.load_seconds);
            eprintln!("prompt  {prompt_tokens} tokens in {prompt_seconds:.2} s, {prompt_rate:.1} tokens/s");
            eprintln!("answer  {tokens} tokens in {seconds:.2} s, {rate:.1} tokens/s; {}", end(answer.end));
            eprintln!("model   {}; seed {}", model::sizes(self.model), self.seed);
        } else {
            let loaded = if self.is_load_reported.replace(true) {
                String::new()
            } else {
                format!("loaded in {:.2} s; ", self.load_seconds)
            };
            eprintln!(
                "[{loaded}prompt {prompt_tokens} tokens, {prompt_rate:.1}/s; \
                 answer {tokens} tokens, {rate:.1}/s; {}]",
                end(answer.end)
            );
        }
        Ok(())
    }
}

fn end(end: End) -> &'static str {
    match end {
        End::Token => "complete",
        End::Context => "the context is full",
        End::Stopped => "stopped",
        // The most tokens that an answer may have.
        _ => "limit",
    }
}
