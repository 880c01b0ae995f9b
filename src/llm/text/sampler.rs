//! Chooses the next token, as llama.cpp does.

use std::collections::HashSet;
use std::collections::VecDeque;

/// How to choose a token. The fields apply in this order, each to the tokens that the one before left.
///
/// Start from [`SamplerOptions::default`] or [`SamplerOptions::greedy`], and change it by the methods that
/// begin with `with_`, or field by field.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SamplerOptions {
    /// Divides positive logits of the last [`REPEAT_LAST`] tokens and multiplies negative ones; 1 changes
    /// nothing.
    pub repeat_penalty: f32,
    /// Keeps this many of the best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest best tokens that together have at least this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this fraction of the best token's probability; 0 keeps all.
    pub min_p: f32,
    /// Divides logits; 0 always takes the best token.
    pub temperature: f32,
    /// The same seed and the same logits give the same choices.
    pub seed: u64,
}

impl Default for SamplerOptions {
    /// llama.cpp's defaults, with a seed of 0.
    fn default() -> Self {
        Self { repeat_penalty: 1.0, top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, seed: 0 }
    }
}

impl SamplerOptions {
    /// Always takes the best token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Sets [`repeat_penalty`](Self::repeat_penalty).
    #[must_use]
    pub fn with_repeat_penalty(self, repeat_penalty: f32) -> Self {
        Self { repeat_penalty, ..self }
    }

    /// Sets [`top_k`](Self::top_k).
    #[must_use]
    pub fn with_top_k(self, top_k: usize) -> Self {
        Self { top_k, ..self }
    }

    /// Sets [`top_p`](Self::top_p).
    #[must_use]
    pub fn with_top_p(self, top_p: f32) -> Self {
        Self { top_p, ..self }
    }

    /// Sets [`min_p`](Self::min_p).
    #[must_use]
    pub fn with_min_p(self, min_p: f32) -> Self {
        Self { min_p, ..self }
    }

    /// Sets [`temperature`](Self::temperature).
    #[must_use]
    pub fn with_temperature(self, temperature: f32) -> Self {
        Self { temperature, ..self }
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// How many tokens back the repeat penalty looks.
pub const REPEAT_LAST: usize = 64;

/// Chooses tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplerOptions,
    /// The last tokens of the text.
    last: VecDeque<u32>,
    random: Random,
}

/// A token with its logit, and later with its weight.
type Candidate = (u32, f32);

impl Sampler {
    /// A sampler without tokens to penalize.
    pub fn new(options: SamplerOptions) -> Self {
        let random = Random(options.seed);
        Self { options, last: VecDeque::with_capacity(REPEAT_LAST), random }
    }

    /// Adds a token of the prompt or of the answer to those that the repeat penalty looks at.
    pub fn accept(&mut self, token: u32) {
        if self.last.len() == REPEAT_LAST {
            self.last.pop_front();
        }
        self.last.push_back(token);
    }

    /// Chooses a token; `logits` has one logit for each token of the vocabulary. A NaN is never chosen.
    /// Returns 0 for an empty slice.
    ///
    /// Sorts the whole vocabulary if [`SamplerOptions::top_k`] is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let options = &self.options;
        let mut penalized = Vec::new();
        let mut logits = logits;
        if options.repeat_penalty != 1.0 {
            penalized.extend_from_slice(logits);
            for token in self.last.iter().copied().collect::<HashSet<u32>>() {
                if let Some(logit) = penalized.get_mut(token as usize) {
                    let positive = *logit > 0.0;
                    *logit = if positive {
                        *logit / options.repeat_penalty
                    } else {
                        *logit * options.repeat_penalty
                    };
                }
            }
            logits = &penalized;
        }
        if options.temperature <= 0.0 {
            return best(logits, 1).first().map_or(0, |&(token, _)| token);
        }
        let mut candidates = best(logits, options.top_k);
        keep_probable(&mut candidates, options.top_p);
        keep_near_best(&mut candidates, options.min_p);
        for (_, logit) in &mut candidates {
            *logit /= options.temperature;
        }
        let mut rest = self.random.next() * exponentials(&mut candidates);
        let chosen = candidates.iter().find(|(_, weight)| {
            rest -= f64::from(*weight);
            rest < 0.0
        });
        chosen.or(candidates.first()).map_or(0, |&(token, _)| token)
    }
}

/// Logits that are skipped together if none of them is among the best.
const RUN: usize = 256;

/// The best `count` tokens, best first; with 0, all. Of equal logits, as 0 and -0 are, the first comes first.
/// Drops NaNs.
///
/// Most of a large vocabulary is only compared with the least token kept so far.
fn best(logits: &[f32], count: usize) -> Vec<Candidate> {
    let count = if count == 0 { logits.len() } else { count };
    let order = |a: &Candidate, b: &Candidate| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut kept: Vec<Candidate> = Vec::new();
    let mut least = None;
    for (run, first) in logits.chunks(RUN).zip((0..).step_by(RUN)) {
        if least.is_some_and(|least| largest(run) < least) {
            continue;
        }
        let is_better = |&(_, logit): &Candidate| {
            !logit.is_nan() && least.is_none_or(|least| logit.total_cmp(&least).is_gt())
        };
        kept.extend((first..).zip(run.iter().map(|logit| logit + 0.0)).filter(is_better));
        if kept.len() >= count.saturating_add(RUN) {
            let (_, last, _) = kept.select_nth_unstable_by(count - 1, order);
            least = Some(last.1);
            kept.truncate(count);
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(count);
    kept
}

/// The largest number; minus infinity if there is none.
fn largest(numbers: &[f32]) -> f32 {
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut most = [f32::NEG_INFINITY; 8];
    for eight in eights {
        for (most, number) in most.iter_mut().zip(eight) {
            *most = most.max(*number);
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

fn keep_probable(candidates: &mut Vec<Candidate>, fraction: f32) {
    if fraction >= 1.0 {
        return;
    }
    let mut weights = candidates.clone();
    let total = exponentials(&mut weights);
    let mut sum = 0.0;
    let enough = weights.iter().position(|(_, weight)| {
        sum += f64::from(*weight);
        sum >= f64::from(fraction) * total
    });
    candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
}

fn keep_near_best(candidates: &mut Vec<Candidate>, fraction: f32) {
    if let Some(&(_, best)) = candidates.first()
        && fraction > 0.0
    {
        let least = best + fraction.ln();
        let far = candidates.iter().skip(1).position(|&(_, logit)| logit < least);
        candidates.truncate(far.map_or(candidates.len(), |far| far + 1));
    }
}

/// Replaces logits, best first, by the weights of a softmax, and returns their sum.
fn exponentials(candidates: &mut [Candidate]) -> f64 {
    let best = candidates.first().map_or(0.0, |&(_, logit)| logit);
    candidates
        .iter_mut()
        .map(|(_, value)| {
            // Without this, an infinite best logit would give a NaN.
            *value = if *value == best { 1.0 } else { (*value - best).exp() };
            f64::from(*value)
        })
        .sum()
}

/// `SplitMix64`, by Steele, Lea and Flood, 2014.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// At least 0 and below 1, in steps of 2^-53.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        (x >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_tokens_are_the_first_of_a_sorted_vocabulary() {
        let mut random = Random(5);
        for (length, levels) in [(1, 3.0), (256, 1e6), (5000, 40.0), (40_000, 1e6)] {
            let mut logits: Vec<f32> =
                (0..length).map(|_| ((random.next() - 0.5) * levels).round() as f32).collect();
            if length > 1000 {
                logits[17] = f32::NAN;
                logits[900] = f32::INFINITY;
                logits[40] = f32::NEG_INFINITY;
            }
            let mut sorted: Vec<Candidate> = (0..).zip(logits.iter().copied()).collect();
            sorted.retain(|(_, logit)| !logit.is_nan());
            sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
            for count in [1, 2, 40, 300, 0] {
                let wanted = if count == 0 { sorted.len() } else { count.min(sorted.len()) };
                assert_eq!(best(&logits, count), sorted[..wanted], "{count} of {length}");
            }
        }
        assert!(best(&[f32::NAN; 3], 1).is_empty() && best(&[], 0).is_empty());
    }
}
