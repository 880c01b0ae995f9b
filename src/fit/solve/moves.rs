//! Local improvements: single steps up, and swaps of one step down and one up.

use super::path::Frontier;
use super::problem::{Problem, Totals};

/// The most swaps of one solution.
const MOST_SWAPS: usize = 400;

/// Another candidate for an item, with the changes that it makes.
#[derive(Clone, Copy)]
struct Move {
    item: usize,
    to: usize,
    bytes: i128,
    active_bytes: i128,
    /// Loss that is saved.
    saved: f64,
}

impl Move {
    fn fits(&self, problem: &Problem, totals: &Totals) -> bool {
        i128::from(totals.bytes) + self.bytes <= i128::from(problem.max_bytes)
            && problem
                .max_active_bytes
                .is_none_or(|most| i128::from(totals.active_bytes) + self.active_bytes <= i128::from(most))
    }
}

/// All moves of `item` from what is chosen.
fn moves<'a>(
    problem: &'a Problem,
    frontier: &'a Frontier,
    item: usize,
    chosen: usize,
) -> impl Iterator<Item = Move> + 'a {
    let candidates = &problem.items[item];
    let from = candidates[chosen];
    frontier.points.iter().filter(move |&&to| to != chosen).map(move |&to| {
        let next = candidates[to];
        Move {
            item,
            to,
            bytes: i128::from(next.bytes) - i128::from(from.bytes),
            active_bytes: i128::from(next.active_bytes) - i128::from(from.active_bytes),
            saved: from.loss - next.loss,
        }
    })
}

fn all_moves<'a>(
    problem: &'a Problem,
    frontiers: &'a [Frontier],
    chosen: &'a [usize],
) -> impl Iterator<Item = Move> + 'a {
    let items = frontiers.iter().zip(chosen).enumerate();
    items.flat_map(|(item, (frontier, &chosen))| moves(problem, frontier, item, chosen))
}

/// Takes the step that saves the most loss per byte, while one fits.
pub(super) fn fill(problem: &Problem, frontiers: &[Frontier], chosen: &mut [usize]) {
    // Each item goes up at most as often as it has candidates, so this ends.
    loop {
        let totals = problem.totals(chosen);
        let rate = |step: &Move| step.saved / (step.bytes.max(0) as f64).max(1e-9);
        let best = all_moves(problem, frontiers, chosen)
            .filter(|step| step.saved > 0.0 && step.fits(problem, &totals))
            .reduce(|best, next| if rate(&next) > rate(&best) { next } else { best });
        match best {
            Some(step) => chosen[step.item] = step.to,
            None => return,
        }
    }
}

/// Swaps one step down for one step up, the pair that saves the most, while one does.
pub(super) fn polish(problem: &Problem, frontiers: &[Frontier], chosen: &mut [usize]) {
    for _ in 0..MOST_SWAPS {
        match best_swap(problem, frontiers, chosen) {
            Some((down, up)) => {
                chosen[down.item] = down.to;
                chosen[up.item] = up.to;
            }
            None => break,
        }
        fill(problem, frontiers, chosen);
    }
}

fn best_swap(problem: &Problem, frontiers: &[Frontier], chosen: &[usize]) -> Option<(Move, Move)> {
    let totals = problem.totals(chosen);
    let (mut ups, downs): (Vec<Move>, Vec<Move>) =
        all_moves(problem, frontiers, chosen).partition(|step| step.bytes > 0);
    ups.sort_by_key(|up| up.bytes);
    // The best step of at most so many bytes, and the best one of another item.
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(ups.len());
    for (i, up) in ups.iter().enumerate() {
        let next = match best.last() {
            None => (i, None),
            Some(&(first, second)) if up.saved > ups[first].saved => {
                (i, if ups[first].item == up.item { second } else { Some(first) })
            }
            Some(&(first, second)) => {
                let is_second =
                    up.item != ups[first].item && second.is_none_or(|second| up.saved > ups[second].saved);
                (first, if is_second { Some(i) } else { second })
            }
        };
        best.push(next);
    }
    let slack = i128::from(problem.max_bytes) - i128::from(totals.bytes);
    // Below this, sums in another order could swap for ever.
    let mut least = totals.loss * 1e-12;
    let mut found = None;
    for down in downs {
        let count = ups.partition_point(|up| up.bytes <= slack - down.bytes);
        let Some(&(first, second)) = count.checked_sub(1).and_then(|last| best.get(last)) else { continue };
        let up = if ups[first].item == down.item { second } else { Some(first) };
        let Some(up) = up.map(|up| ups[up]) else { continue };
        let active = i128::from(totals.active_bytes) + down.active_bytes + up.active_bytes;
        let is_allowed = problem.max_active_bytes.is_none_or(|most| active <= i128::from(most));
        if is_allowed && up.saved + down.saved > least {
            least = up.saved + down.saved;
            found = Some((down, up));
        }
    }
    found
}
