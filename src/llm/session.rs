//! A text in the making.

use super::engine::Engine;
use super::kv_cache::HostCache;
use super::model::Model;
use super::ops_cpu::Batch;
use super::profile::Profile;
use super::weights::Weights;
use crate::{Error, Gpu, Result};
use std::ops::ControlFlow;

/// A text in the making: what the model remembers of its tokens, and what it expects next.
///
/// Several sessions may share a model. After an error the session is as it was before the batch in which it arose.
#[derive(Debug)]
pub struct Session {
    model: Model,
    place: Place,
    position: usize,
    logits: Vec<f32>,
    /// A token that was chosen and has not gone through the model yet.
    pending: Option<u32>,
}

/// How much of a piece of work is done: bytes of a model that is loaded, tokens of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// All that there is to do.
    pub total: u64,
}

/// Where a session computes, and what it keeps there.
#[derive(Debug)]
enum Place {
    Cpu(HostCache),
    Gpu(Box<Engine>),
}

impl Session {
    /// An empty text.
    ///
    /// On a GPU takes memory for the whole context; fails with [`Error::Number`] where the device has no buffer of that
    /// size, and with [`Error::DeviceMemory`].
    pub fn new(model: &Model) -> Result<Self> {
        let shared = &model.shared;
        let place = match &*shared.weights {
            Weights::Cpu(_) => Place::Cpu(HostCache::new(&shared.config, shared.cache)),
            Weights::Gpu(weights) => {
                Place::Gpu(Box::new(Engine::new(shared, weights, shared.batch.min(shared.context))?))
            }
        };
        Ok(Self { model: model.clone(), place, position: 0, logits: Vec::new(), pending: None })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens in the text.
    pub fn position(&self) -> usize {
        self.position + usize::from(self.pending.is_some())
    }

    /// What the model expects after the last token: a number for each token of the vocabulary. Empty before the first.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Appends tokens, in batches of up to [`LoadOptions::batch`](super::LoadOptions::batch).
    ///
    /// Fails with [`Error::ContextFull`], with [`Error::Number`] for a token that there is not, and with what the device
    /// reports. Costs nothing for no tokens.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<()> {
        self.append(tokens, None, None)
    }

    /// Appends tokens; `progress` sees how many are done, after each batch but the last, and may break off.
    ///
    /// Then fails with [`Error::Cancelled`]: [`position`](Self::position) says how far it came, and the rest
    /// may be appended later. On a GPU at most two batches are under way, so breaking off takes no longer
    /// than these. Fails else as [`Session::prefill`] does.
    pub fn prefill_with(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.append(tokens, None, Some(progress))
    }

    /// Appends tokens and returns the logits after each, row by row: a number for each token of the vocabulary.
    ///
    /// Fails as [`Session::prefill`] does.
    pub fn all_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(tokens.len() * self.model.config().vocabulary);
        self.append(&[], None, None)?;
        self.append(tokens, Some(&mut all), None)?;
        Ok(all)
    }

    /// Appends the token that `choose` makes of the logits, and returns it.
    ///
    /// The token goes through the model when the next is asked for, so the last of a text costs nothing. Fails as
    /// [`Session::prefill`] does, and with [`Error::Number`] where there is no token yet.
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

    /// Times every kernel from now on, on a GPU, which makes all slower: each is in a pass of its own.
    ///
    /// Fails with [`Error::Unsupported`] on the CPU and on a device without timestamps.
    pub fn start_profile(&mut self) -> Result<()> {
        if let (Place::Gpu(engine), Weights::Gpu(weights)) = (&mut self.place, &*self.model.shared.weights) {
            return engine.start_profile(&weights.gpu);
        }
        let (found, known) = ("the CPU".to_owned(), "GPUs".to_owned());
        Err(Error::Unsupported { what: "the device for a profile", found, known })
    }

    /// What was timed since [`Session::start_profile`].
    pub fn profile(&self) -> Option<&Profile> {
        match &self.place {
            Place::Gpu(engine) => engine.profile(),
            Place::Cpu(_) => None,
        }
    }

    /// Forgets all tokens from `position` on; there are no logits until something is appended.
    ///
    /// Fails with [`Error::Number`] where there are not as many tokens.
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

    /// Checks that `tokens` are in the vocabulary and have room.
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

    /// Appends the pending token and `tokens`, and puts the logits after each into `all`.
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
        let mut batches = tokens.chunks(self.model.shared.batch).peekable();
        let mut under_way = None;
        while let Some(batch) = batches.next() {
            // Logits that nobody sees are not computed.
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
                if let Weights::Gpu(weights) = &*self.model.shared.weights {
                    wait_for(&weights.gpu, &mut under_way)?;
                }
                let done = self.position.saturating_sub(start) as u64;
                if progress(Progress { done, total }).is_break() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Sends a batch through the model; returns the logits after its last `wanted` tokens.
    fn compute(&mut self, tokens: &[u32], wanted: usize) -> Result<Vec<f32>> {
        let shared = &*self.model.shared;
        match (&mut self.place, &*shared.weights) {
            (Place::Cpu(cache), Weights::Cpu(weights)) => {
                let angles = shared.angles(self.position, tokens.len());
                let mut batch = Batch::new(&shared.config, tokens, self.position, &angles, shared.threads);
                for step in &shared.graph.trunk {
                    batch.run(step, &shared.config, weights, cache)?;
                }
                match wanted {
                    0 => Ok(Vec::new()),
                    _ => batch.logits(
                        &shared.graph.head,
                        tokens.len() - wanted,
                        &shared.config,
                        weights,
                        cache,
                    ),
                }
            }
            (Place::Gpu(engine), Weights::Gpu(weights)) => {
                engine.compute(shared, weights, tokens, self.position, wanted)
            }
            _ => unreachable!("a session computes where its model is"),
        }
    }
}

/// Waits for what was submitted before `under_way` was set, and sets it to all that is submitted now.
fn wait_for(gpu: &Gpu, under_way: &mut Option<wgpu::SubmissionIndex>) -> Result<()> {
    let submitted = gpu.guarded(|| gpu.queue().submit([]))?;
    if let Some(index) = under_way.replace(submitted) {
        gpu.wait(index)?;
    }
    Ok(())
}
