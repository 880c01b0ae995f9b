//! A session: one text that a model reads and continues.

use super::cpu::Batch;
use super::gpu::Engine;
use super::kv_cache::HostCache;
use super::model::Model;
use super::profile::Profile;
use super::progress::Progress;
use super::shared::Shared;
use super::weights::{CpuWeights, Weights};
use crate::{Error, Gpu, Result};
use rayon::ThreadPool;
use std::ops::ControlFlow;
use std::sync::Arc;

/// One text in progress: its KV cache, and the logits after its last token.
///
/// Several sessions may share a model. After an error the session is as it was before the batch that failed.
#[derive(Debug)]
pub struct Session {
    model: Model,
    backend: Backend,
    position: usize,
    logits: Vec<f32>,
    /// A token that was chosen and has not gone through the model yet.
    pending: Option<u32>,
}

/// What computes, and what it keeps for this session.
#[derive(Debug)]
enum Backend {
    Cpu { weights: Arc<CpuWeights>, cache: HostCache, threads: Arc<ThreadPool> },
    Gpu(Box<Engine>),
}

impl Session {
    /// A session without tokens.
    ///
    /// On a GPU allocates memory for the whole context. Fails with [`Error::Number`] where the device has no
    /// buffer of that size, and with [`Error::DeviceMemory`].
    pub fn new(model: &Model) -> Result<Self> {
        let shared = &model.shared;
        let backend = match &shared.weights {
            Weights::Cpu(weights) => Backend::Cpu {
                weights: weights.clone(),
                cache: HostCache::new(&shared.config, shared.sessions.cache),
                threads: shared.sessions.threads.pool()?,
            },
            Weights::Gpu(weights) => Backend::Gpu(Box::new(Engine::new(shared, weights)?)),
        };
        Ok(Self { model: model.clone(), backend, position: 0, logits: Vec::new(), pending: None })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens in the text.
    pub fn position(&self) -> usize {
        self.position + usize::from(self.pending.is_some())
    }

    /// The logits of the next token, one for each token of the vocabulary. Empty before the first token.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Appends tokens, in batches of up to [`LoadOptions::batch`](super::LoadOptions::batch).
    ///
    /// Fails with [`Error::ContextFull`], with [`Error::Number`] for a token past the vocabulary, and with
    /// errors of the device. Computes nothing for no tokens.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<()> {
        self.append(tokens, None, None)
    }

    /// [`Session::prefill`] with progress in tokens.
    ///
    /// Calls `progress` after each batch but the last. If it returns [`ControlFlow::Break`], fails with
    /// [`Error::Cancelled`]: [`position`](Self::position) tells how many tokens are in, and the rest may be
    /// appended later. On a GPU at most two batches are in flight, so breaking off takes no longer than
    /// these.
    pub fn prefill_with(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.append(tokens, None, Some(progress))
    }

    /// Appends tokens and returns the logits after each, row by row: one for each token of the vocabulary.
    ///
    /// Fails as [`Session::prefill`] does.
    pub fn all_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(tokens.len() * self.model.config().vocabulary);
        self.append(&[], None, None)?;
        self.append(tokens, Some(&mut all), None)?;
        Ok(all)
    }

    /// Appends the token that `choose` returns for the logits, and returns it.
    ///
    /// The token goes through the model when the next one is asked for, so the last token of a text costs
    /// nothing. Fails as [`Session::prefill`] does, and with [`Error::Number`] before the first token.
    pub fn next_with(&mut self, choose: impl FnOnce(&[f32]) -> u32) -> Result<u32> {
        self.append(&[], None, None)?;
        if self.logits.is_empty() {
            let needed = "at least 1".to_owned();
            return Err(Error::Number { what: "the number of tokens before the next", needed, found: 0 });
        }
        let token = choose(&self.logits);
        self.check(&[token])?;
        self.pending = Some(token);
        Ok(token)
    }

    /// Times every kernel from now on. Each kernel then runs in a pass of its own, which is slower.
    ///
    /// Fails with [`Error::Unsupported`] on the CPU and on a device without timestamps.
    pub fn start_profile(&mut self) -> Result<()> {
        match &mut self.backend {
            Backend::Gpu(engine) => engine.start_profile(),
            Backend::Cpu { .. } => {
                let (found, known) = ("the CPU".to_owned(), "GPUs".to_owned());
                Err(Error::Unsupported { what: "the device for a profile", found, known })
            }
        }
    }

    /// The times since [`Session::start_profile`].
    pub fn profile(&self) -> Option<&Profile> {
        match &self.backend {
            Backend::Gpu(engine) => engine.profile(),
            Backend::Cpu { .. } => None,
        }
    }

    /// Removes all tokens from `position` on. There are no logits until something is appended.
    ///
    /// Fails with [`Error::Number`] where there are fewer tokens.
    pub fn rewind(&mut self, position: usize) -> Result<()> {
        if position > self.position() {
            let needed = format!("at most {}", self.position());
            return Err(Error::Number { what: "the position", needed, found: position as u64 });
        }
        if position <= self.position {
            self.pending = None;
        }
        self.position = position.min(self.position);
        self.logits.clear();
        Ok(())
    }

    /// Checks that `tokens` are in the vocabulary, and that the context has room for them.
    fn check(&self, tokens: &[u32]) -> Result<()> {
        let (context, needed) = (self.model.context(), self.position() + tokens.len());
        if needed > context {
            return Err(Error::ContextFull { context, needed });
        }
        let vocabulary = self.model.config().vocabulary;
        match tokens.iter().find(|&&token| token as usize >= vocabulary) {
            None => Ok(()),
            Some(&token) => {
                let needed = format!("less than {vocabulary}");
                Err(Error::Number { what: "a token", needed, found: u64::from(token) })
            }
        }
    }

    /// Appends the pending token and `tokens`; extends `all` by the logits after each.
    fn append(
        &mut self,
        tokens: &[u32],
        mut all: Option<&mut Vec<f32>>,
        mut progress: Option<&mut dyn FnMut(Progress) -> ControlFlow<()>>,
    ) -> Result<()> {
        self.check(tokens)?;
        let start = self.position();
        let total = tokens.len() as u64;
        let tokens: Vec<u32> = self.pending.into_iter().chain(tokens.iter().copied()).collect();
        let mut batches = tokens.chunks(self.model.shared.sessions.batch).peekable();
        let mut in_flight = None;
        while let Some(batch) = batches.next() {
            // Logits that nobody reads are not computed.
            let wanted = match (&all, batches.peek()) {
                (Some(_), _) => batch.len(),
                (None, None) => 1,
                (None, Some(_)) => 0,
            };
            let mut logits = self.compute(batch, wanted)?;
            self.position += batch.len();
            self.pending = None;
            if let Some(all) = &mut all {
                all.extend_from_slice(&logits);
            }
            logits.drain(..logits.len().saturating_sub(self.model.config().vocabulary));
            self.logits = logits;
            if let Some(progress) = progress.as_mut().filter(|_| batches.peek().is_some()) {
                if let Backend::Gpu(engine) = &self.backend {
                    wait_for_previous(engine.gpu(), &mut in_flight)?;
                }
                let done = self.position.saturating_sub(start) as u64;
                if progress(Progress { done, total }).is_break() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Sends a batch through the model, and returns the logits after its last `wanted` tokens.
    fn compute(&mut self, tokens: &[u32], wanted: usize) -> Result<Vec<f32>> {
        let shared = &*self.model.shared;
        match &mut self.backend {
            Backend::Cpu { weights, cache, threads } => {
                threads.install(|| compute_on_cpu(shared, weights, cache, tokens, self.position, wanted))
            }
            Backend::Gpu(engine) => engine.compute(tokens, self.position, wanted),
        }
    }
}

fn compute_on_cpu(
    shared: &Shared,
    weights: &CpuWeights,
    cache: &mut HostCache,
    tokens: &[u32],
    position: usize,
    wanted: usize,
) -> Result<Vec<f32>> {
    let rope_tables = shared.rotations.tables(position, tokens.len());
    let sessions = &shared.sessions;
    let mut batch = Batch::new(&shared.config, weights, tokens, position, &rope_tables, sessions);
    for step in &shared.graph.trunk {
        batch.run(step, cache)?;
    }
    match wanted {
        0 => Ok(Vec::new()),
        _ => batch.logits(&shared.graph.head, tokens.len() - wanted, cache),
    }
}

/// Waits for what was submitted before `in_flight` was set, and sets it to what is submitted now.
fn wait_for_previous(gpu: &Gpu, in_flight: &mut Option<wgpu::SubmissionIndex>) -> Result<()> {
    let submitted = gpu.guarded(|| gpu.queue().submit([]))?;
    if let Some(index) = in_flight.replace(submitted) {
        gpu.wait(index)?;
    }
    Ok(())
}
