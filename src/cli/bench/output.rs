//! Records as a Markdown table, CSV, JSON, or a JSON object on each line; written as they come.

use super::record::{Machine, Record};
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, Write};

/// How records are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A table for people
    Md,
    /// All values, quoted, with a heading
    Csv,
    /// One array
    Json,
    /// One object on each line
    Jsonl,
}

pub(super) struct Output<W> {
    style: Style,
    out: W,
    written: usize,
}

/// A column of the table: its heading, how wide it is, and what it shows of a record.
type Column = (&'static str, usize, fn(&Record) -> String);

const COLUMNS: [Column; 13] = [
    ("op", 10, |record| text(record, "op")),
    ("format", 7, |record| text(record, "format")),
    ("m", 5, |record| text(record, "m")),
    ("n", 4, |record| text(record, "n")),
    ("k", 5, |record| text(record, "k")),
    ("variant", 19, |record| text(record, "variant")),
    ("µs", 10, |record| with_digits(record, "median_ns", 1e-3, 1)),
    ("±", 8, |record| with_digits(record, "stddev_ns", 1e-3, 1)),
    ("GB/s", 7, |record| with_digits(record, "gb_s", 1.0, 2)),
    ("GFLOP/s", 8, |record| with_digits(record, "gflop_s", 1.0, 2)),
    ("memory %", 8, |record| with_digits(record, "memory_share", 100.0, 1)),
    ("compute %", 9, |record| with_digits(record, "compute_share", 100.0, 1)),
    ("error", 16, |record| {
        let error = record["error"].as_f64();
        error.map_or_else(String::new, |error| {
            format!("{error:.1e} ≤ {:.0e}", record["error_bound"].as_f64().unwrap_or_default())
        })
    }),
];
const RATIO: Column = ("× earlier", 9, |record| with_digits(record, "ratio", 1.0, 2));

fn text(record: &Record, name: &str) -> String {
    match &record[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn with_digits(record: &Record, name: &str, factor: f64, digits: usize) -> String {
    record[name].as_f64().map_or_else(String::new, |number| format!("{:.digits$}", number * factor))
}

impl<W: Write> Output<W> {
    pub(super) fn new(style: Style, out: W) -> Self {
        Self { style, out, written: 0 }
    }

    /// Says whose records follow.
    pub(super) fn begin(&mut self, machine: &Machine) -> io::Result<()> {
        if self.style != Style::Md {
            return Ok(());
        }
        if self.written > 0 {
            writeln!(self.out)?;
        }
        self.written = 0;
        writeln!(self.out, "{}", machine.title())?;
        if let Some(peaks) = &machine.peaks {
            let (copy, read) = (peaks.copy / 1e9, peaks.read / 1e9);
            let (multiply_add, dot) = (peaks.multiply_add / 1e9, peaks.dot / 1e9);
            writeln!(
                self.out,
                "peaks: copy {copy:.1} GB/s, read {read:.1} GB/s, multiply-add {multiply_add:.1} GFLOP/s, int8 dot {dot:.1} GOP/s, launch {:.1} µs",
                peaks.launch * 1e6
            )?;
        }
        writeln!(self.out)
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        match self.style {
            Style::Md => self.write_row(record)?,
            Style::Csv => {
                // As llama-bench: no samples, and everything quoted.
                let fields = || record.iter().filter(|(_, value)| !value.is_array());
                if self.written == 0 {
                    writeln!(
                        self.out,
                        "{}",
                        fields().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
                    )?;
                }
                let quoted =
                    fields().map(|(name, _)| format!("\"{}\"", text(record, name).replace('"', "\"\"")));
                writeln!(self.out, "{}", quoted.collect::<Vec<_>>().join(","))?;
            }
            Style::Json => {
                let before = if self.written == 0 { "[\n" } else { ",\n" };
                write!(self.out, "{before}{}", Value::Object(record.clone()))?;
            }
            Style::Jsonl => writeln!(self.out, "{}", Value::Object(record.clone()))?,
        }
        self.written += 1;
        self.out.flush()
    }

    fn write_row(&mut self, record: &Record) -> io::Result<()> {
        let ratio = record.contains_key("ratio").then_some(RATIO);
        let columns = || COLUMNS.into_iter().chain(ratio);
        if self.written == 0 {
            let headings: Vec<_> = columns().map(|(name, width, _)| format!("{name:>width$}")).collect();
            writeln!(self.out, "| {} |", headings.join(" | "))?;
            let lines: Vec<_> =
                columns().map(|(_, width, _)| format!("{}:", "-".repeat(width - 1))).collect();
            writeln!(self.out, "| {} |", lines.join(" | "))?;
        }
        let cells: Vec<_> = columns().map(|(_, width, cell)| format!("{:>width$}", cell(record))).collect();
        writeln!(self.out, "| {} |", cells.join(" | "))
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match (self.style, self.written) {
            (Style::Json, 0) => writeln!(self.out, "[]"),
            (Style::Json, _) => writeln!(self.out, "\n]"),
            _ => Ok(()),
        }
    }
}
