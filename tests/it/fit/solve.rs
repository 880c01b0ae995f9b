//! The solver against brute force, and what must hold for any problem.

use qmill::fit::{Candidate, Problem};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

/// Random items whose bytes and losses have little in common with those of a model.
fn random(seed: u64, items: usize, candidates: usize, active: bool) -> Problem {
    let mut random = StdRng::seed_from_u64(seed);
    let mut item = || {
        let size: f64 = 10f64.powf(random.random_range(0.0..3.0));
        let share = if active { random.random_range(0.0..1.0) } else { 1.0 };
        (0..random.random_range(1..=candidates))
            .map(|_| {
                let bytes = (size * random.random_range(1.0..9.0)) as u64;
                let active_bytes = (bytes as f64 * share) as u64;
                // Ties are frequent.
                let loss = f64::from(random.random_range(0..20_u32)) * 0.25;
                Candidate { bytes, active_bytes, loss }
            })
            .collect()
    };
    let items: Vec<Vec<Candidate>> = (0..items).map(|_| item()).collect();
    Problem { items, max_bytes: u64::MAX, max_active_bytes: None }
}

/// The problem with the budget at this share of the way from the least bytes to the most.
fn with_budget(problem: &Problem, share: f64) -> Problem {
    let least = problem.least().bytes;
    let most: u64 =
        problem.items.iter().map(|item| item.iter().map(|candidate| candidate.bytes).max().unwrap()).sum();
    Problem { max_bytes: least + ((most - least) as f64 * share) as u64, ..problem.clone() }
}

/// The least loss of all combinations within the limits.
fn brute_force(problem: &Problem) -> Option<f64> {
    let mut chosen = vec![0; problem.items.len()];
    let mut least: Option<f64> = None;
    loop {
        let totals = problem.totals(&chosen);
        if problem.allows(&totals) && least.is_none_or(|least| totals.loss < least) {
            least = Some(totals.loss);
        }
        let Some(item) = (0..chosen.len()).find(|&i| chosen[i] + 1 < problem.items[i].len()) else {
            return least;
        };
        chosen[item] += 1;
        chosen[..item].fill(0);
    }
}

#[test]
fn the_solver_finds_what_brute_force_finds() {
    for seed in 0..400 {
        let problem = random(seed, 1 + seed as usize % 6, 6, false);
        for share in [0.0, 0.1, 0.3, 0.5, 0.8, 1.0] {
            let problem = with_budget(&problem, share);
            let found = problem.totals(&problem.solve(&[]).unwrap());
            assert!(problem.allows(&found), "seed {seed}, share {share}");
            let least = brute_force(&problem).unwrap();
            assert!((found.loss - least).abs() <= 1e-9 * least, "{seed} {share}: {} {least}", found.loss);
        }
    }
}

#[test]
fn both_limits_hold_and_starts_are_never_worse() {
    let (mut exact, mut possible) = (0, 0);
    for seed in 0..200 {
        let problem = with_budget(&random(seed, 5, 5, true), 0.6);
        let active = problem.totals(&problem.solve(&[]).unwrap()).active_bytes;
        for share in [1.2, 1.0, 0.9, 0.7] {
            let limit = (active as f64 * share) as u64;
            let problem = Problem { max_active_bytes: Some(limit), ..problem.clone() };
            let Some(least) = brute_force(&problem) else {
                assert_eq!(problem.solve(&[]), None, "seed {seed}");
                continue;
            };
            let found = problem.totals(&problem.solve(&[]).unwrap());
            assert!(problem.allows(&found), "seed {seed}, share {share}");
            assert!(found.loss >= least - 1e-9);
            possible += 1;
            exact += usize::from(found.loss <= least + 1e-9);
            // From the best solution the solver finds nothing worse.
            let start = problem.solve(&[]).unwrap();
            assert!(problem.totals(&problem.solve(&[start]).unwrap()).loss <= found.loss);
        }
    }
    // With two limits it is a heuristic, and a good one.
    assert!(100 * exact > 90 * possible, "{exact} of {possible}");
}

#[test]
fn more_bytes_never_mean_more_loss() {
    for seed in 1000..1040 {
        let problem = random(seed, 40, 7, false);
        let mut before = f64::INFINITY;
        for step in 0..=40 {
            let problem = with_budget(&problem, f64::from(step) / 40.0);
            let found = problem.totals(&problem.solve(&[]).unwrap());
            assert!(problem.allows(&found), "seed {seed}, step {step}");
            assert!(found.loss <= before * (1.0 + 1e-12), "seed {seed}, step {step}");
            before = found.loss;
        }
    }
}

#[test]
fn a_start_that_is_best_stays() {
    let candidate = |bytes, loss| Candidate { bytes, active_bytes: bytes, loss };
    let items = vec![vec![candidate(10, 5.0), candidate(20, 5.0), candidate(30, 1.0)]; 3];
    let problem = Problem { items, max_bytes: 70, max_active_bytes: None };
    let solved = problem.solve(&[vec![2, 2, 0], vec![2, 2, 2]]).unwrap();
    // The second start is beyond the limit.
    assert_eq!(problem.totals(&solved).loss, 7.0);
    assert_eq!(problem.solve(&[]), problem.solve(&[]));
    let impossible = Problem { max_bytes: 29, ..problem };
    assert_eq!(impossible.solve(&[]), None);
}

#[test]
fn a_thousand_tensors_are_solved_soon() {
    let mut random = StdRng::seed_from_u64(7);
    let types = [(2.6, 88.0), (3.4, 23.0), (4.25, 5.9), (4.5, 5.1), (5.5, 1.3), (6.6, 0.32), (8.5, 0.03)];
    let more = [(4.5, 7.4), (5.0, 6.1), (5.5, 1.8), (6.0, 1.4), (4.5, 5.8)];
    let items = (0..1000).map(|_| {
        let weights = f64::from(1 << random.random_range(16..24_u32));
        let sensitivity: f64 = random.random_range(0.3..2.0);
        let candidates = types.iter().chain(&more).map(|&(bits, error)| {
            let bytes = (weights * bits / 8.0) as u64;
            let loss = sensitivity * error * random.random_range(0.9..1.2);
            Candidate { bytes, active_bytes: bytes, loss }
        });
        candidates.collect()
    });
    let items = items.collect();
    let problem = with_budget(&Problem { items, max_bytes: 0, max_active_bytes: None }, 0.35);
    let start = Instant::now();
    let found = problem.totals(&problem.solve(&[]).unwrap());
    assert!(problem.allows(&found));
    assert!(problem.max_bytes - found.bytes < problem.max_bytes / 10_000);
    // The limit is a second; the rest is for machines that do much else.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn losses_without_a_number_leave_the_smallest() {
    let candidate = |bytes, loss| Candidate { bytes, active_bytes: bytes, loss };
    for loss in [f64::INFINITY, f64::NAN] {
        let items = vec![vec![candidate(20, loss), candidate(10, loss)], vec![candidate(10, 1.0)]];
        let problem = Problem { items, max_bytes: 40, max_active_bytes: None };
        assert_eq!(problem.solve(&[]), Some(vec![1, 0]), "{loss}");
    }
}
