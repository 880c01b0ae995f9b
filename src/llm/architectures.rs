//! What architectures differ in and files do not say: one row for each.

/// Which two floats of a head rope rotates together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RopeLayout {
    /// 0 and 1, 2 and 3, …: "norm" in ggml.
    Interleaved,
    /// One of the first half and its counterpart in the second: "neox" in ggml.
    SplitHalves,
}

/// The function that a feed-forward network applies to its gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715x³)))`.
    Gelu,
}

/// What embeddings are multiplied by.
pub(super) enum EmbeddingScale {
    One,
    /// The square root of the model's width.
    RootOfWidth,
}

/// What attention multiplies scores by: 1/√(head width), with one exception.
pub(super) enum AttentionScale {
    HeadWidth,
    /// In a model of this many layers, 1/√(model width / heads) instead.
    ModelWidthAtLayers(usize),
}

/// The hidden length of one expert, where the file gives `feed_forward_length` alone.
pub(super) enum ExpertLength {
    /// The length itself.
    Whole,
    /// The length divided by the number of experts that a token goes to.
    DividedByTopK,
}

/// A row of [`ARCHITECTURES`].
pub(super) struct Architecture {
    /// `general.architecture`.
    pub(super) name: &'static str,
    pub(super) rope_layout: RopeLayout,
    /// Matrices that may have a bias, by the names of the tensors without `blk.N.`: those that libllama
    /// loads. A file may have any of them.
    pub(super) biases: &'static [&'static str],
    /// Queries and keys are normed, head by head.
    pub(super) head_norms: bool,
    /// The outputs of attention and of the feed-forward network are normed before they are added.
    pub(super) post_norms: bool,
    pub(super) activation: Activation,
    pub(super) embedding_scale: EmbeddingScale,
    pub(super) attention_scale: AttentionScale,
    /// Layers may have a sliding window: without a pattern in the file, all but each `n`th.
    pub(super) window_pattern: Option<u64>,
    /// `final_logit_softcapping` has an effect.
    pub(super) logit_softcap: bool,
    pub(super) expert_length: ExpertLength,
}

const QKV_BIASES: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_qkv"];
const QWEN2_BIASES: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_qkv", "output"];
const LLAMA_BIASES: &[&str] =
    &["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

const LLAMA: Architecture = Architecture {
    name: "llama",
    rope_layout: RopeLayout::Interleaved,
    biases: LLAMA_BIASES,
    head_norms: false,
    post_norms: false,
    activation: Activation::Silu,
    embedding_scale: EmbeddingScale::One,
    attention_scale: AttentionScale::HeadWidth,
    window_pattern: None,
    logit_softcap: false,
    expert_length: ExpertLength::Whole,
};

const QWEN3: Architecture = Architecture {
    name: "qwen3",
    rope_layout: RopeLayout::SplitHalves,
    biases: QKV_BIASES,
    head_norms: true,
    ..LLAMA
};

/// The architectures that can be run, in the order in which error messages name them.
pub(super) const ARCHITECTURES: [Architecture; 5] = [
    LLAMA,
    Architecture { name: "qwen2", rope_layout: RopeLayout::SplitHalves, biases: QWEN2_BIASES, ..LLAMA },
    QWEN3,
    Architecture { name: "qwen3moe", expert_length: ExpertLength::DividedByTopK, ..QWEN3 },
    Architecture {
        name: "gemma3",
        post_norms: true,
        activation: Activation::Gelu,
        embedding_scale: EmbeddingScale::RootOfWidth,
        // Gemma 3 27B.
        attention_scale: AttentionScale::ModelWidthAtLayers(62),
        window_pattern: Some(6),
        logit_softcap: true,
        ..QWEN3
    },
];
