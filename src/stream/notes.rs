//! What of a request has no effect on a model.

use super::Request;
use crate::mix::{self, Facts, FileType};

/// The parts of the request that change nothing, one sentence each.
pub(super) fn ineffective(facts: &Facts, views: &[mix::Tensor], request: &Request) -> Vec<String> {
    let (file_type, options) = (request.file_type, &request.mix);
    let mut notes = Vec::new();
    match file_type.info().format {
        Some(default) if !default.is_float() => {
            let changing = |view: &&mix::Tensor| mix::may_change(facts, view, options);
            let unmatched = options
                .tensor_types
                .iter()
                .filter(|rule| !views.iter().filter(changing).any(|view| rule.matches(view.name)));
            notes.extend(
                unmatched.map(|rule| format!("{rule} matches the name of no tensor that is quantized")),
            );
        }
        _ if !options.tensor_types.is_empty() => {
            notes.push(format!("formats by tensor name have no effect with {file_type}"));
        }
        _ => {}
    }
    let has_output = views.iter().any(mix::is_output);
    let has_embedding = views.iter().any(mix::is_token_embedding);
    // Without an output matrix the embedding takes its format, but not with `pure`.
    let output_is_used = has_output || has_embedding && !options.pure;
    for (is_set, is_used, what, needed) in [
        (options.output_tensor_type.is_some(), output_is_used, "the format of the output", "output.weight"),
        (
            options.token_embedding_type.is_some(),
            has_embedding,
            "the format of the embedding",
            "token_embd.weight",
        ),
        (options.leave_output_tensor, has_output, "leaving the output as it is", "output.weight"),
    ] {
        if is_set && !is_used {
            notes.push(format!("{what} has no effect: there is no {needed}"));
        } else if is_set && file_type == FileType::COPY {
            notes.push(format!("{what} has no effect with COPY"));
        }
    }
    notes
}
