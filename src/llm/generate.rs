//! From a prompt to an answer.

use super::session::Progress;
use super::tokenizer::Utf8Stream;
use super::{Sampler, SamplerOptions, Session, Tokenizer};
use crate::Result;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Answers prompts: a session with its tokenizer and sampler.
///
/// A generator borrows nothing, so a struct can hold one, with the conversation beside it; it can go to
/// another thread.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    /// The tokens of the session.
    held: Vec<u32>,
}

/// What came of a prompt.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
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
    /// Seconds for these, choosing tokens included; of [`Tokens`], from the first call of `next` on.
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

/// A token of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// The text that is complete with it; empty within a character.
    pub text: String,
}

/// The tokens of an answer, each computed when it is asked for.
///
/// An iterator and not an async stream: a step of the model keeps its thread busy, so an async app runs the
/// iterator on a thread of its own and sends the tokens through a channel. Stops with the first error. To
/// break off, stop asking: what was made so far stays in the generator, and a prompt that goes on from it
/// costs what is new.
#[derive(Debug)]
pub struct Tokens<'a> {
    generator: &'a mut Generator,
    limit: usize,
    stream: Utf8Stream,
    answer: Answer,
    samples: usize,
    /// When the first token was asked for.
    start: Option<Instant>,
    is_done: bool,
}

impl Generator {
    /// Takes an empty session, or one whose tokens are of no use any more. `tokenizer` is a [`Tokenizer`] or
    /// an [`Arc`] of one.
    pub fn new(
        mut session: Session,
        tokenizer: impl Into<Arc<Tokenizer>>,
        options: SamplerOptions,
    ) -> Result<Self> {
        session.rewind(0)?;
        let (tokenizer, sampler) = (tokenizer.into(), Sampler::new(options));
        Ok(Self { session, tokenizer, sampler, held: Vec::new() })
    }

    /// Answers `prompt`, all tokens of the text so far, with up to `limit` tokens; `show` sees the text as it comes.
    ///
    /// What the session holds already of the prompt is not computed again: a conversation costs what is new
    /// in it. With `usize::MAX` only the context limits the answer. Fails as [`Session::prefill`] does.
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
            // Nothing is left to break off.
            let _ = show(&rest);
        }
        Ok(tokens.into_answer())
    }

    /// The tokens of the answer to `prompt`, one by one, as [`answer`](Self::answer) makes them.
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
    /// Computes the prompt at once. Fails as [`Session::prefill`] does.
    pub fn tokens(&mut self, prompt: &[u32], limit: usize) -> Result<Tokens<'_>> {
        self.tokens_with(prompt, limit, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `progress` sees how many tokens of the prompt are done, after each batch, and may break off.
    ///
    /// Then fails with [`Error::Cancelled`](crate::Error::Cancelled); the session keeps what was computed,
    /// and the same prompt goes on from there. Fails else as [`Session::prefill`] does.
    pub fn tokens_with(
        &mut self,
        prompt: &[u32],
        limit: usize,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Tokens<'_>> {
        let start = Instant::now();
        // The last token is computed in any case, for what comes after it.
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

    /// The session, with all tokens of prompt and answer.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }
}

impl Tokens<'_> {
    /// Why there are no more tokens; `None` while there may be.
    pub fn end(&self) -> Option<End> {
        self.is_done.then_some(self.answer.end)
    }

    /// What came of the prompt so far. Bytes of a character that was never completed are U+FFFD at the end of
    /// the text.
    pub fn into_answer(mut self) -> Answer {
        self.finish_text();
        self.answer
    }

    /// What is left of an unfinished character.
    fn finish_text(&mut self) -> String {
        let rest = self.stream.finish();
        self.answer.text.push_str(&rest);
        rest
    }

    /// The next token, or why there is none.
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
