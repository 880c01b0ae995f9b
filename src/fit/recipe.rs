//! A recipe: the type of every tensor, in the syntax of `--tensor-type-file`.

use super::Fitted;
use std::fmt::Write;

/// The types that were chosen, a line for each tensor: `^blk\.0\.attn_q\.weight$=Q4_K`.
///
/// `llama-quantize --tensor-type-file FILE IN OUT TYPE`, and `qmill quantize` with the same arguments, make
/// the same file, where TYPE is [`Fitted::mix`].
pub fn recipe(fitted: &Fitted) -> String {
    let mut text = String::new();
    for tensor in &fitted.tensors {
        // A String takes everything.
        let _ = writeln!(text, "^{}$={}", escaped(&tensor.name), tensor.format);
    }
    text
}

/// The name as a pattern that matches nothing else.
fn escaped(name: &str) -> String {
    let mut pattern = String::new();
    for character in name.chars() {
        if character.is_ascii_punctuation() && !matches!(character, '_' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
