//! The shape of a model, as its metadata and its architecture's row give it.

use super::architectures::{
    ARCHITECTURES, Activation, Architecture, AttentionScale, EmbeddingScale, ExpertLength,
};
use super::keys::Keys;
use super::rope::{ROPE_DIVISORS, Rope};
use crate::gguf::Model;
use crate::{Error, Result};

/// The tensor with a row for each token.
pub(super) const EMBEDDING: &str = "token_embd.weight";
/// The output matrix; a file without it has tied embeddings.
pub(super) const OUTPUT: &str = "output.weight";

/// A model's shape, and what its architecture does differently from others.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `general.architecture`.
    pub architecture: String,
    /// Layers.
    pub layers: usize,
    /// Floats of a token between layers.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; a group of query heads shares each.
    pub kv_heads: usize,
    /// Floats in a head.
    pub head_width: usize,
    /// Floats in the hidden layer of a feed-forward network; with experts, of one expert.
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Tokens of the longest text that the model was trained for.
    pub trained_context: usize,
    /// What RMS norms add to the mean square.
    pub epsilon: f32,
    /// How positions rotate queries and keys.
    pub rope: Rope,
    /// The sliding window of some layers.
    pub window: Option<Window>,
    /// What scores are multiplied by before the softmax.
    pub attention_scale: f32,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// The activation of the feed-forward network.
    pub activation: Activation,
    /// The softcap `c` of the logits: `x` becomes `c·tanh(x / c)`.
    pub logit_softcap: Option<f32>,
    /// Queries and keys are normed, head by head.
    pub head_norms: bool,
    /// The outputs of attention and of the feed-forward network are normed before they are added.
    pub post_norms: bool,
    /// The embedding is the output matrix too.
    pub tied_output: bool,
    /// Experts in place of one feed-forward network.
    pub experts: Option<Experts>,
    /// Matrices that may have a bias, by the names of the tensors without `blk.N.`.
    pub(super) biases: &'static [&'static str],
    warnings: Vec<String>,
}

/// A sliding window.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Window {
    /// Tokens that a token attends to, itself included.
    pub tokens: usize,
    /// Whether each layer has it.
    pub layers: Vec<bool>,
    /// The base of rope in layers that have it; positions are not scaled there.
    pub rope_base: f64,
}

/// A mixture of experts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Experts {
    /// Experts in a layer.
    pub count: usize,
    /// Experts that a token goes to.
    pub top_k: usize,
}

impl Config {
    /// Reads the metadata of a model, and checks which optional tensors it has.
    ///
    /// Fails with [`Error::Unsupported`] for an unknown architecture or rope scaling, and for an unknown key
    /// of rope, attention or experts; with [`Error::MetadataKey`] for a number that is missing or impossible;
    /// and with [`Error::MissingTensor`] for a file without an embedding or with fewer layers than it claims.
    /// Other keys without effect are in [`Self::warnings`].
    pub fn new(model: &Model) -> Result<Self> {
        let metadata = model.metadata();
        let name = metadata.str_of("general.architecture").unwrap_or_default();
        let Some(architecture) = ARCHITECTURES.iter().find(|known| known.name == name) else {
            let known = ARCHITECTURES.map(|known| known.name).join(", ");
            return Err(Error::Unsupported { what: "the architecture", found: name.to_owned(), known });
        };
        let keys = Keys::new(metadata, name);
        let has = |tensor: &str| model.tensor(tensor).is_some();

        let layers = keys.count("block_count")?;
        let width = keys.count("embedding_length")?;
        // Checked before anything is allocated for each layer that the file claims to have.
        let last = format!("blk.{}.attn_norm.weight", layers - 1);
        if !has(&last) {
            return Err(Error::MissingTensor { tensor: last });
        }
        let heads = keys.count("attention.head_count")?;
        let kv_heads = keys.optional_count("attention.head_count_kv")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.missing("attention.head_count_kv", "a divisor of the number of heads"));
        }
        let head_width = keys.optional_count("attention.key_length")?.unwrap_or(width / heads);
        if head_width == 0 {
            return Err(keys.missing("attention.head_count", "at most the floats of a token"));
        }
        for key in ["attention.value_length", "attention.key_length_swa", "attention.value_length_swa"] {
            if keys.optional_count(key)?.is_some_and(|values| values != head_width) {
                return Err(keys.missing(key, "the same as attention.key_length"));
            }
        }
        let epsilon = keys
            .optional_float("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon", "a float"))?;
        keys.only("attention.causal", "the attention", &[1.0], "causal models")?;
        keys.only(
            "nextn_predict_layers",
            "a number of layers",
            &[0.0],
            "models without layers that predict further tokens",
        )?;
        let experts = experts(&keys)?;
        let feed_forward = match experts {
            Some(experts) => expert_length(&keys, &architecture.expert_length, experts.top_k)?,
            None => keys.count("feed_forward_length")?,
        };
        let window = match architecture.window_pattern {
            Some(pattern) => window(&keys, layers, pattern)?,
            None => None,
        };
        // Without a softcap in the row, the key draws a warning.
        let softcap =
            if architecture.logit_softcap { keys.optional_float("final_logit_softcapping")? } else { None };
        let trained_context = keys.count("context_length")?;
        let rope =
            Rope::new(&keys, architecture.rope_layout, head_width, trained_context, has(ROPE_DIVISORS))?;
        Ok(Self {
            architecture: name.to_owned(),
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward,
            vocabulary: vocabulary(model)?,
            trained_context,
            epsilon: epsilon as f32,
            rope,
            window,
            attention_scale: attention_scale(architecture, layers, head_width, width / heads),
            embedding_scale: match architecture.embedding_scale {
                EmbeddingScale::One => 1.0,
                EmbeddingScale::RootOfWidth => (width as f32).sqrt(),
            },
            activation: architecture.activation,
            // Zero means none.
            logit_softcap: softcap.filter(|&softcap| softcap > 0.0).map(|softcap| softcap as f32),
            head_norms: architecture.head_norms,
            post_norms: architecture.post_norms,
            tied_output: !has(OUTPUT),
            experts,
            biases: architecture.biases,
            warnings: keys.finish()?,
        })
    }

    /// Keys of the metadata that have no effect, a sentence for each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Floats from the start of a head to the next in queries, keys and values. Kernels load four floats at a
    /// time, so zeros pad heads to a multiple of four.
    pub(super) fn head_stride(&self) -> usize {
        self.head_width.next_multiple_of(4)
    }

    /// Whether zeros pad heads.
    pub(super) fn has_padded_heads(&self) -> bool {
        self.head_stride() != self.head_width
    }

    /// Floats in the queries of a token, padding included.
    pub(super) fn query_width(&self) -> usize {
        self.heads * self.head_stride()
    }

    /// Floats in the keys of a token, and in its values, padding included.
    pub(super) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_stride()
    }

    /// Experts that a token goes to; 0 without experts.
    pub(super) fn top_k(&self) -> usize {
        self.experts.map_or(0, |experts| experts.top_k)
    }
}

/// The rows of the embedding.
fn vocabulary(model: &Model) -> Result<usize> {
    match model.tensor(EMBEDDING) {
        None => Err(Error::MissingTensor { tensor: EMBEDDING.to_owned() }),
        Some(embedding) => Ok(embedding.info.rows() as usize),
    }
}

fn attention_scale(
    architecture: &Architecture,
    layers: usize,
    head_width: usize,
    width_per_head: usize,
) -> f32 {
    let width = match architecture.attention_scale {
        AttentionScale::ModelWidthAtLayers(exception) if exception == layers => width_per_head,
        AttentionScale::ModelWidthAtLayers(_) | AttentionScale::HeadWidth => head_width,
    };
    1.0 / (width as f32).sqrt()
}

/// Reads the window; `None` where the file has none, or one of 0 tokens. A layer has the window unless its
/// number, counted from 1, is a multiple of the pattern; with a pattern of 0 all have it.
///
/// Fails with [`Error::MetadataKey`] for an impossible value.
fn window(keys: &Keys, layers: usize, default_pattern: u64) -> Result<Option<Window>> {
    let by_pattern = |pattern: Option<u64>| {
        let pattern = pattern.unwrap_or(default_pattern);
        (1..=layers as u64).map(|number| pattern == 0 || number % pattern != 0).collect()
    };
    let windowed = keys.layers("attention.sliding_window_pattern", layers, by_pattern)?;
    let rope_base = keys.optional_float("rope.freq_base_swa")?.unwrap_or(10_000.0);
    let tokens = keys.optional_size("attention.sliding_window")?.filter(|&tokens| tokens > 0);
    Ok(tokens.map(|tokens| Window { tokens, layers: windowed, rope_base }))
}

fn experts(keys: &Keys) -> Result<Option<Experts>> {
    keys.pass(&["expert_used_count", "expert_feed_forward_length", "feed_forward_length"]);
    let groups = "models whose experts are one group";
    keys.only("expert_group_count", "the groups of experts", &[0.0, 1.0], groups)?;
    keys.pass(&["expert_group_used_count"]);
    // Files of models without experts may say 0.
    let Some(count) = keys.optional_size("expert_count")?.filter(|&count| count > 0) else { return Ok(None) };
    let top_k = keys.count("expert_used_count")?;
    if top_k > count {
        return Err(keys.missing("expert_used_count", "no more than there are experts"));
    }
    Ok(Some(Experts { count, top_k }))
}

/// Floats in the hidden layer of an expert.
fn expert_length(keys: &Keys, length: &ExpertLength, top_k: usize) -> Result<usize> {
    let feed_forward = match (keys.optional_count("expert_feed_forward_length")?, length) {
        (Some(feed_forward), _) => feed_forward,
        (None, ExpertLength::Whole) => keys.count("feed_forward_length")?,
        (None, ExpertLength::DividedByTopK) => keys.count("feed_forward_length")? / top_k,
    };
    if feed_forward == 0 {
        return Err(keys.missing("feed_forward_length", "no less than the experts that are used"));
    }
    Ok(feed_forward)
}
