//! Attention.

use super::exp::exp;
use crate::Result;
use crate::cpu::StridedRows;
use crate::llm::config::Config;
use crate::llm::kv_cache::HostCache;
use multiversion::multiversion;
use rayon::prelude::*;

/// Query vectors of one KV head whose scores are computed together.
const QUERIES: usize = 32;

/// Products that are worth more than one thread.
const LEAST_PRODUCTS: usize = 1 << 17;

/// `attended` = attention of the queries in `qkv` to the keys and values of a layer up to each token's own
/// position, or to the last `window` of them.
pub(in crate::llm::cpu) fn attention(
    config: &Config,
    window: Option<usize>,
    position: usize,
    qkv: &[f32],
    (cache, layer): (&HostCache, usize),
    attended: &mut [f32],
) -> Result<()> {
    let (query_width, head) = (config.query_width(), config.head_stride());
    let row = query_width + 2 * config.kv_width();
    let tokens = attended.len() / query_width;
    let group = config.heads / config.kv_heads;
    let task_tokens = (QUERIES / group).max(1);
    let tasks: Vec<_> = (0..tokens)
        .step_by(task_tokens)
        .flat_map(|first| (0..config.kv_heads).map(move |kv_head| (first, kv_head)))
        .collect();
    let work = |&(first, kv_head): &(usize, usize)| -> Result<Vec<f32>> {
        let last = (first + task_tokens).min(tokens);
        let start = |token: usize| window.map_or(0, |window| (position + token + 1).saturating_sub(window));
        let (begin, end) = (start(first), position + last);
        let rows = |half| cache.head(layer, half, begin..end, kv_head * head, head);
        let (keys, values): (StridedRows, StridedRows) = (rows(0)?, rows(1)?);
        let query = |token: usize| &qkv[token * row + kv_head * group * head..][..group * head];
        let queries: Vec<f32> = (first..last).flat_map(query).copied().collect();
        let mut scores = vec![0.0; queries.len() / head * (end - begin)];
        keys.multiply(&queries, &mut scores)?;
        for (i, scores) in scores.chunks_mut(end - begin).enumerate() {
            let token = first + i / group;
            let visible = start(token) - begin..position + token + 1 - begin;
            softmax(scores, visible, config.attention_scale);
        }
        let mut sums = vec![0.0; queries.len()];
        values.combine(&scores, &mut sums)?;
        Ok(sums)
    };
    let products = 2 * tokens * query_width * (position + tokens);
    let results: Vec<Vec<f32>> = if products < LEAST_PRODUCTS {
        tasks.iter().map(work).collect::<Result<_>>()?
    } else {
        tasks.par_iter().map(work).collect::<Result<_>>()?
    };
    for ((first, kv_head), sums) in tasks.into_iter().zip(results) {
        for (i, sums) in sums.chunks(group * head).enumerate() {
            attended[(first + i) * query_width + kv_head * group * head..][..group * head]
                .copy_from_slice(sums);
        }
    }
    Ok(())
}

/// The softmax of the visible scores times `scale`; 0 for the others.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn softmax(scores: &mut [f32], visible: std::ops::Range<usize>, scale: f32) {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    let scores = &mut scores[visible];
    let largest = scores.iter().fold(f32::NEG_INFINITY, |largest, &x| if x > largest { x } else { largest });
    let mut sums = [0.0; 16];
    let (whole, rest) = scores.as_chunks_mut::<16>();
    for scores in whole {
        for (score, sum) in scores.iter_mut().zip(&mut sums) {
            *score = exp((*score - largest) * scale);
            *sum += *score;
        }
    }
    let mut total: f32 = sums.iter().sum();
    for score in rest {
        *score = exp((*score - largest) * scale);
        total += *score;
    }
    let factor = 1.0 / total;
    for score in scores {
        *score *= factor;
    }
}
