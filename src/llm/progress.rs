//! How far a long call has come.

/// How much of a long call is done: bytes of a model that is loaded, or tokens of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Units done so far.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}
