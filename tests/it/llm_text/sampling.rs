//! Sampling.

use super::*;

/// How often each of four tokens is chosen in 100,000 draws.
fn draws(options: SamplerOptions, logits: [f32; 4]) -> [usize; 4] {
    let mut sampler = Sampler::new(options);
    let mut counts = [0; 4];
    for _ in 0..100_000 {
        counts[sampler.sample(&logits) as usize] += 1;
    }
    counts
}

fn everything() -> SamplerOptions {
    SamplerOptions::default().with_top_k(0).with_top_p(1.0).with_min_p(0.0).with_temperature(1.0).with_seed(1)
}

#[test]
fn samples_follow_the_probabilities() {
    // 10 %, 20 %, 30 %, 40 %; four standard deviations of 100,000 draws are below 640.
    let logits = [0.1f32.ln(), 0.2f32.ln(), 0.3f32.ln(), 0.4f32.ln()];
    let near = |counts: [usize; 4], shares: [f64; 4]| {
        let fits =
            counts.iter().zip(shares).all(|(&count, share)| (count as f64 - 1e5 * share).abs() < 640.0);
        assert!(fits, "{counts:?} for {shares:?}");
    };
    near(draws(everything(), logits), [0.1, 0.2, 0.3, 0.4]);
    // Squared and normalized.
    near(draws(everything().with_temperature(0.5), logits), [1.0 / 30.0, 4.0 / 30.0, 0.3, 16.0 / 30.0]);
    near(draws(everything().with_top_k(2), logits), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    // 40 % and 30 % do not reach 71 %; the third does.
    near(draws(everything().with_top_p(0.71), logits), [0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0]);
    near(draws(everything().with_top_p(0.69), logits), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    // Of 40 %, 60 % is 24 %.
    near(draws(everything().with_min_p(0.6), logits), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    // The temperature comes last, so it does not change which tokens are kept.
    let hot = everything().with_top_p(0.69).with_temperature(1000.0);
    near(draws(hot, logits), [0.0, 0.0, 0.5, 0.5]);
}

#[test]
fn samples_are_reproducible() {
    let run = |seed| {
        let mut sampler = Sampler::new(SamplerOptions::default().with_seed(seed));
        (0..50).map(|_| sampler.sample(&[1.0, 1.1, 1.2, 1.3, 1.4])).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn greedy_takes_the_first_of_equal_logits() {
    let mut sampler = Sampler::new(SamplerOptions::greedy());
    assert_eq!(sampler.sample(&[1.0, 3.0, f32::NAN, 3.0, 2.0]), 1);
    assert_eq!(sampler.sample(&[]), 0);
    // Any logits give a token.
    let mut sampler = Sampler::new(everything());
    assert_eq!(sampler.sample(&[f32::NEG_INFINITY, f32::INFINITY, f32::NAN]), 1);
    assert_eq!(sampler.sample(&[f32::NAN]), 0);
}

#[test]
fn repetition_is_penalized_within_the_last_tokens() {
    let mut sampler = Sampler::new(SamplerOptions::greedy().with_repeat_penalty(2.0));
    assert_eq!(sampler.sample(&[4.0, 3.0]), 0);
    sampler.accept(0);
    sampler.accept(0);
    // Once, however often the token occurred; negative logits get more negative.
    assert_eq!(sampler.sample(&[4.0, 2.1]), 1);
    assert_eq!(sampler.sample(&[4.0, 1.9]), 0);
    assert_eq!(sampler.sample(&[-1.0, -1.9]), 1);
    for _ in 0..REPEAT_LAST {
        sampler.accept(1);
    }
    assert_eq!(sampler.sample(&[4.0, 3.0]), 0);
}
