//! A model as a list of steps, with the tensors that they need: one list for all architectures.
//!
//! ```text
//! hidden = embedding[token] · scale;  normed = norm(hidden)
//! each layer:  qkv = normed·Wᵀ;  rotate heads by position, store keys and values;  attended = attention
//!              branch = attended·Wᵀ;  hidden += branch;  normed = norm(hidden)
//!              gate, up = normed·Wᵀ;  gated = activation(gate)·up;  branch = gated·Wᵀ
//!              hidden += branch;  normed = norm(hidden)
//! logits = normed·Wᵀ
//! ```
//!
//! Matrices with one input are stacked, so that they are one product; their results lie side by side. With
//! experts, a router chooses some for each token, and their outputs are combined by weight. With post norms,
//! a branch is normed before it is added.
//!
//! Kernels load four floats at a time. Where the length of a head is not a multiple of four, zeros pad it in
//! queries, keys, values and the output of attention ([`Padding`]). The step `UnpadHeads` removes them for
//! the next matrix, whose columns have none.

use super::config::{Config, EMBEDDING, Experts, OUTPUT};
use super::steps::{Attention, KernelStep, LibraryStep, Slot, Step};

/// Zeros that pad each `from` rows of a matrix, or floats of a vector, to `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Padding {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A tensor that a file must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TensorSpec {
    pub(super) name: String,
    /// In ggml's order, the length of a row first.
    pub(super) shape: Vec<u64>,
    pub(super) padding: Option<Padding>,
}

impl TensorSpec {
    pub(super) fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        let shape = shape.iter().map(|&length| length as u64).collect();
        Self { name: name.into(), shape, padding: None }
    }
}

/// A matrix, and what is added to products with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MatrixSpec {
    pub(super) weights: TensorSpec,
    pub(super) bias: Option<TensorSpec>,
}

/// Matrices with rows of one length, one above the other.
pub(super) type StackSpec = Vec<MatrixSpec>;

/// The steps of a model, and the tensors that they use.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) embedding: TensorSpec,
    /// The output matrix, unless it is the embedding.
    pub(super) output: Option<TensorSpec>,
    pub(super) output_bias: Option<TensorSpec>,
    pub(super) stacks: Vec<StackSpec>,
    /// Tensors with the matrices of all experts of a layer.
    pub(super) experts: Vec<TensorSpec>,
    /// Each is one tensor, or several end to end.
    pub(super) vectors: Vec<Vec<TensorSpec>>,
    /// From tokens to `Normed`.
    pub(super) trunk: Vec<Step>,
    /// From `Normed` to `Logits`.
    pub(super) head: Vec<Step>,
}

impl Graph {
    /// The graph of a model of this shape. `has` tells which optional tensors the file has.
    pub(super) fn new(config: &Config, has: &dyn Fn(&str) -> bool) -> Self {
        let matrix = |name| TensorSpec::new(name, &[config.width, config.vocabulary]);
        let graph = Self {
            embedding: matrix(EMBEDDING),
            output: (!config.tied_output).then(|| matrix(OUTPUT)),
            output_bias: None,
            stacks: Vec::new(),
            experts: Vec::new(),
            vectors: Vec::new(),
            trunk: Vec::new(),
            head: Vec::new(),
        };
        let mut builder = Builder { config, has, graph };
        builder.trunk();
        builder.head();
        builder.graph
    }

    /// All tensors of the graph.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &TensorSpec> {
        let stacked = self.stacks.iter().flatten();
        let stacked = stacked.flat_map(|matrix| std::iter::once(&matrix.weights).chain(&matrix.bias));
        let single = std::iter::once(&self.embedding).chain(&self.output).chain(&self.output_bias);
        single.chain(stacked).chain(&self.experts).chain(self.vectors.iter().flatten())
    }
}

/// Appends steps to a graph.
struct Builder<'a> {
    config: &'a Config,
    has: &'a dyn Fn(&str) -> bool,
    graph: Graph,
}

impl Builder<'_> {
    fn trunk(&mut self) {
        let config = self.config;
        self.library(LibraryStep::GetRows);
        let norm = self.norm("blk.0.attn_norm".to_owned());
        self.kernel(KernelStep::ScaleRmsNorm { scale: config.embedding_scale, norm });
        for layer in 0..config.layers {
            self.attention(layer);
            self.add_rms_norm(layer, "post_attention_norm", format!("blk.{layer}.ffn_norm"));
            match config.experts {
                None => self.feed_forward(layer),
                Some(experts) => self.experts(layer, experts),
            }
            let is_last = layer + 1 == config.layers;
            let next =
                if is_last { "output_norm".to_owned() } else { format!("blk.{}.attn_norm", layer + 1) };
            self.add_rms_norm(layer, "post_ffw_norm", next);
        }
    }

    fn head(&mut self) {
        let config = self.config;
        self.graph.output_bias = self.bias("", "output", config.vocabulary);
        self.graph.head.push(Step::Library(LibraryStep::Output));
        let step = config.logit_softcap.map(|softcap| Step::Kernel(KernelStep::Softcap { softcap }));
        self.graph.head.extend(step);
    }

    fn attention(&mut self, layer: usize) {
        let config = self.config;
        let head = config.head_width;
        let (query, kv) = (config.heads * head, config.kv_heads * head);
        let padding = config.has_padded_heads().then(|| Padding { from: head, to: config.head_stride() });
        let (fused, apart) =
            ([("attn_qkv", query + 2 * kv)], [("attn_q", query), ("attn_k", kv), ("attn_v", kv)]);
        let is_fused = (self.has)(&format!("blk.{layer}.attn_qkv.weight"));
        let parts = if is_fused { fused.as_slice() } else { &apart };
        let stack = self.stack(layer, parts, config.width, padding);
        self.library(LibraryStep::Matmul { stack, from: Slot::Normed, to: Slot::Qkv });

        let norms = config.head_norms.then(|| {
            let norms = ["attn_q_norm", "attn_k_norm"].map(|part| TensorSpec {
                padding,
                ..TensorSpec::new(format!("blk.{layer}.{part}.weight"), &[head])
            });
            self.vector(norms.to_vec())
        });
        let window = config.window.as_ref().filter(|window| window.layers[layer]);
        self.kernel(KernelStep::RopeStore { layer, norms, rope: usize::from(window.is_some()) });
        let window = window.map(|window| window.tokens);
        self.graph.trunk.push(Step::Attention(Attention { layer, window }));

        let mut from = Slot::Attended;
        if padding.is_some() {
            self.kernel(KernelStep::UnpadHeads);
            from = Slot::Unpadded;
        }
        let stack = self.stack(layer, &[("attn_output", config.width)], query, None);
        self.library(LibraryStep::Matmul { stack, from, to: Slot::Branch });
    }

    fn add_rms_norm(&mut self, layer: usize, post: &str, norm: String) {
        let post = self.config.post_norms.then(|| self.norm(format!("blk.{layer}.{post}")));
        let norm = self.norm(norm);
        self.kernel(KernelStep::AddRmsNorm { post, norm });
    }

    fn feed_forward(&mut self, layer: usize) {
        let (width, hidden) = (self.config.width, self.config.feed_forward);
        let stack = self.stack(layer, &[("ffn_gate", hidden), ("ffn_up", hidden)], width, None);
        self.library(LibraryStep::Matmul { stack, from: Slot::Normed, to: Slot::Gate });
        self.kernel(KernelStep::Glu);
        let stack = self.stack(layer, &[("ffn_down", width)], hidden, None);
        self.library(LibraryStep::Matmul { stack, from: Slot::Gated, to: Slot::Branch });
    }

    fn experts(&mut self, layer: usize, experts: Experts) {
        let (width, hidden) = (self.config.width, self.config.feed_forward);
        // The router has no bias in any architecture here.
        let weights = TensorSpec::new(format!("blk.{layer}.ffn_gate_inp.weight"), &[width, experts.count]);
        self.graph.stacks.push(vec![MatrixSpec { weights, bias: None }]);
        let stack = self.graph.stacks.len() - 1;
        self.library(LibraryStep::Matmul { stack, from: Slot::Normed, to: Slot::RouterLogits });
        self.kernel(KernelStep::MoeRouter);
        let mut matmul = |part: &str, cols: usize, rows: usize, from, to| {
            let name = format!("blk.{layer}.{part}.weight");
            self.graph.experts.push(TensorSpec::new(name, &[cols, rows, experts.count]));
            LibraryStep::ExpertMatmul { experts: self.graph.experts.len() - 1, from, to }
        };
        let gate = matmul("ffn_gate_exps", width, hidden, Slot::Normed, Slot::Gate);
        let up = matmul("ffn_up_exps", width, hidden, Slot::Normed, Slot::Up);
        let down = matmul("ffn_down_exps", hidden, width, Slot::Gated, Slot::ExpertOutputs);
        self.library(gate);
        self.library(up);
        self.kernel(KernelStep::Glu);
        self.library(down);
        self.kernel(KernelStep::MoeCombine);
    }

    fn library(&mut self, step: LibraryStep) {
        self.graph.trunk.push(Step::Library(step));
    }

    fn kernel(&mut self, step: KernelStep) {
        self.graph.trunk.push(Step::Kernel(step));
    }

    /// The weights of an RMS norm of `Hidden` or of a branch.
    fn norm(&mut self, name: String) -> usize {
        self.vector(vec![TensorSpec::new(name + ".weight", &[self.config.width])])
    }

    fn vector(&mut self, tensors: Vec<TensorSpec>) -> usize {
        self.graph.vectors.push(tensors);
        self.graph.vectors.len() - 1
    }

    /// Stacks matrices of a layer, given by name and rows, with their biases.
    fn stack(
        &mut self,
        layer: usize,
        parts: &[(&str, usize)],
        cols: usize,
        padding: Option<Padding>,
    ) -> usize {
        let prefix = format!("blk.{layer}.");
        let matrices = parts.iter().map(|&(part, rows)| {
            let weights = TensorSpec::new(format!("{prefix}{part}.weight"), &[cols, rows]);
            let bias = self.bias(&prefix, part, rows).map(|bias| TensorSpec { padding, ..bias });
            MatrixSpec { weights: TensorSpec { padding, ..weights }, bias }
        });
        let matrices = matrices.collect();
        self.graph.stacks.push(matrices);
        self.graph.stacks.len() - 1
    }

    /// The bias of a matrix, if the architecture may have it and the file does.
    fn bias(&self, prefix: &str, part: &str, rows: usize) -> Option<TensorSpec> {
        let name = format!("{prefix}{part}.bias");
        let is_there = self.config.biases.contains(&part) && (self.has)(&name);
        is_there.then(|| TensorSpec::new(name, &[rows]))
    }
}
