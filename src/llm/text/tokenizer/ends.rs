//! Tokens that end an answer whatever the file says, as llama.cpp has them; and what they mean for the kinds
//! of tokens.

use super::vocabulary::{Kind, Vocabulary};

const END: &str = "<|end|>";
const LLAMA_END: &str = "</s>";
const TOOL_RESPONSE: &str = "<|tool_response>";

/// Texts of tokens that end an answer.
const ENDS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    END,
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    LLAMA_END,
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    TOOL_RESPONSE,
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Tokens of models that fill in the middle of a text, which end an answer too: a key that names the token;
/// and texts, the first of which in the vocabulary counts where the key is missing.
pub(super) const FILL_ENDS: [(&str, &[&str]); 3] = [
    ("tokenizer.ggml.fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    (
        "tokenizer.ggml.fim_rep_token_id",
        &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    ),
    ("tokenizer.ggml.fim_sep_token_id", &["<|file_sep|>"]),
];

/// Tokens of gpt-oss that begin a part of an answer, and [`END`], which ends a part and not the answer: text
/// that is shown.
const HARMONY: [&str; 5] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", END];
/// A vocabulary with either pair is gpt-oss's.
const HARMONY_ENDS: [[&str; 2]; 2] = [["<|return|>", "<|call|>"], ["<|flush|>", "<|calls|>"]];

/// The tokens that end an answer by their text.
pub(super) fn ends_of(vocabulary: &Vocabulary) -> Vec<u32> {
    let is_harmony = HARMONY_ENDS.iter().any(|pair| vocabulary.has_all(pair));
    let is_end = |text: &&&str| match **text {
        END => !is_harmony,
        LLAMA_END => !vocabulary.has_all(&[TOOL_RESPONSE]),
        _ => true,
    };
    ENDS.iter().filter(is_end).filter_map(|text| vocabulary.find(text.as_bytes())).collect()
}

/// The kind of the token `name`, for which the file says `kind`. `has` tells whether all texts are tokens.
pub(super) fn kind_of(name: &[u8], kind: Kind, has: &dyn Fn(&[&str]) -> bool) -> Kind {
    let is = |text: &&str| text.as_bytes() == name;
    if HARMONY.iter().any(is) && HARMONY_ENDS.iter().any(|pair| has(pair)) {
        return Kind::UserDefined;
    }
    if is(&LLAMA_END) && has(&[TOOL_RESPONSE]) {
        return Kind::Normal;
    }
    let mut control = ENDS.iter().chain(FILL_ENDS.iter().flat_map(|(_, texts)| *texts));
    if control.any(is) { Kind::Control } else { kind }
}
