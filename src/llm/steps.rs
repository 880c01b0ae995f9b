//! The steps that a model is a list of, and the slots that they read and write.

use super::config::Config;

/// Floats of each token of a batch, row by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// The residual stream: what goes from layer to layer.
    Hidden,
    /// The norm of `Hidden`.
    Normed,
    /// Queries, keys and values.
    Qkv,
    /// The output of attention, with padded heads.
    Attended,
    /// `Attended` without the padding, in models that have any.
    Unpadded,
    /// What the next step adds to `Hidden`.
    Branch,
    /// Gates and then ups; with experts, the gates of the experts of each token.
    Gate,
    /// With experts, the ups of the experts of each token.
    Up,
    /// activation(gate)·up.
    Gated,
    /// A logit of the router for each expert.
    RouterLogits,
    /// The numbers of the experts that a token goes to, as u32.
    Experts,
    /// The weight of each of these.
    ExpertWeights,
    /// The output of each of these.
    ExpertOutputs,
    /// The last slot. Its number of rows differs from that of the others.
    Logits,
}

impl Slot {
    /// All, in order of their numbers.
    pub(super) const ALL: [Self; 14] = [
        Self::Hidden,
        Self::Normed,
        Self::Qkv,
        Self::Attended,
        Self::Unpadded,
        Self::Branch,
        Self::Gate,
        Self::Up,
        Self::Gated,
        Self::RouterLogits,
        Self::Experts,
        Self::ExpertWeights,
        Self::ExpertOutputs,
        Self::Logits,
    ];

    /// Floats for a token; 0 where a model does not use the slot.
    pub(super) fn width(self, config: &Config) -> usize {
        let top_k = config.top_k();
        let is_dense = config.experts.is_none();
        match self {
            Self::Hidden | Self::Normed | Self::Branch => config.width,
            Self::Qkv => config.query_width() + 2 * config.kv_width(),
            Self::Attended => config.query_width(),
            Self::Unpadded if config.has_padded_heads() => config.heads * config.head_width,
            Self::Unpadded => 0,
            Self::Gate if is_dense => 2 * config.feed_forward,
            Self::Gated if is_dense => config.feed_forward,
            Self::Gate | Self::Up | Self::Gated => top_k * config.feed_forward,
            Self::RouterLogits => config.experts.map_or(0, |experts| experts.count),
            Self::Experts | Self::ExpertWeights => top_k,
            Self::ExpertOutputs => top_k * config.width,
            Self::Logits => config.vocabulary,
        }
    }
}

/// One operation on all tokens of a batch. Numbers of stacks, experts and vectors are indices into the lists
/// of [`Graph`](super::graph::Graph) and of the weights.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Step {
    /// An operation of [`crate::gpu`].
    Library(LibraryStep),
    Attention(Attention),
    /// A kernel of `shaders/llm`.
    Kernel(KernelStep),
}

/// Look-ups and products.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum LibraryStep {
    /// `Hidden` = the rows of the embedding for the tokens.
    GetRows,
    /// `to` = `from`·Wᵀ, plus the biases.
    Matmul { stack: usize, from: Slot, to: Slot },
    /// `to` = the products with the matrices of the experts in `Experts`: of the token's one vector in
    /// `from`, or of a vector for each expert.
    ExpertMatmul { experts: usize, from: Slot, to: Slot },
    /// `Logits` = `Normed`·Wᵀ, plus the bias.
    Output,
}

/// `Attended` = attention of the queries in `Qkv` to the layer's KV cache.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Attention {
    pub(super) layer: usize,
    /// Tokens that a token attends to; `None` for all before it.
    pub(super) window: Option<usize>,
}

/// Everything that is neither a product nor attention.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum KernelStep {
    /// `Hidden` *= scale, `Normed` = norm of `Hidden`.
    ScaleRmsNorm { scale: f32, norm: usize },
    /// Norms the heads of queries and keys in `Qkv`, rotates them by position, and stores keys and values in
    /// the KV cache. The vector `norms` has a head's weights for queries, then for keys; `rope` is the number
    /// of the rope.
    RopeStore { layer: usize, norms: Option<usize>, rope: usize },
    /// `Unpadded` = `Attended` without the padding of heads.
    UnpadHeads,
    /// `Gated` = activation(gate)·up.
    Glu,
    /// `Hidden` += `Branch`, or its norm with `post`; `Normed` = norm of `Hidden`.
    AddRmsNorm { post: Option<usize>, norm: usize },
    /// `Experts` = the experts with the largest `RouterLogits`, `ExpertWeights` = the softmax of these
    /// logits.
    MoeRouter,
    /// `Branch` = the sum of `ExpertOutputs`, weighted by `ExpertWeights`.
    MoeCombine,
    /// `Logits` = c·tanh(`Logits` / c), with the softcap c.
    Softcap { softcap: f32 },
}
