//! The results of an earlier run, for comparison.

use super::super::failure::Failure;
use super::record::{Record, rounded, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The records of an earlier run.
pub(super) struct Earlier {
    records: Vec<Record>,
    keys: &'static Keys,
}

/// The keys by which records are compared.
pub(super) struct Keys {
    /// The keys whose values are equal in comparable records.
    pub(super) same: &'static [&'static str],
    /// The key of the time.
    pub(super) time: &'static str,
}

impl Earlier {
    /// Reads the output of `-o json`, `-o jsonl` or `-o csv`.
    pub(super) fn read(path: &Path, keys: &'static Keys) -> Result<Self, Failure> {
        let io = |source| qmill::Error::Io { path: path.to_owned(), action: "read", source };
        let text = fs::read_to_string(path).map_err(io)?;
        let records =
            if text.trim_start().starts_with(['[', '{']) { from_json(&text) } else { from_csv(&text) };
        let is_ours =
            |record: &Record| keys.same.iter().chain([&keys.time]).all(|&key| record.contains_key(key));
        match records.filter(|records| !records.is_empty() && records.iter().all(is_ours)) {
            Some(records) => Ok(Self { records, keys }),
            None => Err(Failure::Usage(format!(
                "{}: is no output of qmill bench of this kind as json, jsonl or csv",
                path.display()
            ))),
        }
    }

    /// Adds the ratio of the earlier time to this one; null if it was not measured then.
    pub(super) fn add_ratio(&self, record: &mut Record) {
        let is_same =
            |earlier: &&Record| self.keys.same.iter().all(|&key| text(&earlier[key]) == text(&record[key]));
        // The last of several, because it is from the latest run.
        let then = self
            .records
            .iter()
            .rev()
            .find(is_same)
            .and_then(|earlier| text(&earlier[self.keys.time]).parse::<f64>().ok());
        let now = record[self.keys.time].as_f64();
        let ratio = then.zip(now).map(|(then, now)| rounded(then / now));
        record.insert("ratio".to_owned(), json!(ratio));
    }
}

fn from_json(text: &str) -> Option<Vec<Record>> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let values = values.collect::<Result<Vec<_>, _>>().ok()?;
    let object = |value| if let Value::Object(record) = value { Some(record) } else { None };
    let records = values.into_iter().flat_map(|value| match value {
        Value::Array(values) => values,
        other => vec![other],
    });
    records.map(object).collect()
}

fn from_csv(text: &str) -> Option<Vec<Record>> {
    let mut lines = text.lines();
    let names: Vec<String> = lines.next()?.split(',').map(str::to_owned).collect();
    let record = |line| {
        let fields = fields(line)?;
        (fields.len() == names.len())
            .then(|| names.iter().cloned().zip(fields.into_iter().map(Value::String)).collect())
    };
    lines.map(record).collect()
}

/// The fields of a line. All are quoted, and quotes within are doubled.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = String::new();
        rest = rest.strip_prefix('"')?;
        loop {
            let (part, after) = rest.split_once('"')?;
            field.push_str(part);
            rest = after;
            let Some(after) = rest.strip_prefix('"') else { break };
            field.push('"');
            rest = after;
        }
        fields.push(field);
        if rest.is_empty() {
            return Some(fields);
        }
        rest = rest.strip_prefix(',')?;
    }
}
