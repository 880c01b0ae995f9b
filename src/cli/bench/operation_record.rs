//! A measured operation as a record, and the columns of its table.

use super::earlier::Keys;
use super::output::Column;
use super::peaks::share;
use super::record::{Record, iso_time, object, rounded, text, with_digits};
use qmill::bench::{Case, Measurement, Peaks, Settings, Variant};
use serde_json::json;
use std::time::SystemTime;

/// By which records are compared.
pub(super) const KEYS: Keys = Keys { same: &["op", "format", "m", "n", "k", "variant"], time: "median_ns" };

/// The entries of a record for a measurement.
pub(super) fn of_case(
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
    let is_of_file = settings.as_in_file && product && !case.format.is_float();
    let shares = peaks.map(|peaks| peaks.shares(case, variant.precision(), measured));
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
        "memory_share": shares.map(|shares| rounded(shares.memory)),
        "compute_share": shares.and_then(|shares| shares.compute).map(rounded),
        "error": measured.accuracy.map(|accuracy| accuracy.error),
        "error_bound": measured.accuracy.map(|accuracy| accuracy.bound),
        "copies": measured.copies,
        "cache_bytes": settings.cache_bytes,
        "samples_ns": clock.values().iter().map(|&seconds| ns(seconds)).collect::<Vec<_>>(),
    }))
}

/// The columns of the table.
pub(super) fn columns() -> Vec<Column> {
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
        Column::new("memory %", 8, |record| share(&record["memory_share"])),
        Column::new("compute %", 9, |record| share(&record["compute_share"])),
        Column::new("error", 16, |record| {
            let error = record["error"].as_f64();
            error.map_or_else(String::new, |error| {
                format!("{error:.1e} ≤ {:.0e}", record["error_bound"].as_f64().unwrap_or_default())
            })
        }),
    ]
}
