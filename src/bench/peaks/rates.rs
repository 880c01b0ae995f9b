//! The limits of a device, and what a measurement reaches of them.

use crate::bench::case::{Case, Operation};
use crate::bench::measure::Measurement;
use crate::gpu::Precision;

/// A device's limits, measured by kernels that do one thing only: for each, the best of five repetitions of
/// the fastest of several kernels.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Peaks {
    /// Bytes read plus bytes written per second when copying a buffer larger than the cache.
    pub copy: f64,
    /// Bytes per second when writing a buffer.
    pub write: f64,
    /// Bytes per second when reading a buffer, or a texture if weights are in textures and that is faster.
    pub read: f64,
    /// Bytes per second when reading a buffer.
    pub buffer_read: f64,
    /// f32 multiplications and additions per second.
    pub multiply_add: f64,
    /// Int8 multiplications and additions per second: by `dot4I8Packed`, or two products by one
    /// multiplication of words if that is faster; on the CPU by the instructions of the fast products, with
    /// codes of four bits.
    pub dot: Option<f64>,
    /// f16 multiplications and additions per second by cooperative matrices, on a device whose int8 products
    /// may use them.
    pub matrix: Option<f64>,
    /// Seconds of a nearly empty dispatch, in a pass of many that depend on each other; `None` on the CPU.
    pub launch: Option<f64>,
}

/// What a measurement reaches of the device's limits: 1 is all.
///
/// More than 1 means that a limit or [`Settings::cache_bytes`](crate::bench::Settings::cache_bytes) is wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shares {
    /// Of the memory's rate.
    pub memory: f64,
    /// Of the arithmetic; `None` for conversions, and where the arithmetic has no known limit.
    pub compute: Option<f64>,
}

/// A limit that was measured twice.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moved {
    /// Its name, such as `read`.
    pub name: &'static str,
    /// A second, before the other measurements.
    pub before: f64,
    /// And after them.
    pub after: f64,
}

impl Peaks {
    /// Peaks that move by more than this share were not measured on an idle machine.
    pub const STEADY: f64 = 0.1;

    /// Int8 multiplications and additions per second, by the fastest way: that of any int8 kernel.
    pub fn int8(&self) -> Option<f64> {
        self.dot.map(|dot| self.matrix.map_or(dot, |matrix| dot.max(matrix)))
    }

    /// Multiplications and additions per second that a product at this precision cannot exceed.
    pub fn compute(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::Exact => Some(self.multiply_add),
            Precision::Int8 => self.int8(),
        }
    }

    /// Bytes per second that an operation cannot exceed. Products read. Quantizing mostly reads, dequantizing
    /// mostly writes: for both it is the fastest of copying, reading and writing.
    pub fn memory(&self, operation: Operation) -> f64 {
        if operation.is_product() { self.read } else { self.copy.max(self.buffer_read).max(self.write) }
    }

    /// What a measurement at this precision reaches, by its median time.
    pub fn shares(&self, case: &Case, precision: Precision, measured: &Measurement) -> Shares {
        let seconds = measured.timing.best_clock().median();
        let compute = self.compute(precision).filter(|_| case.operation.is_product());
        Shares {
            memory: measured.bytes as f64 / seconds / self.memory(case.operation),
            compute: compute.map(|peak| measured.operations as f64 / seconds / peak),
        }
    }

    /// The rates by name; that of reading a buffer if it is another than that of reading. The launch is none:
    /// nothing is a share of it.
    pub fn rates(&self) -> Vec<(&'static str, f64)> {
        let rates = [
            ("copy", Some(self.copy)),
            ("write", Some(self.write)),
            ("read", Some(self.read)),
            ("buffer read", Some(self.buffer_read).filter(|rate| *rate < self.read)),
            ("multiply-add", Some(self.multiply_add)),
            ("int8 dot", self.dot),
            ("matrix", self.matrix),
        ];
        rates.into_iter().filter_map(|(name, rate)| Some((name, rate?))).collect()
    }

    /// The rates that have moved by more than [`Peaks::STEADY`] until `after` was measured.
    pub fn moved(&self, after: &Self) -> Vec<Moved> {
        let later = after.rates();
        let pairs = self.rates().into_iter().filter_map(|(name, before)| {
            let (_, after) = *later.iter().find(|(other, _)| *other == name)?;
            Some(Moved { name, before, after })
        });
        pairs.filter(|moved| (moved.after / moved.before - 1.0).abs() > Self::STEADY).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;
    use crate::bench::timing::{Samples, Timing};

    /// All rates differ, so that one in place of another is found.
    const PEAKS: Peaks = Peaks {
        copy: 100e9,
        write: 80e9,
        read: 120e9,
        buffer_read: 110e9,
        multiply_add: 1e12,
        dot: Some(4e12),
        matrix: Some(16e12),
        launch: Some(1e-6),
    };

    fn measured(bytes: u64, operations: u64, seconds: f64) -> Measurement {
        let timing = Timing { count: 1, wall: Samples(vec![seconds]), device: None };
        Measurement { timing, bytes, operations, copies: 1, accuracy: None }
    }

    #[test]
    fn shares_are_of_the_peak_of_the_same_arithmetic_and_of_the_same_traffic() {
        let case = |operation| Case { operation, format: Format::Q4_0, rows: 1, cols: 32, batch: 1 };
        let shares = |operation, precision, peaks: &Peaks| {
            peaks.shares(&case(operation), precision, &measured(60_000_000, 2_000_000_000, 1e-3))
        };
        let exact = shares(Operation::Matmul, Precision::Exact, &PEAKS);
        assert_eq!(exact, Shares { memory: 0.5, compute: Some(2.0) });
        // By matrix units int8 products may be faster than by any dot product, and by those than in f32.
        let int8 = shares(Operation::Matvec, Precision::Int8, &PEAKS);
        assert_eq!(int8, Shares { memory: 0.5, compute: Some(0.125) });
        let without_matrix = Peaks { matrix: None, ..PEAKS };
        assert_eq!(shares(Operation::Matvec, Precision::Int8, &without_matrix).compute, Some(0.5));
        let cpu = Peaks { dot: None, matrix: None, launch: None, ..PEAKS };
        assert_eq!(shares(Operation::Matvec, Precision::Int8, &cpu).compute, None);
        assert_eq!(shares(Operation::Matvec, Precision::Exact, &cpu).compute, Some(2.0));
        // Conversions read buffers, or write them, or both.
        for (peaks, memory) in [
            (PEAKS, 60.0 / 110.0),
            (Peaks { copy: 120e9, ..PEAKS }, 60.0 / 120.0),
            (Peaks { write: 240e9, ..PEAKS }, 60.0 / 240.0),
        ] {
            for operation in [Operation::Quantize, Operation::Dequantize] {
                let found = shares(operation, Precision::Exact, &peaks);
                assert!((found.memory - memory).abs() < 1e-12 && found.compute.is_none(), "{found:?}");
            }
        }
    }

    #[test]
    fn peaks_that_move_by_more_than_a_tenth_are_told() {
        assert_eq!(PEAKS.moved(&PEAKS), []);
        let after = Peaks { copy: 109e9, read: 107.9e9, dot: Some(4.41e12), launch: Some(9.0), ..PEAKS };
        let read = Moved { name: "read", before: 120e9, after: 107.9e9 };
        let dot = Moved { name: "int8 dot", before: 4e12, after: 4.41e12 };
        assert_eq!(PEAKS.moved(&after), [read, dot]);
    }
}
