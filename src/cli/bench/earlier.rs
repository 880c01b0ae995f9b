//! The results of an earlier run, or of another machine, for comparison.

use super::super::failure::Failure;
use super::read;
use super::record::{Record, device_name, number, rounded, text};
use serde_json::{Map, json};
use std::path::Path;

/// The records of an earlier run.
pub(super) struct Earlier {
    records: Vec<Record>,
    /// The devices of the records, in their order.
    devices: Vec<String>,
    keys: &'static Keys,
}

/// The keys by which records are compared.
pub(super) struct Keys {
    /// The keys whose values are equal in comparable records, besides the device.
    pub(super) same: &'static [&'static str],
    /// The key of the time.
    pub(super) time: &'static str,
}

/// The keys that name a device.
const DEVICE: [&str; 3] = ["cpu_info", "gpu_info", "backends"];

impl Keys {
    /// Whether a record is of this kind.
    pub(super) fn are_in(&self, record: &Record) -> bool {
        DEVICE.iter().chain(self.same).chain([&self.time]).all(|&key| record.contains_key(key))
    }
}

impl Earlier {
    /// Reads the output of `-o json`, `-o jsonl` or `-o csv`.
    pub(super) fn read(path: &Path, keys: &'static Keys) -> Result<Self, Failure> {
        let records = read::records(path)?;
        let Some(records) = records.filter(|records| records.iter().all(|record| keys.are_in(record))) else {
            return Err(Failure::Usage(format!(
                "{}: is no output of qmill bench of this kind as json, jsonl or csv",
                path.display()
            )));
        };
        let mut devices = Vec::new();
        for device in records.iter().map(device_name) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        Ok(Self { records, devices, keys })
    }

    /// Adds `ratio`, the earlier time on the same device divided by this one, and `ratios`, the same for each
    /// device of the earlier run. Null stands for what was not measured then.
    pub(super) fn add_ratios(&self, record: &mut Record) {
        let ratios: Map<_, _> =
            self.devices.iter().map(|device| (device.clone(), json!(self.ratio(record, device)))).collect();
        let ratio = ratios.get(&device_name(record)).cloned().unwrap_or_default();
        record.insert("ratio".to_owned(), ratio);
        record.insert("ratios".to_owned(), ratios.into());
    }

    fn ratio(&self, record: &Record, device: &str) -> Option<f64> {
        let is_same = |earlier: &&Record| {
            device_name(earlier) == device
                && self.keys.same.iter().all(|&key| text(&earlier[key]) == text(&record[key]))
        };
        // The last of several, because it is from the latest run.
        let then = number(&self.records.iter().rev().find(is_same)?[self.keys.time])?;
        Some(rounded(then / number(&record[self.keys.time])?))
    }
}
