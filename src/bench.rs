//! Measures the speed of operations and models, after checking their results.
//!
//! A [`Case`] is an operation on a format and a shape. [`Case::measure`] generates data, compares a sample of
//! the result with the CPU reference, and times the operation on weights that are in no cache: weights rotate
//! through copies, one more than fit the cache. [`Peaks`] are the device's own limits, measured by kernels
//! that do one thing only. [`time_ops`] times any other operations of an app. With the feature `llm`,
//! `ModelCase` measures models as llama-bench does.
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

/// The most copies of weights. Small weights would need too many.
const MAX_COPIES: u64 = 1024;
/// The rows and vectors of a result that are compared with the reference.
const CHECKED_ROWS: usize = 64;
const CHECKED_VECTORS: usize = 16;

/// The operation that is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Encodes f32 weights as blocks.
    Quantize,
    /// Decodes blocks to f32 weights.
    Dequantize,
    /// Multiplies a matrix by at most [`Operation::MAX_VECTORS`] vectors.
    Matvec,
    /// Multiplies a matrix by more vectors.
    Matmul,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Quantize, Self::Dequantize, Self::Matvec, Self::Matmul];
    /// The most vectors of `matvec`; with more it is a `matmul`.
    pub const MAX_VECTORS: usize = 8;

    /// The name, for example `matvec`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Dequantize => "dequantize",
            Self::Matvec => "matvec",
            Self::Matmul => "matmul",
        }
    }

    /// Whether the operation exists for a format: some formats have no encoder, and F32 is not converted to
    /// itself.
    pub fn takes(self, format: Format) -> bool {
        match self {
            Self::Quantize => format.info().can_quantize() && format != Format::F32,
            Self::Dequantize => format != Format::F32,
            Self::Matvec | Self::Matmul => true,
        }
    }

    /// Whether it is a product, which has vectors.
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
    /// The operation.
    pub operation: Operation,
    /// The format of the weights.
    pub format: Format,
    /// Rows of the matrix: m.
    pub rows: usize,
    /// Columns of the matrix, whole blocks: k.
    pub cols: usize,
    /// Vectors: n. Ignored by conversions.
    pub batch: usize,
}

/// The result of a measurement.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// The times.
    pub timing: Timing,
    /// Bytes that one operation must read and write: weights as in a file, vectors and results as f32.
    pub bytes: u64,
    /// Multiplications and additions of one operation, 2·m·n·k; 0 for conversions.
    pub operations: u64,
    /// The number of copies that the weights rotated through.
    pub copies: usize,
    /// The error against the CPU reference; `None` for the reference itself.
    pub accuracy: Option<Accuracy>,
}

/// The error of a result against the CPU reference.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Accuracy {
    /// The largest error found, as a fraction of Σ|wᵢxᵢ|; 0 for conversions, which are exact.
    pub error: f64,
    /// The largest error allowed.
    pub bound: f64,
}

impl Case {
    /// All variants for this case on a device. First the library's own choice at each precision.
    pub fn variants(&self, device: &Device) -> Vec<Variant> {
        product::variants(self, device)
    }

    /// Checks the result, and times the operation.
    ///
    /// Needs memory for the copies, and on the device 4 bytes for each weight of a conversion. Fails with
    /// [`Error::Number`] and [`Error::RowLength`] for an invalid shape; with [`Error::NotEncoded`] if the
    /// format has no encoder; with [`Error::Inaccurate`] and [`Error::Differs`] for a wrong result; and with
    /// errors of the device.
    pub fn measure(&self, device: &Device, variant: Variant, settings: &Settings) -> Result<Measurement> {
        self.check()?;
        let (timing, accuracy) = match (device, self.operation) {
            (Device::Cpu, _) => (self.measure_reference(settings)?, None),
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

    /// One more copy than fits the cache.
    fn copies(&self, settings: &Settings) -> usize {
        let bytes =
            if self.operation.is_product() { self.format.bytes_for(self.weights()) } else { self.bytes() };
        (settings.cache_bytes / bytes + 1).min(MAX_COPIES) as usize
    }

    fn measure_reference(&self, settings: &Settings) -> Result<Timing> {
        let Self { format, rows, cols, batch, .. } = *self;
        let copies = self.copies(settings);
        if self.operation == Operation::Quantize {
            let weights = vec![data::repeated(&data::weights(rows, cols), rows * cols); copies];
            let mut bytes = vec![0; format.bytes_for(self.weights()) as usize];
            return time_work(settings, |i| cpu::quantize(format, &weights[i % copies], &mut bytes));
        }
        let matrices = vec![data::Blocks::new(format, rows, cols)?.rows(rows); copies];
        if self.operation == Operation::Dequantize {
            let mut weights = vec![0.0; rows * cols];
            return time_work(settings, |i| cpu::dequantize(format, &matrices[i % copies], &mut weights));
        }
        let (x, mut y) = (data::activations(batch, cols), vec![0.0; batch * rows]);
        time_work(settings, |i| cpu::matmul(format, rows, cols, &matrices[i % copies], &x, &mut y))
    }
}

/// Reads the first `bytes` bytes of a buffer with usage `COPY_SRC`, after all submitted work.
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
