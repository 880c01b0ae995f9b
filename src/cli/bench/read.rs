//! Reads the records that `-o json`, `-o jsonl` and `-o csv` have written.

use super::record::Record;
use crate::cli::failure::Failure;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The records of a file; `None` if it is no such output.
pub(super) fn records(path: &Path) -> Result<Option<Vec<Record>>, Failure> {
    let io = |source| qmill::Error::Io { path: path.to_owned(), action: "read", source };
    let text = fs::read_to_string(path).map_err(io)?;
    let records = if text.trim_start().starts_with(['[', '{']) { from_json(&text) } else { from_csv(&text) };
    Ok(records.filter(|records| !records.is_empty()))
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
