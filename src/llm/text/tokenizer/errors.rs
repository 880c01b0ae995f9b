//! The errors of tokenizers.

use crate::Error;

/// A value that is not known here.
pub(super) fn unknown(what: &'static str, found: &str, known: String) -> Error {
    Error::Unsupported { what, found: found.to_owned(), known }
}

/// A key that is missing or has an impossible value.
pub(super) fn bad_key(key: &str, needed: &'static str) -> Error {
    Error::MetadataKey { key: key.to_owned(), needed }
}
