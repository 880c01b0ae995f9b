//! What the user requests besides the file type.

use super::TensorRule;
use crate::Format;

/// What the user requests besides the file type: llama-quantize's flags of the same names.
///
/// Start from [`Options::default`] and change it with the `with_` methods or field by field.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Give every tensor the default format, without exceptions.
    pub pure: bool,
    /// Keep `output.weight` as it is.
    pub leave_output_tensor: bool,
    /// The format of `output.weight`; unless `pure`, also of a token embedding that is the output matrix too.
    pub output_tensor_type: Option<Format>,
    /// The format of the token embedding.
    pub token_embedding_type: Option<Format>,
    /// Formats by tensor name; the first rule that matches applies. Ignored if the default format is a float.
    pub tensor_types: Vec<TensorRule>,
}

impl Options {
    /// Sets [`pure`](Self::pure).
    #[must_use]
    pub fn with_pure(self, pure: bool) -> Self {
        Self { pure, ..self }
    }

    /// Sets [`leave_output_tensor`](Self::leave_output_tensor).
    #[must_use]
    pub fn with_leave_output_tensor(self, leave_output_tensor: bool) -> Self {
        Self { leave_output_tensor, ..self }
    }

    /// Sets [`output_tensor_type`](Self::output_tensor_type).
    #[must_use]
    pub fn with_output_tensor_type(self, output_tensor_type: Option<Format>) -> Self {
        Self { output_tensor_type, ..self }
    }

    /// Sets [`token_embedding_type`](Self::token_embedding_type).
    #[must_use]
    pub fn with_token_embedding_type(self, token_embedding_type: Option<Format>) -> Self {
        Self { token_embedding_type, ..self }
    }

    /// Sets [`tensor_types`](Self::tensor_types).
    #[must_use]
    pub fn with_tensor_types(self, tensor_types: Vec<TensorRule>) -> Self {
        Self { tensor_types, ..self }
    }

    /// The format of the first rule that matches.
    pub(super) fn by_name(&self, name: &str) -> Option<Format> {
        self.tensor_types.iter().find(|rule| rule.matches(name)).map(|rule| rule.format)
    }
}
