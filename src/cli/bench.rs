//! `qmill bench`: how fast operations are on this machine.

mod earlier;
mod output;
mod record;

use super::failure::Failure;
use super::{device, show};
use clap::Args;
use earlier::Earlier;
use output::{Output, Style};
use qmill::bench::{Case, Operation, Peaks, Settings, Variant};
use qmill::gpu::DeviceChoice;
use qmill::{Device, FORMATS, Format};
use record::Machine;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

/// Measures operations on quantized weights: checks each answer against the CPU's, then times it.
///
/// Every list may be given with commas or by repeating the option; all combinations are measured. Weights rotate through copies
/// that no cache holds. GB/s count weights as a file holds them, vectors and results; the shares are those of the device's own
/// peaks, measured in the same run: of reading for products and of copying for conversions (memory), and of f32 multiply-add
/// (compute).
#[derive(Args)]
pub(crate) struct Bench {
    /// quantize, dequantize, matvec (batches up to 8), matmul (larger batches)
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "matvec,matmul")]
    op: Vec<Operation>,
    /// Formats, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "Q4_0,Q8_0,Q4_K,Q6_K")]
    format: Vec<Formats>,
    /// Shapes of the matrix, rows x columns
    #[arg(long, value_name = "MxK", value_delimiter = ',', default_value = "4096x14336")]
    shape: Vec<Shape>,
    /// Numbers of vectors, and ranges: 1-8, 1-8+2, 1-8*2
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1-8,512")]
    batch: Vec<Range>,
    /// How to multiply where there is a choice: exact or int8 (the kernel that is taken by itself, with vectors as f32 or in eight bits), a kernel's name
    /// or its beginning, as in `int8.subgroup`, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "exact,int8")]
    variant: Vec<String>,
    /// auto, gpu, cpu, or numbers or names from `qmill devices`
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    device: Vec<DeviceChoice>,
    /// Repetitions that count
    #[arg(short, long, value_name = "N", default_value_t = Settings::default().repetitions)]
    repetitions: usize,
    /// The largest cache, in which weights must not stay
    #[arg(long, value_name = "SIZE", value_parser = show::parse_bytes, default_value = "96M")]
    cache: u64,
    /// What to print
    #[arg(short, long, value_enum, default_value_t = Style::Md)]
    output: Style,
    /// Print how many times as fast each is as in this file, an earlier output as json, jsonl or csv
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Do not measure the device's peaks, which takes some seconds
    #[arg(long)]
    no_peaks: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings =
            Settings { repetitions: self.repetitions, cache_bytes: self.cache, ..Settings::default() };
        let earlier = self.compare.as_deref().map(Earlier::read).transpose()?;
        let cases = self.cases();
        let nothing = || Failure::Usage("there is nothing to measure".to_owned());
        if cases.is_empty() {
            return Err(nothing());
        }
        let mut output = Output::new(self.output, io::stdout().lock());
        let mut measured = 0;
        for choice in &self.device {
            let device = Device::open(choice, None)?;
            device::follow_tuning(&device);
            let peaks = match &device {
                Device::Gpu(gpu) if !self.no_peaks => Some(Peaks::measure(gpu, self.cache)?),
                _ => None,
            };
            let machine = Machine::of(&device, peaks);
            output.begin(&machine)?;
            for case in &cases {
                let variants = case.variants(&device);
                let is_only = variants.len() == 1;
                for variant in variants.into_iter().filter(|&variant| is_only || self.wants(variant)) {
                    let measurement = case.measure(&device, variant, &settings)?;
                    let named = (variant, variant.kernel(case, &device));
                    let mut record = machine.record(case, named, &settings, &measurement);
                    if let Some(earlier) = &earlier {
                        earlier.add_ratio(&mut record);
                    }
                    output.write(&record)?;
                    measured += 1;
                }
            }
        }
        output.end()?;
        if measured == 0 { Err(nothing()) } else { Ok(()) }
    }

    /// Whether a variant is named, or a part of its name that ends before a dot.
    fn wants(&self, variant: Variant) -> bool {
        let name = variant.to_string();
        self.variant.iter().any(|wanted| match name.strip_prefix(wanted.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('.') && wanted.contains('.'),
            None => wanted == "all" && !variant.is_automatic(),
        })
    }

    /// All combinations that there are.
    fn cases(&self) -> Vec<Case> {
        let batches: Vec<usize> = self.batch.iter().flat_map(|range| range.0.iter().copied()).collect();
        let mut cases = Vec::new();
        for &operation in &self.op {
            for format in self.format.iter().flat_map(|formats| formats.of(operation)) {
                for &Shape { rows, cols } in &self.shape {
                    let of_batch = |batch| Case { operation, format, rows, cols, batch };
                    match operation {
                        Operation::Quantize | Operation::Dequantize => cases.push(of_batch(1)),
                        Operation::Matvec | Operation::Matmul => {
                            let is_matvec = |batch: &usize| *batch <= Operation::MAX_VECTORS;
                            let batches = batches.iter().copied();
                            let batches =
                                batches.filter(|b| is_matvec(b) == (operation == Operation::Matvec));
                            cases.extend(batches.map(of_batch));
                        }
                    }
                }
            }
        }
        cases
    }
}

#[derive(Clone, Copy)]
pub(super) enum Formats {
    All,
    One(Format),
}

impl Formats {
    /// Those that an operation takes; one that was named is for the library to refuse.
    pub(super) fn of(self, operation: Operation) -> Vec<Format> {
        match self {
            Self::One(format) => vec![format],
            Self::All => {
                FORMATS.iter().map(|info| info.format).filter(|&format| operation.takes(format)).collect()
            }
        }
    }
}

impl FromStr for Formats {
    type Err = qmill::Error;

    fn from_str(text: &str) -> Result<Self, qmill::Error> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = text.split_once('x').and_then(|(rows, cols)| {
            Some(Self { rows: rows.trim().parse().ok()?, cols: cols.trim().parse().ok()? })
        });
        shape.ok_or_else(|| format!("{text:?} is not rows x columns, as in 4096x14336"))
    }
}

/// Numbers as llama-bench takes them: `8`, `1-8`, `1-8+2`, `1-8*2`.
#[derive(Clone)]
struct Range(Vec<usize>);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is not a number or a range, as in 1-8, 1-8+2 or 1-8*2");
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| fault());
        let Some((first, rest)) = text.split_once('-') else { return Ok(Self(vec![number(text)?])) };
        let (last, sum, factor) = if let Some((last, step)) = rest.split_once('+') {
            (last, number(step)?, 1)
        } else if let Some((last, factor)) = rest.split_once('*') {
            (last, 0, number(factor)?)
        } else {
            (rest, 1, 1)
        };
        let (first, last) = (number(first)?, number(last)?);
        let next = |&n: &usize| n.checked_mul(factor)?.checked_add(sum).filter(|&more| more > n);
        let numbers: Vec<usize> =
            std::iter::successors(Some(first), next).take_while(|&n| n <= last).take(1 << 16).collect();
        if numbers.is_empty() { Err(fault()) } else { Ok(Self(numbers)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_llama_bench_reads_them() {
        let numbers = |text: &str| text.parse::<Range>().map(|range| range.0);
        assert_eq!(numbers("512"), Ok(vec![512]));
        assert_eq!(numbers("1-4"), Ok(vec![1, 2, 3, 4]));
        assert_eq!(numbers("1-8+3"), Ok(vec![1, 4, 7]));
        assert_eq!(numbers("1-9*2"), Ok(vec![1, 2, 4, 8]));
        assert_eq!(numbers("3-9+0"), Ok(vec![3]));
        for wrong in ["", "x", "4-1", "1-", "1-8/2", "-3"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
