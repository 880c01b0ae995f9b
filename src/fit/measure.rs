//! Measures the error of each tensor in each format, on a sample of its weights.
//!
//! A sample is runs of 4096 weights at even distances, from a start that the tensor's name decides. At least
//! 131,072 weights of a tensor are taken, a quarter of it, or at most 2 million; of each expert at least
//! 16,384. Errors of neighbouring types differ by a factor of four; with blocks that differ by half their
//! mean, the smallest sample has a standard error of 2 %.

use super::tensors::Tensor;
use super::{Fit, State, gaussian_error};
use crate::cpu::ErrorSums;
use crate::gguf::{Model, Tensor as TensorSource};
use crate::gpu::Converter;
use crate::stream::Plan;
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
const CHUNK: u64 = 1 << 15;
/// Weights of a probe, which tells whether a sample is worth measuring.
const PROBE: u64 = 2 * RUN;
/// Weights that a look at a tensor takes.
const LOOK: u64 = 1024;
/// Memory for measuring on a device.
const CONVERTER_BYTES: u64 = 64 << 20;
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

/// Some weights of a tensor, for each of its matrices, as the source has them.
struct Sample {
    format: Format,
    matrices: Vec<Vec<u8>>,
}

/// The error of a format that cannot hold the weights: beyond that of any other, and finite, so that sums and
/// files can hold it.
const NOT_HELD: f64 = 1e6;

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
        let mut meter = Meter::new(device, threads);
        let sources: Vec<_> = self.model.tensors().collect();
        for (done, tensor) in self.tensors.iter().enumerate() {
            // The fixed mix is compared with, also where it is not to choose from.
            let wanted = std::iter::once(tensor.mix).filter(|mix| !tensor.candidates.contains(mix));
            let missing: Vec<Format> = (tensor.candidates.iter().copied().chain(wanted))
                .filter(|&format| {
                    format != tensor.source && state.error(&tensor.source_name, format).is_none()
                })
                .collect();
            // Also where the user has chosen: the state may serve another run.
            let probes = !state.errors().contains_key(&tensor.source_name);
            if missing.is_empty() && !probes {
                continue;
            }
            let at = MeasureProgress { name: &tensor.name, done, total: self.tensors.len() };
            if progress(&at).is_break() {
                return Err(Error::Cancelled);
            }
            let sample = read_sample(&sources[tensor.source_index], tensor)?;
            let view = tensor.view();
            let lattices = LATTICES.into_iter().filter(|format| {
                probes && *format != tensor.source && !missing.contains(format) && view.has_blocks_of(*format)
            });
            let lattices: Vec<Format> = lattices.collect();
            let found = meter.errors(&sample.probe(), &lattices)?;
            let lattices = lattices.into_iter().zip(found);
            let lattices =
                lattices.filter(|&(format, error)| lattice(format, error)).map(|(format, _)| format);
            let formats: Vec<Format> = missing.into_iter().chain(lattices).collect();
            for (&format, error) in formats.iter().zip(meter.errors(&sample, &formats)?) {
                state.set_error(&tensor.source_name, format, error);
            }
        }
        Ok(())
    }
}

impl Sample {
    /// The start of it.
    fn probe(&self) -> Self {
        let most = self.format.bytes_for(PROBE) as usize;
        let first = self.matrices.first().map(|bytes| bytes[..bytes.len().min(most)].to_vec());
        Self { format: self.format, matrices: first.into_iter().collect() }
    }
}

/// Measures on a device. If it fails, the CPU does the rest, with the same results.
struct Meter {
    converter: Option<Converter>,
    threads: usize,
}

impl Meter {
    fn new(device: &Device, threads: Option<NonZeroUsize>) -> Self {
        let converter = match device {
            Device::Cpu => None,
            Device::Gpu(gpu) => Some(Converter::new(gpu, CONVERTER_BYTES)),
        };
        Self { converter, threads: threads.map_or_else(all_threads, NonZeroUsize::get) }
    }

    /// The error in each of `formats`: the mean over the matrices.
    fn errors(&mut self, sample: &Sample, formats: &[Format]) -> Result<Vec<f64>> {
        let mut errors = vec![0.0; formats.len()];
        for matrix in &sample.matrices {
            let sums = self.sums(sample.format, matrix, formats)?;
            for (error, sums) in errors.iter_mut().zip(sums) {
                *error += sums.relative().min(NOT_HELD) / sample.matrices.len() as f64;
            }
        }
        Ok(errors)
    }

    /// Σe² and Σw² in each of `formats`.
    fn sums(&mut self, from: Format, source: &[u8], formats: &[Format]) -> Result<Vec<ErrorSums>> {
        if let Some(converter) = &mut self.converter {
            match converter.error_sums(from, source, formats) {
                Err(
                    Error::DeviceLost { .. }
                    | Error::DeviceMemory { .. }
                    | Error::Device { .. }
                    | Error::Inexact { .. },
                ) => self.converter = None,
                done => return done,
            }
        }
        let chunks: Vec<&[u8]> = source.chunks(from.bytes_for(CHUNK) as usize).collect();
        let mut groups = vec![Groups::default(); formats.len() * chunks.len()];
        let work: Vec<_> = groups.iter_mut().enumerate().collect();
        in_parallel(self.threads, work, |(i, groups)| {
            let format = formats[i / chunks.len()];
            let quantize = format.quantize_blocks().ok_or(Error::NotEncoded { format })?;
            cpu::each_group(from, chunks[i % chunks.len()], (format, quantize), |weights, sums| {
                groups.weights += weights;
                groups.sums.extend_from_slice(sums);
            });
            Ok(())
        })?;
        // In the order of the weights, as one thread adds them.
        let mut total = vec![ErrorSums::default(); formats.len()];
        for (i, groups) in groups.iter().enumerate() {
            total[i / chunks.len()].add_groups(groups.weights, &groups.sums);
        }
        Ok(total)
    }
}

/// Sums of consecutive groups of weights.
#[derive(Clone, Default)]
struct Groups {
    weights: u64,
    sums: Vec<[f32; 2]>,
}

fn read_sample(source: &TensorSource, tensor: &Tensor) -> Result<Sample> {
    let (info, format, matrices) = (source.info, tensor.source, tensor.matrices());
    let weights = info.weights() / matrices.max(1);
    let wanted = (info.weights() / STRIDE).clamp(LEAST, MOST) / matrices.max(1);
    let runs = evenly(weights, wanted.max(LEAST_OF_MATRIX), start(info.name()));
    let mut sample = Sample { format, matrices: Vec::new() };
    for matrix in 0..matrices {
        let first = matrix * weights;
        let mut all = vec![0; runs.iter().map(|run| format.bytes_for(run.end - run.start) as usize).sum()];
        let mut rest = all.as_mut_slice();
        for run in &runs {
            let from = first + run.start;
            let (bytes, after) = rest.split_at_mut(format.bytes_for(run.end - run.start) as usize);
            source.read_bytes(format.bytes_for(from), bytes)?;
            format.check_finite(bytes, |weight| {
                let at = from + weight as u64;
                (info.name().to_owned(), at / info.row_len(), at % info.row_len())
            })?;
            rest = after;
        }
        sample.matrices.push(all);
    }
    Ok(sample)
}

/// The tensors of a plan whose weights lie on the lattice of another format than the plan gives them, with
/// that format: as that one they would lose almost nothing.
///
/// Looks at 1024 weights in the middle of each tensor that goes from floats to a quantized format, on the
/// CPU. Fails with [`Error::Io`].
pub fn lattices(model: &Model, plan: &Plan) -> Result<Vec<(String, Format)>> {
    let sources: Vec<_> = model.tensors().collect();
    let mut found = Vec::new();
    for planned in plan.tensors() {
        let formats = (planned.from.tensor_type().format(), planned.to.tensor_type().format());
        let (Some(from), Some(to)) = formats else { continue };
        if !from.is_float() || to.is_float() {
            continue;
        }
        let weights = planned.from.weights();
        let count = weights.min(LOOK);
        let start = (weights - count) / 2 / LOOK * LOOK;
        let mut bytes = vec![0; from.bytes_for(count) as usize];
        sources[planned.source_index].read_bytes(from.bytes_for(start), &mut bytes)?;
        let row = planned.from.row_len();
        let on = LATTICES.into_iter().filter(|format| row.is_multiple_of(format.info().block_weights as u64));
        for format in on {
            let Ok(sums) = cpu::error_sums(from, &bytes, format) else { continue };
            if sums.weight_squared > 0.0 && lattice(format, sums.relative()) {
                if format != to {
                    found.push((planned.to.name().to_owned(), format));
                }
                break;
            }
        }
    }
    Ok(found)
}

/// Runs at even distances with about `wanted` of `weights` weights, or all of them. `start` is the place of
/// the first within a distance, 0 to 1.
fn evenly(weights: u64, wanted: u64, start: f64) -> Vec<std::ops::Range<u64>> {
    let (all, count) = (weights / RUN, wanted.div_ceil(RUN));
    if count >= all {
        return std::iter::once(0..weights).collect();
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
