//! Generates answers to prompts.

use super::sampler::{Sampler, SamplerOptions};
use super::tokenizer::Tokenizer;
use super::utf8::Utf8Stream;
use crate::Result;
use crate::llm::progress::Progress;
use crate::llm::session::Session;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Answers prompts: a session with its tokenizer and sampler.
///
/// A generator borrows nothing, so a struct can hold one next to the conversation, and it can move to another
/// thread.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    /// The tokens in the session.
    held: Vec<u32>,
}

/// The answer to a prompt.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The text of the answer, without the prompt.
    pub text: String,
    /// Its tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Why the answer ended.
    pub end: End,
    /// Tokens of the prompt that went through the model: without those at its start that the session held
    /// already.
    pub prompt_tokens: usize,
    /// Seconds for these tokens.
    pub prompt_seconds: f64,
    /// Evaluations of the model after the prompt. The first token needs none, since its logits come with the
    /// prompt.
    pub steps: usize,
    /// Seconds for these, sampling included; with [`Tokens`], from the first call of `next` on.
    pub seconds: f64,
}

/// Why an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// The model generated a token that ends an answer.
    Token,
    /// The limit of tokens was reached.
    Limit,
    /// The context is full.
    Context,
    /// The caller stopped.
    Stopped,
}

/// A token of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// The text that it completes; empty within a character.
    pub text: String,
}

/// An iterator over the tokens of an answer. Each call of `next` computes one. Ends after the first error.
///
/// This is no async stream: a step of the model keeps its thread busy, so an async app runs the iterator on a
/// thread of its own and sends the tokens through a channel. To stop early, stop calling `next`: the
/// generator keeps the tokens so far, and a prompt that continues them costs only its new tokens.
#[derive(Debug)]
pub struct Tokens<'a> {
    generator: &'a mut Generator,
    limit: usize,
    stream: Utf8Stream,
    answer: Answer,
    samples: usize,
    /// The time of the first call of `next`.
    start: Option<Instant>,
    is_done: bool,
}

impl Generator {
    /// Takes a session, whose tokens are dropped. `tokenizer` is a [`Tokenizer`] or an [`Arc`] of one.
    pub fn new(
        mut session: Session,
        tokenizer: impl Into<Arc<Tokenizer>>,
        options: SamplerOptions,
    ) -> Result<Self> {
        session.rewind(0)?;
        let (tokenizer, sampler) = (tokenizer.into(), Sampler::new(options));
        Ok(Self { session, tokenizer, sampler, held: Vec::new() })
    }

    /// Answers `prompt`, which holds all tokens of the text so far, with up to `limit` tokens. Calls `show`
    /// with the text as it is generated.
    ///
    /// The start of the prompt that the session holds already is not computed again, so a conversation costs
    /// only its new tokens. With a limit of `usize::MAX`, only the context limits the answer. Fails as
    /// [`Session::prefill`] does.
    pub fn answer(
        &mut self,
        prompt: &[u32],
        limit: usize,
        show: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer> {
        let mut tokens = self.tokens(prompt, limit)?;
        while let Some(token) = tokens.next() {
            if show(&token?.text).is_break() {
                return Ok(tokens.into_answer());
            }
        }
        let rest = tokens.finish_text();
        if !rest.is_empty() {
            // Nothing is left to stop.
            let _ = show(&rest);
        }
        Ok(tokens.into_answer())
    }

    /// The tokens of the answer to `prompt`, one by one. [`answer`](Self::answer) returns the same.
    ///
    /// ```no_run
    /// # use qmill::llm::*;
    /// # fn show(generator: &mut Generator, prompt: &[u32]) -> qmill::Result<()> {
    /// for token in generator.tokens(prompt, 100)? {
    ///     print!("{}", token?.text);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Computes the prompt before it returns. Fails as [`Session::prefill`] does.
    pub fn tokens(&mut self, prompt: &[u32], limit: usize) -> Result<Tokens<'_>> {
        self.tokens_with(prompt, limit, &mut |_| ControlFlow::Continue(()))
    }

    /// [`tokens`](Self::tokens) with progress in tokens of the prompt, after each batch but the last.
    ///
    /// If `progress` returns [`ControlFlow::Break`], fails with
    /// [`Error::Cancelled`](crate::Error::Cancelled). The session keeps the batches that were computed, and
    /// the same prompt continues from there.
    pub fn tokens_with(
        &mut self,
        prompt: &[u32],
        limit: usize,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Tokens<'_>> {
        let start = Instant::now();
        // The last token is computed in any case, for its logits.
        let shared = self.held.iter().zip(prompt).take_while(|(held, new)| held == new).count();
        let shared = shared.min(prompt.len().saturating_sub(1));
        self.held.truncate(shared);
        self.session.rewind(shared)?;
        let new = &prompt[shared..];
        let done = self.session.prefill_with(new, progress);
        let computed = self.session.position() - shared;
        self.held.extend(&new[..computed]);
        for &token in &new[..computed] {
            self.sampler.accept(token);
        }
        done?;
        let answer = Answer {
            text: String::new(),
            tokens: Vec::new(),
            end: End::Stopped,
            prompt_tokens: new.len(),
            prompt_seconds: start.elapsed().as_secs_f64(),
            steps: 0,
            seconds: 0.0,
        };
        let stream = Utf8Stream::default();
        Ok(Tokens { generator: self, limit, stream, answer, samples: 0, start: None, is_done: false })
    }

    /// The session, with the tokens of prompt and answer.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }
}

impl Tokens<'_> {
    /// Why the answer ended; `None` if it has not.
    pub fn end(&self) -> Option<End> {
        self.is_done.then_some(self.answer.end)
    }

    /// The answer so far. An incomplete character at the end of the text becomes U+FFFD.
    pub fn into_answer(mut self) -> Answer {
        self.finish_text();
        self.answer
    }

    /// What is left of an incomplete character.
    fn finish_text(&mut self) -> String {
        let rest = self.stream.finish();
        self.answer.text.push_str(&rest);
        rest
    }

    /// Computes the next token, or tells why there is none.
    fn step(&mut self) -> Result<Result<Token, End>> {
        let Generator { session, tokenizer, sampler, held } = &mut *self.generator;
        if self.answer.tokens.len() == self.limit {
            return Ok(Err(End::Limit));
        }
        if session.position() == session.model().context() {
            return Ok(Err(End::Context));
        }
        let id = session.next_with(|logits| sampler.sample(logits))?;
        self.samples += 1;
        sampler.accept(id);
        held.push(id);
        if tokenizer.ends(id) {
            return Ok(Err(End::Token));
        }
        self.answer.tokens.push(id);
        let text = self.stream.push(tokenizer.bytes(id));
        self.answer.text.push_str(&text);
        Ok(Ok(Token { id, text }))
    }
}

impl Iterator for Tokens<'_> {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        if self.is_done {
            return None;
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        let next = match self.step() {
            Ok(Ok(token)) => Some(Ok(token)),
            Ok(Err(end)) => {
                (self.is_done, self.answer.end) = (true, end);
                None
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        };
        self.answer.steps = self.samples.saturating_sub(1);
        self.answer.seconds = start.elapsed().as_secs_f64();
        next
    }
}

impl std::iter::FusedIterator for Tokens<'_> {}

impl Answer {
    /// Tokens of the prompt per second.
    pub fn prompt_rate(&self) -> f64 {
        rate(self.prompt_tokens, self.prompt_seconds)
    }

    /// Tokens of the answer per second: steps divided by their time.
    pub fn rate(&self) -> f64 {
        rate(self.steps, self.seconds)
    }
}

/// Counts per second; 0 for a count of 0.
fn rate(count: usize, seconds: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 / seconds }
}
