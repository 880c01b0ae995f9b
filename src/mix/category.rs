//! What a tensor is for.

pub(super) const OUTPUT: &str = "output.weight";
pub(super) const PER_LAYER_TOKEN_EMBD: &str = "per_layer_token_embd.weight";

/// What a tensor is for, as far as the rules distinguish it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Category {
    Output,
    TokenEmbd,
    /// The value projection of attention, also where one matrix holds it with other projections.
    AttnV,
    AttnK,
    AttnOutput,
    /// The up and gate projections of a feed-forward network.
    FfnUp,
    /// The down projection of a feed-forward network.
    FfnDown,
    Other,
}

impl Category {
    /// The category of a tensor by its name: one of three full names, or else the first part that occurs in
    /// it.
    pub(super) fn of(name: &str) -> Self {
        const PARTS: &[(&str, Category)] = &[
            ("attn_qkv.weight", Category::AttnV),
            ("attn_kv_b.weight", Category::AttnV),
            ("attn_v.weight", Category::AttnV),
            ("attn_k.weight", Category::AttnK),
            ("attn_output.weight", Category::AttnOutput),
            ("ffn_up", Category::FfnUp),
            ("ffn_gate", Category::FfnUp),
            ("ffn_down", Category::FfnDown),
        ];
        match name {
            OUTPUT => Self::Output,
            "token_embd.weight" | PER_LAYER_TOKEN_EMBD => Self::TokenEmbd,
            _ => PARTS.iter().find(|(part, _)| name.contains(part)).map_or(Self::Other, |&(_, is)| is),
        }
    }
}
