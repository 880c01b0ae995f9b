//! Converts batches of rows: by the CPU reference, or by a GPU that the reference checks and replaces if it
//! fails.

use super::Verify;
use crate::gpu::Converter;
use crate::{Device, Error, Format, Result, cpu};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Weights that are compared at a time.
const SAMPLE_WEIGHTS: u64 = 4096;
/// [`Verify::Sample`] compares one of this many samples.
const SAMPLE_STRIDE: usize = 16;

/// The sums over all engines of a run.
#[derive(Default, Debug)]
pub(super) struct Tally {
    /// Why the device was given up, if it was.
    pub(super) given_up: OnceLock<String>,
    pub(super) redone_weights: AtomicU64,
    pub(super) verified_weights: AtomicU64,
}

/// The converter of one worker thread.
pub(super) struct Engine<'a> {
    converter: Option<Converter>,
    verify: Verify,
    tally: &'a Tally,
}

impl<'a> Engine<'a> {
    /// An engine on `device`. Its device buffers take about `memory_bytes` at most.
    pub(super) fn new(device: &Device, memory_bytes: u64, verify: Verify, tally: &'a Tally) -> Self {
        let converter = match device {
            Device::Cpu => None,
            Device::Gpu(gpu) => Some(Converter::new(gpu, memory_bytes)),
        };
        Self { converter, verify, tally }
    }

    /// The device's name.
    pub(super) fn device(&self) -> String {
        let gpu = self.converter.as_ref().map(|converter| converter.gpu().name());
        gpu.unwrap_or("the CPU").to_owned()
    }

    /// Converts whole blocks. Returns the first weight that differs from the CPU reference, if any was found.
    ///
    /// A device that fails is given up: the CPU reference converts this batch again, and all further ones.
    pub(super) fn convert(
        &mut self,
        from: Format,
        input: &[u8],
        to: Format,
        output: &mut [u8],
    ) -> Result<Option<usize>> {
        if self.tally.given_up.get().is_some() {
            self.converter = None;
        }
        let Some(converter) = &mut self.converter else {
            cpu::convert(from, input, to, output);
            return Ok(None);
        };
        match converter.convert(from, input, to, output) {
            Ok(converted) => {
                self.tally.redone_weights.fetch_add(converted.redone_weights, Ordering::Relaxed);
                Ok(self.first_difference(from, input, to, output))
            }
            Err(
                error @ (Error::DeviceLost { .. }
                | Error::DeviceMemory { .. }
                | Error::Device { .. }
                | Error::Inexact { .. }),
            ) => {
                // The first reason is reported.
                let _ = self.tally.given_up.set(error.to_string());
                self.converter = None;
                cpu::convert(from, input, to, output);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first weight of `output` that differs from the CPU reference, among those that are compared.
    fn first_difference(&self, from: Format, input: &[u8], to: Format, output: &[u8]) -> Option<usize> {
        if self.verify == Verify::Off {
            return None;
        }
        let bytes = |format: Format| format.bytes_for(SAMPLE_WEIGHTS) as usize;
        let samples = input.chunks(bytes(from)).zip(output.chunks(bytes(to))).enumerate();
        let mut expected = vec![0; bytes(to)];
        for (number, (input, output)) in samples {
            let is_checked = self.verify == Verify::All || number % SAMPLE_STRIDE == 0;
            if !is_checked {
                continue;
            }
            let expected = &mut expected[..output.len()];
            cpu::convert(from, input, to, expected);
            let weights = input.len() / from.info().block_bytes * from.info().block_weights;
            self.tally.verified_weights.fetch_add(weights as u64, Ordering::Relaxed);
            if expected != output {
                let byte = expected.iter().zip(output).position(|(a, b)| a != b).unwrap_or_default();
                let block = byte / to.info().block_bytes;
                return Some(number * SAMPLE_WEIGHTS as usize + block * to.info().block_weights);
            }
        }
        None
    }
}
