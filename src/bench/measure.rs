//! Measures a case on a device.

use super::case::{Case, Operation};
use super::product::Variant;
use super::timing::{Accuracy, Settings, Timing, time_work};
use super::{conversion, data, product};
use crate::{Device, Result, cpu};

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

impl Case {
    /// All variants for this case on a device. First the library's own choice at each precision.
    pub fn variants(&self, device: &Device) -> Vec<Variant> {
        product::variants(self, device)
    }

    /// Checks the result, and times the operation.
    ///
    /// Needs memory for the copies, and on the device 4 bytes for each weight of a conversion. Fails with
    /// [`Error::Number`](crate::Error::Number) and [`Error::RowLength`](crate::Error::RowLength) for an
    /// invalid shape; with [`Error::NotEncoded`](crate::Error::NotEncoded) if the format has no encoder; with
    /// [`Error::Inaccurate`](crate::Error::Inaccurate) and [`Error::Differs`](crate::Error::Differs) for a
    /// wrong result; and with errors of the device.
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
