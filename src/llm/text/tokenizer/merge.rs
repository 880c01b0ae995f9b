//! Merges neighbouring parts, the best pair first, until no pair merges. Both methods use it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of a text that is, or may become, a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: Option<u32>,
}

/// Two neighbours that may be merged to `token`, ordered by rank and then by position.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    rank: u32,
    left: usize,
    right: usize,
    /// The end of the right part. If the part has grown since, the pair is void.
    end: usize,
    token: u32,
}

/// Merges pairs for which `rank` gives a rank and a token: the lowest rank first, of equal ranks the leftmost
/// pair. A part that was merged into its left neighbour keeps no bytes and no token.
///
/// Takes O(n log n) time: pairs wait in a heap, and void ones are skipped when they come up.
pub(super) fn merge(parts: &mut [Part], rank: impl Fn(&Part, &Part) -> Option<(u32, u32)>) {
    let count = parts.len();
    // The neighbours of each part; `count` means none.
    let mut next: Vec<usize> = (1..=count).collect();
    let mut previous: Vec<usize> = (0..count).map(|i| i.checked_sub(1).unwrap_or(count)).collect();
    let mut pairs = BinaryHeap::new();
    let consider = |parts: &[Part], left: usize, right: usize, pairs: &mut BinaryHeap<Reverse<Pair>>| {
        if let (Some(a), Some(b)) = (parts.get(left), parts.get(right))
            && let Some((rank, token)) = rank(a, b)
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
