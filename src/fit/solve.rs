//! The solver: of several candidates for each item, those with the least loss within a number of bytes.
//!
//! This is a multiple-choice knapsack. [`Problem::solve`] goes through five steps:
//!
//! 1. **Lagrangian** (`path`): from the smallest candidates along each item's convex hull, always the step
//!    with the largest loss saved per byte. It is optimal for the bytes where it stops.
//! 2. **Fill** (`moves`): what is left buys the best single steps that fit, hull or not.
//! 3. **Swaps** (`moves`): one item down and another up, while that lowers the loss.
//! 4. **Branches**: a few items are a large part of the file, such as the token embedding. Each of their
//!    candidates is tried, and the rest solved.
//! 5. **Exact** (`exact`): dynamic programming over all solutions that the Lagrangian bound does not exclude.
//!    It is exact unless there are too many of them; then the best are kept.
//!
//! Everything is deterministic: equal losses are decided by the order of items and candidates.

mod exact;
mod moves;
mod path;
pub(super) mod problem;

use moves::{fill, polish};
use path::{Frontier, path};
use problem::{Problem, Totals};

/// Items with at least this share of the bytes are branched over.
const LARGE_SHARE: f64 = 0.02;
/// The most items that are branched over.
const MOST_BRANCHED: usize = 2;
/// Solutions that are improved by swaps.
const MOST_POLISHED: usize = 4;
/// The prices of active bytes, in prices of bytes.
const ACTIVE_PRICES: [f64; 12] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];

impl Problem {
    /// The sums with the smallest candidate of each item.
    pub fn least(&self) -> Totals {
        self.totals(&self.smallest())
    }

    fn smallest(&self) -> Vec<usize> {
        self.items.iter().map(|item| Frontier::new(item).points[0]).collect()
    }

    /// The index of a candidate for each item, with the least loss found within the limits; `None` if even
    /// the smallest candidates are beyond them.
    ///
    /// The loss is never larger than that of any of `starts` that is within the limits. Takes well under a
    /// second for 1,000 items of 12 candidates.
    pub fn solve(&self, starts: &[Vec<usize>]) -> Option<Vec<usize>> {
        if !self.allows(&self.least()) {
            return None;
        }
        let frontiers: Vec<_> = self.items.iter().map(|item| Frontier::new(item)).collect();
        let mut found: Vec<Vec<usize>> =
            starts.iter().filter(|start| self.allows(&self.totals(start))).cloned().collect();
        for branch in self.branches(&frontiers) {
            for price in ACTIVE_PRICES {
                let reached = path(self, &branch, price);
                let Some(reached) = reached else { break };
                found.push(reached.chosen);
                // A higher price is of use only where active bytes were what stopped.
                if !reached.stopped_by_active_bytes {
                    break;
                }
            }
        }
        for chosen in &mut found {
            fill(self, &frontiers, chosen);
        }
        let order = |a: &Totals, b: &Totals| a.loss.total_cmp(&b.loss).then(a.bytes.cmp(&b.bytes));
        found.sort_by(|a, b| order(&self.totals(a), &self.totals(b)));
        found.dedup();
        found.truncate(MOST_POLISHED.max(1));
        for chosen in &mut found {
            polish(self, &frontiers, chosen);
        }
        let best = found.into_iter().min_by(|a, b| order(&self.totals(a), &self.totals(b)));
        // The smallest candidates are within the limits, so the path has found something.
        let best = best.unwrap_or_else(|| self.smallest());
        Some(exact::improve(self, &frontiers, best))
    }

    /// The frontiers with the largest items fixed to each of their candidates; first of all, nothing fixed.
    fn branches(&self, frontiers: &[Frontier]) -> Vec<Vec<Frontier>> {
        let bytes = |frontier: &Frontier, item: usize| {
            frontier.points.last().map_or(0, |&point| self.items[item][point].bytes)
        };
        let least = self.max_bytes as f64 * LARGE_SHARE;
        let mut large: Vec<usize> = (0..frontiers.len())
            .filter(|&i| frontiers[i].points.len() > 1 && bytes(&frontiers[i], i) as f64 >= least)
            .collect();
        large.sort_by_key(|&i| std::cmp::Reverse(bytes(&frontiers[i], i)));
        large.truncate(MOST_BRANCHED);
        let mut branches = vec![frontiers.to_vec()];
        let mut fixed = vec![frontiers.to_vec()];
        for &item in &large {
            fixed = fixed
                .iter()
                .flat_map(|branch| {
                    branch[item].points.iter().map(|&point| {
                        let mut branch = branch.clone();
                        branch[item] = Frontier::fixed(point);
                        branch
                    })
                })
                .collect();
        }
        if !large.is_empty() {
            branches.extend(fixed);
        }
        branches
    }
}
