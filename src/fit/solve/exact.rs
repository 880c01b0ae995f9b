//! Dynamic programming within the gap between a solution and the Lagrangian bound.
//!
//! With a price μ per byte, the loss of any solution is
//!
//! ```text
//! loss = Σ min(loss + μ·bytes) - μ·max_bytes  +  Σ excess  +  μ·bytes left
//! ```
//!
//! where the excess of a candidate is how far its `loss + μ·bytes` is above the least of its item. The first
//! two terms are a bound for all solutions. A better solution than the known one has less excess than the
//! gap between that one's loss and the bound, and so have all its parts: few candidates and few partial sums
//! remain. Of two partial sums, one with fewer bytes and less loss beats the other.

use super::path::{Frontier, path};
use super::problem::Problem;

/// Partial sums over all items, at most about so many. With more, those with the least excess are kept.
const MOST_STATES: usize = 2_000_000;

/// A partial sum.
#[derive(Clone, Copy)]
struct State {
    bytes: u64,
    excess: f64,
    /// The state of the items before, and the candidate of this item.
    before: u32,
    choice: u32,
}

/// A candidate within the gap.
struct Open {
    choice: usize,
    bytes: u64,
    excess: f64,
}

/// A solution that is at least as good as `best`. Leaves `best` where active bytes are limited and the result
/// would be beyond that limit.
pub(super) fn improve(problem: &Problem, frontiers: &[Frontier], best: Vec<usize>) -> Vec<usize> {
    let Some(price) = path(problem, frontiers, 0.0).map(|reached| reached.price) else { return best };
    let known = problem.totals(&best).loss;
    let priced = |item: usize, choice: usize| {
        let candidate = &problem.items[item][choice];
        candidate.loss + price * candidate.bytes as f64
    };
    let least: Vec<f64> = (frontiers.iter().enumerate())
        .map(|(item, frontier)| {
            frontier.points.iter().map(|&choice| priced(item, choice)).fold(f64::INFINITY, f64::min)
        })
        .collect();
    let gap = known - (least.iter().sum::<f64>() - price * problem.max_bytes as f64);
    // Smaller gaps are differences of rounding.
    if gap <= known * 1e-12 {
        return best;
    }
    let open: Vec<Vec<Open>> = (frontiers.iter().enumerate())
        .map(|(item, frontier)| {
            let open = frontier.points.iter().map(|&choice| Open {
                choice,
                bytes: problem.items[item][choice].bytes,
                excess: priced(item, choice) - least[item],
            });
            open.filter(|open| open.excess < gap).collect()
        })
        .collect();
    let Some(found) = search(problem, &open, price, gap) else { return best };
    let totals = problem.totals(&found);
    if problem.allows(&totals) && totals.loss < known { found } else { best }
}

/// The least and the most bytes of the items from each on.
fn bytes_after(open: &[Vec<Open>]) -> Vec<(u64, u64)> {
    let mut after = vec![(0, 0); open.len() + 1];
    for (item, open) in open.iter().enumerate().rev() {
        let least = open.iter().map(|open| open.bytes).min().unwrap_or(0);
        let most = open.iter().map(|open| open.bytes).max().unwrap_or(0);
        after[item] = (after[item + 1].0 + least, after[item + 1].1 + most);
    }
    after
}

fn search(problem: &Problem, open: &[Vec<Open>], price: f64, gap: f64) -> Option<Vec<usize>> {
    let after = bytes_after(open);
    let most = (MOST_STATES / open.len().max(1)).clamp(64, 1 << 17);
    let mut layers: Vec<Vec<State>> = Vec::with_capacity(open.len());
    let mut states = vec![State { bytes: 0, excess: 0.0, before: 0, choice: 0 }];
    for (item, open) in open.iter().enumerate() {
        let (least_after, most_after) = after[item + 1];
        let mut next: Vec<State> = Vec::with_capacity(states.len() * open.len());
        for (before, state) in states.iter().enumerate() {
            for open in open {
                let bytes = state.bytes + open.bytes;
                let excess = state.excess + open.excess;
                let left = problem.max_bytes.saturating_sub(bytes.saturating_add(most_after));
                let fits = bytes.saturating_add(least_after) <= problem.max_bytes;
                if fits && excess + price * (left as f64) < gap {
                    next.push(State { bytes, excess, before: before as u32, choice: open.choice as u32 });
                }
            }
        }
        // The loss of a partial sum is its excess less the price of its bytes.
        next.sort_unstable_by(|a, b| {
            let order = a.bytes.cmp(&b.bytes).then(a.excess.total_cmp(&b.excess));
            order.then(a.before.cmp(&b.before)).then(a.choice.cmp(&b.choice))
        });
        let first = next.first()?.bytes;
        let loss = |state: &State| state.excess - price * (state.bytes - first) as f64;
        let mut lowest = f64::INFINITY;
        next.retain(|state| {
            let is_better = loss(state) < lowest;
            lowest = lowest.min(loss(state));
            is_better
        });
        if next.len() > most {
            next.sort_unstable_by(|a, b| a.excess.total_cmp(&b.excess).then(a.bytes.cmp(&b.bytes)));
            next.truncate(most);
            next.sort_unstable_by_key(|state| state.bytes);
        }
        // All layers are kept, and most of what was tried is gone.
        next.shrink_to_fit();
        layers.push(std::mem::replace(&mut states, next));
    }
    let value = |state: &State| state.excess + price * (problem.max_bytes - state.bytes) as f64;
    let mut state = *states.iter().min_by(|a, b| value(a).total_cmp(&value(b)))?;
    let mut chosen = vec![0; open.len()];
    for (item, layer) in layers.iter().enumerate().rev() {
        chosen[item] = state.choice as usize;
        state = layer[state.before as usize];
    }
    Some(chosen)
}
