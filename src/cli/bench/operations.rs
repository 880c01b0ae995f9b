//! Measures operations on quantized weights.

use super::common::{Common, nothing};
use super::earlier::Earlier;
use super::numbers::{Range, numbers};
use super::operation_record::{KEYS, columns, of_case};
use super::output::{Output, Table};
use super::peaks;
use super::record::Machine;
use crate::cli::auto::{self, Job};
use crate::cli::failure::Failure;
use crate::cli::progress::{Bar, Stop};
use crate::cli::show;
use crate::cli::words::{self, Words};
use clap::Args;
use qmill::bench::{Case, Operation, Peaks, Settings, Variant};
use qmill::gpu::Precision;
use qmill::{Device, FORMATS, Format};
use serde_json::json;
use std::io::{self, Write};
use std::str::FromStr;

#[derive(Args)]
#[group(id = "Operations", conflicts_with = "model")]
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
    /// bits; on the CPU exact is the reference, and f32 the fast product with float weights), a kernel's
    /// name or the start of one, as in `int8.subgroup`, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "exact,int8,f32")]
    variant: Vec<String>,
    /// Multiply by quantized weights in the layout of a file, not in that for a GPU
    #[arg(long)]
    as_in_file: bool,
    /// Size of the largest cache, which the weights must exceed
    #[arg(long, value_name = "SIZE", value_parser = show::parse_bytes, default_value = "96M")]
    cache: u64,
    /// Do not measure the device's peaks, which takes a few seconds before and after
    #[arg(long)]
    no_peaks: bool,
}

/// A device, and how it is measured.
struct Run<'a> {
    device: &'a Device,
    settings: Settings,
    earlier: Option<&'a Earlier>,
    stop: &'a Stop,
}

fn operations() -> Vec<&'static str> {
    Operation::ALL.map(Operation::name).into()
}

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
        let stop = Stop::new()?;
        let mut measured = 0;
        for choice in &common.device {
            let device = auto::open_with_note(choice, self.job())?;
            let is_cpu = matches!(device, Device::Cpu);
            for threads in if is_cpu { common.thread_counts() } else { vec![None] } {
                let settings = settings.with_threads(threads).with_as_in_file(self.as_in_file && !is_cpu);
                let run = Run { device: &device, settings, earlier: earlier.as_ref(), stop: &stop };
                measured += self.run_on(&run, &cases, &mut output)?;
            }
        }
        output.end()?;
        if stop.is_set() {
            return Err(Failure::Interrupted);
        }
        if measured == 0 { Err(nothing()) } else { Ok(()) }
    }

    /// Measures on a device, and returns the number of measurements.
    fn run_on(&self, run: &Run, cases: &[Case], output: &mut Output<impl Write>) -> Result<usize, Failure> {
        let Run { device, settings, stop, .. } = run;
        let measure_peaks = || (!self.no_peaks).then(|| Peaks::measure(device, settings)).transpose();
        let cases: Vec<(&Case, Vec<Variant>)> =
            cases.iter().map(|case| (case, self.variants(case, device))).collect();
        let count = cases.iter().map(|(_, variants)| variants.len()).sum();
        if count == 0 {
            return Ok(0);
        }
        let bar = Bar::new(count);
        bar.tell("peaks");
        let before = measure_peaks()?;
        let mut machine = Machine::of(device);
        machine.values.insert("n_threads".to_owned(), json!(settings.threads));
        bar.suspend(|| {
            let title = machine.title(&settings.threads.map_or_else(String::new, |count| count.to_string()));
            let peaks = before.as_ref().map(|before| peaks::line("\npeaks", before));
            output.begin(&format!("{title}{}", peaks.unwrap_or_default()))
        })?;
        let mut records = Vec::new();
        let mut result = Ok(());
        for (case, variants) in cases {
            if stop.is_set() {
                break;
            }
            bar.tell(&format!("{} {}", case.operation, case.format));
            let measured = match case.measure_in_turns(device, &variants, settings) {
                Ok(measured) => measured,
                Err(error) => {
                    // What was measured until then is printed.
                    result = Err(error.into());
                    break;
                }
            };
            bar.advance(variants.len());
            for (variant, measured) in variants.into_iter().zip(&measured) {
                let mut record = machine.values.clone();
                record.extend(peaks::before(before.as_ref()));
                let named = (variant, variant.kernel(case, device));
                record.extend(of_case(case, named, settings, measured, before.as_ref()));
                if let Some(earlier) = run.earlier {
                    earlier.add_ratios(&mut record);
                }
                if output.has_rows() {
                    bar.suspend(|| output.write(&record))?;
                }
                records.push(record);
            }
        }
        bar.tell("peaks");
        let after =
            if stop.is_set() || result.is_err() || records.is_empty() { None } else { measure_peaks()? };
        bar.finish();
        if stop.is_set() {
            eprintln!(
                "qmill: interrupted after {} of {count} measurements, which are printed",
                records.len()
            );
        }
        if let Some(before) = &before {
            let warnings = peaks::warnings(before, after.as_ref(), &records);
            for warning in &warnings {
                eprintln!("qmill: warning: {warning}");
            }
            let line = after.as_ref().map(|after| peaks::line("peaks after", after));
            let warnings = warnings.into_iter().map(|warning| format!("Warning: {warning}."));
            output.notes(&line.into_iter().chain(warnings).collect::<Vec<_>>())?;
        }
        if !output.has_rows() {
            for record in &mut records {
                record.extend(peaks::after(after.as_ref()));
                output.write(record)?;
            }
        }
        result.map(|()| records.len())
    }

    /// What `auto` chooses a device for.
    fn job(&self) -> Job {
        if self.op.iter().any(|operation| operation.is_product()) {
            let is_exact = self.variant.iter().all(|name| name.starts_with("exact"));
            Job::Multiply(if is_exact { Precision::Exact } else { Precision::Int8 })
        } else {
            Job::Quantize
        }
    }

    /// The variants of a case that are measured.
    fn variants(&self, case: &Case, device: &Device) -> Vec<Variant> {
        let variants = case.variants(device);
        let is_only = variants.len() == 1;
        variants.into_iter().filter(|&variant| is_only || self.wants(variant)).collect()
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
