//! In how many splits a single token attends to the KV cache.

use crate::llm::config::Config;

/// A single token attends to up to this many keys by one workgroup for each head. With more keys, several
/// workgroups split them, and `attention_reduce` combines the results: that takes longer than to go through
/// these few.
const WHOLE_KEYS: usize = 256;
/// Keys of a split, where there are several.
const SPLIT_KEYS: usize = 64;
/// Both on a software adapter.
const SOFTWARE_SPLIT_KEYS: usize = 512;
pub(super) const MAX_KV_SPLITS: usize = 64;

/// What ops are prepared for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Size {
    pub(super) tokens: usize,
    /// Splits of attention to all tokens before; 1 for several tokens.
    pub(super) kv_splits: usize,
}

/// In how many splits a single token attends to this many keys.
pub(super) fn kv_splits_for(keys: usize, software_adapter: bool) -> usize {
    let (whole, split) =
        if software_adapter { (SOFTWARE_SPLIT_KEYS, SOFTWARE_SPLIT_KEYS) } else { (WHOLE_KEYS, SPLIT_KEYS) };
    if keys <= whole { 1 } else { keys.div_ceil(split).next_power_of_two().min(MAX_KV_SPLITS) }
}

/// Bytes of the results of splits.
pub(super) fn kv_split_bytes(config: &Config, kv_splits: usize) -> usize {
    4 * config.heads * kv_splits * (config.head_stride() + 4)
}
