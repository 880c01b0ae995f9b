//! What `--device auto` takes for a job, and why.

use super::device::{cache_folder, cpu_name, follow_tuning};
use super::failure::{Failure, on_one_line};
use qmill::bench::{Case, Operation, Settings};
use qmill::gpu::{Adapter, DeviceChoice, Precision, adapters};
use qmill::{Device, Format, cpu, wgpu};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

/// What a device is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    /// Quantizing, and other conversions.
    Quantize,
    /// Products and models at a precision.
    Multiply(Precision),
}

/// A device, and why `auto` took it.
pub(super) struct Chosen {
    pub(super) device: Device,
    /// Continues a sentence. `None` if the device was named.
    pub(super) reason: Option<String>,
}

/// The product that is measured, by the host's clock: a model has many that are small.
const PROBE: Case =
    Case { operation: Operation::Matmul, format: Format::Q4_0, rows: 1024, cols: 1024, batch: 1 };
/// The vectors of the second measurement: for a prompt as long as the answer.
const PROMPT: usize = 64;

/// Opens the device that `choice` names, with its cached pipelines and its tuning table.
pub(super) fn open(choice: &DeviceChoice, job: Job) -> Result<Chosen, Failure> {
    if *choice != DeviceChoice::Auto || is_named() {
        return Ok(Chosen { device: open_named(choice)?, reason: None });
    }
    choose(job)
}

/// Opens the device that `choice` names, and where `auto` chooses, notes what and why.
pub(super) fn open_with_note(choice: &DeviceChoice, job: Job) -> Result<Device, Failure> {
    let Chosen { device, reason } = open(choice, job)?;
    if let Some(reason) = reason {
        eprintln!("qmill: note: device: {device}, {reason}");
    }
    Ok(device)
}

/// Whether the environment names an adapter, for `auto` too.
fn is_named() -> bool {
    std::env::var("WGPU_ADAPTER_NAME").is_ok_and(|name| !name.is_empty())
}

fn open_named(choice: &DeviceChoice) -> Result<Device, Failure> {
    let device = Device::open(choice, cache_folder().as_deref())?;
    follow_tuning(&device);
    Ok(device)
}

/// A real GPU, if there is one. Otherwise the CPU quantizes, and whichever of the CPU and a software adapter
/// is faster multiplies.
fn choose(job: Job) -> Result<Chosen, Failure> {
    let chosen = |device, reason: String| Ok(Chosen { device, reason: Some(reason) });
    let device = open_named(&DeviceChoice::Auto)?;
    if matches!(device, Device::Gpu(_)) {
        return chosen(device, "the best GPU".to_owned());
    }
    let no_gpu = |more: &str| format!("because there is no GPU{more}");
    let (Job::Multiply(precision), Some(adapter)) = (job, software()) else {
        return chosen(device, no_gpu(""));
    };
    let name = adapter.handle.get_info().name;
    let measured = match Measured::read(&adapter) {
        Some(measured) => measured,
        None => Measured::measure(&adapter),
    };
    match measured.times(precision) {
        Some([cpu, software]) if software < cpu => {
            let reason = no_gpu(&format!(" and it is {:.1} times as fast as the CPU", cpu / software));
            chosen(open_named(&DeviceChoice::Gpu)?, reason)
        }
        Some([cpu, software]) => {
            chosen(device, no_gpu(&format!(" and it is {:.1} times as fast as {name}", software / cpu)))
        }
        None => chosen(device, no_gpu(&format!(" and {name} failed when it was measured"))),
    }
}

/// What `auto` takes for a job, without opening a device: `None` is the CPU. The reason is one for people.
pub(super) fn expected(adapters: &[Adapter], job: Job) -> (Option<usize>, String) {
    let is_software = |adapter: &&Adapter| adapter.handle.get_info().device_type == wgpu::DeviceType::Cpu;
    if adapters.iter().any(|adapter| !is_software(&adapter)) {
        return (best(adapters).map(|adapter| adapter.index), String::new());
    }
    let (Job::Multiply(precision), Some(adapter)) = (job, best(adapters)) else {
        return (None, String::new());
    };
    let name = adapter.handle.get_info().name;
    match Measured::read(adapter).map(|measured| measured.times(precision)) {
        None => (None, format!("the first time it is measured against {name}")),
        Some(Some([cpu, software])) if software < cpu => {
            (Some(adapter.index), format!("{:.1} times as fast as the CPU", cpu / software))
        }
        Some(Some([cpu, software])) => (None, format!("{:.1} times as fast as {name}", software / cpu)),
        Some(None) => (None, format!("{name} failed when it was measured")),
    }
}

/// Measures the CPU against the best software adapter, for later choices, and prints what they will be.
///
/// Fails if there is none: the CPU has no kernels to choose from.
pub(super) fn tune() -> Result<(), Failure> {
    let Some(adapter) = software() else {
        return Err(Failure::Usage("the CPU has no kernels to choose from".to_owned()));
    };
    Measured::measure(&adapter);
    for precision in [Precision::Int8, Precision::Exact] {
        let (index, reason) = expected(std::slice::from_ref(&adapter), Job::Multiply(precision));
        let name = if index.is_some() { &adapter.handle.get_info().name } else { "the CPU" };
        let precision = if precision == Precision::Int8 { "int8" } else { "exact" };
        writeln!(
            io::stdout(),
            "Where there is no GPU, auto takes {name} for {precision} products: {reason}"
        )?;
    }
    Ok(())
}

/// The adapter that `auto` prefers among these.
fn best(adapters: &[Adapter]) -> Option<&Adapter> {
    adapters.iter().min_by_key(|adapter| adapter.rank())
}

/// The best software adapter.
fn software() -> Option<Adapter> {
    let all = adapters();
    best(&all).filter(|adapter| adapter.handle.get_info().device_type == wgpu::DeviceType::Cpu).cloned()
}

/// Seconds of a prompt's and an answer's products on the CPU and on a software adapter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Measured {
    qmill: String,
    cpu: String,
    instructions: String,
    threads: usize,
    adapter: String,
    driver: String,
    /// On the CPU and on the adapter; `None` until both are measured, and if one failed.
    int8_seconds: Option<[f64; 2]>,
    exact_seconds: Option<[f64; 2]>,
}

impl Measured {
    /// Nothing measured yet.
    fn new(adapter: &Adapter) -> Self {
        let info = adapter.handle.get_info();
        Self {
            qmill: env!("CARGO_PKG_VERSION").to_owned(),
            cpu: cpu_name(),
            instructions: cpu::instruction_set().to_owned(),
            threads: thread::available_parallelism().map_or(1, usize::from),
            adapter: info.name,
            driver: format!("{} {}", info.driver, info.driver_info),
            int8_seconds: None,
            exact_seconds: None,
        }
    }

    fn path() -> Option<PathBuf> {
        cache_folder().map(|folder| folder.join("auto.json"))
    }

    /// What was measured earlier, on the same machine by the same qmill.
    fn read(adapter: &Adapter) -> Option<Self> {
        let read: Self = serde_json::from_slice(&fs::read(Self::path()?).ok()?).ok()?;
        let is_same = Self { int8_seconds: None, exact_seconds: None, ..read.clone() } == Self::new(adapter);
        is_same.then_some(read)
    }

    /// Remembers it. Where that is not possible, it is measured again.
    fn write(&self) {
        let Some(path) = Self::path() else { return };
        let written = path.parent().map(fs::create_dir_all).transpose().and_then(|_| {
            let partial = path.with_extension(format!("{}.part", std::process::id()));
            fs::write(&partial, serde_json::to_vec_pretty(self).unwrap_or_default())?;
            fs::rename(partial, path)
        });
        drop(written);
    }

    /// Measures for about a second.
    fn measure(adapter: &Adapter) -> Self {
        let mut measured = Self::new(adapter);
        // A driver may end the process: then this is found next time, and the CPU is taken.
        measured.write();
        let software = match Device::open(&DeviceChoice::Index(adapter.index), cache_folder().as_deref()) {
            Ok(device) => device,
            Err(error) => {
                eprintln!("qmill: note: {}", on_one_line(&error));
                return measured;
            }
        };
        let both = |precision| {
            let times = [&Device::Cpu, &software].map(|device| seconds(device, precision));
            let [cpu, software] = times;
            match (cpu, software) {
                (Ok(cpu), Ok(software)) => Some([cpu, software]),
                (Err(error), _) | (_, Err(error)) => {
                    eprintln!("qmill: note: {}", on_one_line(&error));
                    None
                }
            }
        };
        measured.int8_seconds = both(Precision::Int8);
        measured.exact_seconds = both(Precision::Exact);
        measured.write();
        measured
    }

    fn times(&self, precision: Precision) -> Option<[f64; 2]> {
        if precision == Precision::Int8 { self.int8_seconds } else { self.exact_seconds }
    }
}

/// Seconds of [`PROMPT`] products with a vector each, and one with as many vectors.
fn seconds(device: &Device, precision: Precision) -> qmill::Result<f64> {
    let settings = Settings::DEFAULT
        .with_repetitions(2)
        .with_repetition_time(Duration::from_millis(5))
        .with_cache_bytes(0);
    let of = |case: Case| {
        let variants = case.variants(device);
        let variant =
            variants.into_iter().find(|variant| variant.is_automatic() && variant.precision() == precision);
        // Both devices have both precisions.
        let Some(variant) = variant else { return Ok(f64::INFINITY) };
        Ok(case.measure(device, variant, &settings)?.timing.wall.min())
    };
    let prompt = of(Case { batch: PROMPT, ..PROBE })?;
    let token = of(Case { operation: Operation::Matvec, ..PROBE })?;
    Ok(prompt + PROMPT as f64 * token)
}
