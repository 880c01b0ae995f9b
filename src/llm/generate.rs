//! From a prompt to an answer.

use super::{Sampler, SamplerOptions, Session, Tokenizer};
use crate::Result;
use std::ops::ControlFlow;
use std::time::Instant;

/// Answers prompts: a session with its tokenizer and sampler.
#[derive(Debug)]
pub struct Generator<'a> {
    session: Session,
    tokenizer: &'a Tokenizer,
    sampler: Sampler,
    /// The tokens of the session.
    held: Vec<u32>,
}

/// What came of a prompt.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The text, without the prompt.
    pub text: String,
    /// Its tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub end: End,
    /// Tokens of the prompt that went through the model: without those at its beginning that the session held already.
    pub prompt_tokens: usize,
    /// Seconds for these.
    pub prompt_seconds: f64,
    /// How often the model computed after the prompt; the first token of the answer comes of the prompt.
    pub steps: usize,
    /// Seconds for these, choosing tokens included.
    pub seconds: f64,
}

/// Why an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// The model had said all.
    Token,
    /// As many tokens were made as were allowed.
    Limit,
    /// The context is full.
    Context,
    /// The caller broke off.
    Stopped,
}

impl<'a> Generator<'a> {
    /// Takes an empty session, or one whose tokens are of no use any more.
    pub fn new(mut session: Session, tokenizer: &'a Tokenizer, options: SamplerOptions) -> Result<Self> {
        session.rewind(0)?;
        Ok(Self { session, tokenizer, sampler: Sampler::new(options), held: Vec::new() })
    }

    /// Answers `prompt`, all tokens of the text so far, with up to `limit` tokens; `show` sees the text as it comes.
    ///
    /// What the session holds already of the prompt is not computed again: a conversation costs what is new in it. Fails
    /// as [`Session::prefill`] does.
    pub fn answer(
        &mut self,
        prompt: &[u32],
        limit: usize,
        show: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer> {
        let start = Instant::now();
        // The last token is computed in any case, for what comes after it.
        let shared = self.held.iter().zip(prompt).take_while(|(held, new)| held == new).count();
        let shared = shared.min(prompt.len().saturating_sub(1));
        self.held.truncate(shared);
        self.session.rewind(shared)?;
        let new = &prompt[shared..];
        self.session.prefill(new)?;
        self.held.extend(new);
        for &token in new {
            self.sampler.accept(token);
        }
        let prompt_seconds = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut stream = self.tokenizer.stream();
        let (mut text, mut tokens) = (String::new(), Vec::new());
        let mut samples = 0usize;
        let end = loop {
            if tokens.len() == limit {
                break End::Limit;
            }
            if self.session.position() == self.session.model().context() {
                break End::Context;
            }
            let token = self.session.next_with(|logits| self.sampler.sample(logits))?;
            samples += 1;
            self.sampler.accept(token);
            self.held.push(token);
            if self.tokenizer.ends(token) {
                break End::Token;
            }
            tokens.push(token);
            let piece = stream.push(token);
            text.push_str(&piece);
            if show(&piece).is_break() {
                break End::Stopped;
            }
        };
        let rest = stream.finish();
        text.push_str(&rest);
        if !rest.is_empty() && end != End::Stopped {
            // Nothing is left to break off.
            let _ = show(&rest);
        }
        Ok(Answer {
            text,
            tokens,
            end,
            prompt_tokens: new.len(),
            prompt_seconds,
            steps: samples.saturating_sub(1),
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// The session, with all tokens of prompt and answer.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Answer {
    /// Tokens of the prompt a second.
    pub fn prompt_rate(&self) -> f64 {
        rate(self.prompt_tokens, self.prompt_seconds)
    }

    /// Tokens of the answer a second: steps, by the time that they took.
    pub fn rate(&self) -> f64 {
        rate(self.steps, self.seconds)
    }
}

/// 0 where nothing was done, however quickly.
fn rate(count: usize, seconds: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 / seconds }
}
