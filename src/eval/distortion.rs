//! How far the weights of one model are from those of another, tensor by tensor.
//!
//! With `a` the weights of the reference, `b` those of the other model, and sums over all `n` of them:
//!
//! ```text
//! RMSE       = √( Σ(a-b)² / n )
//! max error  = max |a-b|
//! SQNR       = 10·log10( Σa² / Σ(a-b)² ) dB       signal to quantization noise ratio
//! cosine     = Σab / √( Σa² · Σb² )
//! ```
//!
//! Both are decoded to f32. Differences, products and sums are f64. Slices of tensors are summed on several
//! threads and their sums are added in the order of the file, so the figures are the same, to the last bit,
//! for any number of threads.

mod sums;

pub use sums::Distortion;

use crate::cpu::MAX_THREADS;
use crate::error::ComparisonFault;
use crate::gguf::{Model, Tensor, TensorInfo, TensorType};
#[cfg(not(target_arch = "wasm32"))]
use crate::stream::Plan;
use crate::{Error, Format, Result, cpu};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread;
use sums::Sums;

/// Weights in a slice: whole blocks of every format, 1 MiB as f32. The last bits of the figures depend on it.
const SLICE_WEIGHTS: u64 = 256 * 1024;

/// Compares every tensor of `other` with the tensor of the same name in `reference`, on `threads` threads, at
/// most 1024.
///
/// A tensor that only one model has, that has another shape, or that holds no weights is a [`Mismatch`], not
/// an error. Needs about 3 MiB per thread, whatever the size of the models.
///
/// Fails with [`ComparisonFault::NothingInCommon`] if all tensors are mismatches, with
/// [`ComparisonFault::NotFinite`] at the first weight, in the order of `reference`, that is not finite, and
/// with [`Error::Io`].
pub fn distortion(reference: &Model, other: &Model, threads: NonZeroUsize) -> Result<Comparison> {
    let (pairs, mismatches) = pair_up(reference, other);
    if pairs.is_empty() {
        return Err(nothing_to_compare(reference, other, &mismatches));
    }
    compare(&pairs, mismatches, threads)
}

/// [`distortion`] of the file that `plan` makes of `reference`, without writing it: the same figures, to the
/// last bit.
///
/// Fails with the errors of [`distortion`], and with those of [`cpu::quantize`].
#[cfg(not(target_arch = "wasm32"))]
pub fn planned_distortion(reference: &Model, plan: &Plan, threads: NonZeroUsize) -> Result<Comparison> {
    let becomes: HashMap<&str, TensorType> =
        plan.tensors().map(|tensor| (tensor.from.name(), tensor.to.tensor_type())).collect();
    let mut pairs = Vec::new();
    let mut mismatches = Vec::new();
    for a in reference.tensors() {
        let name = a.info.name();
        let mismatch = match (a.info.tensor_type(), becomes.get(name).copied()) {
            (_, None) => Mismatch::OnlyInReference,
            (TensorType::Weights(from), Some(TensorType::Weights(to))) => {
                let a = Side::new(reference, a, from);
                pairs.push(Pair { b: Side { becomes: (from != to).then_some(to), ..a }, a });
                continue;
            }
            (reference, Some(other)) => Mismatch::NotWeights { reference, other },
        };
        mismatches.push((name.to_owned(), mismatch));
    }
    if pairs.is_empty() {
        return Err(nothing_to_compare(reference, reference, &mismatches));
    }
    compare(&pairs, mismatches, threads)
}

fn compare(pairs: &[Pair], mismatches: Vec<(String, Mismatch)>, threads: NonZeroUsize) -> Result<Comparison> {
    let sums = sum_all(pairs, threads)?;
    let total = sums.iter().fold(Sums::default(), |total, sums| total.plus(sums));
    let tensors = pairs.iter().zip(&sums).map(|(pair, sums)| TensorDistortion {
        name: pair.a.tensor.info.name().to_owned(),
        reference: pair.a.format,
        other: pair.b.becomes.unwrap_or(pair.b.format),
        distortion: sums.distortion(),
    });
    Ok(Comparison { tensors: tensors.collect(), mismatches, total: total.distortion() })
}

/// The difference between two models.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The tensors that were compared, in the order of the reference.
    pub tensors: Vec<TensorDistortion>,
    /// The tensors that were not compared, and why: in the order of the reference, then of the other model.
    pub mismatches: Vec<(String, Mismatch)>,
    /// The figures over all weights that were compared, as if they were one tensor.
    pub total: Distortion,
}

impl Comparison {
    /// The tensors by increasing SQNR; equal ones in the order of the reference.
    pub fn worst_first(&self) -> Vec<&TensorDistortion> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by(|a, b| a.distortion.sqnr_db.total_cmp(&b.distortion.sqnr_db));
        tensors
    }
}

/// The difference between a tensor and that of the reference.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TensorDistortion {
    /// Its name.
    pub name: String,
    /// Its format in the reference.
    pub reference: Format,
    /// Its format in the other model.
    pub other: Format,
    /// The figures.
    pub distortion: Distortion,
}

/// Why a tensor was not compared.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Mismatch {
    /// The other model lacks it.
    OnlyInReference,
    /// The reference lacks it.
    OnlyInOther,
    /// The shapes differ, row length first.
    Shape {
        /// Its shape in the reference.
        reference: Vec<u64>,
        /// Its shape in the other model.
        other: Vec<u64>,
    },
    /// It holds no weights in at least one model.
    NotWeights {
        /// Its type in the reference.
        reference: TensorType,
        /// Its type in the other model.
        other: TensorType,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyInReference => f.write_str("only in the reference"),
            Self::OnlyInOther => f.write_str("not in the reference"),
            Self::Shape { reference, other } => {
                write!(f, "shape {reference:?} in the reference, {other:?} here")
            }
            Self::NotWeights { reference, other } => {
                write!(f, "{reference} in the reference, {other} here: no weights")
            }
        }
    }
}

/// A tensor that both models have in the same shape.
struct Pair<'a> {
    a: Side<'a>,
    b: Side<'a>,
}

/// A tensor of weights in one of the models.
#[derive(Clone, Copy)]
struct Side<'a> {
    tensor: Tensor<'a>,
    format: Format,
    /// The format that it is quantized to, and decoded from.
    becomes: Option<Format>,
    path: &'a Path,
}

fn pair_up<'a>(reference: &'a Model, other: &'a Model) -> (Vec<Pair<'a>>, Vec<(String, Mismatch)>) {
    let others: HashMap<&str, Tensor> = other.tensors().map(|b| (b.info.name(), b)).collect();
    let mut pairs = Vec::new();
    let mut mismatches = Vec::new();
    for a in reference.tensors() {
        let pair = match others.get(a.info.name()) {
            Some(&b) => Pair::new(reference, a, other, b),
            None => Err(Mismatch::OnlyInReference),
        };
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(mismatch) => mismatches.push((a.info.name().to_owned(), mismatch)),
        }
    }
    let names: HashSet<&str> = reference.tensors().map(|a| a.info.name()).collect();
    let only_in_other = other.tensors().map(|b| b.info.name()).filter(|name| !names.contains(name));
    mismatches.extend(only_in_other.map(|name| (name.to_owned(), Mismatch::OnlyInOther)));
    (pairs, mismatches)
}

fn nothing_to_compare(reference: &Model, other: &Model, mismatches: &[(String, Mismatch)]) -> Error {
    let path = |model: &Model| model.shards()[0].path().to_owned();
    let count = |is: fn(&Mismatch) -> bool| mismatches.iter().filter(|(_, mismatch)| is(mismatch)).count();
    Error::Comparison(ComparisonFault::NothingInCommon {
        reference: path(reference),
        other: path(other),
        only_in_reference: count(|mismatch| matches!(mismatch, Mismatch::OnlyInReference)),
        only_in_other: count(|mismatch| matches!(mismatch, Mismatch::OnlyInOther)),
        other_shape: count(|mismatch| matches!(mismatch, Mismatch::Shape { .. })),
        not_weights: count(|mismatch| matches!(mismatch, Mismatch::NotWeights { .. })),
    })
}

/// The shape without trailing 1s, which some writers leave out.
fn trimmed_shape(info: &TensorInfo) -> &[u64] {
    let shape = info.shape();
    let dimensions = shape.iter().rposition(|&length| length != 1).map_or(0, |last| last + 1);
    &shape[..dimensions]
}

impl<'a> Pair<'a> {
    fn new(reference: &'a Model, a: Tensor<'a>, other: &'a Model, b: Tensor<'a>) -> Result<Self, Mismatch> {
        if trimmed_shape(a.info) != trimmed_shape(b.info) {
            let (reference, other) = (a.info.shape().to_vec(), b.info.shape().to_vec());
            return Err(Mismatch::Shape { reference, other });
        }
        match (a.info.tensor_type(), b.info.tensor_type()) {
            (TensorType::Weights(a_format), TensorType::Weights(b_format)) => {
                Ok(Self { a: Side::new(reference, a, a_format), b: Side::new(other, b, b_format) })
            }
            (reference, other) => Err(Mismatch::NotWeights { reference, other }),
        }
    }

    /// The ranges of weights of each slice. Rows do not matter: a tensor's data have no gaps and are whole
    /// blocks.
    fn slices(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let weights = self.a.tensor.info.weights();
        let starts = (0..weights).step_by(SLICE_WEIGHTS as usize);
        starts.map(move |start| start..(start + SLICE_WEIGHTS).min(weights))
    }

    fn sum(&self, slice: &Range<u64>, buffers: &mut Buffers) -> Result<Sums> {
        self.a.decode(slice, &mut buffers.bytes, &mut buffers.a)?;
        self.b.decode(slice, &mut buffers.bytes, &mut buffers.b)?;
        Ok(Sums::new(&buffers.a, &buffers.b))
    }
}

impl<'a> Side<'a> {
    fn new(model: &'a Model, tensor: Tensor<'a>, format: Format) -> Self {
        Self { tensor, format, becomes: None, path: model.shards()[tensor.shard_index].path() }
    }

    fn decode(&self, slice: &Range<u64>, bytes: &mut Vec<u8>, weights: &mut Vec<f32>) -> Result<()> {
        let len = slice.end - slice.start;
        bytes.resize(self.format.bytes_for(len) as usize, 0);
        weights.resize(len as usize, 0.0);
        self.tensor.read_bytes(self.format.bytes_for(slice.start), bytes)?;
        self.format.dequantize_blocks(bytes, weights);
        self.check_finite(slice, weights)?;
        if let Some(format) = self.becomes {
            bytes.resize(format.bytes_for(len) as usize, 0);
            cpu::quantize(format, weights, bytes)?;
            cpu::dequantize(format, bytes, weights)?;
            self.check_finite(slice, weights)?;
        }
        Ok(())
    }

    fn check_finite(&self, slice: &Range<u64>, weights: &[f32]) -> Result<()> {
        match weights.iter().position(|weight| !weight.is_finite()) {
            None => Ok(()),
            Some(index) => Err(self.incomparable(slice.start + index as u64, weights[index])),
        }
    }

    fn incomparable(&self, weight: u64, value: f32) -> Error {
        let info = self.tensor.info;
        let (row, column) = (weight / info.row_len(), weight % info.row_len());
        let (path, tensor) = (self.path.to_owned(), info.name().to_owned());
        Error::Comparison(ComparisonFault::NotFinite { path, tensor, row, column, value })
    }
}

/// The buffers of a thread.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    a: Vec<f32>,
    b: Vec<f32>,
}

/// Some consecutive weights of a pair, with their number in the order of the file.
struct Slice {
    number: usize,
    pair_index: usize,
    weights: Range<u64>,
}

/// The sums over every pair.
fn sum_all(pairs: &[Pair], threads: NonZeroUsize) -> Result<Vec<Sums>> {
    let slices = pairs
        .iter()
        .enumerate()
        .flat_map(|(pair_index, pair)| pair.slices().map(move |weights| (pair_index, weights)));
    let slices =
        (0..).zip(slices).map(|(number, (pair_index, weights))| Slice { number, pair_index, weights });
    let slices = Mutex::new(slices);
    let (done_sender, done) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get().min(MAX_THREADS) {
            let (slices, done) = (&slices, done_sender.clone());
            scope.spawn(move || sum_slices(pairs, slices, &done));
        }
        drop(done_sender);

        let mut sums = vec![Sums::default(); pairs.len()];
        let mut early = BTreeMap::new();
        let mut next = 0;
        // The receiver is consumed: on an error the channel closes and the threads stop.
        for (slice, result) in done {
            early.insert(slice.number, (slice.pair_index, result));
            while let Some((pair_index, result)) = early.remove(&next) {
                sums[pair_index] = sums[pair_index].plus(&result?);
                next += 1;
            }
        }
        Ok(sums)
    })
}

fn sum_slices(
    pairs: &[Pair],
    slices: &Mutex<impl Iterator<Item = Slice>>,
    done: &mpsc::Sender<(Slice, Result<Sums>)>,
) {
    let mut buffers = Buffers::default();
    let take = || slices.lock().ok()?.next();
    while let Some(slice) = take() {
        let result = pairs[slice.pair_index].sum(&slice.weights, &mut buffers);
        if done.send((slice, result)).is_err() {
            return;
        }
    }
}
