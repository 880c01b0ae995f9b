//! `qmill devices`: the adapters and their numbers for `--device`.

use super::auto::{self, Job};
use super::device::cpu_name;
use super::failure::Failure;
use super::show;
use clap::Args;
use qmill::cpu;
use qmill::gpu::{Adapter, Precision, adapters};
use qmill::wgpu::{AdapterInfo, DeviceType, Features};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::thread;

/// Lists the adapters that can compute, with their features and limits, and the CPU; and what --device auto
/// takes for what.
///
/// `WGPU_BACKEND` (vulkan, dx12, metal) selects the backends, and `WGPU_ADAPTER_NAME` the adapter that is
/// used unless --device names one.
#[derive(Args)]
pub(crate) struct Devices {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let adapters = adapters();
        let mut out = io::stdout().lock();
        if self.json {
            let list: Vec<Value> = adapters.iter().map(to_json).collect();
            let auto = |job| {
                let (index, reason) = auto::expected(&adapters, job);
                json!({ "device": index.map_or(json!("cpu"), |index| json!(index)), "reason": reason })
            };
            let cpu = json!({
                "name": cpu_name(),
                "threads": threads(),
                "instructions": cpu::instruction_set(),
            });
            let auto = json!({
                "quantize": auto(Job::Quantize),
                "multiply": auto(Job::Multiply(Precision::Int8)),
                "multiply_exact": auto(Job::Multiply(Precision::Exact)),
            });
            writeln!(out, "{}", json!({ "devices": list, "cpu": cpu, "auto": auto }))?;
            return Ok(());
        }
        write_all(&mut out, &adapters)?;
        Ok(())
    }
}

/// Lists the values of `--device`.
pub(super) fn list() -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(write_all(&mut out, &adapters())?)
}

/// What `auto` takes a device for, the names of jobs for people.
const JOBS: [(&str, Job); 3] = [
    ("quantizing", Job::Quantize),
    ("products and models", Job::Multiply(Precision::Int8)),
    ("exact products", Job::Multiply(Precision::Exact)),
];

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// All adapters and the CPU, each with what `auto` takes it for.
fn write_all(out: &mut impl Write, adapters: &[Adapter]) -> io::Result<()> {
    let chosen = JOBS.map(|(name, job)| (name, auto::expected(adapters, job)));
    let write_jobs = |out: &mut dyn Write, device: Option<usize>| -> io::Result<()> {
        let jobs = chosen.iter().filter(|(_, (chosen, _))| *chosen == device);
        let jobs = jobs.map(|(name, (_, reason))| match &reason[..] {
            "" => (*name).to_owned(),
            reason => format!("{name} ({reason})"),
        });
        let jobs = jobs.collect::<Vec<_>>().join(", ");
        if jobs.is_empty() { Ok(()) } else { writeln!(out, "   auto: {jobs}") }
    };
    for adapter in adapters {
        write_text(out, adapter)?;
        write_jobs(out, Some(adapter.index))?;
    }
    writeln!(out, "cpu: {}", cpu_name())?;
    writeln!(out, "   {}, {}", show::counted(threads(), "thread"), cpu::instruction_set())?;
    write_jobs(out, None)
}

/// The features that make kernels faster, and whether an adapter has them.
fn features(adapter: &Adapter) -> Vec<(&'static str, bool)> {
    let features = adapter.handle.features();
    [
        ("f16", Features::SHADER_F16),
        ("subgroups", Features::SUBGROUP),
        ("timestamps", Features::TIMESTAMP_QUERY),
        ("pipeline_cache", Features::PIPELINE_CACHE),
        ("cooperative_matrix", Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ]
    .into_iter()
    .map(|(name, feature)| (name, features.contains(feature)))
    .collect()
}

fn kind(info: &AdapterInfo) -> &'static str {
    match info.device_type {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software on the CPU",
        DeviceType::Other => "other",
    }
}

fn write_text(out: &mut impl Write, adapter: &Adapter) -> io::Result<()> {
    let (info, limits) = (adapter.handle.get_info(), adapter.handle.limits());
    writeln!(out, "{}: {}", adapter.index, info.name)?;
    writeln!(out, "   {}, {}, driver {} {}", kind(&info), info.backend, info.driver, info.driver_info)?;
    // Every adapter multiplies packed bytes. WGSL does not say whether it takes one instruction.
    let mut has = vec!["packed int8 dot".to_owned()];
    for (name, _) in features(adapter).into_iter().filter(|(_, present)| *present) {
        has.push(match name {
            "subgroups" => format!("subgroups of {} to {}", info.subgroup_min_size, info.subgroup_max_size),
            name => name.replace('_', " "),
        });
    }
    writeln!(out, "   {}", has.join(", "))?;
    let invocations = limits.max_compute_invocations_per_workgroup;
    let shared = show::bytes(limits.max_compute_workgroup_storage_size.into());
    let (buffer, binding) =
        (show::bytes(limits.max_buffer_size), show::bytes(limits.max_storage_buffer_binding_size));
    writeln!(out, "   buffers of {buffer}, bindings of {binding}, workgroups of {invocations} with {shared}")
}

fn to_json(adapter: &Adapter) -> Value {
    let (info, limits) = (adapter.handle.get_info(), adapter.handle.limits());
    let features: serde_json::Map<_, _> =
        features(adapter).into_iter().map(|(name, present)| (name.to_owned(), json!(present))).collect();
    json!({
        "index": adapter.index,
        "name": info.name,
        "backend": info.backend.to_string(),
        "type": kind(&info),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "vendor_id": info.vendor,
        "device_id": info.device,
        "features": features,
        "subgroup_min_size": info.subgroup_min_size,
        "subgroup_max_size": info.subgroup_max_size,
        "max_buffer_bytes": limits.max_buffer_size,
        "max_binding_bytes": limits.max_storage_buffer_binding_size,
        "max_workgroup_invocations": limits.max_compute_invocations_per_workgroup,
        "max_workgroup_bytes": limits.max_compute_workgroup_storage_size,
    })
}
