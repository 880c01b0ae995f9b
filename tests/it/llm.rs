//! Running language models.

mod scratch;
