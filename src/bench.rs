//! How fast an operation is: its answer checked first, then timed, beside what the device can do at best. And how fast a model is.
//!
//! A [`Case`] is an operation on a format and a shape; [`Case::measure`] makes data for it, holds a sample of the answer
//! against the twin, and times it on weights that are in no cache. [`Peaks`] are the device's own limits, measured by
//! kernels that do one thing only. What else an app records is timed by [`time_ops`]. Nothing here is fast because it was
//! done a moment ago: weights rotate through copies, of which one more than fits the cache.
//! With the feature `llm`, `ModelCase` measures models as llama-bench does.
//!
//! ```
//! use qmill::bench::{Case, Operation, Settings};
//! use qmill::{Device, Format};
//!
//! let case = Case { operation: Operation::Dequantize, format: Format::Q4_K, rows: 16, cols: 512, batch: 1 };
//! let settings = Settings::DEFAULT.with_repetitions(1);
//! let measured = case.measure(&Device::Cpu, case.variants(&Device::Cpu)[0], &settings)?;
//! println!("{:.2} GB/s", measured.bytes as f64 / measured.timing.best_clock().median() / 1e9);
//! # Ok::<(), qmill::Error>(())
//! ```

mod conversion;
mod data;
#[cfg(feature = "llm")]
mod model;
mod peaks;
mod product;
mod timing;
mod tune;

#[cfg(feature = "llm")]
pub use model::{ModelCase, ModelSettings, ModelTiming, Stage};
pub use peaks::Peaks;
#[doc(hidden)]
pub use peaks::shaders;
pub use product::Variant;
pub use timing::{Samples, Settings, Timing, time_ops, time_work};
pub use tune::{Ranking, rank};

use crate::{Device, Error, Format, Gpu, Result, cpu};
use std::fmt;
use std::str::FromStr;

/// Most copies that weights rotate through: small ones would need too many.
const MAX_COPIES: u64 = 1024;
/// Rows and vectors of an answer that are held against the twin's.
const CHECKED_ROWS: usize = 64;
const CHECKED_VECTORS: usize = 16;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// f32 weights to blocks.
    Quantize,
    /// Blocks to f32 weights.
    Dequantize,
    /// Products of a matrix and at most [`Operation::MAX_VECTORS`] vectors.
    Matvec,
    /// Products of a matrix and more vectors.
    Matmul,
}

impl Operation {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Quantize, Self::Dequantize, Self::Matvec, Self::Matmul];
    /// Vectors of the largest `matvec`; with one more it is a `matmul`.
    pub const MAX_VECTORS: usize = 8;

    /// Its name, as in `matvec`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Dequantize => "dequantize",
            Self::Matvec => "matvec",
            Self::Matmul => "matmul",
        }
    }

    /// Whether there is such an operation for a format: not every one has an encoder, and F32 is not converted to itself.
    pub fn takes(self, format: Format) -> bool {
        match self {
            Self::Quantize => format.info().can_quantize() && format != Format::F32,
            Self::Dequantize => format != Format::F32,
            Self::Matvec | Self::Matmul => true,
        }
    }

    /// Whether it multiplies, and so has vectors.
    pub fn is_product(self) -> bool {
        matches!(self, Self::Matvec | Self::Matmul)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|operation| operation.name() == text);
        named.ok_or_else(|| format!("{text:?} is not quantize, dequantize, matvec or matmul"))
    }
}

/// An operation on weights of a format and a shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// What is done.
    pub operation: Operation,
    /// The format of the weights.
    pub format: Format,
    /// Rows of the matrix: m.
    pub rows: usize,
    /// Its columns, whole blocks: k.
    pub cols: usize,
    /// Vectors that it is multiplied by: n. Of no meaning to conversions.
    pub batch: usize,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// How long it took.
    pub timing: Timing,
    /// Bytes that one operation has to read and write: weights as a file holds them, vectors and results as f32.
    pub bytes: u64,
    /// Multiplications and additions of one operation, 2·m·n·k; 0 of conversions.
    pub operations: u64,
    /// Copies that the weights rotated through.
    pub copies: usize,
    /// How the answer compares with the twin's; none of the twin itself.
    pub accuracy: Option<Accuracy>,
}

/// How far an answer is from the twin's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Accuracy {
    /// The largest error that was found, as a share of Σ|wᵢxᵢ|; 0 of conversions, which have none.
    pub error: f64,
    /// The largest that is allowed.
    pub bound: f64,
}

impl Case {
    /// The ways to do this on a device: first what the library takes by itself, at each precision.
    pub fn variants(&self, device: &Device) -> Vec<Variant> {
        product::variants(self, device)
    }

    /// Checks the answer, and measures.
    ///
    /// Needs memory for the copies, and on the device 4 bytes for each weight that is converted. Fails with
    /// [`Error::Number`] and [`Error::RowLength`] where the shape is none; with [`Error::NotEncoded`] where a format cannot
    /// be quantized to; with [`Error::Inaccurate`] and [`Error::Differs`] where the answer is wrong; and with what the
    /// device reports.
    pub fn measure(&self, device: &Device, variant: Variant, settings: &Settings) -> Result<Measurement> {
        self.check()?;
        let (timing, accuracy) = match (device, self.operation) {
            (Device::Cpu, _) => (self.measure_twin(settings)?, None),
            (Device::Gpu(gpu), Operation::Quantize) => conversion::quantize(self, gpu, settings)?,
            (Device::Gpu(gpu), Operation::Dequantize) => conversion::dequantize(self, gpu, settings)?,
            (Device::Gpu(gpu), _) => {
                let (timing, accuracy) =
                    product::Data::new(self, gpu, settings)?.measure(variant, settings)?;
                (timing, Some(accuracy))
            }
        };
        Ok(Measurement {
            timing,
            bytes: self.bytes(),
            operations: if self.operation.is_product() { 2 * self.weights() * self.batch as u64 } else { 0 },
            copies: self.copies(settings),
            accuracy,
        })
    }

    fn check(&self) -> Result<()> {
        cpu::check_positive("the number of rows", self.rows)?;
        cpu::check_positive("the number of columns", self.cols)?;
        if !self.cols.is_multiple_of(self.format.info().block_weights) {
            let (tensor, weights) = ("the matrix".to_owned(), self.cols as u64);
            return Err(Error::RowLength { tensor, weights, format: self.format });
        }
        Ok(())
    }

    fn weights(&self) -> u64 {
        self.rows as u64 * self.cols as u64
    }

    fn bytes(&self) -> u64 {
        let blocks = self.format.bytes_for(self.weights());
        let floats = match self.operation {
            Operation::Quantize | Operation::Dequantize => self.weights(),
            Operation::Matvec | Operation::Matmul => self.batch as u64 * (self.rows + self.cols) as u64,
        };
        blocks + 4 * floats
    }

    /// One more than fits the cache.
    fn copies(&self, settings: &Settings) -> usize {
        let bytes =
            if self.operation.is_product() { self.format.bytes_for(self.weights()) } else { self.bytes() };
        (settings.cache_bytes / bytes + 1).min(MAX_COPIES) as usize
    }

    fn measure_twin(&self, settings: &Settings) -> Result<Timing> {
        let Self { format, rows, cols, batch, .. } = *self;
        let copies = self.copies(settings);
        if self.operation == Operation::Quantize {
            let weights = vec![data::repeated(&data::weights(rows, cols), rows * cols); copies];
            let mut bytes = vec![0; format.bytes_for(self.weights()) as usize];
            return time_work(settings, |turn| cpu::quantize(format, &weights[turn % copies], &mut bytes));
        }
        let matrices = vec![data::Blocks::new(format, rows, cols)?.rows(rows); copies];
        if self.operation == Operation::Dequantize {
            let mut weights = vec![0.0; rows * cols];
            return time_work(settings, |turn| {
                cpu::dequantize(format, &matrices[turn % copies], &mut weights)
            });
        }
        let (x, mut y) = (data::activations(batch, cols), vec![0.0; batch * rows]);
        time_work(settings, |turn| cpu::matmul(format, rows, cols, &matrices[turn % copies], &x, &mut y))
    }
}

/// The first `bytes` bytes of a buffer with usage `COPY_SRC`; waits for all that was submitted.
fn read(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    gpu.guarded(|| {
        let slice = buffer.slice(..bytes);
        wgpu::util::DownloadBuffer::read_buffer(gpu.device(), gpu.queue(), &slice, move |result| {
            // The receiver is gone only if waiting has failed.
            let _ = sender.send(result.map(|view| view.to_vec()));
        });
    })?;
    gpu.wait_for_all()?;
    let lost = || Error::DeviceLost {
        device: gpu.name().to_owned(),
        reason: "a buffer could not be mapped".to_owned(),
    };
    receiver.recv().ok().and_then(Result::ok).ok_or_else(lost)
}
