//! Measures a case on a device.

use super::case::{Case, Operation};
use super::product::{self, Variant};
use super::timing::{Accuracy, Settings, Timing};
use super::{conversion, cpu_conversion, cpu_product};
use crate::{Device, Result};

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
        Ok(self.measure_in_turns(device, &[variant], settings)?.remove(0))
    }

    /// Checks the result of each variant, and times them on the same data. The repetitions of products
    /// take turns, so that what slows the device down for a while does so for all variants.
    ///
    /// Fails as [`Case::measure`] does.
    pub fn measure_in_turns(
        &self,
        device: &Device,
        variants: &[Variant],
        settings: &Settings,
    ) -> Result<Vec<Measurement>> {
        self.check()?;
        let each = |measure: &dyn Fn() -> Result<(Timing, Option<Accuracy>)>| {
            variants.iter().map(|_| measure()).collect::<Result<Vec<_>>>()
        };
        let timings = match (device, self.operation) {
            (Device::Cpu, operation) if operation.is_product() => {
                cpu_product::measure(self, variants, settings)?
            }
            (Device::Cpu, _) => each(&|| Ok((cpu_conversion::measure(self, settings)?, None)))?,
            (Device::Gpu(gpu), Operation::Quantize) => each(&|| conversion::quantize(self, gpu, settings))?,
            (Device::Gpu(gpu), Operation::Dequantize) => {
                each(&|| conversion::dequantize(self, gpu, settings))?
            }
            (Device::Gpu(gpu), _) => {
                let measured = product::Data::new(self, gpu, settings)?.measure(variants, settings)?;
                measured.into_iter().map(|(timing, accuracy)| (timing, Some(accuracy))).collect()
            }
        };
        let measurement = |(timing, accuracy)| Measurement {
            timing,
            bytes: self.bytes(),
            operations: if self.operation.is_product() { 2 * self.weights() * self.batch as u64 } else { 0 },
            copies: self.copies(settings),
            accuracy,
        };
        Ok(timings.into_iter().map(measurement).collect())
    }
}
