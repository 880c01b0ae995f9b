//! Runs steps on a batch of tokens.

use super::attention::attention;
use super::experts::{expert_matmul, moe_combine, moe_router};
use super::fast;
use super::products::matmul;
use super::vectors::{activate, rms_norm, rotate_head};
use crate::gpu::Precision;
use crate::llm::config::Config;
use crate::llm::kv_cache::HostCache;
use crate::llm::options::SessionOptions;
use crate::llm::steps::{KernelStep, LibraryStep, Slot, Step};
use crate::llm::weights::CpuWeights;
use crate::{Result, cpu};
use std::slice;

/// The tokens of a batch, and the floats of each in every slot.
#[derive(Debug)]
pub(in crate::llm) struct Batch<'a> {
    config: &'a Config,
    weights: &'a CpuWeights,
    tokens: &'a [u32],
    /// The position of the first token.
    position: usize,
    /// For each rope the cosine and the sine of each pair, for each token.
    rope_tables: &'a [Vec<f32>],
    threads: usize,
    /// Whether activations are int8, and `fast` does what it can.
    int8: bool,
    slots: Vec<Vec<f32>>,
}

impl<'a> Batch<'a> {
    pub(in crate::llm) fn new(
        config: &'a Config,
        weights: &'a CpuWeights,
        tokens: &'a [u32],
        position: usize,
        rope_tables: &'a [Vec<f32>],
        sessions: &SessionOptions,
    ) -> Self {
        // Logits are computed for few tokens, and get their memory then.
        let floats = |slot: Slot| if slot == Slot::Logits { 0 } else { tokens.len() * slot.width(config) };
        let slots = Slot::ALL.map(|slot| vec![0.0; floats(slot)]).to_vec();
        let threads = sessions.threads.count();
        let int8 = sessions.precision == Precision::Int8;
        Self { config, weights, tokens, position, rope_tables, threads, int8, slots }
    }

    fn get(&self, slot: Slot) -> &[f32] {
        &self.slots[slot as usize]
    }

    fn get_mut(&mut self, slot: Slot) -> &mut [f32] {
        &mut self.slots[slot as usize]
    }

    /// Takes a slot out, to write it while others are read; [`Self::put`] puts it back.
    fn take(&mut self, slot: Slot) -> Vec<f32> {
        std::mem::take(&mut self.slots[slot as usize])
    }

    fn put(&mut self, slot: Slot, floats: Vec<f32>) {
        self.slots[slot as usize] = floats;
    }

    /// The logits that `steps` compute from the rows of `Normed` from `first` on.
    pub(in crate::llm) fn logits(
        &mut self,
        steps: &[Step],
        first: usize,
        cache: &mut HostCache,
    ) -> Result<Vec<f32>> {
        let config = self.config;
        let normed = self.get(Slot::Normed)[first * config.width..].to_vec();
        let floats = normed.len() / config.width * config.vocabulary;
        self.put(Slot::Normed, normed);
        self.put(Slot::Logits, vec![0.0; floats]);
        for step in steps {
            self.run(step, cache)?;
        }
        Ok(self.take(Slot::Logits))
    }

    /// Runs one step.
    pub(in crate::llm) fn run(&mut self, step: &Step, cache: &mut HostCache) -> Result<()> {
        match *step {
            Step::Library(step) => self.library(step),
            Step::Attention(step) if self.int8 => {
                let mut attended = self.take(Slot::Attended);
                let (qkv, cached) = (self.get(Slot::Qkv), (&*cache, step.layer));
                fast::attention(self.config, step.window, self.position, qkv, cached, &mut attended)?;
                self.put(Slot::Attended, attended);
                Ok(())
            }
            Step::Attention(step) => {
                let [keys, values] = cache.floats(step.layer)?;
                let mut attended = self.take(Slot::Attended);
                let (qkv, threads) = (self.get(Slot::Qkv), self.threads);
                let cached = (keys.as_slice(), values.as_slice());
                attention(self.config, step.window, self.position, qkv, cached, &mut attended, threads)?;
                self.put(Slot::Attended, attended);
                Ok(())
            }
            Step::Kernel(step) => self.kernel(step, cache),
        }
    }

    fn library(&mut self, step: LibraryStep) -> Result<()> {
        let (weights, threads) = (self.weights, self.threads);
        match step {
            LibraryStep::GetRows => {
                let table = &weights.embedding;
                let mut hidden = self.take(Slot::Hidden);
                cpu::get_rows(table.format, table.rows, table.cols, &table.bytes, self.tokens, &mut hidden)?;
                self.put(Slot::Hidden, hidden);
            }
            LibraryStep::Matmul { stack, from, to } => {
                let stack = &weights.stacks[stack];
                let mut y = self.take(to);
                if self.int8 {
                    fast::matmul(&stack.tensors, &stack.biases, self.get(from), &mut y)?;
                } else {
                    matmul(&stack.tensors, &stack.biases, self.get(from), &mut y, threads)?;
                }
                self.put(to, y);
            }
            LibraryStep::ExpertMatmul { experts, from, to } => {
                let mut y = self.take(to);
                let (x, numbers) = (self.get(from), self.get(Slot::Experts));
                if self.int8 {
                    fast::expert_matmul(&weights.experts[experts], numbers, x, &mut y)?;
                } else {
                    expert_matmul(&weights.experts[experts], numbers, x, &mut y, threads)?;
                }
                self.put(to, y);
            }
            LibraryStep::Output => {
                let mut y = self.take(Slot::Logits);
                let (x, output) = (self.get(Slot::Normed), slice::from_ref(weights.output()));
                if self.int8 {
                    fast::matmul(output, &weights.output_bias, x, &mut y)?;
                } else {
                    matmul(output, &weights.output_bias, x, &mut y, threads)?;
                }
                self.put(Slot::Logits, y);
            }
        }
        Ok(())
    }

    fn kernel(&mut self, step: KernelStep, cache: &mut HostCache) -> Result<()> {
        let (config, weights) = (self.config, self.weights);
        let vector = |number: usize| weights.vectors[number].as_slice();
        match step {
            KernelStep::ScaleRmsNorm { scale, norm } => {
                self.get_mut(Slot::Hidden).iter_mut().for_each(|x| *x *= scale);
                self.norm_hidden(vector(norm));
            }
            KernelStep::RopeStore { layer, norms, rope } => {
                self.rope_store(cache, layer, norms.map(vector), rope)?;
            }
            KernelStep::UnpadHeads => {
                let heads = self.get(Slot::Attended).chunks(config.head_stride());
                let unpadded = heads.flat_map(|head| &head[..config.head_width]).copied().collect();
                self.put(Slot::Unpadded, unpadded);
            }
            KernelStep::Glu => self.glu(),
            KernelStep::AddRmsNorm { post, norm } => {
                let mut branch = self.take(Slot::Branch);
                if let Some(post) = post {
                    self.rms_norm(&mut branch, vector(post));
                }
                let hidden = self.get_mut(Slot::Hidden);
                hidden.iter_mut().zip(&branch).for_each(|(hidden, branch)| *hidden += branch);
                self.put(Slot::Branch, branch);
                self.norm_hidden(vector(norm));
            }
            KernelStep::MoeRouter => {
                let count = Slot::RouterLogits.width(config);
                let (experts, expert_weights) =
                    moe_router(self.get(Slot::RouterLogits), count, config.top_k());
                self.put(Slot::Experts, experts);
                self.put(Slot::ExpertWeights, expert_weights);
            }
            KernelStep::MoeCombine => {
                let (outputs, weights) = (self.get(Slot::ExpertOutputs), self.get(Slot::ExpertWeights));
                let branch = moe_combine(outputs, weights, config.width, config.top_k());
                self.put(Slot::Branch, branch);
            }
            KernelStep::Softcap { softcap } => {
                self.get_mut(Slot::Logits).iter_mut().for_each(|x| *x = softcap * (*x / softcap).tanh());
            }
        }
        Ok(())
    }

    fn norm_hidden(&mut self, weights: &[f32]) {
        let mut normed = self.get(Slot::Hidden).to_vec();
        self.rms_norm(&mut normed, weights);
        self.put(Slot::Normed, normed);
    }

    fn rms_norm(&self, floats: &mut [f32], weights: &[f32]) {
        let norm = if self.int8 { fast::rms_norm } else { rms_norm };
        norm(floats, weights, self.config.epsilon);
    }

    fn rope_store(
        &mut self,
        cache: &mut HostCache,
        layer: usize,
        norms: Option<&[f32]>,
        rope: usize,
    ) -> Result<()> {
        let config = self.config;
        let (query, kv, stride) = (config.query_width(), config.kv_width(), config.head_stride());
        let mut qkv = self.take(Slot::Qkv);
        let cos_sin = self.rope_tables[rope].chunks(config.rope.dimensions);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (row, cos_sin) in qkv.chunks_mut(query + 2 * kv).zip(cos_sin) {
            for (i, head) in row[..query + kv].chunks_mut(stride).enumerate() {
                if let Some(norms) = norms {
                    let norms = if i < config.heads { norms } else { &norms[stride..] };
                    rms_norm(&mut head[..config.head_width], &norms[..config.head_width], config.epsilon);
                }
                rotate_head(config.rope.layout, head, cos_sin);
            }
            keys.extend_from_slice(&row[query..query + kv]);
            values.extend_from_slice(&row[query + kv..]);
        }
        self.put(Slot::Qkv, qkv);
        cache.store(layer, self.position, &keys, &values)
    }

    fn glu(&mut self) {
        let config = self.config;
        let (gates, ups) = (self.get(Slot::Gate), self.get(Slot::Up));
        let length = Slot::Gated.width(config);
        if self.int8 {
            let (ups, stride) =
                if config.experts.is_none() { (&gates[length..], 2 * length) } else { (ups, length) };
            let mut gated = vec![0.0; self.tokens.len() * length];
            fast::glu(config.activation, (gates, ups), stride, &mut gated, length);
            self.put(Slot::Gated, gated);
            return;
        }
        let mut gated = Vec::with_capacity(self.tokens.len() * length);
        for row in 0..self.tokens.len() {
            // Without experts, the ups of a token follow its gates.
            let (gate, up) = match config.experts {
                None => gates[2 * row * length..][..2 * length].split_at(length),
                Some(_) => (&gates[row * length..][..length], &ups[row * length..][..length]),
            };
            gated.extend(gate.iter().zip(up).map(|(&gate, &up)| activate(config.activation, gate) * up));
        }
        self.put(Slot::Gated, gated);
    }
}
