//! What a tensor does in a model, and how much an error there costs.
//!
//! The weights and shares are those of a study on four models, and for experts and state-space layers of an
//! analysis of published measurements on ten; benches/record/fit has what they give. That one weight fits all
//! layers, and tensors of all sizes, has a reason: where layers are normed, each matrix adds noise relative
//! to its own output.

/// The role in the tensor's name: `attn_q` of `blk.3.attn_q.weight`.
pub(super) fn role(name: &str) -> &str {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    match crate::mix::layer(name) {
        Some(_) => name.splitn(3, '.').nth(2).unwrap_or(name),
        None => name,
    }
}

/// The output matrix, and a token embedding.
pub(super) const OUTPUT: &str = "output";
pub(super) const TOKEN_EMBD: &str = "token_embd";

/// The share of a head in the sum of all sensitivities; `None` for other tensors. `tied` is whether the token
/// embedding is the output matrix too.
pub(super) fn head_share(role: &str, tied: bool) -> Option<f64> {
    match role {
        OUTPUT => Some(0.20),
        TOKEN_EMBD if tied => Some(0.18),
        TOKEN_EMBD | "per_layer_token_embd" => Some(0.025),
        _ => None,
    }
}

/// The sensitivity of a tensor in a layer. `has_ssm` is whether its layer has state-space tensors: there
/// `attn_qkv` is the input of a linear attention, and elsewhere three projections in one.
#[expect(clippy::match_same_arms, reason = "a table, one line for each role")]
pub(super) fn layer_weight(role: &str, has_ssm: bool) -> f64 {
    match role {
        "attn_q" => 0.6,
        "attn_k" => 0.45,
        "attn_v" => 1.0,
        "attn_output" => 1.1,
        "attn_qkv" if has_ssm => 1.05,
        "attn_qkv" => 0.6 + 0.45 + 1.0,
        "attn_gate" => 0.75,
        "ffn_gate" => 1.2,
        "ffn_up" => 1.5,
        "ffn_down" => 1.55,
        "ffn_gate_exps" => 1.0,
        "ffn_up_exps" => 1.05,
        "ffn_gate_up_exps" => 1.0 + 1.05,
        "ffn_down_exps" => 1.3,
        "ffn_gate_shexp" => 0.8,
        "ffn_up_shexp" => 0.85,
        "ffn_down_shexp" => 0.9,
        "ssm_out" => 1.1,
        "ssm_alpha" | "ssm_beta" | "ssm_ba" => 0.1,
        _ => 1.0,
    }
}

/// Whether the tensor is small and its errors reach every token's state: it keeps 8 bits.
pub(super) fn keeps_8_bits(role: &str) -> bool {
    matches!(role, "ssm_alpha" | "ssm_beta" | "ssm_ba")
}

/// Whether only some experts of the tensor are read for each token.
pub(super) fn is_experts(role: &str) -> bool {
    role.ends_with("_exps")
}
