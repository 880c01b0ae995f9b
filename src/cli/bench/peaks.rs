//! A device's peaks in titles, records and warnings.

use super::record::{Record, rounded, text, with_digits};
use qmill::bench::Peaks;
use serde_json::{Value, json};

/// A peak in records.
pub(super) struct Peak {
    /// Its key before the measurements; [`Peak::after`] is the other.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// What a second's rate is divided by.
    scale: f64,
    rate: fn(&Peaks) -> Option<f64>,
}

/// The peaks that shares are of.
pub(super) const PEAKS: [Peak; 7] = [
    Peak::new("peak_copy_gb_s", "copy", "GB/s", |peaks| Some(peaks.copy)),
    Peak::new("peak_write_gb_s", "write", "GB/s", |peaks| Some(peaks.write)),
    Peak::new("peak_read_gb_s", "read", "GB/s", |peaks| Some(peaks.read)),
    Peak::new("peak_buffer_read_gb_s", "buffer read", "GB/s", |peaks| Some(peaks.buffer_read)),
    Peak::new("peak_multiply_add_gflop_s", "multiply-add", "GFLOP/s", |peaks| Some(peaks.multiply_add)),
    Peak::new("peak_dot_gop_s", "int8 dot", "GOP/s", |peaks| peaks.dot),
    Peak::new("peak_matrix_gflop_s", "matrix", "GFLOP/s", |peaks| peaks.matrix),
];

impl Peak {
    const fn new(
        key: &'static str,
        name: &'static str,
        unit: &'static str,
        rate: fn(&Peaks) -> Option<f64>,
    ) -> Self {
        Self { key, name, unit, scale: 1e9, rate }
    }

    /// Its key after the measurements.
    pub(super) fn after(&self) -> String {
        format!("{}_after", self.key)
    }

    fn value(&self, peaks: Option<&Peaks>) -> Option<f64> {
        Some(rounded((self.rate)(peaks?)? / self.scale))
    }
}

/// The entries of a record: the peaks before the measurements, and the launch.
pub(super) fn before(peaks: Option<&Peaks>) -> Record {
    let mut record: Record =
        PEAKS.iter().map(|peak| (peak.key.to_owned(), json!(peak.value(peaks)))).collect();
    let launch = peaks.and_then(|peaks| peaks.launch);
    record.insert("launch_ns".to_owned(), json!(launch.map(|seconds| rounded(seconds * 1e9))));
    record
}

/// The entries of a record: the peaks after the measurements.
pub(super) fn after(peaks: Option<&Peaks>) -> Record {
    PEAKS.iter().map(|peak| (peak.after(), json!(peak.value(peaks)))).collect()
}

/// The peaks on one line.
pub(super) fn line(heading: &str, peaks: &Peaks) -> String {
    let shown = PEAKS.iter().filter_map(|peak| {
        let rate = (peak.rate)(peaks)? / peak.scale;
        // Reading is that of a buffer, unless a texture was faster.
        let is_told = peak.key != "peak_buffer_read_gb_s" || peaks.buffer_read < peaks.read;
        is_told.then(|| format!("{} {rate:.1} {}", peak.name, peak.unit))
    });
    let launch = peaks.launch.map(|seconds| format!("launch {:.1} µs", seconds * 1e6));
    format!("{heading}: {}", shown.chain(launch).collect::<Vec<_>>().join(", "))
}

/// What makes the figures of a device doubtful: peaks that moved, and shares above 100 %.
pub(super) fn warnings(before: &Peaks, after: Option<&Peaks>, records: &[Record]) -> Vec<String> {
    let moved = after.into_iter().flat_map(|after| before.moved(after)).filter_map(|moved| {
        let peak = PEAKS.iter().find(|peak| peak.name == moved.name)?;
        let [then, now] = [moved.before, moved.after].map(|rate| rate / peak.scale);
        let percent = (moved.after / moved.before - 1.0) * 100.0;
        Some(format!("{} from {then:.1} to {now:.1} {} ({percent:+.0} %)", peak.name, peak.unit))
    });
    let moved: Vec<_> = moved.collect();
    let moved = (!moved.is_empty()).then(|| {
        format!(
            "peaks have moved: {}; something else used the device, or its clock has changed, so these \
             figures are not steady",
            moved.join(", ")
        )
    });
    moved.into_iter().chain(records.iter().flat_map(too_high)).collect()
}

/// The shares of a record above 100 %.
fn too_high(record: &Record) -> Vec<String> {
    let shares = [("memory", "memory_share"), ("compute", "compute_share")].into_iter();
    let high = shares.filter(|(_, key)| record[*key].as_f64().is_some_and(|share| share > 1.0));
    let case = ["op", "format", "m", "n", "k", "variant"].map(|key| text(&record[key]));
    let [op, format, m, n, k, variant] = case;
    high.map(|(name, key)| {
        let share = with_digits(&record[key], 100.0, 1);
        format!(
            "{op} {format} {m}x{k} n={n} {variant} reaches {share} % of the {name} peak: the peak is wrong, \
             or --cache is smaller than the cache"
        )
    })
    .collect()
}

/// A share in percent, with a mark if it is above 100.
pub(super) fn share(value: &Value) -> String {
    let percent = with_digits(value, 100.0, 1);
    if value.as_f64().is_some_and(|share| share > 1.0) { format!("{percent} !") } else { percent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::record::object;

    #[test]
    fn shares_above_all_are_marked_and_told() {
        assert_eq!(share(&json!(0.5)), "50.0");
        assert_eq!(share(&json!(1.032)), "103.2 !");
        assert_eq!(share(&Value::Null), "");
        let record = |memory: f64, compute: Option<f64>| {
            object(json!({
                "op": "matvec", "format": "Q4_0", "m": 16, "n": 1, "k": 64, "variant": "int8",
                "memory_share": memory, "compute_share": compute,
            }))
        };
        assert!(too_high(&record(0.99, Some(1.0))).is_empty() && too_high(&record(1.0, None)).is_empty());
        let told = too_high(&record(1.032, Some(2.8)));
        assert_eq!(told.len(), 2);
        assert!(
            told[0].starts_with("matvec Q4_0 16x64 n=1 int8 reaches 103.2 % of the memory peak"),
            "{told:?}"
        );
        assert!(told[1].contains("280.0 % of the compute peak"), "{told:?}");
    }
}
