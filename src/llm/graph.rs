//! What a model computes, as a list of steps: one list for all architectures.
//!
//! ```text
//! hidden = embedding[token] · scale;  normed = norm(hidden)
//! each layer:  qkv = normed·Wᵀ;  turn heads by position, remember keys and values;  attended = attention
//!              branch = attended·Wᵀ;  hidden += branch;  normed = norm(hidden)
//!              gate, up = normed·Wᵀ;  gated = activation(gate)·up;  branch = gated·Wᵀ;  hidden += branch;  normed = norm(hidden)
//! logits = normed·Wᵀ
//! ```
//!
//! Matrices that share an input lie one after the other, as do their results, so that they are one product. A model with
//! experts chooses some for each token, and mixes what they give. Where an architecture has post norms, a branch is normed
//! before it is added.
//!
//! Kernels load floats four at a time. Where a head is not whole quads, zeros stand behind it in queries,
//! keys and values, and in what attention gives ([`Padding`]); the step `Pack` leaves them out, since the
//! columns of the next matrix cannot have any.

use super::config::{Config, Experts};

pub(super) const EMBEDDING: &str = "token_embd.weight";
/// Divisors of the rope's frequencies, which the host computes with.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Floats of each token of a batch, row by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// What goes from layer to layer.
    Hidden,
    Normed,
    /// Queries, keys and values.
    Qkv,
    Attended,
    /// `Attended` without the zeros behind heads, if there are any.
    Packed,
    /// What is to be added to `Hidden`.
    Branch,
    /// Gates and then ups; with experts, the gates of all that are used.
    Gate,
    /// With experts, the ups of all that are used.
    Up,
    Gated,
    /// How well each expert fits.
    Fit,
    /// The numbers of the experts that are used, as u32.
    Picks,
    /// The share that each of them has.
    Shares,
    /// What each of them gives.
    Parts,
    /// The last, which has rows of its own.
    Logits,
}

impl Slot {
    /// All, in order of their numbers.
    pub(super) const ALL: [Self; 14] = [
        Self::Hidden,
        Self::Normed,
        Self::Qkv,
        Self::Attended,
        Self::Packed,
        Self::Branch,
        Self::Gate,
        Self::Up,
        Self::Gated,
        Self::Fit,
        Self::Picks,
        Self::Shares,
        Self::Parts,
        Self::Logits,
    ];

    /// Floats for a token; 0 where a model has no use for the slot.
    pub(super) fn width(self, config: &Config) -> usize {
        let none = Experts { count: 0, used: 0, feed_forward: 0 };
        let experts = config.experts.unwrap_or(none);
        let is_dense = config.experts.is_none();
        match self {
            Self::Hidden | Self::Normed | Self::Branch => config.width,
            Self::Qkv => config.query_width() + 2 * config.kv_width(),
            Self::Attended => config.query_width(),
            Self::Packed if config.has_padded_heads() => config.heads * config.head_width,
            Self::Packed => 0,
            Self::Gate if is_dense => 2 * config.feed_forward,
            Self::Gated if is_dense => config.feed_forward,
            Self::Gate | Self::Up | Self::Gated => experts.used * experts.feed_forward,
            Self::Fit => experts.count,
            Self::Picks | Self::Shares => experts.used,
            Self::Parts => experts.used * config.width,
            Self::Logits => config.vocabulary,
        }
    }
}

/// One operation on all tokens of a batch. Numbers of matrices and vectors are those of [`Graph`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Step {
    /// `Hidden` = the rows of the tokens.
    Embed { matrix: usize },
    /// `Hidden` *= scale, `Normed` = norm of `Hidden`.
    Begin { scale: f32, norm: usize },
    /// `to` = `from`·Wᵀ, plus the biases.
    Product { matrix: usize, from: Slot, to: Slot },
    /// Norms and turns queries and keys in `Qkv`, and puts keys and values into the layer's cache.
    /// `norms` has a head's weights for queries and then for keys.
    Turn { layer: usize, norms: Option<usize>, rope: usize },
    /// `Attended` = attention of the queries to what the cache has; of the last `window` tokens.
    Attend { layer: usize, window: Option<usize> },
    /// `Packed` = `Attended` without the zeros behind heads.
    Pack,
    /// `Gated` = activation(gate)·up.
    Gate,
    /// `Hidden` += `Branch`, or its norm; `Normed` = norm of `Hidden`.
    Join { post: Option<usize>, norm: usize },
    /// `Picks` = the experts that fit best, `Shares` = their softmax.
    Route,
    /// `to` = the product with the matrix of each expert of `Picks`; of `from` as a whole, or of each expert's own part.
    PickedProduct { matrix: usize, from: Slot, to: Slot },
    /// `Branch` = the sum of `Parts` by `Shares`.
    Mix,
    /// `Logits` = cap·tanh(`Logits` / cap).
    Cap { cap: f32 },
}

/// Zeros behind each `from` rows of a matrix, or floats of a vector, that make them `to`.
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

/// Tensors with rows of one length, whose rows follow one another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stack {
    pub(super) tensors: Vec<TensorSpec>,
    /// What is added to the products with each, if anything is.
    pub(super) biases: Vec<Option<TensorSpec>>,
}

/// The steps of a model, and the weights that they use.
#[derive(Clone, Default, Debug)]
pub(super) struct Graph {
    pub(super) matrices: Vec<Stack>,
    /// Each some tensors, one after the other.
    pub(super) vectors: Vec<Vec<TensorSpec>>,
    /// From tokens to `Normed`.
    pub(super) trunk: Vec<Step>,
    /// From `Normed` to `Logits`.
    pub(super) head: Vec<Step>,
}

/// The rope of layers without a window, and of those with one.
pub(super) const ROPES: usize = 2;

impl Graph {
    /// Of a model of this shape whose file has the tensors that `has` tells of, as far as they are optional.
    pub(super) fn new(config: &Config, has: &dyn Fn(&str) -> bool) -> Self {
        let mut graph = Self::default();
        let width = config.width;
        let embedding = graph.matrix(&[(EMBEDDING.to_owned(), config.vocabulary)], width);
        graph.trunk.push(Step::Embed { matrix: embedding });
        let norm = graph.vector(&[("blk.0.attn_norm.weight".to_owned(), width)]);
        graph.trunk.push(Step::Begin { scale: config.embedding_scale, norm });
        for layer in 0..config.layers {
            graph.attention(config, layer, has);
            graph.join(config, layer, "post_attention_norm", format!("blk.{layer}.ffn_norm.weight"));
            match config.experts {
                None => graph.feed_forward(config, layer, has),
                Some(experts) => graph.experts(experts, width, layer),
            }
            let is_last = layer + 1 == config.layers;
            let next =
                if is_last { "output_norm".to_owned() } else { format!("blk.{}.attn_norm", layer + 1) };
            graph.join(config, layer, "post_ffw_norm", format!("{next}.weight"));
        }
        let matrix = if config.tied_output {
            embedding
        } else {
            graph.matrix(&[("output.weight".to_owned(), config.vocabulary)], width)
        };
        // Looking up rows of the embedding does not add it.
        graph.matrices[matrix].biases = vec![bias(config, "", "output", config.vocabulary, has)];
        graph.head.push(Step::Product { matrix, from: Slot::Normed, to: Slot::Logits });
        graph.head.extend(config.logit_cap.map(|cap| Step::Cap { cap }));
        graph
    }

    fn matrix(&mut self, tensors: &[(String, usize)], cols: usize) -> usize {
        let specs = tensors.iter().map(|(name, rows)| TensorSpec {
            name: name.clone(),
            shape: vec![cols as u64, *rows as u64],
            padding: None,
        });
        self.matrices.push(Stack { tensors: specs.collect(), biases: Vec::new() });
        self.matrices.len() - 1
    }

    fn vector(&mut self, tensors: &[(String, usize)]) -> usize {
        self.vectors.push(vectors(tensors));
        self.vectors.len() - 1
    }

    /// The matrices of some parts of a layer, which share an input, with their biases.
    fn parts(
        &mut self,
        config: &Config,
        layer: usize,
        parts: &[(&str, usize)],
        cols: usize,
        has: &dyn Fn(&str) -> bool,
    ) -> usize {
        let prefix = format!("blk.{layer}.");
        let tensors: Vec<_> =
            parts.iter().map(|&(part, rows)| (format!("{prefix}{part}.weight"), rows)).collect();
        let matrix = self.matrix(&tensors, cols);
        self.matrices[matrix].biases =
            parts.iter().map(|&(part, rows)| bias(config, &prefix, part, rows, has)).collect();
        matrix
    }

    fn attention(&mut self, config: &Config, layer: usize, has: &dyn Fn(&str) -> bool) {
        let head = config.head_width;
        let (query, kv) = (config.heads * head, config.kv_heads * head);
        let padding = config.has_padded_heads().then(|| Padding { from: head, to: config.head_stride() });
        let (fused, apart) =
            ([("attn_qkv", query + 2 * kv)], [("attn_q", query), ("attn_k", kv), ("attn_v", kv)]);
        let is_fused = has(&format!("blk.{layer}.attn_qkv.weight"));
        let parts = if is_fused { fused.as_slice() } else { &apart };
        let matrix = self.parts(config, layer, parts, config.width, has);
        let Stack { tensors, biases } = &mut self.matrices[matrix];
        for spec in tensors.iter_mut().chain(biases.iter_mut().flatten()) {
            spec.padding = padding;
        }
        self.trunk.push(Step::Product { matrix, from: Slot::Normed, to: Slot::Qkv });

        let norms = ["attn_q_norm", "attn_k_norm"].map(|part| (format!("blk.{layer}.{part}.weight"), head));
        let norms = config.head_norms.then(|| self.vector(&norms));
        for spec in norms.map(|norms| &mut self.vectors[norms]).into_iter().flatten() {
            spec.padding = padding;
        }
        let window = config.window.as_ref().filter(|window| window.layers[layer]);
        self.trunk.push(Step::Turn { layer, norms, rope: usize::from(window.is_some()) });
        self.trunk.push(Step::Attend { layer, window: window.map(|window| window.tokens) });

        self.trunk.extend(padding.map(|_| Step::Pack));
        let from = if padding.is_some() { Slot::Packed } else { Slot::Attended };
        let matrix = self.parts(config, layer, &[("attn_output", config.width)], query, has);
        self.trunk.push(Step::Product { matrix, from, to: Slot::Branch });
    }

    fn join(&mut self, config: &Config, layer: usize, post: &str, norm: String) {
        let post =
            config.post_norms.then(|| self.vector(&[(format!("blk.{layer}.{post}.weight"), config.width)]));
        let norm = self.vector(&[(norm, config.width)]);
        self.trunk.push(Step::Join { post, norm });
    }

    fn feed_forward(&mut self, config: &Config, layer: usize, has: &dyn Fn(&str) -> bool) {
        let hidden = config.feed_forward;
        let parts = [("ffn_gate", hidden), ("ffn_up", hidden)];
        let matrix = self.parts(config, layer, &parts, config.width, has);
        self.trunk.push(Step::Product { matrix, from: Slot::Normed, to: Slot::Gate });
        self.trunk.push(Step::Gate);
        let matrix = self.parts(config, layer, &[("ffn_down", config.width)], hidden, has);
        self.trunk.push(Step::Product { matrix, from: Slot::Gated, to: Slot::Branch });
    }

    fn experts(&mut self, experts: Experts, width: usize, layer: usize) {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let matrix = self.matrix(&[(name("ffn_gate_inp"), experts.count)], width);
        self.trunk.push(Step::Product { matrix, from: Slot::Normed, to: Slot::Fit });
        self.trunk.push(Step::Route);
        let mut picked = |part: &str, cols: usize, rows: usize, from, to| {
            let shape = vec![cols as u64, rows as u64, experts.count as u64];
            let tensors = vec![TensorSpec { name: name(part), shape, padding: None }];
            self.matrices.push(Stack { tensors, biases: Vec::new() });
            Step::PickedProduct { matrix: self.matrices.len() - 1, from, to }
        };
        let hidden = experts.feed_forward;
        let gate = picked("ffn_gate_exps", width, hidden, Slot::Normed, Slot::Gate);
        let up = picked("ffn_up_exps", width, hidden, Slot::Normed, Slot::Up);
        let down = picked("ffn_down_exps", hidden, width, Slot::Gated, Slot::Parts);
        self.trunk.extend([gate, up, Step::Gate, down, Step::Mix]);
    }
}

/// What the file has to add to products with a part, if the architecture may have it.
fn bias(
    config: &Config,
    prefix: &str,
    part: &str,
    rows: usize,
    has: &dyn Fn(&str) -> bool,
) -> Option<TensorSpec> {
    let name = format!("{prefix}{part}.bias");
    let is_there = config.may_have_biases.contains(&part) && has(&name);
    is_there.then(|| TensorSpec { name, shape: vec![rows as u64], padding: None })
}

fn vectors(tensors: &[(String, usize)]) -> Vec<TensorSpec> {
    let spec = |(name, length): &(String, usize)| TensorSpec {
        name: name.clone(),
        shape: vec![*length as u64],
        padding: None,
    };
    tensors.iter().map(spec).collect()
}
