//! The Lagrangian path: from the smallest candidates along the convex hulls.

use super::problem::{Candidate, Problem};

/// The candidates of an item that no other one beats in bytes and in loss, and the hull of these.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Frontier {
    /// Indices of candidates, by increasing bytes and decreasing loss.
    pub(super) points: Vec<usize>,
}

impl Frontier {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let mut points: Vec<usize> = (0..candidates.len()).collect();
        points.sort_by(|&a, &b| {
            let (a, b) = (&candidates[a], &candidates[b]);
            a.bytes.cmp(&b.bytes).then(a.loss.total_cmp(&b.loss))
        });
        // The smallest stays, whatever it loses.
        let mut least: Option<f64> = None;
        points.retain(|&point| {
            let loss = candidates[point].loss;
            let is_better = least.is_none_or(|least| loss < least);
            if is_better {
                least = Some(loss);
            }
            is_better
        });
        Self { points }
    }

    /// The frontier of an item that is decided.
    pub(super) fn fixed(point: usize) -> Self {
        Self { points: vec![point] }
    }

    /// The points on the lower convex hull of loss over priced bytes.
    fn hull(&self, candidates: &[Candidate], price: &impl Fn(&Candidate) -> f64) -> Vec<usize> {
        let slope = |a: usize, b: usize| {
            let (a, b) = (&candidates[a], &candidates[b]);
            (a.loss - b.loss) / (price(b) - price(a)).max(f64::MIN_POSITIVE)
        };
        let mut hull: Vec<usize> = Vec::new();
        for &point in &self.points {
            while let [.., before, last] = hull[..]
                && slope(last, point) >= slope(before, last)
            {
                hull.pop();
            }
            hull.push(point);
        }
        hull
    }
}

/// Where the path ends.
pub(super) struct Reached {
    /// The candidate of each item.
    pub(super) chosen: Vec<usize>,
    /// Whether a step was left out because of the active bytes alone.
    pub(super) stopped_by_active_bytes: bool,
    /// The loss that a byte saves where the path ended; 0 if it went to the end.
    pub(super) price: f64,
}

/// A step along the hull of an item.
struct Step {
    item: usize,
    to: usize,
    /// Loss that is saved for each priced byte.
    saved: f64,
}

/// Goes along the hulls until a step does not fit. A step beyond the active bytes is left out, with all that
/// follow of its item. `None` if the smallest candidates are beyond the limits.
pub(super) fn path(problem: &Problem, frontiers: &[Frontier], active_price: f64) -> Option<Reached> {
    let price = |candidate: &Candidate| candidate.bytes as f64 + active_price * candidate.active_bytes as f64;
    let mut chosen: Vec<usize> = frontiers.iter().map(|frontier| frontier.points[0]).collect();
    let mut totals = problem.totals(&chosen);
    if !problem.allows(&totals) {
        return None;
    }
    let mut steps = Vec::new();
    for (item, frontier) in frontiers.iter().enumerate() {
        let candidates = &problem.items[item];
        for pair in frontier.hull(candidates, &price).windows(2) {
            let (a, b) = (&candidates[pair[0]], &candidates[pair[1]]);
            let saved = (a.loss - b.loss) / (price(b) - price(a)).max(f64::MIN_POSITIVE);
            steps.push(Step { item, to: pair[1], saved });
        }
    }
    // Stable: the steps of an item stay in order, since their savings decrease.
    steps.sort_by(|a, b| b.saved.total_cmp(&a.saved));
    let mut is_stopped = vec![false; frontiers.len()];
    let mut stopped_by_active_bytes = false;
    let mut end = 0.0;
    for Step { item, to, saved } in steps {
        if is_stopped[item] {
            continue;
        }
        let (from, next) = (&problem.items[item][chosen[item]], &problem.items[item][to]);
        let bytes = totals.bytes - from.bytes + next.bytes;
        let active_bytes = totals.active_bytes - from.active_bytes + next.active_bytes;
        if bytes > problem.max_bytes {
            end = saved;
            break;
        }
        if problem.max_active_bytes.is_some_and(|most| active_bytes > most) {
            is_stopped[item] = true;
            stopped_by_active_bytes = true;
            continue;
        }
        (totals.bytes, totals.active_bytes) = (bytes, active_bytes);
        chosen[item] = to;
    }
    Some(Reached { chosen, stopped_by_active_bytes, price: end })
}
