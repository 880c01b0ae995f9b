//! Measures the error of each tensor in each format, on a sample of its weights.
//!
//! A sample is runs of 4096 weights at even distances, from a start that the tensor's name decides. At least
//! 131,072 weights of a tensor are taken, a quarter of it, or at most 2 million; of each expert at least
//! 16,384. Errors of neighbouring types differ by a factor of four; with blocks that differ by half their
//! mean, the smallest sample has a standard error of 2 %.

use super::{Fit, State, gaussian_error};
use crate::gguf::Model;
use crate::threads::{all_threads, in_parallel};
use crate::{Device, Error, Format, Result, cpu};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Weights in a run: whole blocks of every format.
const RUN: u64 = 4096;
/// Weights of a sample: least, most, and least of each matrix.
const LEAST: u64 = 1 << 17;
const MOST: u64 = 2 << 20;
const LEAST_OF_MATRIX: u64 = 1 << 14;
/// One of so many weights is in a sample, between these limits.
const STRIDE: u64 = 4;
/// Weights that a thread measures at once.
const CHUNK: usize = 1 << 16;
/// Weights of a probe, which tells whether a sample is worth measuring.
const PROBE: usize = 2 * RUN as usize;
/// Formats whose lattice weights may lie on, because a model was trained for them.
pub(super) const LATTICES: [Format; 6] =
    [Format::Q1_0, Format::TQ2_0, Format::Q2_0, Format::Q4_0, Format::MXFP4, Format::Q8_0];
/// Weights whose error is below this part of a Gaussian's lie on the lattice.
const LATTICE_PART: f64 = 1.0 / 16.0;

/// How far measuring has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MeasureProgress<'a> {
    /// The tensor, or the role, that is measured now.
    pub name: &'a str,
    /// How many are done.
    pub done: usize,
    /// How many there are.
    pub total: usize,
}

/// Whether an error shows that weights lie on the lattice of a format: that they were made from it, or
/// trained for it. `error` is the relative squared error; 0 may also be that of weights which are all 0.
pub fn lattice(format: Format, error: f64) -> bool {
    !format.is_float() && gaussian_error(format).is_some_and(|usual| error < usual * LATTICE_PART)
}

/// Some weights of a tensor, for each of its matrices.
struct Sample {
    matrices: Vec<Vec<f32>>,
}

impl Fit<'_> {
    /// Measures what `state` lacks: the error of each tensor in each of its candidates, and whether its
    /// weights lie on the lattice of another format.
    ///
    /// The result is the same on every device and with any number of threads; `None` takes all. Reads only
    /// the samples. `progress` is called before each tensor; after [`ControlFlow::Break`] it fails with
    /// [`Error::Cancelled`], and `state` keeps what was measured. Fails with [`Error::NotFinite`] for weights
    /// that are not finite, with [`Error::Io`], and with errors of the device.
    pub fn measure(
        &self,
        state: &mut State,
        device: &Device,
        threads: Option<NonZeroUsize>,
        progress: &mut dyn FnMut(&MeasureProgress) -> ControlFlow<()>,
    ) -> Result<()> {
        let threads = threads.map_or_else(all_threads, NonZeroUsize::get);
        for (done, tensor) in self.tensors.iter().enumerate() {
            let missing: Vec<Format> = tensor.candidates.iter().copied().collect();
            let missing: Vec<Format> = (missing.into_iter())
                .filter(|&format| format != tensor.source && state.error(&tensor.name, format).is_none())
                .collect();
            let is_probed = state.errors().contains_key(&tensor.name);
            let probes = !self.types.are_named && !tensor.is_pinned && !is_probed;
            if missing.is_empty() && !probes {
                continue;
            }
            let at = MeasureProgress { name: &tensor.name, done, total: self.tensors.len() };
            if progress(&at).is_break() {
                return Err(Error::Cancelled);
            }
            let sample = read_sample(self.model, tensor.source_index, tensor.matrices())?;
            let view = tensor.view();
            let lattices = LATTICES.into_iter().filter(|format| {
                probes && *format != tensor.source && !missing.contains(format) && view.has_blocks_of(*format)
            });
            let lattices: Vec<Format> = lattices.collect();
            let found = errors(device, threads, &sample.probe(), &lattices)?;
            let lattices = lattices.into_iter().zip(found);
            let lattices =
                lattices.filter(|&(format, error)| lattice(format, error)).map(|(format, _)| format);
            let formats: Vec<Format> = missing.into_iter().chain(lattices).collect();
            for (&format, error) in formats.iter().zip(errors(device, threads, &sample, &formats)?) {
                state.set_error(&tensor.name, format, error);
            }
        }
        Ok(())
    }
}

impl Sample {
    /// The start of it.
    fn probe(&self) -> Self {
        let first = self.matrices.first().map(|weights| weights[..weights.len().min(PROBE)].to_vec());
        Self { matrices: first.into_iter().collect() }
    }
}

/// The error in each of `formats`: the mean over the matrices.
fn errors(_device: &Device, threads: usize, sample: &Sample, formats: &[Format]) -> Result<Vec<f64>> {
    let chunks: Vec<&[f32]> = sample.matrices.iter().flat_map(|matrix| matrix.chunks(CHUNK)).collect();
    let mut sums = vec![(0.0, 0.0); formats.len() * chunks.len()];
    let work: Vec<_> = sums.iter_mut().enumerate().collect();
    in_parallel(threads, work, |(i, sums)| {
        *sums = sums_of(formats[i / chunks.len()], chunks[i % chunks.len()])?;
        Ok(())
    })?;
    let mut sums = sums.into_iter();
    let mut error = || {
        let ratios = sample.matrices.iter().map(|matrix| {
            let count = matrix.chunks(CHUNK).len();
            let add = |(e, w): (f64, f64), (de, dw): (f64, f64)| (e + de, w + dw);
            let (error, weight) = sums.by_ref().take(count).fold((0.0, 0.0), add);
            if error == 0.0 { 0.0 } else { error / weight }
        });
        ratios.sum::<f64>() / sample.matrices.len().max(1) as f64
    };
    Ok(formats.iter().map(|_| error()).collect())
}

fn sums_of(format: Format, weights: &[f32]) -> Result<(f64, f64)> {
    let mut blocks = vec![0; format.bytes_for(weights.len() as u64) as usize];
    let mut decoded = vec![0.0; weights.len()];
    cpu::quantize(format, weights, &mut blocks)?;
    cpu::dequantize(format, &blocks, &mut decoded)?;
    let mut sums = (0.0, 0.0);
    for (&weight, &decoded) in weights.iter().zip(&decoded) {
        let (weight, error) = (f64::from(weight), f64::from(weight) - f64::from(decoded));
        sums.0 += error * error;
        sums.1 += weight * weight;
    }
    Ok(sums)
}

fn read_sample(model: &Model, index: usize, matrices: u64) -> Result<Sample> {
    let tensor = model.tensors().nth(index).ok_or(Error::Cancelled)?;
    let info = tensor.info;
    let format = info.tensor_type().format().ok_or(Error::Cancelled)?;
    let weights = info.weights() / matrices.max(1);
    let wanted = (info.weights() / STRIDE).clamp(LEAST, MOST) / matrices.max(1);
    let runs = evenly(weights, wanted.max(LEAST_OF_MATRIX), start(info.name()));
    let mut sample = Sample { matrices: Vec::new() };
    let mut bytes = Vec::new();
    for matrix in 0..matrices {
        let first = matrix * weights;
        let mut all = vec![0.0; runs.iter().map(|run| (run.end - run.start) as usize).sum()];
        let mut rest = all.as_mut_slice();
        for run in &runs {
            let (from, to) = (first + run.start, first + run.end);
            bytes.resize(format.bytes_for(to - from) as usize, 0);
            tensor.read_bytes(format.bytes_for(from), &mut bytes)?;
            format.check_finite(&bytes, |weight| {
                let at = from + weight as u64;
                (info.name().to_owned(), at / info.row_len(), at % info.row_len())
            })?;
            let (run, after) = rest.split_at_mut((to - from) as usize);
            format.dequantize_blocks(&bytes, run);
            rest = after;
        }
        sample.matrices.push(all);
    }
    Ok(sample)
}

/// Runs at even distances with about `wanted` of `weights` weights, or all of them. `start` is the place of
/// the first within a distance, 0 to 1.
fn evenly(weights: u64, wanted: u64, start: f64) -> Vec<std::ops::Range<u64>> {
    let (all, count) = (weights / RUN, wanted.div_ceil(RUN));
    if count >= all {
        return vec![0..weights];
    }
    let distance = all as f64 / count as f64;
    let run = |i: u64| (((i as f64 + start) * distance) as u64).min(all - 1) * RUN;
    (0..count).map(|i| run(i)..run(i) + RUN).collect()
}

/// A number from 0 to 1 that the name decides.
fn start(name: &str) -> f64 {
    let hash = name.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    f64::from(hash.wrapping_mul(0x9e37_79b1)) / f64::from(u32::MAX) * 0.999
}
