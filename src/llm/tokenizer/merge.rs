//! Joining neighbours, the best pair first, until no pair joins: what both methods share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of a text that is, or may become, a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: Option<u32>,
}

/// Two neighbours that may be joined to `token`; ordered by rank and then by place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    right: usize,
    /// Where the right one ended: if it has grown since, the pair is no more.
    end: usize,
    token: u32,
}

/// Joins what `join` gives a rank and a token for: the lowest rank first, of equals the leftmost. What was joined into its
/// neighbour is left with no bytes and no token.
///
/// Takes time in n log n: pairs wait in a heap, and those that a join made void are passed over when they come up.
pub(super) fn merge(parts: &mut [Part], join: impl Fn(&Part, &Part) -> Option<(u32, u32)>) {
    let count = parts.len();
    // The neighbours of each part; `count` and beyond is none.
    let mut next: Vec<usize> = (1..=count).collect();
    let mut previous: Vec<usize> = (0..count).map(|i| i.checked_sub(1).unwrap_or(count)).collect();
    let mut pairs = BinaryHeap::new();
    let consider = |parts: &[Part], left: usize, right: usize, pairs: &mut BinaryHeap<Reverse<Pair>>| {
        if let (Some(a), Some(b)) = (parts.get(left), parts.get(right))
            && let Some((rank, token)) = join(a, b)
        {
            pairs.push(Reverse(Pair { rank, left, right, end: b.end, token }));
        }
    };
    for left in 0..count {
        consider(parts, left, left + 1, &mut pairs);
    }
    while let Some(Reverse(Pair { left, right, end, token, .. })) = pairs.pop() {
        let is_gone = parts[left].start == parts[left].end;
        if is_gone || next[left] != right || parts[right].end != end {
            continue;
        }
        parts[left] = Part { start: parts[left].start, end, token: Some(token) };
        parts[right] = Part { start: end, end, token: None };
        next[left] = next[right];
        if let Some(previous) = previous.get_mut(next[left]) {
            *previous = left;
        }
        consider(parts, previous[left], left, &mut pairs);
        consider(parts, left, next[left], &mut pairs);
    }
}
