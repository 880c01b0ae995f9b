//! What is wrong with a Hugging Face folder.

/// Why a folder, or a file in it, is not taken as a model.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderFault {
    /// A file that is needed is not there.
    #[error("there is no {what}")]
    Missing {
        /// The file, and what it is needed for.
        what: String,
    },

    /// A file is not the JSON that it should be.
    #[error("line {line}, column {column}: {problem}")]
    Json {
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on.
        column: usize,
        /// What the parser says.
        problem: String,
    },

    /// A key of a file has another value than is possible.
    #[error("{key} is {found}, not {expected}")]
    Key {
        /// The key.
        key: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// Something that qmill does not convert.
    #[error("{what} {found:?} is not supported: {advice}")]
    Unsupported {
        /// What kind of thing it is.
        what: &'static str,
        /// The one in the folder.
        found: String,
        /// Which are known, or what helps.
        advice: String,
    },

    /// The header of a safetensors file is damaged.
    #[error("byte {offset}: {problem}")]
    Header {
        /// The offset in the file.
        offset: u64,
        /// What was expected and found.
        problem: String,
    },

    /// A tensor cannot be taken.
    #[error("tensor {tensor:?}: {problem}")]
    Tensor {
        /// Its name in the folder.
        tensor: String,
        /// What was expected and found.
        problem: String,
    },

    /// The tokenizer cannot be taken.
    #[error("{problem}")]
    Tokenizer {
        /// What was expected and found, and what helps.
        problem: String,
    },
}
