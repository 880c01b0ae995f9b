//! Measures operations on quantized weights.

use super::common::{Common, nothing};
use super::earlier::{Earlier, Keys};
use super::numbers::{Range, numbers};
use super::output::{Column, Output, Table};
use super::record::{Machine, Record, iso_time, object, rounded, text, with_digits};
use crate::cli::failure::Failure;
use crate::cli::words::{self, Words};
use crate::cli::{device, show};
use clap::Args;
use qmill::bench::{Case, Measurement, Operation, Peaks, Settings, Variant};
use qmill::{Device, FORMATS, Format};
use serde_json::json;
use std::io;
use std::str::FromStr;
use std::time::SystemTime;

#[derive(Args)]
#[group(conflicts_with = "model")]
#[command(next_help_heading = "Operations")]
pub(super) struct Operations {
    /// quantize, dequantize, matvec (batches up to 8), matmul (larger batches)
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "matvec,matmul")]
    #[arg(value_parser = Words::<Operation>::of(operations), hide_possible_values = true)]
    op: Vec<Operation>,
    /// Formats, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "Q4_0,Q8_0,Q4_K,Q6_K")]
    #[arg(value_parser = Words::<Formats>::of(words::formats_or_all), hide_possible_values = true)]
    format: Vec<Formats>,
    /// Shapes of the matrix, rows x columns
    #[arg(long, value_name = "MxK", value_delimiter = ',', default_value = "4096x14336")]
    shape: Vec<Shape>,
    /// Numbers of vectors, or ranges: 1-8, 1-8+2, 1-8*2
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1-8,512")]
    batch: Vec<Range>,
    /// Kernels of products: exact or int8 (the kernel chosen by default, with activations as f32 or in eight
    /// bits), a kernel's name or the start of one, as in `int8.subgroup`, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "exact,int8")]
    variant: Vec<String>,
    /// Multiply by quantized weights in the layout of a file, not in that for a GPU
    #[arg(long)]
    as_in_file: bool,
    /// Size of the largest cache, which the weights must exceed
    #[arg(long, value_name = "SIZE", value_parser = show::parse_bytes, default_value = "96M")]
    cache: u64,
    /// Do not measure the device's peaks, which takes a few seconds
    #[arg(long)]
    no_peaks: bool,
}

fn operations() -> Vec<&'static str> {
    Operation::ALL.map(Operation::name).into()
}

const KEYS: Keys =
    Keys { same: &["op", "format", "m", "n", "k", "variant", "gpu_info", "backends"], time: "median_ns" };

impl Operations {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let settings = Settings::DEFAULT
            .with_repetitions(common.repetitions)
            .with_cache_bytes(self.cache)
            .with_as_in_file(self.as_in_file);
        let earlier = common.compare.as_deref().map(|path| Earlier::read(path, &KEYS)).transpose()?;
        let cases = self.cases();
        if cases.is_empty() {
            return Err(nothing());
        }
        let table = Table { name: "qmill_bench_operations", columns: columns() };
        let mut output = Output::new(common.output, table, io::stdout().lock());
        let mut measured = 0;
        for choice in &common.device {
            let device = Device::open(choice, None)?;
            device::follow_tuning(&device);
            let peaks = match &device {
                Device::Gpu(gpu) if !self.no_peaks => Some(Peaks::measure(gpu, self.cache)?),
                _ => None,
            };
            let machine = Machine::of(&device);
            output.begin(&title(&machine, peaks.as_ref()))?;
            for case in &cases {
                let variants = case.variants(&device);
                let is_only = variants.len() == 1;
                for variant in variants.into_iter().filter(|&variant| is_only || self.wants(variant)) {
                    let measurement = case.measure(&device, variant, &settings)?;
                    let mut record = machine.values.clone();
                    record.extend(of_peaks(peaks.as_ref()));
                    let named = (variant, variant.kernel(case, &device));
                    record.extend(of_case(case, named, &settings, &measurement, peaks.as_ref()));
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

    /// Whether the options name this variant, or a part of its name that ends before a dot.
    fn wants(&self, variant: Variant) -> bool {
        let name = variant.to_string();
        self.variant.iter().any(|wanted| match name.strip_prefix(wanted.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('.') && wanted.contains('.'),
            None => wanted == "all" && !variant.is_automatic(),
        })
    }

    /// All combinations of the options.
    fn cases(&self) -> Vec<Case> {
        let batches = numbers(&self.batch);
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

/// The device and its peaks.
fn title(machine: &Machine, peaks: Option<&Peaks>) -> String {
    let title = machine.title("1");
    let Some(peaks) = peaks else { return title };
    let [copy, read, buffer] = [peaks.copy, peaks.read, peaks.buffer_read].map(|rate| rate / 1e9);
    let buffer =
        if peaks.buffer_read < peaks.read { format!(" ({buffer:.1} of a buffer)") } else { String::new() };
    let (multiply_add, dot) = (peaks.multiply_add / 1e9, peaks.dot / 1e9);
    format!(
        "{title}\npeaks: copy {copy:.1} GB/s, read {read:.1} GB/s{buffer}, \
         multiply-add {multiply_add:.1} GFLOP/s, int8 dot {dot:.1} GOP/s, launch {:.1} µs",
        peaks.launch * 1e6
    )
}

fn of_peaks(peaks: Option<&Peaks>) -> Record {
    let rate = |rate: fn(&Peaks) -> f64| peaks.map(|peaks| rounded(rate(peaks)));
    object(json!({
        "peak_copy_gb_s": rate(|peaks| peaks.copy / 1e9),
        "peak_read_gb_s": rate(|peaks| peaks.read / 1e9),
        "peak_buffer_read_gb_s": rate(|peaks| peaks.buffer_read / 1e9),
        "peak_multiply_add_gflop_s": rate(|peaks| peaks.multiply_add / 1e9),
        "peak_dot_gop_s": rate(|peaks| peaks.dot / 1e9),
        "launch_ns": rate(|peaks| peaks.launch * 1e9),
    }))
}

fn of_case(
    case: &Case,
    (variant, kernel): (Variant, Option<String>),
    settings: &Settings,
    measured: &Measurement,
    peaks: Option<&Peaks>,
) -> Record {
    let (timing, clock) = (&measured.timing, measured.timing.best_clock());
    let ns = |seconds: f64| (seconds * 1e9).round() as u64;
    let bytes_rate = measured.bytes as f64 / clock.median();
    let operations_rate = measured.operations as f64 / clock.median();
    let product = case.operation.is_product();
    // Only quantized weights on a GPU have a layout of their own.
    let is_of_file = settings.as_in_file && kernel.is_some() && !case.format.is_float();
    let share = |rate: f64, peak: fn(&Peaks) -> f64| peaks.map(|peaks| rounded(rate / peak(peaks)));
    let memory_share = share(bytes_rate, if product { |peaks| peaks.read } else { |peaks| peaks.copy });
    let compute_share = share(operations_rate, |peaks| peaks.multiply_add).filter(|_| product);
    object(json!({
        "test_time": iso_time(SystemTime::now()),
        "op": case.operation.name(),
        "format": case.format.name(),
        "m": case.rows,
        "n": if product { case.batch } else { 1 },
        "k": case.cols,
        "variant": if is_of_file { format!("{variant}.file") } else { variant.to_string() },
        "kernel": kernel,
        "clock": if timing.device.is_some() { "device" } else { "host" },
        "avg_ns": ns(clock.mean()),
        "stddev_ns": ns(clock.deviation()),
        "median_ns": ns(clock.median()),
        "min_ns": ns(clock.min()),
        "max_ns": ns(clock.max()),
        "wall_ns": ns(timing.wall.median()),
        "runs": timing.count,
        "bytes": measured.bytes,
        "gb_s": rounded(bytes_rate / 1e9),
        "gflop_s": product.then(|| rounded(operations_rate / 1e9)),
        "memory_share": memory_share,
        "compute_share": compute_share,
        "error": measured.accuracy.map(|accuracy| accuracy.error),
        "error_bound": measured.accuracy.map(|accuracy| accuracy.bound),
        "copies": measured.copies,
        "cache_bytes": settings.cache_bytes,
        "samples_ns": clock.values().iter().map(|&seconds| ns(seconds)).collect::<Vec<_>>(),
    }))
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("op", 10, |record| text(&record["op"])),
        Column::new("format", 7, |record| text(&record["format"])),
        Column::new("m", 5, |record| text(&record["m"])),
        Column::new("n", 4, |record| text(&record["n"])),
        Column::new("k", 5, |record| text(&record["k"])),
        Column::new("variant", 34, |record| text(&record["variant"])),
        Column::new("µs", 10, |record| with_digits(&record["median_ns"], 1e-3, 1)),
        Column::new("±", 8, |record| with_digits(&record["stddev_ns"], 1e-3, 1)),
        Column::new("GB/s", 7, |record| with_digits(&record["gb_s"], 1.0, 2)),
        Column::new("GFLOP/s", 8, |record| with_digits(&record["gflop_s"], 1.0, 2)),
        Column::new("memory %", 8, |record| with_digits(&record["memory_share"], 100.0, 1)),
        Column::new("compute %", 9, |record| with_digits(&record["compute_share"], 100.0, 1)),
        Column::new("error", 16, |record| {
            let error = record["error"].as_f64();
            error.map_or_else(String::new, |error| {
                format!("{error:.1e} ≤ {:.0e}", record["error_bound"].as_f64().unwrap_or_default())
            })
        }),
    ]
}

#[derive(Clone, Copy)]
pub(crate) enum Formats {
    All,
    One(Format),
}

impl Formats {
    /// The formats that an operation takes. A single format is returned in any case; the library may refuse
    /// it.
    pub(crate) fn of(self, operation: Operation) -> Vec<Format> {
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
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
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
