//! The rules: which tensors are never quantized, the exceptions of each file type, and the replacement of a
//! format where a row is not a whole number of its blocks.

use super::category::{Category, OUTPUT};
use super::tensor::{block_count, layer};
use super::{Facts, FileType, Options, Tensor};
use crate::error::RequestFault;
use crate::{Error, Format, Result};

/// Full names of tensors that are never quantized.
const NEVER: &[&str] = &["position_embd.weight", "token_types.weight"];

/// Parts of the names of tensors that are never quantized.
#[rustfmt::skip]
const NEVER_WITH: &[&str] = &[
    "_norm.weight",
    // The routers of experts.
    "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight",
    // Gemma 3n.
    "altup", "laurel", "per_layer_model_proj",
    // Short convolutions.
    "ssm_conv1d", "shortconv.conv.weight",
    // The selection of tokens for sparse attention.
    "indexer.k_proj.weight", "indexer.q_proj.weight",
    // RWKV.
    "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
    "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight",
    "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight",
    "time_mix_g1.weight", "time_mix_g2.weight",
    "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    // Relative positions of T5.
    "attn_rel_b.weight",
    // Images and sound.
    ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger",
    "a.rvq.codebook", "mm.a.code_embd",
];

const GLM5_NEXT: &str = "glm5-next";

/// Further such parts in the architecture glm5-next.
#[rustfmt::skip]
const NEVER_WITH_IN_GLM5_NEXT: &[&str] = &[
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj",
    "indexer_compressor_gate", "indexer_compressor_ape",
    "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight", "ssm_beta.weight",
    "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight",
];

/// Parts of the names of tensors of glm5-next that are `Q8_0` in every mix.
const Q8_0_IN_GLM5_NEXT: &[&str] = &["attn_q_a", "attn_q_b", "nextn.eh_proj"];

/// Architectures and layer counts of models in which many heads share few keys and values, so that more bits
/// for `attn_v` cost almost nothing. A llama of 80 layers counts only if its heads share any.
const LARGE: &[(&str, u32)] = &[("llama", 80), ("qwen2", 80), ("deci", 80), ("olmo", 80), ("jais2", 68)];

fn has_part(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.contains(part))
}

/// Whether the tensor keeps its format whatever the file type.
pub(super) fn is_never_quantized(architecture: &str, tensor: &Tensor) -> bool {
    let name = tensor.name;
    tensor.is_vector()
        || !name.ends_with("weight")
        || NEVER.contains(&name)
        || has_part(name, NEVER_WITH)
        || architecture == GLM5_NEXT && has_part(name, NEVER_WITH_IN_GLM5_NEXT)
}

/// The exceptions of a file type. One pass over the tensors of a model in order.
pub(super) struct Mix<'a> {
    file_type: FileType,
    default: Format,
    /// The requested format of the output matrix.
    output: Option<Format>,
    architecture: &'a str,
    /// Whether the token embedding is also the output matrix.
    tied: bool,
    /// Whether at least four heads share each head of keys and values.
    heads_share: bool,
    large: bool,
    experts: u32,
    layers: u32,
    /// Number of `AttnV` tensors in the model.
    attn_v_count: u32,
    /// Numbers of `AttnV` and `FfnDown` tensors that the pass has seen.
    attn_v_seen: u32,
    ffn_down_seen: u32,
}

impl<'a> Mix<'a> {
    pub(super) fn new(
        facts: &'a Facts,
        tensors: &[Tensor],
        file_type: FileType,
        default: Format,
        options: &Options,
    ) -> Self {
        let names = || tensors.iter().map(|tensor| tensor.name);
        let architecture = facts.architecture.as_str();
        let layers = facts.block_count.unwrap_or_else(|| block_count(names()));
        let heads = facts.head_count.unwrap_or(0);
        let heads_kv = facts.head_count_kv.unwrap_or(heads);
        Self {
            file_type,
            default,
            output: options.output_tensor_type,
            architecture,
            tied: names().all(|name| name != OUTPUT),
            heads_share: heads.checked_div(heads_kv).is_some_and(|shared| shared >= 4),
            large: LARGE.contains(&(architecture, layers)) && (architecture != "llama" || heads != heads_kv),
            experts: facts.expert_count.unwrap_or(0),
            layers,
            attn_v_count: names().filter(|name| Category::of(name) == Category::AttnV).count() as u32,
            attn_v_seen: 0,
            ffn_down_seen: 0,
        }
    }

    /// The format of the next tensor, whatever the length of its rows.
    pub(super) fn next(&mut self, tensor: &Tensor, category: Category) -> Result<Format> {
        if category == Category::Output || category == Category::TokenEmbd && self.tied {
            return Ok(self.output.unwrap_or_else(|| self.output_format(tensor)));
        }
        match self.file_type {
            FileType::MXFP4_MOE => return Ok(self.mxfp4_moe_format(tensor, category)),
            // qmill's own file type: llama-quantize has no rules for it.
            FileType::NVFP4 => return Ok(self.default),
            _ => {}
        }
        let eight_experts = self.experts == 8;
        Ok(match category {
            Category::AttnV => {
                let format = self.table(category, self.attn_v_seen, self.attn_v_count);
                self.attn_v_seen += 1;
                match format {
                    _ if eight_experts => Format::Q8_0,
                    Format::Q3_K | Format::Q4_K if self.large => Format::Q5_K,
                    _ => format,
                }
            }
            Category::AttnK if eight_experts => Format::Q8_0,
            Category::FfnDown => {
                let layer = self.ffn_down_layer(tensor)?;
                self.ffn_down_seen += 1;
                self.table(category, layer, self.layers)
            }
            Category::Other if self.architecture == GLM5_NEXT && has_part(tensor.name, Q8_0_IN_GLM5_NEXT) => {
                Format::Q8_0
            }
            _ => self.table(category, 0, 0),
        })
    }

    fn output_format(&self, tensor: &Tensor) -> Format {
        let to_q8_0 = self.file_type == FileType::MXFP4_MOE
            || self.architecture == "falcon"
            || !tensor.has_blocks_of(self.default)
            || self.default == Format::Q8_0;
        if to_q8_0 { Format::Q8_0 } else { Format::Q6_K }
    }

    /// `MXFP4` for experts, `Q8_0` for the rest. The stacks in the attention of bailingmoe3 are not experts.
    fn mxfp4_moe_format(&self, tensor: &Tensor, category: Category) -> Format {
        let is_ffn = matches!(category, Category::FfnUp | Category::FfnDown);
        if tensor.is_stack() && (is_ffn || self.architecture != "bailingmoe3") {
            Format::MXFP4
        } else {
            Format::Q8_0
        }
    }

    /// The layer of a `ffn_down` tensor. With experts a layer may have many such tensors, so the name gives
    /// it; otherwise it is the number of such tensors before.
    fn ffn_down_layer(&self, tensor: &Tensor) -> Result<u32> {
        if self.experts <= 1 {
            return Ok(self.ffn_down_seen);
        }
        layer(tensor.name).filter(|&layer| layer < self.layers).ok_or_else(|| {
            let tensor = tensor.name.to_owned();
            Error::Request(RequestFault::NoLayer { tensor, layers: self.layers })
        })
    }

    /// The table of exceptions, one rule per line; the first that applies decides. `i` is the layer, of `n`.
    #[rustfmt::skip]
    #[expect(clippy::match_same_arms, reason = "a table, sorted by category and file type")]
    fn table(&self, category: Category, i: u32, n: u32) -> Format {
        use Category::{AttnOutput, AttnV, FfnDown, TokenEmbd};
        use FileType::{
            IQ3_M, IQ3_S, IQ4_NL, IQ4_XS, Q2_0, Q2_K, Q3_K_L, Q3_K_M, Q3_K_S, Q4_K_M, Q4_K_S,
            Q5_K_M, TQ1_0, TQ2_0,
        };
        let falcon = self.architecture == "falcon";
        let eight_experts = self.experts == 8;
        // The first and the last eighth of the layers, and every third layer between them.
        let more = i < n / 8 || u64::from(i) >= 7 * u64::from(n) / 8 || (i - n / 8) % 3 == 2;
        match (category, self.file_type) {
            (TokenEmbd, Q2_0 | TQ1_0 | TQ2_0)                      => Format::Q4_K,

            (AttnV, Q2_K) if self.heads_share                      => Format::Q4_K,
            (AttnV, Q2_K)                                          => Format::Q3_K,
            (AttnV, Q3_K_M) if i < 2                               => Format::Q5_K,
            (AttnV, Q3_K_M)                                        => Format::Q4_K,
            (AttnV, Q3_K_L)                                        => Format::Q5_K,
            (AttnV, Q4_K_S) if i < 4                               => Format::Q5_K,
            (AttnV, Q4_K_M | Q5_K_M) if more                       => Format::Q6_K,
            (AttnV, IQ3_S) if self.heads_share                     => Format::Q4_K,
            (AttnV, IQ3_M)                                         => Format::Q4_K,
            (AttnV, IQ4_NL | IQ4_XS) if self.heads_share           => Format::Q5_K,

            (FfnDown, Q2_K)                                        => Format::Q3_K,
            (FfnDown, Q3_K_M) if i < n / 16                        => Format::Q5_K,
            (FfnDown, Q3_K_M) if more || !falcon                   => Format::Q4_K,
            (FfnDown, Q3_K_L) if falcon                            => Format::Q4_K,
            (FfnDown, Q3_K_L)                                      => Format::Q5_K,
            (FfnDown, Q4_K_S) if i < n / 8 && !falcon              => Format::Q5_K,
            (FfnDown, Q4_K_M) if falcon && i >= n / 16 && more     => Format::Q5_K,
            (FfnDown, Q4_K_M | Q5_K_M) if more                     => Format::Q6_K,
            (FfnDown, IQ3_M) if i < n / 8 || eight_experts && more => Format::Q4_K,
            (FfnDown, IQ4_NL | IQ4_XS) if i < n / 8                => Format::Q5_K,

            (AttnOutput, Q3_K_L) if falcon                         => Format::Q4_K,
            (AttnOutput, _) if falcon                              => self.default,
            (AttnOutput, Q2_K | Q3_K_S | Q3_K_M | Q4_K_S | Q4_K_M | IQ3_S | IQ3_M | IQ4_NL | IQ4_XS)
                if eight_experts                                   => Format::Q5_K,
            (AttnOutput, _) if eight_experts                       => self.default,
            (AttnOutput, Q2_K)                                     => Format::Q3_K,
            (AttnOutput, Q3_K_M)                                   => Format::Q4_K,
            (AttnOutput, Q3_K_L)                                   => Format::Q5_K,
            (AttnOutput, IQ3_M)                                    => Format::Q4_K,

            _                                                      => self.default,
        }
    }
}

/// `format`, or its replacement if the tensor's rows are not a whole number of its blocks.
pub(crate) fn or_replacement(format: Format, tensor: &Tensor) -> Result<Format> {
    if tensor.has_blocks_of(format) {
        return Ok(format);
    }
    let smaller = match format {
        Format::Q2_0 | Format::Q2_K | Format::Q3_K | Format::TQ1_0 | Format::TQ2_0 | Format::NVFP4 => {
            Format::Q4_0
        }
        Format::Q4_K => Format::Q5_0,
        Format::Q5_K => Format::Q5_1,
        Format::Q6_K => Format::Q8_0,
        Format::Q1_0 => return Err(tensor.row_length_error(format)),
        _ if format.info().block_weights <= 32 => format,
        _ => Format::IQ4_NL,
    };
    Ok(if tensor.has_blocks_of(smaller) { smaller } else { Format::F16 })
}
