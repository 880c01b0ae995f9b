//! Attention.

use super::vectors::dot;
use crate::Result;
use crate::llm::config::Config;
use crate::threads::in_parallel;

/// `attended` = attention of the queries in `qkv` to the keys and values up to each token's own position, or
/// to the last `window` of them. Sums in f64.
pub(super) fn attention(
    config: &Config,
    window: Option<usize>,
    position: usize,
    qkv: &[f32],
    (keys, values): (&[f32], &[f32]),
    attended: &mut [f32],
    threads: usize,
) -> Result<()> {
    let (kv, head) = (config.kv_width(), config.head_stride());
    let row = config.query_width() + 2 * kv;
    let work = attended.chunks_mut(head).enumerate().collect();
    in_parallel(threads, work, |(i, attended)| {
        let (token, query_head) = (i / config.heads, i % config.heads);
        let query = &qkv[token * row + query_head * head..][..head];
        let kv_head = query_head / (config.heads / config.kv_heads) * head;
        let end = position + token + 1;
        let start = window.map_or(0, |window| end.saturating_sub(window));
        let range = |at: usize| at * kv + kv_head..at * kv + kv_head + head;
        let mut scores: Vec<f64> =
            (start..end).map(|at| dot(query, &keys[range(at)]) * f64::from(config.attention_scale)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for score in &mut scores {
            *score = (*score - largest).exp();
        }
        let sum: f64 = scores.iter().sum();
        let mut sums = vec![0.0; head];
        for (at, score) in (start..end).zip(&scores) {
            let value = &values[range(at)];
            sums.iter_mut().zip(value).for_each(|(sum, &value)| *sum += score * f64::from(value));
        }
        attended.iter_mut().zip(&sums).for_each(|(attended, total)| *attended = (total / sum) as f32);
        Ok(())
    })
}
