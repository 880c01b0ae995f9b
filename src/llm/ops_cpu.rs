//! The steps of a graph on the CPU: plain loops, the twins of the kernels in `shaders/llm`.

use super::config::{Activation, Config, RopeLayout};
use super::graph::{Slot, Step};
use super::kv_cache::HostCache;
use super::weights::{CpuStack, CpuWeights, Encoded};
use crate::{Result, cpu};
use std::thread;

/// Products of fewer weights than this are done by one thread: starting another would take longer.
const THREAD_WEIGHTS: usize = 1 << 16;

/// What steps compute on: the tokens of a batch, and the floats of each.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) tokens: &'a [u32],
    /// The position of the first token.
    pub(super) position: usize,
    /// For each rope the cosine and the sine of each pair, for each token.
    pub(super) angles: &'a [Vec<f32>],
    threads: usize,
    slots: Vec<Vec<f32>>,
}

impl<'a> Batch<'a> {
    /// `threads`: `None` means as many as the machine has.
    pub(super) fn new(
        config: &Config,
        tokens: &'a [u32],
        position: usize,
        angles: &'a [Vec<f32>],
        threads: Option<usize>,
    ) -> Self {
        // Logits are of few tokens, and made when they are asked for.
        let floats = |slot: Slot| if slot == Slot::Logits { 0 } else { tokens.len() * slot.width(config) };
        let slots = Slot::ALL.map(|slot| vec![0.0; floats(slot)]).to_vec();
        Self { tokens, position, angles, threads: threads.unwrap_or_else(all_threads), slots }
    }

    fn get(&self, slot: Slot) -> &[f32] {
        &self.slots[slot as usize]
    }

    fn get_mut(&mut self, slot: Slot) -> &mut [f32] {
        &mut self.slots[slot as usize]
    }

    /// Takes a slot out, to write it while others are read; [`Self::put`] puts it back.
    fn take(&mut self, slot: Slot) -> Vec<f32> {
        std::mem::take(&mut self.slots[slot as usize])
    }

    fn put(&mut self, slot: Slot, floats: Vec<f32>) {
        self.slots[slot as usize] = floats;
    }

    /// The logits that `steps` make of the rows of `Normed` from `first` on.
    pub(super) fn logits(
        &mut self,
        steps: &[Step],
        first: usize,
        config: &Config,
        weights: &CpuWeights,
        cache: &mut HostCache,
    ) -> Result<Vec<f32>> {
        let normed = self.get(Slot::Normed)[first * config.width..].to_vec();
        let floats = normed.len() / config.width * config.vocabulary;
        self.put(Slot::Normed, normed);
        self.put(Slot::Logits, vec![0.0; floats]);
        for step in steps {
            self.run(step, config, weights, cache)?;
        }
        Ok(self.take(Slot::Logits))
    }

    /// Does one step.
    pub(super) fn run(
        &mut self,
        step: &Step,
        config: &Config,
        weights: &CpuWeights,
        cache: &mut HostCache,
    ) -> Result<()> {
        let (width, epsilon) = (config.width, config.epsilon);
        let vector = |number: usize| weights.vectors[number].as_slice();
        match *step {
            Step::Embed { matrix } => {
                let [table] = &weights.matrices[matrix].tensors[..] else {
                    unreachable!("an embedding is one tensor")
                };
                let mut hidden = self.take(Slot::Hidden);
                cpu::get_rows(table.format, table.rows, table.cols, &table.bytes, self.tokens, &mut hidden)?;
                self.put(Slot::Hidden, hidden);
            }
            Step::Begin { scale, norm } => {
                self.get_mut(Slot::Hidden).iter_mut().for_each(|x| *x *= scale);
                self.norm_hidden(vector(norm), epsilon);
            }
            Step::Product { matrix, from, to } => {
                let mut y = self.take(to);
                product(&weights.matrices[matrix], self.get(from), &mut y, self.threads)?;
                self.put(to, y);
            }
            Step::Turn { layer, norms, rope } => self.turn(config, cache, layer, norms.map(vector), rope)?,
            Step::Attend { layer, window } => {
                let [keys, values] = cache.floats(layer)?;
                let mut attended = self.take(Slot::Attended);
                self.attend(config, window, &keys, &values, &mut attended)?;
                self.put(Slot::Attended, attended);
            }
            Step::Pack => {
                let heads = self.get(Slot::Attended).chunks(config.head_stride());
                let packed = heads.flat_map(|head| &head[..config.head_width]).copied().collect();
                self.put(Slot::Packed, packed);
            }
            Step::Gate => {
                let (gates, ups) = (self.get(Slot::Gate), self.get(Slot::Up));
                let rows = self.tokens.len();
                let mut gated = Vec::with_capacity(rows * Slot::Gated.width(config));
                for row in 0..rows {
                    // Without experts, the ups of a token follow its gates.
                    let length = Slot::Gated.width(config);
                    let (gate, up) = match config.experts {
                        None => gates[2 * row * length..][..2 * length].split_at(length),
                        Some(_) => (&gates[row * length..][..length], &ups[row * length..][..length]),
                    };
                    gated.extend(
                        gate.iter().zip(up).map(|(&gate, &up)| activate(config.activation, gate) * up),
                    );
                }
                self.put(Slot::Gated, gated);
            }
            Step::Join { post, norm } => {
                let mut branch = self.take(Slot::Branch);
                if let Some(post) = post {
                    rms_norm(&mut branch, vector(post), epsilon);
                }
                let hidden = self.get_mut(Slot::Hidden);
                hidden.iter_mut().zip(&branch).for_each(|(hidden, branch)| *hidden += branch);
                self.put(Slot::Branch, branch);
                self.norm_hidden(vector(norm), epsilon);
            }
            Step::Route => self.route(config),
            Step::PickedProduct { matrix, from, to } => {
                let [experts] = &weights.matrices[matrix].tensors[..] else {
                    unreachable!("experts are one tensor")
                };
                let mut y = self.take(to);
                let rows = y.len() / self.get(Slot::Picks).len();
                let x_rows = self.get(from).len() / experts.cols;
                let each = self.get(Slot::Picks).len() / x_rows;
                for (i, (pick, y)) in self.get(Slot::Picks).iter().zip(y.chunks_mut(rows)).enumerate() {
                    let x = &self.get(from)[i / each * experts.cols..][..experts.cols];
                    let start = pick.to_bits() as usize * rows;
                    product_of_rows(experts, start, x, y, self.threads)?;
                }
                self.put(to, y);
            }
            Step::Mix => {
                let parts = self.get(Slot::Parts).chunks(width);
                let used = Slot::Picks.width(config);
                let mut branch = vec![0.0; self.tokens.len() * width];
                for (i, (part, share)) in parts.zip(self.get(Slot::Shares)).enumerate() {
                    let branch = &mut branch[i / used * width..][..width];
                    branch.iter_mut().zip(part).for_each(|(sum, x)| *sum += share * x);
                }
                self.put(Slot::Branch, branch);
            }
            Step::Cap { cap } => {
                self.get_mut(Slot::Logits).iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
            }
        }
        Ok(())
    }

    fn norm_hidden(&mut self, weights: &[f32], epsilon: f32) {
        let mut normed = self.get(Slot::Hidden).to_vec();
        rms_norm(&mut normed, weights, epsilon);
        self.put(Slot::Normed, normed);
    }

    fn turn(
        &mut self,
        config: &Config,
        cache: &mut HostCache,
        layer: usize,
        norms: Option<&[f32]>,
        rope: usize,
    ) -> Result<()> {
        let (query, kv, stride) = (config.query_width(), config.kv_width(), config.head_stride());
        let mut qkv = self.take(Slot::Qkv);
        let angles = self.angles[rope].chunks(config.rope.dimensions);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (row, angles) in qkv.chunks_mut(query + 2 * kv).zip(angles) {
            for (i, head) in row[..query + kv].chunks_mut(stride).enumerate() {
                if let Some(norms) = norms {
                    let norms = if i < config.heads { norms } else { &norms[stride..] };
                    rms_norm(&mut head[..config.head_width], &norms[..config.head_width], config.epsilon);
                }
                turn_head(config.rope.layout, head, angles);
            }
            keys.extend_from_slice(&row[query..query + kv]);
            values.extend_from_slice(&row[query + kv..]);
        }
        self.put(Slot::Qkv, qkv);
        cache.store(layer, self.position, &keys, &values)
    }

    /// What the queries in `Qkv` make of all keys and values up to their own.
    fn attend(
        &self,
        config: &Config,
        window: Option<usize>,
        keys: &[f32],
        values: &[f32],
        attended: &mut [f32],
    ) -> Result<()> {
        let qkv = self.get(Slot::Qkv);
        let (kv, head) = (config.kv_width(), config.head_stride());
        let row = config.query_width() + 2 * kv;
        let work = attended.chunks_mut(head).enumerate().collect();
        in_parallel(self.threads, work, |(i, attended)| {
            let (token, query_head) = (i / config.heads, i % config.heads);
            let query = &qkv[token * row + query_head * head..][..head];
            let kv_head = query_head / (config.heads / config.kv_heads) * head;
            let end = self.position + token + 1;
            let start = window.map_or(0, |window| end.saturating_sub(window));
            let of = |at: usize| at * kv + kv_head..at * kv + kv_head + head;
            let mut scores: Vec<f64> = (start..end)
                .map(|at| dot(query, &keys[of(at)]) * f64::from(config.attention_scale))
                .collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for score in &mut scores {
                *score = (*score - largest).exp();
            }
            let sum: f64 = scores.iter().sum();
            let mut sums = vec![0.0; head];
            for (at, score) in (start..end).zip(&scores) {
                let value = &values[of(at)];
                sums.iter_mut().zip(value).for_each(|(sum, &value)| *sum += score * f64::from(value));
            }
            attended.iter_mut().zip(&sums).for_each(|(attended, total)| *attended = (total / sum) as f32);
            Ok(())
        })
    }

    fn route(&mut self, config: &Config) {
        let (count, used) = (Slot::Fit.width(config), Slot::Picks.width(config));
        let (mut picks, mut shares) = (Vec::new(), Vec::new());
        for fit in self.get(Slot::Fit).chunks(count) {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by(|&a, &b| fit[b].total_cmp(&fit[a]));
            order.truncate(used);
            let exps = order.iter().map(|&expert| (fit[expert] - fit[order[0]]).exp());
            let sum: f32 = exps.clone().sum();
            shares.extend(exps.map(|exp| exp / sum));
            picks.extend(order.iter().map(|&expert| f32::from_bits(expert as u32)));
        }
        self.put(Slot::Picks, picks);
        self.put(Slot::Shares, shares);
    }
}

/// Divides each run of floats, as many as there are weights, by the root of its mean square, and multiplies by the weights.
fn rms_norm(floats: &mut [f32], weights: &[f32], epsilon: f32) {
    for row in floats.chunks_mut(weights.len()) {
        let mean = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / row.len() as f64;
        let factor = (1.0 / (mean + f64::from(epsilon)).sqrt()) as f32;
        row.iter_mut().zip(weights).for_each(|(x, weight)| *x *= factor * weight);
    }
}

/// Turns the pairs of a head; `angles` has the cosine and the sine of each.
fn turn_head(layout: RopeLayout, head: &mut [f32], angles: &[f32]) {
    let half = angles.len() / 2;
    for (i, angle) in angles.chunks(2).enumerate() {
        let [a, b] = match layout {
            RopeLayout::Neighbours => [2 * i, 2 * i + 1],
            RopeLayout::Halves => [i, half + i],
        };
        let (x, y) = (head[a], head[b]);
        head[a] = x * angle[0] - y * angle[1];
        head[b] = x * angle[1] + y * angle[0];
    }
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => {
            const ROOT: f32 = 0.797_884_6;
            0.5 * x * (1.0 + (ROOT * x * (1.0 + 0.044_715 * x * x)).tanh())
        }
    }
}

/// Several sums side by side, so that none waits for another.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let (a_lanes, b_lanes) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `y` = `x`·Wᵀ, plus the biases.
fn product(stack: &CpuStack, x: &[f32], y: &mut [f32], threads: usize) -> Result<()> {
    let all_rows: usize = stack.tensors.iter().map(|part| part.rows).sum();
    let batch = y.len() / all_rows;
    let mut first = 0;
    for part in &stack.tensors {
        let mut part_y = vec![0.0; batch * part.rows];
        product_of_rows(part, 0, x, &mut part_y, threads)?;
        for (from, to) in part_y.chunks(part.rows).zip(y.chunks_mut(all_rows)) {
            to[first..first + part.rows].copy_from_slice(from);
        }
        first += part.rows;
    }
    for y in y.chunks_mut(all_rows) {
        y.iter_mut().zip(&stack.biases).for_each(|(y, bias)| *y += bias);
    }
    Ok(())
}

/// Products with as many rows of a matrix, from `start` on, as `y` has for each vector of `x`.
fn product_of_rows(matrix: &Encoded, start: usize, x: &[f32], y: &mut [f32], threads: usize) -> Result<()> {
    let batch = x.len() / matrix.cols;
    let rows = y.len() / batch;
    let row_bytes = matrix.format.bytes_for(matrix.cols as u64) as usize;
    let bytes = &matrix.bytes[start * row_bytes..(start + rows) * row_bytes];
    let threads = if rows * matrix.cols < THREAD_WEIGHTS { 1 } else { threads };
    let chunk_rows = rows.div_ceil(threads);
    let mut columns = vec![0.0; y.len()];
    let work = bytes.chunks(chunk_rows * row_bytes).zip(columns.chunks_mut(chunk_rows * batch)).collect();
    in_parallel(threads, work, |(bytes, y): (&[u8], &mut [f32])| {
        let rows = bytes.len() / row_bytes;
        let mut weights = vec![0.0; matrix.cols];
        for (r, row) in bytes.chunks(row_bytes).enumerate() {
            // Once for all vectors, which is why this is no `cpu::matmul`.
            cpu::dequantize(matrix.format, row, &mut weights)?;
            for (x, y) in x.chunks(matrix.cols).zip(y.chunks_mut(rows)) {
                y[r] = dot(&weights, x) as f32;
            }
        }
        Ok(())
    })?;
    for (chunk, part) in columns.chunks(chunk_rows * batch).enumerate() {
        let part_rows = part.len() / batch;
        for (from, to) in part.chunks(part_rows).zip(y.chunks_mut(rows)) {
            to[chunk * chunk_rows..chunk * chunk_rows + part_rows].copy_from_slice(from);
        }
    }
    Ok(())
}

pub(super) fn all_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does all pieces of work, by so many threads at most. Returns an error if there was one.
pub(super) fn in_parallel<T: Send>(
    threads: usize,
    work: Vec<T>,
    run: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.min(work.len());
    if threads < 2 {
        return work.into_iter().try_for_each(run);
    }
    let mut shares: Vec<Vec<T>> = (0..threads).map(|_| Vec::new()).collect();
    for (i, piece) in work.into_iter().enumerate() {
        shares[i % threads].push(piece);
    }
    let run = &run;
    thread::scope(|scope| {
        let own = shares.pop().into_iter().flatten();
        let others: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().try_for_each(run)))
            .collect();
        let mut result = own.map(run).find(Result::is_err).unwrap_or(Ok(()));
        for other in others {
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_leaves_a_mean_square_of_one() {
        let mut floats = vec![3.0, -4.0, 0.0, 0.0, 6.0, 8.0, 10.0, 0.0];
        rms_norm(&mut floats, &[1.0, 1.0, 1.0, 2.0], 0.0);
        // Of 3, -4, 0, 0 the mean square is 6.25, of the others 50.
        let right =
            [1.2, -1.6, 0.0, 0.0].into_iter().chain([6.0, 8.0, 10.0, 0.0].map(|x: f32| x / 50f32.sqrt()));
        assert!(floats.iter().zip(right).all(|(found, right)| (found - right).abs() < 1e-6), "{floats:?}");
        rms_norm(&mut floats[..1], &[5.0], 1e12);
        assert!(floats[0].abs() < 1e-4);
    }

    #[test]
    fn a_quarter_turn_exchanges_the_floats_of_a_pair() {
        // Pair 0 turns by 90 degrees, pair 1 by none; the last two floats are in no pair.
        let angles = [0.0, 1.0, 1.0, 0.0];
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        turn_head(RopeLayout::Neighbours, &mut head, &angles);
        assert_eq!(head, [-2.0, 1.0, 3.0, 4.0, 5.0, 6.0]);
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        turn_head(RopeLayout::Halves, &mut head, &angles);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn activations_are_what_they_are_defined_as() {
        for x in [-30.0f32, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0] {
            let wide = f64::from(x);
            let silu = wide / (1.0 + (-wide).exp());
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let gelu = 0.5 * wide * (1.0 + inner.tanh());
            for (activation, right) in [(Activation::Silu, silu), (Activation::Gelu, gelu)] {
                assert!((f64::from(activate(activation, x)) - right).abs() < 1e-6, "{activation:?} of {x}");
            }
        }
    }

    #[test]
    fn a_dot_product_has_its_last_numbers_too() {
        let floats: Vec<f32> = (1..=19).map(|x| x as f32).collect();
        assert_eq!(dot(&floats, &floats), 2470.0);
        assert_eq!(dot(&floats[..3], &floats[1..4]), 20.0);
    }

    #[test]
    fn work_is_done_once_each_and_an_error_is_kept() {
        let mut done = vec![0; 100];
        in_parallel(3, done.iter_mut().collect(), |count: &mut i32| {
            *count += 1;
            Ok(())
        })
        .unwrap();
        assert!(done.iter().all(|&count| count == 1));
        let failing = |number| if number == 57 { Err(crate::Error::Cancelled) } else { Ok(()) };
        assert!(matches!(in_parallel(3, (0..100).collect(), failing), Err(crate::Error::Cancelled)));
    }
}
