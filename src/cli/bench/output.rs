//! Writes records as a Markdown table, CSV, JSON, one JSON object per line, or SQL.

use super::record::{Record, device_name, text, with_digits};
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, Write};

/// The output formats.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A table
    Md,
    /// All values, quoted, with a header line
    Csv,
    /// One JSON array
    Json,
    /// One JSON object per line
    Jsonl,
    /// SQL statements that create and fill a table
    Sql,
    /// A page with pictures, for --merge
    Html,
}

/// A kind of records.
pub(super) struct Table {
    /// The name of the SQL table.
    pub(super) name: &'static str,
    /// The columns of the Markdown table.
    pub(super) columns: Vec<Column>,
}

/// A column of the Markdown table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    width: usize,
    is_left: bool,
    cell: fn(&Record) -> String,
}

impl Column {
    pub(super) fn new(heading: &'static str, width: usize, cell: fn(&Record) -> String) -> Self {
        Self { heading, width, is_left: false, cell }
    }

    /// A left-aligned column.
    pub(super) fn left(heading: &'static str, width: usize, cell: fn(&Record) -> String) -> Self {
        Self { is_left: true, ..Self::new(heading, width, cell) }
    }

    fn padded(self, text: &str) -> String {
        let width = self.width;
        if self.is_left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }

    fn line(self) -> String {
        format!("{}{}", "-".repeat(self.width - 1), if self.is_left { '-' } else { ':' })
    }
}

pub(super) struct Output<W> {
    style: Style,
    table: Table,
    out: W,
    written: usize,
}

impl<W: Write> Output<W> {
    pub(super) fn new(style: Style, table: Table, out: W) -> Self {
        Self { style, table, out, written: 0 }
    }

    /// Whether records appear as rows, one by one, with titles and notes around them.
    pub(super) fn has_rows(&self) -> bool {
        self.style == Style::Md
    }

    /// Prints lines after the records of a device.
    pub(super) fn notes(&mut self, lines: &[String]) -> io::Result<()> {
        if self.has_rows() && !lines.is_empty() {
            writeln!(self.out, "\n{}", lines.join("\n"))?;
        }
        Ok(())
    }

    /// Prints the title of the records that follow.
    pub(super) fn begin(&mut self, title: &str) -> io::Result<()> {
        if !self.has_rows() {
            return Ok(());
        }
        if self.written > 0 {
            writeln!(self.out)?;
        }
        self.written = 0;
        writeln!(self.out, "{title}\n")
    }

    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        match self.style {
            Style::Md => self.write_row(record)?,
            Style::Csv => self.write_csv(record)?,
            Style::Json => {
                let before = if self.written == 0 { "[\n" } else { ",\n" };
                write!(self.out, "{before}{}", Value::Object(record.clone()))?;
            }
            Style::Jsonl => writeln!(self.out, "{}", Value::Object(record.clone()))?,
            Style::Sql => self.write_sql(record)?,
            Style::Html => {}
        }
        self.written += 1;
        self.out.flush()
    }

    fn write_row(&mut self, record: &Record) -> io::Result<()> {
        let ratios = ratios(record);
        let row = |cell: &dyn Fn(Column) -> String, ratio: &dyn Fn(&(String, String)) -> String| {
            let cells = self.table.columns.iter().map(|column| cell(*column));
            format!("| {} |", cells.chain(ratios.iter().map(ratio)).collect::<Vec<_>>().join(" | "))
        };
        let width = |heading: &str| heading.chars().count().max(LEAST_WIDTH);
        if self.written == 0 {
            let headings = row(&|column| column.padded(column.heading), &|(heading, _)| {
                format!("{heading:>width$}", width = width(heading))
            });
            writeln!(self.out, "{headings}")?;
            let line = |heading: &str| format!("{}:", "-".repeat(width(heading) - 1));
            writeln!(self.out, "{}", row(&Column::line, &|(heading, _)| line(heading)))?;
        }
        let cells = row(&|column| column.padded(&(column.cell)(record)), &|(heading, ratio)| {
            format!("{ratio:>width$}", width = width(heading))
        });
        writeln!(self.out, "{cells}")
    }

    /// As in llama-bench, everything is quoted.
    fn write_csv(&mut self, record: &Record) -> io::Result<()> {
        if self.written == 0 {
            writeln!(self.out, "{}", names(record).join(","))?;
        }
        let quoted = values(record).map(|value| format!("\"{}\"", text(value).replace('"', "\"\"")));
        writeln!(self.out, "{}", quoted.collect::<Vec<_>>().join(","))
    }

    fn write_sql(&mut self, record: &Record) -> io::Result<()> {
        let (table, names) = (self.table.name, names(record));
        if self.written == 0 {
            let fields: Vec<_> = names
                .iter()
                .zip(values(record))
                .map(|(name, value)| format!("  {name} {}", sql_type(value)))
                .collect();
            writeln!(self.out, "CREATE TABLE IF NOT EXISTS {table} (\n{}\n);\n", fields.join(",\n"))?;
        }
        let values: Vec<_> = values(record).map(sql_value).collect();
        writeln!(self.out, "INSERT INTO {table} ({}) VALUES ({});", names.join(", "), values.join(", "))
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match (self.style, self.written) {
            (Style::Json, 0) => writeln!(self.out, "[]"),
            (Style::Json, _) => writeln!(self.out, "\n]"),
            _ => Ok(()),
        }
    }
}

/// The least width of a column of ratios.
const LEAST_WIDTH: usize = 9;

/// The headings and cells of the ratios to the devices of an earlier run.
fn ratios(record: &Record) -> Vec<(String, String)> {
    let here = device_name(record);
    let ratios = record.get("ratios").and_then(Value::as_object).into_iter().flatten();
    let cell = |(device, ratio): (&String, &Value)| {
        let of = if *device == here { "earlier" } else { device };
        // Nothing may end the cell.
        (format!("× {}", of.replace('|', "/")), with_digits(ratio, 1.0, 2))
    };
    ratios.map(cell).collect()
}

/// The values in CSV and SQL: as in llama-bench, no samples.
fn fields(record: &Record) -> impl Iterator<Item = (&String, &Value)> {
    record.iter().filter(|(_, value)| !value.is_array())
}

fn names(record: &Record) -> Vec<&str> {
    fields(record).map(|(name, _)| name.as_str()).collect()
}

fn values(record: &Record) -> impl Iterator<Item = &Value> {
    fields(record).map(|(_, value)| value)
}

fn sql_type(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "REAL",
        Value::Number(_) => "INTEGER",
        // Another record may have a number here.
        Value::Null => "NUMERIC",
        _ => "TEXT",
    }
}

fn sql_value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Number(number) => number.to_string(),
        other => format!("'{}'", text(other).replace('\'', "''")),
    }
}
