//! The metadata of an architecture. Every key that begins with its name is read, known to have no effect, or
//! reported.

use crate::gguf::{Metadata, Value};
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Keys that change no logit, with the reason.
const HARMLESS: &[(&str, &str)] = &[
    ("vocab_size", "the rows of the embedding are counted"),
    ("tensor_data_layout", "GGUF has one layout"),
    ("rope.scaling.finetuned", "tells how the model was trained"),
    ("attention.layer_norm_epsilon", "belongs to norms with a mean; these have none"),
    ("attention.group_norm_epsilon", "belongs to group norms; there are none"),
    ("attention.group_norm_groups", "belongs to group norms; there are none"),
    ("pooling_type", "concerns embeddings of texts, not logits"),
    ("classifier.pooling_type", "concerns classifiers, not logits"),
    ("classifier.output_labels", "names the outputs of a classifier"),
    ("embedding_length_out", "concerns embeddings of texts, not logits"),
    ("decoder_start_token_id", "concerns encoders with a decoder"),
];

/// Prefixes of keys for inputs other than text, which some programs' files hold beside the text's model.
const OTHER_INPUTS: &[&str] = &["vision.", "audio.", "mm."];

/// Keys that libllama follows in some architectures, with the numbers that mean no effect (`true` is 1,
/// `false` is 0, an array has such numbers only). Where an architecture does not follow one, in libllama and
/// in qmill, other values draw a warning.
const NOT_FOLLOWED: &[(&str, &[f64])] = &[
    ("attention.clamp_kqv", &[0.0]),
    ("attention.gate_lora_rank", &[0.0]),
    ("attention.key_length_mla", &[0.0]),
    ("attention.kv_lora_rank", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.output_scale", &[0.0, 1.0]),
    ("attention.q_lora_rank", &[0.0]),
    ("attention.recurrent_layers", &[0.0]),
    ("attention.rope_pattern", &[1.0]),
    ("attention.scale", &[0.0]),
    ("attention.shared_kv_layers", &[0.0]),
    ("attention.sliding_window", &[0.0]),
    ("attention.sliding_window_pattern", &[0.0]),
    ("attention.temperature_length", &[0.0]),
    ("attention.temperature_scale", &[0.0]),
    ("attention.value_length_mla", &[0.0]),
    ("attention.value_scale", &[0.0, 1.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_length_per_layer_input", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("expert_chunk_feed_forward_length", &[0.0]),
    ("expert_gating_func", &[0.0, 1.0]),
    ("expert_group_scale", &[0.0, 1.0]),
    ("expert_latent_length", &[0.0]),
    ("expert_shared_count", &[0.0]),
    ("expert_shared_feed_forward_length", &[0.0]),
    ("expert_weights_norm", &[1.0]),
    ("expert_weights_scale", &[0.0, 1.0]),
    ("experts_per_group", &[0.0]),
    ("final_logit_softcapping", &[0.0]),
    ("full_attention_interval", &[0.0, 1.0]),
    ("interleave_moe_layer_step", &[0.0, 1.0]),
    ("leading_dense_block_count", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("moe_every_n_layers", &[0.0, 1.0]),
    ("moe_latent_size", &[0.0]),
    ("n_deepstack_layers", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.dimension_sections", &[0.0]),
    ("rope.freq_base_swa", &[0.0]),
    ("rope.scaling.alpha", &[0.0]),
    ("rope.scaling.yarn_attn_factor", &[1.0]),
    ("rope.scaling.yarn_beta_fast", &[32.0]),
    ("rope.scaling.yarn_beta_slow", &[1.0]),
    ("rope.scaling.yarn_ext_factor", &[-1.0]),
    ("rope.scaling.yarn_log_multiplier", &[0.0]),
    ("router_logit_softcapping", &[0.0]),
    ("swiglu_clamp_exp", &[0.0]),
    ("swiglu_clamp_shexp", &[0.0]),
    ("swin_norm", &[0.0]),
    ("use_parallel_residual", &[0.0]),
];

/// Parts of a model whose unknown keys are refused: a word of such a key, between dots and underscores.
const PARTS: &[&str] = &["rope", "attention", "attn", "expert", "experts", "router", "moe", "ssm"];

/// Reads the keys that begin with the architecture's name, and records which were read.
pub(super) struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
    /// Whether each key was read; names are without the architecture's.
    was_read: RefCell<BTreeMap<&'a str, bool>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, architecture: &'a str) -> Self {
        let own = |key: &'a str| key.strip_prefix(architecture)?.strip_prefix('.');
        let keys = metadata.iter().filter_map(|(key, _)| own(key)).map(|key| (key, false)).collect();
        Self { metadata, architecture, was_read: RefCell::new(keys) }
    }

    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// The error for a value that is missing or impossible.
    pub(super) fn missing(&self, key: &str, needed: &'static str) -> Error {
        Error::MetadataKey { key: self.name(key), needed }
    }

    /// The value of a key, which now counts as read.
    fn get(&self, key: &str) -> Option<&'a Value> {
        if let Some(is_read) = self.was_read.borrow_mut().get_mut(key) {
            *is_read = true;
        }
        self.metadata.get(&self.name(key))
    }

    /// The value of a key. An array with a value for each layer gives the first if all are the same, else an
    /// error.
    fn value(&self, key: &str, needed: &'static str) -> Result<Option<Value>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Some(array) = value.as_array() else { return Ok(Some(value.clone())) };
        let first = array.iter().next();
        match first.filter(|first| array.iter().all(|other| other == *first)) {
            Some(first) => Ok(Some(first)),
            None => Err(self.missing(key, needed)),
        }
    }

    /// An integer from 0 to 2³¹: sums of products of two of these do not overflow.
    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        const NEEDED: &str = "an integer from 0 to 2147483648, the same for all layers";
        let Some(value) = self.value(key, NEEDED)? else { return Ok(None) };
        match value.as_u64().filter(|&size| size <= 1 << 31) {
            Some(size) => Ok(Some(size as usize)),
            None => Err(self.missing(key, NEEDED)),
        }
    }

    /// An integer from 1 to 2³¹.
    pub(super) fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        const NEEDED: &str = "an integer from 1 to 2147483648, the same for all layers";
        let Some(value) = self.value(key, NEEDED)? else { return Ok(None) };
        match value.as_u64().filter(|count| (1..=1 << 31).contains(count)) {
            Some(count) => Ok(Some(count as usize)),
            None => Err(self.missing(key, NEEDED)),
        }
    }

    /// [`optional_count`](Self::optional_count), which must not be missing.
    pub(super) fn count(&self, key: &str) -> Result<usize> {
        self.optional_count(key)?.ok_or_else(|| self.missing(key, "an integer"))
    }

    pub(super) fn optional_float(&self, key: &str) -> Result<Option<f64>> {
        const NEEDED: &str = "a float that is not negative";
        let Some(value) = self.value(key, NEEDED)? else { return Ok(None) };
        match value.as_f64().filter(|x| x.is_finite() && *x >= 0.0) {
            Some(x) => Ok(Some(x)),
            None => Err(self.missing(key, NEEDED)),
        }
    }

    pub(super) fn optional_str(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.missing(key, "a string")),
        }
    }

    /// Whether each of `layers` layers has a part: from an array with a number or a flag for each, or by `of`
    /// from one number or none.
    pub(super) fn layers(
        &self,
        key: &str,
        layers: usize,
        of: impl Fn(Option<u64>) -> Vec<bool>,
    ) -> Result<Vec<bool>> {
        let needed = "an integer, or an array with an integer or a flag for each layer";
        let wrong = || self.missing(key, needed);
        let Some(value) = self.get(key) else { return Ok(of(None)) };
        let Some(array) = value.as_array() else {
            return Ok(of(Some(value.as_u64().ok_or_else(wrong)?)));
        };
        let flags: Option<Vec<bool>> = array.iter().map(|flag| number(&flag).map(|x| x != 0.0)).collect();
        flags.filter(|flags| flags.len() >= layers).map(|flags| flags[..layers].to_vec()).ok_or_else(wrong)
    }

    /// Marks keys as read whose values do not matter, because other keys decide.
    pub(super) fn pass(&self, keys: &[&str]) {
        for key in keys {
            self.get(key);
        }
    }

    /// Fails with [`Error::Unsupported`] unless the key is missing or has one of the numbers in `taken`
    /// (`true` is 1, `false` is 0).
    pub(super) fn only(&self, key: &str, what: &'static str, taken: &[f64], known: &str) -> Result<()> {
        match self.get(key) {
            Some(value) if !has_only(value, taken) => {
                let found = format!("{} = {}", self.name(key), shown(value));
                Err(Error::Unsupported { what, found, known: known.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Returns a warning for each key that was not read and is not known to have no effect.
    ///
    /// Fails with [`Error::Unsupported`] for an unread key of attention, rope, experts or their router that
    /// libllama does not know either, since it may change what the model computes.
    pub(super) fn finish(self) -> Result<Vec<String>> {
        let keys = self.was_read.borrow();
        let mut warnings = Vec::new();
        for (&key, _) in keys.iter().filter(|&(_, &is_read)| !is_read) {
            let value = self.metadata.get(&self.name(key)).map_or_else(String::new, shown);
            let name = self.name(key);
            if HARMLESS.iter().any(|&(harmless, _)| harmless == key)
                || OTHER_INPUTS.iter().any(|start| key.starts_with(start))
            {
                continue;
            }
            if let Some((_, without_effect)) = NOT_FOLLOWED.iter().find(|(known, _)| *known == key) {
                if !self.metadata.get(&name).is_some_and(|value| has_only(value, without_effect)) {
                    let architecture = self.architecture;
                    warnings.push(format!(
                        "{name} = {value} is ignored: a model of the architecture {architecture} has no \
                         such part"
                    ));
                }
                continue;
            }
            let mut words = key.split(['.', '_']);
            if words.any(|word| PARTS.contains(&word)) {
                let read: Vec<_> =
                    keys.iter().filter(|&(_, &is_read)| is_read).map(|(key, _)| *key).collect();
                return Err(Error::Unsupported {
                    what: "a key that may change what the model computes",
                    found: format!("{name} = {value}"),
                    known: format!("models without it; of this one it reads {}", read.join(", ")),
                });
            }
            warnings.push(format!("{name} = {value} is ignored: the key is unknown"));
        }
        Ok(warnings)
    }
}

/// The value as a number; a flag is 1 or 0.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_i64().map(|x| x as f64)).or_else(|| value.as_bool().map(f64::from))
}

/// Whether a value is one of these numbers, or an array of them.
fn has_only(value: &Value, numbers: &[f64]) -> bool {
    let is_one = |value: &Value| number(value).is_some_and(|x| numbers.contains(&x));
    match value.as_array() {
        Some(array) => array.iter().all(|value| is_one(&value)),
        None => is_one(value),
    }
}

/// A value as text for a message.
fn shown(value: &Value) -> String {
    /// Elements of an array that are shown.
    const ELEMENTS: usize = 8;
    if let Some(array) = value.as_array() {
        let more = if array.len() > ELEMENTS as u64 { ", …" } else { "" };
        let elements: Vec<_> = array.iter().take(ELEMENTS).map(|value| shown(&value)).collect();
        return format!("[{}{more}]", elements.join(", "));
    }
    match (value.as_str(), value.as_bool(), value.as_i64()) {
        (Some(text), _, _) => format!("{text:?}"),
        (_, Some(flag), _) => flag.to_string(),
        (_, _, Some(integer)) => integer.to_string(),
        _ => match value {
            Value::F32(x) => x.to_string(),
            _ => value.as_f64().map_or_else(|| value.value_type().to_string(), |x| x.to_string()),
        },
    }
}
