//! Records as a Markdown table, CSV, JSON, a JSON object on each line, or SQL; written as they come.

use super::record::{Record, text, with_digits};
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
    /// SQL that makes a table and fills it
    Sql,
}

/// What kind of records there are.
pub(super) struct Table {
    /// In SQL.
    pub(super) name: &'static str,
    /// What people see of it.
    pub(super) columns: Vec<Column>,
}

/// A column of the table for people.
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

    /// With its cells to the left.
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

    /// Says whose records follow.
    pub(super) fn begin(&mut self, title: &str) -> io::Result<()> {
        if self.style != Style::Md {
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
        }
        self.written += 1;
        self.out.flush()
    }

    fn write_row(&mut self, record: &Record) -> io::Result<()> {
        let ratio = Column::new("× earlier", 9, |record| with_digits(&record["ratio"], 1.0, 2));
        let ratio = record.contains_key("ratio").then_some(ratio);
        let columns = || self.table.columns.iter().copied().chain(ratio);
        let row = |cell: &dyn Fn(Column) -> String| {
            format!("| {} |", columns().map(cell).collect::<Vec<_>>().join(" | "))
        };
        if self.written == 0 {
            writeln!(self.out, "{}", row(&|column| column.padded(column.heading)))?;
            writeln!(self.out, "{}", row(&Column::line))?;
        }
        writeln!(self.out, "{}", row(&|column| column.padded(&(column.cell)(record))))
    }

    /// As llama-bench: everything quoted.
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

/// What CSV and SQL have of a record, as llama-bench: no samples.
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
        // Another record may have a number there.
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
