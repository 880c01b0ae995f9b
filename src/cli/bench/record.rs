//! One measurement as named values, the same in every output format.

use super::system;
use crate::cli::device::cpu_name;
use qmill::wgpu::Features;
use qmill::{Device, Gpu};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names and values in the order of the output. The names are those of llama-bench, if it has them.
pub(super) type Record = Map<String, Value>;

/// The commit, from `QMILL_COMMIT` at build time, or else the release.
const BUILD_COMMIT: &str = match option_env!("QMILL_COMMIT") {
    Some(commit) => commit,
    None => concat!("v", env!("CARGO_PKG_VERSION")),
};

/// The machine that measures.
pub(super) struct Machine {
    is_cpu: bool,
    /// The values that each record has.
    pub(super) values: Record,
}

impl Machine {
    pub(super) fn of(device: &Device) -> Self {
        let (name, backend, driver, features) = match device {
            Device::Cpu => (String::new(), "CPU".to_owned(), String::new(), String::new()),
            Device::Gpu(gpu) => {
                let info = gpu.device().adapter_info();
                let driver = format!("{} {}", info.driver, info.driver_info);
                (info.name, info.backend.to_string(), driver.trim().to_owned(), feature_line(gpu))
            }
        };
        let values = object(json!({
            "build_commit": BUILD_COMMIT,
            "build_version": env!("CARGO_PKG_VERSION"),
            "cpu_info": cpu_name(),
            "gpu_info": name,
            "backends": backend,
            "driver": driver,
            "features": features,
            "os": system::os(),
            "cpu_cores": system::cpu_cores(),
            "memory_bytes": system::memory_bytes(),
        }));
        Self { is_cpu: matches!(device, Device::Cpu), values }
    }

    /// The machine on one line. `threads` is the number of CPU threads.
    pub(super) fn title(&self, threads: &str) -> String {
        let value = |name: &str| text(&self.values[name]);
        if self.is_cpu {
            return format!("CPU: {}, threads: {threads}", value("cpu_info"));
        }
        format!("{} ({}, {}): {}", value("gpu_info"), value("backends"), value("driver"), value("features"))
    }
}

/// The device of a record, and on the CPU its threads: `NVIDIA H100 (vulkan)`, `AMD EPYC, 8 threads`.
/// Records whose devices have one name are comparable.
pub(super) fn device_name(record: &Record) -> String {
    let value = |key: &str| record.get(key).map(text).unwrap_or_default();
    let gpu = value("gpu_info");
    if !gpu.is_empty() {
        return format!("{gpu} ({})", value("backends"));
    }
    match value("n_threads").as_str() {
        "" => value("cpu_info"),
        "1" => format!("{}, 1 thread", value("cpu_info")),
        threads => format!("{}, {threads} threads", value("cpu_info")),
    }
}

/// The entries of a JSON object.
pub(super) fn object(value: Value) -> Record {
    if let Value::Object(record) = value { record } else { Record::new() }
}

/// A value as the text of a cell or a CSV field; empty for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number times `factor` with so many digits after the point; empty if the value is no number.
pub(super) fn with_digits(value: &Value, factor: f64, digits: usize) -> String {
    value.as_f64().map_or_else(String::new, |number| format!("{:.digits$}", number * factor))
}

/// A value that is a number, or in CSV the text of one.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number: &f64| number.is_finite())
}

/// Five significant digits, which is more than a measurement has.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.4e}").parse().unwrap_or(number)
}

/// The features of an adapter that affect speed, as ggml-vulkan prints them.
fn feature_line(gpu: &Gpu) -> String {
    let (device, info) = (gpu.device(), gpu.device().adapter_info());
    let has = |feature| u8::from(device.features().contains(feature));
    let subgroups = if device.features().contains(Features::SUBGROUP) {
        format!("{} to {}", info.subgroup_min_size, info.subgroup_max_size)
    } else {
        "not used".to_owned()
    };
    format!(
        "f16: {} | subgroups: {subgroups} | shared memory: {} | matrix cores: {} | timestamps: {}",
        has(Features::SHADER_F16),
        device.limits().max_compute_workgroup_storage_size,
        has(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        has(Features::TIMESTAMP_QUERY),
    )
}

/// The time in the form `2026-11-22T05:45:00Z`.
pub(super) fn iso_time(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, of_day) = (seconds / 86400, seconds % 86400);
    // Hinnant's civil_from_days: years begin in March, eras have 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_written_as_llama_bench_writes_it() {
        let iso = |seconds| iso_time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(iso(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
